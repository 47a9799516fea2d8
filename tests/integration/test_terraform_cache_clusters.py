"""``aws_elasticache_cluster`` as Terraform's provider treats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import connected, memcache, new_account, new_name, refused, remove_everything
from integration.terraform.cache_cluster import CacheCluster
from integration.terraform.subnet_group import SubnetGroup

from cachewright import LocalServer

REDIS, MEMCACHED = {"engine": "redis", "node_type": "cache.t3.micro"}, {"engine": "memcached", "node_type": "cache.t3.micro"}
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account in which there is a subnet group, and which is left empty."""
    client = server.client(account_id=new_account())
    SubnetGroup(client).apply({"name": "ours", "subnet_ids": ["subnet-0a", "subnet-0b"]})
    yield client
    remove_everything(client)


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "redis": {**REDIS, "num_cache_nodes": 1, "parameter_group_name": "default.redis7", "engine_version": "7.1", "port": 6379},
    "redis-of-few-words": {"engine": "redis", "node_type": "cache.t3.micro"},
    "redis-in-a-zone": {**REDIS, "availability_zone": B, "port": 6390},
    "redis-with-windows": {
        **REDIS, "maintenance_window": "SUN:05:00-SUN:09:00", "snapshot_window": "01:00-02:00", "auto_minor_version_upgrade": False,
    },
    "redis-in-a-network": {
        **REDIS, "subnet_group_name": "ours", "security_group_ids": ["sg-0b", "sg-0a"], "ip_discovery": "ipv4", "network_type": "ipv4",
    },
    "redis-with-tags": {**REDIS, "tags": {"team": "web", "Empty": ""}},
    "redis-7.0": {**REDIS, "engine_version": "7.0"},
    "redis-6.x": {**REDIS, "engine_version": "6.x", "parameter_group_name": "default.redis6.x"},
    "redis-6.2": {**REDIS, "engine_version": "6.2"},
    "redis-5.0.6": {**REDIS, "engine_version": "5.0.6", "parameter_group_name": "default.redis5.0"},
    "memcached": {**MEMCACHED, "num_cache_nodes": 1, "parameter_group_name": "default.memcached1.6", "engine_version": "1.6.22"},
    "memcached-single-az": {**MEMCACHED, "num_cache_nodes": 3, "az_mode": "single-az", "port": 11300},
    "memcached-in-a-zone": {**MEMCACHED, "num_cache_nodes": 3, "availability_zone": C},
    "memcached-cross-az": {**MEMCACHED, "num_cache_nodes": 3, "az_mode": "cross-az", "tags": {"team": "web"}},
    "memcached-in-zones": {
        **MEMCACHED, "num_cache_nodes": 3, "az_mode": "cross-az", "preferred_availability_zones": [C, A, C],
        "maintenance_window": "sun:05:00-sun:09:00", "subnet_group_name": "ours", "security_group_ids": ["sg-0a"],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_cache_cluster_is_as_it_was_configured(elasticache: Any, name: str) -> None:
    config = {**CONFIGURATIONS[name], "cluster_id": new_name("C")}
    resource = CacheCluster.applied(elasticache, config)
    assert resource.id == config["cluster_id"].lower()
    nodes = resource.state["cache_nodes"]
    assert [node["id"] for node in nodes] == [f"{place + 1:04d}" for place in range(config.get("num_cache_nodes", 1))]
    for node in nodes:
        must_serve(config["engine"], node)
    if zones := config.get("preferred_availability_zones"):
        assert sorted(node["availability_zone"] for node in nodes) == sorted(zones)
    if config["engine"] == "memcached":
        address, _, port = resource.state["configuration_endpoint"].rpartition(":")
        assert (address, int(port)) == (resource.state["cluster_address"], resource.state["port"])
        must_serve("memcached", {"address": address, "port": int(port)})
    resource.destroy()
    refused(lambda: elasticache.describe_cache_clusters(CacheClusterId=config["cluster_id"]), "CacheClusterNotFound")


def must_serve(engine: str, node: dict[str, Any]) -> None:
    endpoint = {"Address": node["address"], "Port": node["port"]}
    if engine == "memcached":
        with memcache(endpoint) as client:
            assert client.set("key", "value", noreply=False)
    else:
        with connected(endpoint) as engine_client:
            assert engine_client.set("key", "value")


def test_windows_flags_and_tags_are_updated_in_place(elasticache: Any) -> None:
    windows = {"maintenance_window": "sun:05:00-sun:06:00", "snapshot_window": "03:00-04:00"}
    config = {**REDIS, **windows, "cluster_id": new_name(), "tags": {"a": "1", "b": "2"}, "apply_immediately": True}
    resource = CacheCluster.applied(elasticache, config)
    created = resource.state["cache_nodes"]
    for changed in (
        {"maintenance_window": "tue:08:30-tue:09:30"},
        {"snapshot_window": "01:00-02:00"},
        {"auto_minor_version_upgrade": False},
        {"security_group_ids": ["sg-0b", "sg-0c"]},
        {"tags": {"b": "other", "c": "3"}},
        {"tags": {}, "maintenance_window": "wed:08:30-wed:09:30", "auto_minor_version_upgrade": True},
    ):
        config = {**config, **changed}
        assert set(resource.apply(config)) == set(changed)
        assert resource.plan(config) == {}
    assert resource.state["cache_nodes"] == created
    resource.destroy()


@pytest.mark.parametrize("changed", [{"port": 6400}, {"availability_zone": C}, {"subnet_group_name": "ours"}], ids=str)
def test_what_cannot_change_makes_a_new_cache_cluster(elasticache: Any, changed: dict[str, Any]) -> None:
    config = {**REDIS, "cluster_id": new_name(), "availability_zone": A}
    resource = CacheCluster.applied(elasticache, config)
    with connected({"Address": resource.state["cache_nodes"][0]["address"], "Port": resource.state["port"]}) as engine:
        engine.set("key", "value")
    plan = resource.apply({**config, **changed})
    assert [name for name, change in plan.items() if change.replaces] == list(changed)
    assert resource.plan({**config, **changed}) == {}
    with connected({"Address": resource.state["cache_nodes"][0]["address"], "Port": resource.state["port"]}) as engine:
        assert engine.get("key") is None
    resource.destroy()


@pytest.fixture
def group(elasticache: Any) -> str:
    """An available group of one."""
    name = new_name("g")
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1", NumCacheClusters=1
    )
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    return name


