"""Snapshots as callers see them: taken under load, shown, copied, deleted with their files; and the last one of what goes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cli import AwsCli
from caches import QUICK, connected, describe_cache_cluster, new_account, new_name, refused, remove_everything
from groups import Group
from waiting import wait_until
from writers import Writer

from cachewright import LocalServer, local_server

VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"
QUOTA = "The maximum number of manual snapshots for this cluster taken within 24 hours has been reached"
RESULT = "Snapshot succeeded for snapshot with ID '{snapshot}' of {source}"


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
    wait_until(lambda: client.describe_snapshots()["Snapshots"] == [], within=30)
    assert folders(server) == set(), "nothing is left of snapshots that are gone"


def folders(server: LocalServer) -> set[str]:
    """Whose files are in the archive."""
    archive = server.data_dir / "snapshots"
    return {path.name for path in archive.iterdir() if path.is_dir() and any(path.iterdir())}


def made(server: LocalServer, client: Any, account: str, **asked: Any) -> Group:
    """A new group that is available."""
    name = new_name("g")
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="saved", **QUICK, **asked)
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name, WaiterConfig={"Delay": 1})
    return Group(client, server.url, account, name)


@pytest.fixture(scope="module")
def group(server: LocalServer, elasticache: Any, account: str) -> Group:
    """A primary and two replicas."""
    return made(server, elasticache, account, NumCacheClusters=3, Tags=[{"Key": "team", "Value": "web"}])


@pytest.fixture(scope="module")
def sharded(server: LocalServer, elasticache: Any, account: str) -> Group:
    """Two shards with a replica each."""
    return made(server, elasticache, account, NumNodeGroups=2, ReplicasPerNodeGroup=1)


@pytest.fixture(scope="module")
def alone(elasticache: Any) -> str:
    """A stand-alone Redis node."""
    name = new_name("c")
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="redis")
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
    return name


def shown(client: Any, name: str, **asked: Any) -> Any:
    (found,) = client.describe_snapshots(SnapshotName=name, **asked)["Snapshots"]
    return found


def available(client: Any, name: str) -> Any:
    """The snapshot, once it is; a Describe is held until its status changes."""
    wait_until(lambda: shown(client, name)["SnapshotStatus"] != "creating", within=60)
    found = shown(client, name)
    assert found["SnapshotStatus"] == "available", found
    return found


def gone(client: Any, name: str) -> None:
    """The snapshot is deleted."""
    assert client.delete_snapshot(SnapshotName=name)["Snapshot"]["SnapshotStatus"] == "deleting"
    wait_until(lambda: client.describe_snapshots()["Snapshots"] == [] or name not in names(client), within=30)
    refused(lambda: client.describe_snapshots(SnapshotName=name), "SnapshotNotFoundFault", f"Snapshot {name} not found")


def names(client: Any, **asked: Any) -> set[str]:
    pages = client.get_paginator("describe_snapshots").paginate(**asked)
    return {snapshot["SnapshotName"] for page in pages for snapshot in page["Snapshots"]}


# ---- taken


def test_a_group_is_saved_from_a_replica(elasticache: Any, group: Group) -> None:
    name = new_name("Snap")
    answer = elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name)["Snapshot"]
    assert (answer["SnapshotName"], answer["SnapshotStatus"]) == (name.lower(), "creating")
    assert [part["CacheSize"] for part in answer["NodeSnapshots"]] == [""]
    found = available(elasticache, name)
    group.settled()
    (part,) = found["NodeSnapshots"]
    assert (part["CacheNodeId"], part["CacheSize"].split()[1]) == ("0001", "MB")
    assert part["CacheNodeCreateTime"] < part["SnapshotCreateTime"]
    assert (found["ReplicationGroupId"], found["NumNodeGroups"], found["SnapshotSource"]) == (group.name, 1, "manual")
    assert found["CacheClusterId"] in group.seen()["MemberClusters"], "the one that was saved"
    assert found["CacheClusterId"] != group.primary()["node"], "not the primary while a replica is in sync"
    told = RESULT.format(snapshot=name.lower(), source=f"replication group with ID '{group.name}'")
    assert told in [message for _, message in group.messages()]
    gone(elasticache, name)


def test_what_is_being_saved_is_saved_once_and_changed_by_nobody(elasticache: Any, group: Group) -> None:
    with group.connect() as client:
        client.mset({f"filler:{number}": "x" * 1000 for number in range(20_000)})
        name = new_name("snap")
        elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name)
        code = "InvalidReplicationGroupState"
        refused(lambda: elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=new_name()), code, "snapshotting")
        refused(lambda: elasticache.modify_replication_group(ReplicationGroupId=group.name, SnapshotRetentionLimit=1), code)
        refused(lambda: elasticache.delete_replication_group(ReplicationGroupId=group.name), code, "snapshotting")
        available(elasticache, name)
        group.settled()
        gone(elasticache, name)
        client.flushall()


def test_the_primary_takes_every_write_meanwhile(elasticache: Any, group: Group) -> None:
    name = new_name("snap")
    with Writer(group.connect, replicas=2) as writer:
        elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name)
        available(elasticache, name)
        writer.go_on_for(20)
    assert writer.longest < 1.0
    assert writer.lost(writer.acknowledged) == []
    assert not group.history(), "nobody was elected"
    gone(elasticache, name)


def test_one_member_is_saved_by_its_own_id(elasticache: Any, group: Group) -> None:
    for member in (group.primary()["node"], group.seen()["MemberClusters"][-1]):
        name = new_name("snap")
        elasticache.create_snapshot(CacheClusterId=member, SnapshotName=name)
        found = available(elasticache, name)
        group.settled()
        assert (found["CacheClusterId"], found["NumCacheNodes"]) == (member, 1)
        assert {"ReplicationGroupId", "ReplicationGroupDescription", "NumNodeGroups", "AutomaticFailover"}.isdisjoint(found)
        cluster = describe_cache_cluster(elasticache, member)
        same = ("PreferredAvailabilityZone", "CacheClusterCreateTime", "Engine", "EngineVersion", "CacheNodeType", "SnapshotWindow")
        assert {key: found[key] for key in same} == {key: cluster[key] for key in same}
        told = RESULT.format(snapshot=name, source=f"cache cluster with ID '{member}'")
        assert (member, told) in group.messages()
        assert name in names(elasticache, CacheClusterId=member)
        gone(elasticache, name)


def test_a_node_alone_is_saved(elasticache: Any, alone: str, server: LocalServer) -> None:
    name = new_name("snap")
    with connected(describe_cache_cluster(elasticache, alone)["CacheNodes"][0]["Endpoint"]) as engine:
        engine.set("key", "value")
    before = folders(server)
    elasticache.create_snapshot(CacheClusterId=alone, SnapshotName=name)
    found = available(elasticache, name)
    assert (found["CacheClusterId"], found["Engine"], found["NumCacheNodes"]) == (alone, "redis", 1)
    (folder,) = folders(server) - before
    kept = {path.name for path in (server.data_dir / "snapshots" / folder).iterdir()}
    assert "manifest.json" in kept and len(kept) == 2
    gone(elasticache, name)
    assert folders(server) == before


def test_every_shard_is_saved(elasticache: Any, sharded: Group) -> None:
    name = new_name("snap")
    answer = elasticache.create_snapshot(ReplicationGroupId=sharded.name, SnapshotName=name)["Snapshot"]
    assert "CacheClusterId" not in answer
    available(elasticache, name)
    sharded.settled()
    found = shown(elasticache, name, ShowNodeGroupConfig=True)
    assert (found["NumNodeGroups"], found["AutomaticFailover"], found["ReplicationGroupDescription"]) == (2, "enabled", "saved")
    assert {"CacheClusterId", "NumCacheNodes", "CacheClusterCreateTime", "PreferredAvailabilityZone"}.isdisjoint(found)
    parts = {part["NodeGroupId"]: part["NodeGroupConfiguration"] for part in found["NodeSnapshots"]}
    seen = {part["NodeGroupId"]: part["Slots"] for part in sharded.seen()["NodeGroups"]}
    assert {group: part["Slots"] for group, part in parts.items()} == seen
    assert [part["ReplicaCount"] for part in parts.values()] == [1, 1]
    assert all(part["PrimaryAvailabilityZone"] not in part["ReplicaAvailabilityZones"] for part in parts.values())
    assert "NodeGroupConfiguration" not in shown(elasticache, name)["NodeSnapshots"][0]
    gone(elasticache, name)


def test_what_cannot_be_taken_is_refused(elasticache: Any, group: Group, sharded: Group) -> None:
    name = new_name("snap")
    first, shard = group.seen()["MemberClusters"][0], sharded.seen()["MemberClusters"][0]

    def create(**asked: str) -> Any:
        return elasticache.create_snapshot(**{"SnapshotName": name, **asked})

    refused(create, COMBINATION, "ReplicationGroupId or CacheClusterId")
    refused(lambda: create(CacheClusterId=first, ReplicationGroupId=sharded.name), COMBINATION, "not a member")
    refused(lambda: create(CacheClusterId=shard), VALUE, "cluster mode enabled")
    refused(lambda: create(CacheClusterId="never"), "CacheClusterNotFound")
    refused(lambda: create(ReplicationGroupId="never"), "ReplicationGroupNotFoundFault")
    refused(lambda: create(ReplicationGroupId=group.name, KmsKeyId="key"), VALUE, "KmsKeyId", "not built")
    refused(lambda: create(ReplicationGroupId=group.name, SnapshotName="a--b"), VALUE, "SnapshotName")
    refused(lambda: elasticache.delete_snapshot(SnapshotName=name), "SnapshotNotFoundFault")
    assert name not in names(elasticache)


# ---- shown, copied


def test_copies_have_files_and_tags_of_their_own(elasticache: Any, group: Group, server: LocalServer) -> None:
    first, second, third = (new_name("snap") for _ in range(3))
    elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=first)
    original = available(elasticache, first)
    group.settled()
    again = {"CacheClusterId": group.primary()["node"], "SnapshotName": first}
    refused(lambda: elasticache.create_snapshot(**again), "SnapshotAlreadyExistsFault", f"Snapshot {first} already exists")
    before = folders(server)
    copy = elasticache.copy_snapshot(SourceSnapshotName=first, TargetSnapshotName=second)["Snapshot"]
    assert (copy["SnapshotName"], copy["SnapshotStatus"], copy["SnapshotSource"]) == (second, "copying", "manual")
    wait_until(lambda: shown(elasticache, second)["SnapshotStatus"] == "available", within=30)
    elasticache.copy_snapshot(SourceSnapshotName=first, TargetSnapshotName=third, Tags=[{"Key": "own", "Value": "1"}])
    wait_until(lambda: shown(elasticache, third)["SnapshotStatus"] == "available", within=30)
    assert len(folders(server) - before) == 2
    gone(elasticache, first)
    copied = shown(elasticache, second)
    own = ("SnapshotName", "ARN")
    assert {key: value for key, value in copied.items() if key not in own} == {k: v for k, v in original.items() if k not in own}
    assert tags_of(elasticache, second) == {"team": "web"}
    assert tags_of(elasticache, third) == {"own": "1"}
    refused(lambda: elasticache.copy_snapshot(SourceSnapshotName=second, TargetSnapshotName=third), "SnapshotAlreadyExistsFault", third)
    refused(lambda: elasticache.copy_snapshot(SourceSnapshotName=first, TargetSnapshotName="new"), "SnapshotNotFoundFault", first)
    for name in (second, third):
        gone(elasticache, name)


def tags_of(client: Any, snapshot: str) -> dict[str, str]:
    listed = client.list_tags_for_resource(ResourceName=shown(client, snapshot)["ARN"])["TagList"]
    return {tag["Key"]: tag["Value"] for tag in listed}


def test_a_bucket_must_be_there_for_an_export(elasticache: Any, alone: str) -> None:
    name = new_name("snap")
    elasticache.create_snapshot(CacheClusterId=alone, SnapshotName=name)
    available(elasticache, name)
    call = {"SourceSnapshotName": name, "TargetSnapshotName": "out", "TargetBucket": "no-such-bucket"}
    refused(lambda: elasticache.copy_snapshot(**call), VALUE, "The S3 bucket no-such-bucket does not exist.")
    assert shown(elasticache, name)["SnapshotStatus"] == "available"
    gone(elasticache, name)


def test_files_go_to_a_bucket_under_the_names_of_the_service(server: LocalServer, elasticache: Any, sharded: Group, account: str) -> None:
    name, bucket = new_name("snap"), server.data_dir / "buckets" / new_name("bucket")
    bucket.mkdir(parents=True)
    elasticache.create_snapshot(ReplicationGroupId=sharded.name, SnapshotName=name)
    available(elasticache, name)
    call = {"SourceSnapshotName": name, "TargetSnapshotName": "Monday", "TargetBucket": bucket.name}
    answer = elasticache.copy_snapshot(**call)["Snapshot"]
    assert (answer["SnapshotName"], answer["SnapshotStatus"]) == (name, "exporting")
    wait_until(lambda: shown(elasticache, name)["SnapshotStatus"] == "available", within=30)
    assert {path.name for path in bucket.iterdir()} == {"Monday-0001.rdb", "Monday-0002.rdb"}
    taken = f"The S3 bucket {bucket.name} already contains an object with key Monday-0001.rdb."
    refused(lambda: elasticache.copy_snapshot(**call), VALUE, taken)
    exported = {"target_snapshot_name": "Tuesday", "target_bucket": bucket.name}
    waited = curl(server, account, "POST", f"/snapshots/{name}/copy", exported)["snapshot"]
    assert (waited["snapshot_name"], waited["snapshot_status"]) == (name, "available")
    assert (bucket / "Tuesday-0002.rdb").stat().st_size > 0
    assert "monday" not in names(elasticache)
    sharded.settled()
    gone(elasticache, name)


def test_tags_are_changed_and_go_with_the_snapshot(elasticache: Any, group: Group) -> None:
    name = new_name("snap")
    elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name)
    arn = available(elasticache, name)["ARN"]
    assert arn.endswith(f":snapshot:{name}")
    assert tags_of(elasticache, name) == {"team": "web"}
    elasticache.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "day", "Value": "monday"}])
    elasticache.remove_tags_from_resource(ResourceName=arn, TagKeys=["team"])
    assert tags_of(elasticache, name) == {"day": "monday"}
    gone(elasticache, name)
    refused(lambda: elasticache.list_tags_for_resource(ResourceName=arn), "SnapshotNotFoundFault")
    group.settled()
    elasticache.create_snapshot(ReplicationGroupId=group.name, SnapshotName=name, Tags=[{"Key": "new", "Value": "1"}])
    available(elasticache, name)
    assert tags_of(elasticache, name) == {"new": "1"}
    gone(elasticache, name)


def test_one_more_than_20_a_day_is_refused_though_the_others_are_gone(server: LocalServer) -> None:
    client = server.client(account_id=new_account())
    cluster = new_name("c")
    client.create_cache_cluster(CacheClusterId=cluster, Engine="redis")
    client.get_waiter("cache_cluster_available").wait(CacheClusterId=cluster, WaiterConfig={"Delay": 1})
    for number in range(20):
        client.create_snapshot(CacheClusterId=cluster, SnapshotName=f"s{number}")
        available(client, f"s{number}")
        wait_until(lambda: describe_cache_cluster(client, cluster)["CacheClusterStatus"] == "available")
    gone(client, "s0")
    refused(lambda: client.create_snapshot(CacheClusterId=cluster, SnapshotName="more"), "SnapshotQuotaExceededFault", QUOTA)
    refused(
        lambda: client.delete_cache_cluster(CacheClusterId=cluster, FinalSnapshotIdentifier="last"), "SnapshotQuotaExceededFault", QUOTA
    )
    pages = list(client.get_paginator("describe_snapshots").paginate(CacheClusterId=cluster, PaginationConfig={"PageSize": 20}))
    assert [snapshot["SnapshotName"] for page in pages for snapshot in page["Snapshots"]] == [f"s{number}" for number in range(1, 20)]
    remove_everything(client)
    assert len(names(client, SnapshotSource="user")) == 19, "manual ones outlive their source"
    for number in range(1, 20):
        gone(client, f"s{number}")


# ---- the last one


def test_a_group_goes_once_its_last_snapshot_is_taken(server: LocalServer, elasticache: Any, account: str) -> None:
    group = made(server, elasticache, account, NumCacheClusters=2)
    with group.connect() as client:
        client.set("key", "value")
    primary, last = group.primary()["node"], new_name("last")
    answer = elasticache.delete_replication_group(ReplicationGroupId=group.name, FinalSnapshotIdentifier=last)["ReplicationGroup"]
    assert answer["Status"] == "deleting"
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=group.name, WaiterConfig={"Delay": 1})
    found = available(elasticache, last)
    assert (found["ReplicationGroupId"], found["CacheClusterId"]) == (group.name, primary)
    again = new_name("g")
    elasticache.create_replication_group(ReplicationGroupId=again, ReplicationGroupDescription="again", SnapshotName=last)
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=again, WaiterConfig={"Delay": 1})
    with Group(elasticache, server.url, account, again).connect() as client:
        assert client.get("key") == "value"
    gone(elasticache, last)


def test_a_cluster_goes_once_its_last_snapshot_is_taken(elasticache: Any) -> None:
    name, last = new_name("c"), new_name("last")
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="redis")
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
    answer = elasticache.delete_cache_cluster(CacheClusterId=name, FinalSnapshotIdentifier=last)["CacheCluster"]
    assert answer["CacheClusterStatus"] == "deleting"
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
    assert available(elasticache, last)["CacheClusterId"] == name
    gone(elasticache, last)


def test_a_shard_is_saved_before_it_goes(server: LocalServer, elasticache: Any, account: str) -> None:
    group = made(server, elasticache, account, NumNodeGroups=2, ReplicasPerNodeGroup=0)
    last = new_name("last")
    elasticache.delete_replication_group(ReplicationGroupId=group.name, FinalSnapshotIdentifier=last)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=group.name, WaiterConfig={"Delay": 1})
    assert len(available(elasticache, last)["NodeSnapshots"]) == 2
    gone(elasticache, last)


def test_what_cannot_be_saved_is_not_deleted(elasticache: Any, group: Group) -> None:
    call = {"ReplicationGroupId": group.name, "FinalSnapshotIdentifier": "last"}
    refused(lambda: elasticache.delete_replication_group(**call, RetainPrimaryCluster=True), COMBINATION, "RetainPrimaryCluster")
    last = group.seen()["MemberClusters"][-1]
    code = "SnapshotFeatureNotSupportedFault"
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=last, FinalSnapshotIdentifier="last"), code, last)
    assert group.seen()["Status"] == "available"


def test_what_was_to_go_comes_back_where_its_last_snapshot_fails(tmp_path: Path) -> None:
    with local_server(data_dir=tmp_path / "data") as server:
        account = new_account()
        client = server.client(account_id=account)
        group = made(server, client, account, NumCacheClusters=1)
        with group.connect() as engine:
            engine.set("key", "value")
        archive = server.data_dir / "snapshots"
        archive.rename(tmp_path / "away")
        archive.mkdir()  # not the archive that is meant
        client.delete_replication_group(ReplicationGroupId=group.name, FinalSnapshotIdentifier="last")
        wait_until(lambda: shown(client, "last")["SnapshotStatus"] == "failed", within=60)
        assert group.seen()["Status"] == "available"
        told = f"Snapshot failed for snapshot with ID 'last' of replication group with ID '{group.name}'"
        assert told in [message for _, message in group.messages()]
        with group.connect() as engine:
            assert engine.get("key") == "value"
        archive.rmdir()
        (tmp_path / "away").rename(archive)
        client.delete_replication_group(ReplicationGroupId=group.name, FinalSnapshotIdentifier="last2")
        assert available(client, "last2")["ReplicationGroupId"] == group.name
        gone(client, "last")
        gone(client, "last2")


# ---- settings


def test_what_is_kept_can_be_set(elasticache: Any, group: Group) -> None:
    second = group.seen()["MemberClusters"][1]
    asked = {"SnapshotRetentionLimit": 7, "SnapshottingClusterId": second, "ApplyImmediately": True}
    window = group.seen()["SnapshotWindow"]
    elasticache.modify_replication_group(ReplicationGroupId=group.name, SnapshotWindow=window, **asked)
    group.settled()
    seen = group.seen()
    assert (seen["SnapshotRetentionLimit"], seen["SnapshottingClusterId"]) == (7, second)
    members = {member: describe_cache_cluster(elasticache, member)["SnapshotRetentionLimit"] for member in seen["MemberClusters"]}
    assert members == {member: 7 if member == second else 0 for member in seen["MemberClusters"]}
    elasticache.modify_replication_group(ReplicationGroupId=group.name, SnapshotRetentionLimit=0)
    group.settled()
    assert "SnapshottingClusterId" not in group.seen()


# ---- other clients


def test_curl_waits_for_a_snapshot(server: LocalServer, elasticache: Any, alone: str, account: str) -> None:
    name = new_name("snap")
    created = curl(server, account, "POST", "/snapshots", {"cache_cluster_id": alone, "snapshot_name": name})
    assert (created["snapshot"]["snapshot_status"], created["snapshot"]["cache_cluster_id"]) == ("available", alone)
    assert created["snapshot"]["node_snapshots"][0]["cache_size"].endswith(" MB")
    assert curl(server, account, "GET", f"/snapshots/{name}")["snapshot"] == created["snapshot"]
    copied = curl(server, account, "POST", f"/snapshots/{name}/copy", {"target_snapshot_name": f"{name}-2"})
    assert (copied["snapshot"]["snapshot_name"], copied["snapshot"]["snapshot_status"]) == (f"{name}-2", "available")
    for each in (name, f"{name}-2"):
        assert curl(server, account, "DELETE", f"/snapshots/{each}")["snapshot"]["snapshot_status"] == "deleted"
    assert {name, f"{name}-2"}.isdisjoint(names(elasticache))


def curl(server: LocalServer, account: str, method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """What the real program gets, having waited."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("no curl on PATH: apt-get install curl")
    headers = ["-H", f"X-Account-Id: {account}", "-H", "Prefer: wait=60", "-H", "Content-Type: application/json"]
    command = [program, "-sS", "--max-time", "90", "-X", method, *headers, f"{server.url}/v1{path}"]
    done = subprocess.run([*command, "-d", json.dumps(body)] if body else command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_aws_command_line(server: LocalServer, elasticache: Any, alone: str, account: str) -> None:
    aws, name = AwsCli(server.url, account), new_name("snap")
    one = ("--snapshot-name", name)
    made = aws("create-snapshot", *one, "--cache-cluster-id", alone, "--tags", "Key=by,Value=cli")
    assert made["Snapshot"]["SnapshotStatus"] == "creating"
    available(elasticache, name)
    query = "Snapshots[].[SnapshotName, SnapshotStatus, SnapshotSource, NodeSnapshots[0].CacheNodeId]"
    assert aws("describe-snapshots", *one, "--query", query) == [[name, "available", "manual", "0001"]]
    assert aws("describe-snapshots", "--cache-cluster-id", alone, "--snapshot-source", "user", "--query", "length(Snapshots)") == 1
    assert aws("describe-snapshots", "--snapshot-source", "system", "--query", "length(Snapshots)") == 0
    aws("copy-snapshot", "--source-snapshot-name", name, "--target-snapshot-name", f"{name}-2")
    wait_until(lambda: shown(elasticache, f"{name}-2")["SnapshotStatus"] == "available", within=30)
    assert aws.text("delete-snapshot", *one, "--query", "Snapshot.SnapshotStatus") == "deleting"
    gone(elasticache, f"{name}-2")
    wait_until(lambda: name not in names(elasticache), within=30)
    assert "(SnapshotNotFoundFault)" in aws.refused("describe-snapshots", *one)
