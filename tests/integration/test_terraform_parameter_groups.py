"""``aws_elasticache_parameter_group`` as Terraform's provider treats it, alone and under caches that use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import connected, describe_group, memcache, new_account, new_name, refused, remove_everything
from integration.terraform.cache_cluster import CacheCluster
from integration.terraform.parameter_group import BUSY, ParameterGroup
from integration.terraform.replication_group import ReplicationGroup
from redis.cluster import RedisCluster
from waiting import wait_until

from cachewright import LocalServer

MANY = {
    "acllog-max-len": "64", "active-defrag-cycle-max": "60", "active-defrag-cycle-min": "5", "active-defrag-threshold-lower": "20",
    "active-defrag-threshold-upper": "90", "active-expire-effort": "2", "hash-max-listpack-entries": "100",
    "hash-max-listpack-value": "32", "hll-sparse-max-bytes": "2000", "latency-tracking": "yes", "lfu-decay-time": "2",
    "lfu-log-factor": "5", "list-compress-depth": "1", "maxmemory-policy": "allkeys-lru", "maxmemory-samples": "5",
    "min-replicas-max-lag": "20", "notify-keyspace-events": "Kx", "repl-backlog-ttl": "600", "set-max-intset-entries": "100",
    "slowlog-max-len": "64", "stream-node-max-bytes": "2048", "stream-node-max-entries": "50", "tcp-keepalive": "100", "timeout": "30",
    "tracking-table-max-keys": "1000", "zset-max-listpack-entries": "100", "zset-max-listpack-value": "32",
}  # fmt: skip

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "empty": {"family": "valkey8"},
    "few": {"family": "valkey8", "parameter": {"maxmemory-policy": "allkeys-lru", "timeout": "30"}, "description": "of <few> & co"},
    "many": {"family": "valkey8", "parameter": MANY},
    "set-to-the-default": {"family": "redis7", "parameter": {"maxmemory-policy": "volatile-lru", "timeout": "0"}},
    "cluster-mode": {"family": "valkey8", "parameter": {"cluster-enabled": "yes"}, "tags": {"team": "web", "Empty": ""}},
    "redis-6": {"family": "redis6.x", "parameter": {"activedefrag": "yes", "reserved-memory-percent": "50"}},
    "memcached": {"family": "memcached1.6", "parameter": {"max_item_size": "2097152", "chunk_size": "64"}},
}


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account whose caches are gone in the end."""
    client = server.client(account_id=new_account())
    yield client
    remove_everything(client)


def counted(client: Any, operation: str) -> list[int]:
    """How many parameters each call of the operation carries from now on."""
    counts: list[int] = []
    client.meta.events.register(
        f"provide-client-params.elasticache.{operation}", lambda params, **_: counts.append(len(params["ParameterNameValues"]))
    )
    return counts


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_parameter_group_is_as_it_was_configured(elasticache: Any, name: str) -> None:
    config = {**CONFIGURATIONS[name], "name": new_name("P")}
    resource = ParameterGroup.applied(elasticache, config)
    assert resource.id == config["name"].lower()
    assert resource.state["parameter"] == config.get("parameter", {})
    resource.destroy()
    refused(lambda: elasticache.describe_cache_parameters(CacheParameterGroupName=config["name"]), "CacheParameterGroupNotFound")
    resource.id = config["name"]
    resource.destroy()  # gone already: no error


def test_values_are_changed_and_reset_twenty_at_a_time(server: LocalServer) -> None:
    client = server.client(account_id=new_account())
    modified, reset = counted(client, "ModifyCacheParameterGroup"), counted(client, "ResetCacheParameterGroup")
    config = {"name": "own", "family": "valkey8", "parameter": {"timeout": "60", "maxmemory-policy": "noeviction"}, "tags": {"a": "1"}}
    resource = ParameterGroup.applied(client, config)
    arn = resource.state["arn"]
    for parameter, tags in ((MANY, {"a": "2"}), ({"timeout": "99"}, {}), ({}, {})):
        config = {**config, "parameter": parameter, "tags": tags}
        resource.apply(config)
        assert resource.plan(config) == {}
    assert resource.state["arn"] == arn
    assert (modified, reset) == ([2, 20, len(MANY) - 20, 1], [20, len(MANY) - 21, 1])


