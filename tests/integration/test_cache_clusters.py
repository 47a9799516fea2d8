"""Cache clusters through an unmodified boto3: stand-alone Redis, Memcached over zones, and replicas the old way."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from caches import connected, memcache, new_account, refused, remove_cache_cluster
from waiting import wait_until

from cachewright import LocalServer

Create = Callable[..., Any]

VALUE, COMBINATION, STATE = "InvalidParameterValue", "InvalidParameterCombination", "InvalidCacheClusterState"
REBOOTING = "rebooting cache cluster nodes"


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    """A client of the module's account; every cache in it is deleted by whoever made it."""
    return server.client(account_id=account)


@pytest.fixture
def create(elasticache: Any) -> Iterator[Create]:
    """Creates stand-alone cache clusters, and deletes them when the test is over."""
    names: list[str] = []

    def ask(**fields: Any) -> Any:
        name = fields.pop("CacheClusterId", None) or f"c{uuid.uuid4().hex[:10]}"
        names.append(name)
        return elasticache.create_cache_cluster(CacheClusterId=name, **fields)["CacheCluster"]

    yield ask
    for name in names:
        remove_cache_cluster(elasticache, name)


@pytest.fixture
def group(elasticache: Any) -> Iterator[Any]:
    """An available group of three of a quick engine."""
    name = f"g{uuid.uuid4().hex[:10]}"
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="d", NumCacheClusters=3, Engine="valkey", EngineVersion="8.1"
    )
    yield group_available(elasticache, name)
    group_available(elasticache, name)
    elasticache.delete_replication_group(ReplicationGroupId=name)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def group_available(client: Any, name: str) -> Any:
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    return client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]


def cluster_of(client: Any, name: str, **fields: Any) -> Any:
    asked = {"ShowCacheNodeInfo": True} | fields
    return client.describe_cache_clusters(CacheClusterId=name, **asked)["CacheClusters"][0]


def available(client: Any, name: str) -> Any:
    client.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    return cluster_of(client, name)


def endpoint_of(cluster: Any) -> Any:
    return cluster["CacheNodes"][0]["Endpoint"]


def ask(endpoint: Any, *command: str) -> Any:
    with connected(endpoint) as engine:
        return engine.execute_command(*command)


def run_id(endpoint: Any) -> str:
    with connected(endpoint) as engine:
        return str(engine.info("server")["run_id"])


def answers(endpoint: Any) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((endpoint["Address"], endpoint["Port"])) == 0


def processes(server: LocalServer, account: str, cluster: str) -> list[int]:
    answer = httpx.get(f"{server.url}/v1/nodes", params={"cache_cluster_id": cluster}, headers={"X-Account-Id": account})
    return [node["process_id"] for node in answer.json()["nodes"]]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def messages(client: Any, name: str) -> list[str]:
    """What happened to a cache cluster, oldest first."""
    events = client.describe_events(SourceType="cache-cluster", SourceIdentifier=name)["Events"]
    return [event["Message"] for event in reversed(events)]


# ---- Stand-alone Redis ----------------------------------------------------------------------------------------------------


def test_a_redis_cluster_is_one_engine_with_the_memory_of_its_node_type(
    server: LocalServer, elasticache: Any, account: str, create: Create
) -> None:
    said = create(CacheClusterId="Alone", Engine="redis", CacheNodeType="cache.t3.micro", Port=6390)
    assert (said["CacheClusterId"], said["CacheClusterStatus"]) == ("alone", "creating")
    assert {"CacheNodes", "CacheClusterCreateTime", "PreferredAvailabilityZone", "ConfigurationEndpoint"}.isdisjoint(said)
    assert said["ARN"] == f"arn:aws:elasticache:us-east-1:{account}:cluster:alone"
    shown = available(elasticache, "alone")
    node = shown["CacheNodes"][0]
    assert (shown["Engine"], shown["EngineVersion"], shown["NumCacheNodes"]) == ("redis", "7.1.0", 1)
    assert (node["CacheNodeId"], node["CacheNodeStatus"], node["Endpoint"]["Port"]) == ("0001", "available", 6390)
    assert node["CustomerAvailabilityZone"] == shown["PreferredAvailabilityZone"]
    assert "ReplicationGroupId" not in shown
    assert shown["SnapshotRetentionLimit"] == 0
    assert shown["SnapshotWindow"]
    with connected(node["Endpoint"]) as engine:
        assert engine.info("replication")["role"] == "master"
        assert int(engine.config_get("maxmemory")["maxmemory"]) == 536870912 * 3 // 4
        assert engine.set("key", "value")
    pids = processes(server, account, "alone")
    elasticache.delete_cache_cluster(CacheClusterId="alone")
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId="alone")
    wait_until(lambda: not any(map(lives, pids)), within=5)
    assert not answers(node["Endpoint"])
    error = refused(lambda: cluster_of(elasticache, "alone"), "CacheClusterNotFound", "CacheCluster not found: alone")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_redis_cluster_runs_in_the_zone_that_was_asked_for(elasticache: Any, create: Create) -> None:
    name = create(Engine="redis", PreferredAvailabilityZone="us-east-1c", Tags=[{"Key": "a", "Value": "b"}])["CacheClusterId"]
    shown = available(elasticache, name)
    assert shown["PreferredAvailabilityZone"] == "us-east-1c"
    assert elasticache.list_tags_for_resource(ResourceName=shown["ARN"])["TagList"] == [{"Key": "a", "Value": "b"}]


