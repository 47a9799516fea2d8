"""Slots as engines write them: ranges of first and last, both included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

Ranges = tuple[tuple[int, int], ...]


@lru_cache(maxsize=4096)
def parsed_ranges(text: str) -> Ranges:
    """``0-99,200`` as pairs of first and last, merged and sorted."""
    ranges: list[tuple[int, int]] = []
    for part in sorted(_pairs(text)):
        if ranges and part[0] == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], part[1])
        else:
            ranges.append(part)
    return tuple(ranges)


@lru_cache(maxsize=64)
def set_of(ranges: Ranges) -> frozenset[int]:
    """Each slot by its number. Asked for again and again while slots move, and of thousands of them."""
    return frozenset({slot for first, last in ranges for slot in range(first, last + 1)})


def ranges_of(slots: Iterable[int]) -> Ranges:
    """These slots in the fewest ranges."""
    ranges: list[list[int]] = []
    for slot in sorted(slots):
        if ranges and slot == ranges[-1][1] + 1:
            ranges[-1][1] = slot
        else:
            ranges.append([slot, slot])
    return tuple((first, last) for first, last in ranges)


def shown_ranges(ranges: Ranges) -> str:
    """``0-99,200-200``."""
    return ",".join(f"{first}-{last}" for first, last in ranges)


def bounds(ranges: Ranges) -> list[str]:
    """First and last of each range in a row, as commands take them."""
    return [str(bound) for part in ranges for bound in part]


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield int(first), int(last or first)
