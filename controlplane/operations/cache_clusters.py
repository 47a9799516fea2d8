"""Create, describe, modify, delete and reboot cache clusters: stand-alone ones, and the members of replication groups."""

from __future__ import annotations

from dataclasses import replace

from api_schemas.cache_cluster import (
    CREATE_CACHE_CLUSTER,
    DELETE_CACHE_CLUSTER,
    DESCRIBE_CACHE_CLUSTERS,
    MODIFY_CACHE_CLUSTER,
    REBOOT_CACHE_CLUSTER,
    CacheClusterResult,
    CacheClusters,
    CreateCacheCluster,
    DeleteCacheCluster,
    DescribeCacheClusters,
    ModifyCacheCluster,
    RebootCacheCluster,
)
from api_schemas.faults import (
    CacheClusterAlreadyExists,
    CacheClusterNotFound,
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeQuotaForClusterExceeded,
    SnapshotFeatureNotSupported,
)
from api_schemas.paging import page
from controlplane.domain import status as s
from controlplane.domain.engine_versions import EngineVersion, engine_version, normalised_engine
from controlplane.domain.naming import arn, cache_cluster_id
from controlplane.domain.node_types import must_not_tier_data, must_support, node_type
from controlplane.domain.resizing import resizing_messages
from controlplane.domain.snapshot import Snapshot
from controlplane.domain.topology import ClusterMode, Kind, MemcachedDiscovery, Node, NodeGroup, Topology
from controlplane.operations import describe, layout, memcached
from controlplane.operations.context import Context
from controlplane.operations.guarding import guarded, with_guard_asked
from controlplane.operations.inheritance import inherited_by_cluster
from controlplane.operations.log_delivery import with_log_deliveries
from controlplane.operations.notifications import with_topic
from controlplane.operations.performs import performs
from controlplane.operations.refusals import refuse_what_is_not_built
from controlplane.operations.renewal import with_make
from controlplane.operations.seeding import files_to_find, must_join_empty, seeded, snapshot_asked
from controlplane.operations.settings import (
    changed_settings,
    new_settings,
    parameter_group_for,
    say_parameter_group,
    subnet_group,
    without_cluster_mode,
)
from controlplane.operations.snapshot_sources import ended_by
from controlplane.operations.tagging import checked_tags, copy_to_members, tag_new
from controlplane.operations.transit import new_transit

_VALKEY = "This API doesn't support Valkey engine. Please use CreateReplicationGroup API for Valkey cluster creation."

_NO_TLS = (
    "TransitEncryptionEnabled is not possible for a stand-alone redis cache cluster. Use CreateReplicationGroup with NumCacheClusters 1."
)


@performs(CREATE_CACHE_CLUSTER, beforehand=files_to_find)
def create_cache_cluster(ctx: Context, asked: CreateCacheCluster) -> CacheClusterResult:
    """One Redis node, a Memcached cluster, or one more replica of a replication group."""
    name = cache_cluster_id(asked.cache_cluster_id)
    if (asked.engine or "").lower() == "memcached" and not asked.replication_group_id:
        memcached.refuse_what_memcached_lacks(asked)
    refuse_what_is_not_built(asked)
    if ctx.unit.topologies.owner_of(ctx.world, name):
        raise CacheClusterAlreadyExists(name)
    if asked.replication_group_id:
        must_join_empty(asked)
    snapshot = snapshot_asked(ctx, asked)
    asked = inherited_by_cluster(ctx, asked, snapshot) if snapshot else asked
    checked_tags(asked.tags)
    if asked.replication_group_id:
        topology, member = _new_replica(ctx, name, asked)
    else:
        topology, member = _new_cluster(ctx, name, asked, snapshot), None
    tag_new(ctx, arn(ctx.world, "cluster", name), asked.tags)
    say_parameter_group(ctx, [name], topology.parameter_group)
    if member is not None and not asked.tags:
        copy_to_members(ctx, topology, [member.id])
    return CacheClusterResult(cache_cluster=describe.cache_cluster(ctx, topology, member, with_nodes=False))