def test_settings_of_a_cluster_can_be_changed(elasticache: Any, create: Create) -> None:
    name = create(Engine="redis")["CacheClusterId"]
    available(elasticache, name)
    change = {
        "PreferredMaintenanceWindow": "TUE:08:30-TUE:09:30",
        "SnapshotWindow": "01:00-02:00",
        "AutoMinorVersionUpgrade": False,
    }
    elasticache.modify_cache_cluster(CacheClusterId=name, **change)
    shown = available(elasticache, name)
    assert (shown["PreferredMaintenanceWindow"], shown["SnapshotWindow"]) == ("tue:08:30-tue:09:30", "01:00-02:00")
    assert shown["AutoMinorVersionUpgrade"] is False
    same = {"CacheClusterId": name, "NumCacheNodes": 1, "EngineVersion": "7.1", "ApplyImmediately": True, **change}
    refused(lambda: elasticache.modify_cache_cluster(**same), COMBINATION, "No modifications were requested")
    refused(lambda: elasticache.modify_cache_cluster(CacheClusterId=name, NumCacheNodes=2), VALUE, "NumCacheNodes", "exactly 1 node")
    for asked, code, fragment in [
        ({"CacheNodeType": "cache.r7g.none"}, VALUE, "cache.r7g.none"),
        ({"EngineVersion": "7.0"}, COMBINATION, "can only be upgraded"),
        ({"Engine": "valkey", "EngineVersion": "9.1"}, VALUE, "CreateReplicationGroup"),
    ]:
        call = {"CacheClusterId": name, **asked}
        refused(lambda call=call: elasticache.modify_cache_cluster(**call), code, fragment)  # type: ignore[misc]
    assert cluster_of(elasticache, name) == shown


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"CacheClusterId": "a" * 51}, VALUE, "1 to 50"),
        ({"CacheClusterId": "has space"}, VALUE, "not a valid identifier"),
        ({"Engine": ""}, VALUE, "Engine must be given"),
        ({"Engine": "dragonfly"}, VALUE, "Invalid cache engine"),
        ({"NumCacheNodes": 2}, VALUE, "exactly 1 node"),
        ({"NumCacheNodes": 0}, VALUE, "NumCacheNodes"),
        ({"Engine": "memcached", "NumCacheNodes": 0}, VALUE, "between 1 and 40"),
        ({"Engine": "memcached", "NumCacheNodes": 41}, VALUE, "between 1 and 40"),
        ({"Engine": "memcached", "AZMode": "cross-az"}, COMBINATION, "at least 2 nodes"),
        ({"Engine": "memcached", "AZMode": "everywhere"}, VALUE, "AZMode"),
        (
            {"Engine": "memcached", "NumCacheNodes": 2, "PreferredAvailabilityZones": ["us-east-1a", "us-east-1b"]},
            COMBINATION,
            "AZMode cross-az",
        ),
        (
            {"Engine": "memcached", "NumCacheNodes": 3, "AZMode": "cross-az", "PreferredAvailabilityZones": ["us-east-1a"]},
            VALUE,
            "1 availability zones were given for 3 nodes",
        ),
        (
            {"PreferredAvailabilityZone": "us-east-1a", "PreferredAvailabilityZones": ["us-east-1a"]},
            COMBINATION,
            "not both",
        ),
        ({"PreferredAvailabilityZone": "us-east-1z"}, VALUE, "us-east-1z is not a valid availability zone"),
        ({"Engine": "memcached", "SnapshotRetentionLimit": 1}, COMBINATION, "SnapshotRetentionLimit"),
        ({"Engine": "memcached", "SnapshotWindow": "01:00-02:00"}, COMBINATION, "Memcached takes no snapshots"),
        ({"ReplicationGroupId": "none-such"}, "ReplicationGroupNotFoundFault", "none-such"),
        ({"CacheNodeType": "cache.m1.small"}, VALUE, "cache.m1.small"),
        ({"CacheParameterGroupName": "default.memcached1.6"}, COMBINATION, "redis7"),
        ({"SnapshotName": "monday"}, "SnapshotNotFoundFault", "Snapshot monday not found"),
        ({"OutpostMode": "single-outpost"}, VALUE, "outposts"),
        ({"Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}, VALUE, "unique"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_created_is_refused_and_nothing_is_left(server: LocalServer, asked: Any, code: str, fragment: str) -> None:
    client = server.client(account_id=str(uuid.uuid4().int)[:12])
    refused(lambda: client.create_cache_cluster(**{"CacheClusterId": "never", "Engine": "redis", **asked}), code, fragment)
    assert client.describe_cache_clusters()["CacheClusters"] == []


@pytest.mark.parametrize("engine", ["valkey", "VALKEY"])
def test_a_stand_alone_valkey_is_refused_in_the_services_words(elasticache: Any, engine: str) -> None:
    error = refused(lambda: elasticache.create_cache_cluster(CacheClusterId="v", Engine=engine), VALUE)
    assert error.response["Error"]["Message"] == (
        "This API doesn't support Valkey engine. Please use CreateReplicationGroup API for Valkey cluster creation."
    )


def test_an_id_that_is_taken_is_refused(elasticache: Any, create: Create, group: Any) -> None:
    name = create(Engine="redis")["CacheClusterId"]
    for taken in (name, group["MemberClusters"][1]):
        call = {"CacheClusterId": taken.upper(), "Engine": "redis"}
        refused(lambda call=call: elasticache.create_cache_cluster(**call), "CacheClusterAlreadyExists", taken)  # type: ignore[misc]


# ---- Memcached ------------------------------------------------------------------------------------------------------------


def test_a_memcached_node_serves_and_its_cluster_shows_where(elasticache: Any, create: Create) -> None:
    said = create(Engine="memcached", CacheNodeType="cache.t4g.small")
    assert said["CacheClusterStatus"] == "creating"
    assert "ConfigurationEndpoint" not in said
    shown = available(elasticache, said["CacheClusterId"])
    node = shown["CacheNodes"][0]
    assert (shown["Engine"], shown["NumCacheNodes"], node["CacheNodeId"]) == ("memcached", 1, "0001")
    assert shown["ConfigurationEndpoint"]["Port"] == node["Endpoint"]["Port"] == 11211
    assert {"SnapshotRetentionLimit", "SnapshotWindow", "ReplicationGroupId"}.isdisjoint(shown)
    assert (shown["TransitEncryptionEnabled"], shown["AtRestEncryptionEnabled"], shown["AuthTokenEnabled"]) == (
        False,
        False,
        False,
    )
    with memcache(node["Endpoint"]) as client:
        assert client.set("key", "value", noreply=False)
        assert client.get("key") == b"value"
        stats = client.stats()
    assert stats[b"limit_maxbytes"] == (1402 - 100) * 1024 * 1024  # less memcached_connections_overhead
    assert stats[b"threads"] == 2


def test_the_configuration_endpoint_is_shown_without_the_nodes(elasticache: Any, create: Create) -> None:
    name = create(Engine="memcached")["CacheClusterId"]
    available(elasticache, name)
    shown = cluster_of(elasticache, name, ShowCacheNodeInfo=False)
    assert shown["ConfigurationEndpoint"]["Address"]
    assert "CacheNodes" not in shown


def test_memcached_nodes_are_spread_over_zones_and_share_nothing(
    server: LocalServer, elasticache: Any, account: str, create: Create
) -> None:
    name = create(Engine="memcached", NumCacheNodes=3, AZMode="cross-az", Port=11300)["CacheClusterId"]
    shown = available(elasticache, name)
    nodes = shown["CacheNodes"]
    assert shown["PreferredAvailabilityZone"] == "Multiple"
    assert [node["CacheNodeId"] for node in nodes] == ["0001", "0002", "0003"]
    assert [node["CustomerAvailabilityZone"] for node in nodes] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert {node["Endpoint"]["Port"] for node in nodes} == {11300}
    for node in nodes:
        with memcache(node["Endpoint"]) as client:
            client.set("who", node["CacheNodeId"], noreply=False)
    for node in nodes:
        with memcache(node["Endpoint"]) as client:
            assert client.get("who") == node["CacheNodeId"].encode()
    pids = processes(server, account, name)
    assert len(set(pids)) == 3
    remove_cache_cluster(elasticache, name)
    wait_until(lambda: not any(map(lives, pids)), within=5)
    assert not any(answers(node["Endpoint"]) for node in nodes)


def test_memcached_nodes_are_in_one_zone_unless_asked(elasticache: Any, create: Create) -> None:
    name = create(Engine="memcached", NumCacheNodes=2, PreferredAvailabilityZone="us-east-1b")["CacheClusterId"]
    shown = available(elasticache, name)
    assert shown["PreferredAvailabilityZone"] == "us-east-1b"
    assert {node["CustomerAvailabilityZone"] for node in shown["CacheNodes"]} == {"us-east-1b"}


def test_memcached_zones_are_those_that_were_given(elasticache: Any, create: Create) -> None:
    zones = ["us-east-1c", "us-east-1a", "us-east-1c"]
    name = create(Engine="memcached", NumCacheNodes=3, AZMode="cross-az", PreferredAvailabilityZones=zones)["CacheClusterId"]
    assert [node["CustomerAvailabilityZone"] for node in available(elasticache, name)["CacheNodes"]] == zones


def test_rebooting_one_memcached_node_empties_it_alone(elasticache: Any, create: Create) -> None:
    name = create(Engine="memcached", NumCacheNodes=2)["CacheClusterId"]
    first, second = (node["Endpoint"] for node in available(elasticache, name)["CacheNodes"])
    for endpoint in (first, second):
        with memcache(endpoint) as client:
            client.set("key", "value", noreply=False)
    said = elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0002"])["CacheCluster"]
    assert said["CacheClusterStatus"] == REBOOTING
    shown = available(elasticache, name)
    assert [node["Endpoint"] for node in shown["CacheNodes"]] == [first, second]
    with memcache(first) as client:
        assert client.get("key") == b"value"
    with memcache(second) as client:
        assert client.get("key") is None
    assert messages(elasticache, name)[-2:] == ["Cache node 0002 shutdown", "Cache node 0002 restarted"]


# ---- Describe -------------------------------------------------------------------------------------------------------------


def test_nodes_are_shown_only_when_asked(elasticache: Any, group: Any) -> None:
    member = group["MemberClusters"][0]
    assert "CacheNodes" not in elasticache.describe_cache_clusters(CacheClusterId=member)["CacheClusters"][0]
    assert len(cluster_of(elasticache, member)["CacheNodes"]) == 1


def test_a_list_can_leave_out_the_members_of_groups(server: LocalServer) -> None:
    client = server.client(account_id=str(uuid.uuid4().int)[:12])
    client.create_replication_group(
        ReplicationGroupId="g", ReplicationGroupDescription="d", NumCacheClusters=2, Engine="valkey", EngineVersion="8.1"
    )
    client.create_cache_cluster(CacheClusterId="alone", Engine="redis")
    try:
        names = [cluster["CacheClusterId"] for cluster in client.describe_cache_clusters()["CacheClusters"]]
        assert names == ["alone", "g-001", "g-002"]
        alone = client.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"]
        assert [cluster["CacheClusterId"] for cluster in alone] == ["alone"]
    finally:
        remove_cache_cluster(client, "alone")
        group_available(client, "g")
        client.delete_replication_group(ReplicationGroupId="g")
        client.get_waiter("replication_group_deleted").wait(ReplicationGroupId="g")


@pytest.mark.parametrize("fields", [{"MaxRecords": 19}, {"MaxRecords": 101}, {"Marker": "nonsense"}])
def test_pages_are_bounded(elasticache: Any, fields: Any) -> None:
    refused(lambda: elasticache.describe_cache_clusters(**fields), VALUE)


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("describe_cache_clusters", {}),
        ("modify_cache_cluster", {}),
        ("delete_cache_cluster", {}),
        ("reboot_cache_cluster", {"CacheNodeIdsToReboot": ["0001"]}),
    ],
)
def test_a_cluster_that_does_not_exist_is_not_found(elasticache: Any, call: str, fields: Any) -> None:
    error = refused(lambda: getattr(elasticache, call)(CacheClusterId="none-such", **fields), "CacheClusterNotFound", "none-such")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


