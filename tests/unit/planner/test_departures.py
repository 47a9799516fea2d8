"""In which order a replica leaves: first the readers, then the node."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from situations import (
    SECOND,
    THIRD,
    address_of,
    at_work,
    decided,
    desiring,
    failover,
    later,
    named,
    noded,
    reason,
    routed,
    seeing,
    sharded_at_work,
)

from controlplane.domain.reported import DEAD, GONE, SeenRoute
from controlplane.domain.topology import ClusterMode
from controlplane.planner.decisions import Announce, CloseModification, ElectPrimary, LookAgain, RemoveNode, SpreadReaders, StopNode
from controlplane.planner.departures import stop_leaving_nodes
from controlplane.planner.endpoints import spread_readers
from controlplane.planner.lifecycle import announce, close_modification
from controlplane.planner.nodes import retire_leaving_nodes
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy, Situation
from controlplane.reconciler.sentences import sentences

WITHIN = Policy().led_away_within
WORKS = at_work()
ONE, TWO = (f"{address_of(WORKS.topology, node)}:6379" for node in (SECOND, THIRD))
LEAVING = desiring(noded(WORKS, THIRD, leaving=True, left_at=WORKS.now), modifying=True, replicas_from=2)
UNSPREAD = desiring(LEAVING, reader_backends=(ONE,))
LED_AWAY = routed(UNSPREAD, SeenRoute(True, (ONE,)))


def test_a_leaving_replica_leaves_the_reader_endpoint_at_once() -> None:
    assert decided(spread_readers, LEAVING) == [SpreadReaders((ONE,), "")]
    assert [type(decision) for decision in plan(LEAVING)] == [SpreadReaders, LookAgain]


@pytest.mark.parametrize("now", [LEAVING, UNSPREAD, routed(LEAVING, SeenRoute(True, (ONE,)))], ids=["spread", "not told", "not decided"])
def test_it_runs_on_while_readers_may_be_led_to_it(now: Situation) -> None:
    assert decided(stop_leaving_nodes, now) == [LookAgain(now.now + WITHIN, "")]
    almost = replace(now, now=now.now + WITHIN - timedelta(milliseconds=1))
    assert decided(stop_leaving_nodes, almost) == [LookAgain(now.now + WITHIN, "")]


def test_it_is_stopped_once_the_relay_was_seen_to_spread_without_it() -> None:
    assert decided(stop_leaving_nodes, LED_AWAY) == [StopNode(THIRD, "")]
    assert reason(stop_leaving_nodes, LED_AWAY) == "no reader is led to it"
    assert decided(stop_leaving_nodes, noded(LED_AWAY, THIRD, stopping=True)) == []
    assert decided(stop_leaving_nodes, routed(UNSPREAD, None)) == [StopNode(THIRD, "")], "no relay has ever served the endpoint"


def test_a_relay_that_is_out_of_touch_does_not_hold_it_for_ever() -> None:
    due = replace(UNSPREAD, now=UNSPREAD.now + WITHIN)
    assert decided(stop_leaving_nodes, due) == [StopNode(THIRD, "")]
    assert reason(stop_leaving_nodes, due) == "readers were not seen led away from it within 10 s"
    assert decided(stop_leaving_nodes, noded(UNSPREAD, THIRD, left_at=None)) == [StopNode(THIRD, "")], "nobody knows since when it leaves"


def test_a_name_needs_no_relay_to_lead_readers_away() -> None:
    assert decided(stop_leaving_nodes, named(LEAVING)) == [LookAgain(LEAVING.now + WITHIN, "")]
    assert decided(stop_leaving_nodes, named(UNSPREAD)) == [StopNode(THIRD, "")]


@pytest.mark.parametrize(
    "now",
    [
        WORKS,
        desiring(LED_AWAY, deleting=True),
        noded(sharded_at_work(), "orders-0001-002", leaving=True),
    ],
    ids=["nobody leaves", "all of it leaves", "there is no reader endpoint"],
)
def test_who_is_not_held_needs_no_stop(now: Situation) -> None:
    assert decided(stop_leaving_nodes, now) == []


def test_a_compatible_group_leads_readers_away_as_well() -> None:
    now = sharded_at_work(shards=1, replicas=2, cluster_mode=ClusterMode.COMPATIBLE, primary_address="127.100.0.1")
    last = "orders-0001-003"
    backend = f"{address_of(now.topology, last)}:6379"
    now = desiring(noded(now, last, leaving=True, left_at=now.now), reader_backends=(backend,))
    assert decided(stop_leaving_nodes, now) == [LookAgain(now.now + WITHIN, "")]
    assert decided(stop_leaving_nodes, desiring(now, reader_backends=())) == [StopNode(last, "")]


def test_a_leaving_replica_is_never_elected_nor_waited_for() -> None:
    lost = failover(seeing(LEAVING, "orders-001", phase=DEAD), automatic=True)
    called = replace(lost, topology=lost.topology.with_group(replace(lost.topology.node_groups[0], roll=1, roll_for="orders-001/1", roll_at=lost.now)))
    now = seeing(seeing(called, SECOND, roll=1, offset=1), THIRD, roll=0, offset=10**6)
    elected = [decision for decision in plan(now) if isinstance(decision, ElectPrimary)]
    assert [(decision.node, [each.node for each in decision.candidates]) for decision in elected] == [(SECOND, [SECOND])]


def test_a_leaving_replica_that_dies_is_not_started_again_and_goes_all_the_same() -> None:
    dead = seeing(LED_AWAY, THIRD, phase=DEAD)
    assert [type(decision) for decision in plan(dead)] == [StopNode]
    gone = seeing(noded(LED_AWAY, THIRD, stopping=True), THIRD, phase=GONE)
    assert decided(retire_leaving_nodes, gone) == [RemoveNode(THIRD, "")]


# ---- the change as a whole


def test_the_change_is_over_when_who_leaves_has_gone_and_who_joins_does_its_duty() -> None:
    assert decided(close_modification, LED_AWAY) == []
    assert decided(close_modification, noded(desiring(WORKS, modifying=True), THIRD, joined_at=None)) == []
    assert decided(close_modification, desiring(WORKS, modifying=True)) == [CloseModification("")]
    assert decided(announce, LED_AWAY) == []


@pytest.mark.parametrize(
    ("before", "messages"),
    [
        (None, []),
        (1, ["Finished increasing number of replicas from 1 to 2"]),
        (5, ["Finished decreasing number of replicas from 5 to 2"]),
    ],
)
def test_it_is_said_when_the_number_has_changed(before: int | None, messages: list[str]) -> None:
    topology = desiring(WORKS, modifying=True, replicas_from=before).topology
    assert list(sentences(topology, CloseModification("why"))) == [("replication-group", "orders", message) for message in messages]
    assert list(sentences(topology, Announce("why"))) == [("replication-group", "orders", "Replication group orders created")]


def test_a_pass_after_the_bound_stops_it_and_asks_for_no_other_look() -> None:
    assert [type(decision) for decision in plan(later(UNSPREAD, seconds=11))] == [StopNode]
