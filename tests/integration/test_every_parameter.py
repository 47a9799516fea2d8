"""Every parameter of every family on the engines that serve it: what DescribeCacheParameters shows is what every node says it runs with,

whatever happens to the cache: created, modified, grown, failed over, rebooted, reset. Generated from what the service itself describes.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import uuid
from typing import Any

import pytest
import redis
from waiting import wait_until

from cachewright import LocalServer
from controlplane.domain.parameters import Parameter, parameters_of

NODE_TYPE = "cache.t3.small"
BATCH = 20
KEY_VALUE = [
    ("redis4.0", "redis", "4.0.10"), ("redis5.0", "redis", "5.0.6"), ("redis6.x", "redis", "6.2"), ("redis7", "redis", "7.1"),
    ("valkey7", "valkey", "7.2"), ("valkey8", "valkey", "8.1"), ("valkey8", "valkey", "8.2"), ("valkey9", "valkey", "9.1"),
]  # fmt: skip
SHARDED = [("redis5.0", "redis", "5.0.6"), ("redis7", "redis", "7.1"), ("valkey8", "valkey", "8.1"), ("valkey9", "valkey", "9.1")]
MEMCACHED = [("memcached1.4", "1.4.34"), ("memcached1.5", "1.5.16"), ("memcached1.6", "1.6.22")]

# Of a group that is in use, these stay as they are.
CONDITIONAL = {"activerehashing", "cluster-databases", "cluster-enabled", "databases"}
# Can only be their defaults here, and the refusal says why.
ONLY_DEFAULT = {
    "rename-commands", "lua-replicate-commands", "search-default-timeout-ms", "search-enable-partial-results", "search-fanout-target-mode",
    "worker_logbuf_size", "expirezero_does_not_evict", "inline_ascii_resp",
}  # fmt: skip
# No option of an engine. What they do is looked at elsewhere: test_writers_to_replicas.py for the first two; reserved memory below.
NO_OPTION = {
    "close-on-replica-write", "close-on-slave-write", "reserved-memory", "reserved-memory-percent", "rename-commands",
    "lua-replicate-commands", "replica-allow-chaining", "slave-allow-chaining", "search-default-timeout-ms",
    "search-enable-partial-results", "search-fanout-target-mode", "maxmemory",
}  # fmt: skip
NO_ALLOCATOR = {"activedefrag"}
"""Every engine that is installed here lacks the allocator for it; that this is told is seen in test_parameter_groups.py."""
# With more no write would be taken by a group of this size.
MOST = {"min-replicas-to-write": "1", "min-slaves-to-write": "1"}


@pytest.fixture(scope="module")
def account() -> str:
    return str(uuid.uuid4().int)[:12]


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    return server.client(account_id=account)


def candidates(parameter: Parameter) -> list[str]:
    """Two values that the parameter may be given besides its default, where there are; else one, or none."""
    present = parameter.value or ""
    if parameter.name in ONLY_DEFAULT | NO_ALLOCATOR or not parameter.modifiable:
        return []
    if parameter.name in MOST:
        return [MOST[parameter.name]]
    if parameter.name == "notify-keyspace-events":
        return ["Ex", "KEA"]
    found = [word for word in parameter.allowed.split(",") if word]
    if parameter.data_type == "integer":
        steps = (2**20, 2**21) if "output-buffer" in parameter.name else (1, 20, 40, -1, -20)
        found = [str(int(present or 0) + more) for more in steps]
    if parameter.data_type == "float":
        found = ["1.5", "2.0"]
    return [value for value in found if value != present and parameter.allows(value)]


MEMCACHED_SIZES = {"slab_chunk_max": ["262144", "131072"], "max_item_size": ["2097152", "4194304"]}
"""Of what must fit together."""


def chosen(family: str, choice: int, but: set[str], sharded: bool = False) -> dict[str, str]:
    """A value for every parameter that may have another than its default."""
    found = {each.name: MEMCACHED_SIZES.get(each.name) or candidates(each) for each in parameters_of(family, custom=True)}
    values = {name: values[choice % len(values)] for name, values in found.items() if values and name not in but}
    values.pop("cluster-enabled", None)
    return values | ({"cluster-enabled": "yes"} if sharded else {})


def set_all(client: Any, group: str, values: dict[str, str], call: str = "modify_cache_parameter_group") -> None:
    asked = [{"ParameterName": name, "ParameterValue": value} for name, value in values.items()]
    for start in range(0, len(asked), BATCH):
        getattr(client, call)(CacheParameterGroupName=group, ParameterNameValues=asked[start : start + BATCH])


def new_parameters(client: Any, family: str, values: dict[str, str]) -> str:
    name = f"p{uuid.uuid4().hex[:8]}"
    client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="d")
    set_all(client, name, values)
    return name


def described(client: Any, group: str, engine_version: str) -> dict[str, str]:
    """Every parameter's value as it is shown, those of the node type among them; without those of later versions than the engine's."""
    shown: dict[str, str] = {}
    for page in client.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=group):
        for each in page["Parameters"]:
            if numbers(each["MinimumEngineVersion"]) <= numbers(engine_version):
                shown[each["ParameterName"]] = each.get("ParameterValue", "")
        for each in page["CacheNodeTypeSpecificParameters"]:
            by_type = {value["CacheNodeType"]: value["Value"] for value in each["CacheNodeTypeSpecificValues"]}
            shown[each["ParameterName"]] = by_type[NODE_TYPE]
    return shown


def numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


# ---- Valkey and Redis


def members(client: Any, group: str) -> list[Any]:
    shown = client.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    return [each for each in shown if each["ReplicationGroupId"] == group]


def running(place: Any) -> dict[str, str]:
    """What an engine says it runs with, in the words of the service."""
    with contextlib.closing(redis.Redis(place["Address"], place["Port"], decode_responses=True)) as engine:
        found: dict[str, str] = engine.config_get("*")
    words = found.pop("client-output-buffer-limit").split()
    for kind, *limits in zip(*[iter(words)] * 4, strict=True):
        for part, limit in zip(("hard-limit", "soft-limit", "soft-seconds"), limits, strict=True):
            for name in {kind, kind.replace("slave", "replica"), kind.replace("replica", "slave")}:
                found[f"client-output-buffer-limit-{name}-{part}"] = limit
    return found


def limit_of_connections(asked: str) -> str:
    """An engine lowers what it is asked for to what this host lets a process open, less 32 files of its own."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if files == resource.RLIM_INFINITY else str(min(int(asked), files - 32))