@performs(DESCRIBE_CACHE_CLUSTERS)
def describe_cache_clusters(ctx: Context, asked: DescribeCacheClusters) -> CacheClusters:
    """One cache cluster by id, or a page of all, members of replication groups among them."""
    if asked.cache_cluster_id:
        found = [ctx.cache_cluster(asked.cache_cluster_id)]
    else:
        found = _all(ctx, members_too=not asked.show_cache_clusters_not_in_replication_groups)
    shown, marker = page(found, asked)
    with_nodes = bool(asked.show_cache_node_info)
    described = [describe.cache_cluster(ctx, topology, member, with_nodes=with_nodes) for topology, member in shown]
    return CacheClusters(marker=marker, cache_clusters=described)


@performs(MODIFY_CACHE_CLUSTER)
def modify_cache_cluster(ctx: Context, asked: ModifyCacheCluster) -> CacheClusterResult:
    """Windows, flags, AUTH token, parameter group of a stand-alone cache cluster, what its nodes are made of, and how many Memcached has.

    A member of a replication group has its group's.
    """
    topology, member = ctx.cache_cluster(asked.cache_cluster_id)
    if member is not None:
        raise InvalidParameterCombination(
            f"{member.id} is a member of replication group {topology.name}; modify the group with ModifyReplicationGroup."
        )
    _refuse_what_modify_cannot_do(topology, asked)
    status = ctx.status(topology)
    if status != s.AVAILABLE:
        raise InvalidCacheClusterState(f"Cache cluster {topology.name} must be available to be modified; it is {status}.")
    settings = changed_settings(topology.settings, asked, snapshots=not topology.is_memcached, of=topology)
    settings = with_topic(settings, topology.world, asked.notification_topic_arn, asked.notification_topic_status)
    logs, at_once = asked.log_delivery_configurations, bool(asked.apply_immediately)
    settings = with_log_deliveries(settings, logs, topology.engine, topology.engine_version, ctx.now, at_once=at_once)
    change = None
    if topology.is_memcached:
        settings = replace(settings, cross_az=memcached.cross_az(topology, asked))
        change = memcached.resizing(ctx, topology, asked, across=settings.cross_az)
    at_once = change is not None and at_once
    wanted = with_guard_asked(ctx, replace(with_make(ctx, topology, asked), settings=settings), asked)
    if wanted == topology and change == topology.pending and not at_once:
        raise InvalidParameterCombination("No modifications were requested")
    changed = replace(wanted, pending=change, modifying=replace(wanted, remake=topology.remake) != topology)
    if change is not None and at_once:
        changed = changed.resized(change)
        layout.must_fit(ctx, changed)
        for message in resizing_messages(change):
            ctx.say(Kind.CACHE_CLUSTER.value, topology.name, message)
    changed = ctx.unit.topologies.save(changed)
    if changed.parameter_group != topology.parameter_group:
        say_parameter_group(ctx, [topology.name], changed.parameter_group)
    return CacheClusterResult(cache_cluster=describe.cache_cluster(ctx, changed, None, with_nodes=False))


@performs(DELETE_CACHE_CLUSTER)
def delete_cache_cluster(ctx: Context, asked: DeleteCacheCluster) -> CacheClusterResult:
    """A stand-alone cache cluster with its nodes, or one replica of a replication group.

    With FinalSnapshotIdentifier a stand-alone one goes once that snapshot is taken; if it cannot be, it is available again.
    """
    topology, member = ctx.cache_cluster(asked.cache_cluster_id)
    if topology.is_memcached:
        memcached.refuse_what_memcached_lacks(asked)
    refuse_what_is_not_built(asked)
    shown = describe.cache_cluster(ctx, topology, member, with_nodes=False)
    final = asked.final_snapshot_identifier
    if shown.cache_cluster_status not in ((s.AVAILABLE,) if final else (s.AVAILABLE, s.CREATE_FAILED, s.RESTORE_FAILED)):
        why = f"it is {shown.cache_cluster_status}"
        raise InvalidCacheClusterState(f"Cache cluster {shown.cache_cluster_id} is not in a valid state to be deleted: {why}.")
    _must_not_be_saved(topology, shown.cache_cluster_id, "deleted")
    if member is None:
        saved = ended_by(ctx, topology, final) if final else ctx.unit.topologies.save(topology.with_deletion())
    else:
        _must_not_be_in_cluster_mode(topology, member, "deleted by itself; DecreaseReplicaCount is for that")
        _must_not_be_saved_alone(topology, member, final)
        _must_be_dispensable(ctx, topology, member)
        saved = ctx.unit.topologies.save(topology.with_departure_of([member.id], ctx.now))
    gone = saved.node(member.id) if member else None
    return CacheClusterResult(cache_cluster=describe.cache_cluster(ctx, saved, gone, with_nodes=False))


