"""Snapshots that callers ask for: of what, which refusals there are, how they are shown, and how they go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import NOW, FixedClock, a_cache_cluster, a_group, a_sharded_group, have

from api_schemas.faults import (
    CacheClusterNotFound,
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    InvalidSnapshotState,
    ReplicationGroupNotFound,
    SnapshotAlreadyExists,
    SnapshotFeatureNotSupported,
    SnapshotNotFound,
    SnapshotQuotaExceeded,
    TagQuotaPerResourceExceeded,
)
from api_schemas.parts import NodeGroupConfiguration, Tag
from api_schemas.snapshot import CreateSnapshot, DeleteSnapshot, DescribeSnapshots
from api_schemas.snapshot import Snapshot as Shown
from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile, Seed
from controlplane.domain.naming import arn
from controlplane.domain.node_types import MIB
from controlplane.domain.settings import Settings
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState
from controlplane.domain.topology import ClusterMode, Topology
from controlplane.operations.context import Context
from controlplane.operations.snapshots import create_snapshot, delete_snapshot, describe_snapshots

ARCHIVE = ArchivePlace("file:///archive", "a1")
COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue
ALONE = a_cache_cluster(engine="redis")
BUSY = Backup("other", Cause.MANUAL, (BackupPart("0001"),), NOW, ARCHIVE)


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an archive."""
    return replace(ctx, archive=ARCHIVE)


def create(ctx: Context, name: str = "monday", **asked: Any) -> Shown:
    return create_snapshot(ctx, CreateSnapshot(snapshot_name=name, **asked)).snapshot


def describe(ctx: Context, **asked: Any) -> list[Shown]:
    return describe_snapshots(ctx, DescribeSnapshots(**asked)).snapshots


def names(ctx: Context, **asked: Any) -> list[str]:
    return [snapshot.snapshot_name for snapshot in describe(ctx, **asked)]


def delete(ctx: Context, name: str = "monday") -> Shown:
    return delete_snapshot(ctx, DeleteSnapshot(snapshot_name=name)).snapshot


def written(ctx: Context, name: str = "monday") -> Snapshot:
    found = ctx.unit.snapshots.named(ctx.world, name)
    assert found is not None
    return found


def kept(ctx: Context, name: str = "monday", *, used: int = 3 * MIB, **fields: Any) -> Snapshot:
    """Every node group has its file, and the source is available again."""
    snapshot = written(ctx, name)
    file = SavedFile("key", 1000, "ab" * 32, "VALKEY080", NOW + timedelta(seconds=2), keys=1, used_memory=used)
    parts = tuple(replace(part, file=file) for part in snapshot.parts)
    there = replace(snapshot, parts=parts, gathered=True, **{"state": SnapshotState.AVAILABLE, **fields})
    ctx.unit.snapshots.save(there)
    source = ctx.unit.topologies.get(snapshot.origin.uid)
    if source is not None:
        ctx.unit.topologies.save(replace(source, backup=None))
    return there


# ---- of what


