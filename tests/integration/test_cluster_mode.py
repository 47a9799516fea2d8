"""Replication groups in cluster mode through an unmodified boto3: Describe is held against what every engine says on the bus."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from bus import engine_at, must_agree, nodes_of, seen_from
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from waiting import wait_until

from cachewright import LocalServer

Create = Callable[..., str]

VALKEY_8, VALKEY_9, REDIS_7 = (("valkey", "8.1"), ("valkey", "9.1"), ("redis", "7.1"))
ENGINES = pytest.mark.parametrize("engine", [VALKEY_8, VALKEY_9, REDIS_7], ids=["valkey-8.1", "valkey-9.1", "redis-7.1"])
QUICK = {"Engine": "valkey", "EngineVersion": "8.1"}


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return str(uuid.uuid4().int)[:12]


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    """A client of the module's account."""
    return server.client(account_id=account)


@pytest.fixture
def create(elasticache: Any) -> Iterator[Create]:
    """Creates groups, waits until they are available, and deletes them when the test is over."""
    names: list[str] = []

    def ask(**fields: Any) -> str:
        name = f"g{uuid.uuid4().hex[:10]}"
        names.append(name)
        usual = {} if "Engine" in fields else QUICK
        elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **usual, **fields)
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        return name

    yield ask
    for name in names:
        with contextlib.suppress(elasticache.exceptions.ReplicationGroupNotFoundFault):
            remove(elasticache, name)


@pytest.fixture(scope="module", params=[VALKEY_8, VALKEY_9, REDIS_7], ids=["valkey-8.1", "valkey-9.1", "redis-7.1"])
def made(request: pytest.FixtureRequest, elasticache: Any) -> Iterator[str]:
    """A group of three shards with a replica each, once for each engine, that tests only look at."""
    engine, version = request.param
    name = f"made-{uuid.uuid4().hex[:6]}"
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="to look at", NumNodeGroups=3, ReplicasPerNodeGroup=1,
        Engine=engine, EngineVersion=version, MultiAZEnabled=True, AutomaticFailoverEnabled=True,
    )  # fmt: skip
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    yield name
    remove(elasticache, name)


def remove(client: Any, name: str) -> None:
    wait_until(lambda: describe(client, name)["Status"] in ("available", "create-failed"), within=30)
    client.delete_replication_group(ReplicationGroupId=name)
    client.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def describe(client: Any, name: str) -> Any:
    return client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]


def seed(client: Any, name: str) -> redis.RedisCluster:
    """A cluster client that knows the configuration endpoint and nothing else."""
    endpoint = describe(client, name)["ConfigurationEndpoint"]
    retry = Retry(ConstantBackoff(0.01), 500)
    return redis.RedisCluster(host=endpoint["Address"], port=endpoint["Port"], decode_responses=True, retry=retry)


def agreed(client: Any, server: LocalServer, account: str, name: str) -> Any:
    """What Describe and every engine say, as soon as they say the same."""

    def tried() -> Any:
        with contextlib.suppress(AssertionError, ValueError, redis.RedisError):
            return must_agree(client, server.url, account, name)
        return None

    with contextlib.suppress(AssertionError):
        return wait_until(tried, within=20, every=0.05)
    return must_agree(client, server.url, account, name)  # for what it has to say


def kill(node: dict[str, Any]) -> None:
    os.kill(node["process_id"], signal.SIGKILL)


def refused(call: Callable[[], Any], code: str, *fragments: str) -> None:
    with pytest.raises(ClientError) as raised:
        call()
    error = raised.value.response["Error"]
    assert error["Code"] == code, error
    assert all(fragment in error["Message"] for fragment in fragments), error["Message"]


# ---- What Describe says is what the engines do ----------------------------------------------------------------------------


def test_describe_and_every_engine_say_the_same_the_moment_it_is_available(
    elasticache: Any, server: LocalServer, account: str, made: str
) -> None:
    said = must_agree(elasticache, server.url, account, made)
    assert [slots for slots, _, _ in said.values()] == [((0, 5460),), ((5461, 10921),), ((10922, 16383),)]
    assert all(len(replicas) == 1 for _, _, replicas in said.values())


