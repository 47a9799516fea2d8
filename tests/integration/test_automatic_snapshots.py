"""Snapshots that the window makes: once while it is open, of the member that is meant, gone with their group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from caches import connected, new_account, remove_everything
from groups import Group
from waiting import wait_until

from cachewright import LocalServer


@pytest.fixture
def account() -> str:
    return new_account()


@pytest.fixture
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


def window(begins: timedelta) -> dict[str, str]:
    """A snapshot window of an hour that begins so long from now, and a maintenance window half a day away from it."""
    opens = datetime.now(UTC) + begins
    other = opens + timedelta(hours=12)
    daily = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    days = [f"{moment:%a:%H:%M}".lower() for moment in (other, other + timedelta(hours=1))]
    return {"SnapshotWindow": daily, "PreferredMaintenanceWindow": "-".join(days)}


def automatic(client: Any) -> list[Any]:
    return list(client.describe_snapshots(SnapshotSource="system")["Snapshots"])


def group_of(server: LocalServer, client: Any, account: str, **wanted: Any) -> Group:
    client.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="9.1", **wanted)
    group = Group(client, server.url, account, "orders")
    group.settled()
    return group


def test_one_is_taken_while_the_window_is_open_and_goes_with_its_group(server: LocalServer, elasticache: Any, account: str) -> None:
    group = group_of(server, elasticache, account, NumCacheClusters=3, AutomaticFailoverEnabled=True, **window(-timedelta(minutes=10)))
    assert automatic(elasticache) == [], "none is taken where none is kept"
    with connected(group.seen()["NodeGroups"][0]["PrimaryEndpoint"]) as client:
        client.set("a", "b")
    elasticache.modify_replication_group(ReplicationGroupId="orders", SnapshotRetentionLimit=2, SnapshottingClusterId="orders-002",
                                         ApplyImmediately=True)  # fmt: skip
    wait_until(lambda: [each["SnapshotStatus"] for each in automatic(elasticache)] == ["available"], within=30, every=0.05)
    (taken,) = automatic(elasticache)
    assert re.fullmatch(r"automatic\.orders-002-\d{4}-\d\d-\d\d-\d\d-\d\d", taken["SnapshotName"])
    assert (taken["SnapshotSource"], taken["CacheClusterId"]) == ("automated", "orders-002")
    group.settled()
    assert group.seen()["SnapshottingClusterId"] == "orders-002"
    elasticache.modify_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="again", ApplyImmediately=True)
    group.settled()
    assert len(automatic(elasticache)) == 1, "one a day"

    elasticache.create_snapshot(CacheClusterId="orders-001", SnapshotName="by-hand")
    wait_until(lambda: elasticache.describe_snapshots(SnapshotName="by-hand")["Snapshots"][0]["SnapshotStatus"] == "available", within=30)
    group.settled()
    elasticache.delete_replication_group(ReplicationGroupId="orders")
    wait_until(lambda: automatic(elasticache) == [], within=30)
    assert [each["SnapshotName"] for each in elasticache.describe_snapshots()["Snapshots"]] == ["by-hand"]
    elasticache.delete_snapshot(SnapshotName="by-hand")


def test_a_group_in_cluster_mode_is_saved_whole(server: LocalServer, elasticache: Any, account: str) -> None:
    group_of(server, elasticache, account, NumNodeGroups=2, ReplicasPerNodeGroup=1, SnapshotRetentionLimit=1, **window(-timedelta(minutes=10)))
    wait_until(lambda: [each["SnapshotStatus"] for each in automatic(elasticache)] == ["available"], within=30, every=0.05)
    (taken,) = automatic(elasticache)
    assert taken["SnapshotName"].startswith("automatic.orders-20")
    assert len(taken["NodeSnapshots"]) == 2 and taken["ReplicationGroupId"] == "orders"


def test_none_is_taken_before_the_window_opens(server: LocalServer, elasticache: Any, account: str) -> None:
    group = group_of(server, elasticache, account, NumCacheClusters=1, SnapshotRetentionLimit=1, **window(timedelta(hours=2)))
    elasticache.modify_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="again", ApplyImmediately=True)
    group.settled()
    assert automatic(elasticache) == []
