"""A group goes into cluster mode under writes: disabled, compatible, enabled, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from bus import engine_at, must_agree
from caches import connected, describe_cache_cluster, new_account, new_name, refused, remove_everything
from groups import Group
from waiting import let_pass, wait_until
from writers import Writer

from cachewright import LocalServer

VALKEY, VALKEY_8 = {"Engine": "valkey", "EngineVersion": "9.1"}, {"Engine": "valkey", "EngineVersion": "8.1"}
REDIS = {"Engine": "redis", "EngineVersion": "7.0"}
BLOCKED_AT_MOST = 4.0  # seconds
COMBINATION, STATE, VALUE = "InvalidParameterCombination", "InvalidReplicationGroupState", "InvalidParameterValue"


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


@pytest.fixture
def create(server: LocalServer, elasticache: Any, account: str) -> Callable[..., Group]:
    """Makes groups; they are put away with the account."""

    def make(**wanted: Any) -> Group:
        name = new_name("m")
        usual = {"AutomaticFailoverEnabled": True, "NumCacheClusters": 3, **VALKEY}
        elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **{**usual, **wanted})
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        return Group(elasticache, server.url, account, name)

    return make


def change(group: Group, mode: str, **more: Any) -> Any:
    asked = {"ClusterMode": mode, "ApplyImmediately": True, **more}
    return group.client.modify_replication_group(ReplicationGroupId=group.name, **asked)["ReplicationGroup"]


def primary_at(group: Group) -> Callable[[], redis.Redis]:
    """Makes clients of the primary endpoint, which is looked up once."""
    at = group.seen()["NodeGroups"][0]["PrimaryEndpoint"]
    return lambda: redis.Redis(host=at["Address"], port=at["Port"], decode_responses=True, socket_timeout=5)


@pytest.mark.usually("3-valkey-9.1", "2-valkey-8.1", "1-redis-7.0")
@pytest.mark.parametrize("engine", [VALKEY, VALKEY_8, REDIS], ids=["valkey-9.1", "valkey-8.1", "redis-7.0"])
@pytest.mark.parametrize("nodes", [3, 2, 1])
def test_a_group_becomes_compatible_and_then_enabled_under_writes(create: Callable[..., Group], engine: Any, nodes: int) -> None:
    group = create(**engine, NumCacheClusters=nodes, AutomaticFailoverEnabled=nodes > 1)
    before = group.seen()
    members = before["MemberClusters"]
    addresses = {node["node"]: node["address"] for node in group.nodes()}
    with Writer(primary_at(group), replicas=0) as writer:
        answer = change(group, "compatible")
        assert (answer["Status"], answer["ClusterMode"], answer["ClusterEnabled"]) == ("modifying", "disabled", False)
        wait_until(lambda: group.seen()["Status"] == "available", within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    seen = group.seen()
    assert (seen["ClusterMode"], seen["ClusterEnabled"], seen["MemberClusters"]) == ("compatible", True, members)
    assert seen["NodeGroups"][0]["PrimaryEndpoint"] == before["NodeGroups"][0]["PrimaryEndpoint"]
    assert seen["NodeGroups"][0]["ReaderEndpoint"] == before["NodeGroups"][0]["ReaderEndpoint"]
    assert {node["node"]: node["address"] for node in group.nodes()} == addresses
    assert {node["CacheParameterGroupName"] for node in _parameter_groups(group)} == {_default(engine)}
    must_agree(group.client, group.url, group.account, group.name)
    for node in group.nodes():
        with engine_at(node["address"], node["port"]) as its:
            assert its.info("cluster")["cluster_enabled"] == 1
    client = group.connect()  # by the configuration endpoint, as a client of a cluster
    assert all(client.get(f"key:{number}") == str(number) for number in writer.acknowledged)
    if nodes == 1:
        refused(lambda: change(group, "enabled"), COMBINATION, "AutomaticFailoverEnabled")
        return
    _becomes_enabled(group, members)


def _becomes_enabled(group: Group, members: list[str]) -> None:
    processes = {node["node"]: node["process_id"] for node in group.nodes()}
    primary = group.seen()["NodeGroups"][0]["PrimaryEndpoint"]
    with Writer(group.connect, replicas=0) as writer:
        change(group, "enabled")
        wait_until(lambda: group.seen()["Status"] == "available", within=30, every=0.02)
        writer.go_on_for(50)
    assert writer.lost(writer.acknowledged) == []
    seen = group.seen()
    (part,) = seen["NodeGroups"]
    assert (seen["ClusterMode"], seen["MemberClusters"], part["Slots"]) == ("enabled", members, "0-16383")
    assert "PrimaryEndpoint" not in part and "ReaderEndpoint" not in part
    assert all("CurrentRole" not in member for member in part["NodeGroupMembers"])
    assert seen["ConfigurationEndpoint"]
    assert {node["node"]: node["process_id"] for node in group.nodes()} == processes, "no engine was started again"
    with connected(primary) as nobody, pytest.raises(redis.ConnectionError):
        nobody.ping()
    must_agree(group.client, group.url, group.account, group.name)


def _parameter_groups(group: Group) -> list[Any]:
    members = group.seen()["MemberClusters"]
    return [describe_cache_cluster(group.client, member)["CacheParameterGroup"] for member in members]


def _default(engine: Any) -> str:
    return {"9.1": "default.valkey9.cluster.on", "8.1": "default.valkey8.cluster.on"}.get(
        engine["EngineVersion"], "default.redis7.cluster.on"
    )


# ---- the way back


@pytest.mark.usually("3-redis-7.0", "1-valkey-9.1")
@pytest.mark.parametrize("engine", [VALKEY, REDIS], ids=["valkey-9.1", "redis-7.0"])
@pytest.mark.parametrize("nodes", [3, 1])
def test_a_compatible_group_goes_back_under_writes(create: Callable[..., Group], engine: Any, nodes: int) -> None:
    group = create(**engine, NumCacheClusters=nodes, AutomaticFailoverEnabled=nodes > 1, ClusterMode="compatible")
    before = group.seen()
    with Writer(primary_at(group), replicas=0) as writer:
        change(group, "disabled")
        wait_until(lambda: group.seen()["Status"] == "available", within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    seen = group.seen()
    assert (seen["ClusterMode"], seen["ClusterEnabled"]) == ("disabled", False)
    assert "ConfigurationEndpoint" not in seen
    assert seen["NodeGroups"][0]["PrimaryEndpoint"] == before["NodeGroups"][0]["PrimaryEndpoint"]
    for node in group.nodes():
        with engine_at(node["address"], node["port"]) as its:
            assert its.info("cluster")["cluster_enabled"] == 0
    with connected(before["ConfigurationEndpoint"]) as nobody, pytest.raises(redis.ConnectionError):
        nobody.ping()


# ---- faults in the middle


@pytest.mark.usually("there-0.0", "there-0.1", "there-0.2", "there-0.5", "back-0.05", "back-0.15", "back-0.3")
@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_a_primary_that_crashes_in_the_middle_is_replaced_and_the_mode_changes(
    create: Callable[..., Group], after: float, back: bool
) -> None:
    group = create(**({"ClusterMode": "compatible"} if back else {}))
    wanted = "disabled" if back else "compatible"
    with Writer(primary_at(group), replicas=2) as writer:
        change(group, wanted)
        let_pass(after)
        group.kill(group.primary()["node"])
        wait_until(lambda: group.seen()["Status"] == "available" and group.seen()["ClusterMode"] == wanted, within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.everywhere) == [], "what all replicas had is lost"
    if not back:
        must_agree(group.client, group.url, group.account, group.name)


# ---- refusals


def test_refusals_of_another_cluster_mode(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    refused(lambda: change(group, "enabled"), COMBINATION, "compatible first")
    refused(lambda: change(group, "sideways"), VALUE, "sideways")
    refused(lambda: change(group, "disabled"), COMBINATION, "No modifications were requested")
    refused(lambda: change(group, "compatible", CacheNodeType="cache.m7g.large"), COMBINATION, "alone", "CacheNodeType")
    refused(lambda: change(group, "compatible", CacheParameterGroupName="default.valkey9"), COMBINATION, "cluster-enabled=yes")
    with connected(group.seen()["NodeGroups"][0]["PrimaryEndpoint"]) as client:
        client.execute_command("SELECT", 3)
        client.set("a", "1")
    let_pass(2.5)  # an agent looks at an idle node every two seconds
    refused(lambda: change(group, "compatible"), COMBINATION, "Database 3", "flush")
    assert group.seen()["Status"] == "available"
    old = create(NumCacheClusters=1, AutomaticFailoverEnabled=False, Engine="redis", EngineVersion="6.2")
    refused(lambda: change(old, "compatible"), COMBINATION, "7.0 or later")
    compatible = create(NumCacheClusters=2, ClusterMode="compatible")
    ask = {"ReplicationGroupId": compatible.name, "ApplyImmediately": True}
    refused(lambda: elasticache.modify_replication_group(**ask, CacheNodeType="cache.m7g.large"), COMBINATION, "compatible")
    enabled = create(ClusterMode="enabled", NumCacheClusters=2)
    refused(lambda: change(enabled, "compatible"), COMBINATION, "final")
