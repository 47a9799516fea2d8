"""A repeat is a key that is there twice, which engines refuse to load. Found with little memory, however many keys there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from archives.rdb import kinds
from archives.rdb.records import mapped, walk
from archives.rdb.slots import SLOTS, slot_of

_AT_ONCE = 2_000_000  # keys of which a number is kept at the same time, about 100 bytes each
_MOST_SUSPECTS = 10_000


def repeated_key(paths: Sequence[Path], in_slots: Counter[int] | None = None) -> tuple[int, bytes] | None:
    """The database and the name of a key that is more than once in these files together, None where there is none.

    ``in_slots`` tells in which slots to look and how many keys are in each; without it they are counted first.
    """
    if in_slots is None:
        in_slots = Counter(slot_of(key) for _, key in _keys(paths))
    for batch in _batches(in_slots):
        suspects = _seen_twice(paths, batch)
        certain = Counter(found for found in _keys(paths) if found in suspects) if suspects else {}
        for found, times in certain.items():
            if times > 1:
                return found
    return None


def _keys(paths: Sequence[Path]) -> Iterable[tuple[int, bytes]]:
    for path in paths:
        with mapped(path) as data:
            for kind, db, _, key, _, _, _ in walk(data):
                if kind < kinds.LEAST_OPCODE:
                    yield db, key


def _batches(in_slots: Counter[int]) -> Iterable[bytearray]:
    """Slots that are looked at together."""
    batch, keys = bytearray(SLOTS), 0
    for slot, count in sorted(in_slots.items()):
        if keys and keys + count > _AT_ONCE:
            yield batch
            batch, keys = bytearray(SLOTS), 0
        batch[slot] = 1
        keys += count
    if keys:
        yield batch


def _seen_twice(paths: Sequence[Path], slots: bytearray) -> set[tuple[int, bytes]]:
    """Keys of those slots whose number was seen before: two different keys may have the same, though hardly ever."""
    numbers: set[int] = set()
    suspects: set[tuple[int, bytes]] = set()
    for found in _keys(paths):
        if not slots[slot_of(found[1])]:
            continue
        number = hash(found)
        if number in numbers:
            suspects.add(found)
            if len(suspects) == _MOST_SUSPECTS:
                break
        numbers.add(number)
    return suspects
