"""A new cache that begins with a snapshot: what it has from there, what the request may change, and what cannot be."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, WORLD, FixedClock, a_cache_cluster, a_group, a_sharded_group, an_agent

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.faults import (
    CacheSubnetGroupNotFound,
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSnapshotState,
    ServiceUnavailable,
    SnapshotNotFound,
)
from api_schemas.parts import Tag
from api_schemas.replication_group import CreateReplicationGroup
from archives.archive import Told
from archives.buckets import (
    BadKeyError,
    BucketAwayError,
    BucketError,
    DirectoryBuckets,
    NotAccessibleError,
    OutsideRegionError,
)
from controlplane.domain.backup import ArchivePlace, Cause, SavedFile
from controlplane.domain.naming import arn
from controlplane.domain.node_types import MIB
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.seeding import cuts
from controlplane.domain.settings import Settings
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotState, begun
from controlplane.domain.topology import ClusterMode, Kind, Topology
from controlplane.operations.cache_clusters import create_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.performs import Operations
from controlplane.operations.replication_groups import create_replication_group
from controlplane.operations.seeding import files_to_find
from controlplane.planner.situation import Policy
from controlplane.store.store import Store

COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue
A, B, C = (f"us-east-1{letter}" for letter in "abc")
ARCHIVE = ArchivePlace("file:///archive", "a1")
SETTINGS = Settings(
    description="of old", maintenance_window="mon:01:00-mon:02:00", snapshot_window="05:00-06:00", auto_minor_version_upgrade=False,
    security_group_ids=("sg-0123456789abcdef0",), automatic_failover=True, multi_az=True, snapshot_retention_limit=7,
)  # fmt: skip
BINARIES = [("redis", "6.2.6"), ("redis", "7.0.15"), ("redis", "7.1.0"), ("valkey", "7.2.6"), ("valkey", "8.1.0"), ("valkey", "9.1.0")]


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones that has every engine."""
    engines = [EngineBinary(engine=engine, version=version, path=f"/{engine}-{version}") for engine, version in BINARIES]
    for letter in "abc":
        hello = an_agent(f"agent-{letter}", f"{WORLD.region}{letter}")
        ctx.unit.agents.put(hello.model_copy(update={"engines": engines}))
    return replace(ctx, archive=ARCHIVE)


def saved(ctx: Context, topology: Topology, *, used: int = MIB, databases: int = 1, version: str = "REDIS0009",
          member: str | None = None, **fields: Any) -> Snapshot:  # fmt: skip
    """A snapshot of the topology that is available, with so many bytes in each of its node groups."""
    _, snapshot = begun(topology, "monday", Cause.MANUAL, ARCHIVE, NOW, "snap-1", member, whole=member is None)
    file = SavedFile("snap-1/0001-1.rdb", 1000, "ab" * 32, version, NOW, keys=10, databases=databases, used_memory=used)
    parts = tuple(replace(part, file=file) for part in snapshot.parts)
    snapshot = replace(snapshot, parts=parts, gathered=True, state=SnapshotState.AVAILABLE, **fields)
    ctx.unit.snapshots.save(snapshot)
    return snapshot


def plain(nodes: int = 3, **fields: Any) -> Topology:
    """A group outside cluster mode, with settings of its own."""
    usual = {"engine": "redis", "engine_version": "7.0", "parameter_group": "default.redis7", "settings": SETTINGS, "port": 7000}
    return a_group(nodes=nodes, **{**usual, "node_type": "cache.m6g.large", **fields})


def sharded(shards: int = 3, replicas: int = 1, **fields: Any) -> Topology:
    """A group with cluster mode enabled."""
    usual = {"engine_version": "8.1", "parameter_group": "default.valkey8.cluster.on", "settings": SETTINGS, "port": 7000}
    return a_sharded_group(shards=shards, replicas=replicas, **{**usual, **fields})


def restored(ctx: Context, **fields: Any) -> Topology:
    """The replication group that a request makes."""
    usual = {"replication_group_id": "new", "replication_group_description": "d", "snapshot_name": "monday"}
    create_replication_group(ctx, CreateReplicationGroup(**{**usual, **fields}))
    found = ctx.unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "new")
    assert found is not None
    return found


