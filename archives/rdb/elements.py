"""The content of a value: the same for the same value, whichever of its forms an engine chose to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import chain, islice, pairwise
from struct import Struct

from archives.rdb import kinds
from archives.rdb.header import RdbRefusedError
from archives.rdb.packed import pairs, unpack
from archives.rdb.streams import check_groups, count_entries
from archives.rdb.strings import I64, Data, read_length, read_string, skip_length
from archives.rdb.values import NUMBERS_OF_A_STREAM, SKIP, read_count

_DOUBLE = Struct("<d")
_LENGTH = Struct("<I").pack
_NEVER = b"\xff" * 8  # the expiry of a field that has none

_SORTED = 200_000  # elements that are kept in memory to be sorted; of a larger value, no more than one at a time is

Elements = Callable[[Data, int, int], Iterable[bytes]]
Content = Elements


def family_content(data: Data, kind: int, at: int, record: int) -> Iterable[bytes]:
    """The content of the value that begins at ``at``, in pieces. ``record`` is the offset to name if it is damaged.

    Where elements have no order of their own, they are sorted, or added up where there are very many. Raises RdbRefusedError, among
    others for an element that is there twice, where there are not very many.
    """
    return _CONTENT[kind](data, at, record)


def _framed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """With the length in front of each, so that no two lists of parts look the same."""
    for part in parts:
        yield _LENGTH(len(part) & 0xFFFFFFFF)
        yield part


def _without_order(elements: Iterable[tuple[bytes, ...]], record: int) -> Iterator[bytes]:
    """The parts of each element, the first of which is its name: the same in whichever order they come."""
    rest = iter(elements)
    kept = list(islice(rest, _SORTED))
    if (another := next(rest, None)) is not None:
        total = sum(_number(element) for element in chain(kept, (another,), rest))
        yield b"%d" % total
        return
    kept.sort()
    for first, second in pairwise(kept):
        if first[0] == second[0]:
            raise RdbRefusedError(f"The value in the record at offset {record} has {first[0][:200]!r} twice.")
    for element in kept:
        yield from _framed(element)


def _number(element: tuple[bytes, ...]) -> int:
    return int.from_bytes(blake2b(b"".join(_framed(element)), digest_size=16).digest(), "little")


def _strings(data: Data, at: int, each: int) -> Iterator[bytes]:
    count, at = read_count(data, at, each)
    for _ in range(count * each):
        element, at = read_string(data, at)
        yield element


def _packed(form: str) -> Elements:
    return lambda data, at, record: unpack(form, read_string(data, at)[0], record)


def _plain(each: int) -> Elements:
    return lambda data, at, record: _strings(data, at, each)


def _string(data: Data, at: int, record: int) -> Iterable[bytes]:
    return (read_string(data, at)[0],)


def _list(elements: Elements) -> Content:
    return lambda data, at, record: _framed(elements(data, at, record))


def _set(elements: Elements) -> Content:
    return lambda data, at, record: _without_order(((element,) for element in elements(data, at, record)), record)


def _hash(elements: Elements) -> Content:
    def content(data: Data, at: int, record: int) -> Iterable[bytes]:
        fields = pairs(elements(data, at, record), record)
        return _without_order(((name, value, _NEVER) for name, value in fields), record)

    return content


def _hash_2(data: Data, at: int, record: int) -> Iterable[bytes]:
    return _without_order(_expiring_fields(data, at, record), record)


def _expiring_fields(data: Data, at: int, record: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    count, at = read_count(data, at, 10)
    for _ in range(count):
        name, at = read_string(data, at)
        value, at = read_string(data, at)
        expiry = I64(data, at)[0]
        if expiry < -1:
            raise RdbRefusedError(f"In the record at offset {record} a field expires {-expiry} ms before 1970.")
        yield name, value, expiry.to_bytes(8, "little", signed=True)
        at += 8


def _zset(scored: Callable[[Data, int, int], Iterable[tuple[bytes, float]]]) -> Content:
    def content(data: Data, at: int, record: int) -> Iterable[bytes]:
        return _without_order(((member, _packed_score(score, record)) for member, score in scored(data, at, record)), record)

    return content


def _packed_score(score: float, record: int) -> bytes:
    if score != score:
        raise RdbRefusedError(f"The value in the record at offset {record} has a score that is not a number.")
    return _DOUBLE.pack(score)


def _scores_in_digits(data: Data, at: int, record: int) -> Iterator[tuple[bytes, float]]:
    count, at = read_count(data, at, 2)
    for _ in range(count):
        member, at = read_string(data, at)
        length = data[at]
        at += 1
        if length >= 253:
            yield member, {253: float("nan"), 254: float("inf"), 255: float("-inf")}[length]
            continue
        yield member, _score(data[at : at + length], record)
        at += length


def _binary_scores(data: Data, at: int, record: int) -> Iterator[tuple[bytes, float]]:
    count, at = read_count(data, at, 9)
    for _ in range(count):
        member, at = read_string(data, at)
        yield member, _DOUBLE.unpack(data[at : at + 8])[0]
        at += 8


def _packed_scores(form: str) -> Callable[[Data, int, int], Iterator[tuple[bytes, float]]]:
    def scored(data: Data, at: int, record: int) -> Iterator[tuple[bytes, float]]:
        for member, score in pairs(unpack(form, read_string(data, at)[0], record), record):
            yield member, _score(score, record)

    return scored


def _score(digits: bytes, record: int) -> float:
    try:
        return float(digits)
    except ValueError as wrong:
        raise RdbRefusedError(f"In the record at offset {record} the score {digits[:40]!r} is not a number.") from wrong


def _ziplists(data: Data, at: int, record: int) -> Iterator[bytes]:
    for node in _strings(data, at, 1):
        yield from unpack("ziplist", node, record)


def _nodes(data: Data, at: int, record: int) -> Iterator[bytes]:
    count, at = read_count(data, at, 2)
    for _ in range(count):
        is_plain = data[at] == 1
        node, at = read_string(data, at + 1)
        if is_plain:
            yield node
        else:
            yield from unpack("listpack", node, record)


def _stream(data: Data, at: int, record: int, kind: int) -> Iterable[bytes]:
    """Its listpacks, then all the rest as it is: what has no order in memory is written in order."""
    end = SKIP[kind](data, at)
    count, at = read_count(data, at, 2)
    there = 0
    for _ in range(count):
        first_id, at = read_string(data, at)
        entries, at = read_string(data, at)
        there += count_entries(unpack("listpack", entries, record), record)
        yield from _framed((first_id, entries))
    if (said := read_length(data, at)[0]) != there:
        raise RdbRefusedError(f"The stream in the record at offset {record} says to have {said} entries, and has {there}.")
    yield data[at:end]
    for _ in range(NUMBERS_OF_A_STREAM[kind]):
        at = skip_length(data, at)
    check_groups(data, at, kind, record)


def _module(data: Data, at: int, record: int) -> Iterable[bytes]:
    return (data[at : SKIP[kinds.MODULE_2](data, at)],)


_CONTENT: dict[int, Content] = {
    kinds.STRING: _string,
    kinds.LIST: _list(_plain(1)),
    kinds.LIST_ZIPLIST: _list(_packed("ziplist")),
    kinds.LIST_QUICKLIST: _list(_ziplists),
    kinds.LIST_QUICKLIST_2: _list(_nodes),
    kinds.SET: _set(_plain(1)),
    kinds.SET_INTSET: _set(_packed("intset")),
    kinds.SET_LISTPACK: _set(_packed("listpack")),
    kinds.ZSET: _zset(_scores_in_digits),
    kinds.ZSET_2: _zset(_binary_scores),
    kinds.ZSET_ZIPLIST: _zset(_packed_scores("ziplist")),
    kinds.ZSET_LISTPACK: _zset(_packed_scores("listpack")),
    kinds.HASH: _hash(_plain(2)),
    kinds.HASH_ZIPMAP: _hash(_packed("zipmap")),
    kinds.HASH_ZIPLIST: _hash(_packed("ziplist")),
    kinds.HASH_LISTPACK: _hash(_packed("listpack")),
    kinds.HASH_2: _hash_2,
    kinds.STREAM_1: partial(_stream, kind=kinds.STREAM_1),
    kinds.STREAM_2: partial(_stream, kind=kinds.STREAM_2),
    kinds.STREAM_3: partial(_stream, kind=kinds.STREAM_3),
    kinds.MODULE_2: _module,
}