@pytest.mark.parametrize(
    ("source", "asked", "member", "cache_cluster"),
    [
        (a_group(), {"replication_group_id": "orders"}, None, None),
        (a_group(settings=Settings(snapshotting_cluster="orders-002")), {"replication_group_id": "orders"}, "orders-002", None),
        (a_group(), {"cache_cluster_id": "orders-002"}, "orders-002", "orders-002"),
        (a_group(), {"cache_cluster_id": "orders-001"}, "orders-001", "orders-001"),
        (a_group(), {"cache_cluster_id": "Orders-003", "replication_group_id": "ORDERS"}, "orders-003", "orders-003"),
        (a_group(cluster_mode=ClusterMode.COMPATIBLE), {"cache_cluster_id": "orders-002"}, "orders-002", "orders-002"),
        (a_sharded_group(), {"replication_group_id": "orders"}, None, None),
        (a_sharded_group(), {"replication_group_id": "orders", "cache_cluster_id": "orders-0001-001"}, None, None),
        (ALONE, {"cache_cluster_id": "sessions"}, None, "sessions"),
    ],
)
def test_a_backup_of_the_source_begins_and_a_snapshot_is_written_down(
    ctx: Context, source: Topology, asked: dict[str, str], member: str | None, cache_cluster: str | None
) -> None:
    have(ctx, source)
    answer = create(ctx, "Monday", **asked)
    snapshot, topology = written(ctx), ctx.unit.topologies.get(source.uid)
    assert topology is not None and topology.backup is not None
    assert (topology.backup.snapshot, topology.backup.cause, topology.backup.member) == (snapshot.uid, Cause.MANUAL, member)
    assert topology.backup.archive == ARCHIVE == snapshot.archive
    assert [part.group for part in topology.backup.open_parts] == [group.id for group in source.node_groups]
    assert snapshot.cache_cluster == cache_cluster
    assert (answer.snapshot_name, answer.snapshot_status, answer.snapshot_source) == ("monday", "creating", "manual")
    assert ctx.status(topology) == "snapshotting"


@pytest.mark.parametrize(
    ("source", "asked", "fault"),
    [
        (a_group(), {}, COMBINATION),
        (a_group(), {"replication_group_id": "", "cache_cluster_id": ""}, COMBINATION),
        (a_group(), {"replication_group_id": "others"}, ReplicationGroupNotFound),
        (a_group(), {"cache_cluster_id": "orders"}, CacheClusterNotFound),
        (a_group(), {"cache_cluster_id": "orders-009"}, CacheClusterNotFound),
        (a_group(), {"cache_cluster_id": "orders-009", "replication_group_id": "orders"}, CacheClusterNotFound),
        (a_sharded_group(), {"cache_cluster_id": "orders-0001-001"}, VALUE),
        (a_cache_cluster(), {"cache_cluster_id": "sessions"}, SnapshotFeatureNotSupported),
        (a_cache_cluster(created=False), {"cache_cluster_id": "sessions"}, SnapshotFeatureNotSupported),
        (replace(ALONE, node_type="cache.t1.micro"), {"cache_cluster_id": "sessions"}, SnapshotFeatureNotSupported),
        (a_group(node_type="cache.t1.micro"), {"replication_group_id": "orders"}, SnapshotFeatureNotSupported),
        (a_group(created=False), {"replication_group_id": "orders"}, InvalidReplicationGroupState),
        (a_group(modifying=True), {"replication_group_id": "orders"}, InvalidReplicationGroupState),
        (a_group(deleting=True), {"replication_group_id": "orders"}, InvalidReplicationGroupState),
        (a_group(backup=BUSY), {"replication_group_id": "orders"}, InvalidReplicationGroupState),
        (a_group(backup=BUSY), {"cache_cluster_id": "orders-002"}, InvalidCacheClusterState),
        (a_group().with_reboot_of(["orders-002"]), {"cache_cluster_id": "orders-002"}, InvalidCacheClusterState),
        (a_group(modifying=True), {"cache_cluster_id": "orders-002"}, InvalidCacheClusterState),
        (replace(ALONE, modifying=True), {"cache_cluster_id": "sessions"}, InvalidCacheClusterState),
        (a_group(), {"replication_group_id": "orders", "kms_key_id": "key"}, VALUE),
        (a_group(), {"replication_group_id": "orders", "tags": [Tag(key="aws:a")]}, VALUE),
        (a_group(), {"replication_group_id": "orders", "tags": [Tag(key=f"k{n}") for n in range(51)]}, TagQuotaPerResourceExceeded),
        (a_group(), {"replication_group_id": "orders", "name": "-"}, VALUE),
        (a_group(), {"replication_group_id": "orders", "name": ""}, VALUE),
        (a_group(), {"replication_group_id": "orders", "name": "a--b"}, VALUE),
        (a_group(), {"replication_group_id": "orders", "name": "../etc"}, VALUE),
        (a_group(), {"replication_group_id": "orders", "name": "a" * 256}, VALUE),
    ],
)
def test_what_cannot_be_taken_is_refused_and_nothing_begins(
    ctx: Context, source: Topology, asked: dict[str, Any], fault: type[Exception]
) -> None:
    have(ctx, source)
    with pytest.raises(fault):
        create(ctx, **asked)
    assert names(ctx) == []
    after = ctx.unit.topologies.get(source.uid)
    assert after is not None and (after.backup, after.manual_backups) == (source.backup, ())


