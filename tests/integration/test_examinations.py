"""Examinations of files in an archive by real engines: what passes, what does not and why, and that nothing is left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import LIBRARY, fill
from engine_aside import NAMES, SERVERS, engine_aside, server
from redis.crc import key_slot
from waiting import wait_until

from agents.examinations import Examinations
from agents.runtimes.process import ProcessRuntime
from api_schemas.agent.examination import ExaminationKind, ExaminationOrder, ExaminationPhase, ExaminationState
from api_schemas.agent.node import EngineBinary
from archives.directory import DirectoryArchive
from archives.identity import identity

ROOT = Path(__file__).parents[2]
KEYS = 600
LATER = 4_000_000_000_000  # milliseconds since 1970
CHECK, RESTORE = ExaminationKind.CHECK, ExaminationKind.RESTORE
DONE, FAILED, UNKNOWN = ExaminationPhase.DONE, ExaminationPhase.FAILED, ExaminationPhase.UNKNOWN


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What each engine writes for the same data, by its name and version."""
    written = {}
    for name, binary in zip(NAMES, SERVERS, strict=True):
        folder = tmp_path_factory.mktemp(name)
        with engine_aside(binary, folder) as client:
            fill(client, KEYS, LATER)
            client.execute_command("FUNCTION", "LOAD", LIBRARY)
            client.execute_command("SELECT", 3)
            client.execute_command("SET", "elsewhere", 1)
            client.save()
        written[name] = (folder / "dump.rdb").read_bytes()
    return written


