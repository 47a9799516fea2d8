"""The version of an RDB file, and which engines read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

HEADER_SIZE = 9  # bytes: the magic word and the number, ``REDIS0011`` or ``VALKEY080``

_HEADER = re.compile(rb"(REDIS)([0-9]{4})|(VALKEY)([0-9]{3})")

# By engine: from which engine version on (first match from below), the highest number that it reads under each magic word.
# Redis 7.4 and later write REDIS 12 and more, which no Valkey reads; Valkey 9 has numbers of its own from 80 on.
_READS: dict[str, tuple[tuple[tuple[int, int], dict[str, int]], ...]] = {
    "redis": (
        ((5, 0), {"REDIS": 9}),
        ((7, 0), {"REDIS": 10}),
        ((7, 2), {"REDIS": 11}),
        ((7, 4), {"REDIS": 12}),
        ((8, 4), {"REDIS": 13}),
        ((8, 6), {"REDIS": 14}),
    ),
    "valkey": (
        ((7, 2), {"REDIS": 11}),
        ((9, 0), {"REDIS": 11, "VALKEY": 80}),
        ((9, 2), {"REDIS": 11, "VALKEY": 81}),
    ),
}

# What this package walks: no more than is known of every type and opcode in it.
_WALKS = {"REDIS": range(1, 12), "VALKEY": range(80, 81)}


class RdbRefusedError(Exception):
    """An RDB file is not one, is damaged, or holds what cannot be dealt with; the text says what, and at which offset."""


@dataclass(frozen=True, slots=True)
class RdbVersion:
    """The magic word of a file, ``REDIS`` or ``VALKEY``, and its number."""

    magic: str
    number: int

    def __str__(self) -> str:
        return f"{self.magic}{self.number:0{HEADER_SIZE - len(self.magic)}d}"

    @property
    def has_checksum(self) -> bool:
        """Whether files of this version end with a CRC-64."""
        return self.number >= 5


def read_version(first_bytes: bytes) -> RdbVersion:
    """The version that a file says to have, whose first nine bytes (or more) these are. Raises RdbRefusedError."""
    if len(first_bytes) < HEADER_SIZE:
        raise RdbRefusedError(f"The file has {len(first_bytes)} bytes, and an RDB file begins with {HEADER_SIZE} that tell its version.")
    found = _HEADER.fullmatch(first_bytes[:HEADER_SIZE])
    if found is None:
        raise RdbRefusedError(f"The file is no RDB file: it begins with {bytes(first_bytes[:HEADER_SIZE])!r} and not with REDIS or VALKEY.")
    return RdbVersion((found[1] or found[3]).decode(), int(found[2] or found[4]))


def why_unreadable(version: RdbVersion, engine: str, engine_version: str) -> str | None:
    """Why that engine (``redis`` or ``valkey``) does not load files of a version, as a sentence; None where it does."""
    most: dict[str, int] = {}
    known = tuple(int(part) for part in engine_version.split(".")[:2] if part.isdigit())
    for since, numbers in _READS.get(engine, ()):
        if known >= since[: len(known)]:
            most = numbers
    if version.magic in most and version.number <= most[version.magic]:
        return None
    if not most:
        return f"It is not known which RDB files {engine} {engine_version} reads."
    reads = " and ".join(str(RdbVersion(magic, number)) for magic, number in most.items())
    return f"The file is {version}, and {engine} {engine_version} reads no later than {reads}."


def is_readable(version: RdbVersion, engine: str, engine_version: str) -> bool:
    """Whether that engine loads files of that version."""
    return why_unreadable(version, engine, engine_version) is None


def check_walkable(version: RdbVersion) -> None:
    """Raises RdbRefusedError for a version whose records are not known here."""
    if version.number not in _WALKS.get(version.magic, ()):
        known = " and ".join(f"{RdbVersion(magic, numbers[0])} to {RdbVersion(magic, numbers[-1])}" for magic, numbers in _WALKS.items())
        raise RdbRefusedError(f"The file is {version}, and what is in files of that version is not known here: only {known} are.")


def highest(versions: Iterable[RdbVersion]) -> RdbVersion:
    """The version that holds what files of all of these hold. Each of them is walkable, so that Valkey's includes Redis's."""
    return max(versions, key=lambda version: version.number)
