"""Replication groups through an unmodified boto3: what Describe says is held against what the engines do."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import redis
from caches import QUICK, connected, describe_group, new_account, refused, remove_group
from waiting import wait_until

from cachewright import LocalServer

Create = Callable[..., Any]

VALKEY_8, VALKEY_9, REDIS_7 = (("valkey", "8.1"), ("valkey", "9.1"), ("redis", "7.1"))
T4G_SMALL = 1471026299

# Shown by a group, but either kept by the service to itself or of no meaning outside cluster mode.
KEPT_BY_THE_SERVICE = {"appendonly", "appendfsync", "maxclients", "repl-timeout"}
OF_CLUSTER_MODE = {"cluster-preferred-endpoint-type", "cluster-databases"}


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    """A client of the module's account; every group in it is deleted by whoever made it."""
    return server.client(account_id=account)


@pytest.fixture
def create(elasticache: Any) -> Iterator[Create]:
    """Creates groups of quick engines, and deletes them when the test is over."""
    names: list[str] = []

    def ask(**fields: Any) -> Any:
        name = fields.pop("ReplicationGroupId", None) or f"g{uuid.uuid4().hex[:10]}"
        names.append(name)
        asked = {"ReplicationGroupDescription": "made by a test", **({} if "Engine" in fields else QUICK), **fields}
        return elasticache.create_replication_group(ReplicationGroupId=name, **asked)["ReplicationGroup"]

    yield ask
    for name in names:
        remove_group(elasticache, name)


@pytest.fixture(scope="module", params=[VALKEY_8, VALKEY_9, REDIS_7], ids=["valkey-8.1", "valkey-9.1", "redis-7.1"])
def made(request: pytest.FixtureRequest, elasticache: Any) -> Iterator[Any]:
    """A group of three that tests only look at, once for each engine."""
    engine, version = request.param
    name = f"{engine}-{version.replace('.', '-')}-{uuid.uuid4().hex[:6]}"
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="to look at", NumCacheClusters=3, Engine=engine,
        EngineVersion=version, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
    )  # fmt: skip
    yield available(elasticache, name)
    remove_group(elasticache, name)


@pytest.fixture(scope="module")
def other(elasticache: Any) -> Iterator[Any]:
    """A group of two that tests change but leave available."""
    name = f"other-{uuid.uuid4().hex[:6]}"
    elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", NumCacheClusters=2, **QUICK)
    yield available(elasticache, name)
    remove_group(elasticache, name)


def available(client: Any, name: str) -> Any:
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    return describe_group(client, name)


def members(group: Any) -> list[Any]:
    return list(group["NodeGroups"][0]["NodeGroupMembers"])


def zones_of(group: Any) -> list[str]:
    return [member["PreferredAvailabilityZone"] for member in members(group)]


def cluster_of(client: Any, name: str) -> Any:
    return client.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]


def ask(endpoint: Any, *command: str) -> Any:
    with connected(endpoint) as engine:
        return engine.execute_command(*command)


def info(endpoint: Any, section: str) -> Any:
    with connected(endpoint) as engine:
        return engine.info(section)


def run_id(endpoint: Any) -> str:
    return str(info(endpoint, "server")["run_id"])


def configuration(endpoint: Any, name: str = "*") -> dict[str, str]:
    with connected(endpoint) as engine:
        return dict(engine.config_get(name))


def processes(server: LocalServer, account: str, group: str) -> list[int]:
    answer = httpx.get(f"{server.url}/v1/nodes", params={"replication_group_id": group}, headers={"X-Account-Id": account})
    return [node["process_id"] for node in answer.json()["nodes"]]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(endpoint: Any) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((endpoint["Address"], endpoint["Port"])) == 0


# ---- What Describe says is what the engines do ----------------------------------------------------------------------------


def test_roles_shown_are_the_roles_the_engines_have(made: Any) -> None:
    shown = {member["CacheClusterId"]: member["CurrentRole"] for member in members(made)}
    real = {member["CacheClusterId"]: info(member["ReadEndpoint"], "replication")["role"] for member in members(made)}
    assert shown == {name: {"master": "primary", "slave": "replica"}[role] for name, role in real.items()}
    assert sorted(shown.values()) == ["primary", "replica", "replica"]
    assert members(made)[0]["CurrentRole"] == "primary"


def test_replicas_are_linked_to_the_primary_and_get_its_writes(made: Any) -> None:
    group = made["NodeGroups"][0]
    primary, *replicas = members(made)
    with connected(group["PrimaryEndpoint"]) as engine:
        engine.set("orders:1", "paid")
        assert engine.wait(2, 2000) == 2
    for replica in replicas:
        link = info(replica["ReadEndpoint"], "replication")
        assert (link["master_host"], link["master_port"]) == (primary["ReadEndpoint"]["Address"], 6379)
        assert link["master_link_status"] == "up"
        assert ask(replica["ReadEndpoint"], "GET", "orders:1") == "paid"


