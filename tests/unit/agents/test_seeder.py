"""What a primary begins with is there whole and as it should be, or the node does not start."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from agents.archiver import Archiver
from agents.runtimes.runtime import NotYetError, StartRefusedError
from agents.seeder import Seeder
from api_schemas.agent.backup import SaveOrder, SavePhase, SeedOrder
from api_schemas.agent.node import EngineBinary, NodeSpec, Role
from archives.directory import DirectoryArchive
from archives.identity import identity

CONTENT = b"REDIS0011 and so on"


@pytest.fixture
def archive(tmp_path: Path) -> DirectoryArchive:
    found = DirectoryArchive(tmp_path / "archive")
    found.found()
    found.put_bytes("seed/0001.rdb", CONTENT)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


def a_spec(**other: Any) -> NodeSpec:
    binary = EngineBinary(engine="valkey", version="9.1.2", path="/nowhere")
    asked = {"key": "u.orders-001", "generation": 1, "binary": binary, "zone": "us-east-1a", "address": "127.0.0.1", "port": 1,
             "role": Role.PRIMARY, "epoch": 1, "memory": 1}  # fmt: skip
    return NodeSpec(**asked | other)


def a_seed(kept: DirectoryArchive, **other: Any) -> SeedOrder:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return SeedOrder(**{"archive": kept.url, "key": "seed/0001.rdb", "size": len(CONTENT), "sha256": sha256} | other)


def fetched(seeder: Seeder, spec: NodeSpec, changed: threading.Event) -> None:
    """As the visits to a node do it: asked until it is there. Raises StartRefusedError."""
    with pytest.raises(NotYetError, match="bytes"):
        seeder.fetch(spec)
    assert changed.wait(10)
    seeder.fetch(spec)


def test_the_file_is_where_the_engine_loads_it(archive: DirectoryArchive, folder: Path) -> None:
    changed = threading.Event()
    seeder = Seeder(folder, changed.set)
    spec = a_spec(seed=a_seed(archive, archive_id=identity(archive)))
    fetched(seeder, spec, changed)
    seeder.place(spec)
    assert (folder / "dump.rdb").read_bytes() == CONTENT
    assert seeder.seeded == "", "nothing is loaded yet"
    seeder.fetch(spec)  # another boot begins with the same file, which is here


def test_what_was_loaded_takes_no_room_twice(archive: DirectoryArchive, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaded:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def say(self, *_: str) -> bytes:
            return b"rdb_last_load_keys_expired:1\r\nrdb_last_load_keys_loaded:2\r\n"

        def close(self) -> None: ...

    monkeypatch.setattr("agents.seeder.Talk", Loaded)
    for keys, says in ((3, None), (4, "loaded 3 keys of a file that has 4")):
        changed = threading.Event()
        seeder = Seeder(folder, changed.set)
        spec = a_spec(seed=a_seed(archive, keys=keys))
        fetched(seeder, spec, changed)
        seeder.place(spec)
        complaint = seeder.complaint(spec)
        assert (complaint is None) == (says is None) and (says or "") in (complaint or "")
        assert bool(seeder.seeded) == (says is None)
        assert bool(list(folder.glob("*.seed"))) == (says is not None)


def test_a_replica_and_a_node_that_begins_empty_fetch_nothing(archive: DirectoryArchive, folder: Path) -> None:
    seeder = Seeder(folder, lambda: None)
    for spec in (a_spec(), a_spec(role=Role.REPLICA, seed=a_seed(archive))):
        seeder.fetch(spec)
        seeder.place(spec)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"sha256": "0" * 64}, "has been changed"),
        ({"size": 3}, "has been changed"),
        ({"key": "seed/0002.rdb"}, "0002.rdb"),
        ({"archive_id": "0" * 16}, "another place"),
        ({"archive": "file:///nowhere/at/all"}, "does not see the folder"),
        ({"archive": "ftp://somewhere"}, "no URL of an archive"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_starts_nothing(
    archive: DirectoryArchive, folder: Path, other: dict[str, Any], says: str
) -> None:
    changed = threading.Event()
    seeder = Seeder(folder, changed.set)
    identity(archive)
    with pytest.raises(StartRefusedError, match=says):
        fetched(seeder, a_spec(seed=a_seed(archive, **other)), changed)
    assert not (folder / "dump.rdb").exists()
    with pytest.raises(NotYetError):  # the next boot tries again
        seeder.fetch(a_spec(seed=a_seed(archive, **other)))


def test_a_host_that_sees_another_folder_does_not_save_into_it(archive: DirectoryArchive, folder: Path) -> None:
    identity(archive)
    told = threading.Event()
    archiver = Archiver(folder, told.set)
    order = SaveOrder(snapshot="s1", attempt=1, archive=archive.url, archive_id="0" * 16, key="s1/0001-1")
    archiver.want(a_spec(saves=order))
    wait_until(lambda: archiver.state is not None and archiver.state.phase is SavePhase.FAILED)
    assert archiver.state is not None and "share the folder, or use an S3 bucket" in (archiver.state.problem or "")
    archiver.want(a_spec())
    assert archiver.state is None
