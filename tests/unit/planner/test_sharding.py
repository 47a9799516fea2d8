"""When slots that have moved change hands, and when a node group that was to leave goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import NOW
from situations import agreeing, decided, desiring, grouped, reason, seeing, sharded_at_work

from controlplane.domain.mesh import mesh_of
from controlplane.domain.reported import DEAD
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.resources import resources_of
from controlplane.domain.slots import parsed_slots
from controlplane.domain.topology import NodeGroup
from controlplane.planner.decisions import (
    BeginResharding,
    CloseModification,
    DismissGroup,
    DropResharding,
    LandSlots,
    LookAgain,
    RemoveNode,
)
from controlplane.planner.endpoints import publish_configuration
from controlplane.planner.lifecycle import close_modification
from controlplane.planner.outcome import Addresses, after
from controlplane.planner.sharding import begin_resharding, dismiss_empty_groups, land_slots
from controlplane.planner.situation import Situation
from controlplane.reconciler.sentences import sentences

SOURCE, TARGET = "orders-0001-001", "orders-0002-001"
MOVE = SlotMove("0001", "0002", parsed_slots("8000-8191"))
LANDED = LandSlots("0001", "0002", parsed_slots("8000-8050"), "")


def moving(*moves: SlotMove) -> Situation:
    now = sharded_at_work()
    return agreeing(desiring(now, resharding=Resharding(moves or (MOVE,), 192), modifying=True))


@pytest.mark.parametrize("witness", [SOURCE, TARGET])
def test_what_either_primary_has_seen_with_the_target_has_landed(witness: str) -> None:
    assert decided(land_slots, seeing(moving(), witness, arrived="8000-8050")) == [LANDED]


def test_both_together_tell_of_everything() -> None:
    now = seeing(seeing(moving(), SOURCE, arrived="8000-8050"), TARGET, arrived="8040-8060")
    (landing,) = decided(land_slots, now)
    assert isinstance(landing, LandSlots) and landing.slots == parsed_slots("8000-8060")


@pytest.mark.parametrize(
    "changed",
    [
        {"phase": DEAD},
        {"role": "replica"},  # it was deposed
        {"epoch": 0},         # it does not know yet that it leads
        {"boot": 0},
    ],
)
def test_who_does_not_lead_is_not_believed(changed: dict[str, Any]) -> None:
    assert decided(land_slots, seeing(moving(), SOURCE, arrived="8000-8050", **changed)) == []


def test_the_end_of_it_is_said_and_nothing_before() -> None:
    topology = moving().topology
    assert list(sentences(topology, LANDED)) == []
    everything = LandSlots("0001", "0002", MOVE.slots, "")
    assert list(sentences(topology, everything)) == [("replication-group", "orders", "Resharding finished: 192 slots have moved")]


def test_what_has_landed_lands_once() -> None:
    landed = replace(MOVE, landed=parsed_slots("8000-8050"))
    assert decided(land_slots, seeing(moving(landed), SOURCE, arrived="8000-8050")) == []


def test_slots_that_are_not_under_way_do_not_land() -> None:
    assert decided(land_slots, seeing(moving(), SOURCE, arrived="0-7999")) == []


def test_a_change_is_not_over_while_slots_move() -> None:
    assert decided(close_modification, moving()) == []
    assert decided(close_modification, agreeing(desiring(moving(), resharding=None))) == [CloseModification("")]


# ---- whether it fits

MOST = resources_of(sharded_at_work().topology).memory


def to_leave(first: int, second: int, **changes: Any) -> Situation:
    """The first of two groups is to give everything away; the primaries hold so much."""
    now = sharded_at_work()
    everything = SlotMove("0001", "0002", now.topology.node_groups[0].slots)
    now = grouped(desiring(now, resharding=Resharding((everything,), 8192, fits=False)), leaving=True, **changes)
    return seeing(seeing(agreeing(now), SOURCE, used_memory=first), TARGET, used_memory=second)


def test_slots_move_when_what_they_hold_has_room() -> None:
    assert decided(begin_resharding, to_leave(MOST // 2, MOST // 2)) == [BeginResharding("")]


def test_they_stay_when_it_has_not() -> None:
    now = to_leave(MOST // 2, MOST // 2 + 2)
    assert decided(begin_resharding, now) == [DropResharding("")]
    assert f"node group 0002 would hold some {MOST + 2} bytes" in reason(begin_resharding, now)


def test_nothing_is_said_before_all_have_told_anew() -> None:
    assert decided(begin_resharding, to_leave(1, 1, roll=1)) == []
    assert decided(begin_resharding, seeing(to_leave(1, 1), TARGET, phase=DEAD)) == []


def test_until_then_no_move_is_open() -> None:
    meshes = [mesh_of(now.topology) for now in (to_leave(1, 1), moving())]
    assert [[move.open for move in mesh.moves] for mesh in meshes if mesh] == [[False], [True]]


# ---- a node group that leaves


def leaving(**changes: Any) -> Situation:
    """The first of two groups owns nothing any more, since three seconds."""
    now = sharded_at_work()
    first, second = now.topology.node_groups
    usual: dict[str, Any] = {"leaving": True, "slots": (), "emptied_at": NOW - timedelta(seconds=3)}
    groups: tuple[NodeGroup, ...] = (replace(first, **{**usual, **changes}), replace(second, slots=parsed_slots("0-16383")))
    return agreeing(desiring(now, node_groups=groups))


def test_an_empty_group_goes_once_clients_had_time_to_learn_of_it() -> None:
    assert decided(dismiss_empty_groups, leaving()) == [DismissGroup("0001", "")]
    (later,) = decided(dismiss_empty_groups, leaving(emptied_at=NOW))
    assert isinstance(later, LookAgain) and later.at == NOW + timedelta(seconds=2)


def test_a_group_with_slots_stays_however_long_that_takes() -> None:
    assert decided(dismiss_empty_groups, leaving(slots=parsed_slots("0-0"))) == []


def test_a_group_that_is_not_to_leave_stays_empty_or_not() -> None:
    assert decided(dismiss_empty_groups, leaving(leaving=False)) == []


def test_it_stays_while_somebody_has_not_heard_where_its_slots_are() -> None:
    assert decided(dismiss_empty_groups, seeing(leaving(), TARGET, agrees="earlier")) == []
    assert decided(dismiss_empty_groups, seeing(leaving(), TARGET, agrees="earlier", phase=DEAD)) == [DismissGroup("0001", "")]


def test_it_stays_while_a_move_names_it() -> None:
    now = leaving()
    assert decided(dismiss_empty_groups, desiring(now, resharding=Resharding((MOVE,), 192))) == []


def test_a_change_is_not_over_while_a_group_is_still_to_leave() -> None:
    assert decided(close_modification, desiring(leaving(), modifying=True)) == []


def test_the_configuration_endpoint_leaves_a_group_before_it_goes() -> None:
    (published,) = decided(publish_configuration, leaving(slots=parsed_slots("0-8191")))
    assert getattr(published, "node", None) == TARGET


def test_a_dismissed_group_is_forgotten_with_its_last_node() -> None:
    topology = leaving().topology.with_departure_of(["orders-0001-001", "orders-0001-002"])
    for node, groups in (("orders-0001-001", ["0001", "0002"]), ("orders-0001-002", ["0002"])):
        left = after(topology, RemoveNode(node, ""), NOW, Addresses())
        assert left is not None
        topology = left
        assert [group.id for group in topology.node_groups] == groups
