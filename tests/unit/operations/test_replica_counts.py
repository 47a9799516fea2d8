"""IncreaseReplicaCount and DecreaseReplicaCount: what is written down then, who goes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, WORLD, a_cache_cluster, a_group, a_sharded_group, an_agent, have
from situations import at_work, failover, grouped, noded, seeing, sharded_at_work

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import DeleteCacheCluster
from api_schemas.faults import (
    Fault,
    InsufficientCacheClusterCapacity,
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupNotFound,
    NodeQuotaForClusterExceeded,
    NodeQuotaForCustomerExceeded,
    ReplicationGroupNotFound,
)
from api_schemas.parts import Tag
from api_schemas.replication_group import DecreaseReplicaCount, IncreaseReplicaCount
from api_schemas.tag import AddTagsToResource
from controlplane.domain.naming import arn
from controlplane.domain.reported import DEAD
from controlplane.domain.topology import ClusterMode, Handover, Topology
from controlplane.operations import layout
from controlplane.operations.cache_clusters import delete_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.replica_counts import decrease_replica_count, increase_replica_count
from controlplane.operations.tags import add_tags_to_resource
from controlplane.planner.situation import Situation

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
VALKEY = EngineBinary(engine="valkey", version="9.1.2", path="/opt/valkey-server")
VALUE, COMBINATION, STATE = InvalidParameterValue, InvalidParameterCombination, InvalidReplicationGroupState


@pytest.fixture
def zones(ctx: Context) -> Context:
    """An agent with Valkey in each of three zones."""
    for zone in (A, B, C):
        ctx.unit.agents.put(an_agent(f"agent-{zone[-1]}", zone).model_copy(update={"engines": [VALKEY]}))
    return ctx


def working(ctx: Context, now: Situation) -> Context:
    """The topology exists, and its nodes are seen as they are there."""
    have(ctx, now.topology)
    for node, seen in now.reported.nodes.items():
        ctx.unit.reports.put_node(now.topology.key(node), seen, NOW)
    ctx.unit.reports.settle()
    return ctx


def increase(ctx: Context, **asked: Any) -> Any:
    return increase_replica_count(ctx, IncreaseReplicaCount(**{"replication_group_id": "orders", "apply_immediately": True, **asked}))


def decrease(ctx: Context, **asked: Any) -> Any:
    return decrease_replica_count(ctx, DecreaseReplicaCount(**{"replication_group_id": "orders", "apply_immediately": True, **asked}))


def shard(number: int, replicas: int, *zones: str, **more: Any) -> dict[str, Any]:
    return {"node_group_id": f"{number:04d}", "new_replica_count": replicas, "preferred_availability_zones": list(zones), **more}


def nodes(ctx: Context) -> dict[str, str]:
    topology = ctx.replication_group("orders")
    return {node.id.removeprefix("orders-"): f"{node.zone[-1]}{' leaving' * node.leaving}" for node in topology.nodes}


def leaving(ctx: Context) -> set[str]:
    return {name for name, state in nodes(ctx).items() if "leaving" in state}


def said(ctx: Context) -> list[tuple[str, str]]:
    return [(event.source, event.message) for event in ctx.unit.events.said]


def new(ctx: Context, before: Topology) -> dict[str, str]:
    known = {node.id.removeprefix("orders-") for node in before.nodes}
    return {name: zone for name, zone in nodes(ctx).items() if name not in known}


# ---- more


def test_a_group_gets_replicas_in_the_zones_with_fewest_nodes(zones: Context) -> None:
    have(zones, a_group(nodes=2))
    shown = increase(zones, new_replica_count=4).replication_group
    assert nodes(zones) == {"001": "a", "002": "b", "003": "c", "004": "a", "005": "b"}
    assert shown.status == shown.node_groups[0].status == "modifying"
    assert shown.member_clusters == [f"orders-00{number}" for number in range(1, 6)]
    assert said(zones) == [
        ("orders", "Increasing number of replicas from 1 to 4"),
        *((f"orders-00{number}", f"Updated to use a CacheParameterGroup {shown_group(zones)}") for number in (3, 4, 5)),
    ]
    saved = zones.replication_group("orders")
    assert (saved.replicas_from, saved.modifying) == (1, True)


def shown_group(ctx: Context) -> str:
    return ctx.replication_group("orders").parameter_group


@pytest.mark.parametrize("mode", [ClusterMode.DISABLED, ClusterMode.COMPATIBLE])
def test_new_members_have_the_lowest_free_numbers_and_no_other_caches_name(zones: Context, mode: ClusterMode) -> None:
    group = a_group(nodes=4, cluster_mode=mode)
    have(zones, group.with_group(replace(group.node_groups[0], nodes=group.node_groups[0].nodes[2:], primary="orders-003")))
    have(zones, a_cache_cluster("orders-002", engine="redis"))
    increase(zones, new_replica_count=3)
    assert list(nodes(zones)) == ["003", "004", "001", "005"]


def test_every_shard_gets_replicas_of_its_own(zones: Context) -> None:
    before = a_sharded_group(shards=2, replicas=1)
    have(zones, before)
    increase(zones, new_replica_count=2)
    assert new(zones, before) == {"0001-003": "c", "0002-003": "c"}
    assert said(zones)[0] == ("orders", "Increasing number of replicas from 2 to 4")


def test_named_shards_alone_get_replicas_in_the_zones_that_were_said(zones: Context) -> None:
    before = a_sharded_group(shards=3, replicas=1)  # each with a primary in a and a replica in b
    have(zones, before)
    increase(zones, replica_configuration=[shard(3, 3, C, B, C, A), shard(1, 2, node_group_id="1")])
    assert new(zones, before) == {"0001-003": "c", "0003-003": "c", "0003-004": "c"}
    assert said(zones)[0] == ("orders", "Increasing number of replicas from 3 to 6")


def test_a_shard_that_already_has_the_number_for_all_stays(zones: Context) -> None:
    before = a_sharded_group(shards=2, replicas=1)
    before = before.with_group(replace(before.node_groups[1], nodes=(*before.node_groups[1].nodes, *a_group("x", nodes=1).nodes)))
    have(zones, before)
    increase(zones, new_replica_count=2)
    assert new(zones, before) == {"0001-003": "c"}


def test_new_members_have_the_tags_of_their_group(zones: Context) -> None:
    have(zones, a_group(nodes=2))
    add_tags_to_resource(zones, AddTagsToResource(resource_name=arn(WORLD, "replicationgroup", "orders"), tags=[Tag(key="team", value="web")]))
    increase(zones, new_replica_count=2)
    assert zones.unit.tags.of(arn(WORLD, "cluster", "orders-003")) == {"team": "web"}


@pytest.mark.parametrize(
    ("topology", "asked", "fault", "message"),
    [
        (a_group("other"), {"new_replica_count": 3}, ReplicationGroupNotFound, "orders"),
        (a_group(), {"new_replica_count": 3, "apply_immediately": False}, VALUE, "ApplyImmediately must be true"),
        (a_group(), {}, COMBINATION, "exactly one of NewReplicaCount, ReplicaConfiguration; none"),
        (a_group(), {"new_replica_count": 3, "replica_configuration": [shard(1, 3)]}, COMBINATION, "exactly one of .* and "),
        (a_group(), {"new_replica_count": 2}, VALUE, "NewReplicaCount is 2, but node group 0001 has 2 replicas"),
        (a_group(), {"new_replica_count": 1}, VALUE, "needs a number above that"),
        (a_group(), {"new_replica_count": 6}, VALUE, "between 0 and 5"),
        (a_group(), {"new_replica_count": -1}, VALUE, "between 0 and 5"),
        (a_group(), {"replica_configuration": [shard(2, 3)]}, NodeGroupNotFound, "0002"),
        (a_group(), {"replica_configuration": [shard(1, 3, node_group_id="one")]}, VALUE, "NodeGroupId"),
        (a_group(), {"replica_configuration": [shard(1, 3), shard(1, 4)]}, VALUE, "0001 more than once"),
        (a_group(), {"replica_configuration": [shard(1, 2)]}, VALUE, "has 2 replicas"),
        (a_group(), {"replica_configuration": [shard(1, 6)]}, VALUE, "between 0 and 5"),
        (a_group(), {"replica_configuration": [shard(1, 3, A, B, C)]}, VALUE, "3 PreferredAvailabilityZones .* 4 nodes"),
        (a_group(), {"replica_configuration": [shard(1, 3, A, A, B, B)]}, VALUE, f"{C} is missing"),
        (a_group(), {"replica_configuration": [shard(1, 3, A, B, C, "us-east-1x")]}, VALUE, "us-east-1x is not a valid availability zone"),
        (a_group(), {"replica_configuration": [shard(1, 3, preferred_outpost_arns=["arn:x"])]}, VALUE, "PreferredOutpostArns"),
        (a_group(created=False), {"new_replica_count": 3}, STATE, "must be in available state to modify."),
        (a_group(modifying=True), {"new_replica_count": 3}, STATE, "must be in available state to modify."),
        (a_group(deleting=True), {"new_replica_count": 3}, STATE, "must be in available state to modify."),
        (a_group().with_departure_of(["orders-003"]), {"new_replica_count": 3}, STATE, "must be in available state to modify."),
        (a_sharded_group(shards=2), {"replica_configuration": [shard(1, 2), shard(2, 1)]}, VALUE, "0002 has 1 replicas"),
        (a_sharded_group(shards=31, replicas=1), {"new_replica_count": 2}, NodeQuotaForClusterExceeded, "90"),
    ],
)
def test_what_is_no_increase_is_refused_and_changes_nothing(
    zones: Context, topology: Topology, asked: dict[str, Any], fault: type[Fault], message: str
) -> None:
    have(zones, topology)
    _must_change_nothing(zones, topology, lambda: increase(zones, **asked), fault, message)


def test_the_quota_of_a_region_and_the_room_of_hosts_bound_an_increase(zones: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    group = a_group(nodes=2)
    have(zones, group)
    monkeypatch.setattr(layout, "NODES_PER_REGION", 2)
    _must_change_nothing(zones, group, lambda: increase(zones, new_replica_count=2), NodeQuotaForCustomerExceeded, "at most 2 nodes")
    monkeypatch.setattr(layout, "NODES_PER_REGION", 300)
    zones.unit.agents.put(an_agent("agent-c", C).model_copy(update={"engines": [VALKEY], "memory": 1000}))
    zones.unit.agents._heartbeats.hear("agent-c")
    _must_change_nothing(zones, group, lambda: increase(zones, new_replica_count=2), InsufficientCacheClusterCapacity, "No host")


def test_a_zone_without_the_engine_takes_no_replica(zones: Context) -> None:
    group = a_group(nodes=2)
    have(zones, group)
    zones.unit.agents.put(an_agent("agent-c", C))
    _must_change_nothing(zones, group, lambda: increase(zones, new_replica_count=2), VALUE, "valkey")


def _must_change_nothing(ctx: Context, topology: Topology, call: Callable[[], object], fault: type[Fault], message: str) -> None:
    before, events = ctx.replication_group(topology.name), len(ctx.unit.events.said)
    with pytest.raises(fault, match=message):
        call()
    assert ctx.replication_group(topology.name) == before
    assert len(ctx.unit.events.said) == events


# ---- fewer

SHARDS = sharded_at_work(shards=2, replicas=2)


def five(*zones: str) -> Situation:
    """A primary and four replicas in these zones, all in sync."""
    now = at_work(nodes=3)
    first, second = now.topology.node_groups[0].nodes[:2]
    ids = [f"orders-00{number}" for number in range(1, 6)]
    members = [replace(second if place else first, id=name, zone=zone) for place, (name, zone) in enumerate(zip(ids, zones, strict=True))]
    now = grouped(now, nodes=tuple(members))
    for name in ids[1:]:
        now = seeing(now, name, role="replica", epoch=1, follows="127.101.0.1:6379", link_up=True, offset=1000)
    return seeing(now, "orders-001", proven=frozenset(now.topology.key(name) for name in ids[1:]))


SPREAD = five(A, B, C, A, B)


@pytest.mark.parametrize(
    ("now", "replicas", "gone"),
    [
        (SPREAD, 3, {"005"}),  # of the zones with two nodes, the highest id
        (SPREAD, 2, {"004", "005"}),
        (SPREAD, 1, {"003", "004", "005"}),
        (SPREAD, 0, {"002", "003", "004", "005"}),
        (seeing(SPREAD, "orders-002", offset=900), 3, {"002"}),  # as many in its zone, but behind
        (seeing(SPREAD, "orders-003", offset=900), 3, {"005"}),  # its zone would be empty
        (seeing(SPREAD, "orders-003", offset=900), 1, {"003", "004", "005"}),
        (seeing(SPREAD, "orders-002", offset=9999, link_up=False), 3, {"002"}),  # not in sync, whatever it says to have
        (seeing(SPREAD, "orders-004", phase=DEAD), 3, {"004"}),
        (five(A, A, B, B, B), 3, {"005"}),
        (five(A, A, B, B, B), 1, {"002", "004", "005"}),
        (five(A, A, A, A, B), 1, {"002", "003", "004"}),
        (grouped(SPREAD, home="orders-005"), 3, {"004"}),  # it is primary again soon
        (grouped(SPREAD, handover=Handover("orders-001", NOW, heir="orders-005")), 3, {"004"}),
    ],
)
def test_who_leaves_so_that_the_others_stay_spread_and_are_the_nearest(zones: Context, now: Situation, replicas: int, gone: set[str]) -> None:
    working(zones, now)
    shown = decrease(zones, new_replica_count=replicas).replication_group
    assert leaving(zones) == gone
    assert shown.status == "modifying"
    assert said(zones) == [("orders", f"Decreasing number of replicas from 4 to {replicas}")]
    topology = zones.replication_group("orders")
    assert {node.left_at for node in topology.nodes if node.leaving} == {NOW}
    assert (topology.replicas_from, topology.modifying) == (4, True)


@pytest.mark.parametrize(
    ("now", "zones_said", "gone"),
    [
        (SPREAD, [A, B, C, A], {"005"}),
        (SPREAD, [A, A, C, B], {"005"}),
        (SPREAD, [A, A, B, B], {"003"}),
        (SPREAD, [B, C, B, A], {"004"}),
        (SPREAD, [B, A], {"003", "004", "005"}),
        (seeing(SPREAD, "orders-002", offset=900), [B, A], {"002", "003", "004"}),
        (five(A, A, B, B, B), [A, A], {"003", "004", "005"}),
    ],
)
def test_the_zones_that_were_said_decide_who_leaves(zones: Context, now: Situation, zones_said: list[str], gone: set[str]) -> None:
    working(zones, now)
    decrease(zones, replica_configuration=[shard(1, len(zones_said) - 1, *zones_said)])
    assert leaving(zones) == gone


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"new_replica_count": 1}, {"0001-003", "0002-003"}),
        ({"new_replica_count": 0}, {"0001-002", "0001-003", "0002-002", "0002-003"}),
        ({"replica_configuration": [shard(2, 0)]}, {"0002-002", "0002-003"}),
        ({"replica_configuration": [shard(2, 1, A, C), shard(1, 1)]}, {"0001-003", "0002-002"}),
        ({"replicas_to_remove": ["orders-0001-002", "Orders-0002-003"]}, {"0001-002", "0002-003"}),
    ],
)
def test_shards_lose_replicas(zones: Context, asked: dict[str, Any], gone: set[str]) -> None:
    working(zones, SHARDS)
    decrease(zones, **asked)
    assert leaving(zones) == gone


@pytest.mark.parametrize("name", ["orders-002", "ORDERS-002", "002", "2"])
def test_a_replica_is_removed_by_its_id_or_its_number(zones: Context, name: str) -> None:
    working(zones, at_work())
    decrease(zones, replicas_to_remove=[name])
    assert leaving(zones) == {"002"}


LAST = "Must have at least 1 replica when cluster mode is disabled with auto failover enabled."
AUTOMATIC = failover(at_work(), automatic=True)
MULTI_AZ = replace(SPREAD, topology=replace(SPREAD.topology, settings=replace(AUTOMATIC.topology.settings, multi_az=True)))


@pytest.mark.parametrize(
    ("now", "asked", "fault", "message"),
    [
        (at_work(), {"new_replica_count": 1, "apply_immediately": False}, VALUE, "ApplyImmediately must be true"),
        (at_work(), {}, COMBINATION, "exactly one of NewReplicaCount, ReplicaConfiguration, ReplicasToRemove; none"),
        (at_work(), {"new_replica_count": 1, "replicas_to_remove": ["orders-002"]}, COMBINATION, "exactly one of"),
        (at_work(), {"new_replica_count": 1, "replica_configuration": [shard(1, 1)]}, COMBINATION, "exactly one of"),
        (at_work(), {"new_replica_count": 2}, VALUE, "NewReplicaCount is 2, but node group 0001 has 2 replicas"),
        (at_work(), {"new_replica_count": 3}, VALUE, "needs a number below that"),
        (at_work(), {"new_replica_count": -1}, VALUE, "between 0 and 5"),
        (at_work(), {"replica_configuration": [shard(9, 1)]}, NodeGroupNotFound, "0009"),
        (at_work(), {"replica_configuration": [shard(1, 1, A)]}, VALUE, "1 PreferredAvailabilityZones .* 2 nodes"),
        (at_work(), {"replica_configuration": [shard(1, 1, B, C)]}, VALUE, f"must contain {A}, the zone of its primary orders-001"),
        (at_work(), {"replica_configuration": [shard(1, 1, A, A)]}, VALUE, f"more nodes in {A} than there are"),
        (at_work(), {"replica_configuration": [shard(1, 1, A, "nowhere")]}, VALUE, "nowhere is not a valid availability zone"),
        (at_work(), {"replicas_to_remove": ["orders-001"]}, VALUE, "orders-001 is the primary of node group 0001"),
        (at_work(), {"replicas_to_remove": ["orders-004"]}, VALUE, "orders-004, which is no cache cluster of"),
        (at_work(), {"replicas_to_remove": ["others-002"]}, VALUE, "others-002, which is no cache cluster of"),
        (at_work(), {"replicas_to_remove": ["orders-002", "002"]}, VALUE, "orders-002 more than once"),
        (SHARDS, {"replicas_to_remove": ["002"]}, VALUE, "002, which is no cache cluster of"),
        (AUTOMATIC, {"new_replica_count": 0}, VALUE, LAST),
        (AUTOMATIC, {"replicas_to_remove": ["orders-002", "orders-003"]}, VALUE, LAST),
        (MULTI_AZ, {"replica_configuration": [shard(1, 1, A, A)]}, COMBINATION, "Multi-AZ needs nodes in at least 2"),
        (grouped(at_work(), home="orders-002"), {"replicas_to_remove": ["orders-002"]}, STATE, "about to be the primary"),
        (grouped(SHARDS, handover=Handover("orders-0001-001", NOW, heir="orders-0001-002")), {"new_replica_count": 0}, STATE, "Try again"),
        (seeing(at_work(), "orders-001", phase=DEAD), {"new_replica_count": 1}, STATE, "is being replaced"),
        (noded(at_work(), "orders-001", boot=2), {"new_replica_count": 1}, STATE, "is being replaced"),
        (grouped(at_work(), epoch=2), {"new_replica_count": 1}, STATE, "is being replaced"),
        (replace(at_work(), topology=replace(at_work().topology, modifying=True)), {"new_replica_count": 1}, STATE, "must be in available"),
        (noded(at_work(), "orders-003", joined_at=None), {"new_replica_count": 1}, STATE, "must be in available"),
    ],
)
def test_what_is_no_decrease_is_refused_and_changes_nothing(
    zones: Context, now: Situation, asked: dict[str, Any], fault: type[Fault], message: str
) -> None:
    working(zones, now)
    _must_change_nothing(zones, now.topology, lambda: decrease(zones, **asked), fault, message)


def test_only_a_shard_that_loses_a_replica_needs_a_primary_that_serves(zones: Context) -> None:
    working(zones, seeing(SHARDS, "orders-0001-001", phase=DEAD))
    decrease(zones, replica_configuration=[shard(2, 1)])
    assert leaving(zones) == {"0002-003"}


def test_who_is_about_to_be_primary_again_is_not_deleted_by_itself(zones: Context) -> None:
    working(zones, grouped(at_work(), home="orders-002"))
    with pytest.raises(InvalidCacheClusterState, match="about to be the primary"):
        delete_cache_cluster(zones, DeleteCacheCluster(cache_cluster_id="orders-002"))
    delete_cache_cluster(zones, DeleteCacheCluster(cache_cluster_id="orders-003"))
    assert leaving(zones) == {"003"}