def test_the_primary_endpoint_is_an_address_of_the_primary_itself(made: Any) -> None:
    group = made["NodeGroups"][0]
    primary, *replicas = members(made)
    endpoint = group["PrimaryEndpoint"]
    assert configuration(primary["ReadEndpoint"], "bind")["bind"].split() == [
        primary["ReadEndpoint"]["Address"],
        endpoint["Address"],
    ]
    assert run_id(endpoint) == run_id(primary["ReadEndpoint"])
    for replica in replicas:
        assert configuration(replica["ReadEndpoint"], "bind")["bind"] == replica["ReadEndpoint"]["Address"]


def test_the_reader_endpoint_spreads_connections_over_the_replicas_alone(made: Any) -> None:
    group = made["NodeGroups"][0]
    replicas = {run_id(member["ReadEndpoint"]) for member in members(made) if member["CurrentRole"] == "replica"}
    met = [run_id(group["ReaderEndpoint"]) for _ in range(20)]
    assert set(met) == replicas
    assert all(met.count(one) >= 5 for one in replicas)


def test_the_reader_endpoint_refuses_writes(made: Any) -> None:
    with pytest.raises(redis.exceptions.ReadOnlyError):
        ask(made["NodeGroups"][0]["ReaderEndpoint"], "SET", "key", "value")


def test_every_engine_has_its_node_types_memory_less_a_quarter(made: Any) -> None:
    for member in members(made):
        assert int(configuration(member["ReadEndpoint"], "maxmemory")["maxmemory"]) == T4G_SMALL * 3 // 4


def test_parameters_of_the_default_group_are_those_the_engine_runs_with(elasticache: Any, made: Any) -> None:
    cluster = cluster_of(elasticache, made["MemberClusters"][0])
    group = cluster["CacheParameterGroup"]["CacheParameterGroupName"]
    pages = elasticache.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=group)
    said = {
        row["ParameterName"]: row["ParameterValue"] for page in pages for row in page["Parameters"] if "ParameterValue" in row
    }
    for member in members(made):
        runs_with = configuration(member["ReadEndpoint"])
        compared = {name for name in said if name in runs_with} - KEPT_BY_THE_SERVICE - OF_CLUSTER_MODE
        assert len(compared) > 25
        different = {name: (said[name], runs_with[name]) for name in compared if said[name] != runs_with[name]}
        assert different == {}


def test_engines_are_of_the_version_that_was_asked_for(elasticache: Any, made: Any) -> None:
    shown = cluster_of(elasticache, made["MemberClusters"][0])
    server = info(members(made)[0]["ReadEndpoint"], "server")
    runs = server.get("valkey_version") or server["redis_version"]
    assert shown["Engine"] == made["Engine"] == ("valkey" if "valkey_version" in server else "redis")
    if shown["Engine"] == "valkey":
        assert shown["EngineVersion"].split(".")[:2] == runs.split(".")[:2]


