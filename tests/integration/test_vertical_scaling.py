"""Nodes of a cache are made anew under writes: another node type, nothing acknowledged lost, every endpoint where it was."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from bus import engine_at
from caches import connected, describe_cache_cluster, memcache, new_account, new_name, refused, remove_everything
from groups import Group
from servers import Server
from waiting import let_pass, wait_until
from writers import Writer

from cachewright import LocalServer

VALKEY, REDIS = {"Engine": "valkey", "EngineVersion": "9.1"}, {"Engine": "redis", "EngineVersion": "7.0"}
SMALL, LARGE, TINY = "cache.t4g.small", "cache.m7g.large", "cache.t4g.micro"
LIMITS = {TINY: 536870912 * 75 // 100, SMALL: 1471026299 * 75 // 100, LARGE: 6854542746 * 75 // 100}
BLOCKED_AT_MOST = 4.0  # seconds: a primary yields for two at most, and a busy machine adds to that
COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"


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
        name = new_name("v")
        usual = {"AutomaticFailoverEnabled": True, "CacheNodeType": SMALL, **VALKEY}
        usual |= {} if "NumNodeGroups" in wanted or "NumCacheClusters" in wanted else {"NumCacheClusters": 3}
        elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **{**usual, **wanted})
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        return Group(elasticache, server.url, account, name)

    return make


def scale(group: Group, node_type: str, **more: Any) -> Any:
    asked = {"ApplyImmediately": True, "CacheNodeType": node_type, **more}
    return group.client.modify_replication_group(ReplicationGroupId=group.name, **asked)["ReplicationGroup"]


def limits(group: Group) -> set[int]:
    """The memory limit of every engine, as it says itself."""
    found = set()
    for node in group.nodes():
        with engine_at(node["address"], node["port"]) as engine:
            found.add(int(engine.config_get("maxmemory")["maxmemory"]))
    return found


def endpoints(group: Group) -> Any:
    """Every address that callers know."""
    seen = group.seen()
    members = [describe_cache_cluster(group.client, member) for member in seen["MemberClusters"]]
    parts = [(part.get("PrimaryEndpoint"), part.get("ReaderEndpoint"), part.get("Slots")) for part in seen["NodeGroups"]]
    return seen.get("ConfigurationEndpoint"), parts, [(each["CacheClusterId"], each["CacheNodes"][0]["Endpoint"]) for each in members]


@pytest.mark.parametrize("engine", [VALKEY, REDIS], ids=["valkey-9.1", "redis-7.0"])
@pytest.mark.parametrize(
    "shape",
    [
        {"NumCacheClusters": 3}, {"NumCacheClusters": 2}, {"NumCacheClusters": 1, "AutomaticFailoverEnabled": False}, {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
        {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0},
    ],
    ids=["three", "two", "alone", "shards", "shards-alone"],
)  # fmt: skip
@pytest.mark.parametrize("larger", [True, False], ids=["up", "down"])
def test_a_group_moves_to_another_node_type_under_writes(create: Callable[..., Group], shape: Any, engine: Any, larger: bool) -> None:
    former, wanted = (SMALL, LARGE) if larger else (SMALL, TINY)
    group = create(**shape, **engine, CacheNodeType=former)
    before, members = endpoints(group), group.seen()["MemberClusters"]
    processes = {node["node"]: node["process_id"] for node in group.nodes()}
    assert limits(group) == {LIMITS[former]}
    shown: set[tuple[str, ...]] = set()
    with Writer(group.connect, replicas=0) as writer:
        answer = scale(group, wanted)
        assert (answer["Status"], answer["CacheNodeType"]) == ("modifying", former)

        def done() -> bool:
            seen = group.seen()
            shown.add(tuple(seen["MemberClusters"]))
            return bool(seen["Status"] == "available")

        wait_until(done, within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    assert limits(group) == {LIMITS[wanted]}
    assert group.seen()["CacheNodeType"] == wanted
    assert shown == {tuple(members)}, "no caller sees who stands in"
    assert endpoints(group) == before
    after = {node["node"]: node["process_id"] for node in group.nodes()}
    assert after.keys() == processes.keys()
    assert not set(after.values()) & set(processes.values()), "every node was started anew"
    said = f"Succeeded applying modification to cache node type to {wanted}."
    assert {source for source, message in group.messages() if message == said} == {group.name, *members}


# ---- what does not fit, and what cannot be


def test_what_would_not_fit_is_refused_and_nothing_changes(create: Callable[..., Group]) -> None:
    group = create(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    with contextlib.closing(group.connect()) as client:
        for number in range(8):
            client.set(f"big:{number}", b"x" * (60 * 2**20))
    before = {node["node"]: node["process_id"] for node in group.nodes()}
    let_pass(2.5)  # an agent looks at an idle node every two seconds
    refused(lambda: scale(group, TINY), COMBINATION, group.primary()["node"], "384 MiB")
    assert (group.seen()["Status"], group.seen()["CacheNodeType"]) == ("available", SMALL)
    assert {node["node"]: node["process_id"] for node in group.nodes()} == before


def test_refusals_of_another_make(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=1, AutomaticFailoverEnabled=False, Engine="valkey", EngineVersion="8.1")
    ask = elasticache.modify_replication_group

    def asked(**more: Any) -> Callable[[], Any]:
        return lambda: ask(ReplicationGroupId=group.name, ApplyImmediately=True, **more)

    refused(asked(CacheNodeType="cache.none.small"), VALUE, "cache.none.small")
    refused(asked(CacheNodeType="cache.r6gd.xlarge"), VALUE, "cache.r6gd.xlarge", "ListAllowedNodeTypeModifications")
    refused(asked(CacheNodeType=SMALL), COMBINATION, "No modifications were requested")
    refused(asked(EngineVersion="8.0"), COMBINATION, "8.1 cannot become the earlier 8.0")
    refused(asked(Engine="redis", EngineVersion="7.1"), COMBINATION, "valkey cannot become redis")
    refused(asked(EngineVersion="8.1"), COMBINATION, "No modifications were requested")
    refused(asked(EngineVersion="11.0"), VALUE, "11.0")
    assert group.seen()["Status"] == "available"


# ---- what waits for the maintenance window


def a_window(days: int) -> str:
    """A maintenance window in the middle of which it is now, or some days away from it."""
    middle = datetime.now(UTC) + timedelta(days=days)
    first, last = middle - timedelta(hours=4), middle + timedelta(hours=4)
    return f"{first:%a:%H:%M}-{last:%a:%H:%M}".lower()


def away() -> dict[str, str]:
    """A maintenance window days away, and a snapshot window that is in none."""
    other = datetime.now(UTC) + timedelta(hours=12)
    return {"PreferredMaintenanceWindow": a_window(-3), "SnapshotWindow": f"{other:%H:%M}-{other + timedelta(hours=1):%H:%M}"}


def test_another_node_type_waits_for_the_window_and_then_really_happens(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=2, **away())
    members = group.seen()["MemberClusters"]
    ask = {"ReplicationGroupId": group.name}
    answer = elasticache.modify_replication_group(**ask, CacheNodeType=LARGE)["ReplicationGroup"]
    assert (answer["Status"], answer["CacheNodeType"]) == ("available", SMALL)
    assert _pending(elasticache, members) == [{"CacheNodeType": LARGE}] * 2
    elasticache.modify_replication_group(**ask, CacheNodeType=TINY)  # replaces it
    assert _pending(elasticache, members) == [{"CacheNodeType": TINY}] * 2
    elasticache.modify_replication_group(**ask, CacheNodeType=SMALL)  # cancels it
    assert _pending(elasticache, members) == [{}] * 2
    elasticache.modify_replication_group(**ask, CacheNodeType=LARGE)
    assert limits(group) == {LIMITS[SMALL]}
    elasticache.modify_replication_group(**ask, PreferredMaintenanceWindow=a_window(0))
    wait_until(lambda: group.seen()["CacheNodeType"] == LARGE and group.seen()["Status"] == "available", within=30)
    assert _pending(elasticache, members) == [{}] * 2
    assert limits(group) == {LIMITS[LARGE]}


def test_an_immediate_modification_does_what_was_pending(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=2, **away())
    elasticache.modify_replication_group(ReplicationGroupId=group.name, CacheNodeType=LARGE)
    elasticache.modify_replication_group(ReplicationGroupId=group.name, ReplicationGroupDescription="other", ApplyImmediately=True)
    wait_until(lambda: group.seen()["CacheNodeType"] == LARGE and group.seen()["Status"] == "available", within=30)
    assert limits(group) == {LIMITS[LARGE]}


def test_a_node_type_does_not_change_beside_a_pending_upgrade(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=1, AutomaticFailoverEnabled=False, EngineVersion="8.1", **away())
    ask = {"ReplicationGroupId": group.name}
    elasticache.modify_replication_group(**ask, EngineVersion="9.1")
    assert _pending(elasticache, group.seen()["MemberClusters"]) == [{"EngineVersion": "9.1.0"}]
    for now in (True, False):
        refused(lambda now=now: elasticache.modify_replication_group(**ask, CacheNodeType=LARGE, ApplyImmediately=now), COMBINATION, "9.1")
    scale(group, LARGE, EngineVersion="9.1")
    wait_until(lambda: group.seen()["Status"] == "available", within=30)
    assert (limits(group), versions(group)) == ({LIMITS[LARGE]}, {"9.1"})


def _pending(elasticache: Any, members: list[str]) -> list[Any]:
    return [describe_cache_cluster(elasticache, member)["PendingModifiedValues"] for member in members]


# ---- engine upgrades


def versions(group: Group) -> set[str]:
    """Major and minor version of every engine, as it says itself."""
    found = set()
    for node in group.nodes():
        with engine_at(node["address"], node["port"]) as engine:
            info = engine.info("server")
            found.add(".".join(str(info.get("valkey_version", info["redis_version"])).split(".")[:2]))
    return found


@pytest.mark.parametrize(
    ("former", "wanted"),
    [(REDIS, "8.1"), (REDIS, "9.1"), ({"Engine": "valkey", "EngineVersion": "8.1"}, "9.1")],
    ids=["redis-7.0-to-8.1", "redis-7.0-to-9.1", "8.1-to-9.1"],
)
@pytest.mark.parametrize(
    "shape",
    [{"NumCacheClusters": 3}, {"NumCacheClusters": 1, "AutomaticFailoverEnabled": False}, {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1}],
    ids=["three", "alone", "shards"],
)
def test_an_engine_is_upgraded_under_writes(create: Callable[..., Group], former: Any, wanted: str, shape: Any) -> None:
    group = create(**shape, **former)
    before = endpoints(group)
    assert versions(group) == {former["EngineVersion"]}
    with Writer(group.connect, replicas=0) as writer:
        group.client.modify_replication_group(
            ReplicationGroupId=group.name, Engine="valkey", EngineVersion=wanted, ApplyImmediately=True
        )
        wait_until(lambda: group.seen()["Status"] == "available", within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    assert versions(group) == {wanted}
    assert endpoints(group) == before
    member = describe_cache_cluster(group.client, group.seen()["MemberClusters"][0])
    assert (group.seen()["Engine"], member["Engine"], member["EngineVersion"]) == ("valkey", "valkey", f"{wanted}.0")
    family = f"default.valkey{wanted[0]}" + (".cluster.on" if "NumNodeGroups" in shape else "")
    assert member["CacheParameterGroup"]["CacheParameterGroupName"] == family


def test_a_major_upgrade_needs_a_parameter_group_of_its_family_where_there_is_an_own(create: Callable[..., Group], elasticache: Any) -> None:
    own = {version: new_name("p") for version in ("valkey8", "valkey9")}
    for family, name in own.items():
        elasticache.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="d")
    group = create(NumCacheClusters=2, EngineVersion="8.1", CacheParameterGroupName=own["valkey8"])
    ask = {"ReplicationGroupId": group.name, "EngineVersion": "9.1", "ApplyImmediately": True}
    refused(lambda: elasticache.modify_replication_group(**ask), COMBINATION, own["valkey8"], "valkey9")
    refused(lambda: elasticache.modify_replication_group(**ask, CacheParameterGroupName=own["valkey8"]), COMBINATION, "valkey9")
    elasticache.modify_replication_group(**ask, CacheParameterGroupName=own["valkey9"])
    wait_until(lambda: group.seen()["Status"] == "available", within=30)
    assert versions(group) == {"9.1"}
    elasticache.delete_cache_parameter_group(CacheParameterGroupName=own["valkey8"])


# ---- stand-alone cache clusters


def test_a_stand_alone_redis_moves_and_loses_nothing(elasticache: Any) -> None:
    name = new_name("s")
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="redis", EngineVersion="7.0", CacheNodeType=SMALL)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    (node,) = describe_cache_cluster(elasticache, name)["CacheNodes"]
    at = node["Endpoint"]
    with Writer(lambda: redis.Redis(at["Address"], at["Port"], decode_responses=True, socket_timeout=5), replicas=0) as writer:
        elasticache.modify_cache_cluster(CacheClusterId=name, CacheNodeType=LARGE, ApplyImmediately=True)
        wait_until(lambda: describe_cache_cluster(elasticache, name)["CacheClusterStatus"] == "available", within=60, every=0.02)
        writer.go_on_for(50)
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    after = describe_cache_cluster(elasticache, name)
    assert (after["CacheNodeType"], after["CacheNodes"][0]["Endpoint"], after["NumCacheNodes"]) == (LARGE, at, 1)
    with connected(at) as engine:
        assert int(engine.config_get("maxmemory")["maxmemory"]) == LIMITS[LARGE]


def test_memcached_moves_node_by_node_and_is_empty_then(elasticache: Any) -> None:
    name = new_name("s")
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", NumCacheNodes=2, CacheNodeType=SMALL)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    before = describe_cache_cluster(elasticache, name)
    at = before["CacheNodes"][0]["Endpoint"]
    with memcache(at) as client:
        client.set("a", "1")
        former = int(client.stats()[b"limit_maxbytes"])
    ask = {"CacheClusterId": name, "ApplyImmediately": True}
    refused(lambda: elasticache.modify_cache_cluster(**ask, ScaleConfig={"ScalePercentage": 10}), COMBINATION, "ScaleConfig")
    elasticache.modify_cache_cluster(**ask, CacheNodeType=LARGE, ScaleConfig={"ScalePercentage": 50})
    wait_until(lambda: describe_cache_cluster(elasticache, name)["CacheClusterStatus"] == "available", within=60)
    after = describe_cache_cluster(elasticache, name)
    assert [node["Endpoint"] for node in after["CacheNodes"]] == [node["Endpoint"] for node in before["CacheNodes"]]
    assert after["ConfigurationEndpoint"] == before["ConfigurationEndpoint"]
    assert after["CacheNodeType"] == LARGE
    with memcache(at) as client:
        assert client.get("a") is None
        assert int(client.stats()[b"limit_maxbytes"]) > former


# ---- faults in the middle


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5])
def test_a_primary_that_crashes_in_the_middle_is_replaced_and_all_is_made_anew(create: Callable[..., Group], after: float) -> None:
    group = create()
    with Writer(group.connect, replicas=2) as writer:
        scale(group, LARGE)
        let_pass(after)
        group.kill(group.primary()["node"])
        wait_until(lambda: group.seen()["Status"] == "available" and group.seen()["CacheNodeType"] == LARGE, within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    assert writer.lost(writer.everywhere) == [], "what all replicas had is lost"
    assert limits(group) == {LIMITS[LARGE]}


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.3])
def test_a_server_that_is_killed_in_the_middle_goes_on_when_it_is_back(tmp_path: Path, after: float) -> None:
    server = Server(tmp_path / "data")
    try:
        server.start()
        server.create(CacheNodeType=SMALL, NumCacheClusters=2)
        place = server.available()["NodeGroups"][0]["PrimaryEndpoint"]

        def connect() -> Any:
            return redis.Redis(place["Address"], place["Port"], decode_responses=True, socket_timeout=5)

        with Writer(connect, replicas=0) as writer:
            server.api().modify_replication_group(ReplicationGroupId="orders", CacheNodeType=LARGE, ApplyImmediately=True)
            let_pass(after)
            server.end(signal.SIGKILL)
            server.start()
            wait_until(lambda: server.group()["Status"] == "available", within=60, every=0.05)
            writer.go_on_for(50)
        assert server.group()["CacheNodeType"] == LARGE
        assert writer.lost(writer.acknowledged) == []
        for member in server.group()["NodeGroups"][0]["NodeGroupMembers"]:
            with connected(member["ReadEndpoint"]) as engine:
                assert int(engine.config_get("maxmemory")["maxmemory"]) == LIMITS[LARGE]
        assert len(server.engines()) == 2
    finally:
        server.clear()
