"""Users and user groups on real engines: a user may do what its string says and nothing else, on every node, once it is active."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from bus import nodes_of
from guarded import (
    ALICE,
    OTHER,
    SHUT,
    WITHOUT_TLS,
    available,
    come_in,
    guarding_server,
    have_cache,
    have_group,
    have_users,
    is_active,
    nodes,
    who_may,
)
from redis.exceptions import NoPermissionError
from servers import Server
from waiting import wait_until

from cachewright import LocalServer


@pytest.fixture(scope="module")
def guarding() -> Iterator[LocalServer]:
    with guarding_server() as running:
        yield running


@pytest.fixture
def cloud(guarding: LocalServer) -> Any:
    """A client in an account of the test's own."""
    return guarding.client(account_id=str(uuid.uuid4().int)[:12])


@pytest.mark.parametrize(("engine", "version"), [("valkey", "9.1"), ("valkey", "8.1"), ("redis", "7.0")])
def test_a_user_may_do_what_its_string_says_and_nothing_else(cloud: Any, engine: str, version: str) -> None:
    have_users(cloud, alice="on ~app:* &news:* -@all +@read +set +ping +publish", admin="on ~* &* +@all")
    have_group(cloud, "app", "alice", "admin")
    have_cache(cloud, "orders", Engine=engine, EngineVersion=version, UserGroupIds=["app"])
    assert available(cloud, "orders")["UserGroupIds"] == ["app"]
    assert who_may(cloud, "orders") == {False}
    assert who_may(cloud, "orders", "default", SHUT) == {False}
    assert who_may(cloud, "orders", "alice", OTHER) == {False}
    assert who_may(cloud, "orders", "alice", ALICE) == {True}
    for place in nodes(cloud, "orders"):
        with come_in(place, "alice", ALICE) as alice:
            for refused in (("GET", "other"), ("DEL", "app:1"), ("CONFIG", "GET", "masterauth"), ("PUBLISH", "x", "y")):
                with pytest.raises(NoPermissionError):
                    alice.execute_command(*refused)
            assert alice.get("app:1") is None
        with come_in(place, "admin", ALICE) as admin:
            for withheld in (("ACL", "SETUSER", "x"), ("ACL", "LIST"), ("CONFIG", "GET", "*"), ("SHUTDOWN",),
                             ("REPLICAOF", "NO", "ONE"), ("MODULE", "LIST"), ("CLUSTER", "RESET"), ("SAVE",)):  # fmt: skip
                with pytest.raises(NoPermissionError):
                    admin.execute_command(*withheld)
            assert admin.execute_command("ACL", "WHOAMI") == "admin"
            assert admin.dbsize() == 0


