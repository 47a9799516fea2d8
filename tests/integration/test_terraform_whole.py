"""A whole configuration as Terraform applies it: what does not depend on one another at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from integration.terraform.cache_cluster import CacheCluster
from integration.terraform.replication_group import ReplicationGroup
from integration.terraform.resource import Resource
from integration.terraform.subnet_group import SubnetGroup

AT_ONCE = 10
"""Terraform's own figure, unless it is told otherwise."""

SUBNETS = {"name": "ours", "subnet_ids": ["subnet-0a", "subnet-0b"]}
GROUP = {
    "engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small", "description": "d", "subnet_group_name": "ours",
    "automatic_failover_enabled": True, "tags": {"team": "web"},
}  # fmt: skip
NODES = {"node_type": "cache.t3.micro", "subnet_group_name": "ours", "tags": {"team": "web"}}


def resources(client: Any) -> list[tuple[Resource, dict[str, Any]]]:
    return [
        (ReplicationGroup(client), {**GROUP, "replication_group_id": "orders", "num_cache_clusters": 2}),
        (ReplicationGroup(client), {**GROUP, "replication_group_id": "carts", "num_node_groups": 2, "replicas_per_node_group": 0}),
        (CacheCluster(client), {**NODES, "cluster_id": "sessions", "engine": "memcached", "num_cache_nodes": 2}),
        (CacheCluster(client), {**NODES, "cluster_id": "alone", "engine": "redis"}),
    ]


def test_a_whole_configuration_is_applied_changed_and_destroyed(elasticache: Any) -> None:
    subnets, caches = SubnetGroup(elasticache), resources(elasticache)
    subnets.apply(SUBNETS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda each: each[0].apply(each[1]), caches))
        assert list(pool.map(lambda each: each[0].plan(each[1]), caches)) == [{}] * len(caches)
        changed = [(resource, {**config, "tags": {"team": "web", "paid": "yes"}}) for resource, config in caches]
        assert [set(plan) for plan in pool.map(lambda each: each[0].apply(each[1]), changed)] == [{"tags"}] * len(caches)
        assert list(pool.map(lambda each: each[0].plan(each[1]), changed)) == [{}] * len(caches)
        assert subnets.plan(SUBNETS) == {}
        list(pool.map(lambda each: each[0].destroy(), changed))
    subnets.destroy()
    assert elasticache.describe_cache_clusters()["CacheClusters"] == []
    assert elasticache.describe_replication_groups()["ReplicationGroups"] == []
