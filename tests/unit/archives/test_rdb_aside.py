"""The same in a child process: answers and refusals come back, and it ends when nobody waits for it any more."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rdb_maker import every_type, lzf, rdb, select, string

import archives.rdb
from archives.rdb import aside, checking, cutting
from archives.rdb.aside import Limits, RdbAsideError
from archives.rdb.cutting import Cut
from archives.rdb.digest import digest
from archives.rdb.header import RdbRefusedError
from archives.rdb.writing import as_string


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.rdb"
    path.write_bytes(every_type())
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that takes minutes to look into."""
    path = tmp_path / "endless.rdb"
    keys = b"".join(string(b"key:%d" % number) for number in range(20_000))
    path.write_bytes(rdb(*(select(number) + keys for number in range(100))))
    return path


def children() -> list[psutil.Process]:
    """The processes of this kind that we have: other tests may have begun others."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("archives/rdb" in word for word in child.cmdline()):
                found.append(child)
    return found


def test_a_child_answers_the_same(source: Path, tmp_path: Path) -> None:
    assert aside.summarise(source, deep=True) == checking.summarise(source)
    assert aside.digest(source) == digest(source)
    plain = tmp_path / "plain.rdb"
    plain.write_bytes(rdb(string(b"a"), select(3), string(b"b")))
    targets = [Cut(tmp_path / "a.rdb", None), Cut(tmp_path / "b.rdb", ((0, 5000), (6000, 16383)))]
    made = aside.cut([plain], targets, every_database=True, must_place_every_key=True)
    assert made == cutting.cut([plain], targets, every_database=True)


def test_a_childs_refusal_is_a_refusal_here(source: Path, tmp_path: Path) -> None:
    source.write_bytes(source.read_bytes()[:-1])
    for refused in (lambda: aside.summarise(source), lambda: aside.digest(source), lambda: aside.cut([source], [Cut(tmp_path / "c", None)])):
        with pytest.raises(RdbRefusedError, match=r"cut off|data of a module"):
            refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.rdb"]


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path, source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        aside.summarise(tmp_path / "nothing.rdb")
    source.write_bytes(rdb(string(b"a")))
    with pytest.raises(FileNotFoundError) as raised:
        aside.cut([source], [Cut(tmp_path / "nowhere" / "c.rdb", None)])
    assert "nowhere" in raised.value.filename


def test_one_is_told_how_far_a_child_is(tmp_path: Path) -> None:
    told: list[int] = []
    path = tmp_path / "large.rdb"
    path.write_bytes(rdb(*(string(b"key:%d" % number, bytes(1 << 20)) for number in range(20))))
    assert aside.summarise(path, told=told.append).total_keys == 20
    assert len(told) == 5
    assert told == sorted(told)


def test_a_child_ends_when_its_time_is_up(endless: Path) -> None:
    with pytest.raises(RdbAsideError, match=r"longer than 0\.3 seconds"):
        aside.digest(endless, limits=Limits(seconds=0.3))
    assert not children()


def test_a_child_ends_when_nobody_wants_it_any_more(endless: Path, tmp_path: Path) -> None:
    asked: list[float] = []

    def goes_on() -> bool:
        asked.append(time.monotonic())
        return len(asked) < 3

    with pytest.raises(RdbAsideError, match="nobody wants it"):
        aside.cut([endless], [Cut(tmp_path / "c.rdb", None)], goes_on=goes_on)
    assert len(asked) == 3
    assert not children()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["endless.rdb"]


def test_a_child_ends_when_who_is_told_raises(endless: Path) -> None:
    def told(done: int) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        aside.digest(endless, told=told)
    assert not children()


def test_a_child_that_needs_more_memory_than_it_may_refuses_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.rdb"
    packed = b"\x00a" + b"\xe0\xff\x00" * 600_000
    path.write_bytes(rdb(b"\x00" + lzf(packed, 1 + 264 * 600_000) + as_string(b"a key of 158 MB")))
    with pytest.raises(RdbRefusedError, match=r"more than the .* bytes of memory"):
        aside.summarise(path, limits=Limits(memory=150 << 20))
    assert not children()


def test_a_child_is_there_soon_and_brings_little_along() -> None:
    program = "import sys, archives.rdb.checking, archives.rdb.cutting, archives.rdb.digest; print(*sys.modules)"
    folder = str(Path(archives.rdb.__file__).parents[2])
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[folder, *sys.path]}; {program}"], capture_output=True, text=True, check=True)
    assert not {"asyncio", "pydantic", "botocore", "typing_extensions", "subprocess"} & set(done.stdout.split())
