"""Hash slots: what a caller may write, even cuts, and who must own them. Ranges are inclusive, sorted, and as few as possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from api_schemas.faults import InvalidParameterValue

SLOTS = 16384
_RANGE = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?")


@dataclass(frozen=True, slots=True, order=True)
class SlotRange:
    """The slots from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1


Slots = tuple[SlotRange, ...]


def even_slots(shards: int) -> list[Slots]:
    """All slots cut into as many parts whose sizes differ by one at most. More parts than slots cannot be."""
    bounds = [SLOTS * part // shards for part in range(shards + 1)]
    return [(SlotRange(first, following - 1),) for first, following in pairwise(bounds)]


def parsed_slots(text: str) -> Slots:
    """Slots as requests write them: ``0-8191``, or several ranges and single slots with commas between.

    Raises InvalidParameterValue for anything else, and for a slot that is named twice.
    """
    ranges = [_parsed_range(part, text) for part in text.split(",")]
    for former, following in pairwise(sorted(ranges)):
        if following.first <= former.last:
            raise InvalidParameterValue(f"Slots {text[:100]!r} name slot {following.first} twice.")
    return merged(ranges)


def merged(ranges: Iterable[SlotRange]) -> Slots:
    """The same slots in the fewest ranges, in order."""
    found: list[SlotRange] = []
    for part in sorted(ranges):
        if found and part.first <= found[-1].last + 1:
            found[-1] = SlotRange(found[-1].first, max(found[-1].last, part.last))
        else:
            found.append(part)
    return tuple(found)


def shown_slots(slots: Slots) -> str:
    """Slots as describes show them: ranges with commas between."""
    return ",".join(str(part) for part in slots)


def number_of_slots(slots: Slots) -> int:
    """How many slots these are."""
    return sum(len(part) for part in slots)


def must_cover_all(shards: Sequence[Slots]) -> None:
    """Raises InvalidParameterValue unless the shards own every slot, each once."""
    following = 0
    for part in sorted(part for slots in shards for part in slots):
        if part.first < following:
            raise InvalidParameterValue(f"Slot {part.first} is in two node groups; each of the {SLOTS} slots belongs to one.")
        if part.first > following:
            raise InvalidParameterValue(f"Slots {following}-{part.first - 1} are in no node group; all {SLOTS} slots must be.")
        following = part.last + 1
    if following != SLOTS:
        raise InvalidParameterValue(f"Slots {following}-{SLOTS - 1} are in no node group; all {SLOTS} slots must be.")


def all_of(slots: Slots) -> set[int]:
    """Each slot by its number."""
    return {slot for part in slots for slot in range(part.first, part.last + 1)}


def slots_of(numbers: Iterable[int]) -> Slots:
    """These slots in the fewest ranges."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return tuple(SlotRange(first, last) for first, last in ranges)


def without(slots: Slots, others: Slots) -> Slots:
    """The slots that are not among the others."""
    left: list[SlotRange] = []
    for part in slots:
        first = part.first
        for other in others:
            if other.last < first or other.first > part.last:
                continue
            if other.first > first:
                left.append(SlotRange(first, other.first - 1))
            first = other.last + 1
        if first <= part.last:
            left.append(SlotRange(first, part.last))
    return tuple(left)


def among(slots: Slots, others: Slots) -> Slots:
    """The slots that are among the others as well."""
    shared = (SlotRange(max(one.first, other.first), min(one.last, other.last)) for one in slots for other in others)
    return merged(part for part in shared if part.first <= part.last)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Slots that are to go from one node group to another."""

    source: str
    target: str
    slots: Slots


def even_transfers(owned: Mapping[str, Slots], staying: Sequence[str]) -> list[Transfer]:
    """The fewest slots to move until those that stay own all of them, as many each, give or take one, and the others none.

    Who owns most may keep one more than another. A group gives away its highest slots.
    """
    shares = _shares(owned, staying)
    left = {group: sorted(all_of(slots)) for group, slots in owned.items()}
    moved: dict[tuple[str, str], list[int]] = {}
    givers = [group for group in owned if len(left[group]) > shares.get(group, 0)]
    for target in staying:
        while (wanted := shares[target] - len(left.get(target, []))) > 0:
            source = givers[0]
            spare = len(left[source]) - shares.get(source, 0)
            taken = left[source][-min(wanted, spare) :]
            del left[source][-len(taken) :]
            left.setdefault(target, []).extend(taken)
            moved.setdefault((source, target), []).extend(taken)
            if len(taken) == spare:
                givers.pop(0)
    return [Transfer(source, target, slots_of(numbers)) for (source, target), numbers in moved.items()]


def _shares(owned: Mapping[str, Slots], staying: Sequence[str]) -> dict[str, int]:
    """How many slots each of those that stay shall own."""
    each, over = divmod(sum(number_of_slots(slots) for slots in owned.values()), len(staying))
    richest = sorted(staying, key=lambda group: (-number_of_slots(owned.get(group, ())), staying.index(group)))[:over]
    return {group: each + (group in richest) for group in staying}


def _parsed_range(part: str, text: str) -> SlotRange:
    found = _RANGE.fullmatch(part)
    if found is None or not part.isascii():
        raise InvalidParameterValue(f"Slots {text[:100]!r} are not valid: give ranges such as 0-8191, with commas between them.")
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    if not first <= last < SLOTS:
        raise InvalidParameterValue(f"Slots {part.strip()!r} are not valid: slots go from 0 to {SLOTS - 1}, the lower one first.")
    return SlotRange(first, last)