def events_of(letters: str) -> frozenset[str]:
    """Engines tell the letters in an order of their own, and all of them as ``A``."""
    return frozenset(letters.replace("A", "g$lshzxetd"))


def expected(shown: dict[str, str], program: tuple[int, int], sharded: bool) -> dict[str, str]:
    """What an engine of that version must say."""
    options = {name: value for name, value in shown.items() if name not in NO_OPTION}
    options["maxclients"] = limit_of_connections(options["maxclients"])
    for name in [each for each in options if each.startswith("commandlog-")]:
        if program < (8, 1):
            del options[name]
    if program < (8, 0):
        options.pop("extended-redis-compatibility", None)
    if "cluster-preferred-endpoint-type" in options:
        options["cluster-preferred-endpoint-type"] = "ip"  # connections are not encrypted, and then it is that
    several = options.pop("cluster-databases", "0")
    if sharded:
        del options["databases"]  # of no meaning there, and programs differ in what they say
        options |= {"cluster-databases": several} if several != "0" else {}
    most = int(shown["maxmemory"])
    reserved = int(shown["reserved-memory"]) if "reserved-memory" in shown else most - most * (100 - int(shown["reserved-memory-percent"])) // 100
    return {**options, "maxmemory": str(most - reserved)}


def differences(wanted: dict[str, str], found: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    def alike(name: str, value: str) -> bool:
        other = found.get(name)
        if name == "notify-keyspace-events" and other is not None:
            return events_of(other) == events_of(value)
        return other == value

    return {name: (value, found.get(name)) for name, value in wanted.items() if not alike(name, value)}


class Cache:
    """A replication group and its parameter group, held against each other."""

    def __init__(self, client: Any, parameters: str, version: str, sharded: bool) -> None:
        self.client, self.parameters, self.version, self.sharded = client, parameters, version, sharded
        self.name = f"g{uuid.uuid4().hex[:8]}"

    def settle(self) -> None:
        self.client.get_waiter("replication_group_available").wait(ReplicationGroupId=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 40})

    def agrees(self, nodes: int) -> None:
        """Wait until every node is in sync; then each runs with what is shown."""
        wait_until(lambda: self._statuses(nodes) == ["in-sync"] * nodes, within=20)
        shown = described(self.client, self.parameters, self.version)
        for member in members(self.client, self.name):
            found = running(member["CacheNodes"][0]["Endpoint"])
            assert len(found) > 150
            assert differences(expected(shown, self._program(member), self.sharded), found) == {}, member["CacheClusterId"]

    def _statuses(self, nodes: int) -> list[str]:
        found = [each["CacheParameterGroup"]["ParameterApplyStatus"] for each in members(self.client, self.name)]
        return found if len(found) == nodes else []

    def _program(self, member: Any) -> tuple[int, int]:
        place = member["CacheNodes"][0]["Endpoint"]
        with contextlib.closing(redis.Redis(place["Address"], place["Port"], decode_responses=True)) as engine:
            told = engine.info("server")
        return numbers(str(told.get("valkey_version") or told["redis_version"]))


