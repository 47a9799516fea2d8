"""A new cache begins with the data of a snapshot: in the same shards or in others, in a later engine, and never with less."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from caches import connected, describe_cache_cluster, new_account, new_name, refused, remove_everything
from datasets import FUNCTION, contents, fill, load_functions, replicas_have_the_same
from groups import Group
from waiting import wait_until

from cachewright import LocalServer

VALKEY_8, VALKEY_9 = {"Engine": "valkey", "EngineVersion": "8.1"}, {"Engine": "valkey", "EngineVersion": "9.1"}
REDIS = {"Engine": "redis", "EngineVersion": "7.0"}
COMBINATION = "InvalidParameterCombination"
KEYS = 6000
ODD = ["0-999,8000-8191", "1000-7999", "8192-16383"]


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)
    for snapshot in client.describe_snapshots()["Snapshots"]:
        client.delete_snapshot(SnapshotName=snapshot["SnapshotName"])


class Saved:
    """Groups that were filled and saved, one of each kind, and what was in them."""

    def __init__(self, server: LocalServer, client: Any, account: str) -> None:
        self._server, self._client, self._account = server, client, account
        self._made: dict[str, tuple[str, Any]] = {}

    def of(self, engine: dict[str, str], **shape: Any) -> tuple[str, Any]:
        """The name of the snapshot of such a group, and what is in it."""
        kind = repr((engine, shape))
        if kind not in self._made:
            self._made[kind] = self._make(engine, shape)
        return self._made[kind]

    def _make(self, engine: dict[str, str], shape: dict[str, Any]) -> tuple[str, Any]:
        group = self.group(new_name("s"), **engine, **shape)
        with group.connect() as client:
            fill(client, KEYS, int(time.time() + 3600) * 1000)
        load_functions(group)
        snapshot, data = self.snapshot(group), contents(group)
        assert len(data) == KEYS
        return snapshot, data

    def snapshot(self, group: Group) -> str:
        """The name of a new snapshot of a group, which is available."""
        name = new_name("snap")
        self._client.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name)
        wait_until(lambda: self.status_of(name) == "available", within=60)
        return name

    def group(self, name: str, **asked: Any) -> Group:
        """A new group that is available."""
        self._client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **asked)
        group = Group(self._client, self._server.url, self._account, name)
        wait_until(lambda: group.seen()["Status"] != "creating", within=90)
        assert group.seen()["Status"] == "available", group.messages()
        return group

    def status_of(self, snapshot: str) -> str:
        (found,) = self._client.describe_snapshots(SnapshotName=snapshot)["Snapshots"]
        status: str = found["SnapshotStatus"]
        return status


@pytest.fixture(scope="module")
def saved(server: LocalServer, elasticache: Any, account: str) -> Saved:
    return Saved(server, elasticache, account)


ONE, THREE = {"NumCacheClusters": 2}, {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1}
SINGLE = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 1, "ClusterMode": "enabled"}


@pytest.mark.parametrize(
    ("engine", "source", "asked", "shards"),
    [
        pytest.param(VALKEY_8, ONE, {}, 1, id="the same, outside cluster mode"),
        pytest.param(VALKEY_8, THREE, {}, 3, id="the same three shards"),
        pytest.param(VALKEY_8, SINGLE, {"NumNodeGroups": 3}, 3, id="one shard to three"),
        pytest.param(VALKEY_8, THREE, {"NumNodeGroups": 5, "ReplicasPerNodeGroup": 1}, 5, id="three to five"),
        pytest.param(VALKEY_9, THREE, {"NumNodeGroups": 1}, 1, id="three to one"),
        pytest.param(VALKEY_8, THREE, {"NodeGroupConfiguration": [{"Slots": slots} for slots in ODD]}, 3, id="other slots"),
        pytest.param(VALKEY_8, ONE, {"NumNodeGroups": 3, "AutomaticFailoverEnabled": True}, 3, id="into cluster mode"),
        pytest.param(VALKEY_8, ONE, {"ClusterMode": "enabled", "AutomaticFailoverEnabled": True}, 1, id="into one shard"),
        pytest.param(VALKEY_8, THREE, {"CacheNodeType": "cache.t4g.medium"}, 3, id="another node type"),
        pytest.param(VALKEY_8, THREE, {"EngineVersion": "9.1"}, 3, id="valkey 8.1 to 9.1"),
        pytest.param(VALKEY_8, THREE, {"EngineVersion": "9.1", "NumNodeGroups": 2}, 2, id="valkey 8.1 to 9.1, other shards"),
        pytest.param(REDIS, ONE, VALKEY_8, 1, id="redis 7.0 to valkey 8.1"),
        pytest.param(REDIS, ONE, VALKEY_9, 1, id="redis 7.0 to valkey 9.1"),
        pytest.param(REDIS, THREE, {**VALKEY_9, "NumNodeGroups": 2}, 2, id="redis 7.0 to valkey 9.1, other shards"),
    ],
)  # fmt: skip
def test_every_key_comes_back_with_its_value_and_its_expiry(
    saved: Saved, engine: dict[str, str], source: dict[str, Any], asked: dict[str, Any], shards: int
) -> None:
    snapshot, data = saved.of(engine, **source)
    group = saved.group(new_name("r"), SnapshotName=snapshot, **asked)
    assert len(group.seen()["NodeGroups"]) == shards
    assert contents(group) == data
    group.settled()
    replicas_have_the_same(group)
    with group.connect() as client:
        assert client.fcall(FUNCTION, 1, "counted by a function") == 1
        client.set("written", "after")
        assert client.get("written") == "after"


@pytest.mark.usually("others")
@pytest.mark.parametrize("asked", [{}, {"NumNodeGroups": 2}], ids=["the same shards", "others"])
def test_what_has_expired_by_then_does_not_come_back(saved: Saved, asked: dict[str, Any]) -> None:
    source = saved.group(new_name("s"), **VALKEY_8, NumNodeGroups=3)
    soon = int(time.time() + 4) * 1000
    with source.connect() as client:
        fill(client, 600, soon)
    snapshot = saved.snapshot(source)
    wait_until(lambda: time.time() * 1000 > soon, within=5)
    staying = {key: value for key, value in contents(source).items() if value.expires_at == -1}
    assert len(staying) == 400
    group = saved.group(new_name("r"), SnapshotName=snapshot, **asked)
    assert contents(group) == staying


@pytest.mark.parametrize("asked", [{}, {"NumNodeGroups": 2}], ids=["the same shards", "others"])
def test_nothing_comes_back_as_nothing(saved: Saved, asked: dict[str, Any]) -> None:
    source = saved.group(new_name("s"), **VALKEY_8, NumNodeGroups=3)
    load_functions(source)
    group = saved.group(new_name("r"), SnapshotName=saved.snapshot(source), **asked)
    assert contents(group) == {}
    with group.connect() as client:
        assert client.fcall(FUNCTION, 1, "counted by a function") == 1


def test_a_restored_group_survives_the_loss_of_its_primary(saved: Saved) -> None:
    snapshot, data = saved.of(VALKEY_8, **ONE)
    group = saved.group(new_name("r"), SnapshotName=snapshot, AutomaticFailoverEnabled=True)
    group.settled()
    group.kill(group.primary()["node"])
    wait_until(lambda: len(group.history()) > 0, within=30)
    group.settled()
    assert contents(group) == data, "a primary that is rebuilt must not begin with the snapshot again"


def test_a_cache_cluster_begins_with_the_snapshot_of_a_group(saved: Saved, elasticache: Any) -> None:
    snapshot, data = saved.of(REDIS, **ONE)
    name = new_name("c")
    answer = elasticache.create_cache_cluster(CacheClusterId=name, SnapshotName=snapshot)["CacheCluster"]
    assert (answer["CacheClusterStatus"], answer["Engine"], answer["EngineVersion"]) == ("creating", "redis", "7.0.7")
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
    (node,) = describe_cache_cluster(elasticache, name)["CacheNodes"]
    with connected(node["Endpoint"]) as engine:
        assert engine.dbsize() == len(data)
        assert engine.pexpiretime("string:0") == data["string:0"].expires_at


def test_the_snapshot_is_restoring_meanwhile_and_the_group_shows_what_it_is_to_be(saved: Saved, elasticache: Any) -> None:
    snapshot, _ = saved.of(VALKEY_8, **THREE)
    name = new_name("r")
    answer = elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", SnapshotName=snapshot)
    group = answer["ReplicationGroup"]
    assert (group["Status"], group["ClusterEnabled"], len(group["MemberClusters"])) == ("creating", True, 6)
    shown = elasticache.describe_snapshots()["Snapshots"]  # an answer about one alone is held until it changes
    assert [each["SnapshotStatus"] for each in shown if each["SnapshotName"] == snapshot] == ["restoring"]
    refused(lambda: elasticache.delete_snapshot(SnapshotName=snapshot), "InvalidSnapshotState", "restoring")
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name, WaiterConfig={"Delay": 1})
    assert saved.status_of(snapshot) == "available"


@pytest.mark.parametrize(
    ("engine", "source", "asked", "fragment"),
    [
        pytest.param(VALKEY_8, THREE, {"ClusterMode": "disabled"}, "can only be restored into another one", id="out of cluster mode"),
        pytest.param(VALKEY_8, THREE, {"Engine": "redis", "EngineVersion": "7.1"}, "only redis can become valkey", id="valkey to redis"),
        pytest.param(VALKEY_9, THREE, {"EngineVersion": "8.1"}, "the earlier 8.1", id="an earlier version"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    saved: Saved, elasticache: Any, engine: dict[str, str], source: dict[str, Any], asked: dict[str, Any], fragment: str
) -> None:
    snapshot, _ = saved.of(engine, **source)
    name = new_name("n")
    wanted = {"ReplicationGroupId": name, "ReplicationGroupDescription": "d", "SnapshotName": snapshot, **asked}
    refused(lambda: elasticache.create_replication_group(**wanted), COMBINATION, fragment)
    refused(lambda: elasticache.describe_replication_groups(ReplicationGroupId=name), "ReplicationGroupNotFoundFault")


def test_keys_of_several_databases_stay_outside_cluster_mode(saved: Saved, elasticache: Any) -> None:
    source = saved.group(new_name("s"), **VALKEY_8)
    with in_database(source, 0) as first, in_database(source, 3) as fourth:
        first.set("where", "first")
        fourth.set("where", "fourth")
    snapshot = saved.snapshot(source)
    wanted = {"ReplicationGroupId": new_name("n"), "ReplicationGroupDescription": "d", "SnapshotName": snapshot, "NumNodeGroups": 2}
    refused(lambda: elasticache.create_replication_group(**wanted), COMBINATION, "keys in database 3")
    again = saved.group(new_name("r"), SnapshotName=snapshot)
    with in_database(again, 0) as first, in_database(again, 3) as fourth:
        assert (first.get("where"), fourth.get("where"), fourth.dbsize()) == ("first", "fourth", 1)


def in_database(group: Group, number: int) -> redis.Redis:
    """A client of the primary endpoint that uses another database."""
    at = group.seen()["NodeGroups"][0]["PrimaryEndpoint"]
    return redis.Redis(host=at["Address"], port=at["Port"], db=number, decode_responses=True)
