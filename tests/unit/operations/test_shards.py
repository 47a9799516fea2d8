"""What a create request says about node groups, replicas, zones, ids and slots; and what it cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories import WORLD, a_context, an_agent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_schemas.faults import (
    Fault,
    InsufficientCacheClusterCapacity,
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeGroupsPerReplicationGroupQuotaExceeded,
    NodeQuotaForClusterExceeded,
)
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.slots import must_cover_all, shown_slots
from controlplane.domain.topology import ClusterMode
from controlplane.operations.context import Context
from controlplane.operations.shards import MOST_NODES, MOST_SHARDS, Shard, shards_asked

ENABLED, COMPATIBLE, DISABLED = ClusterMode.ENABLED, ClusterMode.COMPATIBLE, ClusterMode.DISABLED
A, B, C = (f"us-east-1{letter}" for letter in "abc")


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones."""
    for letter in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{letter}", f"{WORLD.region}{letter}"))
    return ctx


def asking(**fields: Any) -> CreateReplicationGroup:
    return CreateReplicationGroup(replication_group_id="orders", replication_group_description="d", **fields)


def shards(ctx: Context, mode: ClusterMode = ENABLED, **fields: Any) -> list[Shard]:
    return shards_asked(ctx, asking(**fields), mode)


def zones(found: list[Shard]) -> list[str]:
    """The zones of each shard's nodes, by their letters."""
    return ["".join(zone[-1] for zone in shard.zones) for shard in found]


# ---- numbers


@pytest.mark.parametrize(
    ("asked", "spread"),
    [
        ({}, ["a"]),
        ({"num_node_groups": 1}, ["a"]),
        ({"num_node_groups": 2}, ["a", "b"]),
        ({"num_node_groups": 4}, ["a", "b", "c", "a"]),
        ({"num_node_groups": 3, "replicas_per_node_group": 1}, ["ab", "bc", "ca"]),
        ({"num_node_groups": 2, "replicas_per_node_group": 5}, ["abcabc", "bcabca"]),
        ({"replicas_per_node_group": 2}, ["abc"]),
        ({"num_cache_clusters": 3}, ["abc"]),
        ({"num_cache_clusters": 3, "replicas_per_node_group": 2}, ["abc"]),
        ({"num_cache_clusters": 2, "preferred_cache_cluster_azs": [C, A]}, ["ca"]),
        ({"replicas_per_node_group": 1, "preferred_cache_cluster_azs": [B, B]}, ["bb"]),
    ],
    ids=str,
)
def test_how_many_nodes_where(ctx: Context, asked: dict[str, Any], spread: list[str]) -> None:
    assert zones(shards(ctx, **asked)) == spread


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(number=st.integers(1, MOST_SHARDS), replicas=st.integers(0, 5))
def test_every_number_of_shards_covers_all_slots_in_all_zones(ctx: Context, number: int, replicas: int) -> None:
    asked = asking(num_node_groups=number, replicas_per_node_group=replicas)
    if number * (1 + replicas) > MOST_NODES:
        with pytest.raises(NodeQuotaForClusterExceeded, match=str(MOST_NODES)):
            shards_asked(ctx, asked, ENABLED)
        return
    found = shards_asked(ctx, asked, ENABLED)
    assert [shard.id for shard in found] == [f"{n:04d}" for n in range(1, number + 1)]
    must_cover_all([shard.slots for shard in found])
    primaries = [shard.zones[0] for shard in found]
    assert max(map(primaries.count, (A, B, C))) - min(map(primaries.count, (A, B, C))) <= 1
    assert all(len(set(shard.zones)) == min(3, 1 + replicas) for shard in found)


# ---- node groups one by one


@pytest.mark.parametrize(
    ("configurations", "spread"),
    [
        ([{}, {}], ["a", "b"]),
        ([{"replica_count": 2}, {"replica_count": 0}], ["abc", "b"]),
        ([{"primary_availability_zone": C}, {}], ["c", "b"]),
        ([{"primary_availability_zone": A, "replica_count": 2}, {}], ["abc", "b"]),
        ([{"primary_availability_zone": C, "replica_count": 2}, {}], ["cab", "b"]),  # replicas where nobody of the shard is yet
        ([{"replica_availability_zones": [A, C]}, {}], ["aac", "b"]),
        ([{}, {"replica_availability_zones": [A]}], ["a", "ba"]),
        ([{"primary_availability_zone": B, "replica_availability_zones": [B, B], "replica_count": 2}], ["bbb"]),
    ],
    ids=str,
)
def test_zones_of_each_node_group(ctx: Context, configurations: list[Any], spread: list[str]) -> None:
    assert zones(shards(ctx, node_group_configuration=configurations)) == spread


