"""What of a cache has to do with snapshots: how long they are kept, whom they are taken from, the last one, their tags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, a_cache_cluster, a_group, a_sharded_group, have

from api_schemas.cache_cluster import DeleteCacheCluster, ModifyCacheCluster
from api_schemas.faults import (
    CacheClusterNotFound,
    Fault,
    InvalidCacheClusterState,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    SnapshotAlreadyExists,
    SnapshotFeatureNotSupported,
    SnapshotNotFound,
    SnapshotQuotaExceeded,
)
from api_schemas.parts import Tag
from api_schemas.replication_group import DeleteReplicationGroup, ModifyReplicationGroup
from api_schemas.snapshot import CreateSnapshot
from api_schemas.tag import AddTagsToResource, ListTagsForResource, RemoveTagsFromResource
from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, ManualBackup
from controlplane.domain.naming import arn
from controlplane.domain.settings import Settings
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Topology
from controlplane.operations import describe
from controlplane.operations.cache_clusters import delete_cache_cluster, modify_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.replication_groups import delete_replication_group, modify_replication_group
from controlplane.operations.snapshots import create_snapshot
from controlplane.operations.tags import add_tags_to_resource, list_tags_for_resource, remove_tags_from_resource

VALUE, COMBINATION = InvalidParameterValue, InvalidParameterCombination
ARCHIVE = ArchivePlace("file:///archive", "a1")
ALONE = a_cache_cluster(engine="redis")
KEPT = Settings(snapshot_retention_limit=5)
FINAL = Backup("other", Cause.FINAL, (BackupPart("0001"),), NOW, ARCHIVE)


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an archive."""
    return replace(ctx, archive=ARCHIVE)


def modify(ctx: Context, **asked: Any) -> Any:
    return modify_replication_group(ctx, ModifyReplicationGroup(replication_group_id="orders", **asked)).replication_group


def modify_alone(ctx: Context, **asked: Any) -> Any:
    return modify_cache_cluster(ctx, ModifyCacheCluster(cache_cluster_id="sessions", **asked)).cache_cluster


# ---- retention and window


@pytest.mark.parametrize("days", [1, 35])
def test_retention_and_window_apply_at_once(ctx: Context, days: int) -> None:
    have(ctx, a_group(), ALONE)
    group = modify(ctx, snapshot_retention_limit=days, snapshot_window="01:00-02:30")
    alone = modify_alone(ctx, snapshot_retention_limit=days, snapshot_window="01:00-02:30")
    assert (group.snapshot_retention_limit, group.snapshot_window) == (days, "01:00-02:30")
    assert (alone.snapshot_retention_limit, alone.snapshot_window) == (days, "01:00-02:30")


def test_no_more_are_kept_when_the_limit_is_zero(ctx: Context) -> None:
    have(ctx, a_group(settings=KEPT))
    group = modify(ctx, snapshot_retention_limit=0)
    assert (group.snapshot_retention_limit, group.snapshotting_cluster_id) == (0, None)


@pytest.mark.parametrize(
    ("topology", "asked", "fault"),
    [
        (a_group(), {"snapshot_retention_limit": 36}, VALUE),
        (a_group(), {"snapshot_retention_limit": -1}, VALUE),
        (a_group(), {"snapshot_window": "05:00-05:30"}, VALUE),
        (a_group(), {"snapshot_window": "05:00-06:00"}, VALUE),  # so is the maintenance window
        (a_group(node_type="cache.t1.micro"), {"snapshot_retention_limit": 1}, COMBINATION),
        (a_group(), {"snapshotting_cluster_id": "orders-009"}, CacheClusterNotFound),
        (a_group(), {"snapshotting_cluster_id": "orders"}, CacheClusterNotFound),
        (a_group().with_departure_of(["orders-003"]), {"snapshotting_cluster_id": "orders-003"}, InvalidReplicationGroupState),
        (a_sharded_group(), {"snapshotting_cluster_id": "orders-0001-002"}, COMBINATION),
    ],
)
def test_what_is_not_possible_of_a_group_is_refused(ctx: Context, topology: Topology, asked: dict[str, Any], fault: type[Fault]) -> None:
    have(ctx, topology)
    with pytest.raises(fault):
        modify(ctx, **asked)
    assert ctx.replication_group("orders").settings == topology.settings


