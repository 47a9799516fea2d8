"""What ``cachewright snapshot`` makes of names, sizes, files, and of something that comes along."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from cachewright.cli.command import Session
from cachewright.cli.paper import Paper
from cachewright.cli.resource import CACHE, GROUP
from cachewright.cli.server import Server
from cachewright.cli.snapshot import _kind_of, made_up
from cachewright.cli.snapshot_files import _listed, _pieces
from cachewright.cli.snapshot_view import bars, show_all, size
from cachewright.cli.watching import Bar, watch
from controlplane.domain.naming import snapshot_name

NOON = datetime(2026, 7, 1, 12, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize("source", ["orders", "a" * 50, "orders-0001-001", "a" * 29 + "-b"])
def test_a_name_that_is_made_up_is_one(source: str) -> None:
    name = made_up(source, NOON)
    assert snapshot_name(name, "SnapshotName") == name
    assert name.endswith("-20260701-123005")


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_900_000, "3.7 MiB"), (64 << 30, "64.0 GiB"), (5 << 40, "5120.0 GiB")]
)
def test_a_size_as_people_read_it(number: int, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize(
    ("snapshot", "engine", "wants_group", "kind"),
    [
        ({"engine": "redis", "replication_group_id": "orders"}, None, False, GROUP),
        ({"engine": "redis", "cache_cluster_id": "sessions"}, None, False, CACHE),
        ({"engine": "redis", "cache_cluster_id": "sessions"}, None, True, GROUP),
        ({"engine": "redis", "cache_cluster_id": "sessions"}, "valkey", False, GROUP),
        ({"engine": "valkey", "cache_cluster_id": "orders-001"}, None, False, GROUP),
    ],
)
def test_a_snapshot_becomes_what_it_was_of_if_that_can_be(snapshot: dict[str, str], engine: str | None, wants_group: bool, kind: Any) -> None:
    assert _kind_of(snapshot, engine, wants_group) is kind


def part(**fields: Any) -> dict[str, Any]:
    return {"node_group_id": "0001", "node": "orders-002", "phase": "waiting", "done": 0, "total": 0, **fields}


@pytest.mark.parametrize(
    ("told", "bar"),
    [
        (part(), Bar("0001", "waiting on orders-002")),
        (part(phase="saving", done=5, total=10), Bar("0001", "saving on orders-002", 5, 10)),
        (part(phase="failed", problem="disk full"), Bar("0001", "failed: disk full")),
        (part(phase="importing"), Bar("0001", "importing")),
        (part(phase="done", done=9, total=9, file={"size": 2048}), Bar("0001", "2.0 KiB kept", 9, 9)),
    ],
)
def test_a_part_says_what_is_done_with_it(told: dict[str, Any], bar: Bar) -> None:
    assert bars({"parts": [told]}) == [bar]


def test_in_a_pipe_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(Server("http://127.0.0.1:1"), Paper())
    looks = iter([part(), part(phase="saving", done=1, total=9), part(phase="saving", done=5, total=9), part(phase="done", file={"size": 9})])
    seen = watch(session, lambda: {"parts": [next(looks)]}, bars, lambda seen: seen["parts"][0]["phase"] == "done")
    assert seen["parts"][0]["file"] == {"size": 9}
    assert capsys.readouterr().err.splitlines() == ["0001: waiting on orders-002", "0001: saving on orders-002", "0001: 9 B kept"]


def test_where_there_is_nothing_a_way_on_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(Paper(), [])
    assert capsys.readouterr().err.startswith("There are no snapshots. `cachewright snapshot create SOURCE`")


def test_a_folder_stands_for_its_files_and_their_manifest(tmp_path: Path) -> None:
    for name in ("b.rdb", "a.rdb", "manifest.json", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in _listed([tmp_path])] == ["a.rdb", "b.rdb", "manifest.json"]
    assert [path.name for path in _listed([tmp_path / "notes.txt"])] == ["notes.txt"]


def test_files_of_one_name_and_missing_ones_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two", "empty"):
        (tmp_path / folder).mkdir()
    for folder in ("one", "two"):
        (tmp_path / folder / "dump.rdb").write_bytes(b"x")
    for files, because in (
        ([tmp_path / "one", tmp_path / "two"], "two files are called dump.rdb"),
        ([tmp_path / "empty"], "there is no RDB file in"),
        ([tmp_path / "gone.rdb"], "there is no file"),
    ):
        with pytest.raises(typer.BadParameter, match=because):
            _listed(files)


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path, told = tmp_path / "dump.rdb", list[int]()
    path.write_bytes(b"x" * 3_000_000)

    def note(done: int, total: int) -> None:
        told.append(done)

    pieces: Iterator[bytes] = _pieces(path, 2_500_000, note)
    assert sum(map(len, pieces)) == 2_500_000
    assert told == [1 << 20, 2 << 20, 2_500_000]