def test_every_node_is_a_cache_cluster_of_its_own(elasticache: Any, made: Any) -> None:
    for member in members(made):
        shown = cluster_of(elasticache, member["CacheClusterId"])
        node = shown["CacheNodes"][0]
        assert shown["ReplicationGroupId"] == made["ReplicationGroupId"]
        assert shown["CacheClusterStatus"] == node["CacheNodeStatus"] == "available"
        assert (shown["NumCacheNodes"], len(shown["CacheNodes"]), node["CacheNodeId"]) == (1, 1, "0001")
        assert node["Endpoint"] == member["ReadEndpoint"]
        assert node["CustomerAvailabilityZone"] == shown["PreferredAvailabilityZone"] == member["PreferredAvailabilityZone"]
        assert node["ParameterGroupStatus"] == shown["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync"
        assert node["CacheNodeCreateTime"] and shown["CacheClusterCreateTime"]
        assert shown["ARN"].endswith(f":cluster:{member['CacheClusterId']}")
        assert "ConfigurationEndpoint" not in shown


def test_an_available_group_shows_every_field_that_clients_read(made: Any) -> None:
    group = made["NodeGroups"][0]
    assert (group["NodeGroupId"], group["Status"], len(made["NodeGroups"])) == ("0001", "available", 1)
    assert {"PrimaryEndpoint", "ReaderEndpoint"} < set(group)
    assert "Slots" not in group
    assert {"ConfigurationEndpoint", "SnapshottingClusterId", "EngineVersion"}.isdisjoint(made)
    assert made["MemberClusters"] == [f"{made['ReplicationGroupId']}-00{number}" for number in (1, 2, 3)]
    assert made["PendingModifiedValues"] == {}
    assert made["LogDeliveryConfigurations"] == []
    fixed = {
        "Status": "available", "AutomaticFailover": "enabled", "MultiAZ": "enabled", "ClusterEnabled": False,
        "ClusterMode": "disabled", "CacheNodeType": "cache.t4g.small", "AuthTokenEnabled": False,
        "TransitEncryptionEnabled": False,
        "AtRestEncryptionEnabled": False, "DataTiering": "disabled", "AutoMinorVersionUpgrade": True, "NetworkType": "ipv4",
        "IpDiscovery": "ipv4", "SnapshotRetentionLimit": 0,
    }  # fmt: skip
    assert {name: made[name] for name in fixed} == fixed
    assert sorted(zones_of(made)) == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_a_group_being_created_shows_what_is_known_and_nothing_else(elasticache: Any, account: str, create: Create) -> None:
    said = create(ReplicationGroupId="Early-Days", NumCacheClusters=3, AutomaticFailoverEnabled=True)
    assert said["ReplicationGroupId"] == "early-days"
    assert said["Status"] == "creating"
    assert said["ARN"] == f"arn:aws:elasticache:us-east-1:{account}:replicationgroup:early-days"
    assert said["MemberClusters"] == ["early-days-001", "early-days-002", "early-days-003"]
    assert said["PendingModifiedValues"] == {}
    assert said["AutomaticFailover"] == "enabling"
    assert {"NodeGroups", "ConfigurationEndpoint"}.isdisjoint(said)
    assert said["SnapshotWindow"] and said["ReplicationGroupCreateTime"]
    assert available(elasticache, "early-days")["AutomaticFailover"] == "enabled"


# ---- Forms of create ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "zones"),
    [
        pytest.param({}, "a", id="one node by default"),
        pytest.param({"NumCacheClusters": 2}, "ab", id="a number of clusters"),
        pytest.param({"NumCacheClusters": 3, "PreferredCacheClusterAZs": ["c", "a", "a"]}, "caa", id="zones in the order given"),
        pytest.param({"ReplicasPerNodeGroup": 0}, "a", id="no replica is a number too"),
        pytest.param({"NumNodeGroups": 1, "ReplicasPerNodeGroup": 2}, "abc", id="as Terraform writes it"),
        pytest.param({"NodeGroupConfiguration": [{"ReplicaCount": 1}]}, "ab", id="a configuration with a count"),
        pytest.param(
            {"NodeGroupConfiguration": [{"PrimaryAvailabilityZone": "b", "ReplicaAvailabilityZones": ["c", "b"]}]},
            "bcb",
            id="a configuration with zones",
        ),
        pytest.param(
            {"NodeGroupConfiguration": [{"NodeGroupId": "0001", "PrimaryAvailabilityZone": "c", "ReplicaCount": 2}]},
            "cab",
            id="the primary's zone alone",
        ),
    ],
)
def test_a_group_has_as_many_nodes_as_asked_where_asked(elasticache: Any, create: Create, asked: Any, zones: str) -> None:
    group = available(elasticache, create(**_in_region(asked))["ReplicationGroupId"])
    assert zones_of(group) == [f"us-east-1{letter}" for letter in zones]
    assert [member["CurrentRole"] for member in members(group)] == ["primary", *["replica"] * (len(zones) - 1)]
    assert info(group["NodeGroups"][0]["PrimaryEndpoint"], "replication")["connected_slaves"] == len(zones) - 1