# ---- Replicas the old way -------------------------------------------------------------------------------------------------


def test_a_replica_added_the_old_way_gets_the_data_and_serves_readers(elasticache: Any, create: Create, group: Any) -> None:
    name, node_group = group["ReplicationGroupId"], group["NodeGroups"][0]
    ask(node_group["PrimaryEndpoint"], "SET", "before", "1")
    said = elasticache.create_cache_cluster(CacheClusterId=f"{name}-Extra", ReplicationGroupId=name)["CacheCluster"]
    assert (said["CacheClusterStatus"], said["ReplicationGroupId"]) == ("creating", name)
    shown = available(elasticache, f"{name}-extra")
    assert shown["ReplicationGroupId"] == name
    grown = group_available(elasticache, name)
    assert grown["MemberClusters"] == [*group["MemberClusters"], f"{name}-extra"]
    member = grown["NodeGroups"][0]["NodeGroupMembers"][-1]
    assert (member["CacheClusterId"], member["CurrentRole"]) == (f"{name}-extra", "replica")
    with connected(node_group["PrimaryEndpoint"]) as engine:
        engine.set("after", "1")
        assert engine.wait(3, 2000) == 3
    assert (ask(endpoint_of(shown), "GET", "before"), ask(endpoint_of(shown), "GET", "after")) == ("1", "1")
    newcomer = run_id(endpoint_of(shown))
    assert newcomer in {run_id(node_group["ReaderEndpoint"]) for _ in range(30)}


