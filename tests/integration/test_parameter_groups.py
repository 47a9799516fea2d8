"""Parameter groups through an unmodified boto3: what is set in them is what real engines run with, whatever happens to these."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from botocore.exceptions import ClientError
from waiting import wait_until

from cachewright import LocalServer, local_server

VALUE, COMBINATION, STATE = "InvalidParameterValue", "InvalidParameterCombination", "InvalidCacheParameterGroupState"
ENGINES = [("valkey", "9.1", "valkey9"), ("valkey", "8.1", "valkey8"), ("redis", "7.0", "redis7")]
IDS = [family for _, _, family in ENGINES]
SOON = 1.0  # seconds


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return str(uuid.uuid4().int)[:12]


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    """A client of the module's account; what is in it goes with the server."""
    return server.client(account_id=account)


def new_parameters(client: Any, family: str, **values: str) -> str:
    name = f"p{uuid.uuid4().hex[:8]}"
    client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="d")
    if values:
        modify(client, name, **values)
    return name


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterName": name.replace("_", "-"), "ParameterValue": value} for name, value in values.items()]


def modify(client: Any, group: str, **values: str) -> None:
    client.modify_cache_parameter_group(CacheParameterGroupName=group, ParameterNameValues=pairs(values))


def set_items(client: Any, group: str, values: dict[str, str]) -> None:
    """Set parameters of memcached, whose names have underscores."""
    asked = [{"ParameterName": name, "ParameterValue": value} for name, value in values.items()]
    client.modify_cache_parameter_group(CacheParameterGroupName=group, ParameterNameValues=asked)


def new_group(client: Any, nodes: int = 2, name: str = "", **wanted: Any) -> str:
    """An available replication group."""
    name = name or f"g{uuid.uuid4().hex[:8]}"
    asked = {"Engine": "valkey", "EngineVersion": "8.1", "AutomaticFailoverEnabled": nodes > 1, **wanted}
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", NumCacheClusters=nodes, **asked)
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    return name


def members(client: Any, group: str) -> list[Any]:
    shown = client.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    return [each for each in shown if each.get("ReplicationGroupId") == group or each["CacheClusterId"] == group]


@contextmanager
def connected(client: Any, *groups: str) -> Iterator[list[redis.Redis]]:
    """One connection to every node of the groups, kept open."""
    places = [each["CacheNodes"][0]["Endpoint"] for group in groups for each in members(client, group)]
    engines = [redis.Redis(place["Address"], place["Port"], decode_responses=True, single_connection_client=True) for place in places]
    yield engines
    for engine in engines:
        engine.close()


def values_in(engines: list[redis.Redis], name: str) -> set[str]:
    return {engine.config_get(name)[name] for engine in engines}


def have(engines: list[redis.Redis], name: str, value: str) -> None:
    """Wait until every engine has the value, which is soon."""
    wait_until(lambda: values_in(engines, name) == {value}, within=SOON)


def statuses(client: Any, group: str) -> set[str]:
    return {each["CacheParameterGroup"]["ParameterApplyStatus"] for each in members(client, group)}


def in_sync(client: Any, *groups: str) -> None:
    """Wait until every node runs with what is desired."""
    wait_until(lambda: all(statuses(client, group) == {"in-sync"} for group in groups))


def user_values(client: Any, group: str) -> dict[str, str]:
    """What Terraform reads back."""
    pages = client.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=group, Source="user")
    return {each["ParameterName"]: each["ParameterValue"] for page in pages for each in page["Parameters"]}


def refused(code: str, words: str, call: Any, **asked: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**asked)
    error = raised.value.response["Error"]
    assert error["Code"] == code, error
    assert words in error["Message"], error


def nodes_of(server: LocalServer, account: str, group: str) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/v1/nodes", params={"replication_group_id": group}, headers={"X-Account-Id": account})
    return {each["node"]: each for each in answer.json()["nodes"]}


# ---- the values reach the engines


