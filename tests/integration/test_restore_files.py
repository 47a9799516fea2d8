"""A new cache begins with RDB files of its caller, which are in the folder of buckets."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caches import connected, describe_cache_cluster, new_account, new_name, refused, remove_everything
from datasets import FUNCTION, contents, fill, load_functions, replicas_have_the_same
from groups import Group
from waiting import wait_until

from cachewright import LocalServer

VALKEY_8, VALKEY_9 = {"Engine": "valkey", "EngineVersion": "8.1"}, {"Engine": "valkey", "EngineVersion": "9.1"}
REDIS = {"Engine": "redis", "EngineVersion": "7.0"}
KEYS = 4000
VALUE = "InvalidParameterValue"


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


@pytest.fixture(scope="module")
def bucket(server: LocalServer) -> Path:
    """A bucket of the caller's: a folder in that of buckets."""
    folder = server.data_dir / "buckets" / new_name("bucket-")
    folder.mkdir(parents=True)
    return folder


def a_group(server: LocalServer, client: Any, account: str, status: str = "available", **asked: Any) -> Group:
    """A new group that has that status once it is not being created any more."""
    name = new_name("f")
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **asked)
    group = Group(client, server.url, account, name)
    wait_until(lambda: group.seen()["Status"] != "creating", within=90)
    assert group.seen()["Status"] == status, group.messages()
    return group


def dumped(group: Group, bucket: Path) -> list[str]:
    """Every primary of the group writes its RDB file, as whoever brings one from elsewhere has done; their ARNs."""
    arns = []
    for part in group.seen()["NodeGroups"]:
        node = group.primary(part["NodeGroupId"])
        with connected({"Address": node["address"], "Port": node["port"]}) as engine:
            engine.save()
            folder = Path(engine.config_get("dir")["dir"])
            key = f"{group.name}/{part['NodeGroupId']}.rdb"
            (bucket / group.name).mkdir(exist_ok=True)
            shutil.copyfile(folder / engine.config_get("dbfilename")["dbfilename"], bucket / key)
            arns.append(f"arn:aws:s3:::{bucket.name}/{key}")
    return arns


class Brought:
    """Files from groups of each kind, and what was in those."""

    def __init__(self, server: LocalServer, client: Any, account: str, bucket: Path) -> None:
        self._where = (server, client, account)
        self._bucket = bucket
        self._made: dict[str, tuple[list[str], Any]] = {}

    def by(self, engine: dict[str, str], **shape: Any) -> tuple[list[str], Any]:
        """The files of such a group, and everything that was in it."""
        kind = repr((engine, shape))
        if kind not in self._made:
            group = a_group(*self._where, **engine, **shape)
            with group.connect() as client:
                fill(client, KEYS, int(time.time() + 3600) * 1000)
            load_functions(group)
            self._made[kind] = dumped(group, self._bucket), contents(group)
        return self._made[kind]


@pytest.fixture(scope="module")
def brought(server: LocalServer, elasticache: Any, account: str, bucket: Path) -> Brought:
    return Brought(server, elasticache, account, bucket)


ONE, THREE = {"NumCacheClusters": 1}, {"NumNodeGroups": 3}
REPLICA = {"NumCacheClusters": 2}


@pytest.mark.parametrize(
    ("writer", "source", "reader", "shape", "shards"),
    [
        pytest.param(REDIS, ONE, REDIS, REPLICA, 1, id="redis 7.0"),
        pytest.param(REDIS, ONE, VALKEY_8, REPLICA, 1, id="redis 7.0 into valkey 8.1"),
        pytest.param(REDIS, ONE, VALKEY_9, {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1}, 3, id="redis 7.0 into three shards of valkey 9.1"),
        pytest.param(VALKEY_8, ONE, VALKEY_8, {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1}, 3, id="one file into three shards"),
        pytest.param(VALKEY_8, THREE, VALKEY_8, THREE, 3, id="three files into three shards"),
        pytest.param(VALKEY_8, THREE, VALKEY_8, {"NumNodeGroups": 2}, 2, id="three files into two shards"),
        pytest.param(VALKEY_9, THREE, VALKEY_9, {"NumNodeGroups": 1, "ClusterMode": "enabled"}, 1, id="three files into one shard"),
        pytest.param(VALKEY_8, THREE, VALKEY_9, {"NodeGroupConfiguration": [{"Slots": "0-99"}, {"Slots": "100-200"}, {"Slots": "201-16383"}]},
                     3, id="three files into other slots"),
    ],
)  # fmt: skip
def test_every_key_of_the_files_is_there(
    server: LocalServer, elasticache: Any, account: str, brought: Brought, writer: Any, source: Any, reader: Any, shape: Any, shards: int
) -> None:
    files, data = brought.by(writer, **source)
    group = a_group(server, elasticache, account, SnapshotArns=files, **reader, **shape)
    assert len(group.seen()["NodeGroups"]) == shards
    assert contents(group) == data
    group.settled()
    replicas_have_the_same(group)
    with group.connect() as client:
        assert client.fcall(FUNCTION, 1, "counted by a function") == 1