def test_a_member_belongs_to_the_group_that_is_named_with_it(ctx: Context) -> None:
    have(ctx, a_group(), a_group("others"))
    with pytest.raises(COMBINATION, match="is not a member of replication group others"):
        create(ctx, replication_group_id="others", cache_cluster_id="orders-001")


@pytest.mark.parametrize("state", list(SnapshotState))
def test_a_name_is_taken_until_its_snapshot_is_gone(ctx: Context, state: SnapshotState) -> None:
    have(ctx, a_group())
    create(ctx, replication_group_id="orders")
    kept(ctx, state=state)
    with pytest.raises(SnapshotAlreadyExists):
        create(ctx, "MONDAY", replication_group_id="orders")


# ---- how many


def have_taken(ctx: Context, number: int, word: str, **asked: str) -> None:
    """So many snapshots were asked for, were there, and are gone."""
    for place in range(number):
        name = f"{word}{place}"
        create(ctx, name, **asked)
        ctx.unit.snapshots.forget(kept(ctx, name))


def test_so_many_of_a_node_in_24_hours_whether_they_are_deleted_or_not(ctx: Context, clock: FixedClock) -> None:
    have(ctx, a_group(), a_group("others"))
    have_taken(ctx, 20, "a", cache_cluster_id="orders-001")
    with pytest.raises(SnapshotQuotaExceeded) as refused:
        create(ctx, cache_cluster_id="orders-001")
    assert refused.value.message == "The maximum number of manual snapshots for this cluster taken within 24 hours has been reached"
    have_taken(ctx, 1, "b", cache_cluster_id="orders-002")
    have_taken(ctx, 1, "c", cache_cluster_id="others-001")
    clock.advance(hours=23, minutes=59)
    with pytest.raises(SnapshotQuotaExceeded):
        create(ctx, cache_cluster_id="orders-001")
    clock.advance(minutes=1)
    have_taken(ctx, 20, "d", cache_cluster_id="orders-001")
    assert len(ctx.replication_group("orders").manual_backups) == 20


def test_a_group_counts_as_the_member_that_it_has_for_snapshots(ctx: Context) -> None:
    ctx = replace(ctx, policy=replace(ctx.policy, most_manual_snapshots=2))
    have(ctx, a_group())
    have_taken(ctx, 1, "a", replication_group_id="orders")
    have_taken(ctx, 1, "b", cache_cluster_id="orders-003")
    with pytest.raises(SnapshotQuotaExceeded):
        create(ctx, replication_group_id="orders")


def test_a_group_in_cluster_mode_counts_as_one(ctx: Context) -> None:
    ctx = replace(ctx, policy=replace(ctx.policy, most_manual_snapshots=2))
    have(ctx, a_sharded_group(shards=3))
    have_taken(ctx, 2, "a", replication_group_id="orders")
    with pytest.raises(SnapshotQuotaExceeded):
        create(ctx, replication_group_id="orders")


def test_without_a_limit_nothing_is_counted(ctx: Context) -> None:
    ctx = replace(ctx, policy=replace(ctx.policy, most_manual_snapshots=0))
    have(ctx, a_group())
    have_taken(ctx, 30, "a", replication_group_id="orders")
    assert ctx.replication_group("orders").manual_backups == ()