def test_after_active_no_node_accepts_what_was(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all")
    have_group(cloud, "app", "alice")
    have_cache(cloud, "orders", nodes=3, UserGroupIds=["app"])
    cloud.modify_user(UserId="alice", Passwords=[ALICE, OTHER])
    wait_until(lambda: is_active(cloud, "alice"), within=20)
    assert who_may(cloud, "orders", "alice", ALICE) == who_may(cloud, "orders", "alice", OTHER) == {True}
    cloud.modify_user(UserId="alice", Passwords=[OTHER])
    wait_until(lambda: is_active(cloud, "alice"), within=20)
    assert who_may(cloud, "orders", "alice", ALICE) == {False}
    assert who_may(cloud, "orders", "alice", OTHER) == {True}
    cloud.delete_user(UserId="alice")
    with pytest.raises(ClientError, match="UserNotFound"):
        while cloud.describe_users(UserId="alice")["Users"][0]["Status"] == "deleting":
            pass
    assert who_may(cloud, "orders", "alice", OTHER) == {False}


def is_told(cloud: Any, message: str) -> bool:
    return any(message in event["Message"] for event in cloud.describe_events(Duration=60)["Events"])


def test_new_nodes_and_new_primaries_know_the_users(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all")
    have_group(cloud, "app", "alice")
    have_cache(cloud, "orders", UserGroupIds=["app"])
    cloud.increase_replica_count(ReplicationGroupId="orders", NewReplicaCount=2, ApplyImmediately=True)
    assert len(available(cloud, "orders")["MemberClusters"]) == 3
    cloud.test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
    wait_until(lambda: is_told(cloud, "Finished recovery for cache nodes"), within=30)  # the former primary was started anew
    assert who_may(cloud, "orders") == {False}
    assert who_may(cloud, "orders", "alice", ALICE) == {True}


def test_shards_know_the_users_as_well(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all")
    have_group(cloud, "app", "alice")
    have_cache(cloud, "orders", NumNodeGroups=2, ReplicasPerNodeGroup=1, UserGroupIds=["app"])
    cloud.modify_replication_group_shard_configuration(ReplicationGroupId="orders", NodeGroupCount=3, ApplyImmediately=True)
    available(cloud, "orders")
    assert len(nodes(cloud, "orders")) == 6
    assert who_may(cloud, "orders") == {False}
    assert who_may(cloud, "orders", "alice", ALICE) == {True}
    with redis.RedisCluster(*nodes(cloud, "orders")[0], username="alice", password=ALICE) as client:
        assert all(client.set(f"k{number}", number) for number in range(50))


@pytest.mark.parametrize(("engine", "version"), [("valkey", "9.1"), ("valkey", "8.1"), ("redis", "7.0")])
def test_a_shard_that_lost_its_primary_lets_in_who_may(guarding: LocalServer, engine: str, version: str) -> None:
    account = str(uuid.uuid4().int)[:12]
    cloud = guarding.client(account_id=account)
    have_users(cloud, alice="on ~* &* +@all")
    have_group(cloud, "app", "alice")
    have_cache(cloud, "orders", Engine=engine, EngineVersion=version, NumNodeGroups=2, ReplicasPerNodeGroup=1, UserGroupIds=["app"])
    with redis.RedisCluster(*nodes(cloud, "orders")[0], username="alice", password=ALICE) as client:
        assert all(client.set(f"k{number}", number) for number in range(50))
        assert client.wait(1, 2000, target_nodes=redis.RedisCluster.PRIMARIES)
    lost = next(node for node in nodes_of(guarding.url, account, "orders") if node["role"] == "primary")
    os.kill(lost["process_id"], signal.SIGKILL)

    def is_back() -> bool:
        now = {node["node"]: node for node in nodes_of(guarding.url, account, "orders")}[lost["node"]]
        return now.get("role") == "replica" and now.get("process_id") not in (None, lost["process_id"])

    wait_until(is_back, within=30)
    assert (who_may(cloud, "orders"), who_may(cloud, "orders", "alice", ALICE)) == ({False}, {True})
    with redis.RedisCluster(*nodes(cloud, "orders")[0], username="alice", password=ALICE, decode_responses=True) as client:
        assert [client.get(f"k{number}") for number in range(50)] == [str(number) for number in range(50)]


def test_what_is_restored_lets_in_whom_it_is_told(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all", bob="on ~* &* +@all")
    have_group(cloud, "first", "alice")
    have_group(cloud, "second", "bob")
    have_cache(cloud, "orders", UserGroupIds=["first"])
    with come_in(nodes(cloud, "orders")[0], "alice", ALICE) as engine:
        engine.set("k", "v")
    cloud.create_snapshot(SnapshotName="kept", ReplicationGroupId="orders")
    wait_until(lambda: cloud.describe_snapshots(SnapshotName="kept")["Snapshots"][0]["SnapshotStatus"] == "available", within=30)
    have_cache(cloud, "again", SnapshotName="kept", UserGroupIds=["second"])
    assert (who_may(cloud, "again"), who_may(cloud, "again", "alice", ALICE)) == ({False}, {False})
    for place in nodes(cloud, "again"):
        with come_in(place, "bob", ALICE) as engine:
            assert engine.get("k") == "v"


def test_a_user_group_comes_is_swapped_and_goes(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all", bob="on ~* &* +@all")
    have_group(cloud, "first", "alice")
    have_group(cloud, "second", "bob")
    have_cache(cloud, "orders")
    assert who_may(cloud, "orders") == {True}
    change = {"ReplicationGroupId": "orders", "ApplyImmediately": True}
    cloud.modify_replication_group(**change, UserGroupIdsToAdd=["first"])
    assert available(cloud, "orders")["UserGroupIds"] == ["first"]
    assert (who_may(cloud, "orders"), who_may(cloud, "orders", "alice", ALICE)) == ({False}, {True})
    cloud.modify_replication_group(**change, UserGroupIdsToAdd=["second"], UserGroupIdsToRemove=["first"])
    assert available(cloud, "orders")["UserGroupIds"] == ["second"]
    assert (who_may(cloud, "orders", "alice", ALICE), who_may(cloud, "orders", "bob", ALICE)) == ({False}, {True})
    cloud.modify_replication_group(**change, RemoveUserGroups=True)
    assert "UserGroupIds" not in available(cloud, "orders") or available(cloud, "orders")["UserGroupIds"] == []
    assert who_may(cloud, "orders") == {True}


def test_a_killed_control_plane_tells_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WITHOUT_TLS, "true")
    server = Server(tmp_path / "data")
    try:
        server.start()
        cloud = server.api()
        have_users(cloud, alice="on ~* &* +@all")
        have_group(cloud, "app", "alice")
        server.create(UserGroupIds=["app"])
        server.available()
        cloud.modify_user(UserId="alice", Passwords=[OTHER])
        server.end(signal.SIGKILL)
        server.start()
        cloud = server.api()
        wait_until(lambda: is_active(cloud, "alice"), within=30)
        assert who_may(cloud, "orders", "alice", ALICE) == {False}
        assert who_may(cloud, "orders", "alice", OTHER) == {True}
        files = list((tmp_path / "data").glob("control-plane.db*"))
        assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
        assert not any(secret.encode() in file.read_bytes() for file in files for secret in (ALICE, OTHER, SHUT))
    finally:
        server.clear()
