"""Metrics of real engines: known traffic in, and what each metric says of it, through REST, Prometheus and the lab client."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from botocore.exceptions import ClientError
from caches import connected, memcache, new_account, new_name
from deployment import ZONES, Deployment
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from agents.metrics.command_families import families_of
from api_schemas.metric import METRICS
from cachewright import LocalServer

ENGINES = {"valkey 9.1": ("valkey", "9.1"), "valkey 8.1": ("valkey", "8.1"), "redis 7.0": ("redis", "7.1")}
Values = dict[str, float]


@dataclass
class Watched:
    """A cache, who made it, and how it is looked at."""

    server: LocalServer
    account: str
    name: str
    client: Any

    @property
    def lab(self) -> Any:
        return self.server.client("lab", account_id=self.account)

    def nodes(self, **asked: Any) -> dict[str, Any]:
        return {f"{node['CacheClusterId']}/{node['CacheNodeId']}": node for node in self.lab.describe_metrics(**asked)["Nodes"]}

    def node(self, number: int = 1, **asked: Any) -> Any:
        return self.nodes(**asked)[f"{self.name}-{number:03d}/0001"]

    def values(self, number: int = 1, **asked: Any) -> Values:
        return self.node(number, **asked).get("Now", {}).get("Values", {})  # type: ignore[no-any-return]

    def endpoint(self) -> Any:
        return self.client.describe_replication_groups(ReplicationGroupId=self.name)["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]

    def processes(self) -> dict[str, int]:
        return {node["Node"]: node.get("ProcessId", 0) for node in self.lab.describe_nodes()["Nodes"]}

    def series(self) -> dict[tuple[str, str, str], float]:
        """What Prometheus reads of this cache: by the name of the series, the cache cluster and the node."""
        answer = httpx.get(f"{self.server.url}/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
        mine = [sample for sample in samples if sample.labels.get("account") == self.account]
        found = {(sample.name, sample.labels["cache_cluster_id"], sample.labels["cache_node_id"]): sample.value for sample in mine}
        assert len(found) == len(mine)
        return found


@pytest.fixture
def make(server: LocalServer) -> Iterator[Callable[..., Watched]]:
    """Makes replication groups of two nodes, each in an account of its own, and deletes them when the test is over."""
    with ExitStack() as after:

        def ask(engine: str = "valkey 8.1", **fields: Any) -> Watched:
            account, name = new_account(), new_name("m")
            client = server.client(account_id=account)
            kind, version = ENGINES[engine]
            asked = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "Engine": kind, "EngineVersion": version, **fields}
            client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **asked)
            after.callback(client.delete_replication_group, ReplicationGroupId=name)
            client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
            return Watched(server, account, name, client)

        yield ask


def rise(before: Values, after: Values, *names: str) -> dict[str, float]:
    """By how much metrics rose: those of a process younger than a minute count from its start."""
    return {name: after.get(name, 0) - before.get(name, 0) for name in names}


@pytest.mark.parametrize("engine", ENGINES)
def test_known_traffic_is_what_the_metrics_say(make: Callable[..., Watched], engine: str) -> None:
    watched = make(engine)
    before = wait_until(watched.values)
    with connected(watched.endpoint()) as client:
        for number in range(5):
            client.set(f"key-{number}", "x", ex=100 if number < 2 else None)
        assert [client.get(f"key-{number}") for number in range(3, 7)] == ["x", "x", None, None]
        client.hset("hash", "field", "1")
        client.rpush("list", "1", "2", "3")
        client.lrange("list", 0, -1)
        client.zadd("zset", {"a": 1, "b": 2})
        client.sadd("set", "a")
        client.pfadd("log", "a")
        client.geoadd("geo", (13.3, 38.1, "a"))
        client.xadd("stream", {"a": 1})
        client.setbit("bits", 7, 1)
        client.eval("return 1", 0)
        client.delete("bits")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.incr("list")
        client.set("gone", "x", px=1)

        after = wait_until(lambda: found if (found := watched.values()).get("Reclaimed") == 1 else None)
        wanted = {
            "CacheHits": 3, "CacheMisses": 2, "Reclaimed": 1, "Evictions": 0, "CurrItems": 12,
            "HashBasedCmds": 1, "ListBasedCmds": 2, "SortedSetBasedCmds": 1, "SetBasedCmds": 1, "HyperLogLogBasedCmds": 1,
            "GeoSpatialBasedCmds": 1, "StreamBasedCmds": 1, "EvalBasedCmds": 1, "KeyBasedCmds": 1, "GetTypeCmds": 5, "StringBasedCmds": 12,
        }  # fmt: skip
        assert rise(before, after, *wanted) == wanted
        told = client.info("stats")
        assert (after["ErrorCount"], after["NewConnections"]) == (told["total_error_replies"], told["total_connections_received"])
        assert after["ErrorCount"] > before["ErrorCount"] and after["NewConnections"] > before["NewConnections"]
        assert after["CacheHitRate"] == 60
        assert after["CurrVolatileItems"] == 2
        assert 90_000 < after["DB0AverageTTL"] <= 100_000
        assert (after["IsMaster"], after["IsPrimary"], after["SaveInProgress"]) == (1, 1, 0)
        assert 0 < after["DatabaseMemoryUsagePercentage"] < 5
        assert after["BytesUsedForCache"] > 500_000
        assert after["GetTypeCmdsLatency"] > 0 and after["EvalBasedCmdsLatency"] > 0
        assert 0 < after["EngineCPUUtilization"] < 100 and 0 < after["CPUUtilization"] < 100
        assert after["NetworkBytesIn"] > 500 and after["NetworkBytesOut"] > 500
        assert after["FreeableMemory"] > 100_000_000 and after["SwapUsage"] >= 0
        assert not {"ReplicationLag", "MasterLinkHealthStatus"} & after.keys()
        _its_commands_are_in_the_table(client)

    wait_until(lambda: watched.values().get("ReplicationBytes", 0) > 0)
    replica = watched.values(2)
    assert (replica["IsPrimary"], replica["PrimaryLinkHealthStatus"], replica["ReplicationLag"]) == (0, 1, 0)
    assert (replica["CurrItems"], replica["CacheHits"]) == (12, 0)
    shown = watched.lab.describe_metrics(ReplicationGroupId=watched.name, Metric="CacheHits")
    assert shown["Units"] == {"CacheHits": "Count"}
    assert [list(node["Now"]["Values"]) for node in shown["Nodes"]] == [["CacheHits"], ["CacheHits"]]

    series, first = watched.series(), (f"{watched.name}-001", "0001")
    assert series["cachewright_cache_hits_total", *first] == after["CacheHits"]
    assert series["cachewright_curr_items", *first] == 12
    assert series["cachewright_is_primary", *first] == 1
    assert series["cachewright_node_measured", *first] == 1
    assert series["cachewright_get_type_cmds_latency_seconds_total", *first] == pytest.approx(
        after["GetTypeCmdsLatency"] * after["GetTypeCmds"] / 1e6, rel=0.01
    )
    assert series["cachewright_engine_cpu_seconds_total", *first] > 0
    named = {metric.series for metric in METRICS["valkey"].values()}
    ours = {name for name, *_ in series} - {"cachewright_node_measured", "cachewright_node_sample_age_seconds"}
    assert ours <= named


def _its_commands_are_in_the_table(client: redis.Redis) -> None:
    """Every command that the engine has is counted, in the families that follow from the engine's own groups and flags."""
    typed = {"geo": "GeoSpatial", "hash": "Hash", "hyperloglog": "HyperLogLog", "list": "List", "set": "Set", "sorted-set": "SortedSet",
             "stream": "Stream", "string": "String", "bitmap": "String"}  # fmt: skip
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("COMMAND", "DOCS")
        documented = _pairs(connection.read_response())
        connection.send_command("COMMAND")
        commands = connection.read_response()
    finally:
        client.connection_pool.release(connection)
    groups = {str(name): _pairs(about)["group"] for name, about in documented.items()}
    assert len(groups) > 200
    for command in [*commands, *(sub for parent in commands if len(parent) > 9 for sub in parent[9])]:
        name, flags = str(command[0]), {str(flag) for flag in command[2]}
        families, group = families_of(name), groups[name.partition("|")[0]]
        assert families, name
        if group in typed:
            assert families[0] == f"{typed[group]}Based", name
            kind = ("SetType",) if "write" in flags else ("GetType",) if "readonly" in flags else ()
            if kind or "|" not in name:
                assert families[1:] == kind, name
        else:
            assert not {"GetType", "SetType"} & set(families), name


