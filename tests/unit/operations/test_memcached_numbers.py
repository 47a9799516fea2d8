"""ModifyCacheCluster: how the number of Memcached nodes is asked to change, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import WORLD, a_cache_cluster, an_agent, have

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster, DeleteCacheCluster, ModifyCacheCluster
from api_schemas.faults import (
    Fault,
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeQuotaForClusterExceeded,
)
from controlplane.domain.resizing import Discovery, Resizing
from controlplane.domain.settings import Settings
from controlplane.domain.topology import MemcachedDiscovery, Topology
from controlplane.operations.cache_clusters import create_cache_cluster, delete_cache_cluster, modify_cache_cluster
from controlplane.operations.context import Context

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
MEMCACHED = EngineBinary(engine="memcached", version="1.6.18", path="/usr/bin/memcached")


@pytest.fixture
def three(ctx: Context) -> Context:
    """Three nodes, one in each zone."""
    for zone in (A, B, C):
        ctx.unit.agents.put(an_agent(f"agent-{zone[-1]}", zone).model_copy(update={"engines": [MEMCACHED]}))
    have(ctx, a_cache_cluster(nodes=3, settings=Settings(cross_az=True), discovery=Discovery(1, ("0001", "0002", "0003"))))
    return ctx


def ask(ctx: Context, **asked: Any) -> Any:
    return modify_cache_cluster(ctx, ModifyCacheCluster(cache_cluster_id="sessions", **asked)).cache_cluster


def sessions(ctx: Context) -> Topology:
    found, _ = ctx.cache_cluster("sessions")
    return found


def nodes(ctx: Context) -> dict[str, str]:
    return {node.id: f"{node.zone[-1]}{' leaving' * node.leaving}" for node in sessions(ctx).nodes}


def said(ctx: Context) -> list[str]:
    return [event.message for event in ctx.unit.events.said]


def test_nodes_are_added_at_once_in_the_emptiest_zones(three: Context) -> None:
    shown = ask(three, num_cache_nodes=5, apply_immediately=True)
    assert nodes(three) == {"0001": "a", "0002": "b", "0003": "c", "0004": "a", "0005": "b"}
    assert (shown.cache_cluster_status, shown.num_cache_nodes) == ("modifying", 5)
    assert said(three) == ["Increasing number of requested nodes"]
    assert (sessions(three).grown_from, sessions(three).pending) == (3, None)


def test_nodes_are_added_in_the_zones_asked_for(three: Context) -> None:
    ask(three, num_cache_nodes=5, new_availability_zones=[C, C], apply_immediately=True)
    assert nodes(three) == {"0001": "a", "0002": "b", "0003": "c", "0004": "c", "0005": "c"}


def test_in_a_single_zone_new_nodes_join_the_others(three: Context) -> None:
    have(three, a_cache_cluster("alone", nodes=1))
    modify_cache_cluster(three, ModifyCacheCluster(cache_cluster_id="alone", num_cache_nodes=3, apply_immediately=True))
    found, _ = three.cache_cluster("alone")
    assert [node.zone for node in found.nodes] == [A, A, A]


def test_a_single_zone_becomes_several(three: Context) -> None:
    have(three, a_cache_cluster("alone", nodes=1))
    call = {"cache_cluster_id": "alone", "num_cache_nodes": 2, "new_availability_zones": [B], "apply_immediately": True}
    with pytest.raises(InvalidParameterCombination, match="cross-az"):
        modify_cache_cluster(three, ModifyCacheCluster(**call))
    modify_cache_cluster(three, ModifyCacheCluster(**call, az_mode="cross-az"))
    found, _ = three.cache_cluster("alone")
    assert ([node.zone for node in found.nodes], found.settings.cross_az) == ([A, B], True)


def test_nodes_are_removed_at_once(three: Context) -> None:
    shown = ask(three, num_cache_nodes=2, cache_node_ids_to_remove=["0002"], apply_immediately=True)
    assert nodes(three) == {"0001": "a", "0002": "b leaving", "0003": "c"}
    assert (shown.cache_cluster_status, shown.num_cache_nodes) == ("modifying", 2)
    assert said(three) == ["Decreasing number of requested nodes"]


def test_new_nodes_take_the_numbers_after_the_highest(ctx: Context, three: Context) -> None:
    topology = sessions(three)
    group = topology.node_groups[0]
    three.unit.topologies.save(topology.with_group(replace(group, nodes=(group.nodes[0], group.nodes[2]))))
    ask(three, num_cache_nodes=3, apply_immediately=True)
    assert list(nodes(three)) == ["0001", "0003", "0004"]


# ---- for the maintenance window


def pending(ctx: Context, **asked: Any) -> tuple[int | None, list[str] | None]:
    shown = ask(ctx, **asked)
    assert shown.cache_cluster_status == "available"
    return shown.pending_modified_values.num_cache_nodes, shown.pending_modified_values.cache_node_ids_to_remove


def test_without_apply_immediately_it_waits(three: Context) -> None:
    assert pending(three, num_cache_nodes=5) == (5, None)
    assert nodes(three) == {"0001": "a", "0002": "b", "0003": "c"}
    assert said(three) == []


def test_a_later_removal_replaces_the_former(three: Context) -> None:
    assert pending(three, num_cache_nodes=2, cache_node_ids_to_remove=["0002"]) == (2, ["0002"])
    assert pending(three, num_cache_nodes=1, cache_node_ids_to_remove=["0003", "0001"]) == (1, ["0001", "0003"])
    assert pending(three, num_cache_nodes=4) == (4, None)


def test_a_later_addition_is_added_to_the_former(three: Context) -> None:
    assert pending(three, num_cache_nodes=5, new_availability_zones=[C, C]) == (5, None)
    assert pending(three, num_cache_nodes=6, new_availability_zones=[B]) == (6, None)
    assert sessions(three).pending == Resizing((("0004", C), ("0005", C), ("0006", B)))
    ask(three, num_cache_nodes=7, new_availability_zones=[A], apply_immediately=True)
    assert nodes(three) == {"0001": "a", "0002": "b", "0003": "c", "0004": "c", "0005": "c", "0006": "b", "0007": "a"}


def test_of_pending_nodes_some_can_be_taken_back(three: Context) -> None:
    pending(three, num_cache_nodes=7)
    with pytest.raises(InvalidParameterCombination, match="2 to remove"):
        ask(three, num_cache_nodes=5, cache_node_ids_to_remove=["0007"])
    assert pending(three, num_cache_nodes=5, cache_node_ids_to_remove=["0007", "0001"]) == (5, ["0001"])
    assert sessions(three).pending == Resizing((("0004", A), ("0005", B), ("0006", C)), ("0001",))


def test_the_present_number_cancels_what_is_pending(three: Context) -> None:
    pending(three, num_cache_nodes=5)
    assert pending(three, num_cache_nodes=3) == (None, None)
    with pytest.raises(InvalidParameterCombination, match="No modifications were requested"):
        ask(three, num_cache_nodes=3)


def test_any_immediate_change_flushes_what_is_pending(three: Context) -> None:
    pending(three, num_cache_nodes=2, cache_node_ids_to_remove=["0003"])
    ask(three, preferred_maintenance_window="mon:01:00-mon:02:00")
    assert sessions(three).pending == Resizing(removed=("0003",))
    three.unit.topologies.save(replace(sessions(three), modifying=False))
    ask(three, preferred_maintenance_window="mon:02:00-mon:03:00", apply_immediately=True)
    assert nodes(three) == {"0001": "a", "0002": "b", "0003": "c leaving"}
    assert sessions(three).pending is None


# ---- refused

REFUSED: list[tuple[dict[str, Any], type[Fault], str]] = [
    ({"num_cache_nodes": 2}, InvalidParameterCombination, "must name the 1 nodes to remove"),
    ({"num_cache_nodes": 1, "cache_node_ids_to_remove": ["0001"]}, InvalidParameterCombination, "from 3 to 1 there are 2"),
    ({"num_cache_nodes": 2, "cache_node_ids_to_remove": ["0001", "0002"]}, InvalidParameterCombination, "from 3 to 2 there are 1"),
    ({"num_cache_nodes": 1, "cache_node_ids_to_remove": ["0001", "0001"]}, InvalidParameterCombination, "names 1 nodes"),
    ({"num_cache_nodes": 2, "cache_node_ids_to_remove": ["0009"]}, InvalidParameterValue, "0009"),
    ({"cache_node_ids_to_remove": ["0001"]}, InvalidParameterCombination, "needs NumCacheNodes"),
    ({"num_cache_nodes": 3, "cache_node_ids_to_remove": ["0001"]}, InvalidParameterCombination, "none is added or removed"),
    ({"num_cache_nodes": 4, "cache_node_ids_to_remove": ["0001"]}, InvalidParameterCombination, "4 is more than 3"),
    ({"num_cache_nodes": 2, "cache_node_ids_to_remove": ["0001"], "new_availability_zones": [A]}, InvalidParameterCombination, "2 is less than 3"),
    ({"new_availability_zones": [A]}, InvalidParameterCombination, "needs NumCacheNodes"),
    ({"num_cache_nodes": 5, "new_availability_zones": [A]}, InvalidParameterValue, "1 availability zones were given for 2"),
    ({"num_cache_nodes": 4, "new_availability_zones": ["us-east-1z"]}, InvalidParameterValue, "us-east-1z"),
    ({"num_cache_nodes": 0}, InvalidParameterValue, "between 1 and 40"),
    ({"num_cache_nodes": 41}, NodeQuotaForClusterExceeded, "at most 40"),
    ({"az_mode": "single-az"}, InvalidParameterCombination, "several availability zones already"),
    ({"az_mode": "everywhere"}, InvalidParameterValue, "AZMode"),
    ({"snapshot_window": "01:00-02:00"}, InvalidParameterCombination, "Memcached takes no snapshots"),
    ({"snapshot_retention_limit": 1}, InvalidParameterCombination, "Memcached takes no snapshots"),
    ({"auth_token": "x" * 16}, InvalidParameterCombination, "AUTH"),
]


@pytest.mark.parametrize(("asked", "fault", "words"), REFUSED, ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_what_cannot_be_asked(three: Context, asked: dict[str, Any], fault: type[Fault], words: str) -> None:
    before = sessions(three)
    with pytest.raises(fault, match=words):
        ask(three, apply_immediately=True, **asked)
    assert sessions(three) == before


def test_nothing_is_changed_while_something_changes(three: Context) -> None:
    ask(three, num_cache_nodes=4, apply_immediately=True)
    with pytest.raises(InvalidCacheClusterState, match="modifying"):
        ask(three, num_cache_nodes=5, apply_immediately=True)


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"num_cache_nodes": 2}, InvalidParameterValue),
        ({"num_cache_nodes": 1, "cache_node_ids_to_remove": ["0001"]}, InvalidParameterCombination),
        ({"num_cache_nodes": 1, "new_availability_zones": [A]}, InvalidParameterCombination),
        ({"az_mode": "cross-az"}, InvalidParameterCombination),
    ],
)
def test_redis_is_one_node(ctx: Context, asked: dict[str, Any], fault: type[Fault]) -> None:
    have(ctx, a_cache_cluster(engine="redis"))
    with pytest.raises(fault):
        ask(ctx, apply_immediately=True, **asked)


@pytest.mark.parametrize("member", ["auth_token", "snapshot_name", "snapshot_window"])
def test_a_memcached_cluster_is_not_created_with_what_it_lacks(three: Context, member: str) -> None:
    with pytest.raises(InvalidParameterCombination, match="Memcached"):
        create_cache_cluster(three, CreateCacheCluster(cache_cluster_id="new", engine="memcached", **{member: "x"}))


def test_memcached_takes_no_last_snapshot(three: Context) -> None:
    with pytest.raises(InvalidParameterCombination, match="FinalSnapshotIdentifier"):
        delete_cache_cluster(three, DeleteCacheCluster(cache_cluster_id="sessions", final_snapshot_identifier="last"))


@pytest.mark.parametrize(("setting", "fronted"), [(MemcachedDiscovery.EVERY_NODE, True), (MemcachedDiscovery.CONFIGURATION_ENDPOINT, False)])
def test_the_setting_is_kept_with_what_is_created_under_it(three: Context, setting: MemcachedDiscovery, fronted: bool) -> None:
    ctx = Context(WORLD, three.unit, three.clock, three.policy, setting)
    create_cache_cluster(ctx, CreateCacheCluster(cache_cluster_id="new", engine="memcached"))
    create_cache_cluster(ctx, CreateCacheCluster(cache_cluster_id="other", engine="memcached", num_cache_nodes=2))
    assert ctx.cache_cluster("new")[0].settings.fronted is fronted