@pytest.mark.parametrize(("engine", "version", "family"), ENGINES, ids=IDS)
def test_a_value_reaches_every_node_of_every_group_at_once_and_clients_stay(
    elasticache: Any, engine: str, version: str, family: str
) -> None:
    parameters = new_parameters(elasticache, family, timeout="300")
    wanted = {"Engine": engine, "EngineVersion": version, "CacheParameterGroupName": parameters}
    groups = [new_group(elasticache, nodes, **wanted) for nodes in (3, 1)]
    untouched = new_group(elasticache, 1, Engine=engine, EngineVersion=version)
    with connected(elasticache, *groups) as engines, connected(elasticache, untouched) as others:
        assert values_in(engines, "timeout") == {"300"}  # what was set before they were created
        clients, runs = [each.client_id() for each in engines], [each.info("server")["run_id"] for each in engines]
        began = time.monotonic()
        modify(elasticache, parameters, maxmemory_policy="allkeys-lru", notify_keyspace_events="Kx")
        have(engines, "maxmemory-policy", "allkeys-lru")
        have(engines, "notify-keyspace-events", "xK")
        print(f"{family}: at every node after {1000 * (time.monotonic() - began):.0f} ms")
        in_sync(elasticache, *groups)
        assert [each.client_id() for each in engines] == clients
        assert [each.info("server")["run_id"] for each in engines] == runs
        assert values_in(others, "maxmemory-policy") == {"volatile-lru"}
        elasticache.reset_cache_parameter_group(CacheParameterGroupName=parameters, ResetAllParameters=True)
        have(engines, "notify-keyspace-events", "")
        have(engines, "maxmemory-policy", "volatile-lru")
        have(engines, "timeout", "0")
        in_sync(elasticache, *groups)
    assert user_values(elasticache, parameters) == {}
    assert {each["CacheClusterStatus"] for group in groups for each in members(elasticache, group)} == {"available"}


def test_what_a_value_says_the_engine_does(elasticache: Any) -> None:
    parameters = new_parameters(elasticache, "valkey8")
    group = new_group(elasticache, 2, CacheParameterGroupName=parameters)
    primary = elasticache.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(primary["Address"], primary["Port"], decode_responses=True) as engine:
        heard = engine.pubsub(ignore_subscribe_messages=True)
        heard.psubscribe("__keyspace@0__:*")
        assert heard.get_message(timeout=2) is None
        engine.set("silent", "1")
        modify(elasticache, parameters, notify_keyspace_events="K$")
        in_sync(elasticache, group)
        engine.set("loud", "1")
        message = wait_until(lambda: heard.get_message(timeout=1))
        assert (message["channel"], message["data"]) == ("__keyspace@0__:loud", "set")
        modify(elasticache, parameters, min_replicas_to_write="2")
        in_sync(elasticache, group)
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            engine.set("refused", "1")
        heard.close()


