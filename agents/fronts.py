"""The front of a node, which the agent's relay is: what it shall do, and what it was seen to do."""

from __future__ import annotations

from collections.abc import Iterable

from agents.engines.memcached_arguments import SOCKET as OF_MEMCACHED
from agents.engines.transit_files import SOCKET as OF_VALKEY
from agents.front_seen import FrontSeen, is_fronted
from agents.relay_keeper import part_key
from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.node import NodeSpec
from api_schemas.agent.route import RouteReport, RouteSpec


def front_of(spec: NodeSpec, holds: Iterable[str]) -> tuple[RouteSpec, ...]:
    """The front of a node that runs, if it shall have one: at its own address, and at the endpoints that it holds."""
    if not is_fronted(spec):
        return ()
    is_memcached = spec.binary.engine == "memcached"
    files = f"nodes/{spec.key}"
    discovery = (spec.discovery or DiscoveryList(version=0, nodes="")) if is_memcached else None
    own = RouteSpec(key=spec.key, generation=0, address=spec.address, port=spec.port, discovery=discovery,
                    backends=[f"unix:{files}/{OF_MEMCACHED if is_memcached else OF_VALKEY}"], transit=spec.transit,
                    trusted=spec.trusted, files=files)  # fmt: skip
    return own, *(own.model_copy(update={"key": part_key(spec.key, address), "address": address}) for address in sorted(holds))


def front_seen(key: str, reports: Iterable[RouteReport]) -> FrontSeen:
    """What the relay was seen to do for the node of that key."""
    by_key = {report.key: report for report in reports}
    own = by_key.pop(key, None)
    if own is None:
        return FrontSeen()
    holds = frozenset(report.key.partition("@")[2] for report in by_key.values() if report.listening)
    return FrontSeen(own.listening, own.discovery, own.problem, holds)
