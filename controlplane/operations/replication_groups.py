"""Create, describe, modify and delete replication groups. Each writes down what is desired and answers; the reconciler does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api_schemas.faults import (
    CacheClusterNotFound,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    ReplicationGroupAlreadyExists,
)
from api_schemas.paging import page
from api_schemas.replication_group import (
    CREATE_REPLICATION_GROUP,
    DELETE_REPLICATION_GROUP,
    DESCRIBE_REPLICATION_GROUPS,
    MODIFY_REPLICATION_GROUP,
    CreateReplicationGroup,
    DeleteReplicationGroup,
    DescribeReplicationGroups,
    ModifyReplicationGroup,
    ReplicationGroupResult,
    ReplicationGroups,
)
from controlplane.domain import status as s
from controlplane.domain.engine_versions import EngineVersion, engine_version, normalised_engine
from controlplane.domain.naming import arn, member_id, replication_group_id, shard_member_id
from controlplane.domain.node_types import must_not_tier_data, must_support, node_type
from controlplane.domain.settings import Settings
from controlplane.domain.topology import ClusterMode, Kind, Node, NodeGroup, Topology
from controlplane.operations import describe, layout
from controlplane.operations.cluster_mode import mode_asked, with_cluster_mode
from controlplane.operations.context import Context
from controlplane.operations.failover import with_promotion_of
from controlplane.operations.guarding import guarded, with_guard_asked
from controlplane.operations.inheritance import inherited_by_group
from controlplane.operations.log_delivery import with_log_deliveries
from controlplane.operations.notifications import with_topic
from controlplane.operations.performs import performs
from controlplane.operations.refusals import refuse_what_is_not_built
from controlplane.operations.renewal import with_make
from controlplane.operations.seeding import files_to_find, seeded, snapshot_asked
from controlplane.operations.settings import (
    changed_settings,
    new_settings,
    say_parameter_group,
    subnet_group,
)
from controlplane.operations.shards import Shard, shards_asked
from controlplane.operations.snapshot_sources import ended_by
from controlplane.operations.tagging import checked_tags, tag_new
from controlplane.operations.transit import new_transit, with_transit

DEFAULT_NODE_TYPE = "cache.t4g.small"
LONGEST_DESCRIPTION = 1000
_NOTHING = "No modifications were requested"


@performs(CREATE_REPLICATION_GROUP, beforehand=files_to_find)
def create_replication_group(ctx: Context, asked: CreateReplicationGroup) -> ReplicationGroupResult:
    """Node groups of a primary and its replicas, spread over zones, behind the endpoints that the cluster mode asks for."""
    name = replication_group_id(asked.replication_group_id)
    refuse_what_is_not_built(asked, {"primary_cluster_id": "making an existing cache cluster the primary is not built yet"})
    if ctx.unit.topologies.named(ctx.world, Kind.REPLICATION_GROUP, name):
        raise ReplicationGroupAlreadyExists(name)
    layout.must_have_names_of_its_own(ctx, name)
    snapshot = snapshot_asked(ctx, asked)
    asked = inherited_by_group(ctx, asked, snapshot) if snapshot else asked
    version = _version(asked)
    mode, parameters = mode_asked(ctx, asked, version)
    shards = shards_asked(ctx, asked, mode)
    size = node_type(asked.cache_node_type or DEFAULT_NODE_TYPE)
    must_support(size, version)
    must_not_tier_data(size)
    layout.must_be_servable(ctx, version, [zone for shard in shards for zone in shard.zones])
    layout.must_have_room(ctx, sum(len(shard.zones) for shard in shards))
    transit = new_transit(ctx, asked, version, [zone for shard in shards for zone in shard.zones])
    settings = _flags(ctx, asked, mode, shards)
    settings = with_log_deliveries(settings, asked.log_delivery_configurations, version.engine, version.version, ctx.now)
    checked_tags(asked.tags)
    group = Topology(
        uid=ctx.clock.uid(),
        kind=Kind.REPLICATION_GROUP,
        world=ctx.world,
        name=name,
        engine=version.engine,
        engine_version=version.version,
        node_type=size.name,
        port=layout.checked_port(asked.port, 6379, bus=mode is not ClusterMode.DISABLED),
        parameter_group=parameters.name,
        parameters=parameters.values,
        subnet_group=subnet_group(ctx, asked.cache_subnet_group_name),
        node_groups=tuple(_node_group(ctx, name, shard, mode) for shard in shards),
        requested_at=ctx.now,
        cluster_mode=mode,
        endpoints=ctx.style.new,
        settings=settings,
        transit=transit,
    )
    group = seeded(ctx, guarded(ctx, group, asked), asked, snapshot)
    layout.must_fit(ctx, group)
    group = ctx.unit.topologies.save(group)
    for resource, resource_name in [("replicationgroup", name), *(("cluster", node.id) for node in group.nodes)]:
        tag_new(ctx, arn(ctx.world, resource, resource_name), asked.tags)
    say_parameter_group(ctx, [node.id for node in group.nodes], group.parameter_group)
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, group))


@performs(DESCRIBE_REPLICATION_GROUPS)
def describe_replication_groups(ctx: Context, asked: DescribeReplicationGroups) -> ReplicationGroups:
    """One replication group by id, or a page of all."""
    if asked.replication_group_id:
        found = [ctx.replication_group(asked.replication_group_id)]
    else:
        found = [topology for topology in ctx.unit.topologies.of(ctx.world) if topology.kind is Kind.REPLICATION_GROUP]
    shown, marker = page(found, asked)
    return ReplicationGroups(marker=marker, replication_groups=[describe.replication_group(ctx, group) for group in shown])


@performs(MODIFY_REPLICATION_GROUP)
def modify_replication_group(ctx: Context, asked: ModifyReplicationGroup) -> ReplicationGroupResult:
    """Description, windows, flags and parameter group apply at once, whatever ApplyImmediately says, as in the real service.

    So do user groups and AUTH tokens. Node type, engine and version wait for the maintenance window unless it is true.
    """
    group = ctx.replication_group(asked.replication_group_id)
    _refuse_what_modify_cannot_do(group, asked)
    if ctx.status(group) != s.AVAILABLE:
        raise InvalidReplicationGroupState("Replication group must be in available state to modify.")
    settings = changed_settings(group.settings, asked, of=group)
    settings = with_topic(settings, group.world, asked.notification_topic_arn, asked.notification_topic_status)
    logs, at_once = asked.log_delivery_configurations, bool(asked.apply_immediately)
    settings = with_log_deliveries(settings, logs, group.engine, group.engine_version, ctx.now, at_once=at_once)
    if asked.snapshotting_cluster_id:
        settings = replace(settings, snapshotting_cluster=_snapshotting_member(group, asked.snapshotting_cluster_id))
    if asked.replication_group_description is not None:
        settings = replace(settings, description=_description(asked.replication_group_description))
    if asked.automatic_failover_enabled is not None:
        settings = replace(settings, automatic_failover=asked.automatic_failover_enabled)
    if asked.multi_az_enabled is not None:
        settings = replace(settings, multi_az=asked.multi_az_enabled)
    _must_be_possible(settings, group.cluster_mode, [[node.zone for node in part.nodes] for part in group.node_groups])
    made = with_cluster_mode(ctx, group, asked) if asked.cluster_mode else with_make(ctx, group, asked)
    wanted = with_guard_asked(ctx, replace(with_transit(ctx, made, asked), settings=settings), asked)
    if asked.primary_cluster_id:
        wanted = with_promotion_of(ctx, wanted, asked.primary_cluster_id)
    if wanted == group:
        raise InvalidParameterCombination(_NOTHING)
    changed = ctx.unit.topologies.save(replace(wanted, modifying=replace(wanted, remake=group.remake) != group))
    if changed.parameter_group != group.parameter_group:
        say_parameter_group(ctx, [node.id for node in group.members], changed.parameter_group)
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, changed))


@performs(DELETE_REPLICATION_GROUP)
def delete_replication_group(ctx: Context, asked: DeleteReplicationGroup) -> ReplicationGroupResult:
    """Every node goes; with RetainPrimaryCluster the primary stays, as a cache cluster of its own.

    With FinalSnapshotIdentifier the nodes go once that snapshot is taken; if it cannot be, the group is available again.
    """
    group = ctx.replication_group(asked.replication_group_id)
    refuse_what_is_not_built(asked)
    final = asked.final_snapshot_identifier
    if final and asked.retain_primary_cluster:
        raise InvalidParameterCombination("FinalSnapshotIdentifier cannot be given with RetainPrimaryCluster, which keeps the data.")
    status = ctx.status(group)
    if status not in (s.AVAILABLE, s.CREATE_FAILED):
        raise InvalidReplicationGroupState(f"Replication group {group.name} is not in a valid state to be deleted: it is {status}.")
    if asked.retain_primary_cluster and group.has_bus:
        raise InvalidParameterCombination("RetainPrimaryCluster is not possible in cluster mode: no node of it can stand alone.")
    retained = group.node_groups[0].primary if asked.retain_primary_cluster else None
    if retained and group.engine == "valkey":
        raise InvalidParameterCombination(
            "RetainPrimaryCluster is not possible for a Valkey replication group: a stand-alone Valkey cache cluster does not exist."
        )
    if retained and status != s.AVAILABLE:
        raise InvalidReplicationGroupState(f"Replication group {group.name} has no working primary to retain: it is {status}.")
    if final and status != s.AVAILABLE:
        raise InvalidReplicationGroupState(f"Replication group {group.name} holds nothing to take a final snapshot of: it is {status}.")
    deleting = ended_by(ctx, group, final) if final else ctx.unit.topologies.save(group.with_deletion(retained))
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, deleting))


def _version(asked: CreateReplicationGroup) -> EngineVersion:
    engine = normalised_engine(asked.engine or "redis")
    if engine == "memcached":
        raise InvalidParameterValue("Memcached has no replication groups. Use CreateCacheCluster for a Memcached cluster.")
    return engine_version(engine, asked.engine_version)


def _node_group(ctx: Context, name: str, shard: Shard, mode: ClusterMode) -> NodeGroup:
    sharded = mode is ClusterMode.ENABLED
    ids = [shard_member_id(name, shard.id, n) if sharded else member_id(name, n) for n in range(1, len(shard.zones) + 1)]
    nodes = tuple(Node(layout.free_member(ctx, member), zone) for member, zone in zip(ids, shard.zones, strict=True))
    return NodeGroup(shard.id, nodes, primary=nodes[0].id, slots=shard.slots)


def _flags(ctx: Context, asked: CreateReplicationGroup, mode: ClusterMode, shards: list[Shard]) -> Settings:
    automatic = asked.automatic_failover_enabled
    settings = replace(
        new_settings(ctx, asked),
        description=_description(asked.replication_group_description),
        automatic_failover=mode is ClusterMode.ENABLED if automatic is None else automatic,
        multi_az=bool(asked.multi_az_enabled),
    )
    _must_be_possible(settings, mode, [shard.zones for shard in shards])
    return settings


def _must_be_possible(settings: Settings, mode: ClusterMode, zones: Sequence[Sequence[str]]) -> None:
    """Multi-AZ needs automatic failover and a second zone in each node group; automatic failover needs a replica, or cluster mode."""
    if mode is ClusterMode.ENABLED and not settings.automatic_failover:
        raise InvalidParameterCombination(
            "Turning off automatic failover for replication group with cluster mode enabled is not supported."
        )
    if mode is not ClusterMode.ENABLED and settings.automatic_failover and any(len(of_group) < 2 for of_group in zones):
        raise InvalidParameterCombination(
            "When using automatic failover, there must be at least 2 cache clusters in the replication group."
        )
    if settings.multi_az and not settings.automatic_failover:
        raise InvalidParameterCombination("Multi-AZ needs automatic failover: set AutomaticFailoverEnabled to true as well.")
    if settings.multi_az and any(len(set(of_group)) < 2 for of_group in zones):
        raise InvalidParameterCombination("Multi-AZ needs nodes in at least 2 availability zones in every node group.")


def _snapshotting_member(group: Topology, asked: str) -> str:
    """The member that automatic snapshots are to be taken from. Raises InvalidParameterCombination and CacheClusterNotFound."""
    if group.cluster_mode is ClusterMode.ENABLED:
        raise InvalidParameterCombination("SnapshottingClusterId cannot be given with cluster mode enabled: every shard is saved.")
    if asked.lower() not in {node.id for node in group.members if not node.leaving}:
        raise CacheClusterNotFound(message="Specified snapshotting cluster does not exist")
    return asked.lower()


def _description(asked: str) -> str:
    if len(asked) > LONGEST_DESCRIPTION:
        raise InvalidParameterValue(f"The description has {len(asked)} characters; it can have {LONGEST_DESCRIPTION}.")
    return asked


def _refuse_what_modify_cannot_do(group: Topology, asked: ModifyReplicationGroup) -> None:
    refuse_what_is_not_built(asked)
    if asked.node_group_id:
        raise InvalidParameterValue("NodeGroupId is deprecated and cannot be given.")
