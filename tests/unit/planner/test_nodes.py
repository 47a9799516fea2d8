"""Where nodes live, when they start again, when they have joined, when they are forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import NOW, a_cache_cluster, a_group
from situations import (
    AGENTS,
    FIRST,
    MEMCACHED,
    PRIMARY_ADDRESS,
    SECOND,
    THIRD,
    VALKEY,
    at_work,
    decided,
    desiring,
    grouped,
    later,
    memcached_at_work,
    noded,
    reason,
    seeing,
    silent,
    unplaced,
)

from controlplane.domain.reported import DEAD, FAILED, GONE, RUNNING, STARTING, SeenAgent
from controlplane.domain.topology import Binary, Restart, Topology
from controlplane.planner.decisions import BootNode, CloseRestart, Decision, LookAgain, NoteOutOfMemory, PlaceNode, RemoveNode, WelcomeNode
from controlplane.planner.nodes import close_restarts, note_out_of_memory, retire_leaving_nodes, start_dead_nodes, welcome_nodes
from controlplane.planner.placement import place_missing_nodes
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy, Situation

NEW = a_group(created=False)


def places(now: Situation) -> dict[str, str]:
    """Which agent each node is placed on."""
    found = decided(place_missing_nodes, now)
    return {decision.node: decision.agent for decision in found if isinstance(decision, PlaceNode)}


def moved(topology: Topology, zone: str) -> Topology:
    """All nodes are desired in one zone."""
    for node in list(topology.nodes):
        topology = topology.with_node(replace(node, zone=f"us-east-1{zone}"))
    return topology


def failing(boot: int = 1, node: str = SECOND, *, created: bool = True, **seen: Any) -> Situation:
    """A node whose start number ``boot`` failed just now."""
    now = seeing(noded(at_work(), node, boot=boot, joined_at=NOW if created else None), node, phase=FAILED, boot=boot, **seen)
    return replace(desiring(now, announced_at=NOW if created else None), seen_at={node: NOW})


# ---- placement


def test_every_node_is_placed_in_its_zone() -> None:
    assert places(unplaced(NEW)) == {FIRST: "agent-a", SECOND: "agent-b", THIRD: "agent-c"}


def test_a_placed_node_stays_where_it_is() -> None:
    assert places(at_work()) == {}
    assert places(seeing(at_work(), SECOND, phase=DEAD)) == {}


def test_a_node_waits_for_an_agent_in_its_zone() -> None:
    assert places(unplaced(NEW, AGENTS[0], AGENTS[2])) == {FIRST: "agent-a", THIRD: "agent-c"}


def test_an_agent_that_is_not_heard_gets_nothing() -> None:
    assert places(unplaced(NEW, *(replace(agent, heard=agent.id != "agent-b") for agent in AGENTS))) == {
        FIRST: "agent-a",
        THIRD: "agent-c",
    }


@pytest.mark.parametrize(
    ("loads", "agents"),
    [
        ({"one": 0, "two": 0}, ["one", "two", "one"]),  # each node placed counts for the next
        ({"one": 5, "two": 0}, ["two", "one", "two"]),
        ({"one": 1, "two": 0}, ["two", "one", "two"]),
    ],
)
def test_in_a_zone_who_has_fewest_nodes_is_chosen(loads: dict[str, int], agents: list[str]) -> None:
    hosts = [SeenAgent(name, "a", (VALKEY,), nodes) for name, nodes in loads.items()]
    assert list(places(unplaced(moved(NEW, "a"), *hosts)).values()) == agents


def test_a_program_must_fit() -> None:
    without = SeenAgent("agent-1", "a", (MEMCACHED,))
    old = SeenAgent("agent-2", "a", (replace(VALKEY, version="8.1.0"),))
    fits = SeenAgent("agent-3", "a", (VALKEY,), nodes=9)
    assert set(places(unplaced(moved(NEW, "a"), without, old, fits)).values()) == {"agent-3"}
    assert places(unplaced(moved(NEW, "a"), without, old)) == {}


def test_the_best_program_of_the_agent_is_chosen() -> None:
    newer, older = Binary("valkey", "9.2.0", "/opt/newer"), Binary("valkey", "9.0.0", "/opt/older")
    now = unplaced(a_group(nodes=1, created=False), SeenAgent("agent-a", "a", (newer, older, VALKEY)))
    assert decided(place_missing_nodes, now) == [PlaceNode(FIRST, "agent-a", VALKEY, "")]
    assert reason(place_missing_nodes, now) == "zone us-east-1a, fewest nodes there"


def test_a_leaving_node_is_not_placed() -> None:
    assert places(noded(unplaced(NEW), SECOND, leaving=True)) == {FIRST: "agent-a", THIRD: "agent-c"}


# ---- an address that turned out taken


def expelled(boot: int = 1, node: str = SECOND, **fields: Any) -> Situation:
    """A foreign process listens where the node should."""
    return failing(boot, node, address_taken=True, **fields)


@pytest.mark.parametrize("phase", [FAILED, DEAD])
def test_a_node_whose_address_is_taken_gets_another_and_is_not_just_started_again(phase: str) -> None:
    now = seeing(expelled(), SECOND, phase=phase)
    assert decided(place_missing_nodes, now) == [PlaceNode(SECOND, "agent-b", VALKEY, "")]
    assert decided(start_dead_nodes, now) == []


def test_what_was_said_of_an_earlier_place_does_not_count() -> None:
    assert decided(place_missing_nodes, noded(expelled(), SECOND, boot=2)) == []


def test_where_every_address_is_taken_the_tries_have_pauses_and_an_end() -> None:
    assert decided(place_missing_nodes, expelled(boot=3)) != []
    assert decided(place_missing_nodes, expelled(boot=4)) == []
    assert decided(start_dead_nodes, expelled(boot=4)) == [LookAgain(NOW + timedelta(seconds=8), "")]
    assert decided(place_missing_nodes, later(expelled(boot=4), seconds=8)) == [PlaceNode(SECOND, "agent-b", VALKEY, "")]
    assert decided(place_missing_nodes, expelled(boot=3, created=False)) != []
    given_up = later(expelled(boot=4, created=False), days=1)
    assert decided(place_missing_nodes, given_up) == decided(start_dead_nodes, given_up) == []


def test_a_primary_is_not_moved_away_from_data_that_a_replica_has() -> None:
    now = expelled(node=FIRST)
    assert decided(place_missing_nodes, now) == []
    called = grouped(now, roll=1, roll_for=f"{FIRST}/1", roll_at=NOW)
    assert decided(place_missing_nodes, called) == []
    for node in (SECOND, THIRD):
        called = seeing(called, node, roll=1, offset=0)
    assert decided(place_missing_nodes, called) == [PlaceNode(FIRST, "agent-a", VALKEY, "")]
    assert decided(place_missing_nodes, seeing(called, THIRD, offset=1)) == []


# ---- started again


def boots(*nodes: tuple[str, int]) -> list[Decision]:
    return [BootNode(node, boot, "") for node, boot in nodes]


def test_a_dead_replica_is_started_again_at_once() -> None:
    now = seeing(at_work(), SECOND, phase=DEAD, problem="its process ended: Killed")
    assert decided(start_dead_nodes, now) == boots((SECOND, 2))
    assert reason(start_dead_nodes, now) == "its process ended: Killed"
    assert reason(start_dead_nodes, seeing(now, SECOND, problem=None)) == "its process ended"


@pytest.mark.parametrize(("phase", "boot"), [(RUNNING, 1), (STARTING, 1), (DEAD, 0), (FAILED, 0)])
def test_nothing_is_started_that_lives_or_is_still_to_start(phase: str, boot: int) -> None:
    assert decided(start_dead_nodes, seeing(at_work(), SECOND, phase=phase, boot=boot)) == []


def test_what_nobody_has_seen_is_not_started_again() -> None:
    assert decided(start_dead_nodes, silent(at_work(), SECOND)) == []


def test_a_leaving_node_is_not_started_again() -> None:
    assert decided(start_dead_nodes, noded(seeing(at_work(), SECOND, phase=DEAD), SECOND, leaving=True)) == []


def test_while_deleting_only_a_retained_node_is_started_again() -> None:
    dead = seeing(at_work(), FIRST, phase=DEAD)
    assert decided(start_dead_nodes, replace(dead, topology=dead.topology.with_deletion())) == []
    assert decided(start_dead_nodes, replace(dead, topology=dead.topology.with_deletion(FIRST))) == boots((FIRST, 2))


def test_memcached_nodes_start_again_each_for_itself() -> None:
    now = seeing(seeing(memcached_at_work(3), "0001", phase=DEAD), "0003", phase=DEAD)
    assert decided(start_dead_nodes, now) == boots(("0001", 2), ("0003", 2))


def test_a_lost_primary_waits_for_its_replicas() -> None:
    lost = seeing(at_work(), FIRST, phase=DEAD)
    assert decided(start_dead_nodes, lost) == []
    called = grouped(lost, roll=1, roll_for=f"{FIRST}/1", roll_at=NOW)
    assert decided(start_dead_nodes, called) == []  # one of them will be elected
    unsure = seeing(seeing(called, SECOND, offset=0), THIRD, offset=0)
    assert decided(start_dead_nodes, unsure) == [LookAgain(NOW + Policy().last_resort, "")]
    assert reason(start_dead_nodes, unsure) == f"a replica may have the data of {FIRST}"
    empty = seeing(seeing(unsure, SECOND, roll=1), THIRD, roll=1)
    assert decided(start_dead_nodes, empty) == boots((FIRST, 2))
    assert reason(start_dead_nodes, empty) == "its process ended; no living replica has its data"


def test_the_roll_of_an_earlier_loss_is_nothing_to_wait_for() -> None:
    now = grouped(seeing(at_work(2), FIRST, phase=DEAD), roll=1, roll_for=f"{FIRST}/0", roll_at=NOW)
    now = seeing(now, SECOND, offset=0)
    assert decided(start_dead_nodes, later(now, days=1)) == []  # a pass at a time that has come would be followed by another at once


def test_a_primary_alone_is_started_again_at_once() -> None:
    assert decided(start_dead_nodes, seeing(at_work(1), FIRST, phase=DEAD)) == boots((FIRST, 2))


def test_a_former_primary_is_a_replica_like_any_other() -> None:
    assert decided(start_dead_nodes, replaced()) == boots((FIRST, 2))


def test_a_dead_replica_waits_for_a_primary_that_does_not_serve_yet_but_not_for_long() -> None:
    for missing in ({"role": "replica"}, {"epoch": 1}, {"holds": frozenset()}):
        now = replace(seeing(replaced(), SECOND, **missing), seen_at={FIRST: NOW})
        assert decided(start_dead_nodes, now) == [LookAgain(NOW + Policy().settle, "")]
        assert reason(start_dead_nodes, now) == f"the primary of {FIRST} does not serve yet"
        assert decided(start_dead_nodes, later(now, seconds=Policy().settle.total_seconds())) == boots((FIRST, 2))
    unpublished = grouped(seeing(replaced(), SECOND, holds=frozenset()), holder=None, home=FIRST)  # who only stands in serves nobody
    assert decided(start_dead_nodes, unpublished) == boots((FIRST, 2))


def replaced() -> Situation:
    """The first node is dead; the second one is primary in its place, and serves."""
    now = grouped(seeing(at_work(), FIRST, phase=DEAD, holds=frozenset()), primary=SECOND, epoch=2, holder=SECOND)
    return seeing(now, SECOND, role="primary", epoch=2, follows=None, holds=frozenset({PRIMARY_ADDRESS}))


# ---- pauses, and giving up


@pytest.mark.parametrize(("boot", "pause"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (500, 30)])
def test_pauses_double_up_to_the_longest(boot: int, pause: float) -> None:
    due = timedelta(seconds=pause)
    assert decided(start_dead_nodes, failing(boot)) == [LookAgain(NOW + due, "")]
    assert decided(start_dead_nodes, later(failing(boot), seconds=pause - 0.001)) == [LookAgain(NOW + due, "")]
    assert decided(start_dead_nodes, later(failing(boot), seconds=pause)) == boots((SECOND, boot + 1))


def test_what_had_come_up_is_started_again_without_a_pause() -> None:
    assert decided(start_dead_nodes, seeing(failing(5), SECOND, phase=DEAD)) == boots((SECOND, 6))


@pytest.mark.parametrize(("boot", "tried_again"), [(1, True), (3, True), (4, False), (5, False)])
def test_a_node_of_a_topology_being_created_is_given_up_after_most_boots(boot: int, tried_again: bool) -> None:
    now = later(failing(boot, created=False), days=1)
    assert bool(decided(start_dead_nodes, now)) is tried_again


def test_a_node_that_had_joined_is_never_given_up() -> None:
    assert decided(start_dead_nodes, later(failing(40), days=1)) == boots((SECOND, 41))


def test_a_node_added_later_is_not_given_up() -> None:
    added = noded(later(failing(9), days=1), SECOND, joined_at=None)
    assert decided(start_dead_nodes, added) == boots((SECOND, 10))


# ---- joined, back again, forgotten


def test_a_node_has_joined_once_it_does_its_duty() -> None:
    now = noded(at_work(), SECOND, joined_at=None)
    assert decided(welcome_nodes, now) == [WelcomeNode(SECOND, "")]
    assert decided(welcome_nodes, seeing(now, SECOND, link_up=False)) == []
    assert decided(welcome_nodes, seeing(now, FIRST, proven=frozenset())) == []
    assert decided(welcome_nodes, noded(now, SECOND, leaving=True)) == []
    assert decided(welcome_nodes, at_work()) == []


@pytest.mark.parametrize(("restart", "why"), [(Restart.ASKED, "rebooted, boot 2"), (Restart.RECOVERY, "recovered, boot 2")])
def test_a_restart_is_over_once_the_node_does_its_duty(restart: Restart, why: str) -> None:
    desired = noded(at_work(), SECOND, restart=restart, boot=2)
    assert decided(close_restarts, desired) == []
    back = seeing(desired, SECOND, boot=2)
    assert decided(close_restarts, back) == [CloseRestart(SECOND, "")]
    assert reason(close_restarts, back) == why
    assert decided(close_restarts, seeing(back, SECOND, role="primary")) == []
    assert decided(close_restarts, at_work()) == []


def test_a_leaving_node_is_forgotten_once_nothing_of_it_is_left() -> None:
    leaving = noded(at_work(), SECOND, leaving=True)
    assert decided(retire_leaving_nodes, leaving) == []
    assert decided(retire_leaving_nodes, seeing(leaving, SECOND, phase=DEAD)) == []
    assert decided(retire_leaving_nodes, silent(leaving, SECOND)) == []
    assert decided(retire_leaving_nodes, seeing(leaving, SECOND, phase=GONE)) == [RemoveNode(SECOND, "")]
    assert decided(retire_leaving_nodes, noded(silent(leaving, SECOND), SECOND, placement=None)) == [RemoveNode(SECOND, "")]
    assert decided(retire_leaving_nodes, seeing(at_work(), SECOND, phase=GONE)) == []


def test_the_first_pass_over_a_new_topology_only_gives_places() -> None:
    assert {type(decision).__name__ for decision in plan(unplaced(NEW))} == {"PlaceNode", "GiveEndpoints"}
    assert {type(decision).__name__ for decision in plan(unplaced(a_cache_cluster(created=False)))} == {"PlaceNode", "GiveEndpoints"}


# ---- want of memory


def test_each_boot_that_ended_for_want_of_memory_is_noted_once() -> None:
    now = seeing(at_work(), SECOND, out_of_memory=1)
    assert decided(note_out_of_memory, now) == [NoteOutOfMemory(SECOND, 1, "")]
    assert reason(note_out_of_memory, now) == "boot 1 reached its container's memory limit"
    assert decided(note_out_of_memory, noded(now, SECOND, told_out_of_memory=1)) == []
    assert decided(note_out_of_memory, noded(at_work(), SECOND, told_out_of_memory=1)) == []
    again = noded(seeing(at_work(), SECOND, out_of_memory=4), SECOND, told_out_of_memory=1)
    assert decided(note_out_of_memory, again) == [NoteOutOfMemory(SECOND, 4, "")]