def test_a_replica_takes_the_zone_that_was_asked_or_one_with_fewest_nodes(elasticache: Any, group: Any) -> None:
    name = group["ReplicationGroupId"]
    asked = {"ReplicationGroupId": name, "PreferredAvailabilityZone": "us-east-1c"}
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-x", **asked)
    assert available(elasticache, f"{name}-x")["PreferredAvailabilityZone"] == "us-east-1c"
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-y", ReplicationGroupId=name)
    assert available(elasticache, f"{name}-y")["PreferredAvailabilityZone"] == "us-east-1a"
    elasticache.delete_cache_cluster(CacheClusterId=group["MemberClusters"][1])
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=group["MemberClusters"][1])
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-z", ReplicationGroupId=name)
    assert available(elasticache, f"{name}-z")["PreferredAvailabilityZone"] == "us-east-1b"


def test_a_replica_has_the_tags_given_or_else_the_groups(elasticache: Any, group: Any) -> None:
    name = group["ReplicationGroupId"]
    elasticache.add_tags_to_resource(ResourceName=group["ARN"], Tags=[{"Key": "team", "Value": "all"}])
    group_available(elasticache, name)
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-x", ReplicationGroupId=name)
    arn = available(elasticache, f"{name}-x")["ARN"]
    assert elasticache.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "team", "Value": "all"}]
    own = [{"Key": "mine", "Value": "1"}]
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-y", ReplicationGroupId=name, Tags=own)
    arn = available(elasticache, f"{name}-y")["ARN"]
    assert elasticache.list_tags_for_resource(ResourceName=arn)["TagList"] == own