@performs(REBOOT_CACHE_CLUSTER)
def reboot_cache_cluster(ctx: Context, asked: RebootCacheCluster) -> CacheClusterResult:
    """Start nodes again at their addresses; they come back empty, and with a primary its replicas are emptied as well."""
    topology, member = ctx.cache_cluster(asked.cache_cluster_id)
    shown = describe.cache_cluster(ctx, topology, member, with_nodes=False)
    if shown.cache_cluster_status != s.AVAILABLE:
        why = f"it is {shown.cache_cluster_status}"
        raise InvalidCacheClusterState(f"Cache cluster {shown.cache_cluster_id} must be available to be rebooted; {why}.")
    _must_not_be_saved(topology, shown.cache_cluster_id, "rebooted")
    if member is not None:
        _must_not_be_in_cluster_mode(topology, member, "rebooted")
    chosen = _nodes_named(topology, member, asked.cache_node_ids_to_reboot)
    rebooting = ctx.unit.topologies.save(topology.with_reboot_of([node.id for node in chosen]))
    for named in dict.fromkeys(asked.cache_node_ids_to_reboot):
        ctx.say(Kind.CACHE_CLUSTER.value, shown.cache_cluster_id, f"Cache node {named} shutdown")
    again = rebooting.node(member.id) if member else None
    return CacheClusterResult(cache_cluster=describe.cache_cluster(ctx, rebooting, again, with_nodes=False))


def _must_not_be_saved(topology: Topology, name: str | None, word: str) -> None:
    """Raises InvalidCacheClusterState while a snapshot is taken of its group: it may be of what would then be gone."""
    if topology.backup is not None:
        raise InvalidCacheClusterState(f"Cache cluster {name} cannot be {word} while a snapshot is taken of {topology.name}. Try again.")


def _new_cluster(ctx: Context, name: str, asked: CreateCacheCluster, snapshot: Snapshot | None) -> Topology:
    version = _version(asked)
    is_memcached = version.engine == "memcached"
    number = _number_of_nodes(asked, is_memcached)
    zones = _zones(ctx, asked, number)
    size = node_type(asked.cache_node_type or "cache.t4g.small")
    must_support(size, version)
    must_not_tier_data(size)
    if asked.transit_encryption_enabled and not is_memcached:
        raise InvalidParameterCombination(_NO_TLS)
    layout.must_be_servable(ctx, version, zones)
    layout.must_have_room(ctx, number)
    parameters = without_cluster_mode(parameter_group_for(ctx, asked.cache_parameter_group_name, version))
    fronted = is_memcached and ctx.memcached_discovery is MemcachedDiscovery.EVERY_NODE
    settings = new_settings(ctx, asked, snapshots=not is_memcached)
    settings = replace(settings, cross_az=asked.az_mode == "cross-az", fronted=fronted)
    settings = with_log_deliveries(settings, asked.log_delivery_configurations, version.engine, version.version, ctx.now)
    ids = [f"{place + 1:04d}" for place in range(number)] if is_memcached else [name]
    nodes = tuple(Node(node, zone) for node, zone in zip(ids, zones, strict=True))
    created = Topology(
        uid=ctx.clock.uid(),
        kind=Kind.CACHE_CLUSTER,
        world=ctx.world,
        name=name,
        engine=version.engine,
        engine_version=version.version,
        node_type=size.name,
        port=layout.checked_port(asked.port, 11211 if is_memcached else 6379),
        parameter_group=parameters.name,
        parameters=parameters.values,
        subnet_group=subnet_group(ctx, asked.cache_subnet_group_name),
        node_groups=(NodeGroup("0001", nodes, primary=None if is_memcached else name),),
        requested_at=ctx.now,
        endpoints=ctx.style.new,
        settings=settings,
        transit=new_transit(ctx, asked, version, zones),
    )
    created = seeded(ctx, guarded(ctx, created, asked), asked, snapshot)
    layout.must_fit(ctx, created)
    return ctx.unit.topologies.save(created)


