"""Nodes of a cache are made anew under writes: another node type, nothing acknowledged lost, every endpoint where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bus import engine_at
from caches import describe_cache_cluster, new_account, new_name, remove_everything
from groups import Group
from waiting import wait_until
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
        {"NumCacheClusters": 3}, {"NumCacheClusters": 1, "AutomaticFailoverEnabled": False}, {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
        {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0},
    ],
    ids=["disabled", "alone", "shards", "shards-alone"],
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
    print("longest", writer.longest)
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
