"""From what an engine says to figures under CloudWatch names: gauges as they are, everything else as a counter since the process started.

Pure: text and process facts in, figures out. What an engine does not say is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agents.metrics.command_families import families_of
from agents.runtimes.runtime import Footprint
from api_schemas.metric import METRICS, Kind

_DIRECT = {engine: tuple((metric.name, metric.field) for metric in table.values() if metric.field) for engine, table in METRICS.items()}
_NEEDED = frozenset(field for _, field in _DIRECT["valkey"]) | {
    "uptime_in_seconds", "maxmemory", "mem_not_counted_for_evict", "role", "master_repl_offset", "master_link_status",
    "master_last_io_seconds_ago", "master_link_down_since_seconds", "used_cpu_user", "used_cpu_sys", "used_cpu_user_main_thread",
    "used_cpu_sys_main_thread",
}  # fmt: skip
_FAMILY_COUNTERS = {metric.of[0]: name for name, metric in METRICS["valkey"].items() if metric.kind is Kind.MEAN}
_PING_PERIOD = 1  # seconds between two words of a primary that has nothing to say, as we start them


@dataclass(frozen=True, slots=True)
class Reading:
    """How long the process has run, in seconds, and its figures."""

    uptime: float
    figures: dict[str, float]


def read_info(told: str) -> Reading:
    """What INFO of Valkey or Redis tells. Raises ValueError for what is no such answer."""
    fields: dict[str, str] = {}
    commands: dict[str, str] = {}
    databases: dict[str, str] = {}
    for line in told.split("\r\n"):  # once over it: this is done many times a second
        name, _, value = line.partition(":")
        if name in _NEEDED:
            fields[name] = value
        elif name.startswith("cmdstat_"):
            commands[name[8:]] = value
        elif name.startswith("db") and name[2:].isdigit():
            databases[name] = value
    uptime, figures = _uptime(fields, "uptime_in_seconds"), _direct("valkey", fields)
    figures.update(_memory(fields))
    figures.update(_items(databases))
    figures.update(_replication(fields))
    figures.update(_commands(commands))
    figures.update(_sum("CPUUtilization", fields, "used_cpu_user", "used_cpu_sys"))
    figures.update(_sum("EngineCPUUtilization", fields, "used_cpu_user_main_thread", "used_cpu_sys_main_thread"))
    return Reading(uptime, figures)


def read_stats(told: str) -> Reading:
    """What ``stats`` of Memcached tells. Raises ValueError for what is no such answer."""
    fields = dict(line[5:].split(" ", 1) for line in told.split("\r\n") if line.startswith("STAT "))
    figures = _direct("memcached", fields)
    if "limit_maxbytes" in fields and "bytes" in fields:
        figures["UnusedMemory"] = float(fields["limit_maxbytes"]) - float(fields["bytes"])
    figures.update(_sum("CPUUtilization", fields, "rusage_user", "rusage_system"))
    return Reading(_uptime(fields, "uptime"), figures)


READERS: Mapping[str, Callable[[str], Reading]] = {"valkey": read_info, "redis": read_info, "memcached": read_stats}
"""How an engine's answer is read."""


def host_figures(footprint: Footprint, memory: int) -> dict[str, float]:
    """What the process of a node takes of its host, where ``memory`` is the engine's limit."""
    figures = {"FreeableMemory": float(max(0, memory - footprint.resident))}
    if footprint.swapped is not None:
        figures["SwapUsage"] = float(footprint.swapped)
    return figures


def _uptime(fields: Mapping[str, str], name: str) -> float:
    if name not in fields:
        raise ValueError(f"it does not say {name}")
    return float(fields[name])


def _direct(engine: str, fields: Mapping[str, str]) -> dict[str, float]:
    return {name: float(fields[field]) for name, field in _DIRECT[engine] if field in fields and name != "ReplicationBytes"}


def _sum(name: str, fields: Mapping[str, str], *parts: str) -> dict[str, float]:
    """The sum under that name, where every part of it is told."""
    return {name: sum(float(fields[part]) for part in parts)} if all(part in fields for part in parts) else {}


def _memory(fields: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    limit, used = float(fields.get("maxmemory", 0)), fields.get("used_memory")
    if used is None or not limit:
        return
    share = float(used) / limit * 100
    counted = max(0.0, float(used) - float(fields.get("mem_not_counted_for_evict", 0))) / limit * 100
    yield "DatabaseMemoryUsagePercentage", share
    yield "DatabaseCapacityUsagePercentage", share
    yield "DatabaseMemoryUsageCountedForEvictPercentage", counted
    yield "DatabaseCapacityUsageCountedForEvictPercentage", counted


def _items(told: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    databases = {name: _parts(value) for name, value in told.items()}
    yield "CurrItems", sum(float(parts["keys"]) for parts in databases.values())
    yield "CurrVolatileItems", sum(float(parts["expires"]) for parts in databases.values())
    if "db0" in databases:
        yield "DB0AverageTTL", float(databases["db0"]["avg_ttl"])


def _replication(fields: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    if "role" not in fields:
        return
    is_primary = fields["role"] == "master"
    yield "IsMaster", float(is_primary)
    yield "IsPrimary", float(is_primary)
    if is_primary:
        yield "ReplicationBytes", float(fields.get("master_repl_offset", 0))
        return
    is_up = fields.get("master_link_status") == "up"
    yield "MasterLinkHealthStatus", float(is_up)
    yield "PrimaryLinkHealthStatus", float(is_up)
    silence = float(fields.get("master_last_io_seconds_ago" if is_up else "master_link_down_since_seconds", -1))
    if silence >= 0:  # one that was never linked is behind by no number of seconds
        yield "ReplicationLag", 0.0 if is_up and silence <= _PING_PERIOD else silence


def _commands(told: Mapping[str, str]) -> dict[str, float]:
    """Calls and microseconds of each family; 0 for one of which nothing was ever called."""
    figures = dict.fromkeys([*_FAMILY_COUNTERS, *_FAMILY_COUNTERS.values()], 0.0)
    for command, value in told.items():
        parts = _parts(value)
        for family in families_of(command):
            figures[f"{family}Cmds"] += float(parts["calls"])
            figures[f"{family}CmdsLatency"] += float(parts["usec"])
    return figures


def _parts(value: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in value.split(","))
