"""Lengths and strings, of which everything in an RDB file is made."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from struct import Struct
from typing import TypeAlias

from archives.rdb.header import RdbRefusedError

Data: TypeAlias = "bytes | mmap.mmap"
Skip: TypeAlias = Callable[[Data, int], int]

MOST_IN_A_STRING = 512 * 1024 * 1024  # bytes: what engines allow by themselves
_MOST_LZF = 88  # times: what is taken back is 3 bytes for at most 264

U32 = Struct(">I").unpack_from
U64 = Struct(">Q").unpack_from
I16 = Struct("<h").unpack_from
I32 = Struct("<i").unpack_from
I64 = Struct("<q").unpack_from

TOO_SHORT = (IndexError, OverflowError, ValueError)
"""What reading past the end raises, next to struct.error: indices that are too large for a sequence, or for the machine."""


def read_length(data: Data, at: int) -> tuple[int, int]:
    """A length (or any other number), and where it ends."""
    first = data[at]
    if first < 64:
        return first, at + 1
    if first < 128:
        return (first & 63) << 8 | data[at + 1], at + 2
    if first == 128:
        return U32(data, at + 1)[0], at + 5
    if first == 129:
        return U64(data, at + 1)[0], at + 9
    raise RdbRefusedError(f"At offset {at} a length was expected, and there is a byte {first}, with which none begins.")


def skip_length(data: Data, at: int) -> int:
    """Where a length ends."""
    return read_length(data, at)[1]


def skip_string(data: Data, at: int) -> int:
    """Where a string ends, which may be past the end of the file."""
    first = data[at]
    if first < 64:
        return at + 1 + first
    if first < 128:
        return at + 2 + ((first & 63) << 8 | data[at + 1])
    if first < 192:
        length, after = read_length(data, at)
        return after + length
    if first == 192:
        return at + 2
    if first == 193:
        return at + 3
    if first == 194:
        return at + 5
    if first == 195:
        packed, _, at = _compressed(data, at)
        return at + packed
    raise RdbRefusedError(f"At offset {at} a string was expected, and there is a byte {first}, with which none begins.")


def read_string(data: Data, at: int) -> tuple[bytes, int]:
    """The bytes of a string, taken out of whatever form it has, and where it ends."""
    first = data[at]
    if first < 64:
        after = at + 1 + first
        return _slice(data, at + 1, after), after
    if first < 192:
        length, begin = read_length(data, at)
        return _slice(data, begin, begin + length), begin + length
    if first == 192:
        return b"%d" % (data[at + 1] - 256 if data[at + 1] > 127 else data[at + 1]), at + 2
    if first == 193:
        return b"%d" % I16(data, at + 1)[0], at + 3
    if first == 194:
        return b"%d" % I32(data, at + 1)[0], at + 5
    if first == 195:
        packed, length, begin = _compressed(data, at)
        return decompress(_slice(data, begin, begin + packed), length, at), begin + packed
    raise RdbRefusedError(f"At offset {at} a string was expected, and there is a byte {first}, with which none begins.")


def _slice(data: Data, begin: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError(end)
    return data[begin:end]


def _compressed(data: Data, at: int) -> tuple[int, int, int]:
    """The size of a compressed string, that of its content, and where it begins."""
    packed, begin = read_length(data, at + 1)
    length, begin = read_length(data, begin)
    if length > packed * _MOST_LZF or length > MOST_IN_A_STRING:
        raise RdbRefusedError(f"At offset {at} a compressed string of {packed} bytes says to hold {length}, which is not possible.")
    return packed, length, begin


def decompress(packed: bytes, length: int, at: int) -> bytes:
    """What LZF made smaller. ``length`` is what it says to hold, ``at`` its offset in the file, for the reason if it is damaged."""
    out = bytearray()
    place, end = 0, len(packed)
    while place < end and len(out) <= length:
        control = packed[place]
        place += 1
        if control < 32:
            out += packed[place : place + control + 1]
            place += control + 1
            continue
        count = (control >> 5) + 2
        if count == 9:
            if place >= end:
                break
            count += packed[place]
            place += 1
        if place >= end:
            break
        back = len(out) - ((control & 31) << 8 | packed[place]) - 1
        place += 1
        if back < 0:
            raise RdbRefusedError(f"The compressed string at offset {at} is damaged: it repeats what is in front of its beginning.")
        _repeat(out, back, count)
    if place != end or len(out) != length:
        raise RdbRefusedError(f"The compressed string at offset {at} is damaged: it does not hold the {length} bytes that it says to hold.")
    return bytes(out)


def _repeat(out: bytearray, back: int, count: int) -> None:
    again = out[back : back + count]
    if len(again) < count:  # what is repeated reaches into what it makes
        again = (again * (count // len(again) + 1))[:count]
    out += again