# ---- how they are shown

SETTINGS = Settings(description="our orders", snapshot_retention_limit=3, automatic_failover=True)
COMMON = {
    "snapshot_name": "monday", "snapshot_status": "creating", "snapshot_source": "manual", "cache_node_type": "cache.t4g.small",
    "preferred_maintenance_window": "sun:05:00-sun:06:00", "port": 6379, "vpc_id": "vpc-", "auto_minor_version_upgrade": True,
    "snapshot_retention_limit": 3, "snapshot_window": "03:00-04:00", "data_tiering": "disabled",
    "arn": "arn:aws:elasticache:us-east-1:000000000000:snapshot:monday",
}  # fmt: skip
OF_NODE = {"num_cache_nodes": 1, "cache_cluster_create_time": NOW}
OF_GROUP = {"replication_group_id": "orders", "replication_group_description": "our orders"}
SAVED_NODE = {"cache_node_id": "0001", "cache_size": "", "cache_node_create_time": NOW}


@pytest.mark.parametrize(
    ("source", "asked", "special"),
    [
        (
            replace(ALONE, settings=SETTINGS),
            {"cache_cluster_id": "sessions"},
            {**OF_NODE, "cache_cluster_id": "sessions", "preferred_availability_zone": "us-east-1a", "node_snapshots": [SAVED_NODE]},
        ),
        (
            a_group(settings=SETTINGS),
            {"cache_cluster_id": "orders-002"},
            {**OF_NODE, "cache_cluster_id": "orders-002", "preferred_availability_zone": "us-east-1b", "node_snapshots": [SAVED_NODE]},
        ),
        (
            a_group(settings=SETTINGS),
            {"replication_group_id": "orders"},
            {
                **OF_NODE, **OF_GROUP, "cache_cluster_id": "orders-001", "preferred_availability_zone": "us-east-1a", "num_node_groups": 1,
                "node_snapshots": [SAVED_NODE],
            },
        ),
        (
            a_sharded_group(settings=SETTINGS),
            {"replication_group_id": "orders"},
            {
                **OF_GROUP, "num_node_groups": 2, "automatic_failover": "enabled",
                "node_snapshots": [
                    {"node_group_id": group, "cache_size": "", "cache_node_create_time": NOW} for group in ("0001", "0002")
                ],
            },
        ),
    ],
    ids=["alone", "member", "group", "cluster mode"],
)  # fmt: skip
def test_a_snapshot_shows_what_its_source_was(ctx: Context, source: Topology, asked: dict[str, str], special: dict[str, Any]) -> None:
    have(ctx, source)
    answer = create(ctx, **asked)
    assert describe(ctx, snapshot_name="Monday") == [answer]
    shown = answer.model_dump(exclude_none=True)
    shown["vpc_id"] = shown["vpc_id"][:4]
    of_engine = {key: shown.pop(key) for key in ("engine", "engine_version", "cache_parameter_group_name")}
    assert shown == {**COMMON, **special}
    assert of_engine["engine"] == source.engine and of_engine["engine_version"].count(".") == 2
    assert of_engine["cache_parameter_group_name"] == source.parameter_group


@pytest.mark.parametrize(("used", "text"), [(0, "1 MB"), (1, "1 MB"), (MIB, "1 MB"), (MIB + 1, "2 MB"), (3 * MIB, "3 MB")])
def test_a_size_is_in_whole_megabytes_once_it_is_known(ctx: Context, used: int, text: str) -> None:
    have(ctx, a_group())
    create(ctx, replication_group_id="orders")
    kept(ctx, used=used)
    (part,) = describe(ctx)[0].node_snapshots
    assert (part.cache_size, part.snapshot_create_time) == (text, NOW + timedelta(seconds=2))


