"""What an agent remembers survives it, whole; what makes no sense is moved aside, and no key leads out of the folder."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agents.journal import Entry, Journal
from agents.runtimes.runtime import Handle
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import EngineBinary, NodeSpec, Peer, Role
from api_schemas.agent.route import RouteSpec

HOSTILE = ("", ".", "..", ".hidden", "../escape", "a/b", "/etc/passwd", "a\\b", "a b", "a\n", "a\0b", "é", "a" * 121, "CON:")


def a_spec(key: str = "orders-0001-001", generation: int = 1) -> NodeSpec:
    return NodeSpec(
        key=key, generation=generation, binary=EngineBinary(engine="valkey", version="8.1.8", path="/opt/valkey/valkey-server"),
        zone="local-1a", address="127.101.0.1", port=6379, role=Role.REPLICA, epoch=3,
        follows=Peer(key="orders-0001-002", address="127.102.0.1", port=6379, boot=1), memory=2**26,
        parameters={"maxmemory-policy": "volatile-lru"},
    )


def an_entry(key: str = "orders-0001-001", generation: int = 1) -> Entry:
    return Entry(a_spec(key, generation), Handle("process", key, 2, 4711, 123456), boot_done=2, suspended=True)


def a_route(key: str = "orders-ro") -> RouteSpec:
    return RouteSpec(key=key, generation=5, address="127.100.0.1", port=6379, backends=["127.101.0.1:6379"])


def test_what_was_written_is_read_in_the_next_life(tmp_path: Path) -> None:
    Journal(tmp_path).write(an_entry("b"))
    Journal(tmp_path).write(Entry(a_spec("a")))
    assert Journal(tmp_path).entries() == {"a": Entry(a_spec("a"), None, 0, False), "b": an_entry("b")}


def test_the_newest_word_stands(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry(generation=1))
    journal.write(an_entry(generation=2))
    assert journal.entries() == {"orders-0001-001": an_entry(generation=2)}


def test_forgotten_twice_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry())
    for _ in range(2):
        journal.forget("orders-0001-001")
        assert journal.entries() == {}


def test_routes_are_kept_apart_from_nodes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry("same"))
    journal.write_route(a_route("same"))
    journal.write_route(a_route("other"))
    journal.forget_route("other")
    journal.forget_route("other")
    assert Journal(tmp_path).routes() == {"same": a_route("same")}
    assert Journal(tmp_path).entries() == {"same": an_entry("same")}


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused_and_touch_nothing(tmp_path: Path, key: str) -> None:
    outside = tmp_path / "escape.json"
    outside.write_text("untouched")
    journal = Journal(tmp_path / "agent" / "deeper")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="A key is"):
        journal.write(an_entry(key))
    with pytest.raises(ValueError, match="A key is"):
        journal.forget(key)
    with pytest.raises(ValueError, match="A key is"):
        journal.write_route(a_route(key))
    with pytest.raises(ValueError, match="A key is"):
        journal.forget_route(key)
    assert sorted(tmp_path.rglob("*")) == before
    assert outside.read_text() == "untouched"


@pytest.mark.parametrize("key", ["a", "-", "_x", "A.b-c_9", "a..b", "x.json", "a" * 120])
def test_plain_keys_are_taken(tmp_path: Path, key: str) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry(key))
    assert journal.entries() == {key: an_entry(key)}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"spec": {"key": "torn"}}'])
def test_a_torn_file_is_moved_aside_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes,
) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry("whole"))
    torn = tmp_path / "journal" / "nodes" / "torn.json"
    torn.write_bytes(text)
    with caplog.at_level(logging.WARNING):
        assert Journal(tmp_path).entries() == {"whole": an_entry("whole")}
    assert "torn.json.unreadable" in caplog.text
    assert not torn.exists()
    assert torn.with_name("torn.json.unreadable").read_bytes() == text
    caplog.clear()
    assert Journal(tmp_path).entries() == {"whole": an_entry("whole")}
    assert caplog.text == ""


def test_a_file_of_another_version_is_moved_aside_without_telling_its_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry("old"))
    path = tmp_path / "journal" / "nodes" / "old.json"
    content = json.loads(path.read_text())
    content["spec"]["password"] = "hunter2"
    path.write_text(json.dumps(content))
    assert journal.entries() == {}
    assert "spec.password" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_entry_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(an_entry("old"))
    path = tmp_path / "journal" / "nodes" / "old.json"
    content = json.loads(path.read_text())
    del content["runs_with"]
    path.write_text(json.dumps(content))
    assert journal.entries() == {"old": an_entry("old")}


def test_what_an_engine_runs_with_is_kept(tmp_path: Path) -> None:
    entry = replace(an_entry("k"), runs_with=Configuration(2**20, {"timeout": "60", "notify-keyspace-events": ""}))
    Journal(tmp_path).write(entry)
    assert Journal(tmp_path).entries() == {"k": entry}


def test_a_file_about_another_key_is_moved_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write_route(a_route("orders-ro"))
    folder = tmp_path / "journal" / "routes"
    (folder / "copy of it.json").write_bytes((folder / "orders-ro.json").read_bytes())
    assert journal.routes() == {"orders-ro": a_route("orders-ro")}
    assert sorted(path.name for path in folder.iterdir()) == ["copy of it.json.unreadable", "orders-ro.json"]


def test_a_write_that_was_cut_off_leaves_the_old_word(tmp_path: Path) -> None:
    Journal(tmp_path).write(an_entry())
    unfinished = tmp_path / "journal" / "nodes" / ".orders-0001-001.new"
    unfinished.write_text('{"spec": {"key"')
    assert Journal(tmp_path).entries() == {"orders-0001-001": an_entry()}
    assert not unfinished.exists()


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir(mode=0o755)
    journal = Journal(tmp_path)
    journal.write(an_entry("k"))
    journal.write_route(a_route("k"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"journal": 0o700, "nodes": 0o700, "routes": 0o700, "k.json": 0o600}


def test_readers_never_see_half_a_write(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path), Journal(tmp_path)
    journal.write(an_entry(generation=0))

    def write_many() -> None:
        for generation in range(1, 100):
            journal.write(an_entry(generation=generation))

    threads = [threading.Thread(target=write_many) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert list(reader.entries()) == ["orders-0001-001"]
    for thread in threads:
        thread.join()
    assert journal.entries() == {"orders-0001-001": an_entry(generation=99)}
