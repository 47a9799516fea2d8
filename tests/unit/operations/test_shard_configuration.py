"""What a caller may ask of the number of node groups, what is written down then, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, WORLD, a_group, a_sharded_group, an_agent, have

from api_schemas.agent.node import EngineBinary
from api_schemas.faults import (
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupsPerReplicationGroupQuotaExceeded,
    NodeQuotaForClusterExceeded,
    ReplicationGroupNotFound,
)
from api_schemas.replication_group import ModifyReplicationGroupShardConfiguration, ReshardingConfiguration
from controlplane.domain.slots import parsed_slots, shown_slots
from controlplane.domain.topology import ClusterMode, Topology
from controlplane.operations.context import Context
from controlplane.operations.shard_configuration import modify_shard_configuration

A, B, C = (f"us-east-1{letter}" for letter in "abc")


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones that has the engine."""
    engines = [EngineBinary(engine="valkey", version="9.1.2", path="/opt/valkey-server")]
    for letter in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{letter}", f"{WORLD.region}{letter}").model_copy(update={"engines": engines}))
    return ctx


def ask(ctx: Context, count: int, **fields: Any) -> Any:
    usual = {"replication_group_id": "orders", "node_group_count": count, "apply_immediately": True}
    return modify_shard_configuration(ctx, ModifyReplicationGroupShardConfiguration(**{**usual, **fields})).replication_group


def saved(ctx: Context) -> Topology:
    return ctx.replication_group("orders")


def moves(ctx: Context) -> list[tuple[str, str, str]]:
    resharding = saved(ctx).resharding
    return [(move.source, move.target, shown_slots(move.slots)) for move in resharding.moves] if resharding else []


def zones(*letters: str) -> list[ReshardingConfiguration]:
    return [ReshardingConfiguration(preferred_availability_zones=[f"us-east-1{one}" for one in each]) for each in letters]


# ---- more


def test_a_new_node_group_gets_the_highest_slots_of_the_others(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=2, replicas=1))
    answer = ask(ctx, 3)
    assert answer.status == "modifying"
    assert answer.member_clusters[-2:] == ["orders-0003-001", "orders-0003-002"]
    assert moves(ctx) == [("0001", "0003", "5462-8191"), ("0002", "0003", "13653-16383")]
    assert answer.pending_modified_values.resharding.slot_migration.progress_percentage == 0.0
    assert [shown_slots(group.slots) for group in saved(ctx).node_groups] == ["0-8191", "8192-16383", ""]


def test_new_node_groups_are_as_large_as_the_smallest(ctx: Context) -> None:
    uneven = a_sharded_group(shards=2, replicas=2)
    first = uneven.node_groups[0]
    have(ctx, uneven.with_group(replace(first, nodes=first.nodes[:2])))
    ask(ctx, 4)
    assert [len(group.nodes) for group in saved(ctx).node_groups] == [2, 3, 2, 2]


def test_zones_are_as_asked_for_the_new_or_for_all(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=2, replicas=1))
    ask(ctx, 3, resharding_configuration=zones("ca"))
    assert [node.zone for node in saved(ctx).node_groups[2].nodes] == [C, A]


def test_of_a_description_of_all_node_groups_the_new_ones_are_taken(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=2, replicas=1))
    described = [ReshardingConfiguration(node_group_id=name, preferred_availability_zones=[A, B]) for name in ("1", "0002")]
    ask(ctx, 3, resharding_configuration=[*described, *zones("bc")])
    assert [node.zone for node in saved(ctx).node_groups[2].nodes] == [B, C]


def test_a_new_node_group_may_be_named(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=2, replicas=0))
    ask(ctx, 3, resharding_configuration=[ReshardingConfiguration(node_group_id="17", preferred_availability_zones=[A])])
    assert [group.id for group in saved(ctx).node_groups] == ["0001", "0002", "0017"]


# ---- fewer


def test_a_node_group_that_goes_gives_everything_away_and_stays_until_then(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=3, replicas=0))
    ask(ctx, 2, node_groups_to_remove=["0002"])
    assert [(group.id, group.leaving, group.emptied_at) for group in saved(ctx).node_groups] == [
        ("0001", False, None), ("0002", True, None), ("0003", False, None),
    ]  # fmt: skip
    assert {(source, target) for source, target, _ in moves(ctx)} == {("0002", "0001"), ("0002", "0003")}
    assert not any(node.leaving for node in saved(ctx).nodes)


