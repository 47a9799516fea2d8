"""What a stream holds besides bytes: entries that follow a pattern, and groups in which each pending entry has one consumer."""

from __future__ import annotations

from archives.rdb import kinds
from archives.rdb.header import RdbRefusedError
from archives.rdb.strings import Data, read_string, skip_length, skip_string
from archives.rdb.values import read_count

_DELETED, _SAME_FIELDS = 1, 2  # flags of an entry
_ID, _TIME = 16, 8  # bytes


def count_entries(elements: list[bytes], record: int) -> int:
    """How many entries there are, without deleted ones. ``record`` is the offset to name.

    Raises RdbRefusedError where a listpack's elements are not entries one after the other.
    """
    try:
        damage = _wrong_in_entries(elements)
    except (IndexError, ValueError) as wrong:
        raise RdbRefusedError(f"The entries of the stream in the record at offset {record} are damaged: {wrong}.") from wrong
    if damage:
        raise RdbRefusedError(f"The entries of the stream in the record at offset {record} are damaged: {damage}.")
    return int(elements[0])


def _wrong_in_entries(elements: list[bytes]) -> str | None:
    """The first says how many there are, how many of them are deleted, and which fields most of them have; a 0 ends it."""
    there, deleted, fields = (int(element) for element in elements[:3])
    at = 3 + fields
    if min(there, deleted, fields) < 0 or int(elements[at]) != 0:
        return "what they begin with is none of it"
    at += 1
    gone = 0
    for _ in range(there + deleted):
        flags = int(elements[at])
        gone += flags & _DELETED
        int(elements[at + 1]), int(elements[at + 2])
        at += 3
        own = fields + 3
        if not flags & _SAME_FIELDS:
            own = 2 * int(elements[at]) + 4
            at += 1
        at += own - 3 if flags & _SAME_FIELDS else own - 4
        if own < 0 or int(elements[at]) != own:
            return f"an entry of {own} parts says to have {elements[at].decode()}"
        at += 1
    return None if at == len(elements) and gone == deleted else f"{there} and {deleted} deleted ones are announced"


def check_groups(data: Data, at: int, kind: int, record: int) -> None:
    """Raises RdbRefusedError where what is pending in a group is not that of its consumers. ``at`` is where the groups begin."""
    groups, at = read_count(data, at, 1)
    for _ in range(groups):
        at = skip_string(data, at)
        for _ in range(2 if kind == kinds.STREAM_1 else 3):
            at = skip_length(data, at)
        count, at = read_count(data, at, _ID + _TIME + 1)
        pending = set()
        for _ in range(count):
            pending.add(data[at : at + _ID])
            at = skip_length(data, at + _ID + _TIME)
        repeated = len(pending) != count
        at, fits = _take_owned(data, at, kind, pending)
        if repeated or pending or not fits:
            raise RdbRefusedError(f"In the stream in the record at offset {record} what is pending is not what the consumers have.")


def _take_owned(data: Data, at: int, kind: int, pending: set[bytes]) -> tuple[int, bool]:
    """Take out of ``pending`` what consumers have. Answers where they end, and whether all they have was there."""
    consumers, at = read_count(data, at, 1)
    names: set[bytes] = set()
    for _ in range(consumers):
        name, at = read_string(data, at)
        at += _TIME * (2 if kind == kinds.STREAM_3 else 1)
        owned, at = read_count(data, at, _ID)
        entries = [data[begin : begin + _ID] for begin in range(at, at + owned * _ID, _ID)]
        at += owned * _ID
        if name in names or len(set(entries)) != owned or not pending.issuperset(entries):
            return at, False
        names.add(name)
        pending.difference_update(entries)
    return at, True