def test_a_replica_of_a_group_can_be_a_cache_cluster_of_its_own(elasticache: Any, group: str) -> None:
    config = {"cluster_id": new_name(), "replication_group_id": group, "tags": {"a": "1"}}
    resource = CacheCluster.applied(elasticache, config)
    assert (resource.state["engine"], resource.state["engine_version"]) == ("valkey", "8.1")
    resource.destroy()


def test_a_member_that_cannot_go_is_not_deleted_again_and_again(elasticache: Any, group: str) -> None:
    asked: list[str] = []
    elasticache.meta.events.register(
        "provide-client-params.elasticache.DeleteCacheCluster", lambda params, **_: asked.append(params["CacheClusterId"])
    )
    first = CacheCluster.imported(elasticache, f"{group}-001")
    refused(first.delete, "InvalidCacheClusterState", "only member of a replication group")
    replica = CacheCluster.applied(elasticache, {"cluster_id": new_name(), "replication_group_id": group})
    refused(first.delete, "InvalidCacheClusterState", "serving as primary")
    assert asked == [first.id] * 2
    replica.destroy()


def test_a_cache_cluster_that_somebody_deleted_is_made_again(elasticache: Any) -> None:
    config = {**MEMCACHED, "cluster_id": new_name()}
    resource = CacheCluster.applied(elasticache, config)
    elasticache.delete_cache_cluster(CacheClusterId=resource.id)
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=resource.id)
    assert "cluster_id" in resource.plan(config)
    resource.apply(config)
    assert resource.plan(config) == {}
    elasticache.delete_cache_cluster(CacheClusterId=resource.id)
    resource.destroy()  # is being deleted already


def test_a_cache_cluster_in_the_making_is_deleted_once_it_can_be(elasticache: Any) -> None:
    name = new_name()
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", NumCacheNodes=2)
    CacheCluster.imported(elasticache, name).destroy()
    refused(lambda: elasticache.describe_cache_clusters(CacheClusterId=name), "CacheClusterNotFound")