def test_an_available_group_shows_the_fields_of_cluster_mode_and_no_others(elasticache: Any, made: str) -> None:
    group = describe(elasticache, made)
    fixed = {"Status": "available", "ClusterEnabled": True, "ClusterMode": "enabled", "AutomaticFailover": "enabled", "MultiAZ": "enabled"}
    assert {name: group[name] for name in fixed} == fixed
    assert group["ConfigurationEndpoint"]["Port"] == 6379
    assert "SnapshottingClusterId" not in group
    assert group["MemberClusters"] == [f"{made}-000{shard}-00{node}" for shard in (1, 2, 3) for node in (1, 2)]
    assert [part["NodeGroupId"] for part in group["NodeGroups"]] == ["0001", "0002", "0003"]
    assert [part["Slots"] for part in group["NodeGroups"]] == ["0-5460", "5461-10921", "10922-16383"]
    for part in group["NodeGroups"]:
        assert {"PrimaryEndpoint", "ReaderEndpoint"}.isdisjoint(part)
        for member in part["NodeGroupMembers"]:
            assert set(member) == {"CacheClusterId", "CacheNodeId", "PreferredAvailabilityZone"}
        assert len({member["PreferredAvailabilityZone"] for member in part["NodeGroupMembers"]}) == 2
    primaries = [part["NodeGroupMembers"][0]["PreferredAvailabilityZone"] for part in group["NodeGroups"]]
    assert primaries == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_every_member_is_a_cache_cluster_with_the_parameter_group_of_cluster_mode(elasticache: Any, made: str) -> None:
    for member in describe(elasticache, made)["MemberClusters"]:
        shown = elasticache.describe_cache_clusters(CacheClusterId=member, ShowCacheNodeInfo=True)["CacheClusters"][0]
        assert (shown["CacheClusterStatus"], shown["ReplicationGroupId"]) == ("available", made)
        assert shown["CacheParameterGroup"]["CacheParameterGroupName"].endswith(".cluster.on")
        assert "ConfigurationEndpoint" not in shown
        assert shown["CacheNodes"][0]["Endpoint"]["Port"] == 6379


def test_a_cluster_client_needs_the_configuration_endpoint_alone(elasticache: Any, made: str) -> None:
    with seed(elasticache, made) as cache:
        for number in range(300):
            cache.set(f"key:{number}", number)
        assert [int(cache.get(f"key:{number}") or -1) for number in range(300)] == list(range(300))
        assert len(cache.get_primaries()) == 3 and len(cache.get_replicas()) == 3
        holding = [cache.dbsize(target_nodes=node) for node in cache.get_primaries()]
    assert all(holding) and sum(holding) >= 300


def test_the_settings_of_cluster_mode_reach_the_engine(elasticache: Any, server: LocalServer, account: str, made: str) -> None:
    for node in nodes_of(server.url, account, made):
        with engine_at(node["address"]) as engine:
            runs_with = engine.config_get("*")
            assert engine.execute_command("CLUSTER INFO")["cluster_slots_ok"] == "16384"
        assert runs_with["cluster-enabled"] == "yes"
        assert runs_with["cluster-require-full-coverage"] == "no"  # the service's default, not the engine's
        assert int(runs_with["cluster-node-timeout"]) < 60_000
        assert int(runs_with["maxmemory"]) == 1471026299 * 3 // 4


def test_nothing_but_the_groups_own_nodes_is_ever_known_on_the_bus(server: LocalServer, account: str, made: str) -> None:
    nodes = nodes_of(server.url, account, made)
    for node in nodes:
        with engine_at(node["address"]) as engine:
            known = engine.cluster("nodes")
        assert {place.partition("@")[0] for place in known} == {f"{each['address']}:6379" for each in nodes}
        assert not [entry["flags"] for entry in known.values() if "handshake" in entry["flags"] or "fail" in entry["flags"].split(",")]


