"""Endpoints that are names of the nodes themselves, as over several hosts: the control plane and three agents as programs of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from deployment import PORT, Deployment
from ports import free_port
from redis.backoff import ConstantBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from waiting import wait_until

from cachewright.resolver import Resolver


class Named(Deployment):
    """A deployment with named endpoints, and what asks for its names."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(folder, "--endpoints", "named", "--dns-listen", f"127.0.0.1:{port}")
        self.resolver = Resolver("127.0.0.1", port)

    def leads_to(self, name: str) -> set[str]:
        """The nodes that a name leads to, by id; none where it leads nowhere now."""
        by_address = {node["address"]: node["node"] for node in self.nodes() if "address" in node}
        try:
            return {by_address[address] for address in self.resolver.resolve(name)}
        except OSError:
            return set()

    def delete_everything(self) -> None:
        client = self.client()
        for group in client.describe_replication_groups()["ReplicationGroups"]:
            client.delete_replication_group(ReplicationGroupId=group["ReplicationGroupId"])
        for alone in client.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"]:
            client.delete_cache_cluster(CacheClusterId=alone["CacheClusterId"])
        wait_until(lambda: not self.nodes() and not client.describe_replication_groups()["ReplicationGroups"], within=20)

    def reporting(self, role: str) -> set[str]:
        return {node["node"] for node in self.nodes() if node.get("role") == role and node.get("phase") == "running"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    made = Named(tmp_path_factory.mktemp("named"))
    try:
        made.start()
        wait_until(lambda: sum(made.heard().values()) == 3)
        yield made
    finally:
        made.clear()


@pytest.fixture
def named(deployment: Named) -> Iterator[Named]:
    """The deployment, with nothing in it."""
    with deployment.resolver.in_use():
        yield deployment
        deployment.delete_everything()


def names(group: dict[str, Any]) -> tuple[str, str]:
    part = group["NodeGroups"][0]
    return part["PrimaryEndpoint"]["Address"], part["ReaderEndpoint"]["Address"]


def patient(name: str) -> redis.Redis:
    """A client that tries again, by the name, when its connection ends or nobody is there."""
    return redis.Redis(name, PORT, decode_responses=True, socket_timeout=5, retry=Retry(ConstantBackoff(0.01), 1000),
                       retry_on_error=[redis.ConnectionError])  # fmt: skip


def test_names_lead_to_the_nodes_themselves_and_follow_a_crash(named: Named) -> None:
    primary, reader = names(named.create())
    assert named.leads_to(primary) == {"orders-001"}
    assert named.leads_to(reader) == {"orders-002", "orders-003"}
    assert {address for node in named.nodes() for address in node["holds"]} == set(), "an engine has bound an endpoint"
    with patient(primary) as client:
        assert client.set("color", "green")
        assert client.wait(2, 5000) == 2
        os.kill(named.pids()["orders-001"], signal.SIGKILL)
        assert client.set("after", "the crash")
        assert client.get("color") == "green"
        assert named.leads_to(primary) == named.reporting("primary") != {"orders-001"}
    wait_until(lambda: all(node["in_sync"] for node in named.nodes()), within=20)
    wait_until(lambda: named.leads_to(reader) == {"orders-001", "orders-002", "orders-003"} - named.leads_to(primary), within=10)


def test_readers_are_spread_over_the_replicas(named: Named) -> None:
    _, reader = names(named.create())
    first = [named.resolver.resolve(reader)[0] for _ in range(6)]
    assert sorted(map(first.count, set(first))) == [3, 3]
    with redis.Redis(reader, PORT) as client:
        assert client.role()[0] == b"slave"


@pytest.mark.parametrize("mode", [{}, {"ClusterMode": "compatible", "EngineVersion": "8.1"}], ids=["disabled", "compatible"])
def test_a_planned_failover_sends_clients_to_the_heir_and_loses_nothing(named: Named, mode: dict[str, str]) -> None:
    named.client().create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey",
                                            NumCacheClusters=3, AutomaticFailoverEnabled=True, **mode)  # fmt: skip
    primary, _ = names(named.available())
    ended, written, refused = threading.Event(), [], []

    def write() -> None:
        with patient(primary) as client:
            number = 0
            while not ended.is_set():
                try:
                    client.rpush("written", number)
                except redis.ResponseError as wrong_node:
                    refused.append(wrong_node)
                    continue
                written.append(number)
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(written) > 100)
        with redis.Redis(named.resolver.resolve(primary)[0], PORT, single_connection_client=True) as idle:
            before = idle.client_id()
            named.client().test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
            wait_until(lambda: named.reporting("primary") == named.leads_to(primary) and named.leads_to(primary) - {"orders-001"}, within=20)
            so_far = len(written)
            wait_until(lambda: len(written) > so_far + 100, within=20)
            assert idle.client_id() != before, "a client of the former primary was left where it was"
    finally:
        ended.set()
        writer.join()
    with patient(primary) as client:
        kept = list(map(int, client.lrange("written", 0, -1)))
    assert [number for number in written if number not in set(kept)] == []
    assert refused == [], "a write met a replica"


