"""A rolling file: whole lines, once each, whenever its writer ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.delivery.rolling_file import Mark, RollingFile
from controlplane.delivery.trouble import ReceiverAwayError


def test_lines_follow_one_another_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    file = RollingFile(tmp_path / "a" / "b.log")
    first = file.append(b"one\n")
    assert file.append(b"two\n", first).size == 8
    assert file.path.read_bytes() == b"one\ntwo\n"
    assert (file.path.stat().st_mode | file.path.parent.stat().st_mode) & 0o077 == 0


def test_what_was_written_and_never_accounted_for_is_written_over(tmp_path: Path) -> None:
    file = RollingFile(tmp_path / "b.log")
    mark = file.append(b"one\n")
    file.append(b"two\nthr", mark)
    file.append(b"two\nthree\n", mark)
    assert file.path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_file_that_is_full_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    file = RollingFile(tmp_path / "b.log", size=8, kept=2)
    mark = file.append(b"")
    for number in range(5):
        mark = file.append(f"line {number}\n".encode(), mark)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "b.log": "line 4\n", "b.log.1": "line 3\n", "b.log.2": "line 2\n",
    }  # fmt: skip


def test_a_file_begun_after_the_mark_has_nothing_in_it_that_was_accounted_for(tmp_path: Path) -> None:
    file = RollingFile(tmp_path / "b.log", size=8)
    mark = file.append(b"line 1\n")
    file.append(b"line 2\n", mark)
    file.append(b"line 2\n", mark)
    assert (tmp_path / "b.log.1").read_text() + file.path.read_text() == "line 1\nline 2\n"


@pytest.mark.parametrize("mark", [Mark(1, 0), Mark()])
def test_a_mark_of_another_file_cuts_nothing(tmp_path: Path, mark: Mark) -> None:
    file = RollingFile(tmp_path / "b.log")
    file.append(b"one\n")
    file.append(b"two\n", mark)
    assert file.path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / "b.log").mkdir()
    with pytest.raises(ReceiverAwayError, match=r"b\.log cannot be written"):
        RollingFile(tmp_path / "b.log").append(b"one\n")