def test_replicas_per_node_group_are_for_those_that_say_nothing_else(ctx: Context) -> None:
    configurations = [{}, {"replica_count": 0}, {"replica_availability_zones": [A, A]}]
    assert zones(shards(ctx, replicas_per_node_group=1, node_group_configuration=configurations)) == ["ab", "b", "caa"]


@pytest.mark.parametrize(
    ("ids", "stored"),
    [
        ([None, None, None], ["0001", "0002", "0003"]),
        (["1", "2"], ["0001", "0002"]),
        (["20", "7", "0300"], ["0007", "0020", "0300"]),
        (["9999"], ["9999"]),
    ],
)
def test_ids_of_node_groups(ctx: Context, ids: list[str | None], stored: list[str]) -> None:
    found = shards(ctx, node_group_configuration=[{"node_group_id": each} for each in ids])
    assert [shard.id for shard in found] == stored


def test_a_node_group_keeps_its_slots_and_zones_wherever_its_id_puts_it(ctx: Context) -> None:
    last = {"node_group_id": "20", "slots": "0,2-100,16383", "primary_availability_zone": C}
    first = {"node_group_id": "7", "slots": "1,101-16382", "primary_availability_zone": A}
    found = shards(ctx, node_group_configuration=[last, first])
    assert [(shard.id, shard.zones, shown_slots(shard.slots)) for shard in found] == [
        ("0007", (A,), "1-1,101-16382"),
        ("0020", (C,), "0-0,2-100,16383-16383"),
    ]


@pytest.mark.parametrize(("slots", "cut"), [([None, None], ["0-8191", "8192-16383"]), (["0-99", "100-16383"], ["0-99", "100-16383"])])
def test_slots_are_as_asked_or_else_cut_evenly(ctx: Context, slots: list[str | None], cut: list[str]) -> None:
    found = shards(ctx, node_group_configuration=[{"slots": each} for each in slots])
    assert [shown_slots(shard.slots) for shard in found] == cut


def test_the_number_of_node_groups_may_be_said_twice(ctx: Context) -> None:
    assert len(shards(ctx, num_node_groups=2, node_group_configuration=[{}, {}])) == 2


# ---- one node group, in or outside cluster mode


@pytest.mark.parametrize(("mode", "slots"), [(DISABLED, ""), (COMPATIBLE, "0-16383")])
def test_outside_of_cluster_mode_enabled_there_is_one_node_group(ctx: Context, mode: ClusterMode, slots: str) -> None:
    (only,) = shards(ctx, mode, num_cache_clusters=2)
    assert (only.id, zones([only]), shown_slots(only.slots)) == ("0001", ["ab"], slots)


# ---- refusals

COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue


@pytest.mark.parametrize(
    ("asked", "fault", "says"),
    [
        ({"num_node_groups": 0}, VALUE, "Invalid value 0 for NumNodeGroups"),
        ({"num_node_groups": -1}, VALUE, "Invalid value -1 for NumNodeGroups"),
        ({"num_node_groups": 91}, NodeGroupsPerReplicationGroupQuotaExceeded, "90"),
        ({"num_node_groups": 10**9}, NodeGroupsPerReplicationGroupQuotaExceeded, "90"),
        ({"node_group_configuration": [{}] * 91}, NodeGroupsPerReplicationGroupQuotaExceeded, "90"),
        ({"num_node_groups": 46, "replicas_per_node_group": 1}, NodeQuotaForClusterExceeded, "90"),
        ({"node_group_configuration": [{"replica_count": 5}] * 15 + [{}]}, NodeQuotaForClusterExceeded, "90"),
        ({"num_node_groups": 2, "replicas_per_node_group": 6}, VALUE, "number of replicas 6"),
        ({"num_node_groups": 2, "replicas_per_node_group": -1}, VALUE, "number of replicas -1"),
        ({"node_group_configuration": [{"replica_count": 6}, {}]}, VALUE, "number of replicas 6"),
        ({"node_group_configuration": [{"replica_availability_zones": [A] * 6}]}, VALUE, "number of replicas 6"),
        ({"num_cache_clusters": 0}, VALUE, "number of replicas -1"),
        ({"num_cache_clusters": 7}, VALUE, "number of replicas 6"),
        ({"num_node_groups": 2, "num_cache_clusters": 2}, COMBINATION, "NumCacheClusters cannot be given together"),
        ({"node_group_configuration": [{}], "num_cache_clusters": 1}, COMBINATION, "NumCacheClusters cannot be given together"),
        ({"num_cache_clusters": 3, "replicas_per_node_group": 1}, COMBINATION, "contradict each other"),
        ({"num_node_groups": 3, "node_group_configuration": [{}, {}]}, COMBINATION, "describes 2 node groups"),
        ({"num_node_groups": 0, "node_group_configuration": [{}]}, COMBINATION, "NumNodeGroups is 0"),
        ({"num_node_groups": 2, "preferred_cache_cluster_azs": [A, B]}, COMBINATION, "PreferredCacheClusterAZs"),
        ({"node_group_configuration": [{}], "preferred_cache_cluster_azs": [A]}, COMBINATION, "PreferredCacheClusterAZs"),
        ({"replicas_per_node_group": 1, "preferred_cache_cluster_azs": [A]}, VALUE, "1 availability zones were given for 2 nodes"),
        ({"preferred_cache_cluster_azs": ["us-east-1z"]}, VALUE, "us-east-1z is not a valid availability zone"),
        ({"node_group_configuration": [{"primary_availability_zone": "us-east-1z"}]}, VALUE, "us-east-1z"),
        ({"node_group_configuration": [{"replica_availability_zones": ["eu-west-1a"]}]}, VALUE, "eu-west-1a"),
        (
            {"node_group_configuration": [{"replica_count": 2, "replica_availability_zones": [A]}]},
            VALUE, "1 ReplicaAvailabilityZones were given for 2 replicas",
        ),
        ({"node_group_configuration": [{"node_group_id": "1"}, {}]}, COMBINATION, "NodeGroupId to every node group, or to none"),
        ({"node_group_configuration": [{"node_group_id": "1"}, {"node_group_id": "0001"}]}, VALUE, "same NodeGroupId"),
        ({"node_group_configuration": [{"node_group_id": "one"}]}, VALUE, "NodeGroupId 'one' is not valid"),
        ({"node_group_configuration": [{"node_group_id": "00001"}]}, VALUE, "NodeGroupId '00001' is not valid"),
        ({"node_group_configuration": [{"node_group_id": "0"}]}, VALUE, "NodeGroupId '0' is not valid"),
        ({"node_group_configuration": [{"slots": "0-8191"}, {}]}, VALUE, "Slots to every node group, or to none"),
        ({"node_group_configuration": [{"slots": "0-8191"}, {"slots": "8193-16383"}]}, VALUE, "8192-8192 are in no node group"),
        ({"node_group_configuration": [{"slots": "0-8191"}, {"slots": "8191-16383"}]}, VALUE, "8191 is in two node groups"),
        ({"node_group_configuration": [{"slots": "0-16384"}]}, VALUE, "from 0 to 16383"),
        ({"node_group_configuration": [{"slots": "all"}]}, VALUE, "'all' are not valid"),
        ({"node_group_configuration": [{"primary_outpost_arn": "arn:x"}]}, VALUE, "no outposts here"),
        ({"node_group_configuration": [{"replica_outpost_arns": ["arn:x"]}]}, VALUE, "no outposts here"),
    ],
    ids=lambda value: str(value)[:70] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_asked_in_cluster_mode(ctx: Context, asked: dict[str, Any], fault: type[Fault], says: str) -> None:
    with pytest.raises(fault) as refused:
        shards(ctx, **asked)
    assert type(refused.value) is fault
    assert says in refused.value.message


@pytest.mark.parametrize("mode", [DISABLED, COMPATIBLE])
@pytest.mark.parametrize(
    ("asked", "fault", "says"),
    [
        ({"node_group_configuration": [{"slots": "0-16383"}]}, COMBINATION, "Slots can only be given with cluster mode enabled"),
        ({"node_group_configuration": [{"node_group_id": "2"}]}, VALUE, "the only node group is 0001"),
        ({"num_node_groups": 0}, VALUE, "NumNodeGroups"),
        ({"num_cache_clusters": 0}, VALUE, "NumCacheClusters"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_outside(ctx: Context, mode: ClusterMode, asked: dict[str, Any], fault: type[Fault], says: str) -> None:
    with pytest.raises(fault, match=says):
        shards(ctx, mode, **asked)


@pytest.mark.parametrize("mode", ClusterMode)
def test_without_an_agent_there_is_no_room(tmp_path: Path, mode: ClusterMode) -> None:
    with a_context(tmp_path) as empty, pytest.raises(InsufficientCacheClusterCapacity, match="No agent has joined"):
        shards(empty, mode)