def _in_region(value: Any) -> Any:
    """The same with each zone's letter written out."""
    if isinstance(value, dict):
        return {name: _in_region(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_in_region(inner) for inner in value]
    return f"us-east-1{value}" if value in ("a", "b", "c") else value


def test_the_reader_endpoint_of_a_single_node_leads_to_it(elasticache: Any, create: Create) -> None:
    group = available(elasticache, create()["ReplicationGroupId"])["NodeGroups"][0]
    assert run_id(group["ReaderEndpoint"]) == run_id(group["PrimaryEndpoint"])


def test_the_port_is_that_of_every_endpoint_and_engine(elasticache: Any, create: Create) -> None:
    group = available(elasticache, create(NumCacheClusters=2, Port=7001)["ReplicationGroupId"])["NodeGroups"][0]
    endpoints = [
        group["PrimaryEndpoint"],
        group["ReaderEndpoint"],
        *(member["ReadEndpoint"] for member in group["NodeGroupMembers"]),
    ]
    assert {endpoint["Port"] for endpoint in endpoints} == {7001}
    assert all(ask(endpoint, "PING") for endpoint in endpoints)


@pytest.mark.parametrize(("node_type", "memory"), [("cache.t3.micro", 536870912), ("cache.r7g.large", 14037181030)])
def test_the_node_type_is_the_engines_memory(elasticache: Any, create: Create, node_type: str, memory: int) -> None:
    group = available(elasticache, create(CacheNodeType=node_type)["ReplicationGroupId"])
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    assert group["CacheNodeType"] == cluster_of(elasticache, group["MemberClusters"][0])["CacheNodeType"] == node_type
    assert int(configuration(endpoint, "maxmemory")["maxmemory"]) == memory * 3 // 4


def test_settings_that_were_given_are_shown_by_the_group_and_its_members(elasticache: Any, create: Create) -> None:
    said = create(
        NumCacheClusters=2, ReplicationGroupDescription="Gläser & <Tassen>", PreferredMaintenanceWindow="SUN:05:00-SUN:06:30",
        SnapshotWindow="02:00-03:00", AutoMinorVersionUpgrade=False, SecurityGroupIds=["sg-0123456789abcdef0"],
        Tags=[{"Key": "team", "Value": "checkout"}],
    )  # fmt: skip
    assert said["Description"] == "Gläser & <Tassen>"
    assert (said["SnapshotWindow"], said["AutoMinorVersionUpgrade"]) == ("02:00-03:00", False)
    group = available(elasticache, said["ReplicationGroupId"])
    for name in group["MemberClusters"]:
        shown = cluster_of(elasticache, name)
        assert shown["PreferredMaintenanceWindow"] == "sun:05:00-sun:06:30"
        assert (shown["SnapshotWindow"], shown["AutoMinorVersionUpgrade"]) == ("02:00-03:00", False)
        assert shown["SecurityGroups"] == [{"SecurityGroupId": "sg-0123456789abcdef0", "Status": "active"}]
        assert elasticache.list_tags_for_resource(ResourceName=shown["ARN"])["TagList"] == [{"Key": "team", "Value": "checkout"}]
    assert elasticache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"] == [{"Key": "team", "Value": "checkout"}]


def test_ids_are_stored_in_lower_case_and_found_in_any(elasticache: Any, create: Create) -> None:
    create(ReplicationGroupId="MixedCase")
    assert available(elasticache, "MIXEDCASE")["ReplicationGroupId"] == "mixedcase"


# ---- Creates that are refused ---------------------------------------------------------------------------------------------

COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"ReplicationGroupId": "1st"}, VALUE, "ReplicationGroupId is not a valid identifier"),
        ({"ReplicationGroupId": "two--hyphens"}, VALUE, "not a valid identifier"),
        ({"ReplicationGroupId": "ends-"}, VALUE, "not a valid identifier"),
        ({"ReplicationGroupId": "a" * 41}, VALUE, "1 to 40"),
        ({"ReplicationGroupId": "../etc"}, VALUE, "not a valid identifier"),
        ({"ReplicationGroupId": "größe"}, VALUE, "not a valid identifier"),
        ({"NumCacheClusters": 0}, VALUE, "between 1 and 6"),
        ({"NumCacheClusters": 7}, VALUE, "between 1 and 6"),
        ({"NumCacheClusters": -1}, VALUE, "between 1 and 6"),
        ({"ReplicasPerNodeGroup": 6}, VALUE, "between 0 and 5"),
        ({"NumNodeGroups": 0}, VALUE, "NumNodeGroups"),
        ({"NumCacheClusters": 2, "NumNodeGroups": 1}, COMBINATION, "NumCacheClusters cannot be given together"),
        ({"NumCacheClusters": 2, "ReplicasPerNodeGroup": 3}, COMBINATION, "contradict"),
        (
            {"NumCacheClusters": 2, "PreferredCacheClusterAZs": ["us-east-1a"]},
            VALUE,
            "1 availability zones were given for 2 nodes",
        ),
        ({"PreferredCacheClusterAZs": ["us-east-1f"]}, VALUE, "us-east-1a, us-east-1b, us-east-1c"),
        ({"PreferredCacheClusterAZs": ["eu-west-1a"]}, VALUE, "not a valid availability zone"),
        ({"NodeGroupConfiguration": [{"Slots": "0-16383"}]}, COMBINATION, "Slots"),
        ({"NodeGroupConfiguration": [{"NodeGroupId": "0002"}]}, VALUE, "0001"),
        ({"NodeGroupConfiguration": [{"ReplicaAvailabilityZones": ["us-east-1a"]}]}, COMBINATION, "PrimaryAvailabilityZone"),
        ({"NodeGroupConfiguration": [{"PrimaryOutpostArn": "arn:aws:outposts:::o"}]}, VALUE, "outposts"),
        ({"AutomaticFailoverEnabled": True}, COMBINATION, "there must be at least 2 cache clusters in the replication group."),
        ({"NumCacheClusters": 2, "MultiAZEnabled": True}, COMBINATION, "AutomaticFailoverEnabled"),
        (
            {
                "NumCacheClusters": 2,
                "MultiAZEnabled": True,
                "AutomaticFailoverEnabled": True,
                "PreferredCacheClusterAZs": ["us-east-1a", "us-east-1a"],
            },
            COMBINATION,
            "2 availability zones",
        ),
        ({"Engine": "memcached"}, VALUE, "CreateCacheCluster"),
        ({"Engine": "mongodb"}, VALUE, "Invalid cache engine: mongodb"),
        ({"Engine": "valkey", "EngineVersion": "8.1.2"}, VALUE, "such as 8.1"),
        ({"Engine": "valkey", "EngineVersion": "99.9"}, VALUE, "Cannot find version 99.9 for valkey"),
        ({"Engine": "redis", "EngineVersion": "3.2.6"}, VALUE, "end of life"),
        ({"CacheNodeType": "cache.x1.huge"}, VALUE, "cache.x1.huge"),
        ({"Port": 80}, VALUE, "Port"),
        ({"Port": 65536}, VALUE, "Port"),
        ({"CacheParameterGroupName": "none-such"}, "CacheParameterGroupNotFound", "none-such"),
        ({"CacheParameterGroupName": "default.redis7"}, COMBINATION, "valkey8"),
        ({"CacheSubnetGroupName": "none-such"}, "CacheSubnetGroupNotFoundFault", "none-such"),
        ({"PreferredMaintenanceWindow": "sunday"}, VALUE, "ddd:hh:mm-ddd:hh:mm"),
        ({"PreferredMaintenanceWindow": "sun:05:00-sun:05:30"}, VALUE, "60 minutes"),
        ({"SnapshotWindow": "05:00-05:30"}, VALUE, "60 minutes"),
        ({"SnapshotWindow": "05:00-06:00", "PreferredMaintenanceWindow": "sun:05:30-sun:06:30"}, VALUE, "must not overlap"),
        ({"SnapshotRetentionLimit": 36}, VALUE, "SnapshotRetentionLimit"),
        ({"SecurityGroupIds": ["default"]}, VALUE, "security group"),
        ({"CacheSecurityGroupNames": ["default"]}, VALUE, "CacheSecurityGroupNames"),
        ({"TransitEncryptionMode": "required"}, COMBINATION, "TransitEncryptionMode needs TransitEncryptionEnabled"),
        ({"TransitEncryptionEnabled": True, "TransitEncryptionMode": "maybe"}, VALUE, "TransitEncryptionMode"),
        ({"AtRestEncryptionEnabled": True}, VALUE, "AtRestEncryptionEnabled"),
        ({"AuthToken": "sixteen-or-more-characters"}, COMBINATION, "need encryption in transit"),
        ({"UserGroupIds": ["admins"]}, COMBINATION, "need encryption in transit"),
        ({"GlobalReplicationGroupId": "ldgnf-world"}, VALUE, "GlobalReplicationGroupId"),
        ({"PrimaryClusterId": "old"}, VALUE, "PrimaryClusterId"),
        ({"SnapshotName": "monday"}, "SnapshotNotFoundFault", "Snapshot monday not found"),
        ({"NetworkType": "ipv6"}, VALUE, "NetworkType"),
        ({"Tags": [{"Key": "aws:mine", "Value": "x"}]}, VALUE, "reserved"),
        ({"Tags": [{"Key": f"k{n}", "Value": "x"} for n in range(51)]}, "TagQuotaPerResourceExceeded", "50"),
        ({"ReplicationGroupDescription": "x" * 1001}, VALUE, "1000"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_created_is_refused_and_nothing_is_left(server: LocalServer, asked: Any, code: str, fragment: str) -> None:
    client = server.client(account_id=str(uuid.uuid4().int)[:12])
    fields = {"ReplicationGroupId": "never", "ReplicationGroupDescription": "d", **({} if "Engine" in asked else QUICK), **asked}
    refused(lambda: client.create_replication_group(**fields), code, fragment)
    assert client.describe_replication_groups()["ReplicationGroups"] == []
    assert client.describe_cache_clusters()["CacheClusters"] == []


def test_a_secret_that_is_refused_is_not_repeated(elasticache: Any) -> None:
    fields = {"ReplicationGroupId": "g", "ReplicationGroupDescription": "d", "AuthToken": "hunter2-hunter2-hunter2"}
    error = refused(lambda: elasticache.create_replication_group(**fields), COMBINATION)
    assert "hunter2" not in str(error)


def test_a_second_group_of_the_same_id_is_refused(elasticache: Any, create: Create) -> None:
    name = create()["ReplicationGroupId"]
    refused(lambda: create(ReplicationGroupId=name.upper()), "ReplicationGroupAlreadyExists", name)
    available(elasticache, name)
    refused(lambda: create(ReplicationGroupId=name), "ReplicationGroupAlreadyExists", name)


def test_a_group_whose_member_id_is_taken_is_refused_whole(elasticache: Any, create: Create) -> None:
    taken = f"t{uuid.uuid4().hex[:8]}"
    elasticache.create_cache_cluster(CacheClusterId=f"{taken}-002", Engine="redis", CacheNodeType="cache.t4g.small")
    try:
        refused(lambda: create(ReplicationGroupId=taken, NumCacheClusters=3), "CacheClusterAlreadyExists", f"{taken}-002")
        refused(lambda: describe_group(elasticache, taken), "ReplicationGroupNotFoundFault", taken)
        refused(lambda: cluster_of(elasticache, f"{taken}-001"), "CacheClusterNotFound", f"{taken}-001")
    finally:
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=f"{taken}-002")
        elasticache.delete_cache_cluster(CacheClusterId=f"{taken}-002")
        elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=f"{taken}-002")


