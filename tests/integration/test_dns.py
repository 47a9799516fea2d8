"""A server that serves the names of its endpoints: clients that know nothing but a name write, read and survive a failover by it."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pymemcache
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from waiting import wait_until

from cachewright import LocalServer, local_server
from cachewright.resolver import Resolver

SUFFIX = "cache.cachewright.internal"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server(options=["--dns-listen", "127.0.0.1:0"]) as running:
        yield running


@pytest.fixture
def resolver(server: LocalServer) -> Iterator[Resolver]:
    found = server.resolver()
    with found.in_use():
        yield found


@pytest.fixture
def elasticache(server: LocalServer) -> Any:
    return server.client(account_id=str(uuid.uuid4().int)[:12])


@pytest.fixture
def group(elasticache: Any) -> dict[str, Any]:
    elasticache.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey",
                                         NumCacheClusters=3, AutomaticFailoverEnabled=True)  # fmt: skip
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    found: dict[str, Any] = elasticache.describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]
    return found


def to(name: str, **options: Any) -> redis.Redis:
    return redis.Redis(name, 6379, decode_responses=True, socket_timeout=5, **options)


def names_of(group: dict[str, Any]) -> tuple[str, str, list[str]]:
    part = group["NodeGroups"][0]
    members = [member["ReadEndpoint"]["Address"] for member in part["NodeGroupMembers"]]
    return part["PrimaryEndpoint"]["Address"], part["ReaderEndpoint"]["Address"], members


def test_describe_names_every_endpoint_as_the_service_does(elasticache: Any, group: dict[str, Any]) -> None:
    primary, reader, members = names_of(group)
    account = primary.split(".")[1]
    assert primary == f"orders.{account}.ng.0001.use1.{SUFFIX}"
    assert reader == f"orders-ro.{account}.ng.0001.use1.{SUFFIX}"
    assert members == [f"orders-00{number}.{account}.0001.use1.{SUFFIX}" for number in (1, 2, 3)]
    shown = elasticache.describe_cache_clusters(CacheClusterId="orders-002", ShowCacheNodeInfo=True)["CacheClusters"][0]
    assert shown["CacheNodes"][0]["Endpoint"]["Address"] == members[1]


def test_a_client_that_knows_a_name_writes_and_reads(resolver: Resolver, group: dict[str, Any]) -> None:
    primary, reader, members = names_of(group)
    with to(primary) as writer, to(reader) as reading:
        assert writer.set("color", "green")
        assert writer.wait(2, 5000) == 2
        assert reading.get("color") == "green"
        assert reading.role()[0] == "slave"
    assert [len(resolver.resolve(name)) for name in members] == [1, 1, 1]


def test_a_name_survives_the_crash_of_the_primary(server: LocalServer, resolver: Resolver, elasticache: Any, group: dict[str, Any]) -> None:
    primary, _, _ = names_of(group)
    with to(primary, retry=Retry(ConstantBackoff(0.02), 200), retry_on_error=[redis.ConnectionError]) as client:
        client.set("color", "green")
        client.wait(2, 5000)
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        assert client.set("after", "the crash")
        assert client.get("color") == "green"


def test_an_unmodified_tool_resolves_the_names(resolver: Resolver, server: LocalServer, group: dict[str, Any]) -> None:
    assert server.dns is not None
    primary, _, _ = names_of(group)
    asked = subprocess.run(["dig", "+short", f"@{server.dns[1]}", "-p", str(server.dns[2]), primary], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == resolver.resolve(primary)


def test_a_memcached_cluster_has_names_too(resolver: Resolver, elasticache: Any) -> None:
    elasticache.create_cache_cluster(CacheClusterId="sessions", Engine="memcached", NumCacheNodes=2)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId="sessions")
    shown = elasticache.describe_cache_clusters(CacheClusterId="sessions", ShowCacheNodeInfo=True)["CacheClusters"][0]
    configuration, nodes = shown["ConfigurationEndpoint"]["Address"], [node["Endpoint"]["Address"] for node in shown["CacheNodes"]]
    assert configuration.split(".")[2] == "cfg"
    assert [name.split(".")[2] for name in nodes] == ["0001", "0002"]
    client = pymemcache.Client((configuration, 11211), timeout=5)
    assert client.set("color", "green", noreply=False)
    client.close()


def test_what_is_gone_has_no_name(resolver: Resolver, elasticache: Any, group: dict[str, Any]) -> None:
    primary, _, _ = names_of(group)
    elasticache.delete_replication_group(ReplicationGroupId="orders")
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId="orders")
    with pytest.raises(OSError, match="the name of nothing"):
        resolver.resolve(primary)
    wait_until(lambda: not elasticache.describe_replication_groups()["ReplicationGroups"])