def restored_alone(ctx: Context, **fields: Any) -> Topology:
    """The cache cluster that a request makes."""
    create_cache_cluster(ctx, CreateCacheCluster(**{"cache_cluster_id": "new", "snapshot_name": "monday", **fields}))
    found = ctx.unit.topologies.named(WORLD, Kind.CACHE_CLUSTER, "new")
    assert found is not None
    return found


def shape(topology: Topology) -> list[tuple[str, str, str]]:
    """Each node group: its id, its slots, the zones of its nodes by their letters."""
    return [(group.id, shown_slots(group.slots), "".join(node.zone[-1] for node in group.nodes)) for group in topology.node_groups]


def as_they_are(snapshot: Snapshot, topology: Topology) -> list[bool]:
    return [cut.as_it_is for cut in cuts(snapshot.parts, topology.node_groups)]


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


def own_group(ctx: Context, family: str = "redis7", **values: str) -> str:
    """A parameter group of the caller's own."""
    differing = tuple((name.replace("_", "-"), value) for name, value in values.items())
    ctx.unit.parameter_groups.save(ParameterGroup(WORLD, "own", family, "", differing))
    return "own"


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


# ---- what cannot be


@pytest.mark.parametrize("state", [state for state in SnapshotState if state is not SnapshotState.AVAILABLE])
def test_a_snapshot_must_be_available(ctx: Context, state: SnapshotState) -> None:
    saved(ctx, plain())
    there = ctx.unit.snapshots.named(WORLD, "monday")
    assert there is not None
    ctx.unit.snapshots.save(replace(there, state=state))
    for restore in (restored, restored_alone):
        with pytest.raises(InvalidSnapshotState, match=f"it is {state.value}"):
            restore(ctx)


@pytest.mark.parametrize(
    ("asked", "fault", "says"),
    [
        ({"snapshot_name": "tuesday"}, SnapshotNotFound, "Snapshot tuesday not found"),
        ({"snapshot_arns": ["arn:aws:s3:::bucket/key"]}, COMBINATION, "cannot be given together"),
    ],
)
def test_a_request_that_names_nothing_or_too_much_is_refused(
    ctx: Context, asked: dict[str, Any], fault: type[Fault], says: str
) -> None:
    saved(ctx, plain())
    for restore in (restored, restored_alone):
        with pytest.raises(fault, match=says):
            restore(ctx, **asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cluster_mode": "disabled"}, "can only be restored into another one"),
        ({"cluster_mode": "compatible"}, "can only be restored into another one"),
        ({"cache_parameter_group_name": "default.valkey8"}, "can only be restored into another one"),
        ({"num_cache_clusters": 2}, "has 3 node groups: give NumNodeGroups"),
        ({"preferred_cache_cluster_azs": [A, B]}, "PreferredCacheClusterAZs is for one node group"),
        ({"automatic_failover_enabled": False}, "Turning off automatic failover"),
    ],
)
def test_what_several_shards_cannot_become(ctx: Context, asked: dict[str, Any], says: str) -> None:
    saved(ctx, sharded(3))
    with pytest.raises(InvalidParameterCombination, match=says):
        restored(ctx, **asked)
    assert ctx.unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "new") is None


# what a node of cache.t4g.small can hold is some 1051 MiB: 1.37 GiB less a quarter
@pytest.mark.parametrize(
    ("source", "used", "asked", "says"),
    [
        (plain(), 600 * MIB, {"cache_node_type": "cache.t4g.small"}, None),
        (plain(), 1600 * MIB, {}, None),
        (plain(), 1600 * MIB, {"cache_node_type": "cache.t4g.small"}, "0001 would hold some 1600 MiB, and a node of type cache.t4g.small can"),
        (plain(), 1600 * MIB, {"cache_node_type": "cache.t4g.small", "num_node_groups": 2}, None),
        (sharded(3), 600 * MIB, {}, None),
        (sharded(3), 600 * MIB, {"num_node_groups": 2}, None),
        (sharded(3), 600 * MIB, {"num_node_groups": 1}, "0001 would hold some 1800 MiB"),
        (sharded(3), 600 * MIB, {"num_node_groups": 1, "cache_node_type": "cache.m6g.large"}, None),
        (sharded(2), 900 * MIB, {"node_group_configuration": [{"slots": "0-99"}, {"slots": "100-16383"}]}, "0002 would hold some 1789 MiB"),
    ],
)
def test_what_would_not_fit_is_refused_with_both_figures(
    ctx: Context, source: Topology, used: int, asked: dict[str, Any], says: str | None
) -> None:
    saved(ctx, source, used=used)
    if says is None:
        assert restored(ctx, **asked).seed is not None
    else:
        with pytest.raises(InvalidParameterCombination, match=says):
            restored(ctx, **asked)


