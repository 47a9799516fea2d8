"""The number of nodes of an ``aws_elasticache_cluster`` of Memcached, as Terraform's provider changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import memcache, new_account, new_name, remove_everything
from integration.terraform.cache_cluster import CacheCluster

from cachewright import LocalServer

MEMCACHED = {"engine": "memcached", "node_type": "cache.t3.micro"}
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account that is left empty."""
    client = server.client(account_id=new_account())
    yield client
    remove_everything(client)


def must_serve(node: dict[str, Any]) -> None:
    with memcache({"Address": node["address"], "Port": node["port"]}) as client:
        assert client.set("key", "value", noreply=False)


@pytest.mark.parametrize(
    ("begun", "zones"),
    [
        ({"num_cache_nodes": 1}, None),
        ({"num_cache_nodes": 1, "availability_zone": B}, [B]),
        ({"num_cache_nodes": 2, "az_mode": "cross-az", "preferred_availability_zones": [C, A]}, [C, A, B, B]),
    ],
    ids=["alone", "in-a-zone", "over-zones"],
)
def test_memcached_nodes_come_and_go_in_place(elasticache: Any, begun: dict[str, Any], zones: list[str] | None) -> None:
    config = {**MEMCACHED, **begun, "cluster_id": new_name(), "apply_immediately": True}
    resource = CacheCluster.applied(elasticache, config)
    first, number = resource.state["cache_nodes"][0], begun["num_cache_nodes"]
    must_serve(first)
    for wanted in (4, 3, number, number + 1):
        config = {**config, "num_cache_nodes": wanted}
        if "preferred_availability_zones" in begun and zones:
            config["preferred_availability_zones"] = zones[:wanted]
        assert "num_cache_nodes" in resource.apply(config)
        assert resource.plan(config) == {}
        nodes = resource.state["cache_nodes"]
        assert nodes[0] == first
        assert [node["id"] for node in nodes] == [f"{place + 1:04d}" for place in range(wanted)]
        if zones:
            assert [node["availability_zone"] for node in nodes] == (zones * wanted)[:wanted]
        for node in nodes:
            must_serve(node)
    resource.destroy()


def test_without_apply_immediately_the_number_of_nodes_stays_in_the_plan(elasticache: Any) -> None:
    config = {**MEMCACHED, "cluster_id": new_name(), "num_cache_nodes": 1}
    resource = CacheCluster.applied(elasticache, config)
    wanted = {**config, "num_cache_nodes": 2}
    resource.apply(wanted)
    assert set(resource.plan(wanted)) == {"num_cache_nodes"}
    found = elasticache.describe_cache_clusters(CacheClusterId=resource.id)["CacheClusters"][0]
    assert (found["NumCacheNodes"], found["PendingModifiedValues"]["NumCacheNodes"]) == (1, 2)
    now = {**wanted, "apply_immediately": True}
    resource.apply(now)
    assert resource.plan(now) == {}
    resource.destroy()