def _new_replica(ctx: Context, name: str, asked: CreateCacheCluster) -> tuple[Topology, Node]:
    """One more replica of a group; everything but its zone, its name and its tags comes from the group."""
    group = ctx.replication_group(asked.replication_group_id or "")
    if group.cluster_mode is ClusterMode.ENABLED:
        raise InvalidParameterCombination(
            f"A replica cannot be added by itself to {group.name}, which has cluster mode enabled. IncreaseReplicaCount is for that."
        )
    _must_come_from_the_group(group, asked)
    if asked.log_delivery_configurations:
        raise InvalidParameterCombination(f"Logs of a replica are delivered as those of its group {group.name}; leave that out.")
    if ctx.status(group) != s.AVAILABLE:
        why = f"it is {ctx.status(group)}"
        raise InvalidReplicationGroupState(f"Replication group {group.name} must be available to take a replica; {why}.")
    part = group.node_groups[0]
    if len(part.nodes) >= layout.MOST_NODES_IN_A_GROUP:
        raise NodeQuotaForClusterExceeded(layout.MOST_NODES_IN_A_GROUP)
    layout.must_have_room(ctx, 1)
    zone = _replica_zone(ctx, part, asked)
    layout.must_be_servable(ctx, engine_version(group.engine, group.engine_version), [zone])
    replica = Node(name, zone, born=group.version)
    grown = group.with_group(replace(part, nodes=(*part.nodes, replica)))
    layout.must_fit(ctx, grown)
    return ctx.unit.topologies.save(grown), replica


def _replica_zone(ctx: Context, part: NodeGroup, asked: CreateCacheCluster) -> str:
    _must_say_zones_once(asked)
    if zones := [asked.preferred_availability_zone] if asked.preferred_availability_zone else asked.preferred_availability_zones:
        return layout.spread(ctx, 1, zones)[0]
    return layout.emptiest_zones(ctx, [node.zone for node in part.staying], 1)[0]


def _must_come_from_the_group(group: Topology, asked: CreateCacheCluster) -> None:
    settings = group.settings
    if asked.auth_token:
        raise InvalidParameterCombination(f"AuthToken of a replica comes from its replication group {group.name}; leave it out.")
    given = {
        "Engine": (asked.engine and asked.engine.lower(), group.engine),
        "EngineVersion": (asked.engine_version, group.engine_version),
        "CacheNodeType": (asked.cache_node_type, group.node_type),
        "CacheParameterGroupName": (asked.cache_parameter_group_name, group.parameter_group),
        "CacheSubnetGroupName": (asked.cache_subnet_group_name, group.subnet_group),
        "Port": (asked.port, group.port),
        "NumCacheNodes": (asked.num_cache_nodes, 1),
        "AZMode": (asked.az_mode, "single-az"),
        "AutoMinorVersionUpgrade": (asked.auto_minor_version_upgrade, settings.auto_minor_version_upgrade),
        "PreferredMaintenanceWindow": (asked.preferred_maintenance_window, settings.maintenance_window),
        "SnapshotWindow": (asked.snapshot_window, settings.snapshot_window),
        "SnapshotRetentionLimit": (asked.snapshot_retention_limit, settings.snapshot_retention_limit),
        "SecurityGroupIds": (asked.security_group_ids or None, list(settings.security_group_ids)),
        "NotificationTopicArn": (asked.notification_topic_arn, settings.notification_topic),
        "TransitEncryptionEnabled": (asked.transit_encryption_enabled, group.transit is not None),
    }
    for name, (value, of_group) in given.items():
        if value is not None and value != "" and value != of_group:
            raise InvalidParameterCombination(
                f"{name} of a replica comes from its replication group {group.name} ({of_group}); leave it out."
            )


def _version(asked: CreateCacheCluster) -> EngineVersion:
    if not asked.engine:
        raise InvalidParameterValue("Engine must be given: redis or memcached. Only a replica that joins a replication group needs none.")
    engine = normalised_engine(asked.engine)
    if engine == "valkey":
        raise InvalidParameterValue(_VALKEY)
    return engine_version(engine, asked.engine_version)


def _number_of_nodes(asked: CreateCacheCluster, is_memcached: bool) -> int:
    number = 1 if asked.num_cache_nodes is None else asked.num_cache_nodes
    if not is_memcached and number != 1:
        raise InvalidParameterValue(f"Invalid value {number} for NumCacheNodes: a stand-alone redis cache cluster has exactly 1 node.")
    if not 1 <= number <= memcached.MOST_NODES:
        raise InvalidParameterValue(f"Invalid value {number} for NumCacheNodes. Must be between 1 and {memcached.MOST_NODES}")
    return number


