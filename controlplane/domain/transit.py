"""Encryption in transit: what can have it, whom its certificate is for, and when that is to be another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from api_schemas.agent.transit import TransitMode
from controlplane.domain.endpoint_names import EndpointStyle, Purpose, has
from controlplane.domain.engine_versions import EngineVersion
from controlplane.domain.topology import Binary, Topology

LASTS = timedelta(days=90)
"""How long a certificate of engines holds. It is renewed when a third of that is left."""

_RENEWED_BEFORE = LASTS / 3
_SINCE = {"redis": (3, 2, 6), "valkey": (7, 2), "memcached": (1, 6, 12)}
_SWITCHED_SINCE = {"redis": (7, 0, 5), "valkey": (7, 2)}
LOCAL = "localhost"
"""A name that every certificate has, for who comes in through a tunnel."""


def why_not(version: EngineVersion) -> str | None:
    """Why caches of that engine and version cannot be encrypted in transit; None where they can."""
    since = _SINCE[version.engine]
    if version.numbers >= since:
        return None
    return f"encryption in transit is for {version.engine} {_shown(since)} and later, not for {version.version}"


def why_not_switched(version: EngineVersion) -> str | None:
    """Why it can be neither switched on nor off once there is a cache of that engine and version; None where it can."""
    since = _SWITCHED_SINCE.get(version.engine)
    if since is None:
        return f"encryption in transit of {version.engine} is chosen when a cache is created"
    if version.numbers[:2] >= since[:2]:  # a request names no patch: 7.0 is the newest 7.0
        return None
    return f"encryption in transit can be switched with {version.engine} {_shown(since)} and later, not with {version.version}"


def is_native(mode: TransitMode, binary: Binary) -> bool:
    """Whether the engine itself speaks TLS: it can, and who does not speak it is served by nobody. Else a relay stands before it."""
    return mode is TransitMode.REQUIRED and binary.tls


def names_of(topology: Topology, style: EndpointStyle) -> tuple[str, ...]:
    """Everything by which clients may know the nodes and endpoints of a topology: addresses, and names in both of their forms."""
    return tuple(sorted({LOCAL, *_addresses(topology), *_names(topology, style)}))


def covers(names: tuple[str, ...], topology: Topology, node_address: str) -> bool:
    """Whether a certificate for these names is one for a node at that address, whichever endpoint it holds."""
    return {node_address, *filter(None, _endpoints(topology))} <= set(names)


def why_renewed(topology: Topology, names: tuple[str, ...], now: datetime) -> str | None:
    """Why the topology needs another certificate, for these names; None where it has a good one."""
    issued = topology.certified
    if issued is None:
        return "there is none yet"
    if set(names) - set(issued.names):
        return "it does not name all nodes and endpoints"
    if set(issued.names) - set(names):
        return "it names some that are no more"
    return "a third of its time is left" if now >= renewed_at(issued.until) else None


def renewed_at(until: datetime) -> datetime:
    """When a certificate that holds until then is to be renewed."""
    return until - _RENEWED_BEFORE


def _endpoints(topology: Topology) -> tuple[str | None, ...]:
    return topology.primary_address, topology.reader_address, topology.configuration_address


def _addresses(topology: Topology) -> Iterator[str]:
    yield from (node.placement.address for node in topology.nodes if node.placement is not None)
    yield from filter(None, _endpoints(topology))


def _names(topology: Topology, style: EndpointStyle) -> Iterator[str]:
    if not style.shows_names(topology):
        return
    for purpose in Purpose:
        if purpose is not Purpose.NODE and has(topology, purpose):
            yield from style.names(topology, purpose)
    for node in topology.nodes:
        yield from style.node_names(topology, node)


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