def new_cache(client: Any, family: str, engine: str, version: str, sharded: bool) -> Cache:
    """A primary and a replica whose parameter group differs from the default in everything that it may."""
    cache = Cache(client, new_parameters(client, family, chosen(family, 0, set(), sharded)), version, sharded)
    shape: dict[str, Any] = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 1} if sharded else {"NumCacheClusters": 2}
    client.create_replication_group(
        ReplicationGroupId=cache.name, ReplicationGroupDescription="d", Engine=engine, EngineVersion=version, CacheNodeType=NODE_TYPE,
        AutomaticFailoverEnabled=True, CacheParameterGroupName=cache.parameters, **shape)  # fmt: skip
    cache.settle()
    return cache


def reboot(cache: Cache) -> None:
    shown = cache.client.describe_replication_groups(ReplicationGroupId=cache.name)["ReplicationGroups"][0]["NodeGroups"][0]
    replica = next(each["CacheClusterId"] for each in shown["NodeGroupMembers"] if each["CurrentRole"] == "replica")
    cache.client.reboot_cache_cluster(CacheClusterId=replica, CacheNodeIdsToReboot=["0001"])
    cache.client.get_waiter("cache_cluster_available").wait(CacheClusterId=replica, WaiterConfig={"Delay": 1})


CASES = [*(pytest.param(*each, False, id=f"{each[0]}-{each[2]}") for each in KEY_VALUE),
         *(pytest.param(*each, True, id=f"{each[0]}-{each[2]}-cluster-mode") for each in SHARDED)]  # fmt: skip


@pytest.mark.parametrize(("family", "engine", "version", "sharded"), CASES)
def test_engines_run_with_what_is_shown_through_the_life_of_a_group(
    elasticache: Any, family: str, engine: str, version: str, sharded: bool
) -> None:
    cache = new_cache(elasticache, family, engine, version, sharded)
    cache.agrees(nodes=2)
    asked = chosen(family, 1, CONDITIONAL)
    assert len(asked) > 35 or family == "redis4.0"
    set_all(elasticache, cache.parameters, asked)
    cache.agrees(nodes=2)
    elasticache.increase_replica_count(ReplicationGroupId=cache.name, NewReplicaCount=2, ApplyImmediately=True)
    cache.settle()
    cache.agrees(nodes=3)
    elasticache.test_failover(ReplicationGroupId=cache.name, NodeGroupId="0001")
    cache.settle()
    cache.agrees(nodes=3)
    if not sharded:
        reboot(cache)
        cache.agrees(nodes=3)
    set_all(elasticache, cache.parameters, asked, "reset_cache_parameter_group")
    cache.agrees(nodes=3)
    elasticache.delete_replication_group(ReplicationGroupId=cache.name)


@pytest.mark.parametrize(("family", "engine", "version"), KEY_VALUE, ids=[f"{each[0]}-{each[2]}" for each in KEY_VALUE])
def test_every_default_group_is_what_engines_run_with(elasticache: Any, family: str, engine: str, version: str) -> None:
    cache = Cache(elasticache, f"default.{family}", version, sharded=False)
    elasticache.create_replication_group(
        ReplicationGroupId=cache.name, ReplicationGroupDescription="d", Engine=engine, EngineVersion=version, CacheNodeType=NODE_TYPE)
    cache.settle()
    cache.agrees(nodes=1)
    elasticache.delete_replication_group(ReplicationGroupId=cache.name)


# ---- Memcached

# How the program calls what it was started with, and how it says it.
SETTINGS = {
    "backlog_queue_limit": "tcp_backlog", "binding_protocol": "binding_protocol", "chunk_size": "chunk_size", "hash_algorithm": "hash_algorithm",
    "idle_timeout": "idle_timeout", "max_item_size": "item_size_max", "num_threads": "num_threads", "requests_per_event": "reqs_per_event",
    "slab_automove": "slab_automove", "slab_chunk_max": "slab_chunk_max",
}  # fmt: skip
SWITCHES = {
    "lru_crawler": ("lru_crawler", "no", "yes"), "lru_maintainer": ("lru_maintainer_thread", "no", "yes"),
    "maxconns_fast": ("maxconns_fast", "no", "yes"), "slab_reassign": ("slab_reassign", "no", "yes"), "track_sizes": ("track_sizes", "no", "yes"),
    "cas_disabled": ("cas_enabled", "yes", "no"), "disable_flush_all": ("flush_enabled", "yes", "no"),
    "error_on_memory_exhausted": ("evictions", "on", "off"),
}  # fmt: skip
# It does not say these, or they only switch some of the above.
SAYS_NOTHING_OF = {
    "config_max", "config_size_max", "hashpower_init", "large_memory_pages", "lock_down_paged_memory", "maximize_core_file_limit", "modern",
    "no_modern", "expirezero_does_not_evict", "inline_ascii_resp",
}  # fmt: skip
DERIVED = {
    "chunk_size_growth_factor", "max_simultaneous_connections", "memcached_connections_overhead", "max_cache_memory", "watcher_logbuf_size",
    "worker_logbuf_size",
}  # fmt: skip
MEMCACHED_IDS = ["0001", "0002"]