# ---- Forms of create ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shards"),
    [
        pytest.param({"NumNodeGroups": 2}, {"0001": ("0-8191", "a"), "0002": ("8192-16383", "b")}, id="no replicas by default"),
        pytest.param({"ClusterMode": "enabled"}, {"0001": ("0-16383", "a")}, id="one shard because the mode says so"),
        pytest.param(
            {"CacheParameterGroupName": "default.valkey8.cluster.on", "NumNodeGroups": 1, "ReplicasPerNodeGroup": 2},
            {"0001": ("0-16383", "abc")}, id="one shard because the parameter group says so",
        ),
        pytest.param(
            {"ClusterMode": "enabled", "NumCacheClusters": 2, "PreferredCacheClusterAZs": ["us-east-1c", "us-east-1a"]},
            {"0001": ("0-16383", "ca")}, id="one shard with a number of clusters and their zones",
        ),
        pytest.param(
            {"NodeGroupConfiguration": [
                {"NodeGroupId": "20", "Slots": "0,2-100,16383", "PrimaryAvailabilityZone": "us-east-1c", "ReplicaCount": 0},
                {"NodeGroupId": "7", "Slots": "1,101-16382", "PrimaryAvailabilityZone": "us-east-1a",
                 "ReplicaAvailabilityZones": ["us-east-1a"]},
            ]},
            {"0007": ("1-1,101-16382", "aa"), "0020": ("0-0,2-100,16383-16383", "c")}, id="odd slots, ids and zones",
        ),
    ],
)  # fmt: skip
def test_a_group_has_the_shards_that_were_asked_for(
    elasticache: Any, server: LocalServer, account: str, create: Create, asked: Any, shards: Any
) -> None:
    name = create(**asked)
    group = describe(elasticache, name)
    shown = {
        part["NodeGroupId"]: (part["Slots"], "".join(member["PreferredAvailabilityZone"][-1] for member in part["NodeGroupMembers"]))
        for part in group["NodeGroups"]
    }
    assert shown == shards
    must_agree(elasticache, server.url, account, name)
    with seed(elasticache, name) as cache:
        for number in range(100):
            cache.set(f"key:{number}", number)
        assert all(cache.get(f"key:{number}") == str(number) for number in range(100))


def test_ninety_shards_of_one_node_are_one_group(elasticache: Any, server: LocalServer, account: str, create: Create) -> None:
    name = create(NumNodeGroups=90)
    group = describe(elasticache, name)
    assert len(group["NodeGroups"]) == len(group["MemberClusters"]) == 90
    first = nodes_of(server.url, account, name)[0]
    said = seen_from(first["address"])
    assert len(said) == 90 and sum(last - start + 1 for slots, _, _ in said.values() for start, last in slots) == 16384
    with seed(elasticache, name) as cache:
        for number in range(500):
            cache.set(f"key:{number}", number)
        assert all(cache.get(f"key:{number}") == str(number) for number in range(500))


def test_a_compatible_group_serves_clients_of_both_kinds(elasticache: Any, server: LocalServer, account: str, create: Create) -> None:
    name = create(ClusterMode="compatible", NumCacheClusters=2, AutomaticFailoverEnabled=True)
    group = describe(elasticache, name)
    (part,) = group["NodeGroups"]
    assert (group["ClusterMode"], group["MemberClusters"]) == ("compatible", [f"{name}-001", f"{name}-002"])
    assert {"PrimaryEndpoint", "ReaderEndpoint"} < set(part) and "Slots" not in part
    assert [member["CurrentRole"] for member in part["NodeGroupMembers"]] == ["primary", "replica"]
    with engine_at(part["PrimaryEndpoint"]["Address"]) as plain, seed(elasticache, name) as sharded:
        plain.set("from", "the primary endpoint")
        assert sharded.get("from") == "the primary endpoint"
    must_agree(elasticache, server.url, account, name)


