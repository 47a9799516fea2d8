"""When a primary that a caller wants replaced yields, to whom, and what becomes of it afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import NOW
from situations import (
    FIRST,
    PRIMARY_ADDRESS,
    SECOND,
    THIRD,
    address_of,
    at_work,
    decided,
    desiring,
    failover,
    grouped,
    memcached_at_work,
    noded,
    reason,
    seeing,
)

from agents.pace import Pace
from controlplane.domain.elections import Candidate
from controlplane.domain.reported import DEAD, STARTING
from controlplane.domain.topology import Handover
from controlplane.planner.decisions import (
    BootNode,
    CallRoll,
    ChooseHeir,
    CloseModification,
    DropHandover,
    ElectPrimary,
    LookAgain,
    RebuildFormer,
)
from controlplane.planner.lifecycle import close_modification
from controlplane.planner.nodes import start_dead_nodes
from controlplane.planner.outcome import Addresses, after
from controlplane.planner.primaries import elect_primaries, hand_over, rebuild_formers
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy, Situation

WITHIN = Policy().handover_within
WAITS = LookAgain(NOW + WITHIN, "")
AMONG = tuple(Candidate(node, answered=True, proven=True, offset=1000) for node in (SECOND, THIRD))


def asked(nodes: int = 3, **handover: Any) -> Situation:
    """A caller has just asked for another primary."""
    return grouped(failover(at_work(nodes), automatic=True), handover=Handover(FIRST, NOW, **handover))


def yielded(heir: str = SECOND, **handover: Any) -> Situation:
    """The heir is chosen, and the primary says that it has every write."""
    now = asked(heir=heir, **handover)
    return seeing(now, FIRST, yielded_to=now.topology.key(heir))


def replaced(**changes: Any) -> Situation:
    """The second node leads and serves; the first one, whose failover was tested, follows it."""
    now = grouped(at_work(), primary=SECOND, epoch=2, holder=SECOND, rebuild=FIRST)
    proven = frozenset(now.topology.key(node) for node in (FIRST, THIRD))
    now = seeing(now, SECOND, role="primary", epoch=2, follows=None, proven=proven, holds=frozenset({PRIMARY_ADDRESS}))
    now = seeing(now, THIRD, epoch=2, follows=f"{address_of(now.topology, SECOND)}:6379")
    return seeing(now, SECOND, **changes)


# ---- the heir


def test_nothing_is_handed_over_unasked() -> None:
    assert decided(hand_over, at_work()) == []


def test_the_heir_is_the_replica_that_has_most() -> None:
    assert decided(hand_over, asked()) == [WAITS, ChooseHeir("0001", SECOND, "")]
    assert decided(hand_over, seeing(asked(), THIRD, offset=1001)) == [WAITS, ChooseHeir("0001", THIRD, "")]


@pytest.mark.parametrize("changes", [{"link_up": False}, {"phase": DEAD}, {"phase": STARTING}, {"boot": 0}, {"epoch": 0}, {"role": "primary"}])
def test_only_a_replica_in_sync_is_an_heir(changes: dict[str, object]) -> None:
    ahead = seeing(asked(), SECOND, offset=5000, **changes)
    assert decided(hand_over, ahead) == [WAITS, ChooseHeir("0001", THIRD, "")]
    assert decided(hand_over, seeing(asked(2), SECOND, **changes)) == [WAITS]  # and is waited for


def test_neither_one_that_leaves_nor_one_without_proof_is_an_heir() -> None:
    assert decided(hand_over, noded(asked(2), SECOND, leaving=True)) == [WAITS]
    assert decided(hand_over, seeing(asked(2), FIRST, proven=frozenset())) == [WAITS]


def test_an_heir_that_a_caller_named_is_the_only_one() -> None:
    now = seeing(yielded(SECOND), THIRD, offset=9000)
    assert [type(decision) for decision in hand_over(now)] == [LookAgain, ElectPrimary]
    away = seeing(asked(heir=SECOND), SECOND, link_up=False)
    assert decided(hand_over, away) == [WAITS]


# ---- elected only when it has every write


def test_nobody_is_elected_before_the_primary_has_yielded() -> None:
    assert decided(hand_over, asked(heir=SECOND)) == [WAITS]


def test_who_has_every_write_is_elected() -> None:
    assert decided(hand_over, yielded()) == [WAITS, ElectPrimary("0001", SECOND, 2, None, "", AMONG)]
    (_, elected) = hand_over(yielded())
    assert elected.because == f"a caller asked for it; {SECOND} has every write of {FIRST}"


def test_another_that_has_every_write_is_not_elected() -> None:
    now = asked(heir=SECOND)
    assert decided(hand_over, seeing(now, FIRST, yielded_to=now.topology.key(THIRD))) == [WAITS]


def test_what_was_yielded_at_an_earlier_epoch_does_not_count() -> None:
    assert decided(hand_over, seeing(yielded(), FIRST, epoch=0)) == [WAITS]


def test_an_old_word_does_not_count_for_the_primary_takes_writes_again_by_now() -> None:
    age = Policy().yields_for
    now = replace(yielded(), seen_at={FIRST: NOW - age + timedelta(milliseconds=1)})
    assert decided(hand_over, now) == [WAITS, ElectPrimary("0001", SECOND, 2, None, "", AMONG)]
    assert decided(hand_over, replace(now, seen_at={FIRST: NOW - age})) == [WAITS]
    assert age < timedelta(seconds=Pace().yield_within)


def test_an_heir_that_is_not_in_sync_any_more_is_not_elected() -> None:
    assert decided(hand_over, seeing(yielded(), SECOND, link_up=False)) == [WAITS]


@pytest.mark.parametrize("wish", [{}, {"heir": SECOND}, {"rebuild": True}])
def test_a_wish_is_dropped_when_nobody_was_ready_in_time(wish: dict[str, Any]) -> None:
    now = seeing(asked(**wish), SECOND, link_up=False)
    now = seeing(now, THIRD, link_up=False)
    just_before = replace(now, now=NOW + WITHIN - timedelta(milliseconds=1))
    assert decided(hand_over, just_before) == [WAITS]
    assert decided(hand_over, replace(now, now=NOW + WITHIN)) == [DropHandover("0001", "")]
    assert reason(hand_over, replace(now, now=NOW + WITHIN)) == f"no replica was ready within {WITHIN.seconds} s"


def test_another_policy_waits_as_it_says() -> None:
    now = replace(asked(heir=SECOND), policy=Policy(handover_within=timedelta(seconds=7)))
    assert decided(hand_over, now) == [LookAgain(NOW + timedelta(seconds=7), "")]
    assert decided(hand_over, replace(now, now=NOW + timedelta(seconds=7))) == [DropHandover("0001", "")]


def test_a_wish_that_came_true_otherwise_is_dropped() -> None:
    now = grouped(replaced(), handover=Handover(FIRST, NOW))
    assert decided(hand_over, now) == [DropHandover("0001", "")]
    assert reason(hand_over, now) == f"{SECOND} is primary already"


def test_a_handover_waits_while_a_replica_stands_in() -> None:
    assert decided(hand_over, grouped(yielded(), home=THIRD)) == []


def test_memcached_has_nothing_to_hand_over() -> None:
    now = memcached_at_work()
    assert decided(hand_over, now) == decided(rebuild_formers, now) == []


# ---- a crash in the middle


def test_a_primary_that_dies_while_it_hands_over_is_lost_like_any_other() -> None:
    now = seeing(yielded(rebuild=True), FIRST, phase=DEAD, role=None, holds=frozenset())
    assert decided(hand_over, now) == []
    assert CallRoll("0001", f"{FIRST}/1", f"{FIRST} is lost") in plan(now)
    now = grouped(now, roll=1, roll_for=f"{FIRST}/1", roll_at=NOW)
    now = seeing(seeing(now, SECOND, roll=1), THIRD, roll=1)
    (elected,) = elect_primaries(now)
    changed = after(now.topology, elected, NOW, Addresses())
    assert changed is not None
    assert (changed.node_groups[0].handover, changed.node_groups[0].primary) == (None, SECOND)


def test_an_heir_that_dies_is_waited_for_if_it_was_named_or_chosen() -> None:
    assert decided(hand_over, seeing(yielded(), SECOND, phase=DEAD)) == [WAITS]


def test_a_dead_former_is_started_only_once() -> None:
    now = seeing(replaced(), FIRST, phase=DEAD)
    assert decided(rebuild_formers, now) == [RebuildFormer("0001", FIRST, 2, "")]
    assert decided(start_dead_nodes, now) == [BootNode(FIRST, 2, "")]  # the same boot: together they are one start
    changed = now.topology
    for decision in (*rebuild_formers(now), *start_dead_nodes(now)):
        after_it = after(changed, decision, NOW, Addresses())
        assert after_it is not None
        changed = after_it
    assert [node.boot for node in changed.nodes] == [2, 1, 1]
    assert changed.node_groups[0].rebuild is None


# ---- the former primary


def test_a_former_whose_failover_was_tested_is_rebuilt() -> None:
    assert decided(rebuild_formers, replaced()) == [RebuildFormer("0001", FIRST, 2, "")]
    assert reason(rebuild_formers, replaced()) == "its failover was tested"


@pytest.mark.parametrize("changes", [{"role": "replica"}, {"epoch": 1}, {"holds": frozenset()}, {"phase": STARTING}])
def test_a_former_is_not_rebuilt_before_its_heir_serves(changes: dict[str, object]) -> None:
    assert decided(rebuild_formers, replaced(**changes)) == []


def test_a_former_keeps_its_data_while_its_heir_alone_has_it_too() -> None:
    alone = seeing(replaced(), THIRD, link_up=False)
    assert decided(rebuild_formers, alone) == []
    assert decided(rebuild_formers, noded(alone, THIRD, leaving=True)) == [RebuildFormer("0001", FIRST, 2, "")]  # there is nobody else


def test_a_former_that_was_only_asked_to_step_aside_is_not_rebuilt() -> None:
    assert decided(rebuild_formers, grouped(replaced(), rebuild=None)) == []


# ---- how it looks meanwhile


def test_a_modification_is_not_over_while_a_primary_is_to_hand_over() -> None:
    now = desiring(at_work(), modifying=True)
    assert decided(close_modification, now) == [CloseModification("")]
    assert decided(close_modification, grouped(now, handover=Handover(FIRST, NOW, SECOND))) == []


def test_nothing_else_is_decided_while_a_handover_waits() -> None:
    decisions = plan(asked(heir=SECOND))
    assert {type(decision) for decision in decisions} == {LookAgain}
