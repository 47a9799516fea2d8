"""Sources: of what a snapshot is taken, whether it can be, and how often it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from api_schemas.faults import (
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    SnapshotAlreadyExists,
    SnapshotFeatureNotSupported,
    SnapshotQuotaExceeded,
)
from api_schemas.parts import Tag
from controlplane.domain.backup import Cause, ManualBackup
from controlplane.domain.naming import arn, snapshot_name
from controlplane.domain.node_types import takes_snapshots
from controlplane.domain.snapshot import Snapshot, begun
from controlplane.domain.status import AVAILABLE, member_status
from controlplane.domain.topology import ClusterMode, Kind, Node, Topology
from controlplane.operations.context import Context
from controlplane.operations.tagging import as_tags, tag_new

_ROLLING = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Source:
    """What a snapshot is taken of: a topology as a whole, or its ``member``, the cache cluster that was asked for."""

    topology: Topology
    member: Node | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is a replication group rather than a cache cluster."""
        return self.member is None and self.topology.kind is Kind.REPLICATION_GROUP

    @property
    def arn(self) -> str:
        """Whose tags the snapshot has if it is given none."""
        kind = "replicationgroup" if self.is_whole else "cluster"
        return arn(self.topology.world, kind, self.member.id if self.member else self.topology.name)


def source_asked(ctx: Context, replication_group: str | None, cache_cluster: str | None) -> Source:
    """The source that was named, which is available. Where a group and its member are, it is the member, or in cluster mode the group.

    Raises InvalidParameterCombination where none is named, or two that have nothing to do with each other, the NotFound of either,
    SnapshotFeatureNotSupported for what has no snapshots, and InvalidReplicationGroupState or InvalidCacheClusterState.
    """
    if not replication_group and not cache_cluster:
        raise InvalidParameterCombination("Give ReplicationGroupId or CacheClusterId: a snapshot is taken of one of them.")
    group = ctx.replication_group(replication_group) if replication_group else None
    if not cache_cluster:
        source = Source(group or ctx.replication_group(replication_group or ""))
    else:
        source = _of_cache_cluster(ctx, cache_cluster, group)
    must_have_snapshots(source.topology)
    _must_be_available(ctx, source)
    return source


def _of_cache_cluster(ctx: Context, name: str, group: Topology | None) -> Source:
    topology, member = ctx.cache_cluster(name)
    if group is not None and topology.uid != group.uid:
        raise InvalidParameterCombination(
            f"Cache cluster {name.lower()} is not a member of replication group {group.name}. Give one of the two."
        )
    if topology.cluster_mode is not ClusterMode.ENABLED:
        return Source(topology, member)
    if group is None:
        raise InvalidParameterValue(
            f"{name.lower()} is one node of {topology.name}, which has cluster mode enabled: a snapshot is taken of all of its shards. "
            "Give ReplicationGroupId."
        )
    return Source(topology)


def must_have_snapshots(topology: Topology) -> None:
    """Raises SnapshotFeatureNotSupported for Memcached and for the one node type that is too small."""
    if topology.is_memcached:
        raise SnapshotFeatureNotSupported(f"{topology.name} is a Memcached cluster, and Memcached has no snapshots.")
    if not takes_snapshots(topology.node_type):
        raise SnapshotFeatureNotSupported(f"{topology.name} runs on {topology.node_type}, of which no snapshots can be taken.")


def must_be_new(ctx: Context, name: str) -> None:
    """Raises SnapshotAlreadyExists where there is a snapshot of that name, be it one that failed or is being deleted."""
    if ctx.unit.snapshots.named(ctx.world, name) is not None:
        raise SnapshotAlreadyExists(name)


def ended_by(ctx: Context, topology: Topology, asked: str) -> Topology:
    """The topology, which goes as soon as a last snapshot of that name is taken of its primaries.

    Raises InvalidParameterValue, SnapshotFeatureNotSupported, SnapshotAlreadyExists and SnapshotQuotaExceeded.
    """
    name = snapshot_name(asked, "FinalSnapshotIdentifier")
    must_have_snapshots(topology)
    must_be_new(ctx, name)
    taken(ctx, Source(topology), name, Cause.FINAL)
    return ctx.unit.topologies.get(topology.uid) or topology


def taken(ctx: Context, source: Source, name: str, cause: Cause, tags: Sequence[Tag] = ()) -> Snapshot:
    """A snapshot of the source is being taken: it and its topology are written down. Without tags it has those of the source.

    Raises SnapshotQuotaExceeded.
    """
    topology = source.topology
    member = source.member.id if source.member else _member(topology, cause)
    counted = _counted(ctx, topology, member or _usual(topology))
    begins, snapshot = begun(
        replace(topology, manual_backups=counted), name, cause, ctx.archive, ctx.now, ctx.clock.uid(), member, source.is_whole
    )
    ctx.unit.topologies.save(begins)
    ctx.unit.snapshots.save(snapshot)
    tag_new(ctx, arn(ctx.world, "snapshot", name), tags or as_tags(ctx.unit.tags.of(source.arn)))
    return snapshot


def _member(topology: Topology, cause: Cause) -> str | None:
    """The member that a group's snapshot is taken from: for a final one the primary, else the one that a caller chose, if any did."""
    if topology.cluster_mode is ClusterMode.ENABLED or topology.kind is Kind.CACHE_CLUSTER:
        return None
    return topology.node_groups[0].primary if cause is Cause.FINAL else topology.settings.snapshotting_cluster


def _usual(topology: Topology) -> str | None:
    """The member that counts where none was chosen: the last, None in cluster mode, where the group does."""
    nodes = [node.id for node in topology.members]
    return None if topology.cluster_mode is ClusterMode.ENABLED else nodes[-1]


def _counted(ctx: Context, topology: Topology, member: str | None) -> tuple[ManualBackup, ...]:
    """What was asked for in the last 24 hours, with this one. Snapshots that were deleted count. Raises SnapshotQuotaExceeded."""
    most = ctx.policy.most_manual_snapshots
    if not most:
        return ()
    recent = tuple(each for each in topology.manual_backups if each.at > ctx.now - _ROLLING)
    if sum(each.node == member for each in recent) >= most:
        raise SnapshotQuotaExceeded(most)
    return (*recent, ManualBackup(member, ctx.now))


def _must_be_available(ctx: Context, source: Source) -> None:
    topology, member = source.topology, source.member
    status = ctx.status(topology)
    if source.is_whole:
        if status != AVAILABLE:
            raise InvalidReplicationGroupState(f"Replication group {topology.name} must be available to be saved; it is {status}.")
        return
    if member is not None:
        own = member_status(topology, member, ctx.reported(topology), ctx.policy.most_boots)
        status = own if own != AVAILABLE else status
    if status != AVAILABLE:
        name = member.id if member else topology.name
        raise InvalidCacheClusterState(f"Cache cluster {name} must be available to be saved; it, or its group, is {status}.")
