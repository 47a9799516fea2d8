"""Which slots go where when there are more node groups, or fewer; and what has become of a move at any moment of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, a_sharded_group
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.slots import (
    SLOTS,
    SlotRange,
    Slots,
    all_of,
    among,
    even_slots,
    even_transfers,
    merged,
    must_cover_all,
    number_of_slots,
    parsed_slots,
    slots_of,
    without,
)
from controlplane.domain.topology import Topology

some_slots = st.sets(st.integers(0, 400), max_size=60).map(slots_of)


@given(some_slots, some_slots)
def test_ranges_are_taken_away_and_shared_as_sets_are(one: Slots, other: Slots) -> None:
    assert all_of(without(one, other)) == all_of(one) - all_of(other)
    assert all_of(among(one, other)) == all_of(one) & all_of(other)
    for found in (without(one, other), among(one, other)):
        assert found == merged(found), "in order, and as few as possible"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.randoms(use_true_random=False))
def test_slots_are_shared_out_evenly_and_no_more_move_than_must(present: int, wanted: int, chance: object) -> None:
    groups = {f"{number:04d}": slots for number, slots in enumerate(even_slots(present), start=1)}
    staying = [*groups, *(f"{number:04d}" for number in range(present + 1, wanted + 1))]
    while len(staying) > wanted:
        staying.remove(chance.choice(staying))  # type: ignore[attr-defined]
    transfers = even_transfers(groups, staying)
    owned = {**dict.fromkeys(staying, ()), **groups}
    for move in transfers:
        assert among(owned[move.source], move.slots) == move.slots, "nobody gives what it has not"
        owned[move.source] = without(owned[move.source], move.slots)
        owned[move.target] = merged([*owned[move.target], *move.slots])
    must_cover_all([slots for slots in owned.values() if slots])
    sizes = [number_of_slots(owned[group]) for group in staying]
    assert sum(sizes) == SLOTS and max(sizes) - min(sizes) <= 1
    least = sum(max(0, size - number_of_slots(groups.get(group, ()))) for group, size in zip(staying, sizes, strict=True))
    assert sum(number_of_slots(move.slots) for move in transfers) == least
    assert len({(move.source, move.target) for move in transfers}) == len(transfers)


def test_what_is_even_already_stays_where_it_is() -> None:
    groups = {f"{number:04d}": slots for number, slots in enumerate(even_slots(3), start=1)}
    assert even_transfers(groups, list(groups)) == []


def test_an_uneven_layout_is_evened_out_by_whoever_has_too_much() -> None:
    groups = {"0001": parsed_slots("0-99"), "0002": parsed_slots("100-16383")}
    (move,) = even_transfers(groups, ["0001", "0002"])
    assert (move.source, move.target, number_of_slots(move.slots)) == ("0002", "0001", 8092)


# ---- a move, from its beginning to its end

MOVE = SlotMove("0001", "0002", parsed_slots("8000-8191"))


def moving(*moves: SlotMove) -> Topology:
    return replace(a_sharded_group(shards=2), resharding=Resharding(moves, sum(number_of_slots(move.slots) for move in moves)))


def test_what_lands_changes_hands_and_the_rest_is_under_way() -> None:
    topology = moving(MOVE).with_landed("0001", "0002", parsed_slots("8000-8095"), NOW)
    first, second = topology.node_groups
    assert (first.slots, second.slots) == (parsed_slots("0-7999,8096-8191"), parsed_slots("8000-8095,8192-16383"))
    assert topology.resharding is not None
    (move,) = topology.resharding.moves
    assert (move.landed, move.under_way) == (parsed_slots("8000-8095"), parsed_slots("8096-8191"))
    assert topology.resharding.progress == pytest.approx(50.0)


def test_what_lands_twice_or_was_never_to_move_changes_nothing_more() -> None:
    topology = moving(MOVE).with_landed("0001", "0002", parsed_slots("8000-8095"), NOW)
    again = topology.with_landed("0001", "0002", parsed_slots("0-10,8000-8095"), NOW)
    assert again == topology


def test_with_the_last_slot_the_move_is_over_and_with_the_last_move_the_resharding() -> None:
    other = SlotMove("0001", "0002", parsed_slots("7000-7001"))
    both = replace(moving(MOVE), resharding=Resharding((MOVE, replace(other, source="0002", target="0001")), 194))
    one_left = both.with_landed("0001", "0002", MOVE.slots, NOW)
    assert one_left.resharding is not None and len(one_left.resharding.moves) == 1
    assert moving(MOVE).with_landed("0001", "0002", MOVE.slots, NOW).resharding is None


def test_since_when_a_group_owns_nothing_is_remembered() -> None:
    everything = SlotMove("0001", "0002", (SlotRange(0, 8191),))
    part = moving(everything).with_landed("0001", "0002", parsed_slots("0-100"), NOW)
    assert part.node_groups[0].emptied_at is None
    empty = part.with_landed("0001", "0002", (SlotRange(0, 8191),), NOW + timedelta(seconds=5))
    assert (empty.node_groups[0].slots, empty.node_groups[0].emptied_at) == ((), NOW + timedelta(seconds=5))
