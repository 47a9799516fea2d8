"""A cut takes the keys of some slots out of RDB files and makes a file of its own of them, without an engine."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archives.rdb import kinds
from archives.rdb.checking import as_number, importing_slots
from archives.rdb.header import RdbRefusedError, RdbVersion, highest
from archives.rdb.libraries import Libraries
from archives.rdb.records import Record, Told, mapped, version_of, walk
from archives.rdb.repeats import repeated_key
from archives.rdb.slots import SLOTS, marked, slot_of
from archives.rdb.strings import Data, read_length, read_string
from archives.rdb.writing import RdbFile

_BEFORE_ALL_TIME = -(1 << 63)  # the least that an expiry can be
_IN_FRONT = (kinds.FUNCTION_2, kinds.MODULE_AUX, kinds.SLOT_IMPORT)


@dataclass(frozen=True, slots=True)
class Cut:
    """A file to be made: its path, and the first and last slots of the keys in it. None is for all keys, with cluster mode off."""

    path: Path
    slots: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file that was made."""

    path: Path
    version: RdbVersion
    size: int
    """In bytes."""
    sha256: str
    keys: dict[int, int]
    """By database."""
    expires: int
    """How many of the keys have an expiry."""
    used_memory_estimate: int | None
    """Bytes of memory that the keys took where they were, in proportion to the size; None where a source does not tell its own."""


@dataclass
class _Source:
    """What is known of a source before its keys are copied."""

    path: Path
    version: RdbVersion
    aux: dict[str, str] = field(default_factory=dict)
    libraries: list[bytes] = field(default_factory=list)
    hint: tuple[int, int] = (0, 0)
    """How many keys and expiries its first database says to have."""
    importing: bytearray = field(default_factory=lambda: bytearray(SLOTS))
    size: int = 0
    first_key: int = 0
    """Its offset, or that of the end."""


def cut(
    sources: Sequence[Path],
    targets: Sequence[Cut],
    *,
    every_database: bool = False,
    must_place_every_key: bool = False,
    drop_expired_before_ms: int | None = None,
    told: Told | None = None,
) -> list[CutFile]:
    """Make every target of the keys of all sources, and nothing at all if one cannot be made.

    Functions go to every target. Keys in slots that a source was importing stay out: they belong to whom they came from.
    ``every_database`` allows keys in databases other than 0 where slots are given; ``must_place_every_key`` refuses a key that no target
    wants; ``drop_expired_before_ms`` leaves out what expired before that time, in milliseconds since 1970. ``told`` gets the bytes of the
    sources that were gone through. Sources are taken to have been checked: their checksums are not looked at.

    Raises RdbRefusedError, among others for a key that is in two sources, and OSError.
    """
    known = [_look(path) for path in sources]
    libraries = _libraries(known)
    version = highest(source.version for source in known)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(RdbFile(target.path, version)) for target in targets]
        cutter = _Cutter(known, targets, files, every_database, must_place_every_key, drop_expired_before_ms)
        for file, share in zip(files, cutter.shares, strict=True):
            _begin(file, known, libraries, share)
        cutter.copy_all(told)
        cutter.check_repeats()
        sums = [file.finish() for file in files]
        for file in files:
            file.publish()
    memory, size = _used_memory(known), sum(source.size for source in known)
    return [
        CutFile(
            file.path, version, file.size, sha256, dict(sorted(file.keys.items())), file.expires, memory and memory * file.size // size
        )
        for file, sha256 in zip(files, sums, strict=True)
    ]