def test_cluster_mode_is_entered_by_a_name(named: Named) -> None:
    client = named.client()
    client.create_replication_group(ReplicationGroupId="shards", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1",
                                    NumNodeGroups=2, ReplicasPerNodeGroup=1, AutomaticFailoverEnabled=True)  # fmt: skip
    group = named.available("shards")
    configuration = group["ConfigurationEndpoint"]["Address"]
    assert configuration.split(".")[2] == "clustercfg"
    assert "PrimaryEndpoint" not in group["NodeGroups"][0]
    assert named.leads_to(configuration) == {node["node"] for node in named.nodes()}
    with RedisCluster(host=configuration, port=PORT, decode_responses=True) as everywhere:
        for number in range(50):
            everywhere.set(f"key-{number}", number)
        assert {everywhere.get(f"key-{number}") for number in range(50)} == set(map(str, range(50)))
        killed = named.pids()["shards-0001-001"]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: named.pids()["shards-0001-001"] not in (None, killed), within=30)
    with RedisCluster(host=configuration, port=PORT, decode_responses=True) as anew:
        assert {anew.get(f"key-{number}") for number in range(50)} == set(map(str, range(50)))
    wait_until(lambda: named.available("shards") and all(node["in_sync"] for node in named.nodes()), within=30)
    wait_until(lambda: named.leads_to(configuration) == {node["node"] for node in named.nodes()})


def test_memcached_is_discovered_by_a_name(named: Named) -> None:
    client = named.client()
    client.create_cache_cluster(CacheClusterId="sessions", Engine="memcached", NumCacheNodes=3)
    client.get_waiter("cache_cluster_available").wait(CacheClusterId="sessions", WaiterConfig={"Delay": 1})
    shown = client.describe_cache_clusters(CacheClusterId="sessions")["CacheClusters"][0]
    name, port = shown["ConfigurationEndpoint"]["Address"], shown["ConfigurationEndpoint"]["Port"]
    assert named.leads_to(name) == {"0001", "0002", "0003"}
    with socket.create_connection((name, port), timeout=5) as asking, asking.makefile("rb") as stream:
        asking.sendall(b"config get cluster\r\n")
        assert stream.readline().startswith(b"CONFIG cluster 0 ")
        stream.readline()
        listed = {place.split(b"|")[1].decode() for place in stream.readline().split()}
    assert listed == {node["address"] for node in named.nodes()}


def test_a_deleted_group_leaves_no_name_and_a_new_control_plane_knows_the_others(named: Named) -> None:
    primary, _ = names(named.create(nodes=2))
    other, _ = names(named.create("others", nodes=1))
    named.plane.end(signal.SIGKILL)
    named.start_plane()
    assert named.leads_to(primary) == {"orders-001"}
    named.client().delete_replication_group(ReplicationGroupId="orders")
    wait_until(lambda: len(named.client().describe_replication_groups()["ReplicationGroups"]) == 1, within=20)
    with pytest.raises(OSError, match="the name of nothing"):
        named.resolver.resolve(primary)
    assert named.leads_to(other) == {"others-001"}


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server, the one program here that is built with TLS")
def test_a_group_with_tls_proves_its_names_and_engines_without_it_are_refused(deployment: Named) -> None:
    client = deployment.client()
    asked = {"ReplicationGroupDescription": "t", "TransitEncryptionEnabled": True, "NumCacheClusters": 2}
    with pytest.raises(client.exceptions.InvalidParameterCombinationException, match="BUILD_TLS"):
        client.create_replication_group(ReplicationGroupId="plain", Engine="valkey", EngineVersion="9.1", **asked)
    client.create_replication_group(ReplicationGroupId="safe", Engine="redis", EngineVersion="7.1", AutomaticFailoverEnabled=True, **asked)
    try:
        client.get_waiter("replication_group_available").wait(ReplicationGroupId="safe")
        (group,) = client.describe_replication_groups(ReplicationGroupId="safe")["ReplicationGroups"]
        trusted = ssl.create_default_context(cadata=httpx.get(f"{client.meta.endpoint_url}/v1/ca.pem").text)
        for name in ("PrimaryEndpoint", "ReaderEndpoint"):
            at = group["NodeGroups"][0][name]
            (address, *_) = deployment.resolver.resolve(at["Address"])
            reached = socket.create_connection((address, at["Port"]), timeout=5)
            with trusted.wrap_socket(reached, server_hostname=at["Address"]) as engine:
                engine.sendall(b"PING\r\n")
                assert engine.recv(16) == b"+PONG\r\n"
    finally:
        deployment.delete_everything()
