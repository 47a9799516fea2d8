"""Domain values become the service's shapes. The only renderer; it reads and never changes anything."""

from __future__ import annotations

from datetime import datetime

from api_schemas.cache_cluster import CacheCluster, CacheNode, CacheParameterGroupStatus, PendingModifiedValues
from api_schemas.parts import Endpoint, NotificationConfiguration, SecurityGroupMembership
from api_schemas.replication_group import (
    NodeGroup,
    NodeGroupMember,
    ReplicationGroup,
    ReplicationGroupPendingModifiedValues,
    ReshardingStatus,
    SlotMigration,
    UserGroupsUpdateStatus,
)
from controlplane.domain import status as s
from controlplane.domain.access_control import all_enforce
from controlplane.domain.endpoint_names import Purpose, configuration_purpose
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.naming import arn
from controlplane.domain.reported import Reported
from controlplane.domain.resources import resources_of
from controlplane.domain.settings import Settings
from controlplane.domain.slots import shown_slots
from controlplane.domain.status import member_status, node_status, topology_status
from controlplane.domain.topology import ClusterMode, Kind, Node, Topology
from controlplane.domain.topology import NodeGroup as DesiredGroup
from controlplane.operations import log_delivery
from controlplane.operations.context import Context

_LANDING_PAGE = "https://console.aws.amazon.com/elasticache/home#client-download:"
_UNSHOWN = (s.CREATING, s.CREATE_FAILED)


def replication_group(ctx: Context, group: Topology) -> ReplicationGroup:
    """A replication group as DescribeReplicationGroups shows it. While it is created it has no node groups to show."""
    reported = ctx.reported(group)
    status = topology_status(group, reported, ctx.policy.most_boots)
    settings = group.settings
    is_told = all_enforce(group, reported)
    return ReplicationGroup(
        replication_group_id=group.name,
        description=settings.description,
        status=status,
        pending_modified_values=_pending_of_group(group, is_told),
        member_clusters=[node.id for node in group.members],
        node_groups=None if status in _UNSHOWN else [_node_group(ctx, group, part, status) for part in group.node_groups],
        snapshotting_cluster_id=_snapshotting(group),
        automatic_failover=_failover(settings, status),
        multi_az="enabled" if settings.multi_az else "disabled",
        configuration_endpoint=None if status in _UNSHOWN else _configuration_endpoint(ctx, group),
        snapshot_retention_limit=settings.snapshot_retention_limit,
        snapshot_window=settings.snapshot_window,
        cluster_enabled=group.shown.clustered,
        cache_node_type=group.shown.node_type,
        auth_token_enabled=bool(group.guard.tokens),
        auth_token_last_modified_date=group.guard.tokens_changed_at if group.guard.tokens else None,
        user_group_ids=_user_groups(group, is_told),
        transit_encryption_enabled=group.shown.transit is not None,
        transit_encryption_mode=group.shown.transit.value if group.shown.transit else None,
        at_rest_encryption_enabled=False,
        arn=arn(group.world, "replicationgroup", group.name),
        log_delivery_configurations=log_delivery.shown(settings),
        replication_group_create_time=group.requested_at,
        data_tiering="disabled",
        auto_minor_version_upgrade=settings.auto_minor_version_upgrade,
        network_type="ipv4",
        ip_discovery="ipv4",
        cluster_mode=group.shown_mode.value,
        engine=group.shown.engine,
    )


def _user_groups(group: Topology, is_told: bool) -> list[str]:
    """Who guards it: as it was, until all nodes know."""
    shown = group.guard.user_group if is_told else group.guard.former_group
    return [shown] if shown else []


def _coming_user_group(group: Topology, is_told: bool) -> UserGroupsUpdateStatus | None:
    come, go = group.guard.user_group, group.guard.former_group
    if is_told or come == go:
        return None
    return UserGroupsUpdateStatus(user_group_ids_to_add=[come] if come else [], user_group_ids_to_remove=[go] if go else [])


def _token_change(topology: Topology, is_told: bool) -> str | None:
    change = topology.guard.token_change
    return change.value if change and not is_told else None


def _pending_of_group(group: Topology, is_told: bool) -> ReplicationGroupPendingModifiedValues:
    mode = group.remake.cluster_mode if group.remake else None
    is_switched = group.shown.transit != group.transit
    migration = SlotMigration(progress_percentage=round(group.resharding.progress, 2)) if group.resharding else None
    return ReplicationGroupPendingModifiedValues(
        auth_token_status=_token_change(group, is_told),
        user_groups=_coming_user_group(group, is_told),
        cluster_mode=mode.value if mode else None,
        log_delivery_configurations=log_delivery.pending(group.settings) or None,
        resharding=ReshardingStatus(slot_migration=migration) if migration else None,
        transit_encryption_enabled=group.transit is not None if is_switched else None,
        transit_encryption_mode=group.transit.value if is_switched and group.transit else None,
    )


