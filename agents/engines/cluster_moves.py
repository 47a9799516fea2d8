"""Slots on their way from one shard to another, as one engine sees them: which to claim, which have arrived, what a takeover must say.

Until all slots of a move have landed, each of the others may be with either shard: a migration goes on while a node crashes, and only the
engines know how far it has come. So nobody claims back what the target owns, and a node that takes over from a crashed primary asks the
other end first: what it had not heard itself would come back to it, empty, and be lost there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from agents.engines.slot_ranges import Ranges, bounds, parsed_ranges, ranges_of, set_of, shown_ranges
from api_schemas.agent.node import Mesh, MeshMember, MeshMove

Command = tuple[str, ...]
_OPEN = re.compile(r"\[(\d+)-([<>])-([0-9a-f]{40})\]")


@dataclass(frozen=True, slots=True)
class Said:
    """What a node says on the bus: the slots it owns, those it exports to others or imports from them, key by key, and what others own."""

    owned: Ranges
    exports: dict[int, str]
    imports: dict[int, str]
    others: dict[str, Ranges]


def said_in(nodes: str) -> Said:
    """What an answer to CLUSTER NODES says."""
    owned: Ranges = ()
    opened: list[re.Match[str]] = []
    others: dict[str, Ranges] = {}
    for line in nodes.splitlines():
        name, _, flags, *rest = line.split()
        words = rest[5:]
        slots = parsed_ranges(",".join(word for word in words if not word.startswith("[")))
        if "myself" in flags:
            owned, opened = slots, [match for word in words if (match := _OPEN.fullmatch(word))]
        elif slots:
            others[name] = slots
    return Said(
        owned,
        exports={int(match[1]): match[3] for match in opened if match[2] == ">"},
        imports={int(match[1]): match[3] for match in opened if match[2] == "<"},
        others=others,
    )


def under_way(move: MeshMove) -> frozenset[int]:
    """The slots of a move that have not landed."""
    return set_of(parsed_ranges(move.slots)) - set_of(parsed_ranges(move.landed))


def mine(mesh: Mesh) -> MeshMember | None:
    """The member that the spec is for."""
    return next((member for member in mesh.members if member.id == mesh.me), None)


def members_of(mesh: Mesh, shard: str) -> set[str]:
    """The bus ids of a shard's nodes."""
    return {member.id for member in mesh.members if member.shard == shard}


def leader_of(mesh: Mesh, shard: str) -> MeshMember | None:
    """The primary of a shard, as it shall be."""
    return next((member for member in mesh.members if member.shard == shard and member.follows is None), None)


def loose_slots(mesh: Mesh) -> dict[str, set[int]]:
    """By the bus id of a primary, the slots that it may own or not for now."""
    loose: dict[str, set[int]] = {}
    for move in mesh.moves:
        for shard in (move.source, move.target):
            leader = leader_of(mesh, shard)
            if leader is not None:
                loose.setdefault(leader.id, set()).update(set_of(parsed_ranges(move.slots)))
    return loose


def settled_slots(mesh: Mesh, me: MeshMember) -> frozenset[int]:
    """The slots that a primary shall own whatever is under way: its own, and those that have landed with it."""
    landed = (set_of(parsed_ranges(move.landed)) for move in mesh.moves if move.target == me.shard)
    return set_of(parsed_ranges(me.slots)).union(*landed)


def unsure_slots(mesh: Mesh, me: MeshMember, owners: Mapping[int, str], gone: Collection[int], linked: Collection[str]) -> set[int]:
    """Of the slots under way from a primary, those that it shall own after all, since they are not with the target either.

    ``owners`` says who is seen to own a slot, ``gone`` are those that were seen with the target before, ``linked`` are the bus ids of
    those it hears. What nobody owns may be with a target that was not heard yet.
    """
    found: set[int] = set()
    for move in mesh.moves:
        if move.source != me.shard:
            continue
        target, leader = members_of(mesh, move.target), leader_of(mesh, move.target)
        is_heard = leader is not None and leader.id in linked
        for slot in under_way(move).difference(gone):
            owner = owners.get(slot)
            if owner not in target and (owner is not None or is_heard):
                found.add(slot)
    return found


Route = tuple[str, str, str]
"""What tells one move from another: from which shard, to which, and all its slots."""