# ---- Describe -------------------------------------------------------------------------------------------------------------


def test_a_group_that_does_not_exist_is_not_found(elasticache: Any) -> None:
    error = refused(lambda: describe_group(elasticache, "none-such"), "ReplicationGroupNotFoundFault", "none-such not found")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_groups_id_is_no_cache_cluster(elasticache: Any, other: Any) -> None:
    name = other["ReplicationGroupId"]
    error = refused(lambda: cluster_of(elasticache, name), "CacheClusterNotFound", f"CacheCluster not found: {name}")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("size", [-1, 0, 19, 101, 2147483647])
def test_pages_have_20_to_100_records(elasticache: Any, size: int) -> None:
    refused(
        lambda: elasticache.describe_replication_groups(MaxRecords=size),
        VALUE,
        f"Invalid value {size} for MaxRecords",
        "20 and 100",
    )


@pytest.mark.parametrize("marker", ["x", "after:1", "YWZ0ZXI6LTE=", "ü", "AAAA" * 1000])
def test_a_marker_that_is_none_is_refused(elasticache: Any, marker: str) -> None:
    refused(lambda: elasticache.describe_replication_groups(Marker=marker), VALUE, "Marker")


def test_pages_hold_every_group_once(server: LocalServer) -> None:
    client = server.client(account_id=str(uuid.uuid4().int)[:12])
    names = [f"page-{number:02d}" for number in range(22)]
    try:
        for name in names:
            client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **QUICK)
        first = client.describe_replication_groups(MaxRecords=20)
        assert len(first["ReplicationGroups"]) == 20
        rest = client.describe_replication_groups(MaxRecords=20, Marker=first["Marker"])
        assert not rest.get("Marker")
        assert [group["ReplicationGroupId"] for group in first["ReplicationGroups"] + rest["ReplicationGroups"]] == names
        pages = client.get_paginator("describe_replication_groups").paginate(PaginationConfig={"PageSize": 20})
        assert [group["ReplicationGroupId"] for page in pages for group in page["ReplicationGroups"]] == names
        assert not client.describe_replication_groups().get("Marker")
    finally:
        for name in names:
            remove_group(client, name)