@pytest.mark.parametrize(
    ("asked", "family", "values", "says"),
    [
        ({}, "redis7", {}, None),
        ({"num_node_groups": 2}, "redis7", {}, "keys in database 2, and in cluster mode redis 7.0 would have 1 .cluster-databases of"),
        ({"cluster_mode": "enabled"}, "redis7", {}, "keys in database 2"),
        ({"cluster_mode": "compatible"}, "redis7", {}, "keys in database 2"),
        ({"cache_parameter_group_name": "own"}, "redis7", {"databases": "2"}, "keys in database 2, and the new cache would have 2"),
        ({"cache_parameter_group_name": "own"}, "redis7", {"databases": "3"}, None),
        ({"engine": "valkey", "cache_parameter_group_name": "own"}, "valkey9", {"cluster_enabled": "yes", "cluster_databases": "3"}, None),
        ({"engine": "valkey", "cache_parameter_group_name": "own"}, "valkey9", {"cluster_enabled": "yes", "cluster_databases": "2"},
         "in cluster mode valkey 9.1 would have 2"),
    ],
)  # fmt: skip
def test_keys_in_databases_that_would_not_be_there_are_refused(
    ctx: Context, asked: dict[str, Any], family: str, values: dict[str, str], says: str | None
) -> None:
    own_group(ctx, family, **values)
    saved(ctx, plain(), databases=3)
    if says is None:
        assert restored(ctx, **asked).seed is not None
    else:
        with pytest.raises(InvalidParameterCombination, match=says):
            restored(ctx, **asked)


def only(ctx: Context, *binaries: tuple[str, str], zones: str = "abc") -> None:
    """The agents of these zones have no other engines."""
    engines = [EngineBinary(engine=engine, version=version, path=f"/{engine}-{version}") for engine, version in binaries]
    for letter in zones:
        ctx.unit.agents.put(an_agent(f"agent-{letter}", f"{WORLD.region}{letter}").model_copy(update={"engines": engines}))


@pytest.mark.parametrize(
    ("version", "source", "asked", "there", "says"),
    [
        ("REDIS0010", ("redis", "7.0"), {}, None, None),
        ("REDIS0010", ("redis", "6.2"), {}, None, "The file is REDIS0010, and redis 6.2.6 reads no later than REDIS0009"),
        ("REDIS0011", ("valkey", "8.1"), {"engine_version": "9.1"}, None, None),
        ("VALKEY080", ("valkey", "9.1"), {}, None, None),
        # written by a Valkey 9 that stood in for an earlier one
        ("VALKEY080", ("valkey", "8.1"), {}, None, "into valkey 8.1 in us-east-1a. The file is VALKEY080, and valkey 8.1.0 reads no later than"),
        ("VALKEY080", ("valkey", "8.1"), {}, [("valkey", "9.1.2")], None),
        ("VALKEY080", ("valkey", "8.1"), {"engine_version": "9.1"}, None, None),
        # and by a Valkey 8 that stood in for Redis
        ("REDIS0011", ("redis", "7.1"), {}, [("redis", "7.0.15")], "redis 7.0.15 reads no later than REDIS0010"),
        ("REDIS0011", ("redis", "7.1"), {}, [("valkey", "8.1.3")], None),
        ("REDIS0011", ("redis", "7.1"), {"engine": "valkey"}, None, None),
        ("REDIS0012", ("redis", "7.1"), {"engine": "valkey"}, None, "valkey 9.1.0 reads no later than REDIS0011 and VALKEY080"),
    ],
)  # fmt: skip
def test_the_programs_that_are_there_must_be_able_to_read_the_files(
    ctx: Context, version: str, source: tuple[str, str], asked: dict[str, Any], there: list[tuple[str, str]] | None, says: str | None
) -> None:
    saved(ctx, plain(engine=source[0], engine_version=source[1]), version=version)
    if there is not None:
        only(ctx, *there)
    if says is None:
        assert restored(ctx, **asked).seed is not None
    else:
        with pytest.raises(InvalidParameterCombination, match=re.escape(says)):
            restored(ctx, **asked)


