"""What agents are told to save and to begin with, and what decisions about backups change in the records of snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, a_context, a_group
from situations import FIRST, SECOND, THIRD, at_work, sharded_at_work

from api_schemas.agent.backup import SaveOrder, SeedOrder
from api_schemas.agent.node import NodeSpec
from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile, Seed, SeedFile
from controlplane.domain.snapshot import Snapshot, SnapshotState, begun
from controlplane.domain.topology import Topology
from controlplane.operations.context import Context
from controlplane.planner import decisions as d
from controlplane.planner.outcome import Addresses
from controlplane.reconciler.backups import note_snapshots
from controlplane.reconciler.specs import node_specs

PLACE = ArchivePlace("file:///archive", "one")
FILE = SavedFile("snap/0001-2-x.rdb", 512, "abc", "VALKEY080", NOW, keys=10)
ORDERS = at_work().topology


def specs(topology: Topology) -> dict[str, NodeSpec]:
    return {spec.key.partition(".")[2]: spec for _, spec in node_specs(topology)}


# ---- what agents are told


def saved_by(node: str | None, **part: Any) -> Topology:
    parts = (replace(BackupPart("0001", node, 2, 1), **part),)
    return replace(ORDERS, backup=Backup("snap", Cause.MANUAL, parts, NOW, PLACE))


def test_who_saves_is_told_where_to_and_nobody_else_is() -> None:
    told = {node: spec.saves for node, spec in specs(saved_by(SECOND)).items()}
    order = SaveOrder(snapshot="snap", attempt=2, archive="file:///archive", archive_id="one", key="snap/0001-2")
    assert told == {FIRST: None, SECOND: order, THIRD: None}


@pytest.mark.parametrize(
    "topology",
    [
        saved_by(SECOND, file=FILE),  # it is kept
        saved_by(SECOND, boot=0),  # it was started again since, emptied
        saved_by(None),
        replace(saved_by(SECOND), deleting=True),
        ORDERS,
    ],
)
def test_nobody_is_told_to_save(topology: Topology) -> None:
    assert {spec.saves for spec in specs(topology).values()} == {None}


def test_every_primary_is_told_what_it_begins_with() -> None:
    shards = sharded_at_work().topology
    files = tuple(SeedFile(group, replace(FILE, key=f"old/{group}"), PLACE) for group in ("0001", "0002"))
    told = {node: spec.seed for node, spec in specs(replace(shards, seed=Seed("old", PLACE, files=files))).items()}
    assert [node for node, order in told.items() if order] == ["orders-0001-001", "orders-0002-001"]
    expected = SeedOrder(archive="file:///archive", archive_id="one", key="old/0002", size=512, sha256="abc", keys=10)
    assert told["orders-0002-001"] == expected
    assert {spec.seed for spec in specs(replace(shards, seed=Seed("old", PLACE))).values()} == {None}


# ---- what is recorded


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with a_context(tmp_path) as context:
        yield context


def recorded(ctx: Context, topology: Topology, decision: d.Decision, *, uid: str = "snap") -> Snapshot | None:
    note_snapshots(ctx.unit, topology, decision, NOW, Addresses(snapshot="snap", archive=PLACE))
    return ctx.unit.snapshots.get(uid)


def being_saved(ctx: Context, cause: Cause = Cause.MANUAL, uid: str = "snap", name: str = "monday") -> tuple[Topology, Snapshot]:
    saving, snapshot = begun(a_group(), name, cause, PLACE, NOW, uid)
    ctx.unit.snapshots.save(snapshot)
    return saving, snapshot


def test_an_automatic_snapshot_is_recorded_as_it_begins(ctx: Context) -> None:
    begins = d.BeginBackup("automatic.orders", THIRD, "the window is open")
    snapshot = recorded(ctx, a_group(), begins)
    assert snapshot is not None
    assert (snapshot.name, snapshot.state, snapshot.automated) == ("automatic.orders", SnapshotState.CREATING, True)
    assert (snapshot.cache_cluster, snapshot.archive, snapshot.requested_at) == (THIRD, PLACE, NOW)


def test_an_automatic_snapshot_of_shards_is_of_the_group(ctx: Context) -> None:
    snapshot = recorded(ctx, sharded_at_work().topology, d.BeginBackup("automatic.orders", None, "the window is open"))
    assert snapshot is not None
    assert snapshot.cache_cluster is None
    assert [part.group for part in snapshot.parts] == ["0001", "0002"]


def test_an_automatic_snapshot_takes_another_name_where_its_own_is_taken(ctx: Context) -> None:
    being_saved(ctx, uid="former", name="automatic.orders")
    snapshot = recorded(ctx, a_group(version=7), d.BeginBackup("automatic.orders", THIRD, "the window is open"))
    assert snapshot is not None
    assert snapshot.name == "automatic.orders-7"


def test_a_snapshot_has_its_files_once_its_backup_is_over(ctx: Context) -> None:
    saving, snapshot = being_saved(ctx)
    assert saving.backup is not None
    kept = replace(saving, backup=saving.backup.with_part(BackupPart("0001", SECOND, 2, 1, file=FILE)))
    taken = recorded(ctx, kept, d.CloseBackup("whole"))
    assert taken == replace(snapshot, parts=(replace(snapshot.parts[0], node=SECOND, file=FILE),), gathered=True)


def test_a_snapshot_that_is_given_up_says_why(ctx: Context) -> None:
    saving, snapshot = being_saved(ctx)
    given_up = recorded(ctx, saving, d.GiveUpBackup("the disk is full", "in vain"))
    assert given_up == replace(snapshot, state=SnapshotState.FAILED, problem="the disk is full")


def test_what_is_decided_of_a_backup_that_is_over_changes_no_record(ctx: Context) -> None:
    _, snapshot = being_saved(ctx)
    decisions = (d.CloseBackup("so"), d.GiveUpBackup("so", "so"), d.Announce("so"))
    assert [recorded(ctx, a_group(), decision) for decision in decisions] == [snapshot] * 3


def test_of_what_is_forgotten_automatic_snapshots_go_and_others_stay(ctx: Context) -> None:
    saving, _ = being_saved(ctx, Cause.AUTOMATED, "automatic", "automatic.orders")
    _, manual = being_saved(ctx)
    whole = replace(manual, state=SnapshotState.AVAILABLE, gathered=True)
    ctx.unit.snapshots.save(whole)
    _, foreign = begun(a_group("others"), "other", Cause.AUTOMATED, PLACE, NOW, "other")
    ctx.unit.snapshots.save(foreign)
    automatic = recorded(ctx, saving, d.Bury("nothing is left"), uid="automatic")
    assert automatic is not None
    assert automatic.state is SnapshotState.DELETING
    assert ctx.unit.snapshots.get("snap") == whole
    assert ctx.unit.snapshots.get("other") == foreign


@pytest.mark.parametrize(("gathered", "state"), [(False, SnapshotState.FAILED), (True, SnapshotState.CREATING)])
def test_a_snapshot_whose_source_is_forgotten_fails_unless_its_files_are_there(ctx: Context, gathered: bool, state: SnapshotState) -> None:
    saving, snapshot = being_saved(ctx)
    ctx.unit.snapshots.save(replace(snapshot, gathered=gathered, requested_at=NOW - timedelta(minutes=1)))
    left = recorded(ctx, saving, d.Bury("nothing is left"))
    assert left is not None
    assert left.state is state
    assert left.problem == (None if gathered else "its source orders was deleted before it was taken")
