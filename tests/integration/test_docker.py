"""Engines in containers of a real Docker Engine: the same service as with processes, and what only containers have."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker_engine
import pytest
import redis
from docker import APIClient
from servers import Server
from waiting import wait_until

from api_schemas.container_memory import container_memory
from cachewright import LocalServer, ServerFailedError, local_server
from cachewright.data_folder import reap

pytestmark = pytest.mark.xdist_group("docker")

HERE = ("--runtime", "docker", "--images", "local")
FOUR_NODES = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1}


@pytest.fixture(scope="module")
def docker(docker_engine: str) -> Iterator[str]:
    """The engine's address, which every server of these tests uses."""
    former = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = docker_engine
    yield docker_engine
    if former is None:
        del os.environ["DOCKER_HOST"]
    else:
        os.environ["DOCKER_HOST"] = former


@pytest.fixture(scope="module")
def in_docker(docker: str) -> Iterator[LocalServer]:
    with local_server(options=HERE) as running:
        yield running


@pytest.fixture
def caches(in_docker: LocalServer) -> Iterator[Caches]:
    kept = Caches(in_docker)
    yield kept
    kept.delete()


class Caches:
    """A client that deletes at the end what it created, so that few containers run at a time."""

    def __init__(self, server: LocalServer) -> None:
        self.server, self.client = server, server.client()
        self.groups: list[str] = []
        self.memcached: list[str] = []

    def group(self, name: str, **wanted: Any) -> dict[str, Any]:
        self.groups.append(name)
        asked = {"Engine": "valkey", "AutomaticFailoverEnabled": True} | wanted
        self.client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **asked)
        return self.available(name)

    def available(self, name: str) -> dict[str, Any]:
        self.client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        found: dict[str, Any] = self.client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]
        return found

    def nodes(self, name: str) -> list[dict[str, Any]]:
        return [node for node in self.server.client("lab").describe_nodes()["Nodes"] if node["Node"].startswith(name)]

    def primary(self, name: str) -> dict[str, Any]:
        return next(node for node in self.nodes(name) if node.get("Role") == "primary")

    def is_whole(self, name: str) -> bool:
        return all(node["InSync"] for node in self.nodes(name))

    def events(self) -> list[str]:
        return [event["Message"] for event in self.client.describe_events(MaxRecords=100)["Events"]]

    def delete(self) -> None:
        for name in self.groups:
            self.client.delete_replication_group(ReplicationGroupId=name)
        for name in self.memcached:
            self.client.delete_cache_cluster(CacheClusterId=name)
        for name in self.groups:
            self.client.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)
        for name in self.memcached:
            self.client.get_waiter("cache_cluster_deleted").wait(CacheClusterId=name)


def endpoint(group: dict[str, Any]) -> redis.Redis:
    place = group["NodeGroups"][0]["PrimaryEndpoint"]
    return redis.Redis(place["Address"], place["Port"], socket_timeout=2, retry=None)


def writes(client: redis.Redis, key: str = "k") -> bool:
    try:
        return bool(client.set(key, "v"))
    except redis.RedisError:
        return False


def container_of(url: str, node: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in docker_engine.containers(url) if each["State"]["Pid"] == node["ProcessId"])


# ---- the same service


@pytest.mark.parametrize("version", ["9.1", "8.1"])
def test_a_group_fails_over_and_heals(caches: Caches, version: str) -> None:
    client = endpoint(caches.group("orders", NumCacheClusters=3, EngineVersion=version))
    former = caches.primary("orders")
    assert writes(client, "before")
    client.execute_command("WAIT", 2, 2000)
    os.kill(former["ProcessId"], signal.SIGKILL)
    wait_until(lambda: writes(client), 5)
    assert client.get("before") == b"v"
    assert caches.primary("orders")["Node"] != former["Node"]
    wait_until(lambda: caches.is_whole("orders"), 20)
    client.close()


