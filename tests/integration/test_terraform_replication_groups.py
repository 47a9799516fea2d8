"""``aws_elasticache_replication_group`` with cluster mode disabled, as Terraform's provider treats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import connected, describe_group, new_account, new_name, refused, remove_everything
from integration.terraform.replication_group import ReplicationGroup
from integration.terraform.subnet_group import SubnetGroup

from cachewright import LocalServer

QUICK = {"engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small", "description": "made by a test"}
FAILS_OVER = {"automatic_failover_enabled": True}
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture(scope="module")
def elasticache(server: LocalServer) -> Iterator[Any]:
    """A client of an account in which there is a subnet group, and which is left empty."""
    client = server.client(account_id=new_account())
    SubnetGroup(client).apply({"name": "ours", "subnet_ids": ["subnet-0a", "subnet-0b"]})
    yield client
    remove_everything(client)


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "of-few-words": {"node_type": "cache.t3.micro", "description": "d"},
    "one": {**QUICK, "num_cache_clusters": 1},
    "two": {**QUICK, "num_cache_clusters": 2, "port": 6390, "parameter_group_name": "default.valkey8"},
    "three": {**QUICK, "num_cache_clusters": 3},
    "failover": {**QUICK, **FAILS_OVER, "num_cache_clusters": 2},
    "multi-az": {**QUICK, **FAILS_OVER, "num_cache_clusters": 3, "multi_az_enabled": True},
    "zones": {
        **QUICK, **FAILS_OVER, "num_cache_clusters": 3, "multi_az_enabled": True, "preferred_cache_cluster_azs": [C, A, B],
    },
    "one-shard": {**QUICK, "num_node_groups": 1, "replicas_per_node_group": 1},
    "one-shard-no-replica": {**QUICK, "num_node_groups": 1, "replicas_per_node_group": 0, "parameter_group_name": "default.valkey8"},
    "network": {
        **QUICK, "num_cache_clusters": 2, "subnet_group_name": "ours", "security_group_ids": ["sg-0b", "sg-0a"],
        "ip_discovery": "ipv4", "network_type": "ipv4",
    },
    "windows": {
        **QUICK, "num_cache_clusters": 2, "maintenance_window": "SUN:05:00-SUN:09:00", "snapshot_window": "01:00-02:00",
        "auto_minor_version_upgrade": False, "description": "of <orders> & co",
    },
    "kept": {**QUICK, "num_cache_clusters": 2, "snapshot_retention_limit": 5, "snapshot_window": "01:00-02:00"},
    "said-aloud": {
        **QUICK, "num_cache_clusters": 2, "cluster_mode": "disabled", "transit_encryption_enabled": False,
        "at_rest_encryption_enabled": False, "data_tiering_enabled": False, "auto_minor_version_upgrade": True,
    },
    "encrypted": {**QUICK, "num_cache_clusters": 2, "transit_encryption_enabled": True, "transit_encryption_mode": "preferred"},
    "tags": {**QUICK, "num_cache_clusters": 2, "tags": {"team": "web", "Empty": ""}},
    "redis": {**QUICK, "engine": "redis", "engine_version": "7.1", "num_cache_clusters": 2, "parameter_group_name": "default.redis7"},
    "redis-6.x": {**QUICK, "engine": "redis", "engine_version": "6.x", "num_cache_clusters": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_group_is_as_it_was_configured(elasticache: Any, name: str) -> None:
    config = {**CONFIGURATIONS[name], "replication_group_id": new_name("G")}
    resource = ReplicationGroup.applied(elasticache, config)
    state = resource.state
    assert resource.id == config["replication_group_id"].lower()
    nodes = config.get("num_cache_clusters") or config.get("replicas_per_node_group", 0) + 1
    assert (len(state["member_clusters"]), state["num_node_groups"], state["cluster_enabled"]) == (nodes, 1, False)
    if zones := config.get("preferred_cache_cluster_azs"):
        shard = state["node_group_configuration"][0]
        assert [shard["primary_availability_zone"], *shard["replica_availability_zones"]] == zones
    with connected({"Address": state["primary_endpoint_address"], "Port": state["port"]}) as primary:
        assert primary.info("replication")["connected_slaves"] == nodes - 1
        assert primary.set("key", "value")
        assert primary.wait(nodes - 1, 5000) == nodes - 1
    with connected({"Address": state["reader_endpoint_address"], "Port": state["port"]}) as reader:
        assert reader.get("key") == "value"
    resource.destroy()
    missing = "ReplicationGroupNotFoundFault"
    refused(lambda: elasticache.describe_replication_groups(ReplicationGroupId=config["replication_group_id"]), missing)


@pytest.fixture(scope="module")
def long_lived(elasticache: Any) -> tuple[ReplicationGroup, dict[str, Any]]:
    """A group of two that tests change in place, and the configuration that each of them begins with."""
    windows = {"maintenance_window": "sun:05:00-sun:06:00", "snapshot_window": "03:00-04:00"}
    config = {**QUICK, **windows, "replication_group_id": new_name("g"), "num_cache_clusters": 2, "tags": {"a": "1", "b": "2"}}
    return ReplicationGroup.applied(elasticache, config), config


@pytest.mark.parametrize(
    "changed",
    [
        {"description": "another"},
        {"maintenance_window": "tue:08:30-tue:09:30"},
        {"snapshot_window": "01:00-02:00"},
        {"snapshot_retention_limit": 3},
        {"auto_minor_version_upgrade": False},
        {"security_group_ids": ["sg-0b", "sg-0c"]},
        {"automatic_failover_enabled": True},
        {"automatic_failover_enabled": True, "multi_az_enabled": True, "description": "all at once", "tags": {"c": "3"}},
        {"tags": {"b": "other", "c": "3"}},
        {"tags": {}},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_a_group_is_updated_in_place(long_lived: tuple[ReplicationGroup, dict[str, Any]], changed: dict[str, Any]) -> None:
    resource, config = long_lived
    resource.apply(config)
    endpoints = (resource.state["primary_endpoint_address"], resource.state["member_clusters"])
    with connected({"Address": endpoints[0], "Port": resource.state["port"]}) as primary:
        primary.set("kept", "value")
        wanted = {**config, **changed}
        assert set(resource.apply(wanted)) == set(changed)
        assert resource.plan(wanted) == {}
        assert primary.get("kept") == "value"
    assert (resource.state["primary_endpoint_address"], resource.state["member_clusters"]) == endpoints


def test_tags_reach_the_members(elasticache: Any, long_lived: tuple[ReplicationGroup, dict[str, Any]]) -> None:
    resource, config = long_lived
    resource.apply({**config, "tags": {"fresh": "yes"}})
    for member in resource.state["member_clusters"]:
        arn = resource.state["arn"].replace(f"replicationgroup:{resource.id}", f"cluster:{member}")
        assert elasticache.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "fresh", "Value": "yes"}]


COUNTS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "members": ({"num_cache_clusters": 2}, [{"num_cache_clusters": number} for number in (4, 3, 6, 1, 2)]),
    "members-that-fail-over": (
        {"num_cache_clusters": 3, "multi_az_enabled": True, **FAILS_OVER}, [{"num_cache_clusters": number} for number in (5, 2, 3)]
    ),
    "failover-with-the-first-replica": (
        {"num_cache_clusters": 1},
        [{"num_cache_clusters": 2, **FAILS_OVER}, {"num_cache_clusters": 1, "automatic_failover_enabled": False, "description": "alone"}],
    ),
    "replicas-of-one-shard": (
        {"num_node_groups": 1, "replicas_per_node_group": 1}, [{"replicas_per_node_group": number} for number in (3, 0, 2)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_replicas_come_and_go_in_place(elasticache: Any, name: str) -> None:
    begun, steps = COUNTS[name]
    config = {**QUICK, **begun, "replication_group_id": new_name("g"), "tags": {"team": "web"}}
    resource = ReplicationGroup.applied(elasticache, config)
    same = ("primary_endpoint_address", "reader_endpoint_address", "port")
    endpoints = [resource.state[each] for each in same]
    with connected({"Address": endpoints[0], "Port": endpoints[2]}) as primary:
        primary.set("kept", "value")
        for changed in steps:
            config = {**config, **changed}
            assert set(changed) <= set(resource.apply(config))
            assert resource.plan(config) == {}
            nodes = config.get("num_cache_clusters") or config["replicas_per_node_group"] + 1
            assert len(resource.state["member_clusters"]) == nodes
            assert [resource.state[each] for each in same] == endpoints
            assert primary.get("kept") == "value", "the client's connection to the primary outlives the change"
            assert primary.info("replication")["connected_slaves"] == nodes - 1
            with connected({"Address": endpoints[1], "Port": endpoints[2]}) as reader:
                assert reader.get("kept") == "value"
    arns = [resource.state["arn"].replace(f"replicationgroup:{resource.id}", f"cluster:{member}") for member in resource.state["member_clusters"]]
    assert all(elasticache.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "team", "Value": "web"}] for arn in arns)
    resource.destroy()


def test_the_last_replica_of_a_group_that_fails_over_stays(elasticache: Any) -> None:
    config = {**QUICK, **FAILS_OVER, "replication_group_id": new_name("g"), "num_cache_clusters": 2}
    resource = ReplicationGroup.applied(elasticache, config)
    before = describe_group(elasticache, resource.id)
    last = "Must have at least 1 replica when cluster mode is disabled with auto failover enabled."
    refused(lambda: resource.apply({**config, "num_cache_clusters": 1}), "InvalidParameterValue", last)
    refused(lambda: resource.apply({**config, "num_cache_clusters": 7}), "InvalidParameterValue", "6")
    assert describe_group(elasticache, resource.id) == before
    assert resource.plan(config) == {}
    resource.destroy()


def test_more_shards_are_refused_outside_cluster_mode_and_change_nothing(
    elasticache: Any, long_lived: tuple[ReplicationGroup, dict[str, Any]]
) -> None:
    resource, config = long_lived
    resource.apply(config)
    before = describe_group(elasticache, resource.id)
    wanted = {name: value for name, value in config.items() if name != "num_cache_clusters"} | {"num_node_groups": 2}
    refused(lambda: resource.apply(wanted), "InvalidParameterCombination", "cluster mode is disabled")
    assert describe_group(elasticache, resource.id) == before
    assert resource.plan(config) == {}


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"num_cache_clusters": 1, **FAILS_OVER}, "InvalidParameterCombination", "there must be at least 2 cache clusters"),
        ({"num_cache_clusters": 2, "multi_az_enabled": True}, "InvalidParameterCombination", "automatic failover"),
        ({"num_cache_clusters": 2, "num_node_groups": 2}, "InvalidParameterCombination", "NumNodeGroups"),
        ({"num_cache_clusters": 7}, "InvalidParameterValue", "7"),
        ({"num_cache_clusters": 1, "engine_version": "8.1.0"}, "InvalidParameterValue", "8.1"),
        ({"num_cache_clusters": 1, "subnet_group_name": "none-such"}, "CacheSubnetGroupNotFoundFault", "none-such"),
        ({"num_cache_clusters": 1, "parameter_group_name": "none-such"}, "CacheParameterGroupNotFound", "none-such"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_refused_create_leaves_no_resource(elasticache: Any, asked: dict[str, Any], code: str, fragment: str) -> None:
    resource = ReplicationGroup(elasticache)
    name = new_name()
    refused(lambda: resource.apply({**QUICK, **asked, "replication_group_id": name}), code, fragment)
    assert resource.id == ""
    refused(lambda: describe_group(elasticache, name), "ReplicationGroupNotFoundFault")


def test_a_subnet_group_in_use_is_not_deleted(elasticache: Any) -> None:
    subnets, group = SubnetGroup(elasticache), ReplicationGroup(elasticache)
    subnets.apply({"name": "busy", "subnet_ids": ["subnet-0a"]})
    group.apply({**QUICK, "replication_group_id": new_name(), "num_cache_clusters": 1, "subnet_group_name": "busy"})
    refused(subnets.delete, "CacheSubnetGroupInUse", "busy is currently in use by a cache cluster")
    group.destroy()
    subnets.destroy()


def test_a_group_that_is_busy_is_deleted_once_it_can_be(elasticache: Any) -> None:
    made, changed = new_name(), new_name()
    elasticache.create_replication_group(
        ReplicationGroupId=made, ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1", NumCacheClusters=2
    )
    ReplicationGroup.imported(elasticache, made).destroy()
    refused(lambda: describe_group(elasticache, made), "ReplicationGroupNotFoundFault")
    group = ReplicationGroup(elasticache)
    group.apply({**QUICK, "replication_group_id": changed, "num_cache_clusters": 2})
    elasticache.modify_replication_group(ReplicationGroupId=changed, ReplicationGroupDescription="behind the back")
    group.destroy()
    refused(lambda: describe_group(elasticache, changed), "ReplicationGroupNotFoundFault")
