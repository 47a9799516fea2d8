"""A summary says what an RDB file holds, once all of it was looked at and found whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from archives.rdb import checksum, kinds
from archives.rdb.elements import family_content
from archives.rdb.header import RdbRefusedError, RdbVersion
from archives.rdb.libraries import Libraries
from archives.rdb.records import Record, Told, mapped, version_of, walk
from archives.rdb.repeats import repeated_key
from archives.rdb.slots import SLOTS
from archives.rdb.strings import Data, read_length, read_string
from archives.rdb.values import module_name

_AT_ONCE = 4 << 20  # bytes
_MOST_AUX = 100  # engines write ten, apart from a hint for each slot
_MOST_OF_AN_AUX = 1024  # bytes


@dataclass(frozen=True)
class Summary:
    """What is in an RDB file. Keys whose time is up are counted like all others, as they are in the file."""

    version: RdbVersion
    size: int
    """In bytes."""
    sha256: str
    checksum: bool
    """Whether it has a checksum, which is right. Without, the writer was told to compute none."""
    aux: dict[str, str]
    """What the writer noted about itself, as ``valkey-ver``, ``used-mem`` (bytes), ``ctime`` (seconds since 1970)."""
    keys: dict[int, int]
    """By database."""
    expires: int
    """How many of the keys have an expiry."""
    families: dict[str, int]
    """How many values of each family there are, as ``string`` or ``hash``."""
    functions: tuple[str, ...]
    """The names of the function libraries."""
    modules: tuple[str, ...]
    """The types of modules, nine letters each, of which there is data: an engine without that module does not load the file."""
    importing: tuple[tuple[int, int], ...] = ()
    """Slots that were being moved to the writer at that moment, so that not all of their keys are here and none belongs here yet."""

    @property
    def total_keys(self) -> int:
        """The keys of all databases."""
        return sum(self.keys.values())

    @property
    def engine(self) -> tuple[str, str] | None:
        """The engine that wrote it and its version, where it says so."""
        for engine in ("valkey", "redis"):
            if f"{engine}-ver" in self.aux:
                return engine, self.aux[f"{engine}-ver"]
        return None

    @property
    def used_memory(self) -> int | None:
        """Bytes of memory that the writer had in use, where it says so."""
        return as_number(self.aux.get("used-mem"))

    @property
    def created(self) -> int | None:
        """When it was written, in seconds since 1970, where it says so."""
        return as_number(self.aux.get("ctime"))


@dataclass
class _Counted:
    keys: Counter[int] = field(default_factory=Counter)
    kinds: Counter[int] = field(default_factory=Counter)
    expires: int = 0
    aux: dict[str, str] = field(default_factory=dict)
    libraries: Libraries = field(default_factory=Libraries)
    modules: set[str] = field(default_factory=set)
    importing: list[tuple[int, int]] = field(default_factory=list)


def summarise(path: Path, *, unchecked: bool = False, deep: bool = False, told: Told | None = None) -> Summary:
    """Look at all of a file. ``unchecked`` allows one whose writer computed no checksum (a footer of 0).

    ``deep`` looks into every value as well, and for keys that are there twice: what engines find no sooner than while they load, or
    not even then. It takes as long as ``digest`` and half again. Raises RdbRefusedError with what is wrong and where, OSError.
    """
    with mapped(path) as data:
        version = version_of(data)
        counted = _count(data, deep, told)
        has_checksum, sha256 = check_sums(data, version, unchecked)
        if deep and (repeated := repeated_key([path])) is not None:
            raise RdbRefusedError(f"The key {repeated[1]!r} is in database {repeated[0]} more than once.")
        families: Counter[str] = Counter()
        for kind, times in counted.kinds.items():
            families[kinds.FAMILY[kind]] += times
        return Summary(
            version,
            len(data),
            sha256,
            has_checksum,
            counted.aux,
            dict(sorted(counted.keys.items())),
            counted.expires,
            dict(sorted(families.items())),
            tuple(counted.libraries.names),
            tuple(sorted(counted.modules)),
            tuple(counted.importing),
        )


def check_sums(data: Data, version: RdbVersion, unchecked: bool) -> tuple[bool, str]:
    """Whether the file has a checksum, which is right then, and its SHA-256. Raises RdbRefusedError."""
    sha256, computed, end = hashlib.sha256(), 0, len(data) - (checksum.SIZE if version.has_checksum else 0)
    for begin in range(0, end, _AT_ONCE):
        piece = data[begin : min(begin + _AT_ONCE, end)]
        sha256.update(piece)
        computed = checksum.crc64(piece, computed)
    sha256.update(data[end:])
    said = checksum.from_footer(data[end:])
    if said == 0:
        if not unchecked:
            raise RdbRefusedError(f"The file has no checksum at offset {end}: whether it is as it was written cannot be told.")
        return False, sha256.hexdigest()
    if said != computed:
        raise RdbRefusedError(f"The checksum at offset {end} is {said:016x}, and that of the content is {computed:016x}: it is damaged.")
    return True, sha256.hexdigest()


def _count(data: Data, deep: bool, told: Told | None) -> _Counted:
    counted = _Counted()
    databases, types = counted.keys, counted.kinds
    for record in walk(data, told):
        kind, db, expiry, _, start, value, _ = record
        if kind >= kinds.LEAST_OPCODE:
            _note(data, record, counted)
            continue
        databases[db] += 1
        types[kind] += 1
        if expiry is not None:
            counted.expires += 1
        if kind == kinds.MODULE_2:
            counted.modules.add(module_name(read_length(data, value)[0]))
        elif deep:
            for _ in family_content(data, kind, value, start):
                pass
    return counted


def _note(data: Data, record: Record, counted: _Counted) -> None:
    kind, _, _, key, start, value, _ = record
    if kind == kinds.FUNCTION_2:
        counted.libraries.add(key, start)
    elif kind == kinds.MODULE_AUX:
        counted.modules.add(module_name(read_length(data, value)[0]))
    elif kind == kinds.SLOT_IMPORT:
        counted.importing += importing_slots(data, value)
    elif kind == kinds.AUX and key not in (b"slot-info", b"lua"):
        content = read_string(data, value)[0]
        if len(counted.aux) < _MOST_AUX and len(key) + len(content) <= _MOST_OF_AN_AUX:
            counted.aux[key.decode("utf-8", "backslashreplace")] = content.decode("utf-8", "backslashreplace")


def importing_slots(data: Data, at: int) -> list[tuple[int, int]]:
    """The first and last slots that a SLOT_IMPORT record tells of, whose value begins there."""
    count, at = read_length(data, read_string(data, at)[1])
    ranges = []
    for _ in range(count):
        first, at = read_length(data, at)
        last, at = read_length(data, at)
        if not first <= last < SLOTS:
            raise RdbRefusedError(f"At offset {at} slots {first} to {last} are said to be on their way, which is no range of slots.")
        ranges.append((first, last))
    return ranges


def as_number(said: str | None) -> int | None:
    """A number as a writer noted it, None for what is none."""
    return int(said) if said is not None and said.isascii() and said.isdigit() and len(said) <= 18 else None
