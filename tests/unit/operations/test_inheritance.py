"""What a new cache has from the snapshot that it begins with, and what the request may say otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import WORLD, a_cache_cluster
from restoring import ARCHIVE, SETTINGS, as_they_are, own_group, plain, restored, restored_alone, saved, shape, sharded, with_agents

from api_schemas.faults import CacheSubnetGroupNotFound, Fault, InvalidParameterCombination, InvalidParameterValue
from api_schemas.parts import Tag
from controlplane.domain.naming import arn
from controlplane.domain.topology import ClusterMode, Topology
from controlplane.operations.context import Context

COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue
A, B, C = (f"us-east-1{letter}" for letter in "abc")


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones that has every engine."""
    return with_agents(ctx)


# ---- what is left out


def test_a_group_begins_with_the_snapshot_and_is_creating(ctx: Context) -> None:
    snapshot = saved(ctx, plain())
    group = restored(ctx, snapshot_name="Monday")
    assert group.seed is not None and (group.seed.name, group.seed.snapshot, group.seed.archive) == ("monday", snapshot.uid, ARCHIVE)
    assert group.seed.files is None and group.seed.refusal is None and ctx.status(group) == "creating"


def test_what_a_request_leaves_out_of_a_group_is_as_it_was(ctx: Context) -> None:
    snapshot = saved(ctx, plain())
    group = restored(ctx)
    assert (group.engine, group.engine_version, group.node_type, group.port) == ("redis", "7.0", "cache.m6g.large", 7000)
    assert (group.parameter_group, group.cluster_mode, group.subnet_group) == ("default.redis7", ClusterMode.DISABLED, "default")
    expected = replace(SETTINGS, description="d", automatic_failover=False, multi_az=False)
    assert group.settings == expected, "all but the flags that a request must ask for"
    assert shape(group) == [("0001", "", "abc")] and as_they_are(snapshot, group) == [True]


def test_what_a_request_leaves_out_of_several_shards_is_as_it_was(ctx: Context) -> None:
    source = sharded(3, 1)
    first, second, third = source.node_groups
    moved = replace(source, node_groups=(replace(first, id="0002"), replace(second, id="0004"), replace(third, id="0007")))
    snapshot = saved(ctx, moved)
    group = restored(ctx)
    assert (group.cluster_mode, group.parameter_group) == (ClusterMode.ENABLED, "default.valkey8.cluster.on")
    assert shape(group) == [("0002", "0-5460", "ab"), ("0004", "5461-10921", "ab"), ("0007", "10922-16383", "ab")]
    assert [node.id for node in group.nodes][:3] == ["new-0002-001", "new-0002-002", "new-0004-001"]
    assert as_they_are(snapshot, group) == [True, True, True]


def test_what_a_request_says_wins(ctx: Context) -> None:
    saved(ctx, plain())
    group = restored(
        ctx, engine="redis", engine_version="7.1", cache_node_type="cache.r6g.large", port=6400, preferred_maintenance_window="tue:01:00-tue:02:00",
        snapshot_window="09:00-10:00", auto_minor_version_upgrade=True, security_group_ids=["sg-0aaaaaaaaaaaaaaa0"], num_cache_clusters=2, snapshot_retention_limit=0,
        preferred_cache_cluster_azs=[C, B], automatic_failover_enabled=True, cache_parameter_group_name="default.redis7",
    )  # fmt: skip
    assert (group.engine_version, group.node_type, group.port) == ("7.1", "cache.r6g.large", 6400)
    settings = group.settings
    assert (settings.maintenance_window, settings.snapshot_window) == ("tue:01:00-tue:02:00", "09:00-10:00")
    assert settings.auto_minor_version_upgrade and settings.security_group_ids == ("sg-0aaaaaaaaaaaaaaa0",)
    assert settings.automatic_failover and settings.snapshot_retention_limit == 0 and shape(group) == [("0001", "", "cb")]


