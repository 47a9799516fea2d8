"""The engine log of a node: the lines of its file since a mark, and of the one before it, should the engine have been started anew."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from api_schemas.agent.logs import EngineLine, EngineLogMark

NAME, FORMER = "engine.log", "engine.log.former"
AT_ONCE = 256 << 10
"""Bytes that are read at once."""

BACKLOG = 4 << 20
"""Bytes that may wait to be read. Of what is more the oldest is dropped."""

_LONGEST = 8192  # characters of a message
_LINE = re.compile(r"\d+:([A-Z]) (\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) ([.*#-]) (.*)", re.DOTALL)
_LEVELS = {".": "DEBUG", "-": "VERBOSE", "*": "NOTICE", "#": "WARNING"}
_ARGUMENT = re.compile(r"(argv\[\d+\]: ).*", re.DOTALL)


@dataclass
class Read:
    """What was read: the lines, up to which mark, how many lines were dropped before them, and whether there is more."""

    lines: list[EngineLine]
    mark: EngineLogMark
    lost: int = 0
    more: bool = False


def read_engine_log(folder: Path, mark: EngineLogMark, since: float, *, in_utc: bool = False) -> Read:
    """The lines after the mark, those before ``since`` left out. ``in_utc``: the engine's own time is UTC, whatever ours is."""
    read = Read([], mark)
    for path in (folder / FORMER, folder / NAME):
        if read.more:
            break
        try:
            with path.open("rb") as file:
                _read_on(file, read, is_former=path.name == FORMER, first=mark, since=since, in_utc=in_utc)
        except FileNotFoundError:
            continue
    return read


def _read_on(file: BinaryIO, read: Read, *, is_former: bool, first: EngineLogMark, since: float, in_utc: bool) -> None:
    head = _head(file)
    if head is None or (is_former and not first.head):
        return
    if is_former and not _is_before(file, first):
        return
    offset = read.mark.offset if head == read.mark.head else 0
    size = file.seek(0, 2)
    if size - offset > BACKLOG:
        skipped = _line_after(file, size - BACKLOG)
        read.lost += _lines_between(file, offset, skipped)
        offset = skipped
    file.seek(offset)
    came = file.read(AT_ONCE)
    whole = len(came) if is_former and offset + len(came) >= size else came.rfind(b"\n") + 1
    if not whole and len(came) == AT_ONCE:
        whole = len(came)  # a line without an end
    written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    read.lines += _parsed(came[:whole], since, in_utc, written)
    read.mark = EngineLogMark(head=head, offset=offset + whole)
    read.more = offset + whole < size and whole > 0


def _is_before(file: BinaryIO, mark: EngineLogMark) -> bool:
    """Whether the former file is the one that was being read, or came after it."""
    present = Path(file.name).with_name(NAME)
    try:
        with present.open("rb") as now:
            return _head(now) != mark.head
    except FileNotFoundError:
        return True


def _head(file: BinaryIO) -> str | None:
    """What tells a file from any other: its first line has the process and the moment. None while it has none."""
    file.seek(0)
    line = file.readline(1024)
    return hashlib.sha256(line).hexdigest()[:16] if line.endswith(b"\n") or len(line) == 1024 else None


def _line_after(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    file.readline(AT_ONCE)
    return file.tell()


def _lines_between(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    found, left = 0, end - start
    while left > 0 and (piece := file.read(min(left, 1 << 20))):
        found += piece.count(b"\n")
        left -= len(piece)
    return found


def _parsed(came: bytes, since: float, in_utc: bool, at: datetime) -> Iterator[EngineLine]:
    """A line that does not begin like one, as those of a crash report, has the moment of the one before it, the first ``at``."""
    level, role = "NOTICE", "X"
    for text in came.decode(errors="replace").splitlines():
        if not text.strip():
            continue
        message = text
        if found := _LINE.fullmatch(text):
            role, moment, sign, message = found.groups()
            at, level = _moment(moment, in_utc), _LEVELS[sign]
        if at.timestamp() >= since:
            yield EngineLine(at=at, level=level, role=role, message=_ARGUMENT.sub(r"\1(masked)", message)[:_LONGEST])


def _moment(told: str, in_utc: bool) -> datetime:
    naive = datetime.strptime(told, "%d %b %Y %H:%M:%S.%f")
    return naive.replace(tzinfo=UTC) if in_utc else naive.astimezone(UTC)