def test_node_groups_are_shown_on_request(ctx: Context) -> None:
    have(ctx, a_sharded_group(), a_group("others"))
    create(ctx, replication_group_id="orders")
    create(ctx, "tuesday", replication_group_id="others")
    assert [part.node_group_configuration for part in describe(ctx, snapshot_name="monday")[0].node_snapshots] == [None, None]
    sharded, plain = describe(ctx, show_node_group_config=True)
    a, b = "us-east-1a", "us-east-1b"
    assert [part.node_group_configuration for part in sharded.node_snapshots] == [
        NodeGroupConfiguration(
            node_group_id=group, slots=slots, replica_count=1, primary_availability_zone=a, replica_availability_zones=[b]
        )
        for group, slots in (("0001", "0-8191"), ("0002", "8192-16383"))
    ]
    assert [part.node_group_configuration for part in plain.node_snapshots] == [None]


def test_a_snapshot_outlives_its_source_and_shows_what_that_was(ctx: Context) -> None:
    have(ctx, a_group(settings=SETTINGS))
    create(ctx, replication_group_id="orders")
    kept(ctx)
    ctx.unit.topologies.forget(ctx.replication_group("orders"))
    (shown,) = describe(ctx, replication_group_id="orders")
    assert (shown.replication_group_description, shown.snapshot_status) == ("our orders", "available")


# ---- filters and pages


@pytest.fixture
def several(ctx: Context) -> Context:
    """Snapshots of a group, of its member, of a group in cluster mode and of a node alone; an automatic one as well."""
    have(ctx, a_group(), a_sharded_group("carts"), ALONE)
    for name, asked in (
        ("group", {"replication_group_id": "orders"}),
        ("member", {"cache_cluster_id": "orders-002"}),
        ("shards", {"replication_group_id": "carts"}),
        ("alone", {"cache_cluster_id": "sessions"}),
        ("automatic", {"cache_cluster_id": "orders-002"}),
    ):
        create(ctx, name, **asked)
        kept(ctx, name, automated=name == "automatic")
    return ctx


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {"group", "member", "shards", "alone", "automatic"}),
        ({"snapshot_source": "user"}, {"group", "member", "shards", "alone"}),
        ({"snapshot_source": "system"}, {"automatic"}),
        ({"replication_group_id": "Orders"}, {"group", "member", "automatic"}),
        ({"replication_group_id": "carts"}, {"shards"}),
        ({"replication_group_id": "never"}, set()),
        ({"cache_cluster_id": "Orders-002"}, {"member", "automatic"}),
        ({"cache_cluster_id": "orders-002", "snapshot_source": "user"}, {"member"}),
        ({"cache_cluster_id": "orders-001"}, {"group"}),
        ({"cache_cluster_id": "sessions"}, {"alone"}),
        ({"cache_cluster_id": "carts-0001-001"}, set()),
        ({"cache_cluster_id": "never"}, set()),
        ({"snapshot_name": "MEMBER"}, {"member"}),
        ({"snapshot_name": "member", "replication_group_id": "carts"}, set()),
        ({"snapshot_name": "member", "snapshot_source": "system"}, set()),
    ],
)
def test_a_describe_shows_what_every_filter_lets_pass(several: Context, asked: dict[str, str], found: set[str]) -> None:
    assert set(names(several, **asked)) == found


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"snapshot_name": "never"}, SnapshotNotFound),
        ({"snapshot_source": "manual"}, VALUE),
        ({"max_records": 19}, VALUE),
        ({"max_records": 51}, VALUE),
        ({"marker": "x"}, VALUE),
    ],
)
def test_a_describe_that_makes_no_sense_is_refused(several: Context, asked: dict[str, Any], fault: type[Exception]) -> None:
    with pytest.raises(fault):
        describe(several, **asked)


