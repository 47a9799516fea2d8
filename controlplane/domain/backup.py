"""A snapshot of a topology while it is being taken, and what a new topology begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self


class Cause(StrEnum):
    """Why a snapshot is taken."""

    MANUAL = "manual"
    AUTOMATED = "automated"
    FINAL = "final"  # of what is deleted once it is there


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """An archive by its URL. ``id`` tells whether what is found there is the very one that is meant; "" where the URL alone says it."""

    url: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class SavedFile:
    """An RDB file in an archive, and what is known of what it holds.

    ``size`` is in bytes, ``used_memory`` what the engine counted when it was written, ``version`` the file's own (``VALKEY080``).
    ``keys``, ``expires`` (how many of them have an expiry) and ``functions`` are as the engine's own check counted them, None where it was
    not to be had; ``databases`` is how many there are up to the last that has keys.
    """

    key: str
    size: int
    sha256: str
    version: str
    taken_at: datetime
    keys: int | None = None
    expires: int | None = None
    functions: int | None = None
    databases: int = 0
    used_memory: int = 0


@dataclass(frozen=True, slots=True)
class BackupPart:
    """One node group of a backup: which of its nodes saves, at which attempt, since when, and the file once it is kept.

    ``boot`` is the one of the node that saves: started again, it is empty at first, and what it would save then is worth nothing.
    ``failed`` are the nodes that tried in vain, in order.
    """

    group: str
    node: str | None = None
    attempt: int = 0
    boot: int = 0
    since: datetime | None = None
    failed: tuple[str, ...] = ()
    file: SavedFile | None = None


@dataclass(frozen=True, slots=True)
class Backup:
    """A level: these node groups shall each have a node that writes its data to the archive.

    ``snapshot`` is the snapshot's uid. ``member`` is the cache cluster that a caller wants it to be taken from.
    """

    snapshot: str
    cause: Cause
    parts: tuple[BackupPart, ...]
    asked_at: datetime
    archive: ArchivePlace
    member: str | None = None

    @property
    def open_parts(self) -> tuple[BackupPart, ...]:
        """The parts whose file is not kept yet."""
        return tuple(part for part in self.parts if part.file is None)

    def part(self, group: str) -> BackupPart:
        """The part of that node group. Raises KeyError where there is none."""
        for part in self.parts:
            if part.group == group:
                return part
        raise KeyError(group)

    def with_part(self, changed: BackupPart) -> Self:
        """The same backup with the part of that node group replaced."""
        return replace(self, parts=tuple(changed if part.group == changed.group else part for part in self.parts))


@dataclass(frozen=True, slots=True)
class ManualBackup:
    """A caller asked for a snapshot at that moment. ``node`` is the member that it was to be of, None for a group in cluster mode."""

    node: str | None
    at: datetime


def key_of(snapshot: str, part: BackupPart) -> str:
    """What the key of a part's file begins with. Each attempt, and each start of it, has a key of its own: no late one replaces a file."""
    return f"{snapshot}/{part.group}-{part.attempt}"


@dataclass(frozen=True, slots=True)
class SeedFile:
    """What the primary of one node group begins with, and in which archive that is."""

    group: str
    file: SavedFile
    archive: ArchivePlace


@dataclass(frozen=True, slots=True)
class Seed:
    """What a new topology begins with: a snapshot by its uid, or files in callers' buckets by their ARNs.

    ``name`` is what callers call it. ``archive`` is where files go that have to be cut, or fetched. ``files`` are there once everything was
    checked and, where the slots differ, cut to the new node groups. With a ``refusal`` the topology cannot be created.
    """

    name: str
    archive: ArchivePlace
    snapshot: str | None = None
    arns: tuple[str, ...] = ()
    files: tuple[SeedFile, ...] | None = None
    refusal: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether nodes may begin."""
        return self.files is not None and self.refusal is None

    def file_of(self, group: str) -> SeedFile | None:
        """What the primary of that node group begins with, None for nothing."""
        return next((each for each in self.files or () if each.group == group), None)
