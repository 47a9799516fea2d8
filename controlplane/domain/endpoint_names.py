"""The names of endpoints, in the service's format under a suffix of our own: how each is made, and what one that is asked for means.

No name says more than its topology's id, so that what it leads to is looked up; see :mod:`controlplane.domain.resolution`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from controlplane.domain.topology import ClusterMode, Endpoints, Kind, Node, Topology, World

DEFAULT_SUFFIX = "cache.cachewright.internal"
LONGEST_SUFFIX = 150  # a name has 253 characters at most, and the longest id, hash and region go before the suffix
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_HASH_LENGTH = 6
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HASH = re.compile(r"[a-z0-9]{6}")
_NUMBER = re.compile(r"[0-9]{4}")
_REGION = re.compile(r"([a-z]{2,4})((?:-[a-z]+)+)-([0-9]{1,2})")
_WORDS = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c",
          "northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}  # fmt: skip


class Purpose(StrEnum):
    """What a name is for."""

    PRIMARY = "primary"
    READER = "reader"
    CONFIGURATION = "configuration"  # of a group in cluster mode
    DISCOVERY = "discovery"          # the configuration endpoint of a Memcached cluster
    NODE = "node"


@dataclass(frozen=True, slots=True)
class EndpointName:
    """A name without its suffix: ``owner`` is the id of a replication group or cache cluster, ``region`` the short one.

    ``number`` is that of a cache node (``0001`` but in a Memcached cluster). ``group`` is set in the form that names have with TLS, where
    a node's name tells its replication group as well.
    """

    purpose: Purpose
    owner: str
    hash: str
    region: str
    number: str = "0001"
    tls: bool = False
    group: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels before the suffix."""
        place = (self.hash, self.region)
        match self.purpose, self.tls:
            case Purpose.PRIMARY, True:
                return "master", self.owner, *place
            case Purpose.READER, True:
                return "replica", self.owner, *place
            case Purpose.CONFIGURATION, True:
                return "clustercfg", self.owner, *place
            case Purpose.NODE, True:
                return self.owner, self.group or self.owner, *place
            case Purpose.PRIMARY, _:
                return self.owner, self.hash, "ng", "0001", self.region
            case Purpose.READER, _:
                return f"{self.owner}-ro", self.hash, "ng", "0001", self.region
            case Purpose.CONFIGURATION, _:
                return self.owner, self.hash, "clustercfg", self.region
            case Purpose.DISCOVERY, _:
                return self.owner, self.hash, "cfg", self.region
            case _:
                return self.owner, self.hash, self.number, self.region

    def under(self, suffix: str) -> str:
        """The whole name."""
        return ".".join((*self.labels, suffix))


def parsed(labels: tuple[str, ...]) -> tuple[EndpointName, ...]:
    """What a name of these labels, in lower case and without the suffix, may mean, the likelier first; nothing for what is no such name.

    Two meanings has what ends in ``-ro``: the primary of a group of that very id, or the reader of the one without.
    """
    match labels:
        case (owner, account, "ng", "0001", region) if _HASH.fullmatch(account):
            found = (EndpointName(Purpose.PRIMARY, owner, account, region),)
            reader = (EndpointName(Purpose.READER, owner.removesuffix("-ro"), account, region),)
            return found + reader if owner.endswith("-ro") and owner != "-ro" else found
        case (owner, account, kind, region) if _HASH.fullmatch(account) and (kind in _KINDS or _NUMBER.fullmatch(kind)):
            number = kind if kind not in _KINDS else "0001"
            return (EndpointName(_KINDS.get(kind, Purpose.NODE), owner, account, region, number),)
        case (first, owner, account, region) if _HASH.fullmatch(account):
            if first in _TLS_KINDS:
                return (EndpointName(_TLS_KINDS[first], owner, account, region, tls=True),)
            return (EndpointName(Purpose.NODE, first, account, region, tls=True, group=owner),)
    return ()


_KINDS = {"clustercfg": Purpose.CONFIGURATION, "cfg": Purpose.DISCOVERY}
_TLS_KINDS = {"master": Purpose.PRIMARY, "replica": Purpose.READER, "clustercfg": Purpose.CONFIGURATION}


