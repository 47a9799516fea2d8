"""An archive keeps files by keys such as ``a1b2/0001.rdb``. Whatever is found there is whole: it was written aside and then published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

Told = Callable[[int], None]
"""Called now and then with the number of bytes that were moved so far."""


class ArchiveError(Exception):
    """What was asked of an archive could not be done; the text says what, where and why, and what to do."""


class NotInArchiveError(ArchiveError):
    """There is nothing under that key."""


class ArchiveAwayError(ArchiveError):
    """The archive does not answer, or only for now: trying again may help."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its key and its size in bytes."""

    key: str
    size: int


class Archive(Protocol):
    """A place for files. Every call raises ArchiveError, or the more precise ones above.

    A key has one or more parts of letters, digits, ``.``, ``_`` and ``-`` between slashes; no part is ``.`` or ``..``: any other key is
    refused with ArchiveError. No key is the folder of another one (``a`` of ``a/b``): a folder on disk refuses that. Writing under a key
    that exists replaces its file whole. For two threads at once.
    """

    @property
    def url(self) -> str:
        """What ``open_archive`` opens it again with, in any process that may."""

    def close(self) -> None:
        """Close what is open between calls, such as connections; the next call opens them again."""

    def found(self) -> None:
        """Make the place, if it is a folder that is not there yet. A bucket must exist. Whoever only uses an archive does not call this."""

    def put(self, key: str, source: Path, *, may_link: bool = False, told: Told | None = None) -> None:
        """Keep a copy of a file, durably. With ``may_link``, the caller promises never to write into that very file again."""

    def put_bytes(self, key: str, content: bytes) -> None:
        """Keep these bytes, durably."""

    def put_new(self, key: str, content: bytes) -> bool:
        """Keep these bytes, durably, unless there is something under that key: then nothing happens, and the answer is False."""

    def fetch(self, key: str, target: Path, *, told: Told | None = None) -> None:
        """Copy a file out. ``target`` is there whole or not at all; its folder must exist."""

    def read_bytes(self, key: str, at_most: int) -> bytes:
        """What a small file holds. Raises ArchiveError for one of more than ``at_most`` bytes."""

    def open(self, key: str) -> BinaryIO:
        """A file, to be read from beginning to end; the caller closes it. What is read stays whole if the file is replaced meanwhile."""

    def size(self, key: str) -> int | None:
        """The size of a file in bytes, None where there is none."""

    def copy(self, source: str, target: str) -> None:
        """Keep the same content under another key as well."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every file whose key begins with that, in the order of keys."""

    def delete(self, key: str) -> None:
        """Keep a file no longer. Nothing happens where there is none."""

    def delete_all(self, folder: str) -> None:
        """Keep nothing of what is below that folder (a key without its last part), not even what was being written there.

        Writers that were at it raise ArchiveError.
        """
