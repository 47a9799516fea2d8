"""The records of an RDB file, one after the other, each with the bytes that it takes up."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from archives.rdb import kinds
from archives.rdb.header import HEADER_SIZE, RdbRefusedError, RdbVersion, check_walkable, read_version
from archives.rdb.strings import I32, I64, TOO_SHORT, Data, read_length, read_string, skip_length, skip_string
from archives.rdb.values import SKIP, read_count, skip_module_parts

Record: TypeAlias = tuple[int, int, "int | None", bytes, int, int, int]
"""Kind, database, expiry in milliseconds since 1970 or None, key, start, where the value begins, end.

The kind is a type of values below ``kinds.LEAST_OPCODE``, else an opcode: AUX (the key is its name, the value a string), FUNCTION_2 (the
key is the code), RESIZE_DB (two lengths), SLOT_INFO, SLOT_IMPORT, MODULE_AUX, and EOF at last. A plain tuple, as there are millions.
"""

Told: TypeAlias = Callable[[int], None]
"""Called now and then with the number of bytes that were gone through. What it raises ends the work."""

MOST_DATABASES = 1 << 20
_TELL_EVERY = 4 << 20  # bytes
_NEVER = 1 << 63
_CHECKSUM = 8  # bytes


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[Data]:
    """The bytes of a file, which are read as they are looked at. Raises RdbRefusedError for an empty file."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise RdbRefusedError("The file is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def version_of(data: Data) -> RdbVersion:
    """The version of a file whose records can be walked. Raises RdbRefusedError."""
    version = read_version(data[:HEADER_SIZE])
    check_walkable(version)
    return version


def walk(data: Data, told: Told | None = None) -> Iterator[Record]:
    """Every record from the first to EOF, behind which nothing but the checksum is (whose value is not looked at).

    Raises RdbRefusedError, with the offset, where the file is cut off or is not what it says to be.
    """
    walker = _walk(data, version_of(data), told)
    at = HEADER_SIZE
    try:
        for record in walker:
            at = record[6]
            yield record
    except (*TOO_SHORT, struct.error) as short:
        raise RdbRefusedError(f"The file is cut off: the record at offset {at} goes on past its end at {len(data)}.") from short


def _walk(data: Data, version: RdbVersion, told: Told | None) -> Iterator[Record]:  # noqa: C901 - the loop that must be fast
    at, end, db = HEADER_SIZE, len(data), 0
    mark = _NEVER if told is None else 0
    last_type = kinds.HASH_2 if version.magic == "VALKEY" else kinds.STREAM_3
    skips = {kind: skip for kind, skip in SKIP.items() if kind <= last_type}
    while True:
        start = at
        kind = data[at]
        at += 1
        expiry = None
        if kind > kinds.HASH_2:
            while kind in _PREFIXES:
                if kind == kinds.EXPIRE_MS:
                    expiry = I64(data, at)[0]
                    at += 8
                elif kind == kinds.FREQ:
                    at += 1
                elif kind == kinds.IDLE:
                    at = skip_length(data, at)
                else:
                    expiry = I32(data, at)[0] * 1000
                    at += 4
                kind = data[at]
                at += 1
        if kind in skips:
            first = data[at]
            if first < 64:
                value = at + 1 + first
                key = data[at + 1 : value]
            else:
                key, value = read_string(data, at)
            at = value + 1 + first if kind == 0 and (first := data[value]) < 64 else skips[kind](data, value)
            if at > end:
                raise IndexError(at)
            yield kind, db, expiry, key, start, value, at
            if at >= mark and told is not None:
                told(at)
                mark = at + _TELL_EVERY
            continue
        if at - start > 1:
            raise RdbRefusedError(f"At offset {start} an expiry or a hint is followed by no key, but by a byte {kind}.")
        if kind == kinds.SELECT_DB:
            db, at = read_length(data, at)
            if db >= MOST_DATABASES:
                raise RdbRefusedError(f"At offset {start} database {db} is chosen, and no engine has more than {MOST_DATABASES}.")
            continue
        if kind == kinds.EOF:
            _check_end(at, end, version)
            yield kind, db, None, b"", start, at, at
            return
        key, value, at = _other(data, kind, start, version)
        if at > end:
            raise IndexError(at)
        yield kind, db, None, key, start, value, at


_PREFIXES = frozenset((kinds.EXPIRE_MS, kinds.FREQ, kinds.IDLE, kinds.EXPIRE_S))


def _check_end(at: int, end: int, version: RdbVersion) -> None:
    whole = at + (_CHECKSUM if version.has_checksum else 0)
    if whole > end:
        raise IndexError(whole)
    if whole < end:
        raise RdbRefusedError(f"The data ends at offset {at}, and the file should with {whole} bytes: {end - whole} more follow.")


def _other(data: Data, kind: int, start: int, version: RdbVersion) -> tuple[bytes, int, int]:
    """The key, where the value begins, and the end of a record that is no value."""
    at = start + 1
    if kind == kinds.AUX:
        name, value = read_string(data, at)
        after = skip_string(data, value)
        if name == b"slot-info":
            _check_slot_info(data, value)
        return name, value, after
    if kind == kinds.FUNCTION_2:
        code, after = read_string(data, at)
        return code, at, after
    if kind == kinds.RESIZE_DB:
        return b"", at, _skip_hints(data, at, 2)
    if kind == kinds.SLOT_INFO:
        return b"", at, _skip_hints(data, skip_length(data, at), 2)
    if kind == kinds.MODULE_AUX:
        when = skip_length(data, at)
        return b"", at, skip_module_parts(data, skip_length(data, skip_length(data, when)))
    if kind == kinds.SLOT_IMPORT and version.magic == "VALKEY":
        count, after = read_count(data, skip_string(data, at), 2)
        for _ in range(count * 2):
            after = skip_length(data, after)
        return b"", at, after
    raise RdbRefusedError(f"At offset {start} there is a byte {kind}, which is neither a type nor an opcode of {version}.")


def _skip_hints(data: Data, at: int, count: int) -> int:
    """Engines make room for as many keys as such a hint says, so that a false one costs them their memory."""
    for _ in range(count):
        begin = at
        hint, at = read_length(data, at)
        _check_hint(hint, begin, len(data))
    return at


def _check_slot_info(data: Data, at: int) -> None:
    for number in read_string(data, at)[0].split(b",")[1:]:
        if not number.isdigit() or len(number) > 18:
            raise RdbRefusedError(f"At offset {at} the numbers of keys in a slot are not numbers.")
        _check_hint(int(number), at, len(data))


def _check_hint(hint: int, at: int, end: int) -> None:
    if hint > end - at:
        raise RdbRefusedError(f"At offset {at} {hint} keys are announced, and {end - at} bytes are left in the file.")