# ---- Modify ---------------------------------------------------------------------------------------------------------------


def test_settings_are_changed_and_the_group_is_available_again(elasticache: Any, other: Any) -> None:
    name = other["ReplicationGroupId"]
    asked = {
        "ReplicationGroupDescription": "new", "SnapshotWindow": "01:00-02:00", "AutoMinorVersionUpgrade": False,
        "PreferredMaintenanceWindow": "Mon:10:00-Mon:11:00", "AutomaticFailoverEnabled": True, "MultiAZEnabled": True,
        "SecurityGroupIds": ["sg-0abc"],
    }  # fmt: skip
    said = elasticache.modify_replication_group(ReplicationGroupId=name, **asked)["ReplicationGroup"]
    assert said["Status"] in ("modifying", "available")
    changed = available(elasticache, name)
    shown = cluster_of(elasticache, changed["MemberClusters"][1])
    assert (changed["Description"], changed["SnapshotWindow"], changed["AutoMinorVersionUpgrade"]) == (
        "new",
        "01:00-02:00",
        False,
    )
    assert (changed["AutomaticFailover"], changed["MultiAZ"]) == ("enabled", "enabled")
    assert shown["PreferredMaintenanceWindow"] == "mon:10:00-mon:11:00"
    assert [group["SecurityGroupId"] for group in shown["SecurityGroups"]] == ["sg-0abc"]
    undone = elasticache.modify_replication_group(
        ReplicationGroupId=name, AutomaticFailoverEnabled=False, MultiAZEnabled=False, ApplyImmediately=True
    )["ReplicationGroup"]
    assert (undone["AutomaticFailover"], undone["MultiAZ"]) == ("disabled", "disabled")
    assert available(elasticache, name)["NodeGroups"] == other["NodeGroups"]