def _pairs(answer: Any) -> dict[Any, Any]:
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def test_what_is_evicted_is_counted(make: Callable[..., Watched]) -> None:
    watched = make(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    before = wait_until(watched.values)
    with connected(watched.endpoint()) as client:
        client.config_set("maxmemory", 4_000_000)
        pipe = client.pipeline(transaction=False)
        for number in range(800):
            pipe.set(f"key-{number}", "x" * 10_000, ex=1000)
        pipe.execute()
        evicted = client.info("stats")["evicted_keys"]
    assert evicted > 300
    after = wait_until(lambda: found if (found := watched.values()).get("Evictions") else None)
    assert rise(before, after, "Evictions", "CurrItems") == {"Evictions": evicted, "CurrItems": 800 - evicted}
    assert 60 < after["DatabaseMemoryUsageCountedForEvictPercentage"] <= 100


def test_a_node_that_was_killed_has_no_figures_until_it_is_back_and_then_begins_anew(make: Callable[..., Watched]) -> None:
    watched = make()
    with connected(watched.endpoint()) as client:
        for _ in range(50):
            client.get("nothing")
    wait_until(lambda: watched.values().get("CacheMisses") == 50)
    pid = watched.processes()[f"{watched.name}-001"]
    os.kill(pid, signal.SIGKILL)
    seen: list[Any] = []

    def is_back() -> bool:
        seen.append(watched.node())
        return bool(watched.processes()[f"{watched.name}-001"] not in (0, pid) and watched.values())

    wait_until(is_back, within=20)
    for node in [*seen, watched.node()]:
        assert ("Now" in node) != ("Problem" in node)
        values = node.get("Now", {}).get("Values", {})
        assert values.get("CacheMisses", 0) in (0, 50)
        assert all(value >= 0 for value in values.values())
    wait_until(lambda: watched.values().get("PrimaryLinkHealthStatus") == 1, within=20)
    assert watched.values()["CacheMisses"] == 0
    wait_until(lambda: watched.values(2).get("IsPrimary") == 1)
    assert watched.node(2)["Role"] == "primary"


def test_a_replica_that_hears_nothing_lags_and_a_primary_that_is_busy_has_no_figures(make: Callable[..., Watched]) -> None:
    watched = make()
    wait_until(lambda: watched.values(2).get("ReplicationLag") == 0)
    with connected(watched.endpoint()) as client, connected(watched.endpoint()) as other:
        client.config_set("busy-reply-threshold", 50)

        def keep_busy() -> None:
            with suppress(redis.RedisError):
                client.eval("while true do end", 0)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        try:
            wait_until(lambda: watched.values(2).get("ReplicationLag", 0) >= 2, every=0.1)
            assert "BUSY" in watched.node()["Problem"]
        finally:
            other.script_kill()
            busy.join()
    wait_until(lambda: watched.values(2).get("ReplicationLag") == 0 and watched.values().get("IsPrimary") == 1)


def test_counters_that_somebody_sets_back_never_fall(make: Callable[..., Watched]) -> None:
    watched = make(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    with connected(watched.endpoint()) as client:
        client.get("nothing")
        client.get("nothing")
        wait_until(lambda: watched.values().get("CacheMisses") == 2)
        client.config_resetstat()
        client.get("nothing")
        wait_until(lambda: watched.values().get("CacheMisses") == 3)
    assert watched.series()["cachewright_cache_misses_total", f"{watched.name}-001", "0001"] == 3


def test_what_cannot_be_asked_is_refused(make: Callable[..., Watched], server: LocalServer) -> None:
    watched = make(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    for asked, code, told in (
        ({"Metric": "CacheHit"}, "InvalidParameterValue", "CacheHits"),
        ({"Period": 1}, "InvalidParameterValue", "period"),
        ({"Minutes": 16}, "InvalidParameterValue", "minutes"),
        ({"ReplicationGroupId": "nope"}, "ReplicationGroupNotFoundFault", "nope"),
        ({"CacheClusterId": "nope"}, "CacheClusterNotFound", "nope"),
    ):
        with pytest.raises(ClientError, match=told) as refused:
            watched.lab.describe_metrics(**asked)
        assert refused.value.response["Error"]["Code"] == code
    assert server.client("lab", account_id=new_account()).describe_metrics()["Nodes"] == [], "another account's nodes"
    assert httpx.get(f"{server.url}/metrics", headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("front", [True, False], ids=["with a front", "without"])
def test_memcached(server: LocalServer, front: bool, tmp_path: Path) -> None:
    del tmp_path
    account, name = new_account(), new_name("m")
    client = server.client(account_id=account)
    engine = {"Engine": "memcached", "CacheNodeType": "cache.t3.micro"} if front else {"Engine": "memcached", "EngineVersion": "1.6.6"}
    client.create_cache_cluster(CacheClusterId=name, NumCacheNodes=2, AZMode="cross-az", **engine)
    try:
        client.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
        watched = Watched(server, account, name, client)
        before = wait_until(lambda: watched.nodes()[f"{name}/0001"].get("Now"))["Values"]
        node = client.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]["CacheNodes"][0]
        with memcache(node["Endpoint"]) as cache:
            cache.set("number", "1")
            cache.incr("number", 1)
            cache.incr("none", 1)
            cache.delete("number")
            cache.delete("none")
            cache.set("other", "x" * 1000)
            cache.touch("other", 100)
            cache.gets("other")
            cache.cas("other", "y", b"12345678")
            for number in range(700 if front else 0):
                cache.set(f"large-{number}", "x" * 900_000, noreply=True)
            told = {name.decode(): value for name, value in cache.stats().items()}

        def after() -> Values | None:
            values: Values = watched.nodes()[f"{name}/0001"]["Now"]["Values"]
            return values if rise(before, values, "CasBadval") == {"CasBadval": 1} and values["Evictions"] == told["evictions"] else None

        found = wait_until(after)
        wanted = {"IncrHits": 1, "IncrMisses": 1, "DeleteHits": 1, "DeleteMisses": 1, "CmdTouch": 1, "TouchHits": 1, "CasBadval": 1}
        assert rise(before, found, *wanted) == wanted
        assert (told["evictions"] > 50) is front
        assert found["CurrItems"] == told["curr_items"]
        assert found["UnusedMemory"] + found["BytesUsedForCacheItems"] == told["limit_maxbytes"]
        assert found["NewConnections"] > before["NewConnections"]
        assert found["BytesReadIntoMemcached"] > (500_000_000 if front else 1000)
        other = watched.nodes()[f"{name}/0002"]["Now"]["Values"]
        assert other["Evictions"] == other["IncrHits"] == 0
        assert watched.series()["cachewright_evictions_total", name, "0001"] == told["evictions"]
        assert watched.nodes()[f"{name}/0001"]["Role"] == "none"
    finally:
        client.delete_cache_cluster(CacheClusterId=name)


def test_an_agent_that_does_not_answer_is_named_and_holds_nobody_up(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    try:
        deployment.start()
        wait_until(lambda: sum(deployment.heard().values()) == 3)
        deployment.create()
        wait_until(lambda: len(measured(deployment)) == 3)
        silent = deployment.agents[ZONES[1]]
        silent.send(signal.SIGSTOP)  # it takes connections, and says nothing
        found = deployment.ask("/v1/metrics")
        assert [agent["zone"] for agent in found["missing_agents"]] == [ZONES[1]]
        by_zone = {node["zone"]: node for node in found["nodes"]}
        assert by_zone[ZONES[1]]["problem"] and "now" not in by_zone[ZONES[1]]
        assert by_zone[ZONES[0]]["now"]["values"] and by_zone[ZONES[2]]["now"]["values"]
        text = httpx.get(f"{deployment.url}/metrics", timeout=10).text
        ups = {sample.labels["availability_zone"]: sample.value for family in text_string_to_metric_families(text)
               for sample in family.samples if sample.name == "cachewright_agent_up"}  # fmt: skip
        assert ups == dict(zip(ZONES, (1, 0, 1), strict=True))
        silent.send(signal.SIGCONT)
        wait_until(lambda: len(measured(deployment)) == 3, within=20)
        assert deployment.ask("/v1/metrics")["missing_agents"] == []
    finally:
        deployment.agents[ZONES[1]].send(signal.SIGCONT)
        deployment.clear()


def measured(deployment: Deployment) -> list[str]:
    """The nodes that have figures."""
    return [node["cache_cluster_id"] for node in deployment.ask("/v1/metrics")["nodes"] if "now" in node]
