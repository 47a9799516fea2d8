"""Rules about places: every node has a host in its zone, and moves to another when its host is lost or shall be emptied."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

from controlplane.domain.hosts import Place, Room, demand_of
from controlplane.domain.reported import SeenAgent, does_duty, is_down
from controlplane.domain.topology import Node, NodeGroup
from controlplane.planner.decisions import AskHandover, Decision, LookAgain, MoveNode, PlaceNode
from controlplane.planner.nodes import is_expelled, may_start
from controlplane.planner.primaries import ranked, serves
from controlplane.planner.situation import Situation

_ASK_AGAIN = timedelta(seconds=5)
"""After which a node for which there is no room is looked at again: others that leave make room without saying so."""


def place_missing_nodes(now: Situation) -> Iterator[Decision]:
    """Every desired node has an agent in its zone, with room, and a program that fits; one whose address turned out taken gets another.

    Of a topology that is to begin with data none is placed before that was checked.
    """
    if now.topology.seed is not None and not now.topology.seed.is_ready:
        return
    room = Room(now.agents)
    given: dict[str, str] = {}
    for group in now.topology.node_groups:
        for node in group.staying:
            if node.placement is None or (is_expelled(now, node) and may_start(now, group, node)):
                demand = demand_of(now.topology, node.make)
                place = room.find(node.zone, demand, _beside(room, group, node, given))
                if place is None:
                    yield LookAgain(now.now + _ASK_AGAIN, because=f"no host in {node.zone} has room for {node.id}")
                    continue
                room.take(place, demand)
                given[node.id] = place.agent.id
                yield PlaceNode(node.id, place.agent.id, place.binary, because=f"zone {node.zone}, {reason_for(place)}")


def replace_lost_nodes(now: Situation) -> Iterator[Decision]:
    """A node whose host is silent for long, or was removed, moves to another host of its zone. The last that may have data waits.

    Only the end of a host that was removed is certain: then it moves even if nobody has its data.
    """
    if now.topology.deleting:
        return
    for group in now.topology.node_groups:
        for node in group.staying:
            agent = now.agent_of(node)
            if agent is None or agent.heard:
                continue
            if _is_needed_there(now, group, node, agent):
                continue
            due = now.now if agent.removed else now.now + now.policy.lost_after - agent.silent_for
            if due > now.now:
                if elsewhere(now, group, node) is not None:
                    yield LookAgain(due, because=f"{agent.id}, where {node.id} lives, is silent")
            elif (place := elsewhere(now, group, node)) is not None:
                why = "was removed" if agent.removed else f"is silent for {agent.silent_for.total_seconds():.0f} s"
                yield MoveNode(node.id, place.agent.id, place.binary, because=f"{agent.id} {why}; {reason_for(place)}")


def _is_needed_there(now: Situation, group: NodeGroup, node: Node, agent: SeenAgent) -> bool:
    """Whether it may hold what nobody else has, or its group cannot take it back just now."""
    if now.topology.is_memcached:
        return False
    if node.id == group.primary and now.topology.seed is not None:
        return False  # what it has is what it began with
    if node.id == group.primary:
        return not agent.removed or bool(ranked(now, group)) or _awaited(now, group)
    return not serves(now, group)


def _awaited(now: Situation, group: NodeGroup) -> bool:
    """Whether a replica lives that an election could choose, although it has not told its state yet."""
    return any(now.silent_since(node) is None and not is_down(node, now.reported.of(node)) for node in group.replicas)


def drain_hosts(now: Situation) -> Iterator[Decision]:
    """Nodes leave a host that is being drained one at a time in each node group, a primary by handing over first.

    A node that is the only one with its data stays, unless it is Memcached, which has none to keep.
    """
    if now.topology.deleting or now.topology.announced_at is None or now.topology.renewal is not None:
        return  # who is made anew leaves such a host by itself, and the others once that is over
    for group in now.topology.node_groups:
        leavers = [node for node in group.staying if (agent := now.agent_of(node)) is not None and agent.draining and agent.heard]
        if leavers and group.handover is None and not group.home and _all_do_duty(now, group):
            yield from _leave(now, group, leavers)


def _leave(now: Situation, group: NodeGroup, leavers: list[Node]) -> Iterator[Decision]:
    for node in sorted(leavers, key=lambda node: node.id == group.primary):
        place = elsewhere(now, group, node)
        if place is None:
            yield LookAgain(now.now + _ASK_AGAIN, because=f"no other host in {node.zone} has room for {node.id}")
            continue
        if node.id != group.primary:
            yield MoveNode(node.id, place.agent.id, place.binary, because=f"its host is drained; {reason_for(place)}")
            return
        heirs = [other for other in group.replicas if other not in leavers]
        if heirs:
            best = min(heirs, key=lambda other: (-now.reported.nodes[other.id].offset, other.id))
            yield AskHandover(group.id, node.id, best.id, because="its host is drained")
            return


def _all_do_duty(now: Situation, group: NodeGroup) -> bool:
    return all(node.joined_at is not None and does_duty(now.topology, group, node, now.reported) for node in group.staying)


def elsewhere(now: Situation, group: NodeGroup, node: Node) -> Place | None:
    """The best place for a node where it neither is nor has left anything."""
    room = Room(now.agents)
    but = {leftover.agent for leftover in now.topology.leftovers if leftover.node == node.id}
    if node.placement is not None:
        but.add(node.placement.agent)
    return room.find(node.zone, demand_of(now.topology, node.make), _beside(room, group, node, {}), but)


def _beside(room: Room, group: NodeGroup, node: Node, given: dict[str, str]) -> Collection[str]:
    """The hosts of the other nodes of its node group, those included that were given a place in this pass."""
    agents = {other.id: other.placement.agent for other in group.staying if other.placement is not None} | given
    return [room.host_of(agent) for other, agent in agents.items() if other != node.id]


def reason_for(place: Place) -> str:
    """Why a node is placed there."""
    agent = place.agent
    if agent.memory is None:
        return "fewest nodes there"
    return f"{(agent.memory - agent.used) / 2**30:.1f} GiB free there"

