"""A cache subnet group: a name and the subnets that a caller put into it. Here a subnet is an id with a zone."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.domain.topology import World


@dataclass(frozen=True, slots=True)
class SubnetGroup:
    """A named set of subnets. Any well-formed subnet id is accepted; each is given a zone of the region, in turn."""

    world: World
    name: str
    description: str
    subnets: tuple[str, ...]