def _failover(settings: Settings, status: str) -> str:
    if not settings.automatic_failover:
        return "disabled"
    return "enabling" if status == s.CREATING else "enabled"


def cache_cluster(ctx: Context, topology: Topology, member: Node | None, *, with_nodes: bool) -> CacheCluster:
    """A cache cluster: a stand-alone one, or the member of a replication group that ``member`` is."""
    reported = ctx.reported(topology)
    status = _cache_cluster_status(ctx, topology, member, reported)
    nodes = [member] if member else list(topology.members)
    made = topology.make_of(member) if member else topology.shown
    name = member.id if member else topology.name
    settings = topology.settings
    known = status not in (*_UNSHOWN, s.DELETING)
    return CacheCluster(
        cache_cluster_id=name,
        configuration_endpoint=_configuration_endpoint(ctx, topology) if topology.is_memcached and known else None,
        client_download_landing_page=_LANDING_PAGE,
        cache_node_type=made.node_type,
        engine=made.engine,
        engine_version=engine_version(made.engine, made.engine_version).full,
        cache_cluster_status=status,
        num_cache_nodes=sum(not node.leaving for node in nodes) or len(nodes),
        preferred_availability_zone=_zone_of(nodes) if known else None,
        cache_cluster_create_time=_created(topology, member) if known else None,
        preferred_maintenance_window=settings.maintenance_window,
        pending_modified_values=_pending(topology, all_enforce(topology, reported)),
        notification_configuration=_notification(topology),
        cache_parameter_group=_parameter_group(topology, nodes, reported),
        cache_subnet_group_name=topology.subnet_group,
        cache_nodes=[_cache_node(ctx, topology, node) for node in nodes] if with_nodes and known else None,
        auto_minor_version_upgrade=settings.auto_minor_version_upgrade,
        security_groups=[
            SecurityGroupMembership(security_group_id=group_id, status="active") for group_id in settings.security_group_ids
        ],
        replication_group_id=topology.name if member else None,
        snapshot_retention_limit=None if topology.is_memcached else _retention(topology, member),
        snapshot_window=None if topology.is_memcached else settings.snapshot_window,
        auth_token_enabled=bool(topology.guard.tokens),
        auth_token_last_modified_date=topology.guard.tokens_changed_at if topology.guard.tokens else None,
        transit_encryption_enabled=topology.shown.transit is not None,
        transit_encryption_mode=topology.shown.transit.value if topology.shown.transit else None,
        at_rest_encryption_enabled=False,
        arn=arn(topology.world, "cluster", name),
        replication_group_log_delivery_enabled=member is not None and bool(settings.log_deliveries),
        log_delivery_configurations=[] if member else log_delivery.shown(settings),  # the group shows those of its members
        network_type="ipv4",
        ip_discovery="ipv4",
    )


def _cache_cluster_status(ctx: Context, topology: Topology, member: Node | None, reported: Reported) -> str:
    if member is None:
        return topology_status(topology, reported, ctx.policy.most_boots)
    return member_status(topology, member, reported, ctx.policy.most_boots)


def _node_group(ctx: Context, topology: Topology, group: DesiredGroup, status: str) -> NodeGroup:
    endpoints: dict[str, Endpoint] = {}
    if topology.can_publish:
        endpoints["primary_endpoint"] = _led(ctx, topology, Purpose.PRIMARY, topology.primary_address)
        endpoints["reader_endpoint"] = _led(ctx, topology, Purpose.READER, topology.reader_address)
    members = [_member(ctx, topology, node) for node in group.members]
    slots = shown_slots(group.slots) if topology.cluster_mode is ClusterMode.ENABLED else None
    return NodeGroup(node_group_id=group.id, status=status, slots=slots, node_group_members=members, **endpoints)


def _member(ctx: Context, topology: Topology, node: Node) -> NodeGroupMember:
    """A member's role is the one its engine reported, not the one it is meant to have. With cluster mode enabled the bus tells it."""
    if topology.cluster_mode is ClusterMode.ENABLED:
        return NodeGroupMember(cache_cluster_id=node.id, cache_node_id="0001", preferred_availability_zone=node.zone)
    seen = ctx.reported(topology).of(node)
    role = seen.role if seen is not None and seen.role in ("primary", "replica") else None
    return NodeGroupMember(
        cache_cluster_id=node.id,
        cache_node_id="0001",
        read_endpoint=_endpoint(ctx, topology, node),
        preferred_availability_zone=node.zone,
        current_role=role or "replica",
    )


