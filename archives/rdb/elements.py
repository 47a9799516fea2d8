"""The content of a value: the same for the same value, whichever of its forms an engine chose to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from struct import Struct

from archives.rdb import kinds
from archives.rdb.header import RdbRefusedError
from archives.rdb.packed import pairs, unpack
from archives.rdb.strings import I64, Data, read_string
from archives.rdb.values import SKIP, read_count

_DOUBLE = Struct("<d")
_LENGTH = Struct("<I").pack
_NEVER = b"\xff" * 8  # the expiry of a field that has none

Content = Callable[[Data, int, int], Iterable[bytes]]


def family_content(data: Data, kind: int, at: int, record: int) -> list[bytes]:
    """The content of the value that begins at ``at``, in pieces. ``record`` is the offset to name if it is damaged.

    Elements of hash tables are in the order of their bytes, as tables have none of their own. Raises RdbRefusedError.
    """
    return list(_CONTENT[kind](data, at, record))


def _framed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """With the length in front of each, so that no two lists of parts look the same."""
    for part in parts:
        yield _LENGTH(len(part) & 0xFFFFFFFF)
        yield part


def _strings(data: Data, at: int, each: int) -> list[bytes]:
    count, at = read_count(data, at, each)
    found = []
    for _ in range(count * each):
        element, at = read_string(data, at)
        found.append(element)
    return found


def _packed(form: str) -> Callable[[Data, int, int], list[bytes]]:
    return lambda data, at, record: unpack(form, read_string(data, at)[0], record)


def _plain(each: int) -> Callable[[Data, int, int], list[bytes]]:
    return lambda data, at, record: _strings(data, at, each)


def _string(data: Data, at: int, record: int) -> Iterable[bytes]:
    return (read_string(data, at)[0],)


def _in_order(elements: Callable[[Data, int, int], list[bytes]]) -> Content:
    return lambda data, at, record: _framed(elements(data, at, record))


def _without_order(elements: Callable[[Data, int, int], list[bytes]]) -> Content:
    return lambda data, at, record: _framed(_unlike(elements(data, at, record), record))


def _unlike(elements: Iterable[bytes], record: int) -> list[bytes]:
    found = sorted(elements)
    if any(first == second for first, second in pairwise(found)):
        raise RdbRefusedError(f"The value in the record at offset {record} has an element twice.")
    return found


def _hash(elements: Callable[[Data, int, int], list[bytes]]) -> Content:
    def content(data: Data, at: int, record: int) -> Iterable[bytes]:
        fields = sorted(pairs(elements(data, at, record), record))
        _unlike((name for name, _ in fields), record)
        return _framed(part for name, value in fields for part in (name, value, _NEVER))

    return content


def _hash_2(data: Data, at: int, record: int) -> Iterable[bytes]:
    count, at = read_count(data, at, 10)
    fields = []
    for _ in range(count):
        name, at = read_string(data, at)
        value, at = read_string(data, at)
        fields.append((name, value, I64(data, at)[0].to_bytes(8, "little", signed=True)))
        at += 8
    _unlike((name for name, _, _ in fields), record)
    return _framed(part for field in sorted(fields) for part in field)


def _zset(scored: Callable[[Data, int, int], Iterable[tuple[bytes, float]]]) -> Content:
    def content(data: Data, at: int, record: int) -> Iterable[bytes]:
        members = sorted(scored(data, at, record))
        _unlike((member for member, _ in members), record)
        return _framed(part for member, score in members for part in (member, _DOUBLE.pack(score)))

    return content


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


def _ziplists(data: Data, at: int, record: int) -> list[bytes]:
    return [element for node in _strings(data, at, 1) for element in unpack("ziplist", node, record)]


def _nodes(data: Data, at: int, record: int) -> list[bytes]:
    count, at = read_count(data, at, 2)
    found: list[bytes] = []
    for _ in range(count):
        is_plain = data[at] == 1
        node, at = read_string(data, at + 1)
        found += [node] if is_plain else unpack("listpack", node, record)
    return found


def _stream(data: Data, at: int, record: int, kind: int) -> Iterable[bytes]:
    """Its listpacks, then all the rest as it is: what has no order in memory is written in order."""
    end = SKIP[kind](data, at)
    count, at = read_count(data, at, 2)
    for _ in range(count):
        first_id, at = read_string(data, at)
        entries, at = read_string(data, at)
        unpack("listpack", entries, record)
        yield from _framed((first_id, entries))
    yield data[at:end]


def _module(data: Data, at: int, record: int) -> Iterable[bytes]:
    return (data[at : SKIP[kinds.MODULE_2](data, at)],)


_CONTENT: dict[int, Content] = {
    kinds.STRING: _string,
    kinds.LIST: _in_order(_plain(1)),
    kinds.LIST_ZIPLIST: _in_order(_packed("ziplist")),
    kinds.LIST_QUICKLIST: _in_order(_ziplists),
    kinds.LIST_QUICKLIST_2: _in_order(_nodes),
    kinds.SET: _without_order(_plain(1)),
    kinds.SET_INTSET: _without_order(_packed("intset")),
    kinds.SET_LISTPACK: _without_order(_packed("listpack")),
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
