"""``aws_elasticache_replication_group`` with cluster mode enabled, as Terraform's provider treats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import describe_group, new_account, new_name, refused, remove_everything
from integration.terraform.replication_group import ReplicationGroup
from redis.cluster import RedisCluster

from cachewright import LocalServer

QUICK = {
    "engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small", "description": "made by a test",
    "automatic_failover_enabled": True,
}  # fmt: skip
ON = {"parameter_group_name": "default.valkey8.cluster.on"}
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account that is left empty."""
    client = server.client(account_id=new_account())
    yield client
    remove_everything(client)


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "2x1": {**QUICK, **ON, "num_node_groups": 2, "replicas_per_node_group": 1},
    "3x0": {**QUICK, "num_node_groups": 3, "replicas_per_node_group": 0},
    "1x1": {**QUICK, **ON, "num_node_groups": 1, "replicas_per_node_group": 1, "port": 6390},
    "1x0": {**QUICK, **ON, "num_node_groups": 1, "replicas_per_node_group": 0, "tags": {"team": "web"}},
    "said": {**QUICK, "cluster_mode": "enabled", "num_node_groups": 2, "replicas_per_node_group": 0},
    "multi-az": {
        **QUICK, **ON, "num_node_groups": 2, "replicas_per_node_group": 2, "multi_az_enabled": True,
        "maintenance_window": "SUN:05:00-SUN:09:00", "snapshot_window": "01:00-02:00", "security_group_ids": ["sg-0b", "sg-0a"],
    },
    "slots-and-zones": {
        **QUICK, **ON, "node_group_configuration": [
            {"node_group_id": "0001", "slots": "0-999", "replica_count": 1,
             "primary_availability_zone": C, "replica_availability_zones": [A]},
            {"node_group_id": "0002", "slots": "1000-16383", "replica_count": 2,
             "primary_availability_zone": B, "replica_availability_zones": [B, C]},
        ],
    },
    "scattered-slots": {
        **QUICK, **ON, "node_group_configuration": [
            {"node_group_id": "0007", "slots": "0-99,200-9999", "replica_count": 0},
            {"node_group_id": "0042", "slots": "100-199,10000-16383", "replica_count": 0},
        ],
    },
    "redis": {
        **QUICK, "engine": "redis", "engine_version": "7.1", "parameter_group_name": "default.redis7.cluster.on",
        "num_node_groups": 2, "replicas_per_node_group": 0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_group_is_as_it_was_configured(elasticache: Any, name: str) -> None:
    config = {**CONFIGURATIONS[name], "replication_group_id": new_name("G")}
    resource = ReplicationGroup.applied(elasticache, config)
    state = resource.state
    shards = config.get("node_group_configuration") or [{}] * config["num_node_groups"]
    nodes = sum(1 + shard.get("replica_count", config.get("replicas_per_node_group", 0)) for shard in shards)
    assert (state["cluster_enabled"], state["cluster_mode"]) == (True, "enabled")
    assert (state["num_node_groups"], state["num_cache_clusters"]) == (len(shards), nodes)
    assert {"primary_endpoint_address", "reader_endpoint_address"}.isdisjoint(state)
    assert state["port"] == config.get("port", 6379)
    with RedisCluster(host=state["configuration_endpoint_address"], port=state["port"]) as client:
        assert len(client.get_primaries()) == len(shards)
        assert len(client.get_nodes()) == nodes
        assert all(client.set(f"key{number}", number) for number in range(30))
    resource.destroy()
    refused(lambda: describe_group(elasticache, config["replication_group_id"]), "ReplicationGroupNotFoundFault")


@pytest.fixture(scope="module")
def long_lived(elasticache: Any) -> tuple[ReplicationGroup, dict[str, Any]]:
    """A group of two shards that tests change in place, and the configuration that each of them begins with."""
    windows = {"maintenance_window": "sun:05:00-sun:06:00", "snapshot_window": "03:00-04:00"}
    config = {**QUICK, **ON, **windows, "replication_group_id": new_name("g"), "num_node_groups": 2, "replicas_per_node_group": 1}
    return ReplicationGroup.applied(elasticache, config), config


@pytest.mark.parametrize(
    "changed",
    [
        {"description": "another"},
        {"maintenance_window": "tue:08:30-tue:09:30", "snapshot_window": "01:00-02:00"},
        {"auto_minor_version_upgrade": False, "security_group_ids": ["sg-0b"]},
        {"multi_az_enabled": True},
        {"tags": {"a": "1"}},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_a_group_is_updated_in_place(long_lived: tuple[ReplicationGroup, dict[str, Any]], changed: dict[str, Any]) -> None:
    resource, config = long_lived
    resource.apply(config)
    before = resource.state
    wanted = {**config, **changed}
    assert set(resource.apply(wanted)) == set(changed)
    assert resource.plan(wanted) == {}
    for name in ("configuration_endpoint_address", "member_clusters", "node_group_configuration"):
        assert resource.state[name] == before[name]


def test_shards_come_and_go_in_place(elasticache: Any) -> None:
    engine = {"engine": "valkey", "engine_version": "9.1", "parameter_group_name": "default.valkey9.cluster.on"}  # moves slots quickest
    config = {**QUICK, **ON, **engine, "replication_group_id": new_name("g"), "num_node_groups": 2, "replicas_per_node_group": 0}
    resource = ReplicationGroup.applied(elasticache, config)
    for shards in (3, 1):
        wanted = {**config, "num_node_groups": shards}
        assert set(resource.apply(wanted)) == {"num_node_groups"}
        assert resource.plan(wanted) == {}
        groups = describe_group(elasticache, resource.id)["NodeGroups"]
        assert [group["NodeGroupId"] for group in groups] == [f"{number:04d}" for number in range(1, shards + 1)]
    resource.destroy()


def test_replicas_of_every_shard_come_and_go_in_place(elasticache: Any) -> None:
    config = {**QUICK, **ON, "replication_group_id": new_name("g"), "num_node_groups": 2, "replicas_per_node_group": 1}
    resource = ReplicationGroup.applied(elasticache, config)
    at = resource.state["configuration_endpoint_address"]
    with RedisCluster(host=at, port=resource.state["port"]) as client:
        assert all(client.set(f"key{number}", number) for number in range(50))
        for number in (2, 0, 1):
            config = {**config, "replicas_per_node_group": number}
            assert "replicas_per_node_group" in resource.apply(config)
            assert resource.plan(config) == {}
            assert [shard["replica_count"] for shard in resource.state["node_group_configuration"]] == [number, number]
            assert resource.state["configuration_endpoint_address"] == at
            assert [int(client.get(f"key{number}") or -1) for number in range(50)] == list(range(50))
            with RedisCluster(host=at, port=resource.state["port"]) as fresh:
                assert len(fresh.get_nodes()) == 2 * (number + 1)
    resource.destroy()


def test_failover_stays_on_in_cluster_mode(elasticache: Any, long_lived: tuple[ReplicationGroup, dict[str, Any]]) -> None:
    resource, config = long_lived
    resource.apply(config)
    off = "Turning off automatic failover for replication group with cluster mode enabled is not supported."
    refused(lambda: resource.apply({**config, "automatic_failover_enabled": False}), "InvalidParameterCombination", off)
    never = {**config, "replication_group_id": new_name(), "automatic_failover_enabled": False}
    refused(lambda: ReplicationGroup(elasticache).apply(never), "InvalidParameterCombination", "failover")
    assert resource.plan(config) == {}


def test_other_slots_make_another_group(elasticache: Any) -> None:
    def shards(first: str, second: str) -> list[dict[str, Any]]:
        return [{"node_group_id": name, "slots": slots, "replica_count": 0} for name, slots in (("0001", first), ("0002", second))]

    config = {**QUICK, **ON, "replication_group_id": new_name(), "node_group_configuration": shards("0-8191", "8192-16383")}
    resource = ReplicationGroup.applied(elasticache, config)
    wanted = {**config, "node_group_configuration": shards("0-99", "100-16383")}
    plan = resource.apply(wanted)
    assert plan["node_group_configuration"].replaces
    assert resource.plan(wanted) == {}
    resource.destroy()