def test_a_modify_that_changes_nothing_is_refused_in_the_services_words(elasticache: Any, other: Any) -> None:
    name = other["ReplicationGroupId"]
    present = describe_group(elasticache, name)
    engine = {"Engine": "valkey", "EngineVersion": "8.1", "CacheParameterGroupName": "default.valkey8"}
    for fields in (
        {},
        {"ApplyImmediately": True},
        {"ReplicationGroupDescription": present["Description"]},
        {"CacheNodeType": "cache.t4g.small", **engine, "ApplyImmediately": True},
    ):
        available(elasticache, name)
        call = {"ReplicationGroupId": name, **fields}
        error = refused(lambda call=call: elasticache.modify_replication_group(**call), COMBINATION)  # type: ignore[misc]
        assert error.response["Error"]["Message"] == "No modifications were requested"


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"CacheNodeType": "cache.r7g.none"}, VALUE, "cache.r7g.none"),
        ({"EngineVersion": "8.0"}, COMBINATION, "can only be upgraded"),
        ({"Engine": "redis"}, COMBINATION, "cannot become redis"),
        ({"CacheParameterGroupName": "default.valkey9"}, COMBINATION, "family valkey8"),
        ({"ClusterMode": "compatible"}, COMBINATION, "leave out ReplicationGroupDescription"),
        ({"PrimaryClusterId": "x-002"}, VALUE, "x-002 is not a cache cluster of replication group"),
        ({"NotificationTopicArn": "arn:aws:sns:us-east-1:1:t"}, VALUE, "not the ARN of a topic"),
        ({"NotificationTopicArn": "arn:aws:sns:us-east-1:999999999999:t"}, VALUE, "own account"),
        ({"NotificationTopicStatus": "off"}, VALUE, "active or inactive"),
        ({"NotificationTopicStatus": "active"}, COMBINATION, "needs a topic"),
        ({"SnapshotRetentionLimit": 36}, VALUE, "Must be between 0 and 35"),
        ({"SnapshottingClusterId": "x-002"}, "CacheClusterNotFound", "Specified snapshotting cluster does not exist"),
        ({"AuthToken": "sixteen-or-more-characters"}, COMBINATION, "ApplyImmediately to be true"),
        ({"UserGroupIdsToAdd": ["admins"]}, COMBINATION, "need encryption in transit"),
        ({"RemoveUserGroups": True}, COMBINATION, "need encryption in transit"),
        ({"TransitEncryptionEnabled": True}, COMBINATION, "preferred as well"),
        ({"NodeGroupId": "0001"}, VALUE, "deprecated"),
        ({"MultiAZEnabled": True}, COMBINATION, "AutomaticFailoverEnabled"),
        ({"PreferredMaintenanceWindow": "xyz:05:00-sun:06:00"}, VALUE, "ddd:hh:mm"),
        ({"SnapshotWindow": "25:00-26:00"}, VALUE, "time of day"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_modify_that_is_not_possible_changes_nothing(
    elasticache: Any, other: Any, asked: Any, code: str, fragment: str
) -> None:
    name = other["ReplicationGroupId"]
    before = available(elasticache, name)
    fields = {"ReplicationGroupId": name, "ReplicationGroupDescription": "half done", **asked}
    refused(lambda: elasticache.modify_replication_group(**fields), code, fragment)
    assert describe_group(elasticache, name) == before


def test_a_group_that_is_not_available_cannot_be_modified_or_deleted(elasticache: Any, create: Create) -> None:
    name = create(NumCacheClusters=3)["ReplicationGroupId"]
    state = "InvalidReplicationGroupState"
    change = {"ReplicationGroupId": name, "ReplicationGroupDescription": "new"}
    text = "Replication group must be in available state to modify."
    refused(lambda: elasticache.modify_replication_group(**change), state, text)
    refused(lambda: elasticache.delete_replication_group(ReplicationGroupId=name), state, "creating")
    available(elasticache, name)
    elasticache.delete_replication_group(ReplicationGroupId=name)
    with contextlib.suppress(elasticache.exceptions.ReplicationGroupNotFoundFault):  # it may be gone by now
        refused(lambda: elasticache.modify_replication_group(**change), state, text)


@pytest.mark.parametrize("call", ["modify_replication_group", "delete_replication_group"])
def test_a_change_of_a_group_that_does_not_exist_is_not_found(elasticache: Any, call: str) -> None:
    refused(lambda: getattr(elasticache, call)(ReplicationGroupId="none-such"), "ReplicationGroupNotFoundFault", "none-such")


# ---- Delete ---------------------------------------------------------------------------------------------------------------


def test_deletion_leaves_no_process_and_frees_every_address(
    server: LocalServer, elasticache: Any, account: str, create: Create
) -> None:
    name = create(NumCacheClusters=3)["ReplicationGroupId"]
    group = available(elasticache, name)["NodeGroups"][0]
    pids = processes(server, account, name)
    endpoints = [
        group["PrimaryEndpoint"],
        group["ReaderEndpoint"],
        *(member["ReadEndpoint"] for member in group["NodeGroupMembers"]),
    ]
    assert len(pids) == 3 and all(map(lives, pids)) and all(map(answers, endpoints))
    said = elasticache.delete_replication_group(ReplicationGroupId=name)["ReplicationGroup"]
    assert said["Status"] == "deleting"
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)
    wait_until(lambda: not any(map(lives, pids)), within=5)
    assert not any(map(answers, endpoints))
    for endpoint in endpoints:
        with contextlib.closing(socket.socket()) as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((endpoint["Address"], endpoint["Port"]))
    assert not [member for member in describe_all_members(elasticache) if member.startswith(f"{name}-")]