@pytest.mark.parametrize(
    ("topology", "asked", "fault"),
    [
        (ALONE, {"snapshot_retention_limit": 36}, VALUE),
        (replace(ALONE, node_type="cache.t1.micro"), {"snapshot_retention_limit": 1}, COMBINATION),
        (a_cache_cluster(), {"snapshot_retention_limit": 1}, COMBINATION),
        (a_cache_cluster(), {"snapshot_window": "01:00-02:00"}, COMBINATION),
    ],
)
def test_what_is_not_possible_of_a_cluster_is_refused(ctx: Context, topology: Topology, asked: dict[str, Any], fault: type[Fault]) -> None:
    have(ctx, topology)
    with pytest.raises(fault):
        modify_alone(ctx, **asked)


# ---- whom they are taken from


def test_a_bad_snapshotting_cluster_is_refused_in_the_services_words(ctx: Context) -> None:
    have(ctx, a_group())
    with pytest.raises(CacheClusterNotFound) as refused:
        modify(ctx, snapshotting_cluster_id="never")
    assert refused.value.message == "Specified snapshotting cluster does not exist"


@pytest.mark.parametrize(
    ("settings", "asked", "shown"),
    [
        (Settings(), {"snapshotting_cluster_id": "orders-001"}, None),
        (Settings(), {"snapshotting_cluster_id": "Orders-001", "snapshot_retention_limit": 1}, "orders-001"),
        (Settings(), {"snapshot_retention_limit": 1}, "orders-003"),
        (KEPT, {"snapshotting_cluster_id": "orders-002"}, "orders-002"),
    ],
)
def test_the_snapshotting_cluster_is_shown_while_any_are_kept(
    ctx: Context, settings: Settings, asked: dict[str, Any], shown: str | None
) -> None:
    have(ctx, a_group(settings=settings))
    assert modify(ctx, **asked).snapshotting_cluster_id == shown


def limits(ctx: Context, topology: Topology) -> dict[str, int | None]:
    """The retention limit that each member shows."""
    have(ctx, topology)
    shown = [describe.cache_cluster(ctx, topology, node, with_nodes=False) for node in topology.members]
    return {cluster.cache_cluster_id: cluster.snapshot_retention_limit for cluster in shown}


def test_only_the_member_that_is_saved_shows_the_limit(ctx: Context) -> None:
    settings = replace(KEPT, snapshotting_cluster="orders-002")
    assert limits(ctx, a_group(settings=settings)) == {"orders-001": 0, "orders-002": 5, "orders-003": 0}


def test_every_member_does_in_cluster_mode(ctx: Context) -> None:
    assert set(limits(ctx, a_sharded_group(settings=KEPT)).values()) == {5}


def test_another_is_saved_once_that_member_leaves(ctx: Context) -> None:
    have(ctx, a_group(settings=replace(KEPT, snapshotting_cluster="orders-002")))
    delete_cache_cluster(ctx, DeleteCacheCluster(cache_cluster_id="orders-002"))
    group = ctx.replication_group("orders")
    assert group.settings.snapshotting_cluster is None
    assert describe.replication_group(ctx, group).snapshotting_cluster_id == "orders-003"


# ---- the last one


def end(ctx: Context, name: str = "last", **asked: Any) -> str:
    """The status in the answer."""
    wanted = DeleteReplicationGroup(replication_group_id="orders", final_snapshot_identifier=name, **asked)
    return delete_replication_group(ctx, wanted).replication_group.status


def end_alone(ctx: Context, cluster: str = "sessions", name: str = "last") -> str:
    wanted = DeleteCacheCluster(cache_cluster_id=cluster, final_snapshot_identifier=name)
    return delete_cache_cluster(ctx, wanted).cache_cluster.cache_cluster_status


def last(ctx: Context) -> Snapshot:
    found = ctx.unit.snapshots.named(ctx.world, "last")
    assert found is not None
    return found


@pytest.mark.parametrize(("topology", "member"), [(a_group(), "orders-001"), (a_sharded_group(), None)])
def test_a_group_that_is_deleted_is_saved_first(ctx: Context, topology: Topology, member: str | None) -> None:
    have(ctx, topology)
    assert end(ctx, "Last") == "deleting"
    group, snapshot = ctx.replication_group("orders"), last(ctx)
    assert group.backup is not None and not group.deleting
    assert (group.backup.cause, group.backup.snapshot, group.backup.member) == (Cause.FINAL, snapshot.uid, member)
    assert (snapshot.state, snapshot.automated, snapshot.cache_cluster) == (SnapshotState.CREATING, False, None)
    assert not any(node.leaving for node in group.nodes)
    with pytest.raises(InvalidReplicationGroupState):
        end(ctx, "again")