def test_a_page_has_50_unless_fewer_are_asked_for(ctx: Context, clock: FixedClock) -> None:
    ctx = replace(ctx, policy=replace(ctx.policy, most_manual_snapshots=0))
    have(ctx, a_group())
    wanted = [f"s{number:02d}" for number in range(55)]
    for name in wanted:
        create(ctx, name, replication_group_id="orders")
        kept(ctx, name)
        clock.advance(seconds=1)
    first = describe_snapshots(ctx, DescribeSnapshots())
    second = describe_snapshots(ctx, DescribeSnapshots(marker=first.marker))
    assert (len(first.snapshots), second.marker) == (50, None)
    assert [shown.snapshot_name for shown in (*first.snapshots, *second.snapshots)] == wanted
    assert len(describe(ctx, max_records=20)) == 20


# ---- states, and how they go


def restored(**fields: Any) -> Topology:
    return a_group("copies", created=False, **{"seed": Seed("monday", ARCHIVE, snapshot="uid0000001"), **fields})


EXPORT = (Export("bucket", "target", NOW),)


@pytest.mark.parametrize(
    ("fields", "other", "status"),
    [
        ({}, None, "available"),
        ({"state": SnapshotState.CREATING}, None, "creating"),
        ({"state": SnapshotState.COPYING}, None, "copying"),
        ({"state": SnapshotState.FAILED}, None, "failed"),
        ({"state": SnapshotState.DELETING}, None, "deleting"),
        ({"exports": EXPORT}, None, "exporting"),
        ({}, restored(), "restoring"),
        ({"exports": EXPORT}, restored(), "restoring"),
        ({}, restored(seed=Seed("monday", ARCHIVE, snapshot="uid0000001", refusal="no room")), "available"),
        ({}, restored(deleting=True), "available"),
        ({}, restored(announced_at=NOW), "available"),
        ({}, restored(seed=Seed("other", ARCHIVE, snapshot="other")), "available"),
        ({"state": SnapshotState.DELETING}, restored(), "deleting"),
    ],
)
def test_a_status_is_of_the_snapshot_and_of_what_is_made_from_it(
    ctx: Context, fields: dict[str, Any], other: Topology | None, status: str
) -> None:
    have(ctx, a_group())
    create(ctx, replication_group_id="orders")
    assert kept(ctx, **fields).uid == "uid0000001"
    if other is not None:
        have(ctx, other)
    assert describe(ctx)[0].snapshot_status == status
    if status in ("available", "failed"):
        assert delete(ctx, "Monday").snapshot_status == "deleting"
        assert written(ctx).state is SnapshotState.DELETING
    else:
        with pytest.raises(InvalidSnapshotState):
            delete(ctx)
        assert written(ctx).state is fields.get("state", SnapshotState.AVAILABLE)


def test_what_is_not_there_cannot_be_deleted(ctx: Context) -> None:
    with pytest.raises(SnapshotNotFound, match="Snapshot monday not found"):
        delete(ctx)


def test_an_automatic_one_can_be_deleted(several: Context) -> None:
    assert delete(several, "automatic").snapshot_status == "deleting"


# ---- tags


@pytest.mark.parametrize(
    ("asked", "tags"),
    [
        ({"replication_group_id": "orders"}, {"of": "group"}),
        ({"cache_cluster_id": "orders-002"}, {"of": "member"}),
        ({"replication_group_id": "orders", "tags": [Tag(key="own", value="1")]}, {"own": "1"}),
    ],
)
def test_a_snapshot_has_the_tags_that_it_is_given_or_those_of_its_source(
    ctx: Context, asked: dict[str, Any], tags: dict[str, str]
) -> None:
    have(ctx, a_group())
    ctx.unit.tags.put(arn(ctx.world, "replicationgroup", "orders"), {"of": "group"})
    ctx.unit.tags.put(arn(ctx.world, "cluster", "orders-002"), {"of": "member"})
    create(ctx, **asked)
    assert ctx.unit.tags.of(arn(ctx.world, "snapshot", "monday")) == tags
