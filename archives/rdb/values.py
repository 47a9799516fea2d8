"""Where a value ends, for every type of values."""

from __future__ import annotations

from archives.rdb import kinds
from archives.rdb.header import RdbRefusedError
from archives.rdb.strings import Data, Skip, read_length, skip_length, skip_string

_STREAM_ID = 16  # bytes, where it is not two lengths
_TIME = 8


def read_count(data: Data, at: int, least: int) -> tuple[int, int]:
    """How many elements follow, each of ``least`` bytes or more. Raises RdbRefusedError for more than there is room for."""
    count, after = read_length(data, at)
    if count * least > len(data) - after:
        raise RdbRefusedError(f"At offset {at} {count} elements are announced, and {len(data) - after} bytes are left in the file.")
    return count, after


def _strings(in_each: int) -> Skip:
    def skip(data: Data, at: int) -> int:
        count, at = read_count(data, at, in_each)
        for _ in range(count * in_each):
            first = data[at]
            at = at + 1 + first if first < 64 else skip_string(data, at)
        return at

    return skip


def _zset(data: Data, at: int) -> int:
    """Scores in digits: a byte for how many, where the last three mean what no digits can say."""
    count, at = read_count(data, at, 2)
    for _ in range(count):
        at = skip_string(data, at)
        digits = data[at]
        at += 1 if digits >= 253 else 1 + digits
    return at


def _zset_2(data: Data, at: int) -> int:
    count, at = read_count(data, at, 9)
    for _ in range(count):
        at = skip_string(data, at) + 8
    return at


def _hash_2(data: Data, at: int) -> int:
    count, at = read_count(data, at, 10)
    for _ in range(count):
        at = skip_string(data, skip_string(data, at)) + _TIME
    return at


def _quicklist_2(data: Data, at: int) -> int:
    count, at = read_count(data, at, 2)
    for _ in range(count):
        if data[at] not in (1, 2):
            raise RdbRefusedError(f"At offset {at} a node of a list says to be of kind {data[at]}, and there are 1 and 2.")
        at = skip_string(data, at + 1)
    return at


NUMBERS_OF_A_STREAM = {kinds.STREAM_1: 3, kinds.STREAM_2: 8, kinds.STREAM_3: 8}
"""How many lengths there are between a stream's entries and its groups."""


def _stream(version: int) -> Skip:
    """Listpacks under their first ids, the stream's own numbers, then its groups with what is pending and their consumers."""
    lengths = NUMBERS_OF_A_STREAM[kinds.STREAM_1 if version == 1 else kinds.STREAM_2]
    in_group = 2 if version == 1 else 3
    in_consumer = _TIME * (2 if version >= 3 else 1)

    def skip(data: Data, at: int) -> int:
        count, at = read_count(data, at, 2)
        for _ in range(count):
            at = skip_string(data, skip_string(data, at))
        for _ in range(lengths):
            at = skip_length(data, at)
        groups, at = read_count(data, at, 5)
        for _ in range(groups):
            at = skip_string(data, at)
            for _ in range(in_group):
                at = skip_length(data, at)
            pending, at = read_count(data, at, _STREAM_ID + _TIME + 1)
            for _ in range(pending):
                at = skip_length(data, at + _STREAM_ID + _TIME)
            consumers, at = read_count(data, at, 1 + in_consumer + 1)
            for _ in range(consumers):
                at = skip_string(data, at) + in_consumer
                owned, at = read_count(data, at, _STREAM_ID)
                at += owned * _STREAM_ID
        return at

    return skip


def skip_module(data: Data, at: int) -> int:
    """A module's value: its id, then parts that say what they are."""
    return skip_module_parts(data, skip_length(data, at))


def skip_module_parts(data: Data, at: int) -> int:
    """What a module wrote, until it says that it is done."""
    while True:
        begin = at
        part, at = read_length(data, at)
        if part == 0:
            return at
        if part in (1, 2):
            at = skip_length(data, at)
        elif part == 3:
            at += 4
        elif part == 4:
            at += 8
        elif part == 5:
            at = skip_string(data, at)
        else:
            raise RdbRefusedError(f"At offset {begin} a part of a module's value has the unknown kind {part}.")


_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def module_name(number: int) -> str:
    """The nine letters that are in the id of a module's type."""
    return "".join(_ID_LETTERS[number >> (10 + 6 * place) & 63] for place in reversed(range(9)))


SKIP: dict[int, Skip] = {
    kinds.STRING: skip_string,
    kinds.LIST: _strings(1),
    kinds.SET: _strings(1),
    kinds.ZSET: _zset,
    kinds.HASH: _strings(2),
    kinds.ZSET_2: _zset_2,
    kinds.MODULE_2: skip_module,
    kinds.HASH_ZIPMAP: skip_string,
    kinds.LIST_ZIPLIST: skip_string,
    kinds.SET_INTSET: skip_string,
    kinds.ZSET_ZIPLIST: skip_string,
    kinds.HASH_ZIPLIST: skip_string,
    kinds.LIST_QUICKLIST: _strings(1),
    kinds.STREAM_1: _stream(1),
    kinds.HASH_LISTPACK: skip_string,
    kinds.ZSET_LISTPACK: skip_string,
    kinds.LIST_QUICKLIST_2: _quicklist_2,
    kinds.STREAM_2: _stream(2),
    kinds.SET_LISTPACK: skip_string,
    kinds.STREAM_3: _stream(3),
    kinds.HASH_2: _hash_2,
}
"""By type, what finds the end of a value. Past the end of the file they raise one of TOO_SHORT or struct.error, or answer a place there."""