def test_a_cache_cluster_begins_with_a_file(elasticache: Any, brought: Brought) -> None:
    (file,), data = brought.by(REDIS, **ONE)
    name = new_name("c")
    elasticache.create_cache_cluster(CacheClusterId=name, SnapshotArns=[file], **REDIS)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
    (node,) = describe_cache_cluster(elasticache, name)["CacheNodes"]
    with connected(node["Endpoint"]) as engine:
        assert engine.dbsize() == len(data)
        assert engine.pexpiretime("string:0") == data["string:0"].expires_at


@pytest.mark.parametrize(
    ("asked", "fragment"),
    [
        ({"SnapshotArns": ["arn:aws:s3:::nobody-has-this/a.rdb"]}, "The S3 bucket nobody-has-this does not exist."),
        ({"SnapshotArns": ["a.rdb"]}, "is not of the form arn:aws:s3:::bucket/key"),
    ],
)
def test_files_that_are_not_there_are_refused_and_nothing_is_left(elasticache: Any, asked: Any, fragment: str) -> None:
    name = new_name("n")
    wanted = {"ReplicationGroupId": name, "ReplicationGroupDescription": "d", **asked}
    refused(lambda: elasticache.create_replication_group(**wanted), VALUE, fragment)
    refused(lambda: elasticache.describe_replication_groups(ReplicationGroupId=name), "ReplicationGroupNotFoundFault")


def spoilt(kind: str, content: bytes) -> bytes:
    """A file that was damaged in one way."""
    middle = len(content) // 2
    match kind:
        case "truncated":
            return content[:middle]
        case "tampered":
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        case "foreign":
            return b"PK\x03\x04" + content[4:]
        case _:
            return b"REDIS0099" + content[9:]


SPOILT = ["truncated", "tampered", "foreign", "of a later version"]


@pytest.fixture(params=SPOILT)
def spoilt_file(request: pytest.FixtureRequest, brought: Brought, bucket: Path) -> str:
    """The ARN of a file that was damaged in one way."""
    (file,), _ = brought.by(REDIS, **ONE)
    key = new_name("bad-")
    (bucket / key).write_bytes(spoilt(request.param, (bucket / file.partition("/")[2]).read_bytes()))
    return f"arn:aws:s3:::{bucket.name}/{key}"


def test_a_group_that_cannot_begin_with_its_file_fails_before_an_engine_starts_and_says_why(
    server: LocalServer, elasticache: Any, account: str, spoilt_file: str
) -> None:
    group = a_group(server, elasticache, account, "create-failed", SnapshotArns=[spoilt_file], **VALKEY_8)
    assert all(node.get("process_id") is None for node in group.nodes())
    assert any(spoilt_file in message for _, message in group.messages()), group.messages()
    elasticache.delete_replication_group(ReplicationGroupId=group.name)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=group.name, WaiterConfig={"Delay": 1})


def test_a_cache_cluster_that_cannot_begin_with_its_file_is_restore_failed_and_can_be_deleted(elasticache: Any, spoilt_file: str) -> None:
    name = new_name("c")
    elasticache.create_cache_cluster(CacheClusterId=name, SnapshotArns=[spoilt_file], **REDIS)
    wait_until(lambda: describe_cache_cluster(elasticache, name)["CacheClusterStatus"] == "restore-failed", within=30)
    told = elasticache.describe_events(SourceIdentifier=name, SourceType="cache-cluster", Duration=60)["Events"]
    assert any(spoilt_file in event["Message"] for event in told), told
    elasticache.delete_cache_cluster(CacheClusterId=name)
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=name, WaiterConfig={"Delay": 1})