def test_a_window_that_overlaps_the_one_from_the_snapshot_is_refused(ctx: Context) -> None:
    saved(ctx, plain())
    with pytest.raises(InvalidParameterValue, match="must not overlap"):
        restored(ctx, preferred_maintenance_window="mon:05:30-mon:06:30")


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({}, [("0001", "", "abc")]),
        ({"num_node_groups": 1}, [("0001", "", "abc")]),
        ({"num_cache_clusters": 1}, [("0001", "", "a")]),
        ({"num_cache_clusters": 3}, [("0001", "", "abc")]),
        ({"replicas_per_node_group": 1}, [("0001", "", "ab")]),
        ({"preferred_cache_cluster_azs": [B, B, A]}, [("0001", "", "bba")]),
        ({"node_group_configuration": [{"replica_count": 1}]}, [("0001", "", "ab")]),
        ({"node_group_configuration": [{}]}, [("0001", "", "abc")]),
        ({"node_group_configuration": [{"primary_availability_zone": C}]}, [("0001", "", "cab")]),
        ({"node_group_configuration": [{"primary_availability_zone": C, "replica_availability_zones": [A]}]}, [("0001", "", "ca")]),
    ],
)  # fmt: skip
def test_one_node_group_has_the_replicas_and_zones_that_the_request_does_not_say(
    ctx: Context, asked: dict[str, Any], made: list[tuple[str, str, str]]
) -> None:
    saved(ctx, plain())
    assert shape(restored(ctx, **asked)) == made


EVEN_3 = ["0-5460", "5461-10921", "10922-16383"]
ODD_3 = ["0-99", "100-8191", "8192-16383"]


@pytest.mark.parametrize(
    ("asked", "made", "uncut"),
    [
        ({"num_node_groups": 3}, [("0001", ODD_3[0], "ab"), ("0002", ODD_3[1], "ab"), ("0003", ODD_3[2], "ab")], 3),
        ({"replicas_per_node_group": 0}, [("0001", ODD_3[0], "a"), ("0002", ODD_3[1], "b"), ("0003", ODD_3[2], "c")], 3),
        ({"num_node_groups": 1}, [("0001", "0-16383", "ab")], 0),
        ({"num_node_groups": 2}, [("0001", "0-8191", "ab"), ("0002", "8192-16383", "bc")], 1),
        ({"num_node_groups": 2, "replicas_per_node_group": 2}, [("0001", "0-8191", "abc"), ("0002", "8192-16383", "bca")], 1),
        ({"node_group_configuration": [{"replica_count": 0}, {"replica_count": 2}, {}]},
         [("0001", ODD_3[0], "a"), ("0002", ODD_3[1], "bca"), ("0003", ODD_3[2], "ab")], 3),
        ({"node_group_configuration": [{"slots": slots} for slots in EVEN_3]},
         [("0001", EVEN_3[0], "ab"), ("0002", EVEN_3[1], "ab"), ("0003", EVEN_3[2], "ab")], 0),
        ({"node_group_configuration": [{"node_group_id": "7", "slots": "0-8191"}, {"node_group_id": "9", "slots": "8192-16383"}]},
         [("0007", "0-8191", "ab"), ("0009", "8192-16383", "bc")], 1),
        ({"node_group_configuration": [{"node_group_id": "3"}, {"node_group_id": "0002"}, {"node_group_id": "0001"}]},
         [("0001", ODD_3[0], "ab"), ("0002", ODD_3[1], "ab"), ("0003", ODD_3[2], "ab")], 3),
        ({"node_group_configuration": [{"node_group_id": "11"}, {"node_group_id": "12"}, {"node_group_id": "13"}]},
         [("0011", ODD_3[0], "ab"), ("0012", ODD_3[1], "ab"), ("0013", ODD_3[2], "ab")], 3),
        ({"node_group_configuration": [{"primary_availability_zone": C, "replica_availability_zones": [A]}, {}, {}]},
         [("0001", ODD_3[0], "ca"), ("0002", ODD_3[1], "ab"), ("0003", ODD_3[2], "ab")], 3),
    ],
)  # fmt: skip
def test_shards_are_those_of_the_snapshot_unless_the_request_says_others(
    ctx: Context, asked: dict[str, Any], made: list[tuple[str, str, str]], uncut: int
) -> None:
    source = sharded(3, 1)
    slots = [replace(group, slots=odd.node_groups[0].slots) for group, odd in zip(source.node_groups, map(_with_slots, ODD_3), strict=True)]
    snapshot = saved(ctx, replace(source, node_groups=tuple(slots)))
    group = restored(ctx, **asked)
    assert shape(group) == made
    assert sum(as_they_are(snapshot, group)) == uncut, "node groups with the same slots begin with the very files"


def _with_slots(text: str) -> Topology:
    first, last = map(int, text.split("-"))
    source = sharded(1)
    (part,) = source.node_groups
    (whole,) = part.slots
    return source.with_group(replace(part, slots=(replace(whole, first=first, last=last),)))


