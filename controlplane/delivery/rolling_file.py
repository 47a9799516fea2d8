"""A rolling file: lines are appended, and when it has grown too large it is put aside under a number, the oldest of which goes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from controlplane.delivery.trouble import ReceiverAwayError

SIZE = 8 << 20
"""Bytes after which a file is put aside."""

KEPT = 4
"""How many are kept besides the one that is written to."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was written: which one, by its inode, and how many bytes. What is beyond was never accounted for."""

    inode: int = 0
    size: int = 0


class RollingFile:
    """One file and those put aside. For one thread at a time; only its user may read it."""

    def __init__(self, path: Path, size: int = SIZE, kept: int = KEPT) -> None:
        self.path = path
        self._size = size
        self._kept = kept

    def append(self, lines: bytes, after: Mark | None = None) -> Mark:
        """Write whole lines at the end; answers how far it is then written. Raises ReceiverAwayError.

        With ``after``, whatever was written since that mark is written over: somebody ended before he could remember that he wrote it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if after is not None:
                self._cut(after)
            if self._has() and self._has() + len(lines) > self._size:
                self._put_aside()
            return self._write(lines)
        except OSError as failed:
            raise ReceiverAwayError(f"{self.path.name} cannot be written: {failed.strerror or failed}") from failed

    def mark(self) -> Mark:
        """How far it is written now."""
        try:
            found = self.path.stat()
        except OSError:
            return Mark()
        return Mark(found.st_ino, found.st_size)

    def _write(self, lines: bytes) -> Mark:
        place = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(place, "ab", buffering=0) as file:
            left = memoryview(lines)
            while left:
                left = left[file.write(left) :]
            found = os.fstat(file.fileno())
        return Mark(found.st_ino, found.st_size)

    def _cut(self, after: Mark) -> None:
        """Back to what was accounted for. A file begun since then, when that one was put aside, has nothing in it that was."""
        found = self.mark()
        if found.inode == after.inode:
            keep = after.size
        elif after.inode and self._aside(1).exists() and self._aside(1).stat().st_ino == after.inode:
            keep = 0
        else:
            return  # another host's, or taken away by somebody
        if found.size > keep:
            os.truncate(self.path, keep)

    def _has(self) -> int:
        return self.mark().size

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _put_aside(self) -> None:
        for number in range(self._kept, 1, -1):
            if self._aside(number - 1).exists():
                self._aside(number - 1).replace(self._aside(number))
        self.path.replace(self._aside(1))
