"""How far a snapshot is, part by part, and the verification of one that is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, a_sharded_group, have

from api_schemas.faults import InvalidSnapshotState, SnapshotNotFound
from api_schemas.snapshot import CopySnapshot, CreateSnapshot, DeleteSnapshot
from api_schemas.snapshot_progress import (
    DescribeSnapshotProgress,
    DescribeSnapshotVerification,
    SnapshotProgress,
    SnapshotVerification,
    VerifySnapshot,
)
from controlplane.domain.backup import ArchivePlace, SavedFile
from controlplane.domain.reported import RUNNING, Saved, SeenNode
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Topology
from controlplane.domain.verification import Verdict
from controlplane.operations.context import Context
from controlplane.operations.snapshot_copies import copy_snapshot
from controlplane.operations.snapshot_progress import describe_snapshot_progress
from controlplane.operations.snapshot_verification import describe_snapshot_verification, verify_snapshot
from controlplane.operations.snapshots import create_snapshot, delete_snapshot

FILE = SavedFile("uid/0001-1-ab.rdb", 1000, "ab" * 32, "VALKEY080", NOW + timedelta(seconds=2), keys=7, expires=3, functions=1, databases=1)


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """A group of two shards, of which a snapshot is being taken."""
    made = replace(ctx, archive=ArchivePlace("file:///archive", "a1"))
    have(made, a_sharded_group())
    create_snapshot(made, CreateSnapshot(snapshot_name="monday", replication_group_id="orders"))
    return made


def topology(ctx: Context) -> Topology:
    return ctx.replication_group("orders")


def written(ctx: Context, name: str = "monday") -> Snapshot:
    found = ctx.unit.snapshots.named(ctx.world, name)
    assert found is not None
    return found


def saves(ctx: Context, shard: str, saved: Saved | None, *, attempt: int = 1, file: SavedFile | None = None) -> None:
    """The first node of a shard is to save, and says that of it."""
    group = next(group for group in topology(ctx).node_groups if group.id == shard)
    node, backup = group.nodes[0], topology(ctx).backup
    assert backup is not None
    part = replace(backup.part(shard), node=node.id, attempt=attempt, file=file)
    now = ctx.unit.topologies.save(replace(topology(ctx), backup=backup.with_part(part)))
    ctx.unit.reports.put_node(now.key(node), SeenNode(RUNNING, 1, saved=saved), NOW)
    ctx.unit.reports.settle()


def become(ctx: Context, state: SnapshotState, *, file: SavedFile | None = FILE, problem: str | None = None) -> None:
    parts = tuple(replace(part, file=file) for part in written(ctx).parts)
    ctx.unit.snapshots.save(replace(written(ctx), state=state, parts=parts, gathered=file is not None, problem=problem, manifest="cd" * 32))
    ctx.unit.topologies.save(replace(topology(ctx), backup=None))


def progress(ctx: Context) -> SnapshotProgress:
    return describe_snapshot_progress(ctx, DescribeSnapshotProgress(snapshot_name="Monday"))


def verify(ctx: Context) -> SnapshotVerification:
    return verify_snapshot(ctx, VerifySnapshot(snapshot_name="monday"))


# ---- progress


def test_before_anybody_saves_every_part_waits(ctx: Context) -> None:
    seen = progress(ctx)
    assert (seen.status, seen.phase, seen.percent, seen.bytes, seen.keys) == ("creating", "saving", 0, 0, None)
    assert [(part.node_group_id, part.phase, part.node) for part in seen.parts] == [("0001", "waiting", None), ("0002", "waiting", None)]


@pytest.mark.parametrize(
    ("phase", "done", "total", "percent"),
    [("waiting", 0, 0, 0), ("saving", 0, 100, 0), ("saving", 50, 100, 20), ("saving", 300, 100, 40), ("storing", 500, 1000, 43)],
)
def test_a_part_is_as_far_as_its_node_says(ctx: Context, phase: str, done: int, total: int, percent: int) -> None:
    saves(ctx, "0001", Saved(written(ctx).uid, 1, phase, done, total))
    [first, second] = progress(ctx).parts
    assert (first.phase, first.done, first.total, first.node, first.attempt) == (phase, done, total, "orders-0001-001", 1)
    assert second.phase == "waiting"
    assert progress(ctx).percent == percent


def test_what_is_said_of_another_attempt_or_snapshot_does_not_count(ctx: Context) -> None:
    saves(ctx, "0001", Saved(written(ctx).uid, 1, "saving", 50, 100), attempt=2)
    saves(ctx, "0002", Saved("another", 1, "saving", 50, 100))
    assert [(part.phase, part.done) for part in progress(ctx).parts] == [("waiting", 0), ("waiting", 0)]


def test_why_an_attempt_failed_is_told(ctx: Context) -> None:
    saves(ctx, "0001", Saved(written(ctx).uid, 1, "failed", problem="the disk is full"))
    assert (progress(ctx).parts[0].phase, progress(ctx).parts[0].problem) == ("failed", "the disk is full")


def test_a_file_that_is_kept_is_shown(ctx: Context) -> None:
    saves(ctx, "0001", None, file=FILE)
    seen = progress(ctx)
    assert (seen.bytes, seen.keys, seen.percent, seen.parts[0].phase) == (1000, 7, 47, "done")
    file = seen.parts[0].file
    assert file is not None
    assert (file.name, file.sha256, file.rdb_version, file.keys, file.expires, file.functions) == ("0001-1-ab.rdb", "ab" * 32, "VALKEY080", 7, 3, 1)


def test_one_that_is_available_is_complete(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE)
    seen = progress(ctx)
    assert (seen.status, seen.phase, seen.percent, seen.bytes, seen.keys, seen.manifest) == ("available", "done", 100, 2000, 14, "cd" * 32)


def test_one_that_is_gathered_is_published(ctx: Context) -> None:
    become(ctx, SnapshotState.CREATING)
    assert (progress(ctx).phase, progress(ctx).percent) == ("publishing", 95)


def test_keys_that_nobody_counted_are_not_made_up(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE, file=replace(FILE, keys=None))
    assert progress(ctx).keys is None


def test_why_a_snapshot_failed_is_told(ctx: Context) -> None:
    become(ctx, SnapshotState.FAILED, file=None, problem="nobody could save it")
    seen = progress(ctx)
    assert (seen.status, seen.phase, seen.problem) == ("failed", "failed", "nobody could save it")
    assert {part.phase for part in seen.parts} == {"failed"}


def test_files_that_are_being_checked_are_not_shown_as_kept(ctx: Context) -> None:
    become(ctx, SnapshotState.CREATING)
    ctx.unit.snapshots.save(replace(written(ctx), imported=True, gathered=False))
    seen = progress(ctx)
    assert (seen.phase, seen.percent, seen.bytes, {part.phase for part in seen.parts}) == ("importing", 0, 0, {"importing"})


def test_there_is_no_progress_of_what_is_not_there(ctx: Context) -> None:
    with pytest.raises(SnapshotNotFound):
        describe_snapshot_progress(ctx, DescribeSnapshotProgress(snapshot_name="tuesday"))


# ---- verifications


def test_a_verification_begins_with_every_part_waiting(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE)
    assert describe_snapshot_verification(ctx, DescribeSnapshotVerification(snapshot_name="monday")).state == "none"
    seen = verify(ctx)
    assert (seen.state, seen.asked_at, seen.ended_at, seen.percent) == ("running", NOW, None, 0)
    assert [(part.node_group_id, part.state, part.file) for part in seen.parts] == [
        ("0001", "waiting", "0001-1-ab.rdb"),
        ("0002", "waiting", "0001-1-ab.rdb"),
    ]


def test_one_that_runs_goes_on_and_one_that_is_over_is_done_anew(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE)
    verify(ctx)
    first = written(ctx).verification
    verify(ctx)
    assert first is not None and written(ctx).verification == first
    over = replace(first, parts=tuple(replace(part, verdict=Verdict.PASSED) for part in first.parts)).settled(NOW)
    ctx.unit.snapshots.save(replace(written(ctx), verification=over))
    seen = describe_snapshot_verification(ctx, DescribeSnapshotVerification(snapshot_name="monday"))
    assert (seen.state, seen.percent, seen.ended_at) == ("passed", 100, NOW)
    verify(ctx)
    again = written(ctx).verification
    assert again is not None and again.is_running and again.id != first.id


@pytest.mark.parametrize("state", [SnapshotState.CREATING, SnapshotState.FAILED, SnapshotState.DELETING, SnapshotState.COPYING])
def test_only_what_is_available_is_verified(ctx: Context, state: SnapshotState) -> None:
    become(ctx, state)
    with pytest.raises(InvalidSnapshotState, match=f"it is {state.value}"):
        verify(ctx)


def test_a_snapshot_stays_while_it_is_verified(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE)
    verify(ctx)
    with pytest.raises(InvalidSnapshotState, match="is being verified"):
        delete_snapshot(ctx, DeleteSnapshot(snapshot_name="monday"))
    now = written(ctx)
    assert now.verification is not None
    ctx.unit.snapshots.save(replace(now, verification=now.verification.failed("because", NOW)))
    assert delete_snapshot(ctx, DeleteSnapshot(snapshot_name="monday")).snapshot.snapshot_status == "deleting"


def test_a_copy_was_never_verified(ctx: Context) -> None:
    become(ctx, SnapshotState.AVAILABLE)
    verify(ctx)
    copy_snapshot(ctx, CopySnapshot(source_snapshot_name="monday", target_snapshot_name="tuesday"))
    assert written(ctx, "tuesday").verification is None
