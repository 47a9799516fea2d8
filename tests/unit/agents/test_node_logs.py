"""What an agent tells of logs: engine logs over new files and storms, and slow log entries without their arguments."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.engine_log import BACKLOG, Read, read_engine_log
from agents.slow_log import masked
from api_schemas.agent.logs import EngineLogMark

FIRST = "11:M 28 Nov 2026 19:27:17.763 * Server initialized\n"
SECOND = "11:S 28 Nov 2026 19:27:18.001 # Connection lost\n"
ANEW = "12:C 28 Nov 2026 19:30:00.000 * Valkey is starting\n"


def read(folder: Path, mark: EngineLogMark | None = None, since: float = 0.0) -> Read:
    return read_engine_log(folder, mark or EngineLogMark(), since, in_utc=True)


def said(read_so_far: Read) -> list[str]:
    return [line.message for line in read_so_far.lines]


def test_lines_have_their_level_role_and_moment(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text(FIRST + SECOND)
    lines = read(tmp_path).lines
    assert [(line.role, line.level, line.message) for line in lines] == [
        ("M", "NOTICE", "Server initialized"), ("S", "WARNING", "Connection lost"),
    ]  # fmt: skip
    assert lines[0].at == datetime(2026, 11, 28, 19, 27, 17, 763000, UTC)


def test_a_line_is_told_once_it_is_whole_and_then_never_again(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text(FIRST + SECOND[:20])
    first = read(tmp_path)
    assert said(first) == ["Server initialized"]
    log.write_text(FIRST + SECOND)
    second = read(tmp_path, first.mark)
    assert said(second) == ["Connection lost"]
    assert said(read(tmp_path, second.mark)) == []


def test_an_engine_that_was_started_anew_is_heard_to_its_last_word(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text(FIRST)
    mark = read(tmp_path).mark
    (tmp_path / "engine.log").write_text(FIRST + SECOND.rstrip("\n"))
    (tmp_path / "engine.log").replace(tmp_path / "engine.log.former")
    waiting = read(tmp_path, mark)
    assert said(waiting) == ["Connection lost"]
    (tmp_path / "engine.log").write_text(ANEW)
    both = read(tmp_path, mark)
    assert said(both) == ["Connection lost", "Valkey is starting"]
    assert said(read(tmp_path, waiting.mark)) == ["Valkey is starting"]
    assert said(read(tmp_path, both.mark)) == []


def test_a_former_file_is_nobodys_who_begins_to_ask(tmp_path: Path) -> None:
    (tmp_path / "engine.log.former").write_text(FIRST)
    (tmp_path / "engine.log").write_text(ANEW)
    assert said(read(tmp_path)) == ["Valkey is starting"]


def test_of_a_storm_the_oldest_lines_are_dropped_and_counted(tmp_path: Path) -> None:
    number = 2 * BACKLOG // len(SECOND)
    (tmp_path / "engine.log").write_text(FIRST + SECOND * number)
    mark, lines, lost = EngineLogMark(), 0, 0
    while True:
        part = read(tmp_path, mark)
        assert len(part.lines) < 10_000
        mark, lines, lost = part.mark, lines + len(part.lines), lost + part.lost
        if not part.more:
            break
    assert lost > number // 3
    assert lines + lost == number + 1


def test_what_is_older_than_the_delivery_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text(FIRST + SECOND)
    assert said(read(tmp_path, since=datetime(2026, 11, 28, 19, 27, 18, tzinfo=UTC).timestamp())) == ["Connection lost"]


def test_a_crash_report_is_told_without_the_arguments_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text(FIRST + "------ CURRENT CLIENT INFO ------\n11:M 28 Nov 2026 19:27:18.001 # argv[1]: 's3cret'\nargv[2]: 'x'\n")
    assert said(read(tmp_path))[1:] == ["------ CURRENT CLIENT INFO ------", "argv[1]: (masked)", "argv[2]: (masked)"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([b"PING"], "PING"),
        ([b"GET", b"key"], "GET ... (1 more arguments)"),
        ([b"AUTH", b"user", b"s3cret"], "AUTH ... (2 more arguments)"),
        ([b"MSET", *[b"x"] * 30, b"... (51 more arguments)"], "MSET ... (81 more arguments)"),
        ([b"\xff\xfe"], "\ufffd\ufffd"),
        ([], ""),
    ],
)
def test_of_a_command_only_its_name_and_the_number_of_its_arguments_are_told(arguments: list[bytes], told: str) -> None:
    assert masked(arguments) == told
