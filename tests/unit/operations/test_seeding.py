"""A new cache begins with a snapshot or with files of its caller: what cannot be is refused before anything is made."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import WORLD, FixedClock, an_agent
from restoring import ARCHIVE, own_group, plain, restored, restored_alone, saved, shape, sharded, with_agents

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.faults import (
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSnapshotState,
    ServiceUnavailable,
    SnapshotNotFound,
)
from api_schemas.replication_group import CreateReplicationGroup
from archives.archive import Told
from archives.buckets import BadKeyError, BucketAwayError, BucketError, DirectoryBuckets, NotAccessibleError, OutsideRegionError
from controlplane.domain.node_types import MIB
from controlplane.domain.snapshot import SnapshotState
from controlplane.domain.topology import Kind, Topology
from controlplane.operations.context import Context
from controlplane.operations.performs import Operations
from controlplane.operations.seeding import files_to_find
from controlplane.planner.situation import Policy
from controlplane.store.store import Store

COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue
A, B, C = (f"us-east-1{letter}" for letter in "abc")


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones that has every engine."""
    return with_agents(ctx)


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