def test_those_that_stay_may_be_named_instead(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=3, replicas=0))
    ask(ctx, 1, node_groups_to_retain=["3"])
    assert [group.id for group in saved(ctx).node_groups if group.leaving] == ["0001", "0002"]


# ---- as many


def test_the_same_number_shares_the_slots_out_evenly(ctx: Context) -> None:
    uneven = a_sharded_group(shards=2, replicas=0)
    first, second = uneven.node_groups
    have(ctx, replace(uneven, node_groups=(replace(first, slots=parsed_slots("0-99")), replace(second, slots=parsed_slots("100-16383")))))
    ask(ctx, 2)
    assert [(source, target) for source, target, _ in moves(ctx)] == [("0002", "0001")]


# ---- refused, and nothing is changed

SHARDED = a_sharded_group(shards=3, replicas=1)


@pytest.mark.parametrize(
    ("topology", "count", "fields", "fault", "says"),
    [
        (SHARDED, 4, {"replication_group_id": "others"}, ReplicationGroupNotFound, "others"),
        (SHARDED, 4, {"apply_immediately": False}, InvalidParameterValue, "ApplyImmediately must be true"),
        (SHARDED, 0, {}, InvalidParameterValue, "NodeGroupCount"),
        (SHARDED, 91, {}, NodeGroupsPerReplicationGroupQuotaExceeded, "90"),
        (SHARDED, 46, {}, NodeQuotaForClusterExceeded, "90"),
        (SHARDED, 3, {}, InvalidParameterCombination, "No modifications were requested"),
        (SHARDED, 3, {"node_groups_to_remove": ["0001"]}, InvalidParameterCombination, "NodeGroupsToRemove cannot be given"),
        (SHARDED, 3, {"resharding_configuration": zones("ab")}, InvalidParameterCombination, "ReshardingConfiguration cannot"),
        (SHARDED, 4, {"node_groups_to_retain": ["0001"]}, InvalidParameterCombination, "for fewer node groups"),
        (SHARDED, 4, {"resharding_configuration": zones("a")}, InvalidParameterValue, "given for 2 nodes"),
        (SHARDED, 4, {"resharding_configuration": zones("az")}, InvalidParameterValue, "us-east-1z"),
        (SHARDED, 5, {"resharding_configuration": zones("ab", "ab", "ab")}, InvalidParameterValue, "the 2 new ones, or all 5"),
        (SHARDED, 4, {"resharding_configuration": [ReshardingConfiguration(node_group_id="0003")]}, InvalidParameterValue, "same NodeGroupId"),
        (SHARDED, 2, {}, InvalidParameterCombination, "either NodeGroupsToRemove or NodeGroupsToRetain"),
        (SHARDED, 2, {"node_groups_to_remove": ["0001"], "node_groups_to_retain": ["0002"]}, InvalidParameterCombination, "either"),
        (SHARDED, 2, {"node_groups_to_remove": ["0009"]}, InvalidParameterValue, "0009 is not one of orders"),
        (SHARDED, 2, {"node_groups_to_remove": ["0001", "0002"]}, InvalidParameterCombination, "there are 1 to remove"),
        (SHARDED, 2, {"node_groups_to_retain": ["0001"]}, InvalidParameterCombination, "2 to retain, but 1 are named"),
        (SHARDED, 2, {"node_groups_to_remove": ["1"], "resharding_configuration": zones("ab")}, InvalidParameterCombination, "for new node groups"),
        (replace(SHARDED, modifying=True), 4, {}, InvalidReplicationGroupState, "must be in available state"),
        (a_group(), 2, {}, InvalidParameterCombination, "its cluster mode is disabled"),
        (a_sharded_group(shards=1, cluster_mode=ClusterMode.COMPATIBLE), 2, {}, InvalidParameterCombination, "is compatible, and must be"),
    ],
)  # fmt: skip
def test_what_is_refused(ctx: Context, topology: Topology, count: int, fields: dict[str, Any], fault: type[Fault], says: str) -> None:
    have(ctx, topology)
    before = saved(ctx)
    with pytest.raises(fault, match=says):
        ask(ctx, count, **fields)
    assert saved(ctx) == before


def test_it_is_said_and_says_how_much_is_to_move(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=2, replicas=0))
    ask(ctx, 3)
    told = [event.message for event in ctx.unit.events.between(ctx.world, NOW, ctx.now, "replication-group", "orders")]
    assert told == ["Resharding from 2 to 3 node groups started: 5461 slots are to move"]
