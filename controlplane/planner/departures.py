"""Rules about nodes that leave while others stay: clients are led away from one before it ends."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.reported import serves_discovery
from controlplane.domain.topology import Node
from controlplane.planner.decisions import Decision, LookAgain, StopNode
from controlplane.planner.situation import Situation


def stop_leaving_nodes(now: Situation) -> Iterator[Decision]:
    """A leaving node is stopped once nobody leads clients to it any more.

    A Memcached node waits for everybody who stays to tell of the list without it. A replica waits for the relay to spread readers
    without it, but not for long: the relay's agent may be out of touch, and then the relay passes over a replica that has ended.
    """
    topology = now.topology
    if topology.deleting:
        return
    for node in topology.nodes:
        if node.leaving and not node.stopping and not topology.shall_end(node):
            yield from _stop_listed(now, node) if topology.is_memcached else _stop_replica(now, node)


def _stop_listed(now: Situation, node: Node) -> Iterator[Decision]:
    listed = now.topology.discovery
    if listed is not None and node.id not in listed.nodes and serves_discovery(now.topology, now.reported):
        yield StopNode(node.id, because=f"version {listed.version} of the list is served everywhere, without it")


def _stop_replica(now: Situation, node: Node) -> Iterator[Decision]:
    until = node.left_at + now.policy.led_away_within if node.left_at is not None else now.now
    if not _may_be_read_from(now, node):
        yield StopNode(node.id, because="no reader is led to it")
    elif until <= now.now:
        yield StopNode(node.id, because=f"readers were not seen led away from it within {now.policy.led_away_within.seconds} s")
    else:
        yield LookAgain(until, because=f"readers may still be led to {node.id}")


def _may_be_read_from(now: Situation, node: Node) -> bool:
    """Whether readers are spread over it, as was desired last or, where a relay spreads them, as it was last seen to do."""
    topology, route = now.topology, now.reported.route
    if node.placement is None or not topology.can_publish:
        return False
    backend = f"{node.placement.address}:{topology.port}"
    return backend in topology.reader_backends or (topology.is_spread and route is not None and backend in route.backends)
