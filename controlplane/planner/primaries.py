"""Rules about primaries: every node group has one, the best of its replicas when the old one is lost."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.reported import does_duty, is_down, is_up
from controlplane.domain.topology import Node, NodeGroup
from controlplane.planner.decisions import Decision, ElectPrimary, LookAgain
from controlplane.planner.situation import Situation


def elect_primaries(now: Situation) -> Iterator[Decision]:
    """Give every node group that lost its primary the best of its replicas, once all that live have told how far they came.

    With automatic failover off the replica only stands in, unpublished, until the lost node is rebuilt in its place.
    """
    for group in now.topology.node_groups:
        lost = group.primary_node
        if lost is None or lost.leaving or not is_down(lost, now.reported.of(lost)):
            continue
        candidates = ranked(now, group)
        if not candidates:
            continue
        if waiting := _still_to_report(now, group, lost):
            yield LookAgain(now.seen_at[lost.id] + now.policy.settle, because=f"{waiting} has not reported since the loss")
            continue
        best = candidates[0]
        home = None if now.topology.settings.automatic_failover else group.home or lost.id
        why = f"{lost.id} is lost; most bytes replicated ({now.reported.nodes[best.id].offset})"
        yield ElectPrimary(group.id, best.id, group.epoch + 1, home, because=why)


def hand_back(now: Situation) -> Iterator[Decision]:
    """A primary that was rebuilt in place becomes primary again once it has all data of the replica that stood in."""
    for group in now.topology.node_groups:
        home = group.node(group.home) if group.home else None
        if home is not None and home.id != group.primary and does_duty(now.topology, group, home, now.reported):
            yield ElectPrimary(group.id, home.id, group.epoch + 1, None, because=f"{home.id} is rebuilt in its place")


def ranked(now: Situation, group: NodeGroup) -> list[Node]:
    """Best first: proven replicas, then the most bytes replicated, then the lowest id so that every planner agrees.

    A replica that has replicated nothing has nothing to offer and is left out.
    """
    seen_primary = now.reported.nodes.get(group.primary or "")
    proven = seen_primary.proven if seen_primary else frozenset()

    def order(node: Node) -> tuple[bool, int, str]:
        return (now.topology.key(node.id) not in proven, -now.reported.nodes[node.id].offset, node.id)

    return sorted((node for node in group.replicas if _has_data(now, group, node)), key=order)


def _has_data(now: Situation, group: NodeGroup, node: Node) -> bool:
    seen = now.reported.of(node)
    return seen is not None and is_up(node, seen) and seen.offset > 0 and seen.role == "replica" and seen.epoch == group.epoch


def _still_to_report(now: Situation, group: NodeGroup, lost: Node) -> str | None:
    """The id of a living replica whose newest report is older than the loss, while there is still time to wait for it."""
    since = now.seen_at.get(lost.id)
    if since is None or now.now >= since + now.policy.settle:
        return None
    for node in group.replicas:
        seen = now.reported.of(node)
        if is_up(node, seen) and seen is not None and seen.link_up:
            return node.id
    return None
