"""Answers that are held: until a snapshot's status changes, whoever changes it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, WORLD, a_group

from api_schemas.operation import Subject
from api_schemas.snapshot import COPY_SNAPSHOT, DESCRIBE_SNAPSHOTS, CopySnapshot, DescribeSnapshots
from controlplane.api.holding import Holding
from controlplane.domain.backup import ArchivePlace, Cause, Seed
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState, begun
from controlplane.planner.situation import Policy
from controlplane.store.store import Store, Unit

LONG = 30.0  # seconds; nobody waits that long here
ARCHIVE = ArchivePlace("file:///archive")
ASKED = DescribeSnapshots(snapshot_name="Monday")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    yield opened
    opened.close()


def a_snapshot(state: SnapshotState = SnapshotState.AVAILABLE, **fields: Any) -> Snapshot:
    _, snapshot = begun(a_group(), "monday", Cause.MANUAL, ARCHIVE, NOW, "snap1")
    return replace(snapshot, state=state, **fields)


def commit(store: Store, change: Callable[[Unit], object]) -> None:
    with store.transaction() as unit:
        change(unit)


def subject_of(promise: Any) -> Subject:
    assert promise.subject is not None
    subject: Subject = promise.subject
    return subject


def answered(store: Store, hold: Callable[[Holding], Coroutine[Any, Any, Any]], change: Callable[[Unit], object]) -> Any:
    """What the hold answers; it must end by the change, which is made by another thread once somebody waits."""

    async def play() -> Any:
        holding = Holding(store, Policy())
        holding.attach(asyncio.get_running_loop())
        held = asyncio.create_task(hold(holding))
        while not holding.waits:
            await asyncio.sleep(0)
        assert not held.done()
        changing = threading.Thread(target=commit, args=(store, change))
        changing.start()
        answer = await asyncio.wait_for(held, LONG / 2)
        changing.join()
        assert not holding.waits, "nobody is remembered"
        return answer

    return asyncio.run(play())


RESTORED = a_group("copies", created=False, seed=Seed("monday", ARCHIVE, snapshot="snap1"))
EXPORTING = a_snapshot(exports=(Export("bucket", "target", NOW),))


@pytest.mark.parametrize("before", [SnapshotState.CREATING, SnapshotState.COPYING, SnapshotState.DELETING])
@pytest.mark.parametrize(
    "change",
    [
        lambda unit: unit.snapshots.save(a_snapshot()),
        lambda unit: unit.snapshots.save(a_snapshot(SnapshotState.FAILED)),
        lambda unit: unit.snapshots.forget(a_snapshot()),
    ],
    ids=["available", "failed", "gone"],
)
def test_an_answer_is_held_until_the_snapshot_changes(store: Store, before: SnapshotState, change: Callable[[Unit], object]) -> None:
    commit(store, lambda unit: unit.snapshots.save(a_snapshot(before)))
    assert answered(store, lambda h: h.until_settled(WORLD, subject_of(DESCRIBE_SNAPSHOTS), ASKED, LONG), change) is True
    commit(store, lambda unit: unit.snapshots.save(a_snapshot(before)))
    assert answered(store, lambda h: h.until_changed(WORLD, subject_of(DESCRIBE_SNAPSHOTS), ASKED, LONG), change) is None


def test_a_snapshot_is_restoring_until_the_cache_that_begins_with_it_is_there(store: Store) -> None:
    commit(store, lambda unit: (unit.snapshots.save(a_snapshot()), unit.topologies.save(RESTORED)))

    def announced(unit: Unit) -> None:
        topology = unit.topologies.get(RESTORED.uid)
        assert topology is not None
        unit.topologies.save(replace(topology, announced_at=NOW, seed=None))

    assert answered(store, lambda h: h.until_settled(WORLD, subject_of(DESCRIBE_SNAPSHOTS), ASKED, LONG), announced) is True


def test_an_export_is_over_when_its_source_has_none(store: Store) -> None:
    asked = CopySnapshot(source_snapshot_name="monday", target_snapshot_name="target", target_bucket="bucket")
    commit(store, lambda unit: unit.snapshots.save(EXPORTING))
    done = answered(
        store,
        lambda h: h.until_settled(WORLD, subject_of(COPY_SNAPSHOT), asked, LONG),
        lambda unit: unit.snapshots.save(a_snapshot()),
    )
    assert done is True


@pytest.mark.parametrize("asked", [ASKED, DescribeSnapshots(), DescribeSnapshots(snapshot_name="never")], ids=["settled", "all", "none"])
def test_what_is_settled_or_not_there_is_not_waited_for(store: Store, asked: DescribeSnapshots) -> None:
    commit(store, lambda unit: unit.snapshots.save(a_snapshot()))
    holding = Holding(store, Policy())
    assert asyncio.run(holding.until_settled(WORLD, subject_of(DESCRIBE_SNAPSHOTS), asked, LONG)) is True


def test_a_hold_ends_after_its_time(store: Store) -> None:
    commit(store, lambda unit: unit.snapshots.save(a_snapshot(SnapshotState.CREATING)))
    holding = Holding(store, Policy())
    assert asyncio.run(holding.until_settled(WORLD, subject_of(DESCRIBE_SNAPSHOTS), ASKED, 0.01)) is False
