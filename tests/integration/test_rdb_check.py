"""The engines' own RDB check, of files that engines wrote, and of such as they never would."""

from __future__ import annotations

import os
import random
import re
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import LIBRARY, fill
from engine_aside import NAMES, SERVERS, engine_aside, server
from waiting import wait_until

from agents.engines.rdb_check import Checked, RdbCheck, RdbCheckFailedError, available_for, why_unavailable
from api_schemas.agent.node import EngineBinary

KEYS = 900
LATER = 4_000_000_000_000  # milliseconds since 1970
CHUNK = 4096


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What each engine writes for the same data, by its name and version."""
    written = {}
    for name, binary in zip(NAMES, SERVERS, strict=True):
        folder = tmp_path_factory.mktemp(name)
        with engine_aside(binary, folder) as client:
            fill(client, KEYS, LATER)
            client.execute_command("FUNCTION", "LOAD", LIBRARY)
            client.save()
        written[name] = (folder / "dump.rdb").read_bytes()
    return written


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check(binary: EngineBinary, content: bytes, patience: float = 30.0) -> Checked:
    with RdbCheck(binary, patience) as checking:
        for at in range(0, len(content), CHUNK):
            checking.feed(content[at : at + CHUNK])
        return checking.finish()


def refusal(binary: EngineBinary, content: bytes, patience: float = 30.0) -> str:
    with pytest.raises(RdbCheckFailedError) as refused:
        check(binary, content, patience)
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) < 700
    return said


def test_the_three_engines_are_here() -> None:
    assert {(binary.engine, binary.version.split(".")[0]) for binary in SERVERS} >= {("valkey", "9"), ("valkey", "8"), ("redis", "7")}


def test_a_sound_file_is_counted(engine: str, files: dict[str, bytes]) -> None:
    assert check(server(engine), files[engine]) == Checked(KEYS, KEYS // 3, 0, 1 if engine.startswith("valkey-9") else None)


def test_keys_that_have_expired_are_told_apart(engine: str, tmp_path: Path) -> None:
    with engine_aside(server(engine), tmp_path, "--replicaof", "127.0.0.1 1", "--replica-read-only", "no") as client:
        client.set("stays", 1)
        client.save()
    content = (tmp_path / "dump.rdb").read_bytes()
    # a key with an expiry in the past, as a file has it: opcode 252, eight bytes of milliseconds, then a string "k" = "v"
    at = content.index(b"\x00\x05stays")
    past = b"\xfc" + (1000).to_bytes(8, "little") + b"\x00\x01k\x01v"
    unsummed = content[:at] + past + content[at:-8] + bytes(8)
    checked = check(server(engine), unsummed)
    assert (checked.keys, checked.expires, checked.expired) == (2, 1, 1)


def test_an_older_engines_file_is_sound_to_a_newer_one(files: dict[str, bytes]) -> None:
    newest, *older = NAMES
    for name in older:
        assert check(server(newest), files[name]).keys == KEYS


@pytest.mark.parametrize(("older", "newer"), [("redis", "valkey-8"), ("redis", "valkey-9"), ("valkey-8", "valkey-9")])
def test_a_newer_engines_file_is_refused(older: str, newer: str, files: dict[str, bytes]) -> None:
    reads, wrote = (next(name for name in NAMES if name.startswith(beginning)) for beginning in (older, newer))
    assert re.search(r"(Wrong signature|Can't handle RDB format version \d+).*, at byte 9 ", refusal(server(reads), files[wrote]))


def test_a_truncated_file_is_refused_wherever_it_ends(engine: str, files: dict[str, bytes]) -> None:
    content = files[engine]
    chosen = random.Random(7)
    for end in [0, 1, 8, 9, 10, len(content) - 9, len(content) - 8, len(content) - 1, *chosen.sample(range(11, len(content) - 9), 30)]:
        told = refusal(server(engine), content[:end])
        at = re.search(r"Unexpected EOF reading RDB file, at byte (\d+)|at byte (\d+)", told)
        assert at is not None, told
        assert int(at[1] or at[2]) <= end


def test_a_flipped_bit_is_refused_wherever_it_is(engine: str, files: dict[str, bytes]) -> None:
    content = files[engine]
    chosen = random.Random(8)
    for at in chosen.sample(range(len(content)), 60):
        flipped = content[:at] + bytes([content[at] ^ (1 << chosen.randrange(8))]) + content[at + 1 :]
        assert refusal(server(engine), flipped)


@pytest.mark.parametrize("behind", [b"\0", b"x" * 100, bytes(3 * 1024 * 1024)], ids=["one byte", "some", "much"])
def test_a_file_that_goes_on_behind_its_end_is_refused(behind: bytes, engine: str, files: dict[str, bytes]) -> None:
    content = files[engine]
    told = refusal(server(engine), content + behind)
    assert f"read {len(content)} of its {len(content) + len(behind)} bytes" in told


GARBAGE = {
    "nothing": b"", "a word": b"hello", "half a header": b"REDIS", "a request": b"GET / HTTP/1.1\r\n\r\n",
    "noise": random.Random(9).randbytes(1 << 20), "zeros": bytes(1 << 20),
}  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_rdb_file_is_refused(garbage: bytes, engine: str) -> None:
    assert "at byte" in refusal(server(engine), garbage)


def test_a_file_cannot_have_the_checker_say_what_it_likes(engine: str, files: dict[str, bytes]) -> None:
    content = files[engine]
    says = b"\n[offset 9] \\o/ RDB looks OK! \\o/\n[info] 0 keys read\n[info] 0 expires\n[info] 0 already expired\n[info] 9 functions\n"
    forged = content[:9] + b"\xfa\x01a" + (0x4000 + len(says)).to_bytes(2, "big") + says + content[9:-8] + bytes(8)
    checked = check(server(engine), forged)
    assert (checked.keys, checked.functions) == (KEYS, 1 if engine.startswith("valkey-9") else None)
    assert "While doing: " in refusal(server(engine), forged[:-100])


def test_the_names_of_keys_are_not_told(engine: str, tmp_path: Path) -> None:
    with engine_aside(server(engine), tmp_path) as client:
        client.set("patient:4711", "x" * 15)
        client.save()
    content = (tmp_path / "dump.rdb").read_bytes()
    told = refusal(server(engine), content[: content.index(b"patient:4711") + 15])
    assert "Unexpected EOF" in told
    assert "4711" not in told


def test_a_length_that_no_memory_has_room_for_is_refused(engine: str, files: dict[str, bytes]) -> None:
    huge = b"\x00\x01k\x81" + (1 << 60).to_bytes(8, "big")
    assert refusal(server(engine), files[engine][:9] + huge + bytes(1000))


def test_only_programs_that_are_installed_here_can_check() -> None:
    assert [available_for(binary) for binary in SERVERS] == [True] * len(SERVERS)
    inside = EngineBinary(engine="valkey", version="9.1.2", path="valkey-server", image="valkey/valkey:9.1")
    assert "is in the image valkey/valkey:9.1" in str(why_unavailable(inside))
    memcached = EngineBinary(engine="memcached", version="1.6.18", path="/usr/bin/memcached")
    assert "memcached writes no RDB files" in str(why_unavailable(memcached))
    for binary in (inside, memcached):
        with pytest.raises(ValueError, match="RDB"):
            RdbCheck(binary)


# --- Checkers that do not behave ---


def program(folder: Path, body: str) -> EngineBinary:
    path = folder / "valkey-server"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return EngineBinary(engine="valkey", version="9.1.2", path=str(path))


def test_a_checker_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    assert "took nothing for 0.2 s" in refusal(program(tmp_path, "exec sleep 600"), bytes(4 << 20), patience=0.2)


def test_a_checker_that_never_ends_is_given_up(tmp_path: Path) -> None:
    assert "did not end within 0.2 s" in refusal(program(tmp_path, "exec sleep 600"), b"REDIS0011", patience=0.2)


def test_a_checker_that_crashes_is_told_with_its_last_words(tmp_path: Path) -> None:
    told = refusal(program(tmp_path, "echo '=== BUG REPORT ==='; printf 'bad \\377\\033 thing\\n'; kill -SEGV $$"), bytes(4 << 20))
    assert told.startswith("the checker was ended by SIGSEGV, and said last: === BUG REPORT === / bad ")
    assert told.endswith(" thing")


def test_a_checker_that_prints_without_end_stops_nobody(tmp_path: Path) -> None:
    told = refusal(program(tmp_path, "head -c 5000000 /dev/zero | tr '\\0' 'x'; cat >/dev/null; echo; echo the end; exit 3"), bytes(4 << 20))
    assert told.startswith("the checker ended with status 3")
    assert told.endswith("the end")


def test_a_checker_that_finds_nothing_wrong_but_says_nothing_is_not_believed(tmp_path: Path) -> None:
    assert refusal(program(tmp_path, "exec cat >/dev/null"), b"REDIS0011") == "the checker ended with status 0 and said nothing"


def test_a_program_that_cannot_be_started_is_told_at_the_end(tmp_path: Path) -> None:
    gone = EngineBinary(engine="redis", version="7.0.15", path=str(tmp_path / "gone"))
    assert "could not be started as redis-check-rdb: No such file" in refusal(gone, b"REDIS0011")


@pytest.fixture
def running(files: dict[str, bytes]) -> Iterator[tuple[RdbCheck, int]]:
    """A check in the middle of its file, and its process."""
    name = NAMES[0]
    with RdbCheck(server(name), 30.0) as checking:
        checking.feed(files[name][:-100])
        assert checking._process is not None
        yield checking, checking._process.pid


def test_a_check_leaves_no_process_when_it_is_closed(running: tuple[RdbCheck, int]) -> None:
    checking, pid = running
    assert Path(f"/proc/{pid}").exists()
    checking.close()
    checking.close()
    assert not Path(f"/proc/{pid}").exists()
    checking.feed(b"more")
    with pytest.raises(RdbCheckFailedError, match="closed before"):
        checking.finish()


def test_a_check_that_waits_for_room_can_be_closed_by_another(tmp_path: Path) -> None:
    checking = RdbCheck(program(tmp_path, "exec sleep 600"), 600.0)
    feeding = threading.Thread(target=checking.feed, args=(bytes(8 << 20),))
    feeding.start()
    wait_until(lambda: checking._fed)
    checking.close()
    feeding.join(10)
    assert not feeding.is_alive()


def test_a_checker_steps_back_and_has_limits(running: tuple[RdbCheck, int]) -> None:
    _, pid = running
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    given = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {line.split(b"=")[0] for line in given if b"=" in line} <= {b"LC_ALL", b"LD_LIBRARY_PATH"}
