"""Rules about nodes: when they start again, when they count as joined, when they are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from controlplane.domain.reported import GONE, does_duty, is_down, is_given_up
from controlplane.domain.topology import Node, NodeGroup, Restart
from controlplane.planner.decisions import BootNode, CloseRestart, Decision, LookAgain, NoteOutOfMemory, RemoveNode, WelcomeNode
from controlplane.planner.primaries import may_start_empty, ranked, serves
from controlplane.planner.situation import Situation


def is_expelled(now: Situation, node: Node) -> bool:
    """Whether a foreign process listens at the node's address. To give it another is to start it again, emptied."""
    seen = now.reported.of(node)
    return seen is not None and seen.address_taken and is_down(node, seen)


def start_dead_nodes(now: Situation) -> Iterator[Decision]:
    """Every node whose process ended is started again, emptied; a primary only where no living replica has its data.

    A replica waits until its primary serves, for a while at least: its first copy would get in the way of the endpoint that moves. In
    cluster mode it waits however long that takes: what it says of itself on the bus would have others drop the slots of a former
    primary before they have heard of the new one, and clients would see them served by nobody.
    """
    if now.topology.deleting and now.topology.retained is None:
        return
    for group in now.topology.node_groups:
        for node in group.staying:
            seen = now.reported.of(node)
            if seen is not None and is_down(node, seen) and not _is_given_up(now, node):
                yield from _start_again(now, group, node)


def _start_again(now: Situation, group: NodeGroup, node: Node) -> Iterator[Decision]:
    if _due(now, node) > now.now:
        yield LookAgain(_due(now, node), because=f"{node.id} could not be started; trying again")
    elif may_start(now, group, node):
        if not is_expelled(now, node):
            saved = "; no living replica has its data" if node.id == group.primary else ""
            yield BootNode(node.id, node.boot + 1, because=f"{_cause(now, node)}{saved}")
    elif node.id != group.primary:
        if not now.topology.has_bus:
            yield LookAgain(_impatient_at(now, node), because=f"the primary of {node.id} does not serve yet")
    elif group.roll_at is not None and not ranked(now, group):
        until = group.roll_at + now.policy.last_resort
        if until > now.now:  # else the roll is one for an earlier loss
            yield LookAgain(until, because=f"a replica may have the data of {node.id}")


def may_start(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether a dead node may be started again at this moment, emptied."""
    if _is_given_up(now, node) or _due(now, node) > now.now:
        return False
    if node.id == group.primary:
        return may_start_empty(now, group, node)
    return group.primary is None or serves(now, group) or (not now.topology.has_bus and _impatient_at(now, node) <= now.now)


def _impatient_at(now: Situation, node: Node) -> datetime:
    """When a dead replica no longer waits for its primary to serve."""
    return now.seen_at.get(node.id, now.now) + now.policy.settle


def _is_given_up(now: Situation, node: Node) -> bool:
    return now.topology.announced_at is None and is_given_up(node, now.reported.of(node), now.policy.most_boots)


def _due(now: Situation, node: Node) -> datetime:
    return now.seen_at.get(node.id, now.now) + _pause(now, node)


def _pause(now: Situation, node: Node) -> timedelta:
    """Before the next try. To be expelled from an address a few times is bad luck; more often, every address is taken."""
    seen = now.reported.of(node)
    none = timedelta(0)
    if seen is None or seen.phase != "failed" or (seen.address_taken and node.boot < now.policy.most_boots):
        return none
    tries: int = min(node.boot, 12)
    return min(now.policy.retry * (1 << tries), now.policy.longest_retry)


def _cause(now: Situation, node: Node) -> str:
    seen = now.reported.of(node)
    return (seen.problem if seen else None) or "its process ended"


def welcome_nodes(now: Situation) -> Iterator[Decision]:
    """A node counts as joined once it does all that is desired of it."""
    for group in now.topology.node_groups:
        for node in group.staying:
            if node.joined_at is None and does_duty(now.topology, group, node, now.reported):
                yield WelcomeNode(node.id, because="it runs and, as a replica, has acknowledged a write")


def close_restarts(now: Situation) -> Iterator[Decision]:
    """A restart is over once the node does its duty again."""
    for group in now.topology.node_groups:
        for node in group.staying:
            if node.restart is not None and does_duty(now.topology, group, node, now.reported):
                word = "rebooted" if node.restart is Restart.ASKED else "recovered"
                yield CloseRestart(node.id, because=f"{word}, boot {node.boot}")


def note_out_of_memory(now: Situation) -> Iterator[Decision]:
    """Whoever owns a node hears of each boot of it that ended for want of memory."""
    for node in now.topology.nodes:
        seen = now.reported.of(node)
        if seen is not None and seen.out_of_memory > node.told_out_of_memory:
            yield NoteOutOfMemory(node.id, seen.out_of_memory, because=f"boot {seen.out_of_memory} reached its container's memory limit")


def retire_leaving_nodes(now: Situation) -> Iterator[Decision]:
    """A leaving node is forgotten once its agent has left nothing of it behind, or was removed itself."""
    for node in now.topology.nodes:
        if not node.leaving:
            continue
        seen, agent = now.reported.of(node), now.agent_of(node)
        if node.placement is None:
            yield RemoveNode(node.id, because="it was never placed")
        elif agent is not None and agent.removed:
            yield RemoveNode(node.id, because=f"{agent.id}, where it lived, was removed")
        elif seen is not None and seen.phase == GONE:
            yield RemoveNode(node.id, because="its agent has removed it")


def all_up(now: Situation) -> bool:
    """Whether every staying node does its duty."""
    return all(
        does_duty(now.topology, group, node, now.reported)
        for group in now.topology.node_groups
        for node in group.staying
    )
