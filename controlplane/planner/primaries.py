"""Rules about primaries: every node group has one, the best of its replicas when the old one is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from controlplane.domain.elections import Candidate
from controlplane.domain.reported import does_duty, holds_endpoint, is_down, is_up
from controlplane.domain.topology import Handover, Node, NodeGroup
from controlplane.planner.decisions import CallRoll, ChooseHeir, Decision, DropHandover, ElectPrimary, LookAgain, RebuildFormer
from controlplane.planner.situation import Situation


def call_roll(now: Situation) -> Iterator[Decision]:
    """Every node of a group that lost its primary is asked anew how far it came: what was known before the loss is stale."""
    for group in now.topology.node_groups:
        lost = lost_primary(now, group)
        if lost is not None and now.topology.seed is None and group.replicas and group.roll_for != _loss(now, lost):
            yield CallRoll(group.id, _loss(now, lost), because=f"{lost.id} is lost")


def elect_primaries(now: Situation) -> Iterator[Decision]:
    """Give every node group that lost its primary the best of its replicas, once all that live have answered the roll.

    With automatic failover off the replica only stands in, unpublished, until the lost node is rebuilt in its place. Before a topology that
    begins with data is announced nobody takes over: its primary begins with all of that again.
    """
    for group in now.topology.node_groups:
        lost = lost_primary(now, group)
        if lost is None or now.topology.seed is not None or group.roll_for != _loss(now, lost):
            continue
        if witness := _witness(now, group, lost):
            yield LookAgain(now.now + now.policy.settle, because=f"{witness.id} still hears {lost.id}, whose agent is silent")
            continue
        candidates = ranked(now, group)
        if not candidates:
            continue
        silent = [node for node in absent(now, group) if now.silent_since(node) is None]
        until = _deadline(now, group, now.policy.settle)
        if silent and until > now.now:
            yield LookAgain(until, because=f"{silent[0].id} has not answered the roll")
            continue
        best = candidates[0]
        why = f"{lost.id} is lost; most bytes replicated ({now.reported.nodes[best.id].offset})"
        among = tuple(_candidate(now, group, node) for node in candidates)
        yield ElectPrimary(group.id, best.id, group.epoch + 1, _home_after(now, group, lost, best), because=why, candidates=among)


def hand_back(now: Situation) -> Iterator[Decision]:
    """A primary that was rebuilt in place becomes primary again once it has all data of the replica that stood in."""
    for group in now.topology.node_groups:
        home = group.node(group.home) if group.home else None
        if home is None or home.leaving or home.id == group.primary:
            continue
        if does_duty(now.topology, group, home, now.reported):
            yield ElectPrimary(group.id, home.id, group.epoch + 1, None, because=f"{home.id} is rebuilt in its place")


def hand_over(now: Situation) -> Iterator[Decision]:
    """A primary that a caller wants replaced yields to a replica that has every write, and only then is that one elected."""
    for group in now.topology.node_groups:
        handover, primary = group.handover, group.primary_node
        if handover is None or primary is None or group.home or lost_primary(now, group) is not None:
            continue
        if handover.leaver != primary.id:
            yield DropHandover(group.id, because=f"{primary.id} is primary already")
            continue
        yield from _hand_over(now, group, handover, primary)


def _hand_over(now: Situation, group: NodeGroup, handover: Handover, primary: Node) -> Iterator[Decision]:
    heirs = [node for node in group.replicas if handover.heir in (None, node.id) and does_duty(now.topology, group, node, now.reported)]
    seen = now.reported.of(primary)
    until = handover.asked_at + now.policy.handover_within
    if until <= now.now:
        yield DropHandover(group.id, because=f"no replica was ready within {now.policy.handover_within.seconds} s")
        return
    yield LookAgain(until, because=f"{primary.id} is to hand over")
    if not heirs or seen is None:
        return
    best = min(heirs, key=lambda node: (-now.reported.nodes[node.id].offset, node.id))
    if handover.heir is None:
        yield ChooseHeir(group.id, best.id, because=f"in sync; most bytes replicated ({now.reported.nodes[best.id].offset})")
    elif seen.yielded_to == now.topology.key(best) and seen.epoch == group.epoch and _still_yields(now, primary):
        among = tuple(_candidate(now, group, node) for node in group.replicas if now.reported.of(node) is not None)
        why = f"{handover.because}; {best.id} has every write of {primary.id}"
        yield ElectPrimary(group.id, best.id, group.epoch + 1, None, because=why, candidates=among)


def _still_yields(now: Situation, primary: Node) -> bool:
    """Whether its word is so young that the primary cannot have taken writes again since, although nothing was heard of it."""
    return now.now - now.seen_at.get(primary.id, now.now) < now.policy.yields_for


def rebuild_formers(now: Situation) -> Iterator[Decision]:
    """A primary whose failover was tested is started again, emptied, once its heir leads: as if it had failed.

    What it has is not thrown away while its heir alone has it as well, unless they are only two.
    """
    for group in now.topology.node_groups:
        former = group.node(group.rebuild) if group.rebuild else None
        if former is None or former.leaving or former.id == group.primary or not serves(now, group):
            continue
        others = [node for node in group.replicas if node.id != former.id]
        if not others or any(does_duty(now.topology, group, node, now.reported) for node in others):
            yield RebuildFormer(group.id, former.id, former.boot + 1, because="its failover was tested")


def lost_primary(now: Situation, group: NodeGroup) -> Node | None:
    """The group's primary if it is known to be dead, or its agent is silent and somebody may take over; None while it lives, or leaves.

    With automatic failover off nobody takes over from a primary that may be well: it is waited for.
    """
    primary = group.primary_node
    if primary is None or primary.leaving:
        return None
    if is_down(primary, now.reported.of(primary)):
        return primary
    is_silent = now.silent_since(primary) is not None and primary.joined_at is not None
    return primary if is_silent and now.topology.settings.automatic_failover else None


def _witness(now: Situation, group: NodeGroup, lost: Node) -> Node | None:
    """A replica in reach that has answered the roll and is still linked to a primary whose agent is silent: only the agent is lost."""
    if is_down(lost, now.reported.of(lost)):
        return None
    for node in group.replicas:
        seen = now.reported.of(node)
        if now.silent_since(node) is None and seen is not None and is_up(node, seen) and seen.roll >= group.roll and seen.link_up:
            return node
    return None


def leads(now: Situation, group: NodeGroup) -> bool:
    """Whether the group's primary reports its role at the present epoch."""
    primary = group.primary_node
    seen = now.reported.of(primary) if primary else None
    return primary is not None and is_up(primary, seen) and seen is not None and seen.role == "primary" and seen.epoch == group.epoch


