"""Hash slots: what callers may write, how all of them are cut evenly, and that each belongs to one node group."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.slots import (
    SLOTS,
    SlotRange,
    Slots,
    even_slots,
    merged,
    must_cover_all,
    number_of_slots,
    parsed_slots,
    shown_slots,
)

LAST = SLOTS - 1

slot = st.integers(0, LAST)
some_range = st.builds(lambda first, more: SlotRange(first, min(first + more, LAST)), slot, st.integers(0, 300))
some_slots = st.sets(slot, min_size=1, max_size=60).map(lambda chosen: merged(SlotRange(each, each) for each in chosen))
"""Slots here and there, as few ranges as they make."""


def ranges(*bounds: tuple[int, int]) -> Slots:
    return tuple(SlotRange(first, last) for first, last in bounds)


def all_of(slots: Slots) -> list[int]:
    return [each for part in slots for each in range(part.first, part.last + 1)]


def without(slots: Slots, left_out: int) -> Slots:
    (part,) = slots
    if not part.first <= left_out <= part.last:
        return slots
    sides = (SlotRange(part.first, left_out - 1), SlotRange(left_out + 1, part.last))
    return tuple(side for side in sides if side.first <= side.last)


# ---- as requests write them


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0-16383", [(0, 16383)]),
        ("0-8191", [(0, 8191)]),
        ("7", [(7, 7)]),
        ("7-7", [(7, 7)]),
        ("0,2-100,16383", [(0, 0), (2, 100), (16383, 16383)]),
        ("200-300,0-99", [(0, 99), (200, 300)]),  # in any order
        ("0-99,100-199", [(0, 199)]),  # what adjoins is one range
        ("3,1,2", [(1, 3)]),
        (" 0 - 99 , 200 ", [(0, 99), (200, 200)]),
        ("00007", [(7, 7)]),
    ],
)
def test_what_slots_mean(written: str, meant: list[tuple[int, int]]) -> None:
    assert parsed_slots(written) == ranges(*meant)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "are not valid: give ranges such as 0-8191"),
        (",", "give ranges"),
        ("0-99,", "give ranges"),
        ("a-b", "give ranges"),
        ("-1", "give ranges"),
        ("0-", "give ranges"),
        ("0-99-199", "give ranges"),
        ("0--99", "give ranges"),
        ("0 99", "give ranges"),
        ("1.5", "give ranges"),
        ("0x10", "give ranges"),
        ("٣", "give ranges"),  # a digit, but not one of ours
        ("123456", "give ranges"),
        ("16384", "slots go from 0 to 16383"),
        ("0-16384", "slots go from 0 to 16383"),
        ("99-0", "the lower one first"),
        ("0-99,99-199", "name slot 99 twice"),
        ("5,0-99", "name slot 5 twice"),
        ("7,7", "name slot 7 twice"),
        ("0-9,5-6,20-30", "name slot 5 twice"),
    ],
)
def test_what_slots_cannot_be(written: str, says: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(says)):
        parsed_slots(written)


def test_a_refusal_repeats_no_more_than_the_beginning_of_what_was_written() -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        parsed_slots("x" * 10_000)
    assert len(str(refused.value)) < 300


@settings(deadline=None)
@given(some_slots)
def test_what_is_shown_means_the_same_when_it_is_written(slots: Slots) -> None:
    assert parsed_slots(shown_slots(slots)) == slots


@settings(deadline=None)
@given(st.lists(some_range, max_size=12))
def test_merging_keeps_every_slot_in_the_fewest_ranges(given_ranges: list[SlotRange]) -> None:
    found = merged(given_ranges)
    assert all_of(found) == sorted(set(all_of(tuple(given_ranges))))
    assert all(former.last + 1 < following.first for former, following in pairwise(found))
    assert number_of_slots(found) == len(all_of(found))


@settings(deadline=None)
@given(some_slots, st.integers(0, 60))
def test_a_slot_named_twice_is_refused_wherever_it_stands(slots: Slots, place: int) -> None:
    parts = [str(part) for part in slots]
    again = slots[place % len(slots)]
    parts.insert(place % (len(parts) + 1), str(again.last))
    with pytest.raises(InvalidParameterValue, match="twice"):
        parsed_slots(",".join(parts))


# ---- as describes show them


@pytest.mark.parametrize(
    ("slots", "shown", "number"),
    [
        ([], "", 0),
        ([(0, 16383)], "0-16383", 16384),
        ([(7, 7)], "7-7", 1),
        ([(0, 99), (200, 300)], "0-99,200-300", 201),
    ],
)
def test_how_slots_are_shown_and_counted(slots: list[tuple[int, int]], shown: str, number: int) -> None:
    assert (shown_slots(ranges(*slots)), number_of_slots(ranges(*slots))) == (shown, number)


# ---- cut evenly


@pytest.mark.parametrize(
    ("shards", "cut"),
    [
        (1, ["0-16383"]),
        (2, ["0-8191", "8192-16383"]),
        (3, ["0-5460", "5461-10921", "10922-16383"]),
        (5, ["0-3275", "3276-6552", "6553-9829", "9830-13106", "13107-16383"]),
    ],
)
def test_an_even_cut(shards: int, cut: list[str]) -> None:
    assert [shown_slots(slots) for slots in even_slots(shards)] == cut


@settings(deadline=None)
@given(st.integers(1, 500))
def test_an_even_cut_gives_every_slot_to_one_shard_and_no_shard_more_than_one_more(shards: int) -> None:
    cut = even_slots(shards)
    must_cover_all(cut)
    sizes = {number_of_slots(slots) for slots in cut}
    assert len(cut) == shards
    assert sum(number_of_slots(slots) for slots in cut) == SLOTS
    assert max(sizes) - min(sizes) <= 1


# ---- every slot in one node group


@pytest.mark.parametrize(
    ("shards", "says"),
    [
        (["0-8191", "8193-16383"], "Slots 8192-8192 are in no node group"),
        (["1-8191", "8192-16383"], "Slots 0-0 are in no node group"),
        (["0-8191", "8192-16000"], "Slots 16001-16383 are in no node group"),
        (["0-10,20-16383", "11-12"], "Slots 13-19 are in no node group"),
        (["0-8191", "8191-16383"], "Slot 8191 is in two node groups"),
        (["0-16383", "5"], "Slot 5 is in two node groups"),
        (["0-16383", "16383"], "Slot 16383 is in two node groups"),
        (["0-99", "0-99", "200-16383"], "Slot 0 is in two node groups"),  # the overlap comes before the gap
    ],
)
def test_who_is_told_what_about_gaps_and_overlaps(shards: list[str], says: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(says)):
        must_cover_all([parsed_slots(slots) for slots in shards])


def test_no_shards_cover_nothing() -> None:
    with pytest.raises(InvalidParameterValue, match="Slots 0-16383 are in no node group"):
        must_cover_all([])


@settings(deadline=None)
@given(st.integers(1, 20), slot)
def test_the_first_slot_that_is_missing_is_named(shards: int, missing: int) -> None:
    cut = [without(slots, missing) for slots in even_slots(shards)]
    with pytest.raises(InvalidParameterValue, match=rf"^Slots {missing}-{missing} are in no node group"):
        must_cover_all(cut)


@settings(deadline=None)
@given(st.integers(2, 20), slot, st.integers(0, 19))
def test_a_slot_that_two_have_is_named(shards: int, twice: int, second: int) -> None:
    cut = even_slots(shards)
    owner = next(place for place, (part,) in enumerate(cut) if part.first <= twice <= part.last)
    other = (owner + 1 + second % (shards - 1)) % shards
    cut[other] = merged([*cut[other], SlotRange(twice, twice)])
    with pytest.raises(InvalidParameterValue, match=rf"^Slot {twice} is in two node groups"):
        must_cover_all(cut)