def test_only_the_zones_of_primaries_count_for_who_reads_a_file(ctx: Context) -> None:
    saved(ctx, plain(engine="valkey", engine_version="8.1"), version="VALKEY080")
    only(ctx, ("valkey", "9.1.2"), zones="b")
    assert shape(restored(ctx, preferred_cache_cluster_azs=[B, A, C])) == [("0001", "", "bac")]


def test_making_an_existing_cluster_the_primary_stays_refused(ctx: Context) -> None:
    saved(ctx, plain())
    with pytest.raises(InvalidParameterValue, match="PrimaryClusterId"):
        restored(ctx, primary_cluster_id="sessions")


# ---- files in buckets

ARNS = [f"arn:aws:s3:::backups/orders-000{number}.rdb" for number in (1, 2, 3)]


def test_a_group_can_begin_with_a_file_of_a_caller(ctx: Context) -> None:
    group = restored(ctx, snapshot_name=None, snapshot_arns=ARNS[:1])
    assert group.seed is not None and (group.seed.arns, group.seed.snapshot, group.seed.name) == ((ARNS[0],), None, ARNS[0])
    assert group.seed.archive == ARCHIVE and ctx.status(group) == "creating"
    alone = restored_alone(ctx, snapshot_name=None, snapshot_arns=ARNS[:1], engine="redis")
    assert alone.seed is not None and alone.seed.arns == (ARNS[0],)


SLOTTED = [{"slots": "0-99"}, {"slots": "100-16383"}]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"num_node_groups": 2, "snapshot_arns": ARNS}, None),
        ({"num_node_groups": 3, "snapshot_arns": ARNS[:1]}, None),
        ({"node_group_configuration": SLOTTED, "snapshot_arns": ARNS[:2]}, None),
        ({"node_group_configuration": SLOTTED, "snapshot_arns": ARNS}, "names 3 files for 2 node groups with Slots"),
        ({"snapshot_arns": ARNS}, "names 3 files, and a cache without several shards begins with exactly 1"),
        ({"cluster_mode": "compatible", "snapshot_arns": ARNS}, "names 3 files"),
        ({"num_node_groups": 2, "snapshot_arns": [ARNS[0], ARNS[0]]}, f"names {ARNS[0]} more than once"),
    ],
)
def test_there_must_be_as_many_files_as_node_groups_can_use(ctx: Context, asked: dict[str, Any], says: str | None) -> None:
    wanted = {"snapshot_name": None, "engine": "valkey", **asked}
    if says is None:
        seed = restored(ctx, **wanted).seed
        assert seed is not None and list(seed.arns) == asked["snapshot_arns"]
    else:
        with pytest.raises(InvalidParameterValue, match=says):
            restored(ctx, **wanted)


def test_a_cache_cluster_begins_with_one_file(ctx: Context) -> None:
    with pytest.raises(InvalidParameterValue, match="names 2 files"):
        restored_alone(ctx, snapshot_name=None, snapshot_arns=ARNS[:2], engine="redis")
    with pytest.raises(InvalidParameterValue, match="Engine must be given"):
        restored_alone(ctx, snapshot_name=None, snapshot_arns=ARNS[:1])


