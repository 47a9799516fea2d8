"""Inheritance: what a request leaves out of a new cache is as it was when the snapshot was taken that it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.faults import CacheSubnetGroupNotFound, InvalidParameterCombination
from api_schemas.parts import NodeGroupConfiguration
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.engine_versions import EngineVersion, engine_version, normalised_engine, version_numbers
from controlplane.domain.naming import arn
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Origin, Snapshot, SnapshotPart
from controlplane.domain.topology import ClusterMode
from controlplane.operations import layout
from controlplane.operations.cluster_mode import mode_asked
from controlplane.operations.context import Context
from controlplane.operations.tagging import as_tags

Asked = TypeVar("Asked", CreateReplicationGroup, CreateCacheCluster)


def inherited_by_group(ctx: Context, asked: CreateReplicationGroup, snapshot: Snapshot) -> CreateReplicationGroup:
    """The request with everything in it that it leaves out. Raises InvalidParameterCombination for what the snapshot cannot become."""
    version = _version(asked, snapshot)
    asked = _with_settings(ctx, asked, snapshot, version)
    several = max(asked.num_node_groups or 0, len(asked.node_group_configuration)) > 1
    if not asked.cluster_mode and not asked.cache_parameter_group_name and not several:
        asked = asked.model_copy(update={"cluster_mode": snapshot.origin.cluster_mode.value})
    if not asked.cache_parameter_group_name:
        clustered = several or (asked.cluster_mode or "").lower() != ClusterMode.DISABLED
        asked = asked.model_copy(update={"cache_parameter_group_name": _parameter_group(ctx, snapshot, version, clustered)})
    mode, _ = mode_asked(ctx, asked, version)
    must_stay_in_cluster_mode(snapshot, mode)
    return _with_shards(ctx, asked, snapshot) if mode is ClusterMode.ENABLED else _with_nodes(ctx, asked, snapshot)


def inherited_by_cluster(ctx: Context, asked: CreateCacheCluster, snapshot: Snapshot) -> CreateCacheCluster:
    """The request with everything in it that it leaves out. Raises InvalidParameterCombination for what the snapshot cannot become."""
    must_stay_in_cluster_mode(snapshot, ClusterMode.DISABLED)
    version = _version(asked, snapshot)
    asked = _with_settings(ctx, asked, snapshot, version)
    filled: dict[str, Any] = {}
    if not asked.cache_parameter_group_name:
        filled["cache_parameter_group_name"] = _parameter_group(ctx, snapshot, version, clustered=False)
    zones = _zones_that_are_here(ctx, snapshot.parts[0].zones[:1])
    if zones and not asked.preferred_availability_zone and not asked.preferred_availability_zones:
        filled["preferred_availability_zone"] = zones[0]
    return asked.model_copy(update=filled)


def must_stay_in_cluster_mode(snapshot: Snapshot, mode: ClusterMode) -> None:
    """Raises InvalidParameterCombination where a snapshot of several shards should become one without them."""
    if snapshot.is_clustered and mode is not ClusterMode.ENABLED:
        raise InvalidParameterCombination(
            f"Snapshot {snapshot.name} is of a replication group with cluster mode enabled, and can only be restored into another one. "
            "Create a replication group whose parameter group has cluster-enabled=yes."
        )


# ---- what every cache has


def _version(asked: CreateReplicationGroup | CreateCacheCluster, snapshot: Snapshot) -> EngineVersion:
    """The same engine in the same version or a later one, or any Valkey after Redis."""
    origin = snapshot.origin
    engine = normalised_engine(asked.engine) if asked.engine else origin.engine
    if engine != origin.engine and (origin.engine, engine) != ("redis", "valkey"):
        raise InvalidParameterCombination(f"{_named(snapshot)} cannot be restored into {engine}; only redis can become valkey.")
    version = engine_version(engine, asked.engine_version or (origin.engine_version if engine == origin.engine else None))
    if engine == origin.engine and version.numbers < version_numbers(origin.engine_version):
        raise InvalidParameterCombination(
            f"{_named(snapshot)} cannot be restored into the earlier {version.version}: choose the same version or a later one."
        )
    return version


def _named(snapshot: Snapshot) -> str:
    return f"Snapshot {snapshot.name} of {snapshot.origin.engine} {snapshot.origin.engine_version}"


def _with_settings(ctx: Context, asked: Asked, snapshot: Snapshot, version: EngineVersion) -> Asked:
    origin, settings = snapshot.origin, snapshot.origin.settings
    filled: dict[str, Any] = {
        "engine": version.engine,
        "engine_version": version.version,
        "cache_node_type": asked.cache_node_type or origin.node_type,
        "cache_subnet_group_name": asked.cache_subnet_group_name or _subnet_group(ctx, origin, snapshot),
        "preferred_maintenance_window": asked.preferred_maintenance_window or settings.maintenance_window,
        "snapshot_window": asked.snapshot_window or settings.snapshot_window,
        "security_group_ids": asked.security_group_ids or list(settings.security_group_ids),
        "tags": asked.tags or as_tags(ctx.unit.tags.of(arn(ctx.world, "snapshot", snapshot.name))),
    }
    if asked.port is None:
        filled["port"] = origin.port
    if asked.snapshot_retention_limit is None:
        filled["snapshot_retention_limit"] = settings.snapshot_retention_limit
    if asked.auto_minor_version_upgrade is None:
        filled["auto_minor_version_upgrade"] = settings.auto_minor_version_upgrade
    return asked.model_copy(update=filled)


def _subnet_group(ctx: Context, origin: Origin, snapshot: Snapshot) -> str | None:
    name = origin.subnet_group
    if name not in (None, "default") and ctx.unit.subnet_groups.get(ctx.world, name) is None:
        raise CacheSubnetGroupNotFound(
            name, message=f"Cache subnet group {name}, which snapshot {snapshot.name} names, is gone. Give another as CacheSubnetGroupName."
        )
    return name


def _parameter_group(ctx: Context, snapshot: Snapshot, version: EngineVersion, clustered: bool) -> str | None:
    """The one that the snapshot names, if it is still there and is for such a cache; None for the family's default."""
    found = ctx.unit.parameter_groups.get(ctx.world, snapshot.origin.parameter_group)
    return found.name if found is not None and (found.family, found.cluster_mode) == (version.family, clustered) else None


