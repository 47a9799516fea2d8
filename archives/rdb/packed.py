"""Packed values: listpacks, ziplists, zipmaps and integer sets, which are one string in a file and hold many elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from struct import Struct, error

from archives.rdb.header import RdbRefusedError
from archives.rdb.strings import I16, I32, I64, TOO_SHORT

_U32 = Struct("<I").unpack_from
_U16 = Struct("<H").unpack_from
_INTEGERS = {2: "h", 4: "i", 8: "q"}

Unpack = Callable[[bytes], list[bytes]]


class _DamagedError(Exception):
    pass


def unpack(kind: str, packed: bytes, at: int) -> list[bytes]:
    """The elements of a packed value, numbers in digits. ``at`` is its offset in the file, for the reason if it is damaged."""
    try:
        return _UNPACK[kind](packed)
    except (_DamagedError, error, *TOO_SHORT) as damage:
        raise RdbRefusedError(f"The {kind} in the record at offset {at} is damaged: {damage}.") from damage


def _listpack(packed: bytes) -> list[bytes]:
    size, count = _U32(packed, 0)[0], _U16(packed, 4)[0]
    if size != len(packed) or packed[-1] != 255:
        raise _DamagedError(f"it says to have {size} bytes and has {len(packed)}, the last of which is {packed[-1]}")
    found, at, end = [], 6, size - 1
    while at < end:
        first = packed[at]
        if first < 128:
            found.append(b"%d" % first)
            length = 1
        elif first < 192:
            length = 1 + (first & 63)
            found.append(packed[at + 1 : at + length])
        else:
            element, length = _listpack_element(packed, at, first)
            found.append(element)
        at += length
        if length < 128 and packed[at] == length:
            at += 1
        else:
            at = _behind(packed, at, length)
    if at != end or (count != 65535 and count != len(found)):
        raise _DamagedError(f"it says to have {count} elements and has {len(found)}, which end at {at} of {end} bytes")
    return found


def _behind(packed: bytes, at: int, length: int) -> int:
    """Where the length that is written behind an element ends: seven bits a byte, the highest first, all but the first marked."""
    backwards = bytearray((length & 127,))
    while length := length >> 7:
        backwards[-1] |= 128
        backwards.append(length & 127)
    said = bytes(reversed(backwards))
    if packed[at : at + len(said)] != said:
        raise _DamagedError(f"the element in front of its byte {at} has another length than is said behind it")
    return at + len(said)


def _listpack_element(packed: bytes, at: int, first: int) -> tuple[bytes, int]:
    """An element of more than one byte, and how many bytes it has without the length behind it."""
    if first < 224:
        number = (first & 31) << 8 | packed[at + 1]
        return b"%d" % (number - 8192 if number > 4095 else number), 2
    if first < 240:
        length = 2 + ((first & 15) << 8 | packed[at + 1])
        return packed[at + 2 : at + length], length
    if first == 240:
        length = 5 + _U32(packed, at + 1)[0]
        return packed[at + 5 : at + length], length
    if first > 244:
        raise _DamagedError(f"an element begins with the unknown byte {first}")
    width = first - 239 if first < 244 else 8
    return _little(packed, at + 1, width), width + 1


def _little(packed: bytes, at: int, width: int) -> bytes:
    content = packed[at : at + width]
    if len(content) < width:
        raise _DamagedError("it ends within a number")
    return b"%d" % int.from_bytes(content, "little", signed=True)


_ZIPLIST_WIDTHS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


def _ziplist(packed: bytes) -> list[bytes]:
    size, count = _U32(packed, 0)[0], _U16(packed, 8)[0]
    if size != len(packed) or packed[-1] != 255:
        raise _DamagedError(f"it says to have {size} bytes and has {len(packed)}, the last of which is {packed[-1]}")
    found, at, end = [], 10, size - 1
    while at < end:
        at += 5 if packed[at] >= 254 else 1
        element, at = _ziplist_element(packed, at)
        found.append(element)
    if at != end or (count != 65535 and count != len(found)):
        raise _DamagedError(f"it says to have {count} elements and has {len(found)}, which end at {at} of {end} bytes")
    return found


def _ziplist_element(packed: bytes, at: int) -> tuple[bytes, int]:
    first = packed[at]
    if first < 192:
        if first < 64:
            begin, length = at + 1, first
        elif first < 128:
            begin, length = at + 2, (first & 63) << 8 | packed[at + 1]
        else:
            begin, length = at + 5, int.from_bytes(packed[at + 1 : at + 5], "big")
        return packed[begin : begin + length], begin + length
    if first in _ZIPLIST_WIDTHS:
        width = _ZIPLIST_WIDTHS[first]
        return _little(packed, at + 1, width), at + 1 + width
    if 0xF1 <= first <= 0xFD:
        return b"%d" % ((first & 15) - 1), at + 1
    raise _DamagedError(f"an element begins with the unknown byte {first}")


def _zipmap(packed: bytes) -> list[bytes]:
    found, at, end = [], 1, len(packed) - 1
    if packed[-1] != 255:
        raise _DamagedError("it has no end")
    while at < end:
        for is_value in (False, True):
            length, at = (packed[at], at + 1) if packed[at] < 254 else (_U32(packed, at + 1)[0], at + 5)
            free, at = (packed[at], at + 1) if is_value else (0, at)
            found.append(packed[at : at + length])
            at += length + free
    if at != end:
        raise _DamagedError(f"its elements end at {at} of {end} bytes")
    return found


def _intset(packed: bytes) -> list[bytes]:
    width, count = _U32(packed, 0)[0], _U32(packed, 4)[0]
    if width not in _INTEGERS or len(packed) != 8 + width * count:
        raise _DamagedError(f"it says to have {count} numbers of {width} bytes, and has {len(packed)} bytes")
    reads = {2: I16, 4: I32, 8: I64}[width]
    numbers = [reads(packed, 8 + width * place)[0] for place in range(count)]
    if any(first >= second for first, second in pairwise(numbers)):
        raise _DamagedError("its numbers are not in their order")
    return [b"%d" % number for number in numbers]


_UNPACK: dict[str, Unpack] = {"listpack": _listpack, "ziplist": _ziplist, "zipmap": _zipmap, "intset": _intset}


def pairs(elements: Iterable[bytes], at: int) -> Iterator[tuple[bytes, bytes]]:
    """Two by two. Raises RdbRefusedError for an odd number of elements."""
    rest = iter(elements)
    for first in rest:
        second = next(rest, None)
        if second is None:
            raise RdbRefusedError(f"The value in the record at offset {at} has an odd number of elements, and should have pairs.")
        yield first, second
