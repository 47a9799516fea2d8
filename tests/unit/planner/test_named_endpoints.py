"""Rules about endpoints that are names: nothing is drawn, nothing is waited for that only addresses have, all else is as ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import a_cache_cluster, a_group, a_sharded_group
from situations import (
    FIRST,
    SECOND,
    THIRD,
    address_of,
    agreeing,
    at_work,
    decided,
    desiring,
    grouped,
    memcached_at_work,
    named,
    seeing,
    sharded_at_work,
    unplaced,
)

from controlplane.domain.reported import DEAD, holds_configuration, holds_endpoint, serves_discovery
from controlplane.domain.topology import Endpoints, Topology
from controlplane.planner.decisions import Announce, Bury, ElectPrimary, GiveEndpoints, PublishPrimary, Release, SpreadReaders
from controlplane.planner.endpoints import give_endpoints, publish_configuration, publish_primary, spread_readers
from controlplane.planner.lifecycle import announce, bury
from controlplane.planner.outcome import Addresses, after
from controlplane.planner.primaries import serves
from controlplane.planner.rules import plan
from controlplane.planner.situation import Situation
from controlplane.reconciler.specs import node_specs, reader_route

GROUP, SHARDS, SESSIONS = named(at_work()), named(agreeing(sharded_at_work())), named(memcached_at_work())


@pytest.mark.parametrize("now", [GROUP, SHARDS, SESSIONS], ids=["group", "shards", "memcached"])
def test_what_works_needs_nothing(now: Situation) -> None:
    assert plan(now) == []


@pytest.mark.parametrize("topology", [a_group(created=False), a_sharded_group(created=False), a_cache_cluster(created=False)])
def test_no_address_is_drawn_and_no_relay_is_asked_for(topology: Topology) -> None:
    now = unplaced(replace(topology, endpoints=Endpoints.NAMED))
    assert decided(give_endpoints, now) == []
    assert not any(isinstance(decision, GiveEndpoints) for decision in plan(now))
    assert now.topology.is_addressed
    assert not now.topology.is_spread


def test_a_stand_alone_redis_has_nothing_to_publish() -> None:
    now = unplaced(a_cache_cluster("alone", engine="redis", endpoints=Endpoints.NAMED))
    assert (decided(publish_primary, now), decided(spread_readers, now)) == ([], [])


def test_the_primary_is_published_once_it_reports_the_role() -> None:
    now = grouped(GROUP, primary=SECOND, epoch=2, holder=None)
    assert decided(publish_primary, now) == []
    assert decided(publish_primary, seeing(now, SECOND, role="primary", epoch=2)) == [PublishPrimary("0001", SECOND, "")]


def test_an_election_publishes_the_elected() -> None:
    changed = after(GROUP.topology, ElectPrimary("0001", SECOND, 2, None, "lost"), GROUP.now, Addresses())
    assert changed is not None
    assert changed.node_groups[0].holder == SECOND
    standing_in = after(GROUP.topology, ElectPrimary("0001", SECOND, 2, FIRST, "lost"), GROUP.now, Addresses())
    assert standing_in is not None
    assert standing_in.node_groups[0].holder is None


def test_the_endpoint_leads_once_the_holder_reports_and_binds_nothing() -> None:
    (group,) = GROUP.topology.node_groups
    assert holds_endpoint(GROUP.topology, group, GROUP.reported)
    assert serves(GROUP, group)
    for now in (seeing(GROUP, FIRST, role="replica"), seeing(GROUP, FIRST, epoch=0), grouped(GROUP, holder=SECOND)):
        assert not holds_endpoint(now.topology, now.topology.node_groups[0], now.reported)


def test_readers_are_spread_over_names_as_over_a_relay() -> None:
    third = f"{address_of(GROUP.topology, THIRD)}:6379"
    assert decided(spread_readers, seeing(GROUP, SECOND, phase=DEAD)) == [SpreadReaders((third,), "")]


def test_nobody_need_hold_the_configuration() -> None:
    assert decided(publish_configuration, SHARDS) == []
    assert holds_configuration(SHARDS.topology, SHARDS.reported)
    dead = SHARDS
    for node in SHARDS.topology.nodes:
        dead = seeing(dead, node.id, phase=DEAD)
    assert not holds_configuration(dead.topology, dead.reported)


def test_discovery_needs_no_relay_but_every_node() -> None:
    assert serves_discovery(SESSIONS.topology, SESSIONS.reported)
    older = seeing(SESSIONS, "0001", discovery=2)
    assert not serves_discovery(older.topology, older.reported)


@pytest.mark.parametrize("now", [GROUP, SHARDS, SESSIONS], ids=["group", "shards", "memcached"])
def test_a_topology_is_announced_once_its_names_lead(now: Situation) -> None:
    new = desiring(now, announced_at=None)
    assert decided(announce, new) == [Announce("")]


def test_a_group_is_not_announced_before_readers_are_spread_or_the_primary_is_published() -> None:
    new = desiring(GROUP, announced_at=None)
    assert decided(announce, desiring(new, reader_backends=())) == []
    assert decided(announce, grouped(new, holder=None)) == []


def test_agents_are_told_that_clients_come_by_name_and_of_no_route() -> None:
    assert {spec.named for _, spec in node_specs(GROUP.topology)} == {True}
    assert [spec.holds for _, spec in node_specs(GROUP.topology)] == [[]] * 3
    assert reader_route(GROUP.topology) is None
    assert reader_route(SESSIONS.topology) is None
    assert {spec.named for _, spec in node_specs(at_work().topology)} == {False}
    assert {spec.named for _, spec in node_specs(SHARDS.topology)} == {False}, "the bus tells clients who leads"


def test_a_deleted_group_waits_for_no_route_and_its_retained_node_is_released_at_once() -> None:
    emptied = grouped(desiring(GROUP, deleting=True), nodes=())
    assert decided(bury, emptied) == [Bury("")]
    (group,) = GROUP.topology.node_groups
    kept = grouped(desiring(GROUP, deleting=True, retained=FIRST), nodes=group.nodes[:1])
    assert decided(bury, kept) == [Release(FIRST, "")]
    released = after(kept.topology, Release(FIRST, "gone"), kept.now, Addresses())
    assert released is not None
    assert released.is_named
