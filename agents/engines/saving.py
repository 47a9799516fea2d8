"""One save of an engine: BGSAVE, and everything that is made sure of its file while the engine still writes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

import anycrc

from agents.clock import now
from agents.engines.engine import EngineUnreachableError
from agents.engines.rdb_check import Checked, RdbCheck, RdbCheckFailedError, available_for
from agents.engines.reach import own_reach
from agents.engines.talk import Talk
from agents.engines.valkey_session import databases_in, fields_of, used_memory_in
from api_schemas.agent.backup import SavePhase
from api_schemas.agent.node import EngineBinary, NodeSpec

_CHUNK = 1 << 20
_LOOK = 0.002  # seconds between two looks at a file that grows
_ASK = 0.1  # seconds between two questions to the engine
_SAVES_WITHIN = 3600.0  # seconds that another save of the engine is waited for
_FOOTER = 8  # bytes of the checksum that a file ends with
_WRITING = re.compile(r"temp-\d+\.rdb")
_HEADER = re.compile(rb"(REDIS\d{4}|VALKEY\d{3})")

Progress = Callable[[SavePhase, int, int], None]


class SavingFailedError(Exception):
    """The engine could not save, or wrote what is not sound; the text says what happened."""


@dataclass(frozen=True, slots=True)
class SavedData:
    """A file that was saved: its size in bytes, its SHA-256, the version in its header, when it was begun, and what the engine counted."""

    size: int
    sha256: str
    version: str
    taken_at: datetime
    checked: Checked | None
    databases: int
    used_memory: int

    def as_told(self) -> dict[str, Any]:
        """As the fields of a ``SaveState``."""
        told: dict[str, Any] = {name: getattr(self, name) for name in ("size", "sha256", "version", "taken_at", "databases", "used_memory")}
        if self.checked is not None:
            told |= {name: getattr(self.checked, name) for name in ("keys", "expires", "functions")}
        return told


class Reading:
    """A file that is read while it is written: its SHA-256, its own checksum, and the engine's check, chunk by chunk."""

    def __init__(self, file: BinaryIO, binary: EngineBinary) -> None:
        self._file = file
        self._check = RdbCheck(binary) if available_for(binary) else None
        self._sha = hashlib.sha256()
        self._crc = 0
        self._last = b""
        self.head = b""
        self.size = 0

    @property
    def inode(self) -> tuple[int, int]:
        """Which file it is."""
        seen = os.fstat(self._file.fileno())
        return seen.st_dev, seen.st_ino

    def catch_up(self) -> bool:
        """Read what is there; answers whether there was anything."""
        before = self.size
        while chunk := self._file.read(_CHUNK):
            self.head = self.head or chunk[:16]
            self._sha.update(chunk)
            held = self._last + chunk
            self._crc = _CRC.calc(held[:-_FOOTER], self._crc)
            self._last = held[-_FOOTER:]
            self.size += len(chunk)
            if self._check is not None:
                self._check.feed(chunk)
        return self.size > before

    def finish(self) -> tuple[str, str, Checked | None]:
        """The SHA-256, the version in the header, and what was counted. Raises SavingFailedError for a file that is not sound."""
        header = _HEADER.match(self.head)
        if header is None:
            raise SavingFailedError(f"the engine wrote a file that is no RDB: it begins with {self.head[:9]!r}")
        if self._crc.to_bytes(_FOOTER, "little") != self._last:
            raise SavingFailedError("the engine wrote a file whose checksum does not fit")
        try:
            checked = self._check.finish() if self._check is not None else None
        except RdbCheckFailedError as failed:
            raise SavingFailedError(f"the engine's own check refuses the file: {failed}") from failed
        return self._sha.hexdigest(), header[1].decode(), checked


    def close(self) -> None:
        """End the check, and read no more."""
        self._file.close()
        if self._check is not None:
            self._check.close()