def _cache_node(ctx: Context, topology: Topology, node: Node) -> CacheNode:
    reported = ctx.reported(topology)
    return CacheNode(
        cache_node_id=node.id if topology.is_memcached else "0001",
        cache_node_status=node_status(topology, node, reported),
        cache_node_create_time=node.joined_at,
        endpoint=_endpoint(ctx, topology, node) if node.joined_at else None,
        parameter_group_status=_parameter_status(topology, node, reported),
        customer_availability_zone=node.zone,
    )


def _parameter_group(topology: Topology, nodes: list[Node], reported: Reported) -> CacheParameterGroupStatus:
    statuses = {node.id: _parameter_status(topology, node, reported) for node in nodes}
    pending = [node for node, status in statuses.items() if status == s.PENDING_REBOOT]
    return CacheParameterGroupStatus(
        cache_parameter_group_name=topology.parameter_group,
        parameter_apply_status=s.parameter_status_of_all(statuses.values()),
        cache_node_ids_to_reboot=pending if topology.is_memcached else ["0001"] * bool(pending),
    )


def _parameter_status(topology: Topology, node: Node, reported: Reported) -> str:
    return s.parameter_status(topology, node, reported, resources_of(topology, node.make).configuration.digest)


def _endpoint(ctx: Context, topology: Topology, node: Node) -> Endpoint | None:
    if node.placement is None:
        return None
    is_name = ctx.style.shows_names(topology)
    return Endpoint(address=ctx.style.node_name(topology, node) if is_name else node.placement.address, port=topology.port)


def _configuration_endpoint(ctx: Context, topology: Topology) -> Endpoint | None:
    address = topology.configuration_address
    is_there = topology.has_configuration_endpoint and (topology.is_memcached or topology.shown.clustered)
    if not is_there or (address is None and not topology.is_named):
        return None
    return _led(ctx, topology, configuration_purpose(topology), address)


def _led(ctx: Context, topology: Topology, purpose: Purpose, address: str | None) -> Endpoint:
    """An endpoint of a topology: by its name where names are shown, else at its address."""
    shown = ctx.style.name(topology, purpose) if ctx.style.shows_names(topology) or address is None else address
    return Endpoint(address=shown, port=topology.port)


def _pending(topology: Topology, is_told: bool) -> PendingModifiedValues:
    """What waits for the maintenance window: the number of nodes then, and which of them go; what they are made of then."""
    change, wanted = topology.pending, topology.remake.make if topology.remake else topology.make
    number = None
    if change is not None:
        number = sum(not node.leaving for node in topology.nodes) + len(change.added) - len(change.removed)
    is_upgrade = (wanted.engine, wanted.engine_version) != (topology.engine, topology.engine_version)
    return PendingModifiedValues(
        num_cache_nodes=number,
        cache_node_ids_to_remove=(list(change.removed) or None) if change is not None else None,
        engine_version=engine_version(wanted.engine, wanted.engine_version).full if is_upgrade else None,
        cache_node_type=wanted.node_type if wanted.node_type != topology.node_type else None,
        log_delivery_configurations=(log_delivery.pending(topology.settings) or None) if topology.kind is Kind.CACHE_CLUSTER else None,
        auth_token_status=_token_change(topology, is_told),
    )


def _zone_of(nodes: list[Node]) -> str:
    zones = {node.zone for node in nodes}
    return zones.pop() if len(zones) == 1 else "Multiple"


def _created(topology: Topology, member: Node | None) -> datetime | None:
    return member.joined_at if member else topology.announced_at


def _notification(topology: Topology) -> NotificationConfiguration | None:
    settings = topology.settings
    if settings.notification_topic is None:
        return None
    status = "active" if settings.notification_active else "inactive"
    return NotificationConfiguration(topic_arn=settings.notification_topic, topic_status=status)


def _snapshotting(group: Topology) -> str | None:
    """The member that automatic snapshots are taken from, while any are kept: the one that was chosen, else the last."""
    if group.settings.snapshot_retention_limit == 0 or not group.node_groups or group.cluster_mode is ClusterMode.ENABLED:
        return None
    nodes = [node.id for node in group.node_groups[0].members if not node.leaving]
    chosen = group.settings.snapshotting_cluster
    return chosen if chosen in nodes else nodes[-1] if nodes else None


def _retention(topology: Topology, member: Node | None) -> int:
    """Outside cluster mode only the member that is saved has the group's."""
    if member is None or topology.kind is Kind.CACHE_CLUSTER:
        return topology.settings.snapshot_retention_limit
    mine = topology.cluster_mode is ClusterMode.ENABLED or _snapshotting(topology) == member.id
    return topology.settings.snapshot_retention_limit if mine else 0
