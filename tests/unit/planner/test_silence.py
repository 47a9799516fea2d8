"""A primary whose agent is silent: replaced only when nobody in reach hears it, and somebody may take over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW
from situations import (
    FIRST,
    SECOND,
    THIRD,
    at_work,
    decided,
    failover,
    grouped,
    later,
    noded,
    reason,
    seeing,
    sharded_at_work,
)

from controlplane.domain.reported import DEAD, STARTING
from controlplane.planner.decisions import CallRoll, ElectPrimary, LookAgain, PublishConfiguration, SpreadReaders
from controlplane.planner.endpoints import publish_configuration, spread_readers
from controlplane.planner.primaries import call_roll, elect_primaries, ranked
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy, Situation

SETTLE = Policy().settle
LOSS = f"{FIRST}/1/silent since 1.000"


def mute(now: Situation, *zones: str, since: str = "1.000") -> Situation:
    """The same, but the agents of these zones are silent."""
    agents = tuple(replace(agent, heard=False, last_word=since) if agent.zone in zones else agent for agent in now.agents)
    return replace(now, agents=agents)


def joined(now: Situation) -> Situation:
    """The same; every node has done its duty before."""
    for node in now.topology.nodes:
        now = noded(now, node.id, joined_at=NOW)
    return now


def working(nodes: int = 3, *, automatic: bool = True) -> Situation:
    return failover(joined(at_work(nodes)), automatic=automatic)


def called(now: Situation) -> Situation:
    """The same, and the roll for this silence has been called at noon."""
    return grouped(now, roll=1, roll_for=LOSS, roll_at=NOW)


def answering(now: Situation, *nodes: str, link_up: bool = False) -> Situation:
    """These have answered the roll, and hear the primary or do not."""
    for node in nodes:
        now = seeing(now, node, roll=1, link_up=link_up)
    return now


# ---- the roll


def test_silence_calls_the_roll_once() -> None:
    assert decided(call_roll, mute(working(), "a")) == [CallRoll("0001", LOSS, "")]
    assert decided(call_roll, called(mute(working(), "a"))) == []


def test_another_silence_calls_it_again() -> None:
    now = called(mute(working(), "a", since="2.000"))
    assert decided(call_roll, now) == [CallRoll("0001", f"{FIRST}/1/silent since 2.000", "")]


def test_nobody_is_elected_before_the_roll_for_this_silence() -> None:
    now = answering(mute(working(), "a"), SECOND, THIRD)
    assert decided(elect_primaries, now) == []
    assert decided(elect_primaries, called(mute(now, "a", since="2.000"))) == []


@pytest.mark.parametrize(
    "now",
    [
        working(),
        mute(working(), "b"),
        mute(working(), "b", "c"),
        mute(working(automatic=False), "a"),
        mute(noded(working(), FIRST, leaving=True), "a"),
        mute(noded(working(), FIRST, joined_at=None), "a"),
        mute(working(nodes=1), "a"),
    ],
    ids=["all are heard", "a replica is silent", "all replicas are silent", "failover is off", "it leaves", "it has never been up",
         "there is nobody else"],
)  # fmt: skip
def test_when_silence_is_no_loss(now: Situation) -> None:
    assert decided(call_roll, now) == []
    assert decided(elect_primaries, answering(called(now), *(node.id for node in now.topology.node_groups[0].replicas))) == []


# ---- witnesses


def test_it_is_replaced_when_no_replica_in_reach_hears_it() -> None:
    now = answering(called(mute(working(), "a")), SECOND, THIRD)
    assert decided(elect_primaries, now) == [ElectPrimary("0001", SECOND, 2, None, "", _among(now))]
    assert reason(elect_primaries, now) == f"{FIRST} is lost; most bytes replicated (1000)"


@pytest.mark.parametrize("witness", [SECOND, THIRD])
def test_one_that_hears_it_keeps_it_in_office(witness: str) -> None:
    now = answering(answering(called(mute(working(), "a")), SECOND, THIRD), witness, link_up=True)
    for seconds in (0, 1, 3600):
        at = later(now, seconds=seconds)
        assert decided(elect_primaries, at) == [LookAgain(at.now + SETTLE, "")]
    assert reason(elect_primaries, now) == f"{witness} still hears {FIRST}, whose agent is silent"
    assert decided(elect_primaries, answering(now, witness)) != decided(elect_primaries, now)


@pytest.mark.parametrize(
    "changes",
    [{"roll": 0}, {"phase": DEAD}, {"phase": STARTING}, {"boot": 0}],
    ids=["it was asked before the silence", "it is dead", "it starts", "it was another boot"],
)
def test_who_is_no_witness(changes: dict[str, Any]) -> None:
    now = answering(answering(called(mute(working(), "a")), SECOND), THIRD, link_up=True)
    now = later(seeing(now, THIRD, **changes), seconds=2)
    assert [decision.node for decision in decided(elect_primaries, now)] == [SECOND]  # type: ignore[union-attr]


def test_one_whose_own_agent_is_silent_is_no_witness() -> None:
    now = answering(answering(called(mute(working(), "a", "c")), SECOND), THIRD, link_up=True)
    assert [decision.node for decision in decided(elect_primaries, now)] == [SECOND]  # type: ignore[union-attr]


# ---- candidates


def test_a_replica_in_the_silent_zone_is_no_candidate_and_not_waited_for() -> None:
    now = seeing(noded(working(), SECOND, zone="us-east-1a"), SECOND, offset=9000)
    second = now.topology.node(SECOND)
    assert second is not None
    assert second.placement is not None
    now = called(mute(noded(now, SECOND, placement=replace(second.placement, agent="agent-a")), "a"))
    assert [node.id for node in ranked(now, now.topology.node_groups[0])] == [THIRD]
    assert [decision.node for decision in decided(elect_primaries, answering(now, THIRD))] == [THIRD]  # type: ignore[union-attr]


def test_a_replica_in_reach_that_has_not_answered_is_waited_for() -> None:
    now = seeing(answering(called(mute(working(), "a")), SECOND), THIRD, link_up=False)
    assert decided(elect_primaries, now) == [LookAgain(NOW + SETTLE, "")]
    assert [decision.node for decision in decided(elect_primaries, later(now, seconds=1))] == [SECOND]  # type: ignore[union-attr]


def test_with_nobody_in_reach_nobody_is_elected() -> None:
    now = called(mute(working(), "a", "b", "c"))
    for seconds in (0, 60):
        assert decided(elect_primaries, later(now, seconds=seconds)) == []


# ---- what silence does not change


def test_a_primary_known_to_be_dead_is_replaced_whether_its_agent_is_silent_or_not() -> None:
    dead = seeing(working(), FIRST, phase=DEAD, role=None)
    for now in (dead, mute(dead, "a")):
        assert decided(call_roll, now) == [CallRoll("0001", f"{FIRST}/1", "")]
        at = answering(grouped(now, roll=1, roll_for=f"{FIRST}/1", roll_at=NOW), SECOND, THIRD, link_up=True)
        assert [decision.node for decision in decided(elect_primaries, at)] == [SECOND]  # type: ignore[union-attr]


def test_an_agent_that_is_back_before_the_election_changes_nothing() -> None:
    now = answering(called(working()), SECOND, THIRD, link_up=True)
    assert list(plan(now)) == []
    assert now.topology.node_groups[0].primary == FIRST


def test_silence_alone_starts_no_node_again() -> None:
    for zones in ("a", "b", "bc"):
        decisions = plan(called(mute(working(), *zones)))
        assert not [decision for decision in decisions if type(decision).__name__ in ("BootNode", "RemoveNode", "RebuildFormer")]


# ---- endpoints


@pytest.mark.parametrize(
    ("silent", "backends"),
    [("b", ("127.101.0.3:6379",)), ("c", ("127.101.0.2:6379",)), ("bc", ("127.101.0.1:6379",))],
    ids=["one replica", "the other", "both, so that the primary serves"],
)
def test_readers_are_led_away_from_silent_replicas(silent: str, backends: tuple[str, ...]) -> None:
    assert decided(spread_readers, mute(working(), *silent)) == [SpreadReaders(backends, "")]


def test_readers_stay_where_a_silent_primary_has_replicas_in_reach() -> None:
    assert decided(spread_readers, mute(working(), "a")) == []


def test_the_configuration_endpoint_leaves_a_silent_node_for_one_that_is_heard() -> None:
    now = sharded_at_work()
    holder = now.topology.node(now.topology.configuration_holder or "")
    assert holder is not None
    assert decided(publish_configuration, now) == []
    (decision,) = decided(publish_configuration, mute(now, holder.zone[-1]))
    assert isinstance(decision, PublishConfiguration)
    chosen = now.topology.node(decision.node)
    assert chosen is not None
    assert chosen.zone != holder.zone


def test_the_configuration_endpoint_stays_when_nobody_is_heard() -> None:
    assert decided(publish_configuration, mute(sharded_at_work(), "a", "b", "c")) == []


def _among(now: Situation) -> tuple[Any, ...]:
    (decision,) = elect_primaries(now)
    assert isinstance(decision, ElectPrimary)
    assert [candidate.node for candidate in decision.candidates] == [SECOND, THIRD]
    return decision.candidates