def serves(now: Situation, group: NodeGroup) -> bool:
    """Whether the group's primary leads and has bound what endpoint was published to it.

    A replica that starts has its primary fork, and the child holds the listeners that the primary is about to open anew.
    """
    has_bound = not now.topology.can_publish or group.holder != group.primary or holds_endpoint(now.topology, group, now.reported)
    return leads(now, group) and has_bound


def may_start_empty(now: Situation, group: NodeGroup, lost: Node) -> bool:
    """Whether no replica can have the data of a lost primary: each is dead, or has answered the roll and has none.

    One that does not answer is waited for a long time: starting the primary empty would wipe it. One that begins with data does not start
    empty.
    """
    if not group.replicas or now.topology.seed is not None:
        return True
    if group.roll_for != _loss(now, lost) or ranked(now, group):
        return False
    return not absent(now, group) or _deadline(now, group, now.policy.last_resort) <= now.now


def ranked(now: Situation, group: NodeGroup) -> list[Node]:
    """Best first: who answered the roll, then proven replicas, then the newest epoch, then the most bytes replicated, then the lowest id.

    One that has replicated nothing has nothing to offer and is left out. One of an earlier epoch, which has not followed the lost
    primary yet but followed its predecessor, or is that, may be the last that has the data.
    """
    seen_primary = now.reported.nodes.get(group.primary or "")
    proven = seen_primary.proven if seen_primary else frozenset()

    def order(node: Node) -> tuple[bool, bool, int, int, str]:
        seen = now.reported.nodes[node.id]
        return (seen.roll < group.roll, now.topology.key(node) not in proven, -seen.epoch, -seen.offset, node.id)

    return sorted((node for node in group.replicas if _has_data(now, node) and now.silent_since(node) is None), key=order)


def absent(now: Situation, group: NodeGroup) -> list[Node]:
    """The replicas that may have data and have not answered the roll. Those that are dead have none.

    One that was last seen in an earlier boot may have started, and copied everything, unseen since then.
    """
    return [node for node in group.replicas if _may_hold_data_unsaid(now, group, node)]


def _may_hold_data_unsaid(now: Situation, group: NodeGroup, node: Node) -> bool:
    seen = now.reported.of(node)
    if seen is None:
        return node.placement is not None
    return not is_down(node, seen) and seen.roll < group.roll


def _has_data(now: Situation, node: Node) -> bool:
    """Whether it has replicated anything, or was primary itself; one that has only just started is neither replica nor of any epoch."""
    seen = now.reported.of(node)
    return seen is not None and is_up(node, seen) and seen.offset > 0 and (seen.role == "replica" or seen.epoch > 0)


def _home_after(now: Situation, group: NodeGroup, lost: Node, best: Node) -> str | None:
    """Whom the elected replica stands in for: nobody when failover is automatic, or when it is itself the one that was to return."""
    home = group.home or lost.id
    if lost.temporary:
        return None  # nobody is rebuilt in its place
    return None if now.topology.settings.automatic_failover or home == best.id else home


def _candidate(now: Situation, group: NodeGroup, node: Node) -> Candidate:
    seen, seen_primary = now.reported.nodes[node.id], now.reported.nodes.get(group.primary or "")
    proven = seen_primary is not None and now.topology.key(node) in seen_primary.proven
    return Candidate(node.id, seen.roll >= group.roll, proven, seen.offset)


def _loss(now: Situation, lost: Node) -> str:
    """Names one loss: of a boot, or for as long as an agent is silent."""
    if is_down(lost, now.reported.of(lost)):
        return f"{lost.id}/{lost.boot}"
    return f"{lost.id}/{lost.boot}/silent since {now.silent_since(lost)}"


def _deadline(now: Situation, group: NodeGroup, patience: timedelta) -> datetime:
    return (group.roll_at or now.now) + patience
