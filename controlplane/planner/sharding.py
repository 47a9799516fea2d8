"""Rules about shards: slots that have moved belong to whom they went to, and a shard that was to leave goes once it owns none."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.reported import is_up, sees_the_mesh
from controlplane.domain.resharding import SlotMove
from controlplane.domain.resources import resources_of
from controlplane.domain.slots import Slots, among, merged, number_of_slots, parsed_slots
from controlplane.domain.topology import NodeGroup
from controlplane.planner.decisions import BeginResharding, Decision, DismissGroup, DropResharding, LandSlots, LookAgain
from controlplane.planner.primaries import leads
from controlplane.planner.situation import Situation


def begin_resharding(now: Situation) -> Iterator[Decision]:
    """Slots move once all primaries have told anew what they hold, and that would fit into those node groups that stay.

    Only where some are to go: otherwise nobody gets more than there is. What a slot holds is taken to be its share of what its owner does.
    """
    topology, resharding = now.topology, now.topology.resharding
    if resharding is None or resharding.fits or topology.deleting:
        return
    held: dict[str, int] = {}
    for group in topology.node_groups:
        seen = now.reported.nodes.get(group.primary or "")
        if seen is None or not leads(now, group) or seen.roll < group.roll:
            return  # it will tell
        held[group.id] = seen.used_memory
    expected = dict(held)
    owned = {group.id: number_of_slots(group.slots) for group in topology.node_groups}
    for move in resharding.moves:
        expected[move.target] += held[move.source] * number_of_slots(move.slots) // max(1, owned[move.source])
    most = resources_of(topology).memory
    fullest = max((group.id for group in topology.node_groups if not group.leaving), key=lambda group: expected[group])
    told = f"node group {fullest} would hold some {expected[fullest]} bytes, and a node of type {topology.node_type} can hold {most}"
    yield DropResharding(because=told) if expected[fullest] > most else BeginResharding(because=told)


def land_slots(now: Situation) -> Iterator[Decision]:
    """A slot under way belongs to its target once the primary of either end has seen it there.

    Slots go one way. What the source has given up it does not take back, even while the target has nobody who leads.
    """
    resharding = now.topology.resharding
    if resharding is None or now.topology.deleting:
        return
    groups = {group.id: group for group in now.topology.node_groups}
    for move in resharding.moves:
        landed = among(move.under_way, merged([*_seen_by(now, groups[move.source]), *_seen_by(now, groups[move.target])]))
        if landed:
            yield LandSlots(move.source, move.target, landed, because=_progress(move, landed))


def _seen_by(now: Situation, group: NodeGroup) -> Slots:
    """The slots under way that the primary of a node group has seen with their target."""
    seen = now.reported.nodes.get(group.primary or "")
    return parsed_slots(seen.arrived) if seen is not None and seen.arrived and leads(now, group) else ()


def _progress(move: SlotMove, landed: Slots) -> str:
    there = number_of_slots(move.landed) + number_of_slots(landed)
    return f"{there} of {number_of_slots(move.slots)} slots have gone from {move.source} to {move.target}"


def dismiss_empty_groups(now: Situation) -> Iterator[Decision]:
    """A node group that was to leave goes once it owns no slot, everybody knows, and clients had time to ask who does instead."""
    if now.topology.deleting:
        return
    moves = now.topology.resharding.moves if now.topology.resharding else ()
    for group in now.topology.node_groups:
        if not group.leaving or group.slots or not group.staying or any(group.id in (move.source, move.target) for move in moves):
            continue
        until = (group.emptied_at or now.now) + now.policy.linger
        if until > now.now:
            yield LookAgain(until, because=f"clients of node group {group.id} are still being sent on")
        elif _all_know(now, group):
            yield DismissGroup(group.id, because="it owns no slots any more")


def _all_know(now: Situation, leaver: NodeGroup) -> bool:
    """Whether every engine that runs in the other node groups sees the slots where they are."""
    for group in now.topology.node_groups:
        for node in group.staying if group.id != leaver.id else ():
            seen = now.reported.of(node)
            if seen is not None and is_up(node, seen) and not sees_the_mesh(now.topology, seen):
                return False
    return True
