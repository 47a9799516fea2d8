"""What the store promises of snapshots: found by name, uid and source, there after a restart, and in databases from before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from factories import NOW, WORLD, a_group, a_sharded_group
from postgres import Postgres, postgres_server
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile, Seed, SeedFile
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState, begun
from controlplane.domain.topology import Topology, World
from controlplane.store.session import HEAD, MIGRATIONS
from controlplane.store.store import Committed, Store

OTHER_WORLD = World("111111111111", "eu-central-1")
PLACE = ArchivePlace("file:///archive", "one")
FILE = SavedFile("snap/0001-1-x.rdb", 512, "abc", "VALKEY080", NOW, keys=10, expires=3, functions=1, databases=2, used_memory=2**33)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'plane.db'}"
    return str(request.getfixturevalue("postgres").database())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    yield opened
    opened.close()


@pytest.fixture
def reopened(store: Store, url: str) -> Iterator[Callable[[], Store]]:
    """What a control plane finds that is started on the same database."""
    again: list[Store] = []

    def reopen() -> Store:
        again.append(Store(url))
        return again[-1]

    yield reopen
    for each in again:
        each.close()


def a_snapshot(name: str, topology: Topology | None = None, *, uid: str = "", minutes: int = 0) -> Snapshot:
    return begun(topology or a_group(), name, Cause.MANUAL, PLACE, NOW + timedelta(minutes=minutes), uid or f"uid-{name}")[1]


def have(store: Store, *snapshots: Snapshot) -> None:
    with store.transaction() as unit:
        for snapshot in snapshots:
            unit.snapshots.save(snapshot)


def test_every_field_of_a_snapshot_survives(store: Store, reopened: Callable[[], Store]) -> None:
    made = a_snapshot("monday", a_sharded_group(parameters=(("timeout", "60"),), announced_at=NOW, subnet_group="ours"))
    whole = replace(
        made, state=SnapshotState.AVAILABLE, automated=True, cache_cluster="orders-001", gathered=True, manifest="digest", problem="none",
        copy_of="former", swept=True, exports=(Export("bucket", "target", NOW),),
        parts=tuple(replace(part, node_created_at=NOW, file=FILE) for part in made.parts),
    )  # fmt: skip
    have(store, whole)
    with reopened().reading() as unit:
        assert unit.snapshots.get(whole.uid) == whole


def test_snapshots_are_found_by_name_uid_and_source_the_oldest_first(store: Store, reopened: Callable[[], Store]) -> None:
    late, early = a_snapshot("b", minutes=5), a_snapshot("a")
    other, foreign = a_snapshot("c", a_group("others"), minutes=1), a_snapshot("a", a_group(world=OTHER_WORLD, uid="far"), uid="far-a", minutes=2)
    have(store, late, early, other, foreign)
    with reopened().reading() as unit:
        found = unit.snapshots
        assert found.all() == [early, other, foreign, late]
        assert found.of(WORLD) == [early, other, late]
        assert found.of_source(a_group().uid) == [early, late]
        assert (found.named(WORLD, "a"), found.named(OTHER_WORLD, "a"), found.named(WORLD, "d")) == (early, foreign, None)
        assert (found.get("uid-b"), found.get("uid-d")) == (late, None)


def test_a_snapshot_is_saved_over_and_forgotten(store: Store, reopened: Callable[[], Store]) -> None:
    first = a_snapshot("monday")
    failed = replace(first, state=SnapshotState.FAILED, problem="the disk is full")
    have(store, first)
    have(store, failed)
    with reopened().transaction() as unit:
        assert unit.snapshots.all() == [failed]
        unit.snapshots.forget(failed)
        assert unit.snapshots.named(WORLD, "monday") is None
    have(store, a_snapshot("monday", uid="another"))  # its name is free again
    with reopened().reading() as unit:
        assert [snapshot.uid for snapshot in unit.snapshots.all()] == ["another"]


def test_a_name_is_taken_once_in_each_world(store: Store) -> None:
    have(store, a_snapshot("monday"))
    with pytest.raises(IntegrityError):
        have(store, a_snapshot("monday", uid="another"))
    with store.reading() as unit:
        assert [snapshot.uid for snapshot in unit.snapshots.all()] == ["uid-monday"]


def test_a_commit_says_which_snapshots_it_touched(store: Store) -> None:
    heard: list[Committed] = []
    store.listen(heard.append)
    have(store, a_snapshot("a"), a_snapshot("b"))
    with store.transaction() as unit:
        unit.snapshots.forget(a_snapshot("a"))
    with store.transaction() as unit:
        unit.topologies.save(a_group())
    assert [committed.snapshots for committed in heard] == [{"uid-a", "uid-b"}, {"uid-a"}, set()]


def test_a_topology_survives_with_its_backup_and_what_it_begins_with(store: Store, reopened: Callable[[], Store]) -> None:
    part = BackupPart("0001", "orders-002", 3, 2, NOW, ("orders-003",), FILE)
    backup = Backup("snap", Cause.FINAL, (part, BackupPart("0002")), NOW, PLACE, "orders-002")
    seed = Seed("old", PLACE, "uid", ("arn:aws:s3:::bucket/file.rdb",), (SeedFile("0001", FILE, PLACE),), "too large")
    with store.transaction() as unit:
        saved = unit.topologies.save(replace(a_group(), backup=backup, automated_at=NOW, seed=seed))
    with reopened().reading() as unit:
        assert unit.topologies.of(WORLD) == [saved]
        assert saved.backup == backup


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_a_database_from_before_snapshots_gains_their_table(url: str, revision: str) -> None:
    old = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with old.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, revision)
    assert "snapshots" not in inspect(old).get_table_names()
    migrated = Store(url)
    have(migrated, a_snapshot("monday"))
    with migrated.reading() as unit:
        assert unit.snapshots.of_source(a_group().uid) == [a_snapshot("monday")]
    migrated.close()
    with old.connect() as connection:
        assert list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()) == [HEAD]
    old.dispose()