def test_a_hung_primary_is_replaced(caches: Caches) -> None:
    client = endpoint(caches.group("hung", NumCacheClusters=2))
    former = caches.primary("hung")
    os.kill(former["ProcessId"], signal.SIGSTOP)
    wait_until(lambda: writes(client), 10)
    assert caches.primary("hung")["Node"] != former["Node"]
    wait_until(lambda: caches.is_whole("hung"), 20)
    client.close()


def test_a_group_in_cluster_mode(caches: Caches) -> None:
    group = caches.group("shards", EngineVersion="8.1", **FOUR_NODES)
    place = group["ConfigurationEndpoint"]
    with redis.RedisCluster(place["Address"], place["Port"]) as client:
        assert all(client.set(f"key-{n}", n) for n in range(100))
        assert sum(int(client.dbsize(target_nodes=node)) for node in client.get_primaries()) == 100


def test_redis_of_the_closest_version_that_is_here(caches: Caches) -> None:
    client = endpoint(caches.group("redis", Engine="redis", NumCacheClusters=2, EngineVersion="7.1"))
    assert client.info()["redis_version"].startswith("7.0.")
    assert "redis 7.1 is served by redis 7.0.15, a wire compatible program, on this host" in caches.events()
    client.close()


def test_memcached_behind_its_front(caches: Caches) -> None:
    caches.memcached.append("sessions")
    caches.client.create_cache_cluster(CacheClusterId="sessions", Engine="memcached", NumCacheNodes=2, CacheNodeType="cache.t3.micro")
    caches.client.get_waiter("cache_cluster_available").wait(CacheClusterId="sessions")
    found = caches.client.describe_cache_clusters(CacheClusterId="sessions", ShowCacheNodeInfo=True)["CacheClusters"][0]
    assert len(found["CacheNodes"]) == 2
    assert all(node["CacheNodeStatus"] == "available" for node in found["CacheNodes"])


# ---- how a container is run


