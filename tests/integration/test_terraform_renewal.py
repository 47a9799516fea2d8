"""Node type, engine version and cluster mode changed in place by Terraform's provider: endpoints and data stay, the plan is empty after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import connected, new_account, new_name, remove_everything
from integration.terraform.cache_cluster import CacheCluster
from integration.terraform.replication_group import ReplicationGroup

from cachewright import LocalServer

GROUP = {"engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small", "description": "d", "apply_immediately": True}
REDIS = {"engine": "redis", "engine_version": "7.1", "node_type": "cache.t4g.small", "num_cache_nodes": 1, "apply_immediately": True}
MEMCACHED = {"engine": "memcached", "node_type": "cache.t4g.small", "num_cache_nodes": 2, "apply_immediately": True}


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    client = server.client(account_id=new_account())
    yield client
    remove_everything(client)


@pytest.mark.parametrize(
    ("nodes", "steps"),
    [
        (2, [{"node_type": "cache.m7g.large"}, {"node_type": "cache.t4g.micro"}]),
        (1, [{"node_type": "cache.m7g.large"}, {"engine_version": "9.1"}]),
        (2, [{"engine_version": "9.1", "node_type": "cache.m7g.large"}]),
        (3, [{"engine_version": "9.1"}]),
    ],
    ids=["up-and-down", "one-node", "both", "version"],
)
def test_a_group_is_made_anew_in_place(elasticache: Any, nodes: int, steps: list[dict[str, Any]]) -> None:
    config = {**GROUP, "replication_group_id": new_name("t"), "num_cache_clusters": nodes}
    resource = ReplicationGroup.applied(elasticache, config)
    at = resource.state["primary_endpoint_address"], resource.state["reader_endpoint_address"], resource.state["member_clusters"]
    with connected({"Address": at[0], "Port": resource.state["port"]}) as primary:
        primary.set("kept", "value")
    for step in steps:
        config = {**config, **step}
        assert set(resource.apply(config)) == set(step)
        assert resource.plan(config) == {}
    state = resource.state
    assert (state["primary_endpoint_address"], state["reader_endpoint_address"], state["member_clusters"]) == at
    with connected({"Address": at[0], "Port": state["port"]}) as primary:
        assert primary.get("kept") == "value"
    resource.destroy()


def test_a_redis_group_becomes_a_valkey_group(elasticache: Any) -> None:
    config = {**GROUP, "engine": "redis", "engine_version": "7.0", "replication_group_id": new_name("t"), "num_cache_clusters": 2}
    resource = ReplicationGroup.applied(elasticache, config)
    config |= {"engine": "valkey", "engine_version": "8.1"}
    resource.apply(config)
    assert resource.plan(config) == {}
    assert (resource.state["engine"], resource.state["engine_version"]) == ("valkey", "8.1")
    resource.destroy()


def test_without_apply_immediately_the_plan_stays_until_the_window(elasticache: Any) -> None:
    config = {**GROUP, "apply_immediately": False, "replication_group_id": new_name("t"), "num_cache_clusters": 1}
    resource = ReplicationGroup.applied(elasticache, config)
    wanted = {**config, "node_type": "cache.m7g.large"}
    resource.apply(wanted)
    assert set(resource.plan(wanted)) == {"node_type"}
    resource.destroy()


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (REDIS, {"node_type": "cache.m7g.large"}),
        ({**REDIS, "engine_version": "7.0"}, {"engine_version": "7.1"}),
        ({**MEMCACHED, "engine_version": "1.6.17"}, {"engine_version": "1.6.22"}),
    ],
    ids=["redis-type", "redis-version", "memcached-version"],
)
def test_a_cache_cluster_is_made_anew_in_place(elasticache: Any, config: dict[str, Any], change: dict[str, Any]) -> None:
    config = {**config, "cluster_id": new_name("t")}
    resource = CacheCluster.applied(elasticache, config)
    addresses = [node["address"] for node in resource.state["cache_nodes"]]
    assert set(resource.apply({**config, **change})) == set(change)
    assert resource.plan({**config, **change}) == {}
    assert [node["address"] for node in resource.state["cache_nodes"]] == addresses
    resource.destroy()