def test_what_is_reserved_is_not_for_data(elasticache: Any) -> None:
    parameters = new_parameters(elasticache, "valkey8")
    group = new_group(elasticache, 2, CacheParameterGroupName=parameters, CacheNodeType="cache.t4g.small")
    most = 1471026299
    with connected(elasticache, group) as engines:
        assert values_in(engines, "maxmemory") == {str(most * 75 // 100)}
        for values, memory in (
            ({"reserved-memory-percent": "0"}, most),
            ({"reserved-memory-percent": "50"}, most // 2),
            ({"reserved-memory": "1000000"}, most - 1000000),
            ({"reserved-memory-percent": "25"}, most * 75 // 100),
        ):
            modify(elasticache, parameters, **values)
            have(engines, "maxmemory", str(memory))
    in_sync(elasticache, group)
    refused(VALUE, "Parameter reserved-memory doesn't exist", elasticache.reset_cache_parameter_group,
            CacheParameterGroupName=parameters, ParameterNameValues=pairs({"reserved-memory": "0"}))  # fmt: skip


def test_what_an_engine_refuses_is_told_and_stays_to_be_applied(server: LocalServer, account: str, elasticache: Any) -> None:
    """Every engine that is installed here lacks the allocator that defragmentation needs."""
    parameters = new_parameters(elasticache, "valkey8")
    group = new_group(elasticache, 2, CacheParameterGroupName=parameters)
    modify(elasticache, parameters, activedefrag="yes", timeout="60")
    problems = wait_until(lambda: [each["problem"] for each in nodes_of(server, account, group).values() if each.get("problem")][1:])
    assert problems[0].startswith("it refuses activedefrag yes: ")
    with connected(elasticache, group) as engines:
        assert values_in(engines, "timeout") == {"60"}
    assert statuses(elasticache, group) == {"applying"}
    os.kill(nodes_of(server, account, group)[f"{group}-002"]["process_id"], signal.SIGKILL)  # it starts again all the same
    wait_until(lambda: nodes_of(server, account, group)[f"{group}-002"]["boot"] == 2)
    wait_until(lambda: nodes_of(server, account, group)[f"{group}-002"]["in_sync"])
    wait_until(lambda: nodes_of(server, account, group)[f"{group}-002"].get("problem"))
    elasticache.reset_cache_parameter_group(CacheParameterGroupName=parameters, ParameterNameValues=pairs({"activedefrag": "yes"}))
    in_sync(elasticache, group)
    wait_until(lambda: not any(each.get("problem") for each in nodes_of(server, account, group).values()))


# ---- and stay there


@pytest.mark.parametrize("lost", ["primary", "replica"])
def test_a_node_that_was_killed_is_rebuilt_with_the_values(server: LocalServer, account: str, elasticache: Any, lost: str) -> None:
    parameters = new_parameters(elasticache, "valkey8")
    group = new_group(elasticache, 2, CacheParameterGroupName=parameters)
    modify(elasticache, parameters, maxmemory_policy="allkeys-lru")
    in_sync(elasticache, group)
    victim = next(node for node, shown in nodes_of(server, account, group).items() if shown["role"] == lost)
    os.kill(nodes_of(server, account, group)[victim]["process_id"], signal.SIGKILL)
    wait_until(lambda: (now := nodes_of(server, account, group)[victim])["boot"] == 2 and now["in_sync"])
    with connected(elasticache, group) as engines:
        assert values_in(engines, "maxmemory-policy") == {"allkeys-lru"}
    in_sync(elasticache, group)


def test_values_outlive_a_server_that_is_killed_and_reach_engines_that_its_successor_adopts(tmp_path: Path) -> None:
    with local_server(data_dir=tmp_path / "data") as first:
        client = first.client()
        parameters = new_parameters(client, "valkey8", maxmemory_policy="allkeys-lru")
        group = new_group(client, 2, "orders", CacheParameterGroupName=parameters)
        items = new_parameters(client, "memcached1.6")
        client.create_cache_cluster(CacheClusterId="sessions", Engine="memcached", CacheParameterGroupName=items)
        client.get_waiter("cache_cluster_available").wait(CacheClusterId="sessions")
        set_items(client, items, {"max_item_size": "2097152"})
        with connected(client, group) as engines:
            runs = [each.info("server")["run_id"] for each in engines]
        modify(client, parameters, timeout="77")
        os.kill(first.pid, signal.SIGKILL)
    with local_server(data_dir=tmp_path / "data") as second:
        client = second.client()
        with connected(client, group) as engines:
            wait_until(lambda: values_in(engines, "timeout") == {"77"})
            assert values_in(engines, "maxmemory-policy") == {"allkeys-lru"}
            modify(client, parameters, timeout="88")
            have(engines, "timeout", "88")
            in_sync(client, group)
            assert [each.info("server")["run_id"] for each in engines] == runs
        assert user_values(client, parameters) == {"maxmemory-policy": "allkeys-lru", "timeout": "88"}
        assert statuses(client, "sessions") == {"pending-reboot"}  # its engine still runs with the flags it was started with


def test_a_server_that_was_stopped_in_order_comes_back_with_the_values(tmp_path: Path) -> None:
    with local_server(data_dir=tmp_path / "data") as first:
        client = first.client()
        parameters = new_parameters(client, "valkey8")
        group = new_group(client, 2, "orders", CacheParameterGroupName=parameters)
        modify(client, parameters, timeout="77")
    with local_server(data_dir=tmp_path / "data") as second:
        client = second.client()
        client.get_waiter("replication_group_available").wait(ReplicationGroupId=group)
        with connected(client, group) as engines:
            assert values_in(engines, "timeout") == {"77"}
        in_sync(client, group)


# ---- memcached, whose parameters are written with underscores


def settings_of(node: Any) -> dict[str, str]:
    """What the server itself says it runs with, word for word."""
    place = node["Endpoint"]["Address"], node["Endpoint"]["Port"]
    with socket.create_connection(place, timeout=5) as connection, connection.makefile("rw", newline="\r\n") as lines:
        lines.write("stats settings\n")
        lines.flush()
        said = iter(lambda: lines.readline().split(), ["END"])
        return {words[1]: words[2] for words in said if len(words) == 3}


def test_memcached_waits_for_its_reboot(elasticache: Any) -> None:
    parameters, name = new_parameters(elasticache, "memcached1.6"), f"c{uuid.uuid4().hex[:8]}"
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", NumCacheNodes=2, CacheParameterGroupName=parameters)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)

    def shown() -> Any:
        return elasticache.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]

    before = settings_of(shown()["CacheNodes"][0])
    assert (before["item_size_max"], before["lru_crawler"], before["slab_reassign"], before["hash_algorithm"]) == (
        "1048576", "no", "no", "jenkins")  # fmt: skip
    changed = {"max_item_size": "2097152", "lru_crawler": "1", "hash_algorithm": "murmur3", "slab_chunk_max": "262144",
               "idle_timeout": "600", "error_on_memory_exhausted": "1", "memcached_connections_overhead": "200"}  # fmt: skip
    set_items(elasticache, parameters, changed)
    wait_until(lambda: shown()["CacheParameterGroup"]["ParameterApplyStatus"] == "pending-reboot")
    assert shown()["CacheParameterGroup"]["CacheNodeIdsToReboot"] == ["0001", "0002"]
    assert [node["ParameterGroupStatus"] for node in shown()["CacheNodes"]] == ["pending-reboot"] * 2
    assert settings_of(shown()["CacheNodes"][0]) == before
    elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0002"])
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    assert shown()["CacheParameterGroup"]["CacheNodeIdsToReboot"] == ["0001"]
    assert [node["ParameterGroupStatus"] for node in shown()["CacheNodes"]] == ["pending-reboot", "in-sync"]
    after = settings_of(shown()["CacheNodes"][1])
    expected = {"item_size_max": "2097152", "lru_crawler": "yes", "hash_algorithm": "murmur3", "slab_chunk_max": "262144",
                "idle_timeout": "600", "evictions": "off", "maxbytes": str((1402 - 200) * 2**20)}  # fmt: skip
    assert {setting: after[setting] for setting in expected} == expected
    elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0001"])
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    assert shown()["CacheParameterGroup"] == {
        "CacheParameterGroupName": parameters, "ParameterApplyStatus": "in-sync", "CacheNodeIdsToReboot": []}  # fmt: skip


def test_memcached_starts_with_everything_that_may_be_set(elasticache: Any) -> None:
    parameters, name = new_parameters(elasticache, "memcached1.6"), f"c{uuid.uuid4().hex[:8]}"
    values = {
        "binding_protocol": "ascii", "cas_disabled": "1", "chunk_size": "96", "chunk_size_growth_factor": "1.5", "disable_flush_all": "1",
        "error_on_memory_exhausted": "1", "hash_algorithm": "murmur3", "idle_timeout": "600", "lru_crawler": "1", "lru_maintainer": "1",
        "max_item_size": "4194304", "maxconns_fast": "1", "memcached_connections_overhead": "200", "no_modern": "0", "slab_automove": "2",
        "slab_chunk_max": "131072", "slab_reassign": "1", "track_sizes": "1", "watcher_logbuf_size": "512",
    }  # fmt: skip
    set_items(elasticache, parameters, values)
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", CacheParameterGroupName=parameters)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    shown = elasticache.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]
    found = settings_of(shown["CacheNodes"][0])
    expected = {
        "binding_protocol": "ascii", "cas_enabled": "no", "chunk_size": "96", "growth_factor": "1.50", "flush_enabled": "no",
        "evictions": "off", "hash_algorithm": "murmur3", "idle_timeout": "600", "lru_crawler": "yes", "lru_maintainer_thread": "yes",
        "item_size_max": "4194304", "maxconns_fast": "yes", "slab_automove": "2", "slab_chunk_max": "131072", "slab_reassign": "yes",
        "track_sizes": "yes", "watcher_logbuf_size": str(512 * 1024),
    }  # fmt: skip
    assert {setting: found[setting] for setting in expected} == expected


# ---- which group a cache uses


def test_a_cache_switches_to_another_group_of_its_family(elasticache: Any) -> None:
    one, two = new_parameters(elasticache, "valkey8", timeout="60"), new_parameters(elasticache, "valkey8", timeout="90")
    fewer, other = new_parameters(elasticache, "valkey8", databases="4"), new_parameters(elasticache, "valkey9")
    group = new_group(elasticache, 2, CacheParameterGroupName=one)
    with connected(elasticache, group) as engines:
        assert values_in(engines, "timeout") == {"60"}
        for named, value in ((two, "90"), ("default.valkey8", "0"), (one, "60")):
            elasticache.modify_replication_group(ReplicationGroupId=group, CacheParameterGroupName=named, ApplyImmediately=False)
            have(engines, "timeout", value)
            elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=group)
            assert {each["CacheParameterGroup"]["CacheParameterGroupName"] for each in members(elasticache, group)} == {named}
    for named, words in ((fewer, "databases is 16 in"), (other, "Expected a parameter group of family valkey8")):
        refused(COMBINATION, words, elasticache.modify_replication_group, ReplicationGroupId=group, CacheParameterGroupName=named)
    messages = [each["Message"] for each in elasticache.describe_events(SourceType="cache-cluster", SourceIdentifier=f"{group}-001")["Events"]]
    assert f"Updated to use a CacheParameterGroup {two}" in messages
    refused(STATE, f"One or more cache clusters are still members of this parameter group {one}, so the group cannot be deleted.",
            elasticache.delete_cache_parameter_group, CacheParameterGroupName=one)  # fmt: skip
    elasticache.delete_cache_parameter_group(CacheParameterGroupName=two)
    fresh = new_group(elasticache, 1, CacheParameterGroupName=fewer)
    with connected(elasticache, fresh) as engines:
        assert values_in(engines, "databases") == {"4"}
    refused(STATE, "databases cannot be modified while a cache uses", elasticache.modify_cache_parameter_group,
            CacheParameterGroupName=fewer, ParameterNameValues=pairs({"databases": "8"}))  # fmt: skip


def test_a_group_for_cluster_mode_reaches_every_shard(elasticache: Any) -> None:
    made = {"cluster-enabled": "yes", "cluster-databases": "4", "timeout": "60"}
    one, two = new_parameters(elasticache, "valkey9", **made), new_parameters(elasticache, "valkey9", **{**made, "timeout": "90"})
    group = f"g{uuid.uuid4().hex[:8]}"
    elasticache.create_replication_group(
        ReplicationGroupId=group, ReplicationGroupDescription="d", Engine="valkey", EngineVersion="9.1", NumNodeGroups=2,
        ReplicasPerNodeGroup=1, CacheParameterGroupName=one)  # fmt: skip
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=group)
    shown = elasticache.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]
    assert (shown["ClusterEnabled"], len(shown["NodeGroups"])) == (True, 2)
    with connected(elasticache, group) as engines:
        assert len(engines) == 4
        assert values_in(engines, "cluster-enabled") == {"yes"}
        assert values_in(engines, "cluster-databases") == {"4"}
        assert values_in(engines, "timeout") == {"60"}
        modify(elasticache, one, cluster_require_full_coverage="yes", timeout="75")
        have(engines, "cluster-require-full-coverage", "yes")
        have(engines, "timeout", "75")
        in_sync(elasticache, group)
        elasticache.modify_replication_group(ReplicationGroupId=group, CacheParameterGroupName=two)
        have(engines, "timeout", "90")
        have(engines, "cluster-require-full-coverage", "no")
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=group)
        in_sync(elasticache, group)
    for named, words in (("default.valkey9", "cluster-databases is 4 in"), ("default.valkey9.cluster.on", "cluster-databases is 4 in")):
        refused(COMBINATION, words, elasticache.modify_replication_group, ReplicationGroupId=group, CacheParameterGroupName=named)
    refused(STATE, "cluster-enabled cannot be modified while a cache uses", elasticache.modify_cache_parameter_group,
            CacheParameterGroupName=two, ParameterNameValues=pairs({"cluster-enabled": "no"}))  # fmt: skip