def expected_of_memcached(shown: dict[str, str]) -> dict[str, str]:
    assert shown.keys() <= SETTINGS.keys() | SWITCHES.keys() | SAYS_NOTHING_OF | DERIVED
    wanted = {SETTINGS[name]: value for name, value in shown.items() if name in SETTINGS}
    if wanted["binding_protocol"] == "auto":
        wanted["binding_protocol"] = "auto-negotiate"
    wanted |= {says: yes if shown[name] == "1" else no for name, (says, no, yes) in SWITCHES.items() if name in shown}
    if shown.get("modern") == "1":  # it has them all on
        wanted |= {SWITCHES[name][0]: "yes" for name in ("lru_crawler", "lru_maintainer", "maxconns_fast", "slab_reassign")}
        wanted["slab_automove"] = max("1", wanted["slab_automove"])
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = int(shown["max_simultaneous_connections"])
    return {
        **wanted,
        "growth_factor": f"{float(shown['chunk_size_growth_factor']):.2f}",
        "maxconns": str(connections if files == resource.RLIM_INFINITY else min(connections, files - 64)),
        "maxbytes": str((int(shown["max_cache_memory"]) - int(shown["memcached_connections_overhead"])) * 2**20),
        **{name: str(int(shown[name]) * 1024) for name in ("watcher_logbuf_size", "worker_logbuf_size") if name in shown},
    }


def settings_of(node: Any) -> dict[str, str]:
    """What the program itself says it runs with, word for word."""
    place = node["Endpoint"]["Address"], node["Endpoint"]["Port"]
    with socket.create_connection(place, timeout=5) as connection, connection.makefile("rw", newline="\r\n") as lines:
        lines.write("stats settings\n")
        lines.flush()
        said = iter(lambda: lines.readline().split(), ["END"])
        return {words[1]: words[2] for words in said if len(words) == 3}


@pytest.mark.parametrize(("family", "version"), MEMCACHED, ids=[family for family, _ in MEMCACHED])
def test_memcached_runs_with_what_is_shown_once_each_node_is_rebooted(elasticache: Any, family: str, version: str) -> None:
    parameters, name = new_parameters(elasticache, family, chosen(family, 0, set())), f"c{uuid.uuid4().hex[:8]}"
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", EngineVersion=version, NumCacheNodes=2,
                                     CacheNodeType=NODE_TYPE, CacheParameterGroupName=parameters)  # fmt: skip

    def settled() -> Any:
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name, WaiterConfig={"Delay": 1, "MaxAttempts": 40})
        return elasticache.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]

    def now() -> dict[str, str]:
        return expected_of_memcached(described(elasticache, parameters, version))

    before = now()
    for node in settled()["CacheNodes"]:
        assert differences(before, settings_of(node)) == {}
    set_all(elasticache, parameters, chosen(family, 1, set()))
    for number, node_id in enumerate(MEMCACHED_IDS):
        waits = MEMCACHED_IDS[number:]
        wait_until(lambda waits=waits: settled()["CacheParameterGroup"]["CacheNodeIdsToReboot"] == waits)
        shown = settled()
        for node in shown["CacheNodes"]:
            is_waiting = node["CacheNodeId"] in waits
            assert node["ParameterGroupStatus"] == ("pending-reboot" if is_waiting else "in-sync")
            assert differences(before if is_waiting else now(), settings_of(node)) == {}
        elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=[node_id])
        settled()
    assert settled()["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync"
    elasticache.reset_cache_parameter_group(CacheParameterGroupName=parameters, ResetAllParameters=True)
    assert settled()["CacheParameterGroup"]["CacheNodeIdsToReboot"] == MEMCACHED_IDS
    elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=MEMCACHED_IDS)
    for node in settled()["CacheNodes"]:
        assert node["ParameterGroupStatus"] == "in-sync"
        assert differences(now(), settings_of(node)) == {}