class _Cutter:
    def __init__(
        self,
        sources: list[_Source],
        targets: Sequence[Cut],
        files: list[RdbFile],
        every_database: bool,
        must_place: bool,
        drop_before: int | None,
    ) -> None:
        self._sources, self._files = sources, files
        self._must_place = must_place
        self._drop_before = _BEFORE_ALL_TIME if drop_before is None else drop_before
        owned = [marked(((0, SLOTS - 1),) if target.slots is None else target.slots) for target in targets]
        self._by_slot = [tuple(file for file, slots in zip(files, owned, strict=True) if slots[slot]) for slot in range(SLOTS)]
        self._only_first_database = not every_database and any(target.slots is not None for target in targets)
        total = max(1, sum(any(slots[slot] for slots in owned) for slot in range(SLOTS)))
        self.shares = [sum(slots) / total for slots in owned]
        """The part of all keys that each target may expect."""
        self._share_of = dict(zip(map(id, files), self.shares, strict=True))
        self._in_slots = [Counter[int]() for _ in sources]

    def copy_all(self, told: Told | None) -> None:
        before = 0

        def told_of_all(done: int) -> None:
            if told is not None:
                told(before + done)

        for source, in_slots in zip(self._sources, self._in_slots, strict=True):
            with mapped(source.path) as data:
                self._copy(data, source, in_slots, told_of_all)
            before += source.size

    def _copy(self, data: Data, source: _Source, in_slots: Counter[int], told: Told) -> None:
        by_slot, importing, drop_before = self._by_slot, source.importing, self._drop_before
        hint = source.hint
        for kind, db, expiry, key, start, value, end in walk(data, told):
            if kind >= kinds.LEAST_OPCODE:
                if kind == kinds.RESIZE_DB:
                    hint = _hint(data, value)
                elif start > source.first_key:
                    _check_place(kind, start, source)
                continue
            slot = slot_of(key)
            if importing[slot] or (expiry is not None and expiry < drop_before):
                continue
            in_slots[slot] += 1
            files = by_slot[slot]
            if not files or db:
                self._check_key(source, start, key, slot, db, bool(files))
            for file in files:
                if file.db != db:
                    self._choose(file, db, hint)
                file.keys[db] += 1
                if expiry is not None:
                    file.expires += 1
                file.copy(data, start, end)

    def _check_key(self, source: _Source, start: int, key: bytes, slot: int, db: int, has_place: bool) -> None:
        where = f"At offset {start} of {source.path.name} the key {key[:200]!r}"
        if db and self._only_first_database:
            raise RdbRefusedError(f"{where} is in database {db}, and with cluster mode on there is only 0.")
        if self._must_place and not has_place:
            raise RdbRefusedError(f"{where} is in slot {slot}, which none of the files to be made is for.")

    def _choose(self, file: RdbFile, db: int, hint: tuple[int, int]) -> None:
        if db == 0:
            hint = (sum(source.hint[0] for source in self._sources), sum(source.hint[1] for source in self._sources))
        share = self._share_of[id(file)]
        file.choose(db, int(hint[0] * share), int(hint[1] * share))

    def check_repeats(self) -> None:
        """Shards of one cluster have no slot in common. Where sources have, each key of it is looked at again."""
        seen: Counter[int] = Counter()
        for in_slots in self._in_slots:
            seen.update(in_slots.keys())
        common = Counter({slot: sum(in_slots[slot] for in_slots in self._in_slots) for slot, sources in seen.items() if sources > 1})
        if common and (found := repeated_key([source.path for source in self._sources], common)) is not None:
            raise RdbRefusedError(f"The key {found[1][:200]!r} is in database {found[0]} more than once, in one file or in several.")


def _look(path: Path) -> _Source:
    """What a file tells in front of its first key."""
    with mapped(path) as data:
        source = _Source(path, version_of(data), size=len(data))
        for record in walk(data):
            source.first_key = record[4]
            if record[0] < kinds.LEAST_OPCODE:
                break
            _note(data, record, source)
    return source


def _note(data: Data, record: Record, source: _Source) -> None:
    kind, db, _, key, start, value, _ = record
    if kind == kinds.FUNCTION_2:
        source.libraries.append(key)
    elif kind == kinds.AUX:
        source.aux[key.decode("utf-8", "replace")] = read_string(data, value)[0].decode("utf-8", "replace")
    elif kind == kinds.RESIZE_DB and db == 0:
        source.hint = _hint(data, value)
    elif kind == kinds.SLOT_IMPORT:
        for slot, importing in enumerate(marked(importing_slots(data, value))):
            source.importing[slot] |= importing
    elif kind == kinds.MODULE_AUX:
        raise RdbRefusedError(f"At offset {start} of {source.path.name} there is data of a module that is of no key: it cannot be divided.")


def _check_place(kind: int, start: int, source: _Source) -> None:
    """Engines write functions and the like in front of all keys, and only there they were looked for."""
    if kind in _IN_FRONT:
        raise RdbRefusedError(f"At offset {start} of {source.path.name} opcode {kind} comes behind keys, and belongs in front of them.")


def _hint(data: Data, at: int) -> tuple[int, int]:
    keys, at = read_length(data, at)
    return keys, read_length(data, at)[0]


def _libraries(sources: list[_Source]) -> list[bytes]:
    seen = Libraries()
    return [code for source in sources for code in source.libraries if seen.add(code, 0)]


def _begin(file: RdbFile, sources: list[_Source], libraries: list[bytes], share: float) -> None:
    """What engines write in front, but for what tells where in a stream of replication the file is: that is over."""
    newest = max(sources, key=lambda source: source.version.number).aux
    for name in ("valkey-ver", "redis-ver", "redis-bits"):
        if name in newest:
            file.add_aux(name, newest[name])
    times = [as_number(source.aux.get("ctime")) or 0 for source in sources]
    if any(times):
        file.add_aux("ctime", str(max(times)))
    if memory := _used_memory(sources):
        file.add_aux("used-mem", str(int(memory * share)))
    for code in libraries:
        file.add_library(code)


def _used_memory(sources: list[_Source]) -> int | None:
    said = [as_number(source.aux.get("used-mem")) for source in sources]
    return sum(number for number in said if number is not None) if None not in said else None
