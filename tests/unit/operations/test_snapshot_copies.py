"""Copies of snapshots and exports to buckets: what is written down, and what is made sure of before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, WORLD, FixedClock, a_group, a_sharded_group

from api_schemas.faults import (
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSnapshotState,
    ServiceUnavailable,
    SnapshotAlreadyExists,
    SnapshotNotFound,
)
from api_schemas.parts import Tag
from api_schemas.snapshot import COPY_SNAPSHOT, CopySnapshot, DeleteSnapshot
from api_schemas.snapshot import Snapshot as Shown
from archives.buckets import (
    BadKeyError,
    BucketAwayError,
    BucketError,
    DirectoryBuckets,
    KeyExistsError,
    NoSuchBucketError,
    NoSuchKeyError,
    NotAccessibleError,
    OutsideRegionError,
)
from controlplane.domain.backup import ArchivePlace, Cause, SavedFile
from controlplane.domain.naming import arn
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState, begun
from controlplane.domain.topology import Topology
from controlplane.operations import keepers
from controlplane.operations.context import Context
from controlplane.operations.performs import Operations
from controlplane.operations.snapshot_copies import check_bucket, copy_snapshot, must_take
from controlplane.operations.snapshots import delete_snapshot
from controlplane.planner.situation import Policy
from controlplane.store.store import Store

OLD, NEW = ArchivePlace("file:///old", "a1"), ArchivePlace("file:///new", "a2")
VALUE, COMBINATION = InvalidParameterValue, InvalidParameterCombination
LONG = "x" * 1001


def a_snapshot(source: Topology | None = None, **fields: Any) -> Snapshot:
    """One that is available, with a file for each of its node groups."""
    _, snapshot = begun(source or a_group(), "monday", Cause.MANUAL, OLD, NOW, "snap1")
    file = SavedFile("snap1/0001-1.rdb", 1000, "ab" * 32, "VALKEY080", NOW, keys=1)
    parts = tuple(replace(part, file=file) for part in snapshot.parts)
    there = replace(snapshot, parts=parts, gathered=True, manifest="cd" * 32, state=SnapshotState.AVAILABLE)
    return replace(there, **fields)


@pytest.fixture
def ctx(ctx: Context, tmp_path: Path) -> Context:
    """As everywhere, with an archive, a bucket, and a snapshot."""
    (tmp_path / "buckets" / "exports").mkdir(parents=True)
    ctx.unit.snapshots.save(a_snapshot())
    return replace(ctx, archive=NEW, buckets=DirectoryBuckets(tmp_path / "buckets"))


def ask(target: str = "tuesday", **asked: Any) -> CopySnapshot:
    return CopySnapshot(**{"source_snapshot_name": "monday", "target_snapshot_name": target, **asked})


def copy(ctx: Context, target: str = "tuesday", **asked: Any) -> Shown:
    """As the doors do it: the bucket is asked first."""
    wanted = ask(target, **asked)
    make_sure = check_bucket(ctx, wanted)
    if make_sure is not None:
        make_sure()
    return copy_snapshot(ctx, wanted).snapshot


def written(ctx: Context, name: str) -> Snapshot:
    found = ctx.unit.snapshots.named(ctx.world, name)
    assert found is not None
    return found


# ---- copies


def test_a_copy_is_written_down_without_files(ctx: Context, clock: FixedClock) -> None:
    ctx.unit.snapshots.save(a_snapshot(automated=True, exports=()))
    clock.advance(hours=1)
    answer = copy(ctx, "Tuesday")
    assert (answer.snapshot_name, answer.snapshot_status, answer.snapshot_source) == ("tuesday", "copying", "manual")
    assert [part.cache_size for part in answer.node_snapshots] == [""]
    source, target = written(ctx, "monday"), written(ctx, "tuesday")
    assert target == replace(
        source, uid="uid0000001", name="tuesday", automated=False, state=SnapshotState.COPYING, requested_at=ctx.now, archive=NEW,
        gathered=False, manifest="", copy_of="snap1", parts=tuple(replace(part, file=None) for part in source.parts),
    )  # fmt: skip
    assert source.state is SnapshotState.AVAILABLE


def test_what_is_being_copied_cannot_be_deleted_until_the_copy_is_there(ctx: Context) -> None:
    copy(ctx)
    gone = DeleteSnapshot(snapshot_name="monday")
    with pytest.raises(InvalidSnapshotState, match="is being copied to tuesday"):
        delete_snapshot(ctx, gone)
    ctx.unit.snapshots.save(replace(written(ctx, "tuesday"), state=SnapshotState.AVAILABLE))
    assert delete_snapshot(ctx, gone).snapshot.snapshot_status == "deleting"


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"source_snapshot_name": "never"}, SnapshotNotFound),
        ({"target_snapshot_name": "monday"}, SnapshotAlreadyExists),
        ({"target_snapshot_name": "MONDAY"}, SnapshotAlreadyExists),
        ({"target_snapshot_name": "-"}, VALUE),
        ({"target_snapshot_name": "a" * 256}, VALUE),
        ({"target_snapshot_name": "automatic.orders"}, VALUE),
        ({"kms_key_id": "key"}, VALUE),
        ({"tags": [Tag(key="aws:x")]}, VALUE),
        ({"target_bucket": "exports", "kms_key_id": "key"}, VALUE),
        ({"target_bucket": "exports", "tags": [Tag(key="x")]}, COMBINATION),
        ({"target_bucket": "exports", "target_snapshot_name": ""}, VALUE),
        ({"target_bucket": "exports", "target_snapshot_name": LONG}, VALUE),
        ({"target_bucket": "exports", "target_snapshot_name": "\u20ac" * 400}, VALUE),
        ({"target_bucket": "exports", "target_snapshot_name": "line\nbreak"}, VALUE),
        ({"target_bucket": "exports", "target_snapshot_name": "../x"}, VALUE),
        ({"target_bucket": "exports", "source_snapshot_name": "never"}, SnapshotNotFound),
    ],
)
def test_what_cannot_be_copied_is_refused_and_nothing_is_written(ctx: Context, asked: dict[str, Any], fault: type[Fault]) -> None:
    with pytest.raises(fault):
        copy(ctx, **asked)
    assert list(ctx.unit.snapshots.of(ctx.world)) == [a_snapshot()]


@pytest.mark.parametrize("bucket", [None, "exports"])
@pytest.mark.parametrize(
    "fields",
    [
        *({"state": state} for state in SnapshotState if state is not SnapshotState.AVAILABLE),
        {"exports": (Export("exports", "first", NOW),)},
    ],
)
def test_only_what_is_available_can_be_copied(ctx: Context, bucket: str | None, fields: dict[str, Any]) -> None:
    ctx.unit.snapshots.save(a_snapshot(**fields))
    with pytest.raises(InvalidSnapshotState):
        copy(ctx, target_bucket=bucket)
    with pytest.raises(InvalidSnapshotState):
        copy_snapshot(ctx, ask(target_bucket=bucket))  # it may have changed since the bucket was asked


@pytest.mark.parametrize(("given", "tags"), [([], {"of": "monday"}), ([Tag(key="own", value="1")], {"own": "1"})])
def test_a_copy_has_the_tags_that_it_is_given_or_those_of_its_source(ctx: Context, given: list[Tag], tags: dict[str, str]) -> None:
    ctx.unit.tags.put(arn(WORLD, "snapshot", "monday"), {"of": "monday"})
    copy(ctx, tags=given)
    assert ctx.unit.tags.of(arn(WORLD, "snapshot", "tuesday")) == tags


# ---- exports


@pytest.mark.parametrize("target", ["Tuesday", "folder/Of Tuesday", "x" * 1000])
def test_an_export_is_written_down_with_its_source(ctx: Context, target: str) -> None:
    ctx = replace(ctx, buckets=Answering())
    answer = copy(ctx, target, target_bucket="exports")
    assert (answer.snapshot_name, answer.snapshot_status) == ("monday", "exporting")
    assert written(ctx, "monday").exports == (Export("exports", target, NOW),)
    assert [snapshot.name for snapshot in ctx.unit.snapshots.of(ctx.world)] == ["monday"]


def test_files_are_called_after_their_shards() -> None:
    snapshot = a_snapshot(a_sharded_group(shards=3))
    assert [Export("b", "Tuesday", NOW).key_of(part) for part in snapshot.parts] == [f"Tuesday-000{number}.rdb" for number in (1, 2, 3)]


def test_a_bucket_is_asked_about_every_file(ctx: Context, tmp_path: Path) -> None:
    ctx.unit.snapshots.save(a_snapshot(a_sharded_group(shards=3)))
    (tmp_path / "buckets" / "exports" / "tuesday-0003.rdb").write_bytes(b"theirs")
    with pytest.raises(VALUE) as refused:
        copy(ctx, target_bucket="exports")
    assert refused.value.message == "The S3 bucket exports already contains an object with key tuesday-0003.rdb."
    assert written(ctx, "monday").exports == ()


def test_without_buckets_there_are_no_exports(ctx: Context) -> None:
    with pytest.raises(VALUE, match="reaches no buckets"):
        copy(replace(ctx, buckets=None), target_bucket="exports")


class Answering:
    """Buckets that answer as they are told to: there is nothing in any."""

    def __init__(self, exists: bool | type[BucketError] = True, size: type[BucketError] = NoSuchKeyError) -> None:
        self._exists, self._size = exists, size

    def exists(self, bucket: str) -> bool:
        if isinstance(self._exists, bool):
            return self._exists
        raise self._exists(bucket, "", "it said so")

    def size(self, bucket: str, key: str) -> int:
        raise self._size(bucket, key, "it said so")

    def fetch(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nobody fetches anything")

    def put(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nobody keeps anything")


@pytest.mark.parametrize(
    ("answering", "fault", "message"),
    [
        (Answering(exists=False), VALUE, "The S3 bucket b does not exist."),
        (Answering(exists=NoSuchBucketError), VALUE, "The S3 bucket b does not exist."),
        (Answering(exists=NotAccessibleError), VALUE, "The S3 bucket b is not owned by the authenticated user."),
        (Answering(exists=OutsideRegionError), VALUE, "The S3 bucket b is outside of the region."),
        (Answering(exists=BucketAwayError), ServiceUnavailable, "does not answer"),
        (Answering(size=NotAccessibleError), VALUE, "ElastiCache has not been granted READ permissions b on the S3 Bucket."),
        (Answering(size=OutsideRegionError), VALUE, "The S3 bucket b is outside of the region."),
        (Answering(size=NoSuchBucketError), VALUE, "The S3 bucket b does not exist."),
        (Answering(size=BadKeyError), VALUE, "it said so"),
        (Answering(size=BucketAwayError), ServiceUnavailable, "does not answer"),
        (Answering(size=KeyExistsError), VALUE, "it said so"),
    ],
)
def test_what_a_bucket_says_becomes_the_services_words(answering: Answering, fault: type[Fault], message: str) -> None:
    with pytest.raises(fault) as refused:
        must_take(answering, "b", ["k"])
    assert message in refused.value.message


class Locked(Answering):
    """Buckets that are asked while nobody writes, which they find out by writing themselves."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.asked = 0

    def exists(self, bucket: str) -> bool:
        with self._store.transaction() as unit:
            unit.tags.put("arn", {"written": "meanwhile"})
        self.asked += 1
        return True


def test_buckets_are_asked_before_the_transaction_begins(tmp_path: Path) -> None:
    keepers.load()
    store = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    try:
        with store.transaction() as unit:
            unit.snapshots.save(a_snapshot())
        buckets = Locked(store)
        operations = Operations(store, FixedClock(), Policy(), archive=NEW, buckets=buckets)
        operations.run(COPY_SNAPSHOT.name, WORLD, ask(target_bucket="exports"))
        assert buckets.asked == 1
        with store.transaction() as unit:
            unit.snapshots.save(a_snapshot())  # the export is over
        operations.run(COPY_SNAPSHOT.name, WORLD, ask())
        assert buckets.asked == 1, "a copy has nothing to do with buckets"
    finally:
        store.close()