@pytest.mark.parametrize("changed", [{"description": "another"}, {"family": "redis7"}], ids=str)
def test_what_cannot_change_makes_a_new_parameter_group(elasticache: Any, changed: dict[str, Any]) -> None:
    config = {"name": new_name("p"), "family": "valkey8", "parameter": {"timeout": "30"}}
    resource = ParameterGroup.applied(elasticache, config)
    assert next(iter(resource.apply({**config, **changed}).values())).replaces
    assert resource.plan({**config, **changed}) == {}
    resource.destroy()


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"family": "valkey6"}, "InvalidParameterValue", "valkey6"),
        ({"name": "default.mine"}, "InvalidParameterValue", "default"),
        ({"parameter": {"none-such": "1"}}, "InvalidParameterValue", "none-such"),
        ({"parameter": {"maxmemory-policy": "all"}}, "InvalidParameterValue", "maxmemory-policy"),
        ({"parameter": {"appendonly": "yes"}}, "InvalidParameterValue", "appendonly"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(elasticache: Any, asked: dict[str, Any], code: str, fragment: str) -> None:
    config = {"name": new_name("p"), "family": "valkey8", **asked}
    refused(lambda: ParameterGroup(elasticache).apply(config), code, fragment)


# ---- under caches


QUICK = {"engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small", "description": "made by a test"}


def test_values_reach_a_group_and_a_group_can_move_to_another_parameter_group(elasticache: Any) -> None:
    first, second = new_name("p"), new_name("p")
    parameters = {"name": first, "family": "valkey8", "parameter": {"maxmemory-policy": "allkeys-lru", "timeout": "30"}}
    values = ParameterGroup.applied(elasticache, parameters)
    others = ParameterGroup.applied(elasticache, {"name": second, "family": "valkey8", "parameter": {"maxmemory-policy": "noeviction"}})
    config = {**QUICK, "replication_group_id": new_name(), "num_cache_clusters": 2, "parameter_group_name": first}
    group = ReplicationGroup(elasticache)
    group.apply(config)
    assert group.plan(config) == {}
    with connected({"Address": group.state["primary_endpoint_address"], "Port": group.state["port"]}) as primary:
        assert (primary.config_get("maxmemory-policy"), primary.config_get("timeout")) == (
            {"maxmemory-policy": "allkeys-lru"}, {"timeout": "30"},
        )  # fmt: skip
        parameters = {**parameters, "parameter": {"maxmemory-policy": "allkeys-lfu"}}
        values.apply(parameters)
        assert values.plan(parameters) == {}
        wait_until(lambda: primary.config_get("maxmemory-policy", "timeout") == {"maxmemory-policy": "allkeys-lfu", "timeout": "0"})
        in_use = "are still members of this parameter group"
        refused(lambda: elasticache.delete_cache_parameter_group(CacheParameterGroupName=first), BUSY, in_use)
        config = {**config, "parameter_group_name": second}
        assert set(group.apply(config)) == {"parameter_group_name"}
        assert group.plan(config) == {}
        wait_until(lambda: primary.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"})
    values.destroy()
    group.destroy()
    others.destroy()


def test_a_parameter_group_alone_makes_cluster_mode(elasticache: Any) -> None:
    name = new_name("p")
    values = ParameterGroup.applied(elasticache, {"name": name, "family": "valkey8", "parameter": {"cluster-enabled": "yes", "timeout": "30"}})
    for shape in ({"num_node_groups": 2, "replicas_per_node_group": 1}, {"num_node_groups": 1, "replicas_per_node_group": 0}):
        config = {
            **QUICK, **shape, "replication_group_id": new_name(), "automatic_failover_enabled": True, "parameter_group_name": name,
        }  # fmt: skip
        group = ReplicationGroup(elasticache)
        group.apply(config)
        assert group.plan(config) == {}
        assert describe_group(elasticache, group.id)["ClusterEnabled"] is True
        with RedisCluster(host=group.state["configuration_endpoint_address"], port=group.state["port"]) as client:
            assert len(client.get_primaries()) == shape["num_node_groups"]
            assert all(client.set(f"key{number}", number) for number in range(30))
        group.destroy()
    values.destroy()


def test_values_reach_memcached_and_a_stand_alone_redis(elasticache: Any) -> None:
    items, ours = new_name("p"), new_name("p")
    memcached = ParameterGroup.applied(elasticache, {"name": items, "family": "memcached1.6", "parameter": {"max_item_size": "2097152"}})
    redis = ParameterGroup.applied(elasticache, {"name": ours, "family": "redis7", "parameter": {"timeout": "30"}})
    spread, alone = CacheCluster(elasticache), CacheCluster(elasticache)
    configs = (
        {"cluster_id": new_name(), "engine": "memcached", "node_type": "cache.t3.micro", "parameter_group_name": items},
        {"cluster_id": new_name(), "engine": "redis", "node_type": "cache.t3.micro", "parameter_group_name": ours},
    )
    for cache, config in zip((spread, alone), configs, strict=True):
        cache.apply(config)
        assert cache.plan(config) == {}
    with memcache({"Address": spread.state["cache_nodes"][0]["address"], "Port": spread.state["port"]}) as client:
        assert client.stats("settings")[b"item_size_max"] == 2097152
    with connected({"Address": alone.state["cache_nodes"][0]["address"], "Port": alone.state["port"]}) as engine:
        assert engine.config_get("timeout") == {"timeout": "30"}
    for resource in (spread, alone, memcached, redis):
        resource.destroy()
