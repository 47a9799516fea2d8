"""Snapshots in a bucket of a real S3, exports to callers' buckets, and caches that begin with files from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from caches import connected, describe_group, new_account, new_name, refused, remove_group
from object_store import REGION, ObjectStore
from waiting import wait_until

from cachewright import LocalServer, local_server

KEYS = 2000


@pytest.fixture(scope="module")
def bucket(store: ObjectStore) -> str:
    name = new_name("archive-")
    store.make_bucket(name)
    return name


@pytest.fixture(scope="module")
def served(store: ObjectStore, bucket: str) -> Iterator[LocalServer]:
    """A server whose snapshots, and whose callers' buckets, are in S3."""
    at = f"endpoint={quote(store.endpoint, safe='')}&region={REGION}"
    with pytest.MonkeyPatch.context() as environment:
        for name, value in store.environment.items():
            environment.setenv(name, value)
        options = ["--snapshot-archive", f"s3://{bucket}/kept?{at}", "--buckets", f"s3://?{at}"]
        with local_server(options=options) as server:
            yield server


@pytest.fixture
def elasticache(served: LocalServer) -> Any:
    return served.client(account_id=new_account())


def objects(store: ObjectStore, bucket: str, prefix: str = "") -> dict[str, int]:
    with closing(store.client()) as client:
        found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {each["Key"]: each["Size"] for each in found}


def create(elasticache: Any, name: str, **wanted: Any) -> Any:
    asked = {"Engine": "valkey", "EngineVersion": "9.1"} if "SnapshotName" not in wanted and "Engine" not in wanted else {}
    elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **asked | wanted)
    wait_until(lambda: describe_group(elasticache, name)["Status"] in ("available", "create-failed"), within=60)
    return describe_group(elasticache, name)


def fill(group: Any) -> None:
    at = group["ConfigurationEndpoint"]
    with redis.RedisCluster(host=at["Address"], port=at["Port"]) as client:
        for number in range(KEYS):
            client.set(f"key:{number}", number)


def keys_of(group: Any) -> int:
    at = group["ConfigurationEndpoint"]
    with redis.RedisCluster(host=at["Address"], port=at["Port"]) as client:
        return int(sum(node.redis_connection.dbsize() for node in client.get_primaries()))


def taken(elasticache: Any, group: str, name: str) -> Any:
    elasticache.create_snapshot(ReplicationGroupId=group, SnapshotName=name)
    wait_until(lambda: snapshot(elasticache, name)["SnapshotStatus"] in ("available", "failed"), within=60)
    assert snapshot(elasticache, name)["SnapshotStatus"] == "available"
    return snapshot(elasticache, name)


def snapshot(elasticache: Any, name: str) -> Any:
    return elasticache.describe_snapshots(SnapshotName=name)["Snapshots"][0]


def test_a_snapshot_is_kept_in_a_bucket_exported_and_begun_with(elasticache: Any, store: ObjectStore, bucket: str) -> None:
    group = create(elasticache, "orders", NumNodeGroups=2, ReplicasPerNodeGroup=1)
    fill(group)
    taken(elasticache, "orders", "monday")
    kept = objects(store, bucket, "kept/")
    assert sorted(key.rpartition("/")[2].partition("-")[0] for key in kept) == ["0001", "0002", "manifest.json"]

    assert keys_of(create(elasticache, "again", SnapshotName="monday")) == KEYS
    assert keys_of(create(elasticache, "three", SnapshotName="monday", NumNodeGroups=3)) == KEYS
    wait_until(lambda: objects(store, bucket, "kept/") == kept, within=30)  # what was cut is needed no more

    target = new_name("export-")
    refused(lambda: elasticache.copy_snapshot(SourceSnapshotName="monday", TargetSnapshotName="out", TargetBucket=target),
            "InvalidParameterValue", f"The S3 bucket {target} does not exist.")  # fmt: skip
    store.make_bucket(target)
    elasticache.copy_snapshot(SourceSnapshotName="monday", TargetSnapshotName="out", TargetBucket=target)
    wait_until(lambda: snapshot(elasticache, "monday")["SnapshotStatus"] == "available", within=60)
    exported = objects(store, target)
    assert set(exported) == {"out-0001.rdb", "out-0002.rdb"}
    refused(lambda: elasticache.copy_snapshot(SourceSnapshotName="monday", TargetSnapshotName="out", TargetBucket=target),
            "InvalidParameterValue", f"The S3 bucket {target} already contains an object with key out-0001.rdb.")  # fmt: skip

    arns = [f"arn:aws:s3:::{target}/{key}" for key in exported]
    seeded = create(elasticache, "seeded", Engine="valkey", EngineVersion="9.1", NumNodeGroups=3, SnapshotArns=arns)
    assert seeded["Status"] == "available" and keys_of(seeded) == KEYS

    elasticache.copy_snapshot(SourceSnapshotName="monday", TargetSnapshotName="tuesday")
    wait_until(lambda: snapshot(elasticache, "tuesday")["SnapshotStatus"] == "available", within=60)
    elasticache.delete_snapshot(SnapshotName="monday")
    wait_until(lambda: not set(kept) & set(objects(store, bucket, "kept/")), within=30)
    assert keys_of(create(elasticache, "later", SnapshotName="tuesday")) == KEYS
    for name in ("orders", "again", "three", "seeded", "later"):
        remove_group(elasticache, name)


def test_hostile_files_are_refused_before_any_engine_sees_them(elasticache: Any, store: ObjectStore, tmp_path: Path) -> None:
    files = new_name("files-")
    store.make_bucket(files)
    create(elasticache, "small", NumCacheClusters=1)
    with connected(describe_group(elasticache, "small")["NodeGroups"][0]["PrimaryEndpoint"]) as client:
        client.set("a", "b")
    elasticache.create_snapshot(CacheClusterId="small-001", SnapshotName="small")
    wait_until(lambda: snapshot(elasticache, "small")["SnapshotStatus"] == "available", within=60)
    elasticache.copy_snapshot(SourceSnapshotName="small", TargetSnapshotName="good", TargetBucket=files)
    wait_until(lambda: snapshot(elasticache, "small")["SnapshotStatus"] == "available", within=60)
    with closing(store.client()) as client:
        good = client.get_object(Bucket=files, Key="good-0001.rdb")["Body"].read()
        bad = {
            "truncated": good[:-9],
            "flipped": good[:40] + bytes([good[40] ^ 1]) + good[41:],
            "foreign": b"REDIS0042" + good[9:],
            "none": b"MZ" + good,
            "empty": b"",
        }
        for name, content in bad.items():
            client.put_object(Bucket=files, Key=f"{name}.rdb", Body=content)
    for name in bad:
        asked = {"Engine": "valkey", "EngineVersion": "9.1", "NumCacheClusters": 1, "SnapshotArns": [f"arn:aws:s3:::{files}/{name}.rdb"]}
        try:
            group = create(elasticache, f"from-{name}", **asked)
        except elasticache.exceptions.InvalidParameterValueException:
            continue  # an empty file is refused at once
        assert group["Status"] == "create-failed", name
        told = elasticache.describe_events(SourceIdentifier=f"from-{name}", SourceType="replication-group")["Events"]
        assert any(f"arn:aws:s3:::{files}/{name}.rdb" in event["Message"] for event in told), told
        remove_group(elasticache, f"from-{name}")
    remove_group(elasticache, "small")
