"""Where nodes live: apart from their kin, where there is room, and elsewhere when their host is lost or emptied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, a_cache_cluster, a_group
from situations import (
    FIRST,
    MEMCACHED,
    SECOND,
    THIRD,
    VALKEY,
    at_work,
    decided,
    grouped,
    memcached_at_work,
    noded,
    reason,
    seeing,
    sharded_at_work,
    unplaced,
)

from controlplane.domain.hosts import Load, Room, demand_of
from controlplane.domain.reported import DEAD, SeenAgent
from controlplane.domain.topology import Handover, Leftover, Topology
from controlplane.planner.decisions import AskHandover, LookAgain, MoveNode, PlaceNode, RemoveNode, SpreadReaders
from controlplane.planner.lifecycle import bury
from controlplane.planner.nodes import retire_leaving_nodes
from controlplane.planner.placement import drain_hosts, place_missing_nodes, replace_lost_nodes
from controlplane.planner.rules import plan
from controlplane.planner.situation import Situation

GIB = 2**30
LOST = timedelta(seconds=60)
NEED = demand_of(a_group())


def a_host(name: str, zone: str = "a", **fields: object) -> SeenAgent:
    return replace(SeenAgent(name, zone, (VALKEY, MEMCACHED), host=f"host-of-{name}"), **fields)  # type: ignore[arg-type]


def in_zone(topology: Topology, letter: str) -> Topology:
    for node in topology.nodes:
        topology = topology.with_node(replace(node, zone=f"us-east-1{letter}"))
    return topology


def with_agents(now: Situation, *more: SeenAgent, **changed: object) -> Situation:
    """The same with more agents, and with agent-a changed like that."""
    agents = tuple(replace(agent, **changed) if agent.id == "agent-a" else agent for agent in now.agents)  # type: ignore[arg-type]
    return replace(now, agents=(*agents, *more))


def placed(now: Situation) -> list[str]:
    return [decision.agent for decision in place_missing_nodes(now) if isinstance(decision, PlaceNode)]


# ---- a first place


def test_nodes_of_a_group_live_on_hosts_of_their_own_while_there_are_any() -> None:
    alone = unplaced(in_zone(a_group(nodes=3, created=False), "a"), a_host("one", nodes=5), a_host("two", nodes=0))
    assert placed(alone) == ["two", "one", "two"]


def test_two_agents_of_one_host_are_one_host() -> None:
    shared = [a_host("one", host="big"), a_host("two", host="big"), a_host("three", host="small", nodes=9)]
    assert placed(unplaced(in_zone(a_group(nodes=2, created=False), "a"), *shared)) == ["one", "three"]


def test_kin_that_has_a_place_already_counts() -> None:
    now = with_agents(noded(at_work(), SECOND, placement=None, zone="us-east-1a"), a_host("agent-z", nodes=50))
    assert placed(now) == ["agent-z"]


def test_the_host_with_most_to_spare_is_chosen_by_memory_or_processors_whichever_is_scarcer() -> None:
    full = a_host("one", memory=8 * GIB, used=6 * GIB, cores=8, threads=1)
    busy = a_host("two", memory=64 * GIB, used=8 * GIB, cores=2, threads=2)
    spare = a_host("three", memory=8 * GIB, used=3 * GIB, cores=4, threads=2)
    assert placed(unplaced(in_zone(a_group(nodes=1, created=False), "a"), full, busy, spare)) == ["three"]


def test_a_host_without_room_is_left_out_and_asked_for_again() -> None:
    exact, short = a_host("one", memory=NEED.memory), a_host("two", memory=NEED.memory - 1)
    now = unplaced(in_zone(a_group(nodes=2, created=False), "a"), exact, short)
    assert decided(place_missing_nodes, now) == [PlaceNode(FIRST, "one", VALKEY, ""), LookAgain(NOW + timedelta(seconds=5), "")]


@pytest.mark.parametrize("unfit", [{"heard": False}, {"draining": True}, {"zone": "b"}])
def test_a_host_that_is_silent_draining_or_elsewhere_gets_nothing(unfit: dict[str, object]) -> None:
    assert placed(unplaced(in_zone(a_group(nodes=1, created=False), "a"), a_host("one", **unfit))) == []


def test_what_lives_on_a_host_is_counted() -> None:
    load = Load().with_one(NEED).with_one(demand_of(a_cache_cluster(node_type="cache.m6g.large")))
    assert load.nodes == 2
    assert load.memory > NEED.memory
    assert load.threads > NEED.threads


@pytest.mark.parametrize(
    ("agents", "full"),
    [
        ([], False),
        ([a_host("one", memory=1)], True),
        ([a_host("one", memory=1), a_host("two")], False),
        ([a_host("one", memory=1, heard=False)], False),
        ([a_host("one", memory=1), a_host("two", zone="b")], True),
        ([a_host("one", memory=1), a_host("two", draining=True)], True),
    ],
)
def test_a_zone_is_full_when_those_who_are_heard_have_no_room(agents: Iterable[SeenAgent], full: bool) -> None:
    assert Room(agents).is_full("us-east-1a", NEED) is full


# ---- a host is lost


def lost(now: Situation, silent_for: timedelta = LOST, **changed: object) -> Situation:
    """The host of agent-a is silent, and zone a has another."""
    return with_agents(now, a_host("agent-z"), heard=False, silent_for=silent_for, last_word="then", **changed)


def led_by_second(now: Situation) -> Situation:
    """The failover is over: the second node leads, and the first, whose host is lost, is its replica."""
    now = grouped(now, primary=SECOND, epoch=2, holder=SECOND)
    key = now.topology.key
    now = seeing(now, SECOND, role="primary", epoch=2, proven=frozenset({key(THIRD)}), holds=frozenset({now.topology.primary_address}), follows=None)
    second = now.topology.node(SECOND)
    assert second is not None and second.placement is not None
    return seeing(now, THIRD, epoch=2, follows=f"{second.placement.address}:6379")


def test_a_replica_of_a_lost_host_moves_when_the_silence_has_been_long() -> None:
    now = led_by_second(lost(at_work()))
    assert decided(replace_lost_nodes, now) == [MoveNode(FIRST, "agent-z", VALKEY, "")]
    assert reason(replace_lost_nodes, now) == "agent-a is silent for 60 s; fewest nodes there"


def test_before_that_it_is_only_looked_at_again() -> None:
    now = led_by_second(lost(at_work(), timedelta(seconds=50)))
    assert decided(replace_lost_nodes, now) == [LookAgain(NOW + timedelta(seconds=10), "")]


def test_where_nobody_else_has_room_it_waits_for_its_host() -> None:
    now = led_by_second(lost(at_work()))
    assert decided(replace_lost_nodes, replace(now, agents=now.agents[:-1])) == []


def test_a_primary_does_not_move_it_is_replaced_first() -> None:
    assert decided(replace_lost_nodes, lost(at_work())) == []
    assert decided(replace_lost_nodes, lost(at_work(), removed=True)) == []


def test_the_last_that_may_have_data_waits_for_its_host_until_that_was_removed() -> None:
    alone = lost(at_work(nodes=1))
    assert decided(replace_lost_nodes, alone) == []
    gone = lost(at_work(nodes=1), timedelta(0), removed=True)
    assert decided(replace_lost_nodes, gone) == [MoveNode(FIRST, "agent-z", VALKEY, "")]
    assert reason(replace_lost_nodes, gone) == "agent-a was removed; fewest nodes there"


def test_a_memcached_node_moves_at_once_when_its_host_was_removed() -> None:
    assert decided(replace_lost_nodes, lost(memcached_at_work(2))) == [MoveNode("0001", "agent-z", MEMCACHED, "")]


def test_a_node_does_not_move_where_it_has_left_something() -> None:
    now = led_by_second(lost(at_work()))
    left = (Leftover(FIRST, "agent-z", "127.101.0.99"),)
    assert decided(replace_lost_nodes, replace(now, topology=replace(now.topology, leftovers=left))) == []


def test_a_replica_stays_while_its_primary_does_not_serve() -> None:
    now = led_by_second(lost(at_work()))
    assert decided(replace_lost_nodes, seeing(now, SECOND, role="replica")) == []


def test_a_moved_node_is_not_counted_as_dead_and_is_not_moved_again() -> None:
    now = led_by_second(lost(at_work()))
    now = noded(now, FIRST, boot=2, placement=replace(now.topology.node(FIRST).placement, agent="agent-z"))  # type: ignore[union-attr, arg-type]
    assert [type(decision) for decision in plan(now)] == [SpreadReaders]


def test_leaving_nodes_of_a_removed_host_are_forgotten() -> None:
    now = with_agents(noded(led_by_second(at_work()), FIRST, leaving=True), heard=False, removed=True)
    assert decided(retire_leaving_nodes, now) == [RemoveNode(FIRST, "")]


@pytest.mark.parametrize(("heard", "buried"), [(True, False), (False, True)])
def test_a_deleted_topology_waits_for_what_is_left_where_somebody_can_take_it_away(heard: bool, buried: bool) -> None:
    now = with_agents(at_work(), heard=heard)
    bare = now.topology.with_group(replace(now.topology.node_groups[0], nodes=()))
    deleting = replace(bare, deleting=True, leftovers=(Leftover(FIRST, "agent-a", "127.101.0.99"),), reader_address=None)
    assert bool(decided(bury, replace(now, topology=deleting))) is buried


# ---- a host is emptied


def draining(now: Situation) -> Situation:
    return with_agents(now, a_host("agent-z"), draining=True)


def test_a_replica_leaves_a_host_that_is_drained() -> None:
    assert decided(drain_hosts, draining(led_by_second(at_work()))) == [], "not while the group is not whole"
    now = with_agents(at_work(), a_host("agent-y", "b"))
    now = replace(now, agents=tuple(replace(agent, draining=agent.id == "agent-b") for agent in now.agents))
    assert decided(drain_hosts, now) == [MoveNode(SECOND, "agent-y", VALKEY, "")]


def test_a_primary_hands_over_to_the_best_replica_elsewhere_first() -> None:
    now = seeing(draining(at_work()), THIRD, offset=2000)
    assert decided(drain_hosts, now) == [AskHandover("0001", FIRST, THIRD, "")]
    asked = grouped(now, handover=Handover(FIRST, NOW, THIRD))
    assert decided(drain_hosts, asked) == []


def test_a_primary_does_not_hand_over_to_somebody_who_leaves_as_well() -> None:
    now = draining(at_work(nodes=2))
    both = replace(now, agents=tuple(replace(agent, draining=agent.id in ("agent-a", "agent-b")) for agent in now.agents))
    assert decided(drain_hosts, replace(both, agents=(*both.agents, a_host("agent-y", "b")))) == [MoveNode(SECOND, "agent-y", VALKEY, "")]
    assert [type(decision) for decision in decided(drain_hosts, both)] == [LookAgain], "nowhere to go for the one, nobody to hand to for the other"


def test_one_node_of_a_group_leaves_at_a_time() -> None:
    now = draining(memcached_at_work(2))
    now = noded(now, "0002", zone="us-east-1a", placement=replace(now.topology.node("0002").placement, agent="agent-a"))  # type: ignore[union-attr, arg-type]
    assert decided(drain_hosts, now) == [MoveNode("0001", "agent-z", MEMCACHED, "")]
    assert decided(drain_hosts, seeing(now, "0002", phase=DEAD)) == []


def test_shards_leave_side_by_side() -> None:
    now = draining(sharded_at_work(2, 1))
    moving = decided(drain_hosts, now)
    assert {type(decision) for decision in moving} == {AskHandover}
    assert len(moving) == 2


def test_the_only_node_with_its_data_stays() -> None:
    assert decided(drain_hosts, draining(at_work(nodes=1))) == []


def test_a_drained_host_that_is_silent_is_a_lost_one() -> None:
    assert decided(drain_hosts, lost(led_by_second(at_work()), draining=True)) == []