def describe_all_members(client: Any) -> list[str]:
    pages = client.get_paginator("describe_cache_clusters").paginate()
    return [cluster["CacheClusterId"] for page in pages for cluster in page["CacheClusters"]]


def test_a_deleted_groups_id_can_be_used_again_and_its_data_is_gone(elasticache: Any, create: Create) -> None:
    name = create(Tags=[{"Key": "old", "Value": "1"}])["ReplicationGroupId"]
    first = available(elasticache, name)
    ask(first["NodeGroups"][0]["PrimaryEndpoint"], "SET", "key", "value")
    remove_group(elasticache, name)
    second = available(elasticache, create(ReplicationGroupId=name)["ReplicationGroupId"])
    assert ask(second["NodeGroups"][0]["PrimaryEndpoint"], "GET", "key") is None
    assert elasticache.list_tags_for_resource(ResourceName=second["ARN"])["TagList"] == []


def test_what_can_not_be_the_name_of_a_final_snapshot_is_refused_and_the_group_stays(elasticache: Any, other: Any) -> None:
    name = other["ReplicationGroupId"]
    available(elasticache, name)
    call = {"ReplicationGroupId": name, "FinalSnapshotIdentifier": "no--name"}
    refused(lambda: elasticache.delete_replication_group(**call), VALUE, "FinalSnapshotIdentifier", "not a valid identifier")
    assert describe_group(elasticache, name)["Status"] == "available"


def test_a_valkey_primary_cannot_be_retained(elasticache: Any, other: Any) -> None:
    name = other["ReplicationGroupId"]
    available(elasticache, name)
    call = {"ReplicationGroupId": name, "RetainPrimaryCluster": True}
    refused(lambda: elasticache.delete_replication_group(**call), COMBINATION, "RetainPrimaryCluster")
    assert describe_group(elasticache, name)["Status"] == "available"


def test_a_retained_primary_lives_on_with_its_data_at_its_address(
    server: LocalServer, elasticache: Any, account: str, create: Create
) -> None:
    name = create(Engine="redis", EngineVersion="7.1", NumCacheClusters=2)["ReplicationGroupId"]
    group = available(elasticache, name)["NodeGroups"][0]
    primary, replica = group["NodeGroupMembers"]
    pids = processes(server, account, name)
    ask(group["PrimaryEndpoint"], "SET", "kept", "yes")
    identity = run_id(primary["ReadEndpoint"])
    elasticache.delete_replication_group(ReplicationGroupId=name, RetainPrimaryCluster=True)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)
    survivor = primary["CacheClusterId"]
    try:
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=survivor)
        shown = cluster_of(elasticache, survivor)
        assert "ReplicationGroupId" not in shown
        assert shown["CacheNodes"][0]["Endpoint"] == primary["ReadEndpoint"]
        assert (ask(primary["ReadEndpoint"], "GET", "kept"), run_id(primary["ReadEndpoint"])) == ("yes", identity)
        wait_until(lambda: not lives(pids[1]), within=5)
        assert not any(map(answers, (group["PrimaryEndpoint"], group["ReaderEndpoint"], replica["ReadEndpoint"])))
        alone = elasticache.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"]
        assert [cluster["CacheClusterId"] for cluster in alone] == [survivor]
    finally:
        elasticache.delete_cache_cluster(CacheClusterId=survivor)
        elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=survivor)
    wait_until(lambda: not lives(pids[0]), within=5)


def test_a_groups_life_is_told_in_the_services_words(elasticache: Any, create: Create) -> None:
    name = create(NumCacheClusters=2)["ReplicationGroupId"]
    available(elasticache, name)
    of_group = elasticache.describe_events(SourceType="replication-group", SourceIdentifier=name)["Events"]
    assert [event["Message"] for event in of_group] == [f"Replication group {name} created"]
    of_member = elasticache.describe_events(SourceType="cache-cluster", SourceIdentifier=f"{name}-002")["Events"]
    assert {event["Message"] for event in of_member} >= {
        "Cache cluster created",
        "Added cache node 0001 in availability zone us-east-1b",
    }
