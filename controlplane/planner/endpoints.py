"""Rules about endpoints: each leads to the node that reports the role, not to the one merely chosen."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.reported import does_duty, is_down, is_up, replicates
from controlplane.domain.topology import Node, NodeGroup
from controlplane.planner.decisions import Decision, GiveBackAddresses, GiveEndpoints, PublishConfiguration, PublishPrimary, SpreadReaders
from controlplane.planner.primaries import leads
from controlplane.planner.situation import Situation


def give_endpoints(now: Situation) -> Iterator[Decision]:
    """A topology has every stable address it needs, and where one of them is spread over nodes, an agent that does it."""
    topology = now.topology
    if topology.is_addressed or topology.deleting:
        return
    spreads = min((agent.id for agent in now.agents if agent.heard), default=None)
    if not topology.is_spread:
        yield GiveEndpoints(None, because="its one endpoint is bound by its nodes")
    elif spreads is not None:
        yield GiveEndpoints(spreads, because=f"agent {spreads} is the first by name")


def give_back_addresses(now: Situation) -> Iterator[Decision]:
    """An endpoint that there shall be no more is forgotten once nobody serves it."""
    topology, route = now.topology, now.reported.route
    if not topology.has_too_many_addresses or topology.deleting:
        return
    gone = set() if topology.has_endpoints else {topology.primary_address}
    gone |= set() if topology.has_configuration_endpoint else {topology.configuration_address}
    held = any(gone & seen.holds for seen in now.reported.nodes.values())
    served = not topology.has_endpoints and topology.reader_agent is not None and route is not None and not route.gone
    if not held and not served:
        yield GiveBackAddresses(because=f"cluster mode is {topology.cluster_mode}, and nobody serves there any more")


def publish_primary(now: Situation) -> Iterator[Decision]:
    """The primary endpoint leads to the node that reports the role at the present epoch.

    The first primary of a new group need not report first: nobody has ever served that address, and the engine binds it only in
    its role (a name leads to who reports it). Bound before replicas link, it does not cut off any that are about to.
    """
    topology = now.topology
    if not topology.can_publish or topology.deleting:
        return
    for group in topology.node_groups:
        node = group.primary_node
        if node is None or group.holder == node.id or group.home:
            continue
        if _is_first(now, group, node):
            yield PublishPrimary(group.id, node.id, because=f"{node.id} is the first primary of a new group")
        elif leads(now, group):
            yield PublishPrimary(group.id, node.id, because=f"{node.id} reports primary at epoch {group.epoch}")


def _is_first(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether nobody was ever primary of this group, not even for a boot."""
    return now.topology.announced_at is None and group.epoch == 1 and node.boot == 1 and node.placement is not None


def publish_configuration(now: Situation) -> Iterator[Decision]:
    """The configuration endpoint of a group in cluster mode leads to a node that can answer; it stays while that one can."""
    topology = now.topology
    if topology.configuration_address is None or not topology.has_bus or topology.deleting:
        return
    holder = topology.node(topology.configuration_holder) if topology.configuration_holder else None
    is_there = holder is not None and not _is_to_go(now, holder) and not _is_away(now, holder)
    if holder is not None and is_there and topology.is_clustered(holder):
        return
    best = min(_answering(now), default=None)
    if best is not None:
        yield PublishConfiguration(best[-1], because=f"{best[-1]} answers")
    elif holder is None and topology.announced_at is None:
        first = topology.node_groups[0].primary_node
        if first is not None and first.placement is not None and not _is_away(now, first):
            yield PublishConfiguration(first.id, because=f"{first.id} is the first primary of a new group")


def _is_to_go(now: Situation, node: Node) -> bool:
    """Whether a node is on its way out, or will be with its whole node group."""
    return node.leaving or now.topology.group_of(node.id).leaving


def _is_away(now: Situation, node: Node) -> bool:
    """Whether a node's process ended, or is being started again."""
    seen = now.reported.of(node)
    return now.silent_since(node) is not None or (seen is not None and (is_down(node, seen) or seen.boot < node.boot))


def _answering(now: Situation) -> Iterator[tuple[bool, str]]:
    """The nodes that run, those that do their duty before the others, then the lowest id."""
    for group in now.topology.node_groups:
        for node in group.staying if not group.leaving else ():
            if is_up(node, now.reported.of(node)) and now.silent_since(node) is None and now.topology.is_clustered(node):
                yield not does_duty(now.topology, group, node, now.reported), node.id


def spread_readers(now: Situation) -> Iterator[Decision]:
    """The reader endpoint is spread over the replicas that are in sync, or leads to the primary while there are none."""
    topology = now.topology
    if not topology.can_publish or topology.deleting:
        return
    wanted = tuple(backend for group in topology.node_groups for backend in _backends(now, group))
    if wanted and wanted != topology.reader_backends:
        yield SpreadReaders(wanted, because=f"{len(wanted)} in sync")


def _backends(now: Situation, group: NodeGroup) -> list[str]:
    topology = now.topology
    reading = [node for node in group.replicas if not node.withdrawn and not node.temporary]
    in_sync = [node for node in reading if replicates(topology, group, node, now.reported)]
    in_sync = [node for node in in_sync if is_up(node, now.reported.of(node)) and now.silent_since(node) is None]
    primary = group.primary_node
    if not in_sync and primary is not None and is_up(primary, now.reported.of(primary)):
        in_sync = [primary]
    return [f"{node.placement.address}:{topology.port}" for node in in_sync if node.placement is not None]