@pytest.mark.parametrize(
    "asked",
    [
        {"Engine": "redis"},
        {"EngineVersion": "9.1"},
        {"CacheNodeType": "cache.r7g.large"},
        {"Port": 7000},
        {"NumCacheNodes": 0},
        {"NumCacheNodes": 2},
        {"AZMode": "cross-az"},
        {"AutoMinorVersionUpgrade": False},
        {"PreferredMaintenanceWindow": "mon:00:00-mon:02:00"},
        {"SnapshotWindow": "03:15-04:45"},
        {"SecurityGroupIds": ["sg-0abc"]},
        {"NotificationTopicArn": "arn:aws:sns:us-east-1:1:t"},
        {"CacheSubnetGroupName": "elsewhere"},
        {"PreferredAvailabilityZone": "us-east-1a", "PreferredAvailabilityZones": ["us-east-1b"]},
    ],
    ids="-".join,
)
def test_a_replica_takes_nothing_that_contradicts_its_group(elasticache: Any, group: Any, asked: Any) -> None:
    name = group["ReplicationGroupId"]
    call = {"CacheClusterId": f"{name}-x", "ReplicationGroupId": name, **asked}
    refused(lambda: elasticache.create_cache_cluster(**call), COMBINATION)
    assert group_available(elasticache, name)["MemberClusters"] == group["MemberClusters"]


