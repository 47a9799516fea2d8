"""Copies of snapshots under another name, and exports of their files to callers' buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue, InvalidSnapshotState
from api_schemas.snapshot import COPY_SNAPSHOT, CopySnapshot, SnapshotResult
from archives.bucket_names import why_no_object_name
from archives.buckets import BucketError, Buckets, NoSuchKeyError, NotAccessibleError
from controlplane.domain.naming import arn, snapshot_name
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState
from controlplane.domain.status import AVAILABLE
from controlplane.operations.bucket_faults import fault_of
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.refusals import refuse_what_is_not_built
from controlplane.operations.snapshot_sources import must_be_new
from controlplane.operations.snapshots import shown, snapshot_of, status_of
from controlplane.operations.tagging import as_tags, checked_tags, tag_new

LONGEST_EXPORT_NAME = 1000


def check_bucket(ctx: Context, asked: CopySnapshot) -> Callable[[], None] | None:
    """What is to be made sure of before an export begins: that there is such a bucket, which has none of its files yet."""
    if not asked.target_bucket:
        return None
    bucket, buckets = asked.target_bucket, ctx.buckets
    export = Export(bucket, _export_name(asked), ctx.now)
    keys = [export.key_of(part) for part in _source(ctx, asked).parts]
    if buckets is None:
        raise InvalidParameterValue("TargetBucket cannot be given: this control plane reaches no buckets. Nothing was changed.")
    return lambda: must_take(buckets, bucket, keys)


@performs(COPY_SNAPSHOT, beforehand=check_bucket)
def copy_snapshot(ctx: Context, asked: CopySnapshot) -> SnapshotResult:
    """Begin a copy, which is ``copying`` until it has files of its own. With a bucket the source is ``exporting`` until they are there."""
    refuse_what_is_not_built(asked)
    source = _source(ctx, asked)
    snapshot = _exporting(ctx, source, asked) if asked.target_bucket else _copying(ctx, source, asked)
    ctx.unit.snapshots.save(snapshot)
    return SnapshotResult(snapshot=shown(ctx, snapshot))


def must_take(buckets: Buckets, bucket: str, keys: Sequence[str]) -> None:
    """Raises InvalidParameterValue where a bucket cannot take objects of those names, and ServiceUnavailable where that is not known."""
    try:
        if not buckets.exists(bucket):
            raise InvalidParameterValue(f"The S3 bucket {bucket} does not exist.")
    except NotAccessibleError as refused:
        raise InvalidParameterValue(f"The S3 bucket {bucket} is not owned by the authenticated user.") from refused
    except BucketError as failed:
        raise fault_of(failed) from failed
    for key in keys:
        _must_be_free(buckets, bucket, key)


def _must_be_free(buckets: Buckets, bucket: str, key: str) -> None:
    try:
        buckets.size(bucket, key)
    except NoSuchKeyError:
        return
    except BucketError as failed:
        raise fault_of(failed) from failed
    raise InvalidParameterValue(f"The S3 bucket {bucket} already contains an object with key {key}.")


def _source(ctx: Context, asked: CopySnapshot) -> Snapshot:
    source = snapshot_of(ctx, asked.source_snapshot_name)
    status = status_of(ctx, source)
    if status != AVAILABLE:
        raise InvalidSnapshotState(f"Snapshot {source.name} must be available to be copied; it is {status}.")
    return source


def _copying(ctx: Context, source: Snapshot, asked: CopySnapshot) -> Snapshot:
    """A snapshot that is like the source, and shall have a copy of each of its files."""
    name = snapshot_name(asked.target_snapshot_name, "TargetSnapshotName")
    checked_tags(asked.tags)
    must_be_new(ctx, name)
    own = arn(ctx.world, "snapshot", name)
    tag_new(ctx, own, asked.tags or as_tags(ctx.unit.tags.of(arn(ctx.world, "snapshot", source.name))))
    return replace(
        source,
        uid=ctx.clock.uid(),
        name=name,
        automated=False,
        state=SnapshotState.COPYING,
        requested_at=ctx.now,
        parts=tuple(replace(part, file=None) for part in source.parts),
        archive=ctx.archive,
        gathered=False,
        manifest="",
        problem=None,
        copy_of=source.uid,
        swept=False,
        exports=(),
        imported=False,
        verification=None,
    )


def _exporting(ctx: Context, source: Snapshot, asked: CopySnapshot) -> Snapshot:
    if asked.tags:
        raise InvalidParameterCombination("Tags cannot be given with TargetBucket: what is exported are files, which have none.")
    return replace(source, exports=(*source.exports, Export(asked.target_bucket or "", _export_name(asked), ctx.now)))


def _export_name(asked: CopySnapshot) -> str:
    """What the names of the files begin with. Any that S3 takes will do."""
    name = asked.target_snapshot_name
    if not 1 <= len(name) <= LONGEST_EXPORT_NAME or not name.isprintable() or why_no_object_name(f"{name}-0001.rdb"):
        told = f"TargetSnapshotName has {len(name)} characters; with TargetBucket it has 1 to {LONGEST_EXPORT_NAME} that can be printed."
        raise InvalidParameterValue(told)
    return name
