"""AUTH tokens on real engines: set, rotated and given up for users, with exactly those valid on every node that should be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from guarded import ALICE, available, guarding_server, have_cache, have_group, have_users, who_may

from cachewright import LocalServer

FIRST, SECOND, THIRD = "the-first-token-of-all", "the-second-token-of-all", "the-third-token-of-all"


@pytest.fixture(scope="module")
def guarding() -> Iterator[LocalServer]:
    with guarding_server() as running:
        yield running


@pytest.fixture
def cloud(guarding: LocalServer) -> Any:
    return guarding.client(account_id=str(uuid.uuid4().int)[:12])


def change(cloud: Any, **wanted: Any) -> Any:
    cloud.modify_replication_group(ReplicationGroupId="orders", ApplyImmediately=True, **wanted)
    return available(cloud, "orders")


def valid(cloud: Any) -> set[str | None]:
    """Of the three tokens and none, those that every node of the group lets in with."""
    found: set[str | None] = set()
    for token in (None, FIRST, SECOND, THIRD):
        answers = who_may(cloud, "orders", password=token)
        assert len(answers) == 1, f"nodes disagree about {token}"
        found |= {token} if answers == {True} else set()
    return found


@pytest.mark.parametrize(("engine", "version"), [("valkey", "9.1"), ("redis", "7.0")])
def test_tokens_are_rotated_and_set(cloud: Any, engine: str, version: str) -> None:
    have_cache(cloud, "orders", Engine=engine, EngineVersion=version, AuthToken=FIRST)
    shown = available(cloud, "orders")
    assert shown["AuthTokenEnabled"] is True
    assert "AuthTokenLastModifiedDate" in shown
    assert valid(cloud) == {FIRST}
    change(cloud, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
    assert valid(cloud) == {FIRST, SECOND}
    change(cloud, AuthToken=THIRD)
    assert valid(cloud) == {SECOND, THIRD}
    change(cloud, AuthToken=THIRD, AuthTokenUpdateStrategy="SET")
    assert valid(cloud) == {THIRD}
    cloud.test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
    available(cloud, "orders")
    cloud.increase_replica_count(ReplicationGroupId="orders", NewReplicaCount=2, ApplyImmediately=True)
    available(cloud, "orders")
    assert valid(cloud) == {THIRD}


def test_a_token_comes_to_an_open_group_and_gives_way_to_users(cloud: Any) -> None:
    have_users(cloud, alice="on ~* &* +@all")
    have_group(cloud, "app", "alice")
    have_cache(cloud, "orders")
    assert None in valid(cloud)
    assert change(cloud, AuthToken=FIRST, AuthTokenUpdateStrategy="ROTATE")["AuthTokenEnabled"] is True
    assert None in valid(cloud)
    assert who_may(cloud, "orders", "default", FIRST) == {True}
    change(cloud, AuthToken=FIRST, AuthTokenUpdateStrategy="SET")
    assert valid(cloud) == {FIRST}
    with pytest.raises(ClientError, match="AuthTokenUpdateStrategy DELETE"):
        change(cloud, UserGroupIdsToAdd=["app"])
    shown = change(cloud, UserGroupIdsToAdd=["app"], AuthTokenUpdateStrategy="DELETE")
    assert (shown["AuthTokenEnabled"], shown["UserGroupIds"]) == (False, ["app"])
    assert (valid(cloud), who_may(cloud, "orders", "alice", ALICE)) == (set(), {True})
    change(cloud, RemoveUserGroups=True, AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
    assert (valid(cloud), who_may(cloud, "orders", "alice", ALICE)) == ({SECOND}, {False})


def test_a_restored_group_has_what_it_is_given(cloud: Any) -> None:
    have_cache(cloud, "orders", nodes=1, AuthToken=FIRST)
    cloud.create_snapshot(ReplicationGroupId="orders", SnapshotName="kept")
    while cloud.describe_snapshots(SnapshotName="kept")["Snapshots"][0]["SnapshotStatus"] != "available":
        pass
    have_cache(cloud, "again", nodes=1, SnapshotName="kept", AuthToken=SECOND)
    assert (who_may(cloud, "again", password=FIRST), who_may(cloud, "again", password=SECOND)) == ({False}, {True})


def test_without_encryption_the_service_takes_neither(server: LocalServer) -> None:
    plain = server.client(account_id=str(uuid.uuid4().int)[:12])
    plain.create_user_group(UserGroupId="app", Engine="redis", UserIds=["default"])
    for wanted in ({"AuthToken": FIRST}, {"UserGroupIds": ["app"]}):
        with pytest.raises(ClientError, match="need encryption in transit") as refused:
            plain.create_replication_group(ReplicationGroupId="g", ReplicationGroupDescription="d", Engine="valkey", **wanted)
        assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
        assert FIRST not in str(refused.value)
