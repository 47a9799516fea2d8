"""Who becomes primary, when, and who must not be started empty."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW
from situations import FIRST, SECOND, THIRD, at_work, decided, failover, grouped, later, noded, reason, seeing, silent

from controlplane.domain.elections import Candidate
from controlplane.domain.reported import DEAD, FAILED, RUNNING, STARTING
from controlplane.planner.decisions import CallRoll, ElectPrimary, LookAgain
from controlplane.planner.primaries import absent, call_roll, elect_primaries, hand_back, lost_primary, may_start_empty, ranked
from controlplane.planner.situation import Policy, Situation

SETTLE, LAST_RESORT = Policy().settle, Policy().last_resort
LOSS = f"{FIRST}/1"


def lost(nodes: int = 3, *, automatic: bool = True) -> Situation:
    """The primary has just died and nothing was decided about it."""
    return failover(seeing(at_work(nodes), FIRST, phase=DEAD, role=None, holds=frozenset()), automatic=automatic)


def called(nodes: int = 3, *, automatic: bool = True) -> Situation:
    """The roll has been called at noon; nobody has answered."""
    return grouped(lost(nodes, automatic=automatic), roll=1, roll_for=LOSS, roll_at=NOW)


def answered(now: Situation, *nodes: str) -> Situation:
    """These have answered the roll."""
    for node in nodes:
        now = seeing(now, node, roll=1)
    return now


def among(*nodes: str) -> tuple[Candidate, ...]:
    """What an election tells of candidates that have answered and have all there is."""
    return tuple(Candidate(node, answered=True, proven=True, offset=1000) for node in nodes)


def rebuilt() -> Situation:
    """Failover is off; the second node stands in and the first one replicates from it."""
    now = grouped(at_work(2), primary=SECOND, epoch=2, home=FIRST, holder=None)
    now = seeing(now, SECOND, role="primary", epoch=2, follows=None, proven=frozenset({now.topology.key(FIRST)}))
    return seeing(now, FIRST, role="replica", epoch=2, follows="127.101.0.2:6379", link_up=True, holds=frozenset())


# ---- a primary counts as lost only when its desired boot is known to have ended


@pytest.mark.parametrize(
    ("phase", "boot", "is_lost"),
    [
        (RUNNING, 1, False),
        (STARTING, 1, False),
        (DEAD, 1, True),
        (FAILED, 1, True),
        (DEAD, 0, False),  # an earlier boot has ended; the desired one is still to be started
        (DEAD, 2, True),
    ],
)
def test_when_a_primary_is_lost(phase: str, boot: int, is_lost: bool) -> None:
    now = seeing(at_work(), FIRST, phase=phase, boot=boot)
    assert (lost_primary(now, now.topology.node_groups[0]) is not None) is is_lost


def test_a_primary_nobody_has_seen_is_not_lost() -> None:
    now = silent(at_work(), FIRST)
    assert lost_primary(now, now.topology.node_groups[0]) is None


def test_a_leaving_primary_is_not_lost() -> None:
    assert decided(call_roll, noded(lost(), FIRST, leaving=True)) == []


# ---- the roll comes before the election


def test_nothing_is_called_while_the_primary_lives() -> None:
    assert decided(call_roll, at_work()) == []


def test_the_roll_is_called_once_for_each_loss() -> None:
    assert decided(call_roll, lost()) == [CallRoll("0001", LOSS, "")]
    assert decided(call_roll, called()) == []
    again = seeing(noded(called(), FIRST, boot=2), FIRST, boot=2)
    assert decided(call_roll, again) == [CallRoll("0001", f"{FIRST}/2", "")]


def test_the_roll_says_who_is_lost() -> None:
    assert reason(call_roll, lost()) == f"{FIRST} is lost"


def test_without_replicas_nobody_is_called() -> None:
    assert decided(call_roll, lost(nodes=1)) == []


def test_nobody_is_elected_before_the_roll_was_called() -> None:
    assert decided(elect_primaries, lost()) == []


def test_a_roll_for_an_earlier_loss_does_not_count() -> None:
    assert decided(elect_primaries, grouped(answered(called(), SECOND, THIRD), roll_for=f"{FIRST}/0")) == []


def test_nobody_is_elected_while_the_primary_lives() -> None:
    now = grouped(at_work(), roll=1, roll_for=LOSS, roll_at=NOW)
    assert decided(elect_primaries, answered(now, SECOND, THIRD)) == []


# ---- whom an election waits for, and how long


def test_all_have_answered() -> None:
    now = answered(called(), SECOND, THIRD)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 2, None, "", among(SECOND, THIRD))]
    assert reason(elect_primaries, now) == f"{FIRST} is lost; most bytes replicated (1000)"


@pytest.mark.parametrize("waited", [timedelta(0), SETTLE - timedelta(milliseconds=1)])
def test_an_absentee_is_waited_for(waited: timedelta) -> None:
    now = replace(answered(called(), SECOND), now=NOW + waited)
    assert decided(elect_primaries, now) == [LookAgain(NOW + SETTLE, "")]
    assert reason(elect_primaries, now) == f"{THIRD} has not answered the roll"


def test_an_absentee_is_waited_for_until_settle_and_no_longer() -> None:
    now = replace(answered(called(), SECOND), now=NOW + SETTLE)
    late = replace(*among(THIRD), answered=False)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 2, None, "", (*among(SECOND), late))]


def test_another_policy_waits_as_it_says() -> None:
    now = replace(answered(called(), SECOND), policy=Policy(settle=timedelta(seconds=7)))
    assert decided(elect_primaries, now) == [LookAgain(NOW + timedelta(seconds=7), "")]


@pytest.mark.parametrize(
    ("changes", "counts_as_absent"),
    [
        ({}, True),
        ({"roll": 1}, False),
        ({"phase": DEAD}, False),
        ({"phase": FAILED}, False),
        ({"boot": 0}, True),  # it may have started, and copied everything, unseen since then
        ({"boot": 0, "roll": 1}, False),  # it had not started when the primary was lost, and shall boot empty
        ({"boot": 0, "phase": DEAD}, True),
        ({"phase": STARTING}, True),  # a resumed one may load its data
    ],
)
def test_who_may_have_data_and_has_not_said_so(changes: dict[str, object], counts_as_absent: bool) -> None:
    now = seeing(answered(called(), SECOND), THIRD, **changes)
    assert [node.id for node in absent(now, now.topology.node_groups[0])] == [THIRD] * counts_as_absent


def test_a_placed_replica_nobody_has_seen_may_have_data() -> None:
    now = silent(answered(called(), SECOND), THIRD)
    assert [node.id for node in absent(now, now.topology.node_groups[0])] == [THIRD]
    never_placed = noded(now, THIRD, placement=None)
    assert absent(never_placed, never_placed.topology.node_groups[0]) == []


def test_a_leaving_replica_is_neither_asked_nor_elected() -> None:
    now = noded(answered(called(), SECOND, THIRD), SECOND, leaving=True)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", THIRD, 2, None, "", among(THIRD))]


# ---- the order of candidates: answered, proven, epoch, bytes, id


@pytest.mark.parametrize(
    ("second", "third", "order"),
    [
        ({}, {}, [SECOND, THIRD]),
        ({"offset": 1000}, {"offset": 1001}, [THIRD, SECOND]),
        ({"offset": 1000}, {"offset": 5000, "proven": False}, [SECOND, THIRD]),
        ({"offset": 1000, "proven": False}, {"offset": 5000, "proven": False}, [THIRD, SECOND]),
        ({"roll": 0, "offset": 5000}, {"roll": 1, "proven": False}, [THIRD, SECOND]),
        ({"epoch": 0, "offset": 5000, "proven": False}, {"offset": 10, "proven": False}, [THIRD, SECOND]),
        ({"epoch": 0, "offset": 5000}, {"offset": 10, "proven": False}, [SECOND, THIRD]),
    ],
    ids=["id", "bytes", "proven before bytes", "nobody proven", "answered before proven", "epoch before bytes", "proven before epoch"],
)
def test_the_order_of_candidates(second: dict[str, object], third: dict[str, object], order: list[str]) -> None:
    now = answered(called(), SECOND, THIRD)
    proven = set()
    for node, facts in ((SECOND, {**second}), (THIRD, {**third})):
        if facts.pop("proven", True):
            proven.add(now.topology.key(node))
        now = seeing(now, node, **facts)
    now = seeing(now, FIRST, proven=frozenset(proven))
    assert [node.id for node in ranked(now, now.topology.node_groups[0])] == order


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 0},
        {"phase": DEAD},
        {"phase": STARTING},
        {"boot": 0},
        {"role": "primary", "epoch": 0},  # it has not been told to follow anybody yet
        {"role": None, "epoch": 0},
    ],
)
def test_who_is_no_candidate(changes: dict[str, object]) -> None:
    now = seeing(answered(called(2), SECOND), SECOND, **changes)
    assert ranked(now, now.topology.node_groups[0]) == []
    assert decided(elect_primaries, now) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 1, "follows": "127.101.0.9:6379", "link_up": False},  # it has not heard of the lost primary, only of its predecessor
        {"epoch": 0},  # its agent has been started anew and cannot bring it to the lost primary
        {"epoch": 1, "role": "primary", "follows": None},  # it is that predecessor, and the heir never answered it
    ],
)
def test_who_has_data_of_an_earlier_epoch_is_elected_where_nobody_else_has_any(changes: dict[str, object]) -> None:
    now = seeing(grouped(answered(called(2), SECOND), epoch=2), SECOND, **changes)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 3, None, "", among(SECOND))]
    assert not may_start_empty(now, now.topology.node_groups[0], lost_primary(now, now.topology.node_groups[0]))  # type: ignore[arg-type]


# ---- automatic failover off: the replica only stands in


def test_with_failover_off_the_replica_stands_in() -> None:
    now = answered(called(automatic=False), SECOND, THIRD)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 2, FIRST, "", among(SECOND, THIRD))]


def test_who_stands_in_for_the_stand_in_stands_in_for_the_first() -> None:
    now = grouped(answered(called(automatic=False), SECOND, THIRD), home=SECOND)
    now = seeing(now, SECOND, phase=DEAD)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", THIRD, 2, SECOND, "", among(THIRD))]


def test_the_one_to_return_has_returned_when_it_is_elected_itself() -> None:
    now = grouped(answered(called(automatic=False), SECOND, THIRD), home=SECOND)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 2, None, "", among(SECOND, THIRD))]


def test_a_rebuilt_primary_is_primary_again() -> None:
    assert decided(hand_back, rebuilt()) == [ElectPrimary("0001", FIRST, 3, None, "")]
    assert reason(hand_back, rebuilt()) == f"{FIRST} is rebuilt in its place"


@pytest.mark.parametrize("changes", [{"link_up": False}, {"epoch": 1}, {"phase": STARTING}, {"follows": "127.101.0.9:6379"}])
def test_nothing_is_handed_back_before_the_data_is_there(changes: dict[str, object]) -> None:
    assert decided(hand_back, seeing(rebuilt(), FIRST, **changes)) == []
    assert decided(hand_back, seeing(rebuilt(), SECOND, proven=frozenset())) == []


def test_nothing_is_handed_to_one_that_leaves_or_to_nobody() -> None:
    assert decided(hand_back, noded(rebuilt(), FIRST, leaving=True)) == []
    assert decided(hand_back, grouped(rebuilt(), home=None)) == []
    assert decided(hand_back, grouped(rebuilt(), home="orders-009")) == []


# ---- a lost primary is not started empty while a replica may have its data


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (lost(nodes=1), True),
        (lost(), False),
        (called(), False),
        (answered(called(), SECOND, THIRD), False),
        (answered(seeing(seeing(called(), SECOND, offset=0), THIRD, offset=0), SECOND, THIRD), True),
        (seeing(seeing(called(), SECOND, phase=DEAD), THIRD, phase=DEAD), True),
        (answered(seeing(seeing(called(), SECOND, offset=0), THIRD, offset=0), SECOND), False),
        (seeing(seeing(lost(), SECOND, phase=DEAD), THIRD, phase=DEAD), False),
    ],
    ids=[
        "no replicas", "roll not called", "nobody answered", "replicas have it", "replicas have nothing", "replicas are dead",
        "one has not answered", "dead, but the roll was not called",
    ],
)  # fmt: skip
def test_whether_a_lost_primary_may_start_empty(now: Situation, may: bool) -> None:
    group = now.topology.node_groups[0]
    assert may_start_empty(now, group, group.nodes[0]) is may


@pytest.mark.parametrize(("waited", "may"), [(LAST_RESORT - timedelta(milliseconds=1), False), (LAST_RESORT, True)])
def test_silence_is_waited_out_to_the_last_resort(waited: timedelta, may: bool) -> None:
    now = replace(seeing(called(2), SECOND, offset=0), now=NOW + waited)
    group = now.topology.node_groups[0]
    assert may_start_empty(now, group, group.nodes[0]) is may


def test_a_replica_known_to_have_data_is_never_given_up() -> None:
    now = later(called(2), days=1)
    group = now.topology.node_groups[0]
    assert not may_start_empty(now, group, group.nodes[0])
