"""Create, describe and delete snapshots. A record says what shall be; nodes save and the archivist keeps, or forgets."""

from __future__ import annotations

from dataclasses import replace

from api_schemas.faults import (
    InvalidParameterValue,
    InvalidSnapshotState,
    SnapshotNotFound,
)
from api_schemas.paging import page
from api_schemas.snapshot import (
    CREATE_SNAPSHOT,
    DELETE_SNAPSHOT,
    DESCRIBE_SNAPSHOTS,
    LARGEST_PAGE,
    CreateSnapshot,
    DeleteSnapshot,
    DescribeSnapshots,
    SnapshotList,
    SnapshotResult,
)
from api_schemas.snapshot import Snapshot as Shown
from controlplane.domain.backup import Cause
from controlplane.domain.naming import snapshot_name
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.status import AVAILABLE, snapshot_status
from controlplane.operations.context import Context
from controlplane.operations.describe_snapshot import is_of_cache_cluster, is_of_replication_group, snapshot_as_shown
from controlplane.operations.performs import performs
from controlplane.operations.refusals import refuse_what_is_not_built
from controlplane.operations.snapshot_sources import must_be_new, source_asked, taken
from controlplane.operations.tagging import checked_tags

_SOURCES = {"user": False, "system": True}


@performs(CREATE_SNAPSHOT)
def create_snapshot(ctx: Context, asked: CreateSnapshot) -> SnapshotResult:
    """Begin a snapshot of a replication group, of one of its members, or of a node alone. The source is ``snapshotting`` meanwhile."""
    name = snapshot_name(asked.snapshot_name, "SnapshotName")
    refuse_what_is_not_built(asked)
    checked_tags(asked.tags)
    source = source_asked(ctx, asked.replication_group_id, asked.cache_cluster_id)
    must_be_new(ctx, name)
    snapshot = taken(ctx, source, name, Cause.MANUAL, asked.tags)
    return SnapshotResult(snapshot=shown(ctx, snapshot))


@performs(DESCRIBE_SNAPSHOTS)
def describe_snapshots(ctx: Context, asked: DescribeSnapshots) -> SnapshotList:
    """One snapshot by name, or a page of those that every filter lets pass, the oldest first."""
    source = asked.snapshot_source
    if source and source not in _SOURCES:
        raise InvalidParameterValue(f"Invalid value {source[:40]!r} for SnapshotSource: it is user, for manual ones, or system.")
    found = [snapshot_of(ctx, asked.snapshot_name)] if asked.snapshot_name else ctx.unit.snapshots.of(ctx.world)
    wanted = [snapshot for snapshot in found if _passes(snapshot, asked)]
    on_page, marker = page(wanted, asked, largest=LARGEST_PAGE, default=LARGEST_PAGE)
    topologies = ctx.unit.topologies.of(ctx.world)
    with_config = bool(asked.show_node_group_config)
    snapshots = [snapshot_as_shown(snapshot, topologies, with_config=with_config) for snapshot in on_page]
    return SnapshotList(marker=marker, snapshots=snapshots)


@performs(DELETE_SNAPSHOT)
def delete_snapshot(ctx: Context, asked: DeleteSnapshot) -> SnapshotResult:
    """Have a snapshot go with its files. It may be an automatic one, or one that failed."""
    snapshot = snapshot_of(ctx, asked.snapshot_name)
    status = status_of(ctx, snapshot)
    if status not in (AVAILABLE, SnapshotState.FAILED):
        raise InvalidSnapshotState(f"Snapshot {snapshot.name} must be available or failed to be deleted; it is {status}.")
    if snapshot.is_being_verified:
        raise InvalidSnapshotState(f"Snapshot {snapshot.name} is being verified; delete it when that is over.")
    for other in ctx.unit.snapshots.of(ctx.world):
        if other.copy_of == snapshot.uid and other.state is SnapshotState.COPYING:
            raise InvalidSnapshotState(f"Snapshot {snapshot.name} is being copied to {other.name}; delete it when that is available.")
    deleting = replace(snapshot, state=SnapshotState.DELETING)
    ctx.unit.snapshots.save(deleting)
    return SnapshotResult(snapshot=shown(ctx, deleting))


def snapshot_of(ctx: Context, name: str) -> Snapshot:
    """The snapshot of that name. Raises SnapshotNotFound."""
    found = ctx.unit.snapshots.named(ctx.world, name.lower())
    if found is None:
        raise SnapshotNotFound(name)
    return found


def status_of(ctx: Context, snapshot: Snapshot) -> str:
    """The status of a snapshot at this moment."""
    return snapshot_status(snapshot, ctx.unit.topologies.of(ctx.world))


def shown(ctx: Context, snapshot: Snapshot) -> Shown:
    """A snapshot as answers show it."""
    return snapshot_as_shown(snapshot, ctx.unit.topologies.of(ctx.world))


def _passes(snapshot: Snapshot, asked: DescribeSnapshots) -> bool:
    if asked.snapshot_source and snapshot.automated is not _SOURCES[asked.snapshot_source]:
        return False
    if asked.cache_cluster_id and not is_of_cache_cluster(snapshot, asked.cache_cluster_id.lower()):
        return False
    return not asked.replication_group_id or is_of_replication_group(snapshot, asked.replication_group_id.lower())
