"""More and fewer replicas of a replication group. The reconciler starts new ones, and leads readers away from those that go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from api_schemas.faults import (
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupNotFound,
    NodeQuotaForClusterExceeded,
)
from api_schemas.replication_group import (
    DECREASE_REPLICA_COUNT,
    INCREASE_REPLICA_COUNT,
    ConfigureShard,
    DecreaseReplicaCount,
    IncreaseReplicaCount,
    ReplicationGroupResult,
)
from controlplane.domain import status as s
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.naming import member_id, node_group_id, shard_member_id
from controlplane.domain.resizing import replica_count_message
from controlplane.domain.topology import ClusterMode, Kind, Node, NodeGroup, Topology
from controlplane.operations import describe, layout, shards
from controlplane.operations.context import Context
from controlplane.operations.departing_replicas import Wish, must_leave_enough, named_replicas, victims
from controlplane.operations.performs import performs
from controlplane.operations.settings import say_parameter_group
from controlplane.operations.tagging import copy_to_members


@performs(INCREASE_REPLICA_COUNT)
def increase_replica_count(ctx: Context, asked: IncreaseReplicaCount) -> ReplicationGroupResult:
    """Each node group gets replicas until it has as many as asked, in the zones that were said or that have fewest of its nodes."""
    topology = ctx.replication_group(asked.replication_group_id)
    _must_be_at_once(asked)
    _must_say_one_of(NewReplicaCount=asked.new_replica_count is not None, ReplicaConfiguration=bool(asked.replica_configuration))
    wishes = _wishes(topology, asked)
    _must_be_available(ctx, topology)
    _must_all_change(wishes, 1, "IncreaseReplicaCount needs a number above that")
    more = sum(wish.more for wish in wishes)
    if topology.cluster_mode is ClusterMode.ENABLED and len(list(topology.nodes)) + more > shards.MOST_NODES:
        raise NodeQuotaForClusterExceeded(shards.MOST_NODES)
    zones = {wish.group.id: _zones_of_new(ctx, wish) for wish in wishes}
    version = engine_version(topology.engine, topology.engine_version)
    layout.must_be_servable(ctx, version, [zone for each in zones.values() for zone in each])
    layout.must_have_room(ctx, more)
    grown = topology
    for wish in wishes:
        names = _free_names(ctx, topology, wish.group)
        new = [Node(name, zone, born=topology.version) for zone, name in zip(zones[wish.group.id], names, strict=False)]
        grown = grown.with_group(replace(wish.group, nodes=(*wish.group.nodes, *new)))
    layout.must_fit(ctx, grown)
    saved = _save(ctx, topology, grown)
    added = [node.id for node in saved.nodes if topology.node(node.id) is None]
    copy_to_members(ctx, saved, added)
    say_parameter_group(ctx, added, saved.parameter_group)
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, saved))


@performs(DECREASE_REPLICA_COUNT)
def decrease_replica_count(ctx: Context, asked: DecreaseReplicaCount) -> ReplicationGroupResult:
    """Replicas leave until each node group has as many as asked, or those leave that were named; a primary never does."""
    topology = ctx.replication_group(asked.replication_group_id)
    _must_be_at_once(asked)
    _must_say_one_of(
        NewReplicaCount=asked.new_replica_count is not None,
        ReplicaConfiguration=bool(asked.replica_configuration),
        ReplicasToRemove=bool(asked.replicas_to_remove),
    )
    wishes = [] if asked.replicas_to_remove else _wishes(topology, asked)
    _must_be_available(ctx, topology)
    if asked.replicas_to_remove:
        leaving = named_replicas(topology, asked.replicas_to_remove)
    else:
        _must_all_change(wishes, -1, "DecreaseReplicaCount needs a number below that")
        leaving = [node for wish in wishes for node in victims(ctx, topology, wish)]
    for group in topology.node_groups:
        if going := [node for node in leaving if node in group.nodes]:
            must_leave_enough(ctx, topology, group, going)
    saved = _save(ctx, topology, topology.with_departure_of([node.id for node in leaving], ctx.now))
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, saved))


def _save(ctx: Context, before: Topology, wanted: Topology) -> Topology:
    saved = ctx.unit.topologies.save(replace(wanted, modifying=True, replicas_from=before.number_of_replicas))
    message = replica_count_message(before.number_of_replicas, saved.number_of_replicas)
    ctx.say(Kind.REPLICATION_GROUP.value, saved.name, message)
    return saved


# ---- what was asked


def _must_be_at_once(asked: IncreaseReplicaCount | DecreaseReplicaCount) -> None:
    if not asked.apply_immediately:
        raise InvalidParameterValue("ApplyImmediately must be true: the number of replicas cannot be put off to the maintenance window.")


def _must_say_one_of(**given: bool) -> None:
    said = [name for name, is_given in given.items() if is_given]
    if len(said) != 1:
        raise InvalidParameterCombination(f"Give exactly one of {', '.join(given)}; {' and '.join(said) or 'none'} was given.")


def _must_be_available(ctx: Context, topology: Topology) -> None:
    if ctx.status(topology) != s.AVAILABLE:
        raise InvalidReplicationGroupState("Replication group must be in available state to modify.")


def _wishes(topology: Topology, asked: IncreaseReplicaCount | DecreaseReplicaCount) -> list[Wish]:
    """Every node group with the number that was asked for, or those that are named, each with its own."""
    if asked.new_replica_count is not None:
        number = layout.checked_replicas(asked.new_replica_count)
        return [Wish(group, number) for group in topology.node_groups]
    wishes = [_wish(topology, part) for part in asked.replica_configuration]
    twice = [name for name, times in Counter(wish.group.id for wish in wishes).items() if times > 1]
    if twice:
        raise InvalidParameterValue(f"ReplicaConfiguration names node group {twice[0]} more than once.")
    return wishes


def _wish(topology: Topology, part: ConfigureShard) -> Wish:
    if part.preferred_outpost_arns:
        raise InvalidParameterValue("PreferredOutpostArns cannot be given: there are no outposts here.")
    wanted = node_group_id(part.node_group_id)
    group = next((group for group in topology.node_groups if group.id == wanted), None)
    if group is None:
        raise NodeGroupNotFound(part.node_group_id)
    number, zones = layout.checked_replicas(part.new_replica_count), tuple(part.preferred_availability_zones)
    if zones and len(zones) != number + 1:
        raise InvalidParameterValue(
            f"{len(zones)} PreferredAvailabilityZones were given for node group {group.id}, which shall have {number + 1} nodes: "
            f"its primary and {number} replicas. Give one for each, or none."
        )
    return Wish(group, number, zones, named=True)


def _must_all_change(wishes: list[Wish], sign: int, needs: str) -> None:
    """In the direction of ``sign``; a node group that was not named may already have the number that all shall have."""
    some = any(wish.more * sign > 0 for wish in wishes)
    for wish in wishes:
        change = wish.more * sign
        if change < 0 or (change == 0 and (wish.named or not some)):
            raise InvalidParameterValue(
                f"NewReplicaCount is {wish.replicas}, but node group {wish.group.id} has {len(wish.group.replicas)} replicas; {needs}."
            )


# ---- more


def _zones_of_new(ctx: Context, wish: Wish) -> list[str]:
    """What is left of the zones that were said when the nodes that are there have taken theirs; else those with the fewest nodes."""
    present = [node.zone for node in wish.group.staying]
    if not wish.zones:
        return layout.emptiest_zones(ctx, present, wish.more)
    left = [layout.checked_zone(ctx, zone) for zone in wish.zones]
    for zone in present:
        if zone not in left:
            raise InvalidParameterValue(
                f"PreferredAvailabilityZones of node group {wish.group.id} must contain the zones of the nodes that are there "
                f"({', '.join(present)}), for these stay where they are; {zone} is missing."
            )
        left.remove(zone)
    return left


def _free_names(ctx: Context, topology: Topology, group: NodeGroup) -> Iterator[str]:
    """Names of members to be, the lowest numbers first that no cache cluster has."""
    number = 0
    while True:
        number += 1
        is_shard = topology.cluster_mode is ClusterMode.ENABLED
        name = shard_member_id(topology.name, group.id, number) if is_shard else member_id(topology.name, number)
        if ctx.unit.topologies.owner_of(ctx.world, name) is None:
            yield name
