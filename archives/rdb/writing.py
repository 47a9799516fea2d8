"""An RDB file that is being written: aside, in large pieces, until it is whole and gets its name."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from archives.rdb import checksum, kinds
from archives.rdb.header import RdbVersion
from archives.rdb.strings import Data

_AT_ONCE = 1 << 20  # bytes


def as_length(number: int) -> bytes:
    """A number as lengths are written."""
    if number < 64:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((0x40 | number >> 8, number & 0xFF))
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def as_string(content: bytes) -> bytes:
    """A string as it is."""
    return as_length(len(content)) + content


def aside_of(path: Path) -> Path:
    """Where a file is while it is not finished."""
    return path.with_name(f"{path.name}~")


class RdbFile:
    """Counts what is added. Leaving it by an error leaves nothing behind, and the file of that name as it was."""

    def __init__(self, path: Path, version: RdbVersion) -> None:
        self.path, self.version = path, version
        self.keys: Counter[int] = Counter()
        self.expires = 0
        self.size = 0
        """In bytes, of what was written so far."""
        self._aside = aside_of(path)
        self._pending = bytearray(str(version).encode())
        self._sha256, self._checksum = hashlib.sha256(), 0
        self._db = 0
        self._known: set[int] = set()

    def __enter__(self) -> Self:
        self._file = self._aside.open("wb", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._aside.unlink(missing_ok=True)

    def add_aux(self, name: str, content: str) -> None:
        """What to note about the file."""
        self._pending += bytes((kinds.AUX,)) + as_string(name.encode()) + as_string(content.encode())

    def add_library(self, code: bytes) -> None:
        """A function library."""
        self._pending += bytes((kinds.FUNCTION_2,)) + as_string(code)
        self._flush()

    def choose(self, db: int, keys: int, expires: int) -> None:
        """Of which database the following keys are, and about how many of them there will be."""
        if db == self._db and db in self._known:
            return
        self._pending += bytes((kinds.SELECT_DB,)) + as_length(db)
        if db not in self._known and keys:
            self._pending += bytes((kinds.RESIZE_DB,)) + as_length(keys) + as_length(min(keys, expires))
        self._known.add(db)
        self._db = db

    @property
    def db(self) -> int | None:
        """The database that was chosen last."""
        return self._db if self._known else None

    def copy(self, data: Data, start: int, end: int) -> None:
        """The record that is there in another file."""
        if end - start <= _AT_ONCE:
            self._pending += data[start:end]
            if len(self._pending) >= _AT_ONCE:
                self._flush()
            return
        for begin in range(start, end, _AT_ONCE):
            self._pending += data[begin : min(begin + _AT_ONCE, end)]
            self._flush()

    def finish(self) -> str:
        """Write the end, and have all of it on the disk. Answers its SHA-256."""
        self._pending.append(kinds.EOF)
        self._flush()
        if self.version.has_checksum:
            self._pending += checksum.to_footer(self._checksum)
            self._flush()
        os.fsync(self._file.fileno())
        return self._sha256.hexdigest()

    def publish(self) -> None:
        """Give it its name, once it is finished."""
        self._aside.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _flush(self) -> None:
        piece = bytes(self._pending)
        self._pending.clear()
        self._checksum = checksum.crc64(piece, self._checksum)
        self._sha256.update(piece)
        self.size += len(piece)
        left = memoryview(piece)
        while left:
            left = left[self._file.write(left) :]