def test_a_replica_joins_and_leaves_the_bus_of_a_compatible_group(
    elasticache: Any, server: LocalServer, account: str, create: Create
) -> None:
    name = create(ClusterMode="compatible", NumCacheClusters=2)
    elasticache.create_cache_cluster(CacheClusterId=f"{name}-x", ReplicationGroupId=name)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=f"{name}-x")
    said = agreed(elasticache, server, account, name)
    assert [len(replicas) for _, _, replicas in said.values()] == [2]
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    elasticache.delete_cache_cluster(CacheClusterId=f"{name}-002")
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=f"{name}-002")
    said = agreed(elasticache, server, account, name)
    assert [len(replicas) for _, _, replicas in said.values()] == [1]


# ---- Nodes that die -------------------------------------------------------------------------------------------------------


@ENGINES
def test_a_crashed_primary_is_replaced_by_its_replica_and_comes_back_as_one(
    elasticache: Any, server: LocalServer, account: str, create: Create, engine: tuple[str, str]
) -> None:
    name = create(NumNodeGroups=3, ReplicasPerNodeGroup=1, Engine=engine[0], EngineVersion=engine[1])
    before = must_agree(elasticache, server.url, account, name)
    lost = next(node for node in nodes_of(server.url, account, name) if node["node"] == f"{name}-0002-001")
    with seed(elasticache, name) as cache:
        for number in range(200):
            cache.set(f"key:{number}", number)
        for node in cache.get_primaries():
            assert cache.wait(1, 2000, target_nodes=node) == 1
        kill(lost)
        cache.set("written", "during the failover")
        assert all(cache.get(f"key:{number}") == str(number) for number in range(200))
    wait_until(lambda: reborn(server, account, name, lost), within=15)
    after = agreed(elasticache, server, account, name)
    (heir,) = before[lost["address"]][2]
    assert after[heir] == (before[lost["address"]][0], heir, frozenset({lost["address"]}))
    assert {primary: after[primary] for primary in after if primary != heir} == {
        primary: before[primary] for primary in before if primary != lost["address"]
    }
    assert describe(elasticache, name)["Status"] == "available"
    told = [event["Message"] for event in elasticache.describe_events(SourceType="replication-group", SourceIdentifier=name)["Events"]]
    assert f"Failover from primary node {name}-0002-001 to replica node {name}-0002-002 completed" in told
    told = elasticache.describe_events(SourceType="cache-cluster", SourceIdentifier=f"{name}-0002-001")["Events"]
    assert [event["Message"] for event in told][:2] == ["Finished recovery for cache nodes 0001", "Recovering cache nodes 0001"]


def reborn(server: LocalServer, account: str, name: str, lost: dict[str, Any]) -> bool:
    node = next(each for each in nodes_of(server.url, account, name) if each["node"] == lost["node"])
    return bool(node["boot"] > lost["boot"] and node["in_sync"] and node["address"] == lost["address"])