def test_a_group_takes_five_replicas_and_no_more(elasticache: Any, group: Any) -> None:
    name = group["ReplicationGroupId"]
    for extra in ("x", "y", "z"):
        elasticache.create_cache_cluster(CacheClusterId=f"{name}-{extra}", ReplicationGroupId=name)
        available(elasticache, f"{name}-{extra}")
    call = {"CacheClusterId": f"{name}-w", "ReplicationGroupId": name}
    refused(lambda: elasticache.create_cache_cluster(**call), "NodeQuotaForClusterExceeded", "at most 6 nodes")


def test_a_group_that_is_not_available_takes_no_replica(elasticache: Any, create: Create) -> None:
    name = f"g{uuid.uuid4().hex[:8]}"
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="d", NumCacheClusters=2, Engine="valkey", EngineVersion="9.1"
    )
    call = {"CacheClusterId": f"{name}-x", "ReplicationGroupId": name}
    refused(lambda: elasticache.create_cache_cluster(**call), "InvalidReplicationGroupState", "creating")
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=f"{name}-002"), STATE, "creating")
    group_available(elasticache, name)
    elasticache.delete_replication_group(ReplicationGroupId=name)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def test_deleting_a_replica_takes_it_out_of_the_group(server: LocalServer, elasticache: Any, account: str, group: Any) -> None:
    name, node_group = group["ReplicationGroupId"], group["NodeGroups"][0]
    leaving = node_group["NodeGroupMembers"][2]
    pids = processes(server, account, leaving["CacheClusterId"])
    said = elasticache.delete_cache_cluster(CacheClusterId=leaving["CacheClusterId"])["CacheCluster"]
    assert said["CacheClusterStatus"] == "deleting"
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=leaving["CacheClusterId"])
    shrunk = group_available(elasticache, name)
    assert shrunk["MemberClusters"] == group["MemberClusters"][:2]
    assert len(shrunk["NodeGroups"][0]["NodeGroupMembers"]) == 2
    wait_until(lambda: not any(map(lives, pids)), within=5)
    assert not answers(leaving["ReadEndpoint"])
    left = run_id(node_group["NodeGroupMembers"][1]["ReadEndpoint"])
    assert {run_id(node_group["ReaderEndpoint"]) for _ in range(10)} == {left}
    assert "Cache cluster deleted" in messages(elasticache, leaving["CacheClusterId"])


def test_members_that_are_needed_cannot_be_deleted_alone(elasticache: Any, group: Any) -> None:
    name = group["ReplicationGroupId"]
    first, second, third = group["MemberClusters"]
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=first), STATE, "serving as primary")
    call = {"CacheClusterId": second, "FinalSnapshotIdentifier": "last"}
    refused(lambda: elasticache.delete_cache_cluster(**call), "SnapshotFeatureNotSupportedFault", "FinalSnapshotIdentifier")
    elasticache.modify_replication_group(ReplicationGroupId=name, AutomaticFailoverEnabled=True)
    group_available(elasticache, name)
    remove_cache_cluster(elasticache, third)
    group_available(elasticache, name)
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=second), STATE, "automatic failover")
    elasticache.modify_replication_group(ReplicationGroupId=name, AutomaticFailoverEnabled=False)
    group_available(elasticache, name)
    remove_cache_cluster(elasticache, second)
    group_available(elasticache, name)
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=first), STATE, "only member of a replication group")
    assert group_available(elasticache, name)["MemberClusters"] == [first]