def is_above_names(labels: tuple[str, ...], world: World) -> bool:
    """Whether names of the world lie below this one, so that it exists although nothing stands there itself."""
    account, region = account_hash(world), short_region(world.region)
    match labels:
        case (only,):
            return only == region
        case (kind, last):
            return last == region and (kind == account or kind in _KINDS or bool(_NUMBER.fullmatch(kind)))
        case (first, kind, last):
            of_node = first == account and (kind in _KINDS or bool(_NUMBER.fullmatch(kind)))
            return last == region and (of_node or kind == account or (first, kind) == ("ng", "0001"))
        case (first, "ng", "0001", last):
            return (first, last) == (account, region)
    return False


@dataclass(frozen=True, slots=True)
class EndpointStyle:
    """How endpoints are shown: what new topologies have, the suffix of names, and whether we serve them, so that they are shown of
    bound endpoints as well."""

    new: Endpoints = Endpoints.BOUND
    suffix: str = DEFAULT_SUFFIX
    served: bool = False

    def shows_names(self, topology: Topology) -> bool:
        """Whether the topology's endpoints are shown by name."""
        return self.served or topology.is_named

    def name(self, topology: Topology, purpose: Purpose) -> str:
        """The name of an endpoint of a topology."""
        return _named(topology, purpose, topology.name).under(self.suffix)

    def node_name(self, topology: Topology, node: Node) -> str:
        """The name of one node."""
        if topology.is_memcached:
            return _named(topology, Purpose.NODE, topology.name, node.id).under(self.suffix)
        return _named(topology, Purpose.NODE, node.id).under(self.suffix)

    def names(self, topology: Topology, purpose: Purpose) -> tuple[str, ...]:
        """The name of an endpoint in every form in which it is known, with TLS and without."""
        named = _named(topology, purpose, topology.name)
        return tuple(dict.fromkeys((named.under(self.suffix), replace(named, tls=True).under(self.suffix))))

    def node_names(self, topology: Topology, node: Node) -> tuple[str, ...]:
        """The name of a node in every form in which it is known, with TLS and without."""
        plain = self.node_name(topology, node)
        if topology.is_memcached or topology.kind is not Kind.REPLICATION_GROUP:
            return (plain,)
        return plain, replace(_named(topology, Purpose.NODE, node.id), tls=True, group=topology.name).under(self.suffix)


def _named(topology: Topology, purpose: Purpose, owner: str, number: str = "0001") -> EndpointName:
    world = topology.world
    return EndpointName(purpose, owner, account_hash(world), short_region(world.region), number)


def configuration_purpose(topology: Topology) -> Purpose:
    """Which of the two kinds of configuration endpoint a topology has."""
    return Purpose.DISCOVERY if topology.is_memcached else Purpose.CONFIGURATION


def has(topology: Topology, purpose: Purpose) -> bool:
    """Whether the topology has such an endpoint."""
    match purpose:
        case Purpose.PRIMARY | Purpose.READER:
            return topology.has_endpoints
        case Purpose.CONFIGURATION:
            return topology.cluster_mode is not ClusterMode.DISABLED
        case Purpose.DISCOVERY:
            return topology.is_memcached
        case _:
            return True


def account_hash(world: World) -> str:
    """Six letters and digits that are the same for an account in a region at any time, and different for another, as far as six go."""
    number = int.from_bytes(hashlib.sha256(f"{world.account}/{world.region}".encode()).digest()[:8], "big")
    text = ""
    for _ in range(_HASH_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        text += _DIGITS[digit]
    return text


def short_region(region: str) -> str:
    """``use1`` for ``us-east-1``; the region itself, as far as it can be part of a name, where it is not like that."""
    found = _REGION.fullmatch(region)
    if found is None:
        return region.strip("-") or "r"
    words = found[2].strip("-").split("-")
    return found[1] + "".join(_WORDS.get(word, word[0]) for word in words) + found[3]


def suffix(asked: str) -> str:
    """The suffix as names have it, in lower case and without dots around. Raises ValueError for what is no domain name, or too long."""
    stored = asked.strip(".").lower()
    if len(stored) > LONGEST_SUFFIX or not all(_LABEL.fullmatch(label) for label in stored.split(".")):
        raise ValueError(f"{asked[:60]!r} is no domain name of 1 to {LONGEST_SUFFIX} characters, such as {DEFAULT_SUFFIX}")
    return stored