def test_zones_that_are_not_here_are_chosen_anew(ctx: Context) -> None:
    elsewhere = [replace(node, zone="us-east-1f") for node in plain().node_groups[0].nodes]
    saved(ctx, plain().with_group(replace(plain().node_groups[0], nodes=tuple(elsewhere))))
    assert shape(restored(ctx)) == [("0001", "", "abc")]


def test_a_snapshot_of_one_cache_cluster_becomes_one_node(ctx: Context) -> None:
    saved(ctx, plain(), member="orders-002")
    assert shape(restored(ctx)) == [("0001", "", "a")]


def test_a_compatible_group_becomes_one_again(ctx: Context) -> None:
    source = sharded(1, 1, cluster_mode=ClusterMode.COMPATIBLE)
    snapshot = saved(ctx, source)
    group = restored(ctx)
    assert (group.cluster_mode, group.parameter_group) == (ClusterMode.COMPATIBLE, "default.valkey8.cluster.on")
    assert as_they_are(snapshot, group) == [True]


def test_outside_cluster_mode_it_can_become_several_shards(ctx: Context) -> None:
    snapshot = saved(ctx, plain(2))
    group = restored(ctx, num_node_groups=3, automatic_failover_enabled=True)
    assert (group.cluster_mode, group.parameter_group) == (ClusterMode.ENABLED, "default.redis7.cluster.on")
    assert shape(group) == [("0001", EVEN_3[0], "ab"), ("0002", EVEN_3[1], "bc"), ("0003", EVEN_3[2], "ca")]
    assert as_they_are(snapshot, group) == [False] * 3


@pytest.mark.parametrize("asked", [{"cluster_mode": "enabled"}, {"cache_parameter_group_name": "default.redis7.cluster.on"}])
def test_outside_cluster_mode_it_can_become_one_shard(ctx: Context, asked: dict[str, Any]) -> None:
    snapshot = saved(ctx, plain(2))
    group = restored(ctx, **asked)
    assert group.cluster_mode is ClusterMode.ENABLED and shape(group) == [("0001", "0-16383", "ab")]
    assert as_they_are(snapshot, group) == [True]


# ---- engines and parameter groups


@pytest.mark.parametrize(
    ("source", "asked", "version", "parameters"),
    [
        (("redis", "7.0"), {}, "redis 7.0", "default.redis7"),
        (("redis", "7.0"), {"engine": "REDIS"}, "redis 7.0", "default.redis7"),
        (("redis", "7.0"), {"engine_version": "7.1"}, "redis 7.1", "default.redis7"),
        (("redis", "6.2"), {"engine_version": "7.x"}, "redis 7.1", "default.redis7"),
        (("redis", "6.2"), {"engine_version": "6.x"}, "redis 6.2", "default.redis6.x"),
        (("redis", "7.1"), {"engine": "valkey"}, "valkey 9.1", "default.valkey9"),
        (("redis", "7.1"), {"engine": "valkey", "engine_version": "7.2"}, "valkey 7.2", "default.valkey7"),
        (("valkey", "8.1"), {"engine_version": "9.1"}, "valkey 9.1", "default.valkey9"),
        (("valkey", "8.1"), {"engine_version": "8.0"}, COMBINATION, "cannot be restored into the earlier 8.0"),
        (("valkey", "8.1"), {"engine": "redis"}, COMBINATION, "only redis can become valkey"),
        (("redis", "7.1"), {"engine_version": "7.0"}, COMBINATION, "cannot be restored into the earlier 7.0"),
        (("redis", "7.1"), {"engine": "memcached"}, COMBINATION, "cannot be restored into memcached"),
        (("redis", "7.1"), {"engine": "dragonfly"}, VALUE, "Invalid cache engine"),
        (("redis", "7.1"), {"engine_version": "7.2"}, VALUE, "Cannot find version 7.2 for redis"),
    ],
)
def test_the_same_engine_or_a_later_one(
    ctx: Context, source: tuple[str, str], asked: dict[str, Any], version: str | type[Fault], parameters: str
) -> None:
    engine, number = source
    saved(ctx, plain(engine=engine, engine_version=number))
    if isinstance(version, str):
        group = restored(ctx, **asked)
        assert (f"{group.engine} {group.engine_version}", group.parameter_group) == (version, parameters)
    else:
        with pytest.raises(version, match=parameters):
            restored(ctx, **asked)


