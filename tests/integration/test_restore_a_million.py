"""A million keys of all types, with expiries, are the same after a restore into one, three and five shards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from caches import new_account, remove_everything
from datasets import fill, values_of
from groups import Group
from waiting import wait_until

from cachewright import LocalServer

KEYS = 1_000_000
SHAPES = {1: {"NumNodeGroups": 1}, 3: {"NumNodeGroups": 3}, 5: {"NumNodeGroups": 5}}


@pytest.fixture(scope="module")
def saved(server: LocalServer) -> Iterator[tuple[LocalServer, str, tuple[int, int]]]:
    """A snapshot of three shards, and what is in it."""
    account = new_account()
    client = server.client(account_id=account)
    client.create_replication_group(ReplicationGroupId="million", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="9.1",
                                    CacheNodeType="cache.r7g.large", NumNodeGroups=3, ReplicasPerNodeGroup=1)  # fmt: skip
    group = Group(client, server.url, account, "million")
    group.settled()
    with group.connect() as filling:
        fill(filling, KEYS, int(time.time() + 36_000) * 1000)
    wait_until(lambda: all(node["in_sync"] for node in group.nodes()), within=60)
    held = everything(group)
    client.create_snapshot(ReplicationGroupId="million", SnapshotName="million")
    wait_until(lambda: client.describe_snapshots(SnapshotName="million")["Snapshots"][0]["SnapshotStatus"] == "available", within=120)
    yield server, account, held
    remove_everything(client)
    client.delete_snapshot(SnapshotName="million")


def everything(group: Group) -> tuple[int, int]:
    """How many keys the primaries have, and a sum over name, type, value and expiry of each that does not depend on their order."""
    primaries = [group.primary(part["NodeGroupId"]) for part in group.seen()["NodeGroups"]]
    with ThreadPoolExecutor(len(primaries)) as together:
        sums = list(together.map(_sum_of, primaries))
    return sum(count for count, _ in sums), sum(total for _, total in sums) % (1 << 128)


def _sum_of(node: dict[str, Any]) -> tuple[int, int]:
    count, total = 0, 0
    with redis.Redis(host=node["address"], port=node["port"], decode_responses=True, socket_timeout=60) as engine:
        for key, value in values_of(engine):
            count += 1
            total += int.from_bytes(hashlib.blake2b(repr((key, *value)).encode(), digest_size=16).digest())
    return count, total


@pytest.mark.slow
@pytest.mark.usually()
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shards", SHAPES)
def test_a_million_keys_of_all_types_are_the_same(saved: tuple[LocalServer, str, tuple[int, int]], shards: int) -> None:
    server, account, held = saved
    client = server.client(account_id=account)
    name = f"into-{shards}"
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", SnapshotName="million",
                                    ReplicasPerNodeGroup=0, **SHAPES[shards])  # fmt: skip
    group = Group(client, server.url, account, name)
    wait_until(lambda: group.seen()["Status"] in ("available", "create-failed"), within=300, every=0.1)
    assert group.seen()["Status"] == "available"
    assert len(group.seen()["NodeGroups"]) == shards
    assert everything(group) == held
    assert held[0] == KEYS
