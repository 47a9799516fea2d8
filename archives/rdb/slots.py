"""The slot of a key, as clusters divide them."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable

SLOTS = 16384

Ranges = Iterable[tuple[int, int]]
"""First and last slots, both of them included."""


def slot_of(key: bytes) -> int:
    """The slot of a key: that of the part between the first braces, where there is something in them."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) & 16383


def marked(ranges: Ranges) -> bytearray:
    """A byte for each slot, 1 for those in the ranges. Raises ValueError for a range that is none."""
    found = bytearray(SLOTS)
    for first, last in ranges:
        if not 0 <= first <= last < SLOTS:
            raise ValueError(f"Slots {first} to {last} are no range of slots: they are numbered from 0 to {SLOTS - 1}.")
        found[first : last + 1] = b"\1" * (last + 1 - first)
    return found
