"""The mesh of a replication group in cluster mode: who is on its cluster bus, who follows whom, who owns which slots.

Every engine shall see exactly this. A node's id on the bus is made from its key, so that nobody has to ask an engine for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from controlplane.domain.slots import shown_slots
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


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """All members that have a place. ``digest`` changes whenever anything in it does, and while it does not it is the same object.

    ``epoch`` rises with every election in the group: what an engine's own epochs begin with, so that a node that starts anew
    does not claim slots with an epoch long past. ``outside`` is the primary of members that follow one which is not in cluster mode.
    """

    members: tuple[MeshMember, ...]
    epoch: int
    digest: str
    outside: MeshMember | None = None


def bus_id(key: str) -> str:
    """The id of a node, or of a shard, on the bus: 40 hexadecimal digits."""
    return hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()


def mesh_of(topology: Topology) -> Mesh | None:
    """The mesh that a topology desires; None without cluster mode."""
    if not topology.has_bus and topology.renewal is None:
        return None
    groups, mesh = _NEWEST.get(topology.uid, (None, None))
    if groups is topology.node_groups:
        return mesh
    made = _mesh(topology)
    if not made.members and not topology.has_bus:
        return None
    if mesh is None or mesh.digest != made.digest or mesh.epoch != made.epoch:
        mesh = made
    if len(_NEWEST) >= _MOST_KEPT:
        _NEWEST.clear()
    _NEWEST[topology.uid] = (topology.node_groups, mesh)
    return mesh


_MOST_KEPT = 256
_NEWEST: dict[str, tuple[tuple[NodeGroup, ...], Mesh]] = {}
"""The mesh that was made last for each topology, and from what: it is asked for once for each node in each pass."""


def _mesh(topology: Topology) -> Mesh:
    members = tuple(member for group in topology.node_groups for member in _members(topology, group))
    outside = next((_member(topology, group, node) for group in topology.node_groups if (node := _outside(topology, group))), None)
    said = "\n".join(f"{each.id} {each.address}:{each.port} {each.follows} {each.slots}" for each in (*members, *filter(None, [outside])))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return Mesh(members, sum(group.epoch for group in topology.node_groups), digest, outside)


def _members(topology: Topology, group: NodeGroup) -> list[MeshMember]:
    return [member for node in group.staying if topology.is_clustered(node) and (member := _member(topology, group, node))]


def _outside(topology: Topology, group: NodeGroup) -> Node | None:
    """The group's primary while it is not in cluster mode, although others are or will be."""
    primary = group.primary_node
    return None if primary is None or topology.is_clustered(primary) else primary


def _member(topology: Topology, group: NodeGroup, node: Node) -> MeshMember | None:
    if node.placement is None:
        return None
    is_primary = node.id == group.primary
    return MeshMember(
        id=bus_id(topology.key(node.id)),
        shard=bus_id(f"{topology.uid}.{group.id}"),
        address=node.placement.address,
        port=topology.port,
        follows=None if is_primary else bus_id(f"{topology.uid}.{group.primary}"),
        slots=shown_slots(group.slots) if is_primary else "",
    )