# ---- what Terraform does


def not_the_default(parameter: Any) -> str:
    """Another value than the default, where the service's own words name one that can be had here."""
    present = parameter.get("ParameterValue", "")
    only_default = ("rename-commands", "search-", "lua-", "activedefrag")
    if parameter["ParameterName"].startswith(only_default):
        return present
    if parameter["ParameterName"] == "notify-keyspace-events":
        return "Ex"
    if parameter["DataType"] == "integer":
        lowest, _, highest = parameter["AllowedValues"].rpartition(",")[2].rpartition("-")
        steps = (2**20,) if "output-buffer" in parameter["ParameterName"] else (1, 20, -1)
        possible = (str(int(present) + more) for more in steps)
        return next(each for each in possible if int(lowest or -9) <= int(each) <= int(highest or 2**31))
    return next((word for word in parameter["AllowedValues"].split(",") if word != present), present)


@pytest.mark.parametrize(("engine", "version", "family"), ENGINES, ids=IDS)
def test_the_sequence_of_terraform_with_every_parameter_on_running_engines(elasticache: Any, engine: str, version: str, family: str) -> None:
    name = f"tf-{uuid.uuid4().hex[:8]}"
    created = elasticache.create_cache_parameter_group(
        CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="Managed by Terraform", Tags=[{"Key": "a", "Value": "b"}]
    )["CacheParameterGroup"]
    group = new_group(elasticache, 2, Engine=engine, EngineVersion=version, CacheParameterGroupName=name)
    pages = elasticache.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=name)
    fixed = ("databases", "cluster-enabled", "cluster-databases", "activerehashing")  # not of a group that is used
    every = [each for page in pages for each in page["Parameters"] if each["IsModifiable"] and each["ParameterName"] not in fixed]
    wanted = {each["ParameterName"]: not_the_default(each) for each in every}
    wanted = {parameter: value for parameter, value in wanted.items() if value}
    asked = [{"ParameterName": parameter, "ParameterValue": value} for parameter, value in wanted.items()]
    for start in range(0, len(asked), 20):
        elasticache.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=asked[start : start + 20])
    assert user_values(elasticache, name) == wanted
    assert len(wanted) > 40
    in_sync(elasticache, group)
    shown = elasticache.describe_cache_parameter_groups(CacheParameterGroupName=name)["CacheParameterGroups"]
    assert shown == [created]
    assert elasticache.list_tags_for_resource(ResourceName=created["ARN"])["TagList"] == [{"Key": "a", "Value": "b"}]
    removed = asked[: len(asked) // 2]
    for start in range(0, len(removed), 20):
        elasticache.reset_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=removed[start : start + 20])
    modify(elasticache, name, timeout="123")
    left = {each["ParameterName"]: each["ParameterValue"] for each in asked[len(removed) :]} | {"timeout": "123"}
    assert user_values(elasticache, name) == left
    in_sync(elasticache, group)
    with connected(elasticache, group) as engines:
        assert values_in(engines, "timeout") == {"123"}
        engines[0].set("still", "serves")
    elasticache.delete_replication_group(ReplicationGroupId=group)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=group)
    elasticache.delete_cache_parameter_group(CacheParameterGroupName=name)
    refused("CacheParameterGroupNotFound", name, elasticache.describe_cache_parameter_groups, CacheParameterGroupName=name)