def test_a_parameter_group_of_ones_own_is_kept(ctx: Context) -> None:
    saved(ctx, plain(parameter_group=own_group(ctx, timeout="77")))
    group = restored(ctx)
    assert (group.parameter_group, group.parameters) == ("own", (("timeout", "77"),))


@pytest.mark.parametrize(
    ("asked", "parameters"),
    [
        ({"engine": "valkey", "engine_version": "8.1"}, "default.valkey8"),
        ({"num_node_groups": 2}, "default.redis7.cluster.on"),
        ({"cache_parameter_group_name": "default.redis7"}, "default.redis7"),
    ],
)
def test_a_parameter_group_that_does_not_go_with_it_gives_way_to_the_default(
    ctx: Context, asked: dict[str, Any], parameters: str
) -> None:
    saved(ctx, plain(parameter_group=own_group(ctx)))
    assert restored(ctx, **asked).parameter_group == parameters


def test_a_parameter_group_that_is_gone_gives_way_to_the_default(ctx: Context) -> None:
    saved(ctx, plain(parameter_group="own"))
    assert restored(ctx).parameter_group == "default.redis7"


def test_a_subnet_group_that_is_gone_must_be_named_anew(ctx: Context) -> None:
    saved(ctx, plain(subnet_group="inner"))
    with pytest.raises(CacheSubnetGroupNotFound, match="inner, which snapshot monday names, is gone"):
        restored(ctx)
    assert restored(ctx, cache_subnet_group_name="default").subnet_group == "default"


# ---- one cache cluster


def test_a_cache_cluster_begins_with_a_snapshot_and_is_like_its_source(ctx: Context) -> None:
    snapshot = saved(ctx, a_cache_cluster(engine="redis", engine_version="7.0", node_type="cache.m6g.large", port=7000, settings=SETTINGS))
    alone = restored_alone(ctx)
    assert (alone.engine, alone.engine_version, alone.node_type, alone.port) == ("redis", "7.0", "cache.m6g.large", 7000)
    assert alone.parameter_group == "default.redis7" and alone.settings.maintenance_window == SETTINGS.maintenance_window
    assert alone.seed is not None and alone.seed.snapshot == snapshot.uid and ctx.status(alone) == "creating"
    assert shape(alone) == [("0001", "", "a")] and as_they_are(snapshot, alone) == [True]


def test_a_cache_cluster_can_begin_with_a_snapshot_of_a_group(ctx: Context) -> None:
    saved(ctx, plain())
    alone = restored_alone(ctx, engine="redis", engine_version="7.1", preferred_availability_zone=C, port=6400)
    assert (alone.engine_version, alone.port, shape(alone)) == ("7.1", 6400, [("0001", "", "c")])


@pytest.mark.parametrize(
    ("source", "asked", "fault", "says"),
    [
        (sharded(), {}, COMBINATION, "can only be restored into another one"),
        (plain(engine="valkey", engine_version="8.1"), {}, VALUE, "doesn't support Valkey"),
        (plain(), {"engine": "valkey"}, VALUE, "doesn't support Valkey"),
        (plain(), {"engine": "memcached"}, COMBINATION, "Memcached takes no snapshots: leave out SnapshotName"),
        (plain(), {"num_cache_nodes": 2}, VALUE, "exactly 1 node"),
        (plain(), {"replication_group_id": "orders"}, COMBINATION, "gets its data from the primary"),
        (plain(), {"replication_group_id": "orders", "snapshot_name": None, "snapshot_arns": ["arn:aws:s3:::b/k"]}, COMBINATION,
         "gets its data from the primary"),
    ],
)  # fmt: skip
def test_what_a_cache_cluster_cannot_begin_with(
    ctx: Context, source: Topology, asked: dict[str, Any], fault: type[Fault], says: str
) -> None:
    saved(ctx, source)
    with pytest.raises(fault, match=says):
        restored_alone(ctx, **asked)


# ---- tags


def test_tags_come_from_the_request_or_else_from_the_snapshot(ctx: Context) -> None:
    saved(ctx, plain(2))
    ctx.unit.tags.put(arn(WORLD, "snapshot", "monday"), {"team": "red"})
    restored(ctx)
    for kind, name in (("replicationgroup", "new"), ("cluster", "new-001"), ("cluster", "new-002")):
        assert ctx.unit.tags.of(arn(WORLD, kind, name)) == {"team": "red"}
    restored_alone(ctx, tags=[Tag(key="team", value="blue")])
    assert ctx.unit.tags.of(arn(WORLD, "cluster", "new")) == {"team": "blue"}