def test_a_container_may_use_what_its_node_type_has_and_nothing_else(caches: Caches, docker: str) -> None:
    caches.group("small", NumCacheClusters=1, CacheNodeType="cache.t3.micro", AutomaticFailoverEnabled=False)
    node = caches.nodes("small")[0]
    container = container_of(docker, node)
    limits = container["HostConfig"]
    with redis.Redis(node["Address"], node["Port"]) as client:
        memory = int(client.config_get("maxmemory")["maxmemory"])
    assert limits["Memory"] == limits["MemorySwap"] == container_memory("valkey", memory) > 2 * memory
    assert limits["NanoCpus"] == min(2, os.cpu_count() or 1) * 10**9
    assert (limits["NetworkMode"], limits["ReadonlyRootfs"], limits["CapDrop"]) == ("host", True, ["ALL"])
    assert (limits["SecurityOpt"], limits["RestartPolicy"]["Name"]) == (["no-new-privileges"], "no")
    assert limits["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
    assert container["Config"]["User"] == "65534:65534"
    status = dict(line.split(":", 1) for line in Path(f"/proc/{node['ProcessId']}/status").read_text().splitlines())
    assert (status["Uid"].split()[0], int(status["CapEff"], 16), status["NoNewPrivs"].strip()) == ("65534", 0, "1")


def test_a_node_that_runs_out_of_memory_is_healed_and_told_of(caches: Caches, docker: str) -> None:
    group = caches.group("greedy", NumCacheClusters=2, EngineVersion="8.1", CacheNodeType="cache.t3.micro")
    client, node = endpoint(group), caches.primary("greedy")
    asked = APIClient(docker, version="auto")
    asked.update_container(container_of(docker, node)["Id"], mem_limit=48 << 20, memswap_limit=48 << 20)
    asked.close()
    with pytest.raises(redis.RedisError):
        for number in range(200):
            client.set(f"large-{number}", b"x" * 1_000_000)
    wait_until(lambda: writes(client), 10)
    assert caches.primary("greedy")["Node"] != node["Node"]
    wait_until(lambda: any("Cache node 0001 ran out of memory" in said and "cache.t3.micro" in said for said in caches.events()), 20)
    wait_until(lambda: caches.is_whole("greedy"), 20)
    assert sum("ran out of memory" in said for said in caches.events()) == 1
    client.close()


# ---- what survives, and what does not


def test_containers_outlive_a_killed_server_and_are_adopted_and_data_an_orderly_stop(docker: str, tmp_path: Path) -> None:
    others, server = ids(docker), Server(tmp_path / "data", *HERE)
    try:
        server.start()
        server.create()
        before = sorted(server.available()["MemberClusters"]), server.engines()
        client = endpoint(server.group())
        assert client.set("kept", "v")
        server.end(signal.SIGKILL)
        assert client.set("meanwhile", "v")
        server.start()
        assert (sorted(server.available()["MemberClusters"]), server.engines()) == before
        server.end(signal.SIGTERM)
        assert ids(docker) - others == set()
        server.start()
        server.available()
        wait_until(lambda: writes(client), 10)
        assert (client.get("kept"), client.get("meanwhile")) == (b"v", b"v")
        assert {handle.key for handle in server.engines()} == {handle.key for handle in before[1]}
        client.close()
    finally:
        server.clear()


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_an_ephemeral_server_leaves_nothing(docker: str, how: str) -> None:
    before = ids(docker)
    with local_server(options=HERE) as server:
        caches = Caches(server)
        caches.group("brief", NumCacheClusters=2)
        assert len(ids(docker) - before) == 2
        if how == "killed":
            os.kill(server.pid, signal.SIGKILL)
    if how == "killed":
        wait_until(lambda: server.data_dir in reap(), 10)
    assert ids(docker) - before == set()
    assert not server.data_dir.exists()


def ids(url: str) -> set[str]:
    return {each["Id"] for each in docker_engine.containers(url)}


# ---- images


def test_an_image_that_cannot_be_had_fails_the_creation_with_the_reason(docker: str) -> None:
    with local_server(zones=1, options=["--runtime", "docker", "--images", "redis=127.0.0.1:1/nobody/redis:{version}"]) as server:
        client = server.client()
        client.create_cache_cluster(CacheClusterId="never", Engine="redis", EngineVersion="6.2", NumCacheNodes=1)
        wait_until(lambda: status(client, "never") == "create-failed", 30)
        problem = node_of(server, "never")["Problem"]
        assert "The image 127.0.0.1:1/nobody/redis:6.2 cannot be had" in problem
        assert "deploy/images" in problem
        client.delete_cache_cluster(CacheClusterId="never")
        client.get_waiter("cache_cluster_deleted").wait(CacheClusterId="never")


def test_an_image_is_fetched_from_a_registry(docker: str, tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (scripts/system-packages)")
    with docker_engine.registry(tmp_path) as place:
        docker_engine.put(docker, "cachewright/redis:7.0", f"{place}/redis:6.2")
        with local_server(zones=1, options=["--runtime", "docker", "--registry", place]) as server:
            client = server.client()
            client.create_cache_cluster(CacheClusterId="fetched", Engine="redis", EngineVersion="6.2", NumCacheNodes=1)
            client.get_waiter("cache_cluster_available").wait(CacheClusterId="fetched")
            assert node_of(server, "fetched")["EngineBinary"]["Image"] == f"{place}/redis:6.2"
        asked = APIClient(docker, version="auto")
        asked.remove_image(f"{place}/redis:6.2")
        asked.close()


def node_of(server: LocalServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client("lab").describe_nodes(CacheClusterId=name)["Nodes"][0]
    return found


def status(client: Any, name: str) -> str:
    found: str = client.describe_cache_clusters(CacheClusterId=name)["CacheClusters"][0]["CacheClusterStatus"]
    return found


def test_a_docker_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(ServerFailedError, match=r"Docker does not answer at unix:///nowhere\.sock: .*DOCKER_HOST"), local_server(options=HERE):
        pass
