"""Rules about what nodes are made of: when that is to change, one after another is made anew, and a primary hands over first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from controlplane.domain.hosts import Place, Room, demand_of
from controlplane.domain.reported import does_duty, does_its_part, is_down, is_up
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import Node, NodeGroup, Renewal, Topology
from controlplane.planner.decisions import (
    AskHandover,
    BootNode,
    BringSpare,
    Decision,
    DismissSpare,
    GiveUpRenewal,
    LookAgain,
    NoteFit,
    NoteProof,
    RenewNode,
    WithdrawNode,
)
from controlplane.planner.placement import elsewhere, reason_for
from controlplane.planner.primaries import lost_primary, serves
from controlplane.planner.situation import Situation

_ASK_AGAIN = timedelta(seconds=5)
_BECAUSE = "nodes are made anew"


def renew_nodes(now: Situation) -> Iterator[Decision]:
    """Every node is made of what is desired: replicas one at a time in each node group, a primary after it has handed over.

    What would not fit is not begun with. The first node is a trial: if it cannot be had, all becomes what it was.
    """
    topology, renewal = now.topology, now.topology.renewal
    if renewal is None or topology.deleting or topology.announced_at is None:
        return
    if not renewal.fits:
        yield from _see_whether_it_fits(now)
    elif not renewal.proven and (trial := _on_trial(topology, renewal)) is not None:
        yield from _try(now, *trial)
    else:
        for group in topology.node_groups:
            decided = list(_renew(now, group))
            yield from decided
            if decided and (not renewal.proven or topology.has_bus):
                return


def boot_unled_nodes(now: Situation) -> Iterator[Decision]:
    """A node in cluster mode cannot be told to follow a primary that is not: it is started again, which it can only begin with.

    So it is after a failover while a group goes into cluster mode.
    """
    topology = now.topology
    if topology.renewal is None or topology.deleting:
        return
    for group in topology.node_groups:
        primary = group.primary_node
        if primary is None or primary.placement is None or topology.is_clustered(primary) or not serves(now, group):
            continue
        place = f"{primary.placement.address}:{topology.port}"
        for node in group.replicas:
            seen = now.reported.of(node)
            if seen is None or not is_up(node, seen) or not topology.is_clustered(node):
                continue
            if seen.follows not in (None, place) or (seen.role == "primary" and seen.epoch > 0):
                yield BootNode(node.id, node.boot + 1, because=f"{primary.id}, which it shall follow, is not in cluster mode")


def _see_whether_it_fits(now: Situation) -> Iterator[Decision]:
    """What each primary holds, as it was told after the roll was called for this, against what a new node can."""
    topology = now.topology
    most = resources_of(topology).memory
    used: dict[str, int] = {}
    apart: str | None = None
    for group in topology.node_groups:
        primary = group.primary_node
        seen = now.reported.of(primary) if primary else None
        if primary is None or seen is None or not is_up(primary, seen) or seen.role != "primary" or seen.roll < group.roll:
            return  # it will tell
        used[primary.id] = seen.used_memory
        if topology.has_bus and not topology.is_clustered(primary) and seen.databases > 1:
            apart = f"database {seen.databases - 1} of {primary.id} holds keys, and in cluster mode there is database 0 alone"
    fullest = max(used, key=lambda node: used[node])
    told = f"{fullest} uses {used[fullest]} bytes, and a node of type {topology.node_type} can hold {most}"
    if apart or used[fullest] > most:
        yield GiveUpRenewal(because=apart or told)
    else:
        yield NoteFit(because=told)


def _on_trial(topology: Topology, renewal: Renewal) -> tuple[Node, int] | None:
    """The first node of the new make, while it is there, and the boot since which it is; one that was added meanwhile is as good."""
    for node in topology.nodes:
        if node.leaving or topology.is_old(node):
            continue
        if node.id == renewal.trial:
            return node, renewal.trial_boot
        if node.joined_at is None:
            return node, 1
    return None


def _try(now: Situation, trial: Node, since: int) -> Iterator[Decision]:
    seen, tries = now.reported.of(trial), trial.boot - since + 1
    if does_duty(now.topology, now.topology.group_of(trial.id), trial, now.reported):
        yield NoteProof(trial.id, because=f"{trial.id} does its duty")
    elif is_down(trial, seen) and tries >= now.policy.most_boots:
        why = (seen.problem if seen else None) or "its process ended"
        yield GiveUpRenewal(because=f"{trial.id} could not be had in {tries} tries: {why}")


def _renew(now: Situation, group: NodeGroup) -> Iterator[Decision]:
    """The next step in one node group, unless something else goes on in it."""
    if group.handover or group.home or group.rebuild or any(now.silent_since(node) for node in group.staying):
        return
    if now.topology.has_bus and not _has_the_bus(now, group):
        return
    if group.primary is not None and (lost_primary(now, group) is not None or not serves(now, group)):
        return
    old = [node for node in group.staying if now.topology.is_old(node) and node.id != group.primary]
    ready = [node for node in old if _others_do_duty(now, group, node)]
    if ready:
        worst = min(ready, key=lambda node: (does_duty(now.topology, group, node, now.reported), node.id))
        if _is_second_copy(now, group, worst):
            yield BringSpare(group.id, because=f"while {worst.id} is made anew nobody else would have what {group.primary} has")
        else:
            yield from _renew_node(now, group, worst)
    elif not old and (primary := group.primary_node) is not None and _others_do_duty(now, group, primary):
        yield from _renew_primary(now, group, primary)


def _is_second_copy(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether a primary would be left alone with its data, as it was not before: it may have ended without a word this very moment."""
    if group.primary is None or group.spare is not None or not does_duty(now.topology, group, node, now.reported):
        return False
    return not any(other.id != node.id for other in group.replicas)


