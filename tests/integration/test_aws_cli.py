"""The aws command line: creates, waits, queries, turns pages and deletes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aws_cli import AwsCli
from caches import connected, memcache, new_account, remove_everything
from redis.cluster import RedisCluster

from cachewright import LocalServer


@pytest.fixture(scope="module")
def aws(server: LocalServer) -> Iterator[AwsCli]:
    """The command line in an account of its own, which is left empty."""
    command = AwsCli(server.url, new_account())
    yield command
    remove_everything(server.client(account_id=command.account))


def test_a_stand_alone_redis(aws: AwsCli) -> None:
    one = ("--cache-cluster-id", "alone")
    made = aws("create-cache-cluster", *one, "--engine", "redis", "--tags", "Key=team,Value=web", "--no-auto-minor-version-upgrade")
    assert made["CacheCluster"]["CacheClusterStatus"] == "creating"
    assert aws("wait", "cache-cluster-available", *one) is None
    query = "CacheClusters[0].[CacheNodes[0].Endpoint, ARN, AutoMinorVersionUpgrade, CacheClusterCreateTime]"
    endpoint, arn, upgrades, created = aws("describe-cache-clusters", *one, "--show-cache-node-info", "--query", query)
    with connected(endpoint) as engine:
        assert engine.set("key", "value")
    assert (upgrades, created[:2]) == (False, "20")
    assert aws("list-tags-for-resource", "--resource-name", arn) == {"TagList": [{"Key": "team", "Value": "web"}]}
    assert aws.text("delete-cache-cluster", *one, "--query", "CacheCluster.CacheClusterStatus") == "deleting"
    assert aws("wait", "cache-cluster-deleted", *one) is None
    assert "(CacheClusterNotFound)" in aws.refused("describe-cache-clusters", *one)


def test_a_memcached_cluster_over_zones(aws: AwsCli) -> None:
    one = ("--cache-cluster-id", "spread")
    zones = ("--az-mode", "cross-az", "--preferred-availability-zones", "us-east-1a", "us-east-1c")
    aws("create-cache-cluster", *one, "--engine", "memcached", "--num-cache-nodes", "2", *zones)
    aws("wait", "cache-cluster-available", *one)
    found = aws("describe-cache-clusters", *one, "--show-cache-node-info", "--query", "CacheClusters[0]")
    assert found["PreferredAvailabilityZone"] == "Multiple"
    for endpoint in [found["ConfigurationEndpoint"], *(node["Endpoint"] for node in found["CacheNodes"])]:
        with memcache(endpoint) as client:
            assert client.set("key", "value", noreply=False)
    aws("delete-cache-cluster", *one)
    aws("wait", "cache-cluster-deleted", *one)


def test_a_replication_group(aws: AwsCli) -> None:
    one = ("--replication-group-id", "orders")
    asked = ("--engine", "valkey", "--engine-version", "8.1", "--num-cache-clusters", "2", "--automatic-failover-enabled", "--multi-az")
    refusal = aws.refused("create-replication-group", *one, "--replication-group-description", "d", *asked, "--auth-token", "a-secret-of-many-letters")
    assert "(InvalidParameterCombination)" in refusal
    assert "TransitEncryptionEnabled" in refusal and "a-secret" not in refusal
    aws("create-replication-group", *one, "--replication-group-description", "of <the> day", *asked)
    assert aws("wait", "replication-group-available", *one) is None
    query = "ReplicationGroups[0].[Description, MultiAZ, NodeGroups[0].PrimaryEndpoint, MemberClusters]"
    description, multi_az, endpoint, members = aws("describe-replication-groups", *one, "--query", query)
    assert (description, multi_az, members) == ("of <the> day", "enabled", ["orders-001", "orders-002"])
    with connected(endpoint) as primary:
        assert primary.info("replication")["role"] == "master"
    aws("modify-replication-group", *one, "--replication-group-description", "of another", "--no-multi-az-enabled")
    aws("wait", "replication-group-available", *one)
    query = "ReplicationGroups[?MultiAZ=='disabled'].Description"
    assert aws.text("describe-replication-groups", "--query", query) == "of another"
    aws("increase-replica-count", *one, "--new-replica-count", "2", "--apply-immediately")
    aws("wait", "replication-group-available", *one)
    query = "ReplicationGroups[0].MemberClusters"
    assert aws("describe-replication-groups", *one, "--query", query) == ["orders-001", "orders-002", "orders-003"]
    assert "(UnsupportedOperation)" in aws.refused("complete-migration", *one)
    assert aws.text("delete-replication-group", *one, "--query", "ReplicationGroup.Status") == "deleting"
    assert aws("wait", "replication-group-deleted", *one) is None
    assert "(ReplicationGroupNotFoundFault)" in aws.refused("describe-replication-groups", *one)


def test_a_group_in_cluster_mode(aws: AwsCli) -> None:
    one = ("--replication-group-id", "sharded")
    shards = (
        "ReplicaCount=1,Slots=0-99,PrimaryAvailabilityZone=us-east-1c,ReplicaAvailabilityZones=us-east-1a",
        "Slots=100-16383,ReplicaCount=0",
    )
    asked = ("--engine", "valkey", "--engine-version", "8.1", "--automatic-failover-enabled", "--node-group-configuration", *shards)
    aws("create-replication-group", *one, "--replication-group-description", "d", *asked)
    aws("wait", "replication-group-available", *one)
    found = aws("describe-replication-groups", *one, "--query", "ReplicationGroups[0]")
    assert [shard["Slots"] for shard in found["NodeGroups"]] == ["0-99", "100-16383"]
    zones = [member["PreferredAvailabilityZone"] for member in found["NodeGroups"][0]["NodeGroupMembers"]]
    assert zones == ["us-east-1c", "us-east-1a"]
    seed = found["ConfigurationEndpoint"]
    with RedisCluster(host=seed["Address"], port=seed["Port"]) as client:
        assert all(client.set(f"key{number}", number) for number in range(30))
    aws("delete-replication-group", *one)
    aws("wait", "replication-group-deleted", *one)


def test_subnet_groups_and_their_pages(aws: AwsCli, server: LocalServer) -> None:
    one = ("--cache-subnet-group-name", "ours")
    contents = ("--cache-subnet-group-description", "d", "--subnet-ids", "subnet-0a", "subnet-0b")
    arn = aws.text("create-cache-subnet-group", *one, *contents, "--query", "CacheSubnetGroup.ARN")
    aws("add-tags-to-resource", "--resource-name", arn, "--tags", "Key=a,Value=1", "Key=b,Value=")
    left = aws("remove-tags-from-resource", "--resource-name", arn, "--tag-keys", "a")
    assert left == {"TagList": [{"Key": "b", "Value": ""}]}
    client = server.client(account_id=aws.account)
    for number in range(44):
        client.create_cache_subnet_group(
            CacheSubnetGroupName=f"page-{number:02d}", CacheSubnetGroupDescription="d", SubnetIds=["subnet-0a"]
        )
    names = ["default", "ours", *(f"page-{number:02d}" for number in range(44))]
    query = ("--query", "CacheSubnetGroups[].CacheSubnetGroupName")
    assert aws("describe-cache-subnet-groups", "--page-size", "20", *query) == names
    begun = aws("describe-cache-subnet-groups", "--page-size", "20", "--max-items", "30")
    assert len(begun["CacheSubnetGroups"]) == 30
    rest = aws("describe-cache-subnet-groups", "--page-size", "20", "--starting-token", begun["NextToken"], *query)
    assert rest == names[30:]
    assert aws("delete-cache-subnet-group", *one) is None
    assert "(CacheSubnetGroupNotFoundFault)" in aws.refused("describe-cache-subnet-groups", *one)


def test_parameter_groups(aws: AwsCli) -> None:
    one = ("--cache-parameter-group-name", "ours")
    values = ("ParameterName=maxmemory-policy,ParameterValue=allkeys-lru", "ParameterName=notify-keyspace-events,ParameterValue=Kx")
    aws("create-cache-parameter-group", *one, "--cache-parameter-group-family", "valkey8", "--description", "d")
    assert aws("modify-cache-parameter-group", *one, "--parameter-name-values", *values) == {"CacheParameterGroupName": "ours"}
    query = ("--query", "Parameters[].[ParameterName, ParameterValue]")
    of_user = ("--source", "user", *query)
    assert aws("describe-cache-parameters", *one, *of_user) == [["maxmemory-policy", "allkeys-lru"], ["notify-keyspace-events", "Kx"]]
    every = aws("describe-cache-parameters", *one, "--page-size", "20", *query)
    assert len(every) > 60
    assert aws("describe-engine-default-parameters", "--cache-parameter-group-family", "valkey8", "--page-size", "20")["EngineDefaults"]
    aws("reset-cache-parameter-group", *one, "--parameter-name-values", "ParameterName=maxmemory-policy")
    assert aws("describe-cache-parameters", *one, *of_user) == [["notify-keyspace-events", "Kx"]]
    aws("reset-cache-parameter-group", *one, "--reset-all-parameters")
    assert aws("describe-cache-parameters", *one, *of_user) == []
    of_family = "CacheParameterGroups[?CacheParameterGroupFamily=='valkey8'].CacheParameterGroupName"
    assert aws("describe-cache-parameter-groups", "--query", of_family) == ["default.valkey8", "default.valkey8.cluster.on", "ours"]
    assert aws("delete-cache-parameter-group", *one) is None
    assert "(CacheParameterGroupNotFound)" in aws.refused("describe-cache-parameters", *one)
    assert "(InvalidCacheParameterGroupState)" in aws.refused("delete-cache-parameter-group", one[0], "default.valkey8")