def test_a_cluster_that_is_deleted_is_saved_first(ctx: Context) -> None:
    have(ctx, ALONE)
    assert end_alone(ctx) == "deleting"
    cluster, _ = ctx.cache_cluster("sessions")
    assert cluster.backup is not None and cluster.backup.cause is Cause.FINAL
    assert last(ctx).cache_cluster == "sessions"


def test_a_last_one_has_the_tags_of_what_goes(ctx: Context) -> None:
    have(ctx, a_group())
    ctx.unit.tags.put(arn(ctx.world, "replicationgroup", "orders"), {"of": "group"})
    end(ctx)
    assert ctx.unit.tags.of(arn(ctx.world, "snapshot", "last")) == {"of": "group"}


FULL = tuple(ManualBackup("orders-001", NOW) for _ in range(20))


@pytest.mark.parametrize(
    ("topology", "asked", "fault"),
    [
        (a_group(engine="redis"), {"retain_primary_cluster": True}, COMBINATION),
        (a_group(), {"name": "-"}, VALUE),
        (a_group(), {"name": "taken"}, SnapshotAlreadyExists),
        (a_group(node_type="cache.t1.micro"), {}, SnapshotFeatureNotSupported),
        (a_group(manual_backups=FULL), {}, SnapshotQuotaExceeded),
        (a_group(created=False), {}, InvalidReplicationGroupState),
        (a_group(modifying=True), {}, InvalidReplicationGroupState),
        (a_group(backup=FINAL), {}, InvalidReplicationGroupState),
    ],
)
def test_a_group_that_cannot_be_saved_is_not_deleted(ctx: Context, topology: Topology, asked: dict[str, Any], fault: type[Fault]) -> None:
    have(ctx, topology, a_group("others"))
    create_snapshot(ctx, CreateSnapshot(snapshot_name="taken", replication_group_id="others"))
    with pytest.raises(fault):
        end(ctx, **asked)
    after = ctx.replication_group("orders")
    assert (after.deleting, after.backup) == (False, topology.backup)


@pytest.mark.parametrize(
    ("topology", "cluster", "fault"),
    [
        (a_cache_cluster(), "sessions", COMBINATION),
        (replace(ALONE, backup=FINAL), "sessions", InvalidCacheClusterState),
        (replace(ALONE, announced_at=None), "sessions", InvalidCacheClusterState),
        (a_group(), "orders-002", SnapshotFeatureNotSupported),
        (a_group(), "orders-001", SnapshotFeatureNotSupported),
        (a_group(nodes=1), "orders-001", InvalidCacheClusterState),
        (a_sharded_group(), "orders-0001-002", InvalidCacheClusterState),
    ],
)
def test_a_cluster_that_cannot_be_saved_is_not_deleted(ctx: Context, topology: Topology, cluster: str, fault: type[Fault]) -> None:
    have(ctx, topology)
    with pytest.raises(fault):
        end_alone(ctx, cluster)
    after = ctx.unit.topologies.get(topology.uid)
    assert after is not None and after.backup == topology.backup and not any(node.leaving for node in after.nodes)


# ---- tags


def test_a_snapshot_can_be_tagged(ctx: Context) -> None:
    have(ctx, a_group())
    own = create_snapshot(ctx, CreateSnapshot(snapshot_name="monday", replication_group_id="orders")).snapshot.arn
    add_tags_to_resource(ctx, AddTagsToResource(resource_name=own, tags=[Tag(key="a", value="1"), Tag(key="b", value="2")]))
    remove_tags_from_resource(ctx, RemoveTagsFromResource(resource_name=own, tag_keys=["a"]))
    assert list_tags_for_resource(ctx, ListTagsForResource(resource_name=own)).tag_list == [Tag(key="b", value="2")]


def test_one_that_is_not_there_has_no_tags(ctx: Context) -> None:
    with pytest.raises(SnapshotNotFound):
        list_tags_for_resource(ctx, ListTagsForResource(resource_name=arn(ctx.world, "snapshot", "never")))