def arrived(mesh: Mesh, me: MeshMember, owners: Mapping[int, str]) -> dict[Route, set[int]]:
    """The slots under way, from or to this primary, that it sees with the target, by their move."""
    found: dict[Route, set[int]] = {}
    for move in mesh.moves:
        if move.source == me.shard:
            there = members_of(mesh, move.target)
        elif move.target == me.shard:
            there = {me.id}
        else:
            continue
        found[move.source, move.target, move.slots] = {slot for slot in under_way(move) if owners.get(slot) in there}
    return found


def expected(mesh: Mesh) -> set[int]:
    """The slots under way from or to the shard of the node that this mesh is for."""
    shard = next((member.shard for member in mesh.members if member.id == mesh.me), None)
    return set().union(*(under_way(move) for move in mesh.moves if shard in (move.source, move.target)))


def unowned(mesh: Mesh, owners: Mapping[int, str]) -> dict[str, set[int]]:
    """By the bus id of a move's target, the slots of it that are seen with neither end: clients would find them served by nobody."""
    found: dict[str, set[int]] = {}
    for move in mesh.moves:
        ends = [leader for shard in (move.source, move.target) if (leader := leader_of(mesh, shard)) is not None]
        ids = {leader.id for leader in ends}
        lost = {slot for slot in set_of(parsed_ranges(move.slots)) if owners.get(slot) not in ids}
        if lost and ends:
            found.setdefault(ends[-1].id, set()).update(lost)
    return found


def known_slots(mesh: Mesh, member: MeshMember) -> str:
    """A member's slots for a node that starts: with what is under way still with its source, as far as is known."""
    if member.follows is not None or not mesh.moves:
        return member.slots
    slots = settled_slots(mesh, member)
    if member.id != mesh.me:
        for move in mesh.moves:
            if move.source == member.shard:
                slots |= under_way(move)
    return shown_ranges(ranges_of(slots))


# ---- a takeover in the middle of a move


def ends_to_ask(mesh: Mesh) -> list[MeshMember]:
    """The primaries of the other shards that slots are under way from or to."""
    me = mine(mesh)
    if me is None:
        return []
    shards = [move.target if move.source == me.shard else move.source for move in mesh.moves if me.shard in (move.source, move.target)]
    return [leader for shard in shards if (leader := leader_of(mesh, shard)) is not None]


def around_a_takeover(mesh: Mesh, owners: Mapping[int, str], said: Mapping[str, Said]) -> tuple[list[Command], list[Command]]:
    """What the engine must be told right before and right after it takes over, by what the other ends say of themselves.

    Before: not to claim what has gone to a target. After: who has that, what a source had given to the former primary, and which slots
    were just being moved key by key, so that clients are sent on to the keys that are there already.
    """
    me = next(member for member in mesh.members if member.id == mesh.me)
    before: list[Command] = []
    after: list[Command] = []
    for move in mesh.moves:
        end = leader_of(mesh, move.target if move.source == me.shard else move.source)
        if me.shard not in (move.source, move.target) or end is None or end.id not in said:
            continue
        there, moving = said[end.id], under_way(move)
        if move.source == me.shard:
            theirs = moving & set_of(there.owned)
            before += _slots("DELSLOTSRANGE", {slot for slot in theirs if owners.get(slot) not in (None, end.id)})
            after += [("CLUSTER", "SETSLOT", str(slot), "NODE", end.id) for slot in sorted(theirs)]
            after += [("CLUSTER", "SETSLOT", str(slot), "MIGRATING", end.id) for slot in sorted((moving - theirs) & there.imports.keys())]
        else:
            mine = members_of(mesh, me.shard)
            given = set().union(*(set_of(slots) for node, slots in there.others.items() if node in mine)) & moving
            unheard = {slot for slot in given if owners.get(slot) not in mine}
            after += [*_slots("DELSLOTSRANGE", {slot for slot in unheard if slot in owners}), *_slots("ADDSLOTSRANGE", unheard)]
            importing = {slot for slot, target in there.exports.items() if target in mine and slot in moving}
            after += [("CLUSTER", "SETSLOT", str(slot), "IMPORTING", end.id) for slot in sorted(importing)]
    return before, after


def _slots(command: str, slots: set[int]) -> Iterator[Command]:
    if slots:
        yield ("CLUSTER", command, *bounds(ranges_of(slots)))