@pytest.fixture
def buckets(ctx: Context, tmp_path: Path) -> Context:
    """With a folder of buckets, in one of which there is a file, and an empty one."""
    there = tmp_path / "buckets" / "backups"
    (there / "old").mkdir(parents=True)
    (there / "old" / "orders.rdb").write_bytes(b"REDIS0011")
    (there / "empty.rdb").touch()
    return replace(ctx, buckets=DirectoryBuckets(tmp_path / "buckets"))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("arn:aws:s3:::backups/old/orders.rdb", None),
        ("arn:aws-cn:s3:::backups/old/orders.rdb", None),
        ("arn:aws:s3:::backups/orders.rdb", "The S3 bucket backups does not contain an object with key orders.rdb."),
        ("arn:aws:s3:::backups/old", "does not contain an object with key old"),
        ("arn:aws:s3:::others/orders.rdb", "The S3 bucket others does not exist."),
        ("arn:aws:s3:::backups/../backups/old/orders.rdb", "has no place in a folder"),
        ("arn:aws:s3:::backups/empty.rdb", "The object empty.rdb in the S3 bucket backups is empty"),
        ("arn:aws:s3:::backups", "is not of the form arn:aws:s3:::bucket/key"),
        ("arn:aws:s3:::backups/", "is no ARN of an object"),
        ("backups/orders.rdb", "is not of the form"),
        ("arn:aws:sqs:::backups/orders.rdb", "is not of the form"),
    ],
)
def test_the_files_must_be_there(buckets: Context, named: str, says: str | None) -> None:
    asked = CreateReplicationGroup(replication_group_id="new", replication_group_description="d", snapshot_arns=[named])
    if says is None:
        look(buckets, asked)
        assert files_to_find(buckets, asked) is not None
    else:
        with pytest.raises(InvalidParameterValue) as refused:
            look(buckets, asked)
        assert says in refused.value.message


def look(ctx: Context, asked: CreateReplicationGroup | CreateCacheCluster) -> None:
    """What happens before the transaction."""
    if (make_sure := files_to_find(ctx, asked)) is not None:
        make_sure()


def test_no_file_is_looked_for_where_none_is_named(ctx: Context) -> None:
    named = CreateCacheCluster(cache_cluster_id="new", snapshot_name="monday", snapshot_arns=ARNS)
    assert files_to_find(ctx, named) is None and files_to_find(ctx, CreateCacheCluster(cache_cluster_id="new")) is None
    with pytest.raises(InvalidParameterValue, match="reaches no buckets"):
        files_to_find(ctx, CreateCacheCluster(cache_cluster_id="new", snapshot_arns=ARNS))


class Failing:
    """Buckets that fail in one way."""

    def __init__(self, kind: type[BucketError]) -> None:
        self._kind = kind

    def exists(self, bucket: str) -> bool:
        raise self._kind(bucket, "", "it {is} so")

    def size(self, bucket: str, key: str) -> int:
        raise self._kind(bucket, key, "it {is} so")

    def fetch(self, bucket: str, key: str, target: Path, told: Told | None = None) -> None:
        raise self._kind(bucket, key, "it {is} so")

    def put(self, bucket: str, key: str, source: Path, told: Told | None = None) -> None:
        raise self._kind(bucket, key, "it {is} so")


@pytest.mark.parametrize(
    ("kind", "fault", "says"),
    [
        (NotAccessibleError, VALUE, "ElastiCache has not been granted READ permissions backups on the S3 Bucket."),
        (OutsideRegionError, VALUE, "The S3 bucket backups is outside of the region."),
        (BadKeyError, VALUE, "it {is} so."),
        (BucketAwayError, ServiceUnavailable, "The S3 bucket backups does not answer; nothing was changed. Try again. It said: it {is} so"),
    ],
)
def test_what_fails_of_a_bucket_is_said_in_the_services_words(
    ctx: Context, kind: type[BucketError], fault: type[Fault], says: str
) -> None:
    asked = CreateCacheCluster(cache_cluster_id="new", engine="redis", snapshot_arns=ARNS[:1])
    with pytest.raises(fault) as refused:
        look(replace(ctx, buckets=Failing(kind)), asked)
    assert refused.value.message == says


def test_files_are_looked_for_before_the_database_is_locked(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    asked = CreateReplicationGroup(replication_group_id="new", replication_group_description="d", snapshot_arns=ARNS[:1])

    class Writing(Failing):
        """Buckets that take so long that somebody else writes meanwhile."""

        def size(self, bucket: str, key: str) -> int:
            with store.transaction() as unit:
                unit.agents.put(an_agent("agent-a", A))
            return super().size(bucket, key)

    try:
        operations = Operations(store, FixedClock(), Policy(), archive=ARCHIVE, buckets=Writing(NotAccessibleError))
        with pytest.raises(InvalidParameterValue, match="READ permissions backups"):
            operations.run("CreateReplicationGroup", WORLD, asked)
        with store.reading() as unit:
            assert [hello.agent for hello in unit.agents.all()] == ["agent-a"]
    finally:
        store.close()
