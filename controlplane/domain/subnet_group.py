"""A cache subnet group: a name and the subnets that a caller put into it. Here a subnet is an id with a zone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from api_schemas.faults import CacheSubnetQuotaExceeded, InvalidSubnet
from controlplane.domain.topology import World

DEFAULT_NAME = "default"
MOST_GROUPS, MOST_SUBNETS = 300, 20

_SUBNET_ID = re.compile(r"subnet-[a-zA-Z0-9-]{1,40}")
_LETTERS_WITHOUT_AGENTS = ("a", "b", "c")


@dataclass(frozen=True, slots=True)
class SubnetGroup:
    """A named set of subnets. Any well-formed subnet id is accepted; each is given a zone of the region, in turn."""

    world: World
    name: str
    description: str
    subnets: tuple[str, ...]

    def zones(self, available: Sequence[str]) -> list[tuple[str, str]]:
        """Each subnet with its zone: the first has the first of the available zones, and so on round and round."""
        return [(subnet, available[place % len(available)]) for place, subnet in enumerate(self.subnets)]


def checked_subnets(asked: Sequence[str]) -> tuple[str, ...]:
    """The subnets of a group as they are stored: each once.

    Raises InvalidSubnet where there is none or one is not well-formed, CacheSubnetQuotaExceeded for too many.
    """
    subnets = tuple(dict.fromkeys(asked))
    if not subnets:
        raise InvalidSubnet("A cache subnet group has at least one subnet; SubnetIds names none.")
    for subnet in subnets:
        if not _SUBNET_ID.fullmatch(subnet):
            raise InvalidSubnet(f"The subnet ID {subnet[:60]!r} is not valid: it must be like subnet-0a1b2c3d.")
    if len(subnets) > MOST_SUBNETS:
        raise CacheSubnetQuotaExceeded(MOST_SUBNETS)
    return subnets


def default_subnet_group(world: World) -> SubnetGroup:
    """The group that every world has from the start."""
    subnets = tuple(f"subnet-{_digest(world, f'subnet {place}', 17)}" for place in range(3))
    return SubnetGroup(world, DEFAULT_NAME, "Default CacheSubnetGroup", subnets)


def vpc_id(world: World) -> str:
    """The one VPC of a world. Its id is always the same."""
    return f"vpc-{_digest(world, 'vpc', 8)}"


def zones_of(region: str, letters: Iterable[str]) -> list[str]:
    """The zones of a region by name, from the letters of the agents' zones; a, b and c while there is no agent."""
    return [f"{region}{letter}" for letter in sorted(set(letters)) or _LETTERS_WITHOUT_AGENTS]


def _digest(world: World, what: str, length: int) -> str:
    return sha256(f"{world.account} {world.region} {what}".encode()).hexdigest()[:length]
