"""From which files of a snapshot each new node group gets its keys, and which slots of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.seeding import ALL_SLOTS, Cut, Share, cuts, expected_bytes
from controlplane.domain.slots import SLOTS, SlotRange, Slots, all_of, even_slots, parsed_slots, slots_of


@dataclass(frozen=True)
class Source:
    """A node group of a snapshot."""

    group: str
    slots: Slots = ()


@dataclass(frozen=True)
class Target:
    """A node group to be."""

    id: str
    slots: Slots = ()


def sources(*owned: str) -> list[Source]:
    return [Source(f"old-{place}", parsed_slots(slots) if slots else ()) for place, slots in enumerate(owned)]


def targets(*owned: str) -> list[Target]:
    return [Target(f"new-{place}", parsed_slots(slots) if slots else ()) for place, slots in enumerate(owned)]


def told(found: tuple[Cut, ...]) -> list[str]:
    """Each cut as a short text."""
    return ["as 0" if cut.as_it_is else " ".join(f"{share.source[4:]}:{_text(share.slots)}" for share in cut.shares) for cut in found]


def _text(slots: Slots) -> str:
    return "all" if slots == ALL_SLOTS else ",".join(map(str, slots))


@pytest.mark.parametrize(
    ("from_slots", "to_slots", "made"),
    [
        pytest.param([""], [""], ["as 0"], id="outside cluster mode"),
        pytest.param([""], ["0-16383"], ["as 0"], id="into one shard of cluster mode"),
        pytest.param([""], ["0-8191", "8192-16383"], ["0:0-8191", "0:8192-16383"], id="into several"),
        pytest.param(["0-16383"], ["0-16383"], ["as 0"], id="one shard to one"),
        pytest.param(["0-99", "100-16383"], ["0-16383"], ["0:0-99 1:100-16383"], id="two to one"),
        pytest.param(["0-8191", "8192-16383"], ["0-4095", "4096-12287", "12288-16383"],
                     ["0:0-4095", "0:4096-8191 1:8192-12287", "1:12288-16383"], id="two to three, only what overlaps"),
        pytest.param(["0-99,200-16383", "100-199"], ["0-149", "150-16383"],
                     ["0:0-99 1:100-149", "0:200-16383 1:150-199"], id="slots in several ranges"),
        pytest.param(["", ""], ["0-8191", "8192-16383"], ["0:0-8191 1:0-8191", "0:8192-16383 1:8192-16383"],
                     id="files of which nobody knows the slots"),
        pytest.param(["", ""], ["0-16383"], ["0:all 1:all"], id="such files to one shard"),
    ],
)  # fmt: skip
def test_each_new_node_group_gets_what_its_slots_held(from_slots: list[str], to_slots: list[str], made: list[str]) -> None:
    assert told(cuts(sources(*from_slots), targets(*to_slots))) == made


def test_the_same_slots_need_no_cutting_whatever_the_node_groups_are_called() -> None:
    owned = even_slots(3)
    found = cuts([Source(f"000{place}", slots) for place, slots in enumerate(owned)],
                 [Target(f"001{place}", slots) for place, slots in enumerate(reversed(owned))])  # fmt: skip
    assert [(cut.target, cut.sources, cut.as_it_is) for cut in found] == [
        ("0010", ("0002",), True), ("0011", ("0001",), True), ("0012", ("0000",), True)]  # fmt: skip


def test_only_the_node_group_that_changes_is_cut() -> None:
    found = cuts(sources("0-99", "100-8191", "8192-16383"), targets("0-99", "100-16383"))
    assert [cut.as_it_is for cut in found] == [True, False]


@pytest.mark.parametrize("given_slots", [["0-16383"], ["0-99", "100-16383"], ["", ""]])
def test_what_was_in_cluster_mode_cannot_become_a_node_group_outside(given_slots: list[str]) -> None:
    with pytest.raises(ValueError, match="new-0 is outside cluster mode"):
        cuts(sources(*given_slots), targets(""))


@st.composite
def whole_maps(draw: st.DrawFn) -> list[Slots]:
    """All slots, dealt out in pieces to some node groups, each of which has some."""
    groups = draw(st.integers(1, 6))
    bounds = sorted({0, SLOTS, *draw(st.sets(st.integers(1, SLOTS - 1), min_size=groups, max_size=24))})
    pieces = [SlotRange(first, following - 1) for first, following in pairwise(bounds)]
    owners = draw(st.permutations([*range(groups), *(draw(st.integers(0, groups - 1)) for _ in range(len(pieces) - groups))]))
    return [slots_of(slot for piece, owner in zip(pieces, owners, strict=True) if owner == group for slot in all_of((piece,)))
            for group in range(groups)]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(whole_maps(), whole_maps())
def test_every_slot_goes_to_one_node_group_and_comes_from_the_one_that_owned_it(before: list[Slots], after: list[Slots]) -> None:
    old = [Source(f"old-{place}", slots) for place, slots in enumerate(before)]
    new = [Target(f"new-{place}", slots) for place, slots in enumerate(after)]
    owner = {slot: source.group for source in old for slot in all_of(source.slots)}
    wanted = {slot: target.id for target in new for slot in all_of(target.slots)}
    came: dict[int, tuple[str, str]] = {}
    for cut in cuts(old, new):
        assert all(share.slots for share in cut.shares), "no file is read for nothing"
        for share in cut.shares:
            for slot in all_of(share.slots):
                assert slot not in came, "no slot comes twice"
                came[slot] = (share.source, cut.target)
        assert cut.as_it_is == (tuple(share.slots for share in cut.shares) in [(slots,) for slots in before])
        assert cut.slots == next(target.slots for target in new if target.id == cut.target)
    assert came == {slot: (owner[slot], wanted[slot]) for slot in range(SLOTS)}


def test_what_a_share_weighs_goes_by_the_number_of_its_slots() -> None:
    owned = parsed_slots("0-99")
    assert expected_bytes(1000, owned, parsed_slots("0-24")) == 250
    assert expected_bytes(1000, owned, owned) == 1000
    assert expected_bytes(16384, (), parsed_slots("5")) == 1, "outside cluster mode it has all slots"
    assert Cut("0001", ()).sources == () and Share("a", owned).slots == owned