def test_the_configuration_endpoint_moves_when_its_node_dies(elasticache: Any, server: LocalServer, account: str, create: Create) -> None:
    name = create(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    endpoint = describe(elasticache, name)["ConfigurationEndpoint"]["Address"]
    for _ in range(3):
        holder = next(node for node in nodes_of(server.url, account, name) if endpoint in node["holds"])
        kill(holder)
        wait_until(lambda: connects(endpoint), within=10)
        wait_until(lambda: reborn(server, account, name, holder), within=15)  # noqa: B023
        agreed(elasticache, server, account, name)
        with seed(elasticache, name) as cache:
            cache.set("still", "here")
        holders = [node["node"] for node in nodes_of(server.url, account, name) if endpoint in node["holds"]]
        assert len(holders) == 1 and holders != [holder["node"]]


def connects(address: str) -> bool:
    with contextlib.suppress(redis.RedisError), engine_at(address) as engine:
        return bool(engine.ping())
    return False


def test_a_crashed_replica_is_replaced_and_nobody_takes_over(elasticache: Any, server: LocalServer, account: str, create: Create) -> None:
    name = create(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    before = must_agree(elasticache, server.url, account, name)
    lost = next(node for node in nodes_of(server.url, account, name) if node["node"] == f"{name}-0001-002")
    kill(lost)
    wait_until(lambda: reborn(server, account, name, lost), within=15)
    assert agreed(elasticache, server, account, name) == before


def test_a_shard_of_which_all_nodes_died_comes_back_empty_and_the_others_keep_their_data(
    elasticache: Any, server: LocalServer, account: str, create: Create
) -> None:
    name = create(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    with seed(elasticache, name) as cache:
        for number in range(200):
            cache.set(f"key:{number}", number)
        kept = {key for key in cache.keys(target_nodes=cache.get_node_from_key("{b}")) if cache.keyslot(key) < 8192}
        kept |= {f"key:{number}" for number in range(200) if cache.keyslot(f"key:{number}") < 8192}
    lost = [node for node in nodes_of(server.url, account, name) if "-0002-" in node["node"]]
    for node in lost:
        kill(node)
    for node in lost:
        wait_until(lambda: reborn(server, account, name, node), within=30)  # noqa: B023
    said = agreed(elasticache, server, account, name)
    assert sorted(slots for slots, _, _ in said.values()) == [((0, 8191),), ((8192, 16383),)]
    with seed(elasticache, name) as cache:
        there = {f"key:{number}" for number in range(200) if cache.get(f"key:{number}") is not None}
        cache.set("{b}", "and it takes writes again")
    assert there == kept


def test_one_shard_without_a_replica_is_started_again(elasticache: Any, server: LocalServer, account: str, create: Create) -> None:
    name = create(ClusterMode="enabled")
    (lost,) = nodes_of(server.url, account, name)
    kill(lost)
    wait_until(lambda: reborn(server, account, name, lost), within=15)
    agreed(elasticache, server, account, name)
    with seed(elasticache, name) as cache:
        assert cache.set("it", "serves")


# ---- What is refused ------------------------------------------------------------------------------------------------------


COMBINATION, VALUE, STATE = "InvalidParameterCombination", "InvalidParameterValue", "InvalidCacheClusterState"


@pytest.mark.parametrize(
    ("asked", "code", "fragment"),
    [
        ({"NumNodeGroups": 0, "ClusterMode": "enabled"}, VALUE, "NumNodeGroups"),
        ({"NumNodeGroups": 91}, "NodeGroupsPerReplicationGroupQuotaExceeded", "90"),
        ({"NumNodeGroups": 46, "ReplicasPerNodeGroup": 1}, "NodeQuotaForClusterExceeded", "90"),
        ({"NumNodeGroups": 2, "ReplicasPerNodeGroup": 6}, VALUE, "replicas"),
        ({"NumNodeGroups": 2, "NumCacheClusters": 2}, COMBINATION, "NumCacheClusters"),
        ({"NumNodeGroups": 2, "ClusterMode": "disabled"}, COMBINATION, "enabled"),
        ({"NumNodeGroups": 2, "ClusterMode": "compatible"}, COMBINATION, "enabled"),
        ({"ClusterMode": "sharded"}, VALUE, "ClusterMode"),
        ({"NumNodeGroups": 2, "CacheParameterGroupName": "default.valkey8"}, COMBINATION, "cluster-enabled=yes"),
        ({"ClusterMode": "disabled", "CacheParameterGroupName": "default.valkey8.cluster.on"}, COMBINATION, "cluster-enabled=no"),
        ({"ClusterMode": "enabled", "AutomaticFailoverEnabled": False}, COMBINATION, "Turning off automatic failover"),
        ({"NumNodeGroups": 2, "AutomaticFailoverEnabled": True, "MultiAZEnabled": True}, COMBINATION, "Multi-AZ"),
        ({"NumNodeGroups": 2, "Port": 60000}, VALUE, "55535"),
        ({"NumNodeGroups": 2, "PreferredCacheClusterAZs": ["us-east-1a", "us-east-1b"]}, COMBINATION, "PreferredCacheClusterAZs"),
        ({"NodeGroupConfiguration": [{"Slots": "0-8191"}, {"ReplicaCount": 0}]}, VALUE, "Slots"),
        ({"NodeGroupConfiguration": [{"Slots": "0-8191"}, {"Slots": "8000-16383"}]}, VALUE, "8000"),
        ({"NodeGroupConfiguration": [{"Slots": "0-8191"}, {"Slots": "8193-16383"}]}, VALUE, "8192"),
        ({"NodeGroupConfiguration": [{"Slots": "0-8191"}, {"Slots": "8192-16382"}]}, VALUE, "16383"),
        ({"NodeGroupConfiguration": [{"Slots": "0-8191"}, {"Slots": "8192-20000"}]}, VALUE, "16383"),
        ({"NodeGroupConfiguration": [{"NodeGroupId": "1"}, {"NodeGroupId": "0001"}]}, VALUE, "NodeGroupId"),
        ({"NodeGroupConfiguration": [{"NodeGroupId": "one"}, {"NodeGroupId": "2"}]}, VALUE, "NodeGroupId"),
        ({"NumNodeGroups": 3, "NodeGroupConfiguration": [{"ReplicaCount": 0}, {"ReplicaCount": 0}]}, COMBINATION, "NumNodeGroups"),
        ({"NodeGroupConfiguration": [{"ReplicaCount": 2, "ReplicaAvailabilityZones": ["us-east-1a"]}, {"ReplicaCount": 0}]}, VALUE, "ReplicaAvail"),
        ({"NodeGroupConfiguration": [{"PrimaryAvailabilityZone": "us-east-1z"}, {"ReplicaCount": 0}]}, VALUE, "us-east-1z"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_create_that_contradicts_itself_is_refused_and_makes_nothing(elasticache: Any, asked: Any, code: str, fragment: str) -> None:
    call = {"ReplicationGroupId": "never", "ReplicationGroupDescription": "d", **QUICK, **asked}
    refused(lambda: elasticache.create_replication_group(**call), code, fragment)
    refused(lambda: elasticache.describe_replication_groups(ReplicationGroupId="never"), "ReplicationGroupNotFoundFault")


def test_what_a_group_in_cluster_mode_does_not_have_is_refused(elasticache: Any, create: Create) -> None:
    name = create(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    member = f"{name}-0001-002"
    refused(lambda: elasticache.reboot_cache_cluster(CacheClusterId=member, CacheNodeIdsToReboot=["0001"]), STATE, "cluster mode")
    refused(lambda: elasticache.delete_cache_cluster(CacheClusterId=member), STATE, "cluster mode")
    refused(lambda: elasticache.create_cache_cluster(CacheClusterId="more", ReplicationGroupId=name), COMBINATION, "cluster mode")
    text = "Turning off automatic failover for replication group with cluster mode enabled is not supported."
    off = {"ReplicationGroupId": name, "AutomaticFailoverEnabled": False}
    refused(lambda: elasticache.modify_replication_group(**off), COMBINATION, text)
    keep = {"ReplicationGroupId": name, "RetainPrimaryCluster": True}
    refused(lambda: elasticache.delete_replication_group(**keep), COMBINATION, "RetainPrimaryCluster")
    assert describe(elasticache, name)["Status"] == "available"


def test_deletion_leaves_no_process_and_the_name_can_be_used_again(
    elasticache: Any, server: LocalServer, account: str, create: Create
) -> None:
    name = create(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    pids = [node["process_id"] for node in nodes_of(server.url, account, name)]
    endpoint = describe(elasticache, name)["ConfigurationEndpoint"]["Address"]
    remove(elasticache, name)
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), within=5)  # noqa: PTH110
    assert not connects(endpoint)
    elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", NumNodeGroups=1, **QUICK)
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    assert describe(elasticache, name)["ClusterMode"] == "disabled"
