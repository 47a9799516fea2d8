"""A snapshot that was changed after it was taken is restored by nobody: no engine is started with it, and an event says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from caches import connected, describe_group, new_account, new_name, remove_everything, remove_group
from waiting import wait_until

from archives.manifest import Manifest, read_manifest
from cachewright import LocalServer


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    made = {"ReplicationGroupDescription": "d", "Engine": "valkey", "EngineVersion": "9.1", "NumCacheClusters": 1}
    client.create_replication_group(ReplicationGroupId="orders", **made)
    client.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    with connected(describe_group(client, "orders")["NodeGroups"][0]["PrimaryEndpoint"]) as engine:
        engine.mset({f"key:{number}": number for number in range(500)})
    yield client
    remove_everything(client)


@pytest.fixture
def taken(server: LocalServer, elasticache: Any) -> Iterator[tuple[str, Path]]:
    """A snapshot, and the folder that it is in."""
    before = set((server.data_dir / "snapshots").glob("*/manifest.json"))
    name = new_name("s")
    elasticache.create_snapshot(ReplicationGroupId="orders", SnapshotName=name)
    wait_until(lambda: elasticache.describe_snapshots(SnapshotName=name)["Snapshots"][0]["SnapshotStatus"] == "available", within=30)
    (manifest,) = set((server.data_dir / "snapshots").glob("*/manifest.json")) - before
    yield name, manifest.parent
    elasticache.delete_snapshot(SnapshotName=name)
    wait_until(lambda: not manifest.parent.exists(), within=20)


def rdb(folder: Path) -> Path:
    return next(folder.glob("*.rdb"))


def flip(folder: Path) -> None:
    content = bytearray(rdb(folder).read_bytes())
    content[len(content) // 2] ^= 1
    rdb(folder).write_bytes(content)


def cut_off(folder: Path) -> None:
    rdb(folder).write_bytes(rdb(folder).read_bytes()[:-20])


def take_away(folder: Path) -> None:
    rdb(folder).unlink()


def lead_elsewhere(folder: Path) -> None:
    path = rdb(folder)
    copy = folder.parent / "elsewhere"
    shutil.move(path, copy)
    path.symlink_to(copy)


def spoil_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    told = json.loads(path.read_text())
    told["manifest"]["parts"][0]["file"]["keys"] = 1
    path.write_text(json.dumps(told))


def exchange_manifest(folder: Path) -> None:
    """One that is sound in itself, and of something else."""
    path = folder / "manifest.json"
    manifest = read_manifest(path.read_bytes())
    path.write_bytes(Manifest(**{**manifest.model_dump(), "source": "another"}).to_bytes())


def take_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


TAMPERED: list[tuple[Callable[[Path], None], str]] = [
    (flip, "was changed after it was kept"),
    (cut_off, "and should have"),
    (take_away, "is missing"),
    (lead_elsewhere, "is missing"),
    (spoil_manifest, "its digest does not fit"),
    (exchange_manifest, "was replaced by another"),
    (take_manifest, "manifest.json"),
]


@pytest.mark.parametrize(("tamper", "says"), TAMPERED, ids=[tamper.__name__ for tamper, _ in TAMPERED])
@pytest.mark.parametrize("shards", [1, 2])
def test_nobody_begins_with_what_was_changed(
    server: LocalServer, elasticache: Any, account: str, taken: tuple[str, Path], tamper: Callable[[Path], None], says: str, shards: int
) -> None:
    snapshot, folder = taken
    tamper(folder)
    name = new_name("g")
    shape = {"NumNodeGroups": 2, "CacheParameterGroupName": "default.valkey9.cluster.on"} if shards == 2 else {"NumCacheClusters": 1}
    elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", SnapshotName=snapshot, **shape)
    wait_until(lambda: describe_group(elasticache, name)["Status"] == "create-failed", within=30)
    told = [event["Message"] for event in elasticache.describe_events(SourceIdentifier=name, SourceType="replication-group")["Events"]]
    assert any(says in message for message in told), told
    nodes = httpx.get(f"{server.url}/v1/nodes", params={"replication_group_id": name}, headers={"X-Account-Id": account}).json()["nodes"]
    assert all(node.get("process_id") is None for node in nodes), "no engine has seen it"
    remove_group(elasticache, name)
    assert (folder.parent / "elsewhere").exists() == (tamper is lead_elsewhere)
    (folder.parent / "elsewhere").unlink(missing_ok=True)