class Ground:
    """An agent's folder with its examinations, and an archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "agent"
        self.folder.mkdir()
        self.archive = DirectoryArchive(folder / "archive")
        self.identity = identity(self.archive)
        self.runtime = ProcessRuntime(self.folder)
        self.now = 0.0
        self.examinations = Examinations(self.folder, self.runtime, SERVERS, clock=lambda: self.now)
        self.examinations.clear()

    def order(self, content: bytes, engine: str = NAMES[0], kind: ExaminationKind = RESTORE, **fields: Any) -> ExaminationOrder:
        self.archive.put_bytes("a1/0001.rdb", content)
        usual: dict[str, Any] = {
            "name": "s1.0001", "kind": kind, "binary": server(engine), "archive": self.archive.url, "archive_id": self.identity,
            "key": "a1/0001.rdb", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        }  # fmt: skip
        return ExaminationOrder(**{**usual, **fields})

    def ended(self, order: ExaminationOrder) -> ExaminationState:
        """What came of it; nothing of it is left then but its memory."""
        state = wait_until(lambda: self.over(order), within=60)
        assert state is not None
        wait_until(lambda: self.left() == [])
        assert self.runtime.strays([]) == []
        return state

    def over(self, order: ExaminationOrder) -> ExaminationState | None:
        state = self.examinations.begin_or_look(order)
        return state if state.phase is not ExaminationPhase.RUNNING else None

    def left(self) -> list[str]:
        folder = self.folder / "examinations"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def problem(self, order: ExaminationOrder) -> str:
        state = self.ended(order)
        assert state.phase is FAILED
        assert state.problem is not None
        return state.problem


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.examinations.close()
    made.runtime.close()
    assert made.left() == []


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[tuple[Ground, EngineBinary]]:
    """A ground with a program that never comes up, so that who starts it stays where it is."""
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    binary = EngineBinary(engine="valkey", version="9.1.2", path=str(program))
    made = Ground(tmp_path)
    made.examinations = Examinations(made.folder, made.runtime, [binary])
    yield made, binary
    made.examinations.close()
    made.runtime.close()
    assert made.left() == []


# --- What passes ---


def test_a_sound_file_is_checked_and_counted(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    state = ground.ended(ground.order(files[engine], engine, CHECK, keys=KEYS + 1))
    assert (state.phase, state.problem) == (DONE, None)
    assert (state.keys, state.expires, state.expired) == (KEYS + 1, KEYS // 3, 0)
    assert state.functions == (1 if engine.startswith("valkey-9") else None)


def test_a_sound_file_is_the_same_after_a_restore(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    state = ground.ended(ground.order(files[engine], engine, keys=KEYS + 1))
    assert (state.phase, state.problem) == (DONE, None)
    assert (state.keys, state.databases, state.expires, state.functions) == (KEYS + 1, {0: KEYS, 3: 1}, KEYS // 3, 1)
    assert state.digest
    assert state.digest == state.digest_after


def test_a_newer_engine_restores_what_an_older_one_wrote(ground: Ground, files: dict[str, bytes]) -> None:
    digests = {ground.ended(ground.order(files[name], name=f"from-{name}")).digest_after for name in NAMES}
    assert len(digests) == 1  # it is the same data, whoever wrote it


def test_keys_that_have_expired_meanwhile_are_restored_too(ground: Ground, engine: str, tmp_path: Path) -> None:
    with engine_aside(server(engine), tmp_path) as client:
        client.set("stays", 1)
        client.save()
    content = (tmp_path / "dump.rdb").read_bytes()
    at = content.index(b"\x00\x05stays")
    past = b"\xfc" + (1000).to_bytes(8, "little") + b"\x00\x01k\x01v"
    state = ground.ended(ground.order(content[:at] + past + content[at:-8] + bytes(8), engine))
    assert (state.phase, state.problem) == (DONE, None)
    assert (state.keys, state.expires) == (2, 1)


def test_values_stay_the_same_under_other_encodings(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    parameters = {"hash-max-listpack-entries": "1", "set-max-intset-entries": "1", "list-max-listpack-size": "2", "replica-serve-stale-data": "no",
                  "zset-max-listpack-entries": "0", "maxmemory-policy": "allkeys-lru", "databases": "2", "activedefrag": "yes"}  # fmt: skip
    state = ground.ended(ground.order(files[engine], engine, parameters=parameters))
    assert (state.phase, state.problem) == (DONE, None)


def test_an_empty_file_passes(ground: Ground, engine: str, tmp_path: Path) -> None:
    with engine_aside(server(engine), tmp_path) as client:
        client.save()
    state = ground.ended(ground.order((tmp_path / "dump.rdb").read_bytes(), engine, keys=0))
    assert (state.phase, state.keys, state.databases) == (DONE, 0, {})


def test_the_keys_of_a_shard_must_be_in_its_slots(ground: Ground, engine: str, tmp_path: Path) -> None:
    with engine_aside(server(engine), tmp_path) as client:
        client.set("a", 1)
        client.save()
    content, slot = (tmp_path / "dump.rdb").read_bytes(), key_slot(b"a")
    inside = ground.order(content, engine, name="inside", clustered=True, slots=f"{slot}-16383")
    assert ground.ended(inside).phase is DONE
    outside = ground.order(content, engine, name="outside", clustered=True, slots=f"0-{slot - 1}")
    assert str(slot) in ground.problem(outside)


# --- What does not pass ---


@pytest.mark.parametrize("kind", [CHECK, RESTORE])
def test_a_file_that_was_tampered_with_is_refused(kind: ExaminationKind, ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    content = files[engine]
    order = ground.order(content, engine, kind)
    ground.archive.put_bytes(order.key, content[:-1] + bytes([content[-1] ^ 1]))
    assert "has been changed: it has" in ground.problem(order)


@pytest.mark.parametrize("kind", [CHECK, RESTORE])
def test_a_file_of_another_size_is_not_even_fetched(kind: ExaminationKind, ground: Ground, files: dict[str, bytes]) -> None:
    content = files[NAMES[0]]
    order = ground.order(content, kind=kind)
    ground.archive.put_bytes(order.key, content[:-1])
    assert f"has {len(content) - 1} bytes, and should have {len(content)}" in ground.problem(order)


@pytest.mark.parametrize("kind", [CHECK, RESTORE])
def test_a_file_that_was_kept_truncated_is_refused_with_the_place(
    kind: ExaminationKind, ground: Ground, engine: str, files: dict[str, bytes]
) -> None:
    content = files[engine]
    for number, end in enumerate((12, len(content) // 2, len(content) - 8, len(content) - 1)):
        told = ground.problem(ground.order(content[:end], engine, kind, name=f"t{number}"))
        assert "at byte" in told if kind is CHECK else "cut off" in told


@pytest.mark.parametrize("kind", [CHECK, RESTORE])
def test_a_newer_engines_file_is_refused(kind: ExaminationKind, ground: Ground, files: dict[str, bytes]) -> None:
    redis, newest = (next(name for name in NAMES if name.startswith(beginning)) for beginning in ("redis", "valkey-9"))
    told = ground.problem(ground.order(files[newest], redis, kind))
    assert "VALKEY080, and redis 7.0" in told if kind is RESTORE else "Wrong signature" in told


@pytest.mark.parametrize("kind", [CHECK, RESTORE])
def test_another_number_of_keys_is_refused(kind: ExaminationKind, ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    told = ground.problem(ground.order(files[engine], engine, kind, keys=KEYS))
    assert told == f"the file has {KEYS + 1} keys, and should have {KEYS}"


def test_a_file_that_is_not_there_is_refused(ground: Ground) -> None:
    order = ground.order(b"x").model_copy(update={"key": "a1/0002.rdb"})
    assert "0002.rdb" in ground.problem(order)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "a1/../../x", ""])
def test_a_key_leads_nowhere_else(key: str, ground: Ground) -> None:
    assert "is no key of an archive" in ground.problem(ground.order(b"x").model_copy(update={"key": key}))


def test_another_archive_at_the_same_place_is_refused(ground: Ground, files: dict[str, bytes]) -> None:
    assert "another place" in ground.problem(ground.order(files[NAMES[0]], archive_id="0" * 16))


def test_an_engine_that_does_not_start_is_told_with_what_it_said(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    told = ground.problem(ground.order(files[engine], engine, parameters={"maxclients": "many"}))
    assert "ended while the file is loaded by" in told
    assert "argument" in told or "maxclients" in told


@pytest.mark.parametrize("parameters", [{"Save": "1"}, {"maxclients": "1\nsave 1 1"}, {"a b": "1"}])
def test_parameters_that_would_say_more_are_refused(parameters: dict[str, str], ground: Ground, files: dict[str, bytes]) -> None:
    assert "cannot be told to an engine" in ground.problem(ground.order(files[NAMES[0]], parameters=parameters))


def test_parameters_do_not_change_what_is_ours(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    other = {"dir": "/", "dbfilename": "other.rdb", "port": "7777", "replicaof": "127.0.0.1 6379", "logfile": "/other", "include": "/x"}
    assert ground.ended(ground.order(files[engine], engine, parameters=other)).phase is DONE


# --- Orders ---


@pytest.mark.parametrize("name", ["../outside", "", ".hidden", "a/b", "a\nb", "a" * 121, "a:b"])
def test_a_name_that_could_be_a_path_is_refused(name: str, ground: Ground) -> None:
    with pytest.raises(ValueError, match="name"):
        ground.order(b"x", name=name)
    with pytest.raises(ValueError, match="is no name of an examination"):
        ground.examinations.begin_or_look(ground.order(b"x").model_copy(update={"name": name}))
    assert ground.left() == []


def test_a_program_that_the_agent_does_not_have_is_refused(ground: Ground) -> None:
    foreign = server(NAMES[0]).model_copy(update={"path": "/bin/sh"})
    with pytest.raises(ValueError, match=r"this agent has no valkey 9\.1\.2 at /bin/sh"):
        ground.examinations.begin_or_look(ground.order(b"x", binary=foreign))


def test_a_program_in_an_image_is_refused_with_the_reason(ground: Ground) -> None:
    inside = server(NAMES[0]).model_copy(update={"image": "valkey/valkey:9.1"})
    with pytest.raises(ValueError, match=r"is in the image valkey/valkey:9\.1"):
        ground.examinations.begin_or_look(ground.order(b"x", binary=inside))


def test_an_examination_is_done_once_for_each_name_until_it_is_forgotten(ground: Ground, files: dict[str, bytes]) -> None:
    order = ground.order(files[NAMES[0]], kind=CHECK)
    assert ground.ended(order).phase is DONE
    ground.archive.delete(order.key)
    assert ground.examinations.begin_or_look(order).phase is DONE
    with pytest.raises(ValueError, match=r"another examination is called s1\.0001"):
        ground.examinations.begin_or_look(order.model_copy(update={"keys": 7}))
    ground.now += 601
    assert "0001.rdb" in ground.problem(order)


# --- What happens in between ---


def loads(ground: Ground, name: str) -> bool:
    """Whether the engine of that examination runs."""
    return any(handle.key == f"examination.{name}" and ground.runtime.alive(handle) for handle in ground.examinations.handles())


def test_two_run_at_once_and_others_wait(stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]) -> None:
    ground, binary = stalled
    orders = [ground.order(files[NAMES[0]], name=name, binary=binary) for name in ("one", "two", "three")]
    for order in orders:
        ground.examinations.begin_or_look(order)
    wait_until(lambda: loads(ground, "one") and loads(ground, "two"))
    assert ground.left() == ["one", "two"]
    assert ground.examinations.begin_or_look(orders[2]).step == "waits for others"
    ground.examinations.cancel("one")
    wait_until(lambda: loads(ground, "three"))
    assert ground.left() == ["three", "two"]


def test_a_cancelled_examination_leaves_nothing_and_can_be_begun_anew(
    stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]
) -> None:
    ground, binary = stalled
    order = ground.order(files[NAMES[0]], binary=binary)
    ground.examinations.begin_or_look(order)
    wait_until(lambda: loads(ground, order.name))
    handle = ground.examinations.handles()[0]
    ground.examinations.cancel(order.name)
    assert not ground.runtime.alive(handle)
    wait_until(lambda: ground.left() == [])
    ground.examinations.cancel(order.name)
    ground.examinations.cancel("never-heard-of")
    wait_until(lambda: ground.examinations.begin_or_look(order).phase is ExaminationPhase.RUNNING)
    wait_until(lambda: loads(ground, order.name))


def test_one_that_waits_can_be_cancelled(stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]) -> None:
    ground, binary = stalled
    orders = [ground.order(files[NAMES[0]], name=name, binary=binary) for name in ("one", "two", "three")]
    for order in orders:
        ground.examinations.begin_or_look(order)
    wait_until(lambda: loads(ground, "one") and loads(ground, "two"))
    ground.examinations.cancel("three")
    assert ground.examinations.begin_or_look(orders[2]).phase is UNKNOWN
    ground.examinations.cancel("two")
    wait_until(lambda: ground.examinations.begin_or_look(orders[2]).step != "" and loads(ground, "three"))


def test_an_engine_that_is_killed_in_the_middle_is_told(stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]) -> None:
    ground, binary = stalled
    order = ground.order(files[NAMES[0]], binary=binary)
    ground.examinations.begin_or_look(order)
    wait_until(lambda: loads(ground, order.name))
    os.kill(ground.examinations.handles()[0].pid, signal.SIGKILL)
    assert "valkey 9.1.2 ended while the file is loaded by" in ground.problem(order)


KILLED = """
import sys, time
from pathlib import Path
from agents.examinations import Examinations
from agents.runtimes.process import ProcessRuntime
from api_schemas.agent.examination import ExaminationOrder
order = ExaminationOrder.model_validate_json(sys.stdin.read())
folder = Path(sys.argv[1])
examinations = Examinations(folder, ProcessRuntime(folder), [order.binary])
examinations.begin_or_look(order)
while not examinations.handles():
    time.sleep(0.01)