# ---- the other door


def test_rest_does_the_same(server: LocalServer, account: str) -> None:
    with httpx.Client(base_url=f"{server.url}/v1", headers={"X-Account-Id": account}) as rest:
        name = f"r{uuid.uuid4().hex[:8]}"
        body = {"cache_parameter_group_name": name, "cache_parameter_group_family": "valkey9", "description": "d"}
        assert rest.post("/parameter-groups", json=body).status_code in (200, 201)
        values = [{"parameter_name": "timeout", "parameter_value": "60"}]
        assert rest.patch(f"/parameter-groups/{name}", json={"parameter_name_values": values}).json() == {"cache_parameter_group_name": name}
        shown = rest.get(f"/parameter-groups/{name}/parameters", params={"source": "user"}).json()["parameters"]
        assert [(each["parameter_name"], each["parameter_value"], each["source"]) for each in shown] == [("timeout", "60", "user")]
        assert rest.post(f"/parameter-groups/{name}/reset", json={"reset_all_parameters": True}).status_code == 200
        assert rest.get(f"/parameter-groups/{name}/parameters", params={"source": "user"}).json()["parameters"] == []
        refusal = rest.patch("/parameter-groups/default.valkey9", json={"parameter_name_values": values})
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (400, STATE)
        assert rest.delete(f"/parameter-groups/{name}").status_code in (200, 204)
        assert rest.get("/parameter-groups", params={"cache_parameter_group_name": name}).status_code == 404