def test_a_member_is_modified_through_its_group(elasticache: Any, group: Any) -> None:
    call = {"CacheClusterId": group["MemberClusters"][0], "SnapshotWindow": "01:00-02:00"}
    refused(lambda: elasticache.modify_cache_cluster(**call), COMBINATION, "ModifyReplicationGroup")


# ---- Reboot ---------------------------------------------------------------------------------------------------------------


def test_a_rebooted_replica_comes_back_with_the_data(elasticache: Any, group: Any) -> None:
    node_group = group["NodeGroups"][0]
    replica = node_group["NodeGroupMembers"][1]
    ask(node_group["PrimaryEndpoint"], "SET", "key", "value")
    before = run_id(replica["ReadEndpoint"])
    name = replica["CacheClusterId"]
    said = elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0001"])["CacheCluster"]
    assert said["CacheClusterStatus"] == REBOOTING
    assert endpoint_of(available(elasticache, name)) == replica["ReadEndpoint"]
    assert run_id(replica["ReadEndpoint"]) != before
    assert ask(replica["ReadEndpoint"], "GET", "key") == "value"
    assert messages(elasticache, name)[-2:] == ["Cache node 0001 shutdown", "Cache node 0001 restarted"]


def test_a_rebooted_primary_comes_back_empty_and_empties_its_replicas(elasticache: Any, group: Any) -> None:
    name, node_group = group["ReplicationGroupId"], group["NodeGroups"][0]
    primary, *replicas = node_group["NodeGroupMembers"]
    with connected(node_group["PrimaryEndpoint"]) as engine:
        engine.set("key", "value")
        assert engine.wait(2, 2000) == 2
    before = run_id(primary["ReadEndpoint"])
    said = elasticache.reboot_cache_cluster(CacheClusterId=primary["CacheClusterId"], CacheNodeIdsToReboot=["0001"])[
        "CacheCluster"
    ]
    assert said["CacheClusterStatus"] == REBOOTING
    available(elasticache, primary["CacheClusterId"])
    again = group_available(elasticache, name)["NodeGroups"][0]
    roles = {member["CacheClusterId"]: member["CurrentRole"] for member in again["NodeGroupMembers"]}
    assert roles[primary["CacheClusterId"]] == "primary"
    assert run_id(node_group["PrimaryEndpoint"]) == run_id(primary["ReadEndpoint"]) != before
    with connected(node_group["PrimaryEndpoint"]) as engine:
        assert engine.get("key") is None
        engine.set("new", "value")
        assert wait_until(lambda: engine.wait(2, 1000) == 2)
    for replica in replicas:
        assert (ask(replica["ReadEndpoint"], "GET", "key"), ask(replica["ReadEndpoint"], "GET", "new")) == (None, "value")


def test_a_rebooted_redis_cluster_is_empty_at_the_same_address(elasticache: Any, create: Create) -> None:
    name = create(Engine="redis")["CacheClusterId"]
    endpoint = endpoint_of(available(elasticache, name))
    ask(endpoint, "SET", "key", "value")
    said = elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0001", "0001"])["CacheCluster"]
    assert said["CacheClusterStatus"] == REBOOTING
    assert endpoint_of(available(elasticache, name)) == endpoint
    assert ask(endpoint, "GET", "key") is None
    assert messages(elasticache, name)[-2:] == ["Cache node 0001 shutdown", "Cache node 0001 restarted"]
    assert messages(elasticache, name).count("Cache node 0001 shutdown") == 1


@pytest.mark.parametrize("nodes", [["0002"], ["0001", "0009"], [""]])
def test_a_node_that_does_not_exist_cannot_be_rebooted(elasticache: Any, group: Any, nodes: list[str]) -> None:
    replica = group["NodeGroups"][0]["NodeGroupMembers"][1]
    before = run_id(replica["ReadEndpoint"])
    call = {"CacheClusterId": replica["CacheClusterId"], "CacheNodeIdsToReboot": nodes}
    with pytest.raises(ClientError) as raised:
        elasticache.reboot_cache_cluster(**call)
    assert raised.value.response["Error"]["Code"] in ("CacheClusterNotFound", STATE)
    assert cluster_of(elasticache, replica["CacheClusterId"])["CacheClusterStatus"] == "available"
    assert run_id(replica["ReadEndpoint"]) == before