print("loading", flush=True)
time.sleep(600)
"""


def test_an_agent_that_is_killed_leaves_a_stray_that_its_next_life_ends(
    stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]
) -> None:
    ground, binary = stalled
    order = ground.order(files[NAMES[0]], binary=binary)
    command = [sys.executable, "-c", KILLED, str(ground.folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdin is not None and agent.stdout is not None
        agent.stdin.write(order.model_dump_json())
        agent.stdin.close()
        assert agent.stdout.readline() == "loading\n"
        agent.kill()
    (stray,) = ground.runtime.strays([])
    assert stray.key == "examination.s1.0001"
    assert ground.left() == ["s1.0001"]
    ground.runtime.kill(stray)
    ground.examinations.clear()
    assert ground.left() == []
    assert ground.runtime.strays([]) == []


def test_scratch_folders_are_for_their_owner_alone(stalled: tuple[Ground, EngineBinary], files: dict[str, bytes]) -> None:
    ground, binary = stalled
    order = ground.order(files[NAMES[0]], binary=binary)
    ground.examinations.begin_or_look(order)
    wait_until(lambda: loads(ground, order.name))
    folder = ground.folder / "examinations" / order.name
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_a_checker_that_hangs_can_be_cancelled(stalled: tuple[Ground, EngineBinary]) -> None:
    ground, binary = stalled
    order = ground.order(bytes(4 << 20), binary=binary, kind=CHECK)
    ground.examinations.begin_or_look(order)
    wait_until(lambda: "is read by the check" in ground.examinations.begin_or_look(order).step)
    ground.examinations.cancel(order.name)
    wait_until(lambda: ground.left() == [])


def test_an_engine_aside_listens_at_no_port(ground: Ground, engine: str, files: dict[str, bytes]) -> None:
    slow = ground.order(files[engine], engine, parameters={"key-load-delay": "100000"})  # microseconds for each key
    ground.examinations.begin_or_look(slow)
    wait_until(lambda: (ground.folder / "examinations" / slow.name / "engine.sock").exists())
    (handle,) = ground.examinations.handles()
    sockets = {str(path.readlink()) for path in Path(f"/proc/{handle.pid}/fd").iterdir()}
    tables = [Path(f"/proc/{handle.pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6", "udp", "udp6")]
    assert not sockets & {f"socket:[{line.split()[9]}]" for table in tables for line in table}
    ground.examinations.cancel(slow.name)