def _has_the_bus(now: Situation, group: NodeGroup) -> bool:
    """Whether the other shards are at rest: what goes on in one is seen by all on the bus, and a primary that yields is kept waiting."""
    others = (other for other in now.topology.node_groups if other.id != group.id)
    return all(other.handover is None and all(_is_at_rest(now, other, node) for node in other.staying) for other in others)


def _is_at_rest(now: Situation, group: NodeGroup, node: Node) -> bool:
    return does_its_part(now.topology, group, node, now.reported) or _is_stranded(now, group, node)


def _renew_primary(now: Situation, group: NodeGroup, primary: Node) -> Iterator[Decision]:
    """It hands over, to a stand-in if there is nobody else; one that stands in hands back, and leaves."""
    spare = group.spare
    if now.topology.is_old(primary):
        if heirs := [node for node in group.replicas if not node.withdrawn]:
            yield _hand_over(now, group, primary, heirs)
        elif not group.replicas:
            yield BringSpare(group.id, because=f"{primary.id} has no replica that could take over")
    elif spare is not None and spare.id == primary.id:
        if group.replicas:
            yield _hand_over(now, group, primary, list(group.replicas))
    elif spare is not None:
        yield DismissSpare(spare.id, because=f"{primary.id} leads again")


def _hand_over(now: Situation, group: NodeGroup, primary: Node, heirs: list[Node]) -> Decision:
    best = min(heirs, key=lambda node: (node.temporary, -now.reported.nodes[node.id].offset, node.id))
    return AskHandover(group.id, primary.id, best.id, because=_BECAUSE)


def _renew_node(now: Situation, group: NodeGroup, node: Node) -> Iterator[Decision]:
    """It gets no more readers, and once it has none it is started again, where it is if there is room."""
    if does_duty(now.topology, group, node, now.reported) and _has_readers(now, node):
        if not node.withdrawn:
            yield WithdrawNode(node.id, because=_BECAUSE)
        return
    place = _place(now, group, node)
    if place is None:
        yield LookAgain(now.now + _ASK_AGAIN, because=f"no host in {node.zone} has room for {node.id} as it shall be")
        return
    what = f"{now.topology.engine} {now.topology.engine_version} on {now.topology.node_type}"
    yield RenewNode(node.id, node.boot + 1, place.agent.id, place.binary, because=f"it shall be {what}; {reason_for(place)}")


def _has_readers(now: Situation, node: Node) -> bool:
    """Whether the reader endpoint leads to it, or is still seen to."""
    topology, route = now.topology, now.reported.route
    if not topology.can_publish or node.placement is None:
        return False
    backend = f"{node.placement.address}:{topology.port}"
    still = topology.is_spread and route is not None and backend in route.backends
    return still or backend in topology.reader_backends


def _place(now: Situation, group: NodeGroup, node: Node) -> Place | None:
    """Where it is, if there is room for what it shall be; else another host of its zone. A program that need not change does not."""
    topology, former = now.topology, node.placement
    if former is None:
        return None
    wanted, had = demand_of(topology), demand_of(topology, node.make)
    place = Room(now.agents).stay(former.agent, node.zone, wanted, instead_of=had)
    if place is None:
        return elsewhere(now, group, replace(node, make=None))
    same = (wanted.engine, wanted.version, wanted.tls) == (had.engine, had.version, had.tls)
    return replace(place, binary=former.binary) if same else place


def _others_do_duty(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether all others do. Where it does not itself, others in cluster mode see that, and are not to be blamed for it."""
    at_work = does_duty if does_duty(now.topology, group, node, now.reported) else does_its_part
    return all(
        other.id == node.id or at_work(now.topology, group, other, now.reported) or _is_stranded(now, group, other)
        for other in group.staying
    )


def _is_stranded(now: Situation, group: NodeGroup, node: Node) -> bool:
    """Whether a replica may not be able to follow a primary that was made anew: it need not, for it is made anew itself.

    So it is after a failover to a node of the newer version: the older one may not understand its snapshot. And who could not be had
    as what was wanted first is not waited for.
    """
    topology, primary = now.topology, group.primary_node
    if node.make is None or not topology.is_old(node) or node.id == group.primary:
        return False
    if topology.renewal is not None and topology.renewal.given_up:
        return primary is None or not topology.is_old(primary)
    if primary is None or topology.is_old(primary):
        return False
    return replace(node.make, node_type=topology.node_type, parameters=None) != topology.make