def _zones(ctx: Context, asked: CreateCacheCluster, number: int) -> list[str]:
    cross = asked.az_mode == "cross-az"
    if asked.az_mode not in (None, "", "single-az", "cross-az"):
        raise InvalidParameterValue(f"Invalid value {asked.az_mode[:40]!r} for AZMode: it is single-az or cross-az.")
    if cross and number < 2:
        raise InvalidParameterCombination("AZMode cross-az needs Memcached with at least 2 nodes.")
    _must_say_zones_once(asked)
    if asked.preferred_availability_zones:
        zones = layout.spread(ctx, number, asked.preferred_availability_zones)
        if not cross and len(set(zones)) > 1:
            raise InvalidParameterCombination("Nodes in several zones need AZMode cross-az.")
        return zones
    if cross:
        return layout.spread(ctx, number, [])
    one = asked.preferred_availability_zone or layout.spread(ctx, 1, [], start=ctx.clock.pick(3))[0]
    return layout.spread(ctx, number, [one] * number)


def _must_say_zones_once(asked: CreateCacheCluster) -> None:
    if asked.preferred_availability_zone and asked.preferred_availability_zones:
        raise InvalidParameterCombination("Give PreferredAvailabilityZone or PreferredAvailabilityZones, not both.")


def _all(ctx: Context, *, members_too: bool) -> list[tuple[Topology, Node | None]]:
    found: list[tuple[str, Topology, Node | None]] = []
    for topology in ctx.unit.topologies.of(ctx.world):
        if topology.kind is Kind.CACHE_CLUSTER:
            found.append((topology.name, topology, None))
        elif members_too:
            found.extend((node.id, topology, node) for node in topology.members)
    return [(topology, node) for _, topology, node in sorted(found, key=lambda item: item[0])]


def _must_not_be_in_cluster_mode(topology: Topology, member: Node, what: str) -> None:
    if topology.cluster_mode is ClusterMode.ENABLED:
        raise InvalidCacheClusterState(
            f"Cache cluster {member.id} belongs to {topology.name}, which has cluster mode enabled, and cannot be {what}."
        )


def _must_not_be_saved_alone(topology: Topology, member: Node, final: str | None) -> None:
    if final and len(topology.group_of(member.id).staying) > 1:
        raise SnapshotFeatureNotSupported(
            f"No final snapshot is taken of {member.id}: others of {topology.name} have its data. Leave out FinalSnapshotIdentifier."
        )


def _must_be_dispensable(ctx: Context, topology: Topology, member: Node) -> None:
    group = topology.group_of(member.id)
    if len(group.staying) == 1:
        raise InvalidCacheClusterState(f"Cache cluster {member.id} is the only member of a replication group and cannot be deleted alone.")
    if group.primary == member.id:
        raise InvalidCacheClusterState(f"Cache cluster {member.id} is serving as primary for replication group {topology.name}.")
    if member not in group.dispensable:
        raise InvalidCacheClusterState(f"Cache cluster {member.id} is about to be the primary of replication group {topology.name}.")
    if topology.settings.automatic_failover and len(group.replicas) == 1:
        raise InvalidCacheClusterState(
            f"Cache cluster {member.id} is the last replica of {topology.name}, which needs one for automatic failover."
        )
    if ctx.status(topology) != s.AVAILABLE:
        raise InvalidCacheClusterState(f"Replication group {topology.name} is not available; it is {ctx.status(topology)}.")


def _nodes_named(topology: Topology, member: Node | None, asked: list[str]) -> list[Node]:
    known = {"0001": member} if member else {node.id if topology.is_memcached else "0001": node for node in topology.nodes}
    if not asked:
        raise InvalidCacheClusterState("CacheNodeIdsToReboot names no node.")
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise CacheClusterNotFound(message=f"Cache node {unknown[0][:20]} not found in {member.id if member else topology.name}.")
    return [known[name] for name in dict.fromkeys(asked)]


def _refuse_what_modify_cannot_do(topology: Topology, asked: ModifyCacheCluster) -> None:
    if topology.is_memcached:
        memcached.refuse_what_memcached_lacks(asked)
    refuse_what_is_not_built(asked)
    if not topology.is_memcached:
        memcached.must_not_resize(asked)
    if (asked.engine or "").lower() == "valkey":
        raise InvalidParameterValue(_VALKEY)
    memcached.must_scale_as_is_possible(topology, asked)
