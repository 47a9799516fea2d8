"""Which replicas leave when a group shall have fewer, and whether it can do without them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue, InvalidReplicationGroupState
from controlplane.domain.naming import member_id
from controlplane.domain.reported import is_up, replicates
from controlplane.domain.topology import ClusterMode, Node, NodeGroup, Topology
from controlplane.operations import layout
from controlplane.operations.context import Context

_LAST_REPLICA = "Must have at least 1 replica when cluster mode is disabled with auto failover enabled."


@dataclass(frozen=True, slots=True)
class Wish:
    """A node group and the number of replicas that it shall have; ``zones`` are those of all its nodes, if they were said."""

    group: NodeGroup
    replicas: int
    zones: tuple[str, ...] = ()
    named: bool = False

    @property
    def more(self) -> int:
        """How many replicas are to be added; fewer than none when some are to go."""
        return self.replicas - len(self.group.replicas)


def victims(ctx: Context, topology: Topology, wish: Wish) -> list[Node]:
    """Who leaves a node group.

    One after the other: from the zone that has most of the nodes that are left, so that they stay spread; there, who is not in sync
    before who is, then who has replicated least, then the highest id. Where zones were said, from those that have more nodes than said.
    """
    left = list(wish.group.staying)
    may_go = list(wish.group.dispensable)
    surplus = _surplus(ctx, wish)
    gone: list[Node] = []
    for _ in range(-wish.more):
        candidates = [node for node in may_go if not wish.zones or surplus[node.zone] > 0]
        if not candidates:
            raise InvalidReplicationGroupState(
                f"Not so many replicas of node group {wish.group.id} can be removed now: one of them is about to be primary. Try again."
            )
        crowd = Counter(node.zone for node in left)
        last = max(candidates, key=lambda node: (crowd[node.zone], *_lag(ctx, topology, wish.group, node), node.id))
        for nodes in (left, may_go):
            nodes.remove(last)
        surplus[last.zone] -= 1
        gone.append(last)
    return gone


def _lag(ctx: Context, topology: Topology, group: NodeGroup, node: Node) -> tuple[bool, int]:
    """Grows with how far a replica is behind: not in sync at all, then fewer bytes replicated."""
    reported = ctx.reported(topology)
    seen = reported.of(node)
    in_sync = is_up(node, seen) and replicates(topology, group, node, reported)
    return not in_sync, -seen.offset if seen is not None else 0


def _surplus(ctx: Context, wish: Wish) -> Counter[str]:
    """How many nodes there are in each zone beyond those that were said. Raises InvalidParameterValue for what removing cannot reach."""
    said = Counter(layout.checked_zone(ctx, zone) for zone in wish.zones)
    surplus = Counter(node.zone for node in wish.group.staying)
    if not said:
        return surplus
    surplus.subtract(said)
    lacking = [zone for zone, number in surplus.items() if number < 0]
    if lacking:
        raise InvalidParameterValue(
            f"PreferredAvailabilityZones of node group {wish.group.id} has more nodes in {lacking[0]} than there are. "
            "DecreaseReplicaCount removes nodes and moves none."
        )
    primary = wish.group.primary_node
    if primary is not None and said[primary.zone] == 0:
        raise InvalidParameterValue(
            f"PreferredAvailabilityZones of node group {wish.group.id} must contain {primary.zone}, the zone of its primary {primary.id}."
        )
    return surplus


def named_replicas(topology: Topology, asked: list[str]) -> list[Node]:
    """The replicas that were named, each once. Raises InvalidParameterValue."""
    found = [_replica(topology, name) for name in asked]
    twice = [name for name, times in Counter(node.id for node in found).items() if times > 1]
    if twice:
        raise InvalidParameterValue(f"ReplicasToRemove names {twice[0]} more than once.")
    return found


def _replica(topology: Topology, asked: str) -> Node:
    """A replica by its id, or outside cluster mode by its number."""
    name = asked.lower()
    if name.isdecimal() and topology.cluster_mode is not ClusterMode.ENABLED:
        name = member_id(topology.name, int(name))
    node = topology.node(name)
    if node is None:
        raise InvalidParameterValue(f"ReplicasToRemove names {asked[:60]}, which is no cache cluster of replication group {topology.name}.")
    group = topology.group_of(node.id)
    if node.id == group.primary:
        raise InvalidParameterValue(f"{node.id} is the primary of node group {group.id} and cannot be removed; only replicas can.")
    if node not in group.dispensable:
        raise InvalidReplicationGroupState(f"{node.id} is about to be the primary of node group {group.id}. Try again when that is done.")
    return node


def must_leave_enough(ctx: Context, topology: Topology, group: NodeGroup, going: list[Node]) -> None:
    """What is left can fail over as promised, and has the data: replicas of a primary that is lost may be the only ones that have it."""
    left = [node for node in group.staying if node not in going]
    if len(left) < 2 and topology.settings.automatic_failover and topology.cluster_mode is not ClusterMode.ENABLED:
        raise InvalidParameterValue(_LAST_REPLICA)
    if topology.settings.multi_az and len({node.zone for node in left}) < 2:
        raise InvalidParameterCombination(
            f"Multi-AZ needs nodes in at least 2 availability zones in every node group; of {group.id} only "
            f"{', '.join(node.id for node in left)} would be left."
        )
    primary = group.primary_node
    seen = ctx.reported(topology).of(primary) if primary else None
    if primary is None or not is_up(primary, seen) or seen is None or seen.role != "primary" or seen.epoch != group.epoch:
        raise InvalidReplicationGroupState(
            f"The primary of node group {group.id} is being replaced, and its replicas hold the data. Try again when it serves."
        )