class Saving:
    """One save of the engine of a spec, whose files are in ``folder``. It ends early once ``goes_on`` says no."""

    def __init__(self, spec: NodeSpec, folder: Path, goes_on: Callable[[], bool]) -> None:
        self._binary = spec.binary
        self._folder = folder
        self._dump = folder / "dump.rdb"
        self._goes_on = goes_on
        self._talk = Talk(own_reach(spec), patience=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._talk.close()

    def run(self, kept: Path, progress: Progress) -> SavedData | None:
        """Save, and keep the file as ``kept`` as well; None when it is not wanted any more.

        Raises SavingFailedError and EngineUnreachableError.
        """
        before = self._begin(progress)
        if before is None:
            return None
        taken_at, facts = now(), self._facts()
        reading = self._follow(before, progress)
        if reading is None:
            return None
        with contextlib.closing(reading):
            kept.unlink(missing_ok=True)
            os.link(self._dump, kept, follow_symlinks=False)
            if reading.inode != _inode(kept):
                raise SavingFailedError("the engine's file was replaced by another before it could be kept")
            sha256, version, checked = reading.finish()
            return SavedData(reading.size, sha256, version, taken_at, checked, databases_in(facts), used_memory_in(facts))

    def _begin(self, progress: Progress) -> tuple[int, int] | None:
        """Have the engine begin, once no other save goes on; answers which file its last one is, None when it is not wanted any more."""
        until = time.monotonic() + _SAVES_WITHIN
        while self._goes_on():
            state = self._persistence()
            busy = [name for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "loading") if state.get(name) == "1"]
            before = _inode(self._dump)
            if not busy:
                try:
                    self._talk.say("BGSAVE")
                    return before
                except EngineUnreachableError as refused:
                    if "in progress" not in str(refused) and "active" not in str(refused):
                        raise SavingFailedError(f"BGSAVE was refused: {refused}") from refused
            if time.monotonic() > until:
                raise SavingFailedError(f"the engine was busy for an hour: {', '.join(busy)}")
            progress(SavePhase.WAITING, 0, 0)
            time.sleep(_LOOK * 5)
        return None

    def _follow(self, before: tuple[int, int], progress: Progress) -> Reading | None:
        """Read the file while it is written, to its end; None when it is not wanted any more."""
        with contextlib.ExitStack() as unless_done:
            reading: Reading | None = None
            ask_at = 0.0
            while self._goes_on():
                present = _inode(self._dump)
                if reading is None and (file := _opened(self._written(before))) is not None:
                    reading = Reading(file, self._binary)
                    unless_done.callback(reading.close)
                has_grown = reading.catch_up() if reading is not None else False
                if reading is not None and reading.inode == present:  # it gets its name when it is whole
                    reading.catch_up()
                    unless_done.pop_all()
                    return reading
                if present not in (before, _NONE):
                    unless_done.close()
                    reading = None  # what we read was left by another save
                elif not has_grown:
                    if time.monotonic() >= ask_at:
                        ask_at = time.monotonic() + _ASK
                        self._must_go_on(before, progress)
                    time.sleep(_LOOK)
        return None

    def _written(self, before: tuple[int, int]) -> Path | None:
        """The file that is written, or has been since."""
        if _inode(self._dump) not in (before, _NONE):
            return self._dump
        found = [path for path in self._folder.iterdir() if _WRITING.fullmatch(path.name)]
        return max(found, key=lambda path: _changed_at(path), default=None)

    def _must_go_on(self, before: tuple[int, int], progress: Progress) -> None:
        """Raises SavingFailedError when the engine writes no more and has nothing to show."""
        state = self._persistence()
        if state.get("rdb_bgsave_in_progress") == "1":
            progress(SavePhase.SAVING, int(state.get("current_save_keys_processed", "0")), int(state.get("current_save_keys_total", "0")))
        elif _inode(self._dump) == before:
            status = state.get("rdb_last_bgsave_status", "unknown")
            raise SavingFailedError(f"the engine gave up saving (its status is {status}); is its disk full, or was its child ended?")

    def _persistence(self) -> dict[str, str]:
        return fields_of(_text(self._talk.say("INFO", "persistence")))

    def _facts(self) -> str:
        return "\n".join(_text(self._talk.say("INFO", section)) for section in ("memory", "keyspace"))


_NONE = (0, 0)
_CRC = anycrc.Model("CRC64-REDIS")


def _inode(path: Path) -> tuple[int, int]:
    """Which file has that name; nothing but an ordinary one counts."""
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return _NONE
    return (seen.st_dev, seen.st_ino) if stat.S_ISREG(seen.st_mode) else _NONE


def _changed_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _opened(path: Path | None) -> BinaryIO | None:
    """An ordinary file, never one that a link leads to: an engine in a container could have laid it. None where it has gone meanwhile."""
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SavingFailedError(f"{path.name} is no ordinary file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _text(answer: Any) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
