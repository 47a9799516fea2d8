"""The archivist does with files what records say, once or twice, and whatever the archive does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, FixedClock, a_group, a_sharded_group

from archives.archive import ArchiveError
from archives.buckets import DirectoryBuckets
from archives.directory import DirectoryArchive
from archives.identity import identity
from archives.manifest import read_manifest
from controlplane.domain.backup import ArchivePlace, Cause, SavedFile, Seed
from controlplane.domain.settings import Settings
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState, begun
from controlplane.domain.topology import Topology
from controlplane.reconciler.archivist import Archivist
from controlplane.reconciler.exporting import Exporter
from controlplane.store.store import Store

CONTENT = b"REDIS0011 as it was saved"


class NoSeeds:
    """Nothing begins with anything here."""

    def leftovers(self) -> dict[str, ArchivePlace]:
        return {}


class Stage:
    """An archivist over a store and an archive, asked by hand."""

    def __init__(self, folder: Path) -> None:
        self.archive = DirectoryArchive(folder / "archive")
        self.place = ArchivePlace(self.archive.url, identity(self.archive))
        self.buckets = folder / "buckets"
        self.clock = FixedClock()
        self.store = Store(f"sqlite:///{folder / 'db'}")
        exporter = Exporter(DirectoryBuckets(self.buckets), folder / "scratch")
        seeds: Any = NoSeeds()
        verifier: Any = None  # nothing is verified here
        self.archivist = Archivist(self.store, self.clock, seeds, exporter, verifier, lambda uid: False)

    def put(self, topology: Topology, cause: Cause = Cause.MANUAL, **fields: Any) -> Snapshot:
        """A snapshot of it all files of which are in the archive."""
        _, snapshot = begun(topology, "monday", cause, self.place, self.clock.now(), "s1")
        parts = []
        for part in snapshot.parts:
            key = f"s1/{part.group}-1-a.rdb"
            self.archive.put_bytes(key, CONTENT)
            file = SavedFile(key, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "REDIS0011", NOW, keys=3)
            parts.append(replace(part, file=file))
        snapshot = replace(snapshot, parts=tuple(parts), **{"gathered": True} | fields)
        with self.store.transaction() as unit:
            unit.snapshots.save(snapshot)
        return snapshot

    def now(self) -> Snapshot | None:
        with self.store.reading() as unit:
            return unit.snapshots.get("s1")

    def look(self, times: int = 1) -> Snapshot | None:
        for _ in range(times):
            self.archivist.look("s1")
        return self.now()

    def files(self) -> list[str]:
        return [entry.key for entry in self.archive.list("") if entry.key != "archive.json"]

    def told(self) -> list[str]:
        with self.store.reading() as unit:
            world = a_group().world
            return [event.message for event in unit.events.between(world, NOW - timedelta(days=9), NOW + timedelta(days=99), None, None)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.archivist.close()
    made.store.close()


def test_a_snapshot_is_available_once_its_manifest_is_there(stage: Stage) -> None:
    stage.put(a_sharded_group())
    stage.archive.put_bytes("s1/0001-0-given-up.rdb", b"half")
    found = stage.look()
    assert found is not None and found.state is SnapshotState.AVAILABLE
    assert stage.files() == ["s1/0001-1-a.rdb", "s1/0002-1-a.rdb", "s1/manifest.json"], "what was given up is gone"
    manifest = read_manifest(stage.archive.read_bytes("s1/manifest.json", 1 << 20))
    assert [(part.node_group, part.slots, part.file.keys) for part in manifest.parts] == [("0001", "0-8191", 3), ("0002", "8192-16383", 3)]
    assert "Snapshot succeeded for snapshot with ID 'monday' of replication group with ID 'orders'" in stage.told()


def test_to_publish_again_after_a_crash_changes_nothing(stage: Stage) -> None:
    snapshot = stage.put(a_group())
    first = stage.look()
    with stage.store.transaction() as unit:  # as if the record had never been written
        unit.snapshots.save(snapshot)
    assert stage.look() == first


def test_one_whose_files_are_not_all_there_fails_and_leaves_nothing(stage: Stage) -> None:
    stage.put(a_group())
    stage.archive.put_bytes("s1/0001-1-a.rdb", b"shorter")
    failed = stage.look()
    assert failed is not None and failed.state is SnapshotState.FAILED
    assert failed.problem is not None and "has 7 bytes, and should have" in failed.problem
    swept = stage.look()
    assert swept is not None and swept.swept and stage.files() == []


def test_what_is_not_gathered_is_not_published(stage: Stage) -> None:
    stage.put(a_group(), gathered=False)
    found = stage.look()
    assert found is not None and found.state is SnapshotState.CREATING and "s1/manifest.json" not in stage.files()


def test_a_deleted_one_is_gone_with_its_files(stage: Stage) -> None:
    stage.put(a_group())
    available = stage.look()
    assert available is not None
    with stage.store.transaction() as unit:
        unit.snapshots.save(replace(available, state=SnapshotState.DELETING))
    assert stage.look(times=2) is None and stage.files() == []


@pytest.mark.parametrize(("days", "stays"), [(0, True), (1, True), (2, False), (30, False)])
def test_an_automatic_one_leaves_when_its_days_are_over(stage: Stage, days: int, stays: bool) -> None:
    stage.put(a_group(settings=Settings(snapshot_retention_limit=2)), Cause.AUTOMATED)
    stage.look()
    stage.clock.moment = NOW + timedelta(days=days, seconds=1 if days > 1 else 0)
    found = stage.look(times=2)
    assert (found is not None) == stays
    assert bool(stage.files()) == stays


def test_one_that_was_asked_for_never_leaves_by_itself(stage: Stage) -> None:
    stage.put(a_group(settings=Settings(snapshot_retention_limit=2)))
    stage.look()
    stage.clock.moment = NOW + timedelta(days=1000)
    assert stage.look(times=2) is not None


def test_what_is_kept_now_counts_and_what_was_kept_then_if_nothing_is(stage: Stage) -> None:
    group = a_group(settings=Settings(snapshot_retention_limit=2))
    stage.put(group, Cause.AUTOMATED)
    with stage.store.transaction() as unit:
        unit.topologies.save(replace(group, settings=Settings(snapshot_retention_limit=5), version=0))
    stage.look()
    stage.clock.moment = NOW + timedelta(days=3)
    assert stage.look(times=2) is not None
    stage.clock.moment = NOW + timedelta(days=6)
    assert stage.look(times=2) is None


def test_one_that_a_cache_is_made_from_stays_until_that_is_done(stage: Stage) -> None:
    stage.put(a_group(settings=Settings(snapshot_retention_limit=1)), Cause.AUTOMATED)
    stage.look()
    with stage.store.transaction() as unit:
        unit.topologies.save(a_group("copy", seed=Seed("monday", stage.place, snapshot="s1"), version=0))
    stage.clock.moment = NOW + timedelta(days=2)
    assert stage.look(times=2) is not None


def test_another_folder_in_its_place_is_not_written_to(stage: Stage) -> None:
    stage.put(a_group())
    stage.archive.put_bytes("archive.json", b'{"identity": "0123456789abcdef"}')
    failed = stage.look()
    assert failed is not None and failed.state is SnapshotState.FAILED and "another place" in (failed.problem or "")
    with pytest.raises(ArchiveError):
        stage.look()
    assert "s1/0001-1-a.rdb" in stage.files(), "what may be somebody else's is not deleted either"


def test_files_go_to_a_bucket_and_what_a_crash_left_there_is_taken_as_it_is(stage: Stage) -> None:
    (stage.buckets / "exports").mkdir(parents=True)
    (stage.buckets / "exports" / "out-0001.rdb").write_bytes(CONTENT)
    stage.put(a_sharded_group(), state=SnapshotState.AVAILABLE, exports=(Export("exports", "out", NOW),))
    found = stage.look()
    assert found is not None and found.exports == ()
    assert sorted(path.name for path in (stage.buckets / "exports").iterdir()) == ["out-0001.rdb", "out-0002.rdb"]
    assert (stage.buckets / "exports" / "out-0002.rdb").read_bytes() == CONTENT
    assert "Export of snapshot 'monday' to the S3 bucket exports succeeded" in stage.told()


def test_an_export_over_somebody_elses_object_fails_and_changes_it_not(stage: Stage) -> None:
    (stage.buckets / "exports").mkdir(parents=True)
    theirs = stage.buckets / "exports" / "out-0001.rdb"
    theirs.write_bytes(b"somebody else's")
    stage.put(a_group(), state=SnapshotState.AVAILABLE, exports=(Export("exports", "out", NOW),))
    found = stage.look()
    assert found is not None and found.exports == () and theirs.read_bytes() == b"somebody else's"
    assert any("already contains an object with key out-0001.rdb" in message for message in stage.told())
