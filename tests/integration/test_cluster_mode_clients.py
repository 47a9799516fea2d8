"""Clients of cluster mode, unmodified: each begins at the configuration endpoint alone, and finds every shard by itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from caches import QUICK, connected, describe_cache_cluster, describe_group, new_account, remove_everything
from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress, ReadFrom
from npm import folder_with, told_by
from redis.cluster import RedisCluster
from waiting import wait_until

from cachewright import LocalServer

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
KEYS = 300

# Every shard has its replica in zone b; two of the primaries are in zone a.
PRIMARIES = (A, C, A)


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account that is left empty."""
    client = server.client(account_id=new_account())
    yield client
    remove_everything(client)


@pytest.fixture(scope="module")
def group(elasticache: Any) -> Any:
    """Three shards, each with a primary and a replica, from the moment they are available."""
    elasticache.create_replication_group(
        ReplicationGroupId="sharded", ReplicationGroupDescription="d", AutomaticFailoverEnabled=True, MultiAZEnabled=True,
        NodeGroupConfiguration=[
            {"ReplicaCount": 1, "PrimaryAvailabilityZone": zone, "ReplicaAvailabilityZones": [B]} for zone in PRIMARIES
        ], **QUICK,
    )  # fmt: skip
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="sharded")
    return describe_group(elasticache, "sharded")


def slots_of(endpoint: Any) -> list[list[Any]]:
    """The nodes of each range of slots, the primary first, as the node at an endpoint sees them."""
    with contextlib.closing(redis.Redis(endpoint["Address"], endpoint["Port"])) as engine:
        return [listed[2:] for listed in engine.execute_command("CLUSTER SLOTS")]  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def nodes(elasticache: Any, group: Any) -> dict[str, Any]:
    """The endpoint of every node by its id: even clients of cluster mode get them from the engines, tests from the service."""
    return {name: describe_cache_cluster(elasticache, name)["CacheNodes"][0]["Endpoint"] for name in group["MemberClusters"]}


@pytest.fixture
def seed(group: Any, nodes: dict[str, Any]) -> Any:
    """The configuration endpoint of a group without keys."""
    for name, endpoint in nodes.items():
        if name.endswith("001"):
            with connected(endpoint) as primary:
                primary.flushall()
    return group["ConfigurationEndpoint"]


def must_be_spread(nodes: dict[str, Any]) -> None:
    """Every shard holds a fair part of the keys, and each key is in one shard."""
    held = []
    for name, endpoint in nodes.items():
        if name.endswith("001"):
            with connected(endpoint) as primary:
                held.append(primary.dbsize())
    assert sum(held) == KEYS
    assert min(held) > KEYS / 6, held


def test_the_configuration_endpoint_leads_to_a_node_that_knows_all(group: Any, nodes: dict[str, Any]) -> None:
    own = {endpoint["Address"] for endpoint in nodes.values()}
    assert len(own) == len(group["MemberClusters"]) == 6
    assert group["ConfigurationEndpoint"]["Address"] not in own
    assert {node[0].decode() for listed in slots_of(group["ConfigurationEndpoint"]) for node in listed} == own


def test_redis_py(seed: Any, nodes: dict[str, Any]) -> None:
    with RedisCluster(host=seed["Address"], port=seed["Port"], decode_responses=True) as client:
        assert all(client.set(f"key:{number}", number) for number in range(KEYS))
        assert [client.get(f"key:{number}") for number in range(KEYS)] == [str(number) for number in range(KEYS)]
        assert {node.host for node in client.get_nodes()} == {endpoint["Address"] for endpoint in nodes.values()}
        assert (len(client.get_primaries()), len(client.get_replicas())) == (3, 3)
        with client.pipeline() as pipe:
            for number in range(KEYS):
                pipe.get(f"key:{number}")
            assert pipe.execute() == [str(number) for number in range(KEYS)]
    must_be_spread(nodes)


def glide_told_to(seed: Any, read_from: ReadFrom, zone: str | None = None) -> GlideClusterClientConfiguration:
    return GlideClusterClientConfiguration(
        [NodeAddress(seed["Address"], seed["Port"])], read_from=read_from, client_az=zone, request_timeout=5000
    )


async def fill(client: GlideClusterClient) -> None:
    for number in range(KEYS):
        assert await client.set(f"key:{number}", str(number)) == "OK"


