"""What engines say of themselves, and the figures that are read from it."""

from __future__ import annotations

import pytest

from agents.metrics.command_families import TABLE, families_of
from agents.metrics.reading import host_figures, read_info, read_stats
from agents.runtimes.runtime import Footprint
from api_schemas.metric import FAMILIES, METRICS, Metric, snake


def info(*lines: str) -> str:
    return "\r\n".join(("# Server", "uptime_in_seconds:12", "executable:/a:b", *lines, ""))


PRIMARY = ("role:master", "connected_slaves:1", "slave0:ip=127.102.1.1,port=6379,state=online,offset=70,lag=0", "master_repl_offset:70")
LINKED = ("role:slave", "master_link_status:up")


@pytest.mark.parametrize(
    ("lines", "figures"),
    [
        (("keyspace_hits:3", "evicted_keys:4", "used_memory:50"), {"CacheHits": 3, "Evictions": 4, "BytesUsedForCache": 50}),
        (("used_memory:50", "maxmemory:200", "mem_not_counted_for_evict:30"),
         {"DatabaseMemoryUsagePercentage": 25, "DatabaseMemoryUsageCountedForEvictPercentage": 10, "DatabaseCapacityUsagePercentage": 25}),
        (("used_memory:50", "maxmemory:0"), {"BytesUsedForCache": 50, "DatabaseMemoryUsagePercentage": None}),
        ((), {"CurrItems": 0, "CurrVolatileItems": 0, "DB0AverageTTL": None, "CacheHits": None, "IsPrimary": None}),
        (("db0:keys=3,expires=1,avg_ttl=900,keys_with_volatile_items=0", "db7:keys=2,expires=2,avg_ttl=5"),
         {"CurrItems": 5, "CurrVolatileItems": 3, "DB0AverageTTL": 900}),
        (("db7:keys=2,expires=2,avg_ttl=5",), {"CurrItems": 2, "DB0AverageTTL": None}),
        (PRIMARY, {"IsMaster": 1, "IsPrimary": 1, "ReplicationBytes": 70, "ReplicationLag": None, "MasterLinkHealthStatus": None}),
        (("role:master", "connected_slaves:0", "master_repl_offset:70"), {"IsPrimary": 1, "ReplicationBytes": 70}),
        ((*LINKED, "master_last_io_seconds_ago:1", "master_repl_offset:70"), {"ReplicationBytes": None}),
        ((*LINKED, "master_last_io_seconds_ago:1"), {"IsPrimary": 0, "ReplicationLag": 0, "PrimaryLinkHealthStatus": 1}),
        ((*LINKED, "master_last_io_seconds_ago:3"), {"ReplicationLag": 3, "MasterLinkHealthStatus": 1}),
        (("role:slave", "master_link_status:down", "master_last_io_seconds_ago:-1", "master_link_down_since_seconds:9"),
         {"ReplicationLag": 9, "PrimaryLinkHealthStatus": 0}),
        (("role:slave", "master_link_status:down", "master_link_down_since_seconds:-1"), {"ReplicationLag": None}),
        (("used_cpu_sys_main_thread:1.5", "used_cpu_user_main_thread:2", "used_cpu_sys:2", "used_cpu_user:3"),
         {"EngineCPUUtilization": 3.5, "CPUUtilization": 5}),
        (("used_cpu_sys:2", "used_cpu_user:3"), {"EngineCPUUtilization": None}),
        (("cmdstat_hget:calls=3,usec=9,usec_per_call=3.00,rejected_calls=0,failed_calls=0", "cmdstat_hset:calls=1,usec=2,usec_per_call=2"),
         {"HashBasedCmds": 4, "HashBasedCmdsLatency": 11, "GetTypeCmds": 3, "GetTypeCmdsLatency": 9, "SetTypeCmds": 1, "ListBasedCmds": 0}),
        (("cmdstat_xinfo|stream:calls=3,usec=9", "cmdstat_config|get:calls=2,usec=9", "cmdstat_some.module:calls=9,usec=9"),
         {"StreamBasedCmds": 3, "GetTypeCmds": 3, "NonKeyTypeCmds": 2, "KeyBasedCmds": 0}),
    ],
)  # fmt: skip
def test_what_info_tells(lines: tuple[str, ...], figures: dict[str, float | None]) -> None:
    read = read_info(info(*lines))
    assert {name: read.figures.get(name) for name in figures} == figures
    assert read.uptime == 12
    assert read.figures.keys() <= METRICS["valkey"].keys()


def test_what_stats_tell() -> None:
    lines = ("uptime 9", "version 1.6.18", "get_hits 4", "bytes 100", "limit_maxbytes 1000", "rusage_user 0.5", "rusage_system 0.25")
    read = read_stats("".join(f"STAT {line}\r\n" for line in lines) + "END\r\n")
    assert read.uptime == 9
    wanted = {"GetHits": 4, "BytesUsedForCacheItems": 100, "UnusedMemory": 900, "CPUUtilization": 0.75}
    assert read.figures == wanted


@pytest.mark.parametrize("told", ["", "nonsense", "# Server\r\nrole:master\r\n"])
def test_what_does_not_say_how_old_it_is_is_no_answer(told: str) -> None:
    with pytest.raises(ValueError, match="uptime"):
        read_info(told)
    with pytest.raises(ValueError, match="uptime"):
        read_stats(told)


def test_what_a_process_takes_of_its_host() -> None:
    assert host_figures(Footprint(resident=30, swapped=5), 100) == {"FreeableMemory": 70, "SwapUsage": 5}
    assert host_figures(Footprint(resident=130), 100) == {"FreeableMemory": 0}


@pytest.mark.parametrize(
    ("command", "families"),
    [
        ("get", ("StringBased", "GetType")),
        ("setbit", ("StringBased", "SetType")),
        ("zadd", ("SortedSetBased", "SetType")),
        ("lrange", ("ListBased", "GetType")),
        ("del", ("KeyBased",)),
        ("wait", ("NonKeyType",)),
        ("info", ("NonKeyType",)),
        ("evalsha", ("EvalBased",)),
        ("publish", ("PubSubBased",)),
        ("cluster|slots", ("ClusterBased",)),
        ("geosearch", ("GeoSpatialBased", "GetType")),
        ("pfadd", ("HyperLogLogBased", "SetType")),
        ("xgroup|create", ("StreamBased", "SetType")),
        ("json.get", ()),
    ],
)
def test_the_families_of_a_command(command: str, families: tuple[str, ...]) -> None:
    assert families_of(command) == families


def test_every_family_has_commands_and_metrics() -> None:
    assert {family for families in TABLE.values() for family in families} == set(FAMILIES)
    assert {f"{family}Cmds" for family in FAMILIES} | {f"{family}CmdsLatency" for family in FAMILIES} <= METRICS["valkey"].keys()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("CacheHits", "cache_hits"),
        ("DB0AverageTTL", "db0_average_ttl"),
        ("EngineCPUUtilization", "engine_cpu_utilization"),
        ("CPUUtilization", "cpu_utilization"),
        ("HashBasedCmdsLatency", "hash_based_cmds_latency"),
    ],
)
def test_names_for_prometheus(name: str, plain: str) -> None:
    assert snake(name) == plain


def test_one_name_for_prometheus_is_of_one_kind() -> None:
    kinds: dict[str, set[Metric]] = {}
    for table in METRICS.values():
        for metric in table.values():
            if metric.series is not None:
                kinds.setdefault(metric.series, set()).add(metric)
    assert all(len({metric.kind for metric in metrics}) == len({metric.name for metric in metrics}) == 1 for metrics in kinds.values())