# ---- node groups, replicas, zones


def _with_shards(ctx: Context, asked: CreateReplicationGroup, snapshot: Snapshot) -> CreateReplicationGroup:
    """Where the number of node groups is the snapshot's, each is like one of those; otherwise slots are cut evenly."""
    parts = snapshot.parts
    if asked.num_cache_clusters is not None and len(parts) > 1:
        raise InvalidParameterCombination(
            f"Snapshot {snapshot.name} has {len(parts)} node groups: give NumNodeGroups and ReplicasPerNodeGroup, not NumCacheClusters."
        )
    configurations = asked.node_group_configuration
    number = len(configurations) or (len(parts) if asked.num_node_groups is None else asked.num_node_groups)
    if not configurations and (asked.num_cache_clusters is not None or asked.preferred_cache_cluster_azs or number != len(parts)):
        counted = {} if asked.num_cache_clusters is not None else {"num_node_groups": number}
        return asked.model_copy(update={**counted, **_replicas(asked, snapshot)})
    if not configurations:
        configurations = [NodeGroupConfiguration(node_group_id=part.group) for part in parts]
    likes: Sequence[SnapshotPart | None] = _counterparts(configurations, parts) if number == len(parts) else [None] * number
    with_slots = not any(each.slots for each in configurations)
    filled = [_like(ctx, asked, each, like, snapshot, with_slots) for each, like in zip(configurations, likes, strict=True)]
    return asked.model_copy(update={"node_group_configuration": filled})


def _with_nodes(ctx: Context, asked: CreateReplicationGroup, snapshot: Snapshot) -> CreateReplicationGroup:
    part = snapshot.parts[0]
    if asked.node_group_configuration:
        one = _like(ctx, asked, asked.node_group_configuration[0], part, snapshot, with_slots=False)
        return asked.model_copy(update={"node_group_configuration": [one]})
    asked = asked.model_copy(update=_replicas(asked, snapshot))
    number = asked.num_cache_clusters or 1 + (asked.replicas_per_node_group or 0)
    zones = _zones_that_are_here(ctx, part.zones)
    if asked.preferred_cache_cluster_azs or number != len(zones):
        return asked
    return asked.model_copy(update={"preferred_cache_cluster_azs": zones})


def _replicas(asked: CreateReplicationGroup, snapshot: Snapshot) -> dict[str, Any]:
    says = asked.replicas_per_node_group is not None or asked.num_cache_clusters is not None
    return {} if says else {"replicas_per_node_group": _most_replicas(snapshot)}


def _most_replicas(snapshot: Snapshot) -> int:
    return max(_replicas_of(snapshot, part) for part in snapshot.parts)


def _replicas_of(snapshot: Snapshot, part: SnapshotPart) -> int:
    """A snapshot of one cache cluster is of one node, whatever group that was in."""
    return part.replicas if snapshot.cache_cluster is None else 0


def _counterparts(configurations: Sequence[NodeGroupConfiguration], parts: Sequence[SnapshotPart]) -> list[SnapshotPart]:
    """Those of the same ids; in order, where the ids are others."""
    by_id = {part.group: part for part in parts}
    ids = [(each.node_group_id or "").zfill(4) for each in configurations]
    return [by_id[each] for each in ids] if set(ids) == set(by_id) else list(parts)


def _like(ctx: Context, asked: CreateReplicationGroup, part: NodeGroupConfiguration, like: SnapshotPart | None,
          snapshot: Snapshot, with_slots: bool) -> NodeGroupConfiguration:  # fmt: skip
    """What a node group to be has of its own, and the rest from a node group of the snapshot, if it is like one."""
    filled: dict[str, Any] = {}
    if like is not None and like.slots and with_slots:
        filled["slots"] = shown_slots(like.slots)
    if part.replica_availability_zones:
        return part.model_copy(update=filled)
    replicas = asked.replicas_per_node_group if part.replica_count is None else part.replica_count
    if replicas is None:
        replicas = _most_replicas(snapshot) if like is None else _replicas_of(snapshot, like)
    filled["replica_count"] = replicas
    if like is not None and not part.primary_availability_zone and len(zones := _zones_that_are_here(ctx, like.zones)) == 1 + replicas:
        filled |= {"primary_availability_zone": zones[0], "replica_availability_zones": zones[1:]}
    return part.model_copy(update=filled)


def _zones_that_are_here(ctx: Context, zones: Sequence[str]) -> list[str]:
    """The same zones, or none where one of them is not served here."""
    return list(zones) if set(zones) <= set(layout.zones_here(ctx)) else []