async def read(client: GlideClusterClient) -> list[bytes | None]:
    return [await client.get(f"key:{number}") for number in range(KEYS)]


VALUES = [str(number).encode() for number in range(KEYS)]


def test_valkey_glide(seed: Any, nodes: dict[str, Any]) -> None:
    async def work() -> list[bytes | None]:
        client = await GlideClusterClient.create(glide_told_to(seed, ReadFrom.PRIMARY))
        try:
            await fill(client)
            return await read(client)
        finally:
            await client.close()

    assert asyncio.run(work()) == VALUES
    must_be_spread(nodes)


def gets(nodes: dict[str, Any]) -> dict[str, int]:
    """How many GETs each node has answered."""
    counts = {}
    for name, endpoint in nodes.items():
        with connected(endpoint) as engine:
            counts[name] = int(engine.info("commandstats").get("cmdstat_get", {}).get("calls", 0))
    return counts


@pytest.mark.parametrize(
    ("read_from", "zone", "read_in"),
    [
        (ReadFrom.AZ_AFFINITY, B, {B}),
        (ReadFrom.AZ_AFFINITY_REPLICAS_AND_PRIMARY, A, {A, B}),  # the shard without a node in zone a is read in zone b
        (ReadFrom.PREFER_REPLICA, None, {B}),
    ],
)
def test_valkey_glide_reads_in_its_own_zone(
    elasticache: Any, seed: Any, nodes: dict[str, Any], read_from: ReadFrom, zone: str | None, read_in: set[str]
) -> None:
    async def work() -> tuple[dict[str, int], list[bytes | None], dict[str, int]]:
        client = await GlideClusterClient.create(glide_told_to(seed, read_from, zone))
        try:
            await fill(client)
            wait_until(lambda: all_replicated(nodes))
            before = gets(nodes)
            values = await read(client)
            return before, values, gets(nodes)
        finally:
            await client.close()

    before, values, after = asyncio.run(work())
    assert values == VALUES
    answered = {name: after[name] - before[name] for name in nodes if after[name] != before[name]}
    zones = {name: describe_cache_cluster(elasticache, name)["PreferredAvailabilityZone"] for name in answered}
    assert sum(answered.values()) == KEYS
    assert len(answered) == 3, answered
    assert set(zones.values()) == read_in


def all_replicated(nodes: dict[str, Any]) -> bool:
    """Every replica holds what its primary holds."""
    sizes = {}
    for name, endpoint in nodes.items():
        with connected(endpoint) as engine:
            sizes[name] = engine.dbsize()
    return all(size == sizes[name[:-3] + "001"] for name, size in sizes.items())


IOREDIS = """
import Redis from "ioredis";

const [host, port, keys] = process.argv.slice(2);
const client = new Redis.Cluster([{ host, port: Number(port) }]);
const told = { values: [] };
for (let number = 0; number < Number(keys); number++) await client.set(`key:${number}`, number);
for (let number = 0; number < Number(keys); number++) told.values.push(await client.get(`key:${number}`));
told.masters = client.nodes("master").map((node) => node.options.host);
told.replicas = client.nodes("slave").map((node) => node.options.host);
client.disconnect();
console.log(JSON.stringify(told));
"""


def test_ioredis(seed: Any, nodes: dict[str, Any]) -> None:
    told = told_by(IOREDIS, folder_with("ioredis"), seed["Address"], str(seed["Port"]), str(KEYS))
    assert told["values"] == [str(number) for number in range(KEYS)]
    for kind, number in (("masters", "001"), ("replicas", "002")):
        assert set(told[kind]) == {endpoint["Address"] for name, endpoint in nodes.items() if name.endswith(number)}
    must_be_spread(nodes)


def test_redis_cli(seed: Any, nodes: dict[str, Any]) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("no redis-cli on PATH: apt-get install redis-tools")
    command = ["redis-cli", "-c", "-h", seed["Address"], "-p", str(seed["Port"])]
    lines = [*(f"SET key:{number} {number}" for number in range(KEYS)), *(f"GET key:{number}" for number in range(KEYS))]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=True)
    answers = [line for line in done.stdout.splitlines() if not line.startswith("-> Redirected")]
    assert answers == ["OK"] * KEYS + [str(number) for number in range(KEYS)]
    assert len(done.stdout.splitlines()) > len(answers)
    must_be_spread(nodes)
