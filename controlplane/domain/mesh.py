"""The mesh of a replication group in cluster mode: who is on its cluster bus, who follows whom, who owns which slots.

Every engine shall see exactly this. A node's id on the bus is made from its key, so that nobody has to ask an engine for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from controlplane.domain.engine_versions import version_numbers
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.slots import Slots, merged, shown_slots, without
from controlplane.domain.topology import Node, NodeGroup, Topology


@dataclass(frozen=True, slots=True)
class MeshMember:
    """A node on the bus. ``follows`` is the bus id of its primary, None for a primary, which alone owns ``slots``."""

    id: str
    shard: str
    address: str
    port: int
    follows: str | None
    slots: str


@dataclass(frozen=True, slots=True)
class MeshMove:
    """Slots on their way from one shard to another, by the shards' ids; ``landed`` are those that the target owns for certain.

    They are no member's own until all have landed. They may move while the move is ``open``: both shards are there. ``atomic`` says that
    the engines of both can hand over many slots at once.
    """

    source: str
    target: str
    slots: str
    landed: str
    open: bool
    atomic: bool


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """All members that have a place, and the slots that belong to two of them for now. While nothing in it changes it is the same object.

    ``digest`` changes with what every engine shall see: not with how far the moves have come.

    ``epoch`` rises with every election in the group: what an engine's own epochs begin with, so that a node that starts anew
    does not claim slots with an epoch long past. ``outside`` is the primary of members that follow one which is not in cluster mode.
    """

    members: tuple[MeshMember, ...]
    epoch: int
    digest: str
    moves: tuple[MeshMove, ...] = ()
    outside: MeshMember | None = None


def bus_id(key: str) -> str:
    """The id of a node, or of a shard, on the bus: 40 hexadecimal digits."""
    return hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()


def mesh_of(topology: Topology) -> Mesh | None:
    """The mesh that a topology desires; None without cluster mode."""
    if not topology.has_bus and topology.renewal is None:
        return None
    made_from = (topology.node_groups, topology.resharding)
    known, mesh = _NEWEST.get(topology.uid, (None, None))
    if known is not None and known[0] is made_from[0] and known[1] is made_from[1]:
        return mesh
    made = _mesh(topology)
    if not made.members and not topology.has_bus:
        return None
    if mesh is None or (mesh.digest, mesh.epoch, mesh.moves) != (made.digest, made.epoch, made.moves):
        mesh = made
    if len(_NEWEST) >= _MOST_KEPT:
        _NEWEST.clear()
    _NEWEST[topology.uid] = (made_from, mesh)
    return mesh


_FIRST_ATOMIC = (9, 0)
"""The first Valkey that moves slots by itself, with everything in them, and hands them over in one step."""

_MOST_KEPT = 256
_NEWEST: dict[str, tuple[tuple[tuple[NodeGroup, ...], Resharding | None], Mesh]] = {}
"""The mesh that was made last for each topology, and from what: it is asked for once for each node in each pass."""


def _mesh(topology: Topology) -> Mesh:
    moves = topology.resharding.moves if topology.resharding else ()
    moving = merged(part for move in moves for part in move.slots)
    members = tuple(member for group in topology.node_groups for member in _members(topology, group, moving))
    outside = next((_member(topology, group, node, ()) for group in topology.node_groups if (node := _outside(topology, group))), None)
    told = tuple(_move(topology, move) for move in moves)
    said = [f"{each.id} {each.address}:{each.port} {each.follows} {each.slots}" for each in (*members, *filter(None, [outside]))]
    said += [f"{each.source} {each.target} {each.slots}" for each in told]
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
    return Mesh(members, sum(group.epoch for group in topology.node_groups), digest, told, outside)


def shard_id(topology: Topology, group: str) -> str:
    """The id of a node group on the bus."""
    return bus_id(f"{topology.uid}.{group}")


def _move(topology: Topology, move: SlotMove) -> MeshMove:
    may_move = topology.resharding is not None and topology.resharding.fits
    ends = [group for group in topology.node_groups if group.id in (move.source, move.target)]
    return MeshMove(
        source=shard_id(topology, move.source),
        target=shard_id(topology, move.target),
        slots=shown_slots(move.slots),
        landed=shown_slots(move.landed),
        open=may_move and all(node.joined_at is not None for group in ends for node in group.staying),
        atomic=all(moves_atomically(group.primary_node) for group in ends),
    )


def moves_atomically(primary: Node | None) -> bool:
    """Whether the primary's engine moves many slots at once by itself, as a replica would be filled."""
    if primary is None or primary.placement is None or primary.placement.binary.engine != "valkey":
        return False
    return version_numbers(primary.placement.binary.version) >= _FIRST_ATOMIC


def _members(topology: Topology, group: NodeGroup, moving: Slots) -> list[MeshMember]:
    """A node that is leaving is on the bus for as long as it runs."""
    there = (node for node in group.nodes if topology.is_clustered(node) and not topology.shall_end(node))
    return [member for node in there if (member := _member(topology, group, node, moving))]


def _outside(topology: Topology, group: NodeGroup) -> Node | None:
    """The group's primary while it is not in cluster mode, although others are or will be."""
    primary = group.primary_node
    return None if primary is None or topology.is_clustered(primary) else primary


def _member(topology: Topology, group: NodeGroup, node: Node, moving: Slots) -> MeshMember | None:
    if node.placement is None:
        return None
    is_primary = node.id == group.primary
    return MeshMember(
        id=bus_id(topology.key(node)),
        shard=shard_id(topology, group.id),
        address=node.placement.address,
        port=topology.port,
        follows=None if is_primary or group.primary is None else bus_id(topology.key(group.primary)),
        slots=shown_slots(without(group.slots, moving)) if is_primary else "",
    )
