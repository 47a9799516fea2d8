"""A snapshot as the service shows it: what its source was, and a part for each of its node groups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from api_schemas.parts import NodeGroupConfiguration
from api_schemas.snapshot import NodeSnapshot
from api_schemas.snapshot import Snapshot as Shown
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.naming import arn
from controlplane.domain.node_types import MIB
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotPart
from controlplane.domain.status import snapshot_status
from controlplane.domain.subnet_group import vpc_id
from controlplane.domain.topology import Kind, Topology


def snapshot_as_shown(snapshot: Snapshot, topologies: Iterable[Topology], *, with_config: bool = False) -> Shown:
    """A snapshot; ``topologies`` are those of its world, some of which may be being made from it."""
    origin, settings = snapshot.origin, snapshot.origin.settings
    is_of_group = snapshot.cache_cluster is None and origin.kind is Kind.REPLICATION_GROUP
    is_of_node = not snapshot.is_clustered
    return Shown(
        snapshot_name=snapshot.name,
        replication_group_id=origin.name if is_of_group else None,
        replication_group_description=settings.description if is_of_group else None,
        cache_cluster_id=_cache_cluster(snapshot),
        snapshot_status=snapshot_status(snapshot, topologies),
        snapshot_source="automated" if snapshot.automated else "manual",
        cache_node_type=origin.node_type,
        engine=origin.engine,
        engine_version=engine_version(origin.engine, origin.engine_version).full,
        num_cache_nodes=1 if is_of_node else None,
        preferred_availability_zone=_zone(snapshot.parts[0]) if is_of_node else None,
        cache_cluster_create_time=_created(snapshot) if is_of_node else None,
        preferred_maintenance_window=settings.maintenance_window,
        topic_arn=settings.notification_topic,
        port=origin.port,
        cache_parameter_group_name=origin.parameter_group,
        cache_subnet_group_name=origin.subnet_group,
        vpc_id=vpc_id(snapshot.world),
        auto_minor_version_upgrade=settings.auto_minor_version_upgrade,
        snapshot_retention_limit=settings.snapshot_retention_limit,
        snapshot_window=settings.snapshot_window,
        num_node_groups=len(snapshot.parts) if is_of_group else None,
        automatic_failover=("enabled" if settings.automatic_failover else "disabled") if snapshot.is_clustered else None,
        node_snapshots=[_part(snapshot, part, with_config) for part in snapshot.parts],
        arn=arn(snapshot.world, "snapshot", snapshot.name),
        data_tiering="disabled",
    )


def _cache_cluster(snapshot: Snapshot) -> str | None:
    """The cache cluster that it is of: where a caller named none, the one whose node was saved."""
    return None if snapshot.is_clustered else snapshot.cache_cluster or snapshot.parts[0].node


def is_of_cache_cluster(snapshot: Snapshot, name: str) -> bool:
    """Whether it is of the cache cluster of that id."""
    return _cache_cluster(snapshot) == name


def is_of_replication_group(snapshot: Snapshot, name: str) -> bool:
    """Whether it is of the replication group of that id, or of one of its members."""
    return snapshot.origin.kind is Kind.REPLICATION_GROUP and snapshot.origin.name == name


def _zone(part: SnapshotPart) -> str | None:
    """None of an imported one whose zones nobody knows."""
    return part.zone or next(iter(part.zones), None)


def _created(snapshot: Snapshot) -> datetime | None:
    return snapshot.origin.created_at if snapshot.origin.kind is Kind.CACHE_CLUSTER else snapshot.parts[0].node_created_at


def _part(snapshot: Snapshot, part: SnapshotPart, with_config: bool) -> NodeSnapshot:
    clustered = snapshot.is_clustered
    return NodeSnapshot(
        node_group_id=part.group if clustered else None,
        cache_node_id=None if clustered else "0001",
        node_group_configuration=_configuration(part) if clustered and with_config else None,
        cache_size=_size(part),
        cache_node_create_time=part.node_created_at,
        snapshot_create_time=part.file.taken_at if part.file else None,
    )


def _configuration(part: SnapshotPart) -> NodeGroupConfiguration:
    return NodeGroupConfiguration(
        node_group_id=part.group,
        slots=shown_slots(part.slots),
        replica_count=part.replicas,
        primary_availability_zone=next(iter(part.zones), None),
        replica_availability_zones=list(part.zones[1:]),
    )


def _size(part: SnapshotPart) -> str:
    """What the data took in the memory of the engine; nothing until the file is there."""
    return f"{max(1, -(-part.file.used_memory // MIB))} MB" if part.file else ""
