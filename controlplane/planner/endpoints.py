"""Rules about endpoints: each leads to the node that reports the role, not to the one merely chosen."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.reported import is_up, replicates
from controlplane.domain.topology import Node, NodeGroup
from controlplane.planner.decisions import Decision, GiveEndpoints, PublishPrimary, SpreadReaders
from controlplane.planner.situation import Situation


def give_endpoints(now: Situation) -> Iterator[Decision]:
    """A replication group has a primary and a reader address, and an agent that spreads its readers.

    A Memcached cluster has a configuration address, and an agent that answers there.
    """
    topology = now.topology
    if not (topology.has_endpoints or topology.is_memcached) or topology.reader_agent is not None or topology.deleting:
        return
    spreads = min((agent.id for agent in now.agents if agent.heard), default=None)
    if spreads is not None:
        yield GiveEndpoints(spreads, because=f"agent {spreads} is the first by name")


def publish_primary(now: Situation) -> Iterator[Decision]:
    """The primary endpoint leads to the node that reports the role at the present epoch.

    The first primary of a new group need not report first: nobody has ever served that address, and the engine binds it only in
    its role. Bound before replicas link, it does not cut off any that are about to.
    """
    topology = now.topology
    if topology.primary_address is None or topology.deleting:
        return
    for group in topology.node_groups:
        node = group.primary_node
        seen = now.reported.of(node) if node else None
        if node is None or group.holder == node.id or group.home:
            continue
        if _is_first(now, group, node):
            yield PublishPrimary(group.id, node.id, because=f"{node.id} is the first primary of a new group")
        elif seen is not None and is_up(node, seen) and seen.role == "primary" and seen.epoch == group.epoch:
            yield PublishPrimary(group.id, node.id, because=f"{node.id} reports primary at epoch {group.epoch}")


def _is_first(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether nobody was ever primary of this group, not even for a boot."""
    return now.topology.announced_at is None and group.epoch == 1 and node.boot == 1 and node.placement is not None


def spread_readers(now: Situation) -> Iterator[Decision]:
    """The reader endpoint is spread over the replicas that are in sync, or leads to the primary while there are none."""
    topology = now.topology
    if topology.reader_address is None or topology.deleting:
        return
    wanted = tuple(backend for group in topology.node_groups for backend in _backends(now, group))
    if wanted and wanted != topology.reader_backends:
        yield SpreadReaders(wanted, because=f"{len(wanted)} in sync")


def _backends(now: Situation, group: NodeGroup) -> list[str]:
    topology = now.topology
    in_sync = [node for node in group.replicas if replicates(topology, group, node, now.reported)]
    in_sync = [node for node in in_sync if is_up(node, now.reported.of(node))]
    primary = group.primary_node
    if not in_sync and primary is not None and is_up(primary, now.reported.of(primary)):
        in_sync = [primary]
    return [f"{node.placement.address}:{topology.port}" for node in in_sync if node.placement is not None]
