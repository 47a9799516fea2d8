"""The metrics of a node under their CloudWatch names: unit, kind and source of each, in one table that code and documentation read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric comes from what an engine says: a ``gauge`` is a value of the moment, everything else is about a window of time.

    A ``delta`` is by how much a counter rose, per minute. A ``share`` is processor time, in percent of the time that passed. A ``mean`` is
    the microseconds that passed for each of what another metric counts. A ``rate`` is one delta in percent of two.
    """

    GAUGE = "gauge"
    DELTA = "delta"
    SHARE = "share"
    MEAN = "mean"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one engine. ``field`` is the engine's own name for the figure, where it is one; else ``words`` say how it is made.

    ``of`` names what a mean is divided by, or the two deltas of a rate. ``from_zero``: the counter is 0 when the process starts.
    """

    name: str
    unit: str
    kind: Kind
    field: str | None = None
    words: str = ""
    of: tuple[str, ...] = ()
    from_zero: bool = True

    @property
    def source(self) -> str:
        """Where it comes from, in Markdown."""
        return f"`{self.field}`" + (f", {self.words}" if self.words else "") if self.field else self.words

    @property
    def series(self) -> str | None:
        """Its name for Prometheus, which makes windows by itself: counters instead of deltas, and nothing for a rate."""
        if self.kind is Kind.RATE:
            return None
        plain = snake(self.name)
        if self.kind is Kind.SHARE:
            return f"cachewright_{plain.removesuffix('_utilization')}_seconds_total"
        return f"cachewright_{plain}" + {Kind.DELTA: "_total", Kind.MEAN: "_seconds_total"}.get(self.kind, "")


def snake(name: str) -> str:
    """``DB0AverageTTL`` as ``db0_average_ttl``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


FAMILIES = ("ClusterBased", "EvalBased", "GeoSpatialBased", "GetType", "HashBased", "HyperLogLogBased", "KeyBased", "ListBased",
            "NonKeyType", "PubSubBased", "SetBased", "SetType", "SortedSetBased", "StreamBased", "StringBased")  # fmt: skip
"""Families of commands: each has a metric that counts its calls and one that says how long a call takes."""

_ENGINE = """
ActiveDefragHits                    Count   delta  active_defrag_hits
AuthenticationFailures              Count   delta  acl_access_denied_auth
ChannelAuthorizationFailures        Count   delta  acl_access_denied_channel
CommandAuthorizationFailures        Count   delta  acl_access_denied_cmd
KeyAuthorizationFailures            Count   delta  acl_access_denied_key
BytesUsedForCache                   Bytes   gauge  used_memory
CacheHits                           Count   delta  keyspace_hits
CacheMisses                         Count   delta  keyspace_misses
CurrConnections                     Count   gauge  connected_clients  the agent's own among them
CurrItems                           Count   gauge  -  the sum of `keys` over all databases
CurrVolatileItems                   Count   gauge  -  the sum of `expires` over all databases
DatabaseMemoryUsagePercentage       Percent gauge  -  `used_memory` of `maxmemory`
DatabaseCapacityUsagePercentage     Percent gauge  -  as DatabaseMemoryUsagePercentage: there is no data tiering
DatabaseMemoryUsageCountedForEvictPercentage    Percent gauge  -  `used_memory` less `mem_not_counted_for_evict`, of `maxmemory`
DatabaseCapacityUsageCountedForEvictPercentage  Percent gauge  -  as DatabaseMemoryUsageCountedForEvictPercentage
DB0AverageTTL                       Milliseconds  gauge  -  `avg_ttl` of database 0, while that holds keys
EngineCPUUtilization                Percent share  -  `used_cpu_user_main_thread` and `used_cpu_sys_main_thread`, of one core
ErrorCount                          Count   delta  total_error_replies
Evictions                           Count   delta  evicted_keys
IsMaster                            Count   gauge  -  1 where `role` is `master`, else 0
IsPrimary                           Count   gauge  -  as IsMaster
MasterLinkHealthStatus              Count   gauge  -  of a replica: 1 where `master_link_status` is `up`, else 0
PrimaryLinkHealthStatus             Count   gauge  -  as MasterLinkHealthStatus
MemoryFragmentationRatio            Count   gauge  mem_fragmentation_ratio
NewConnections                      Count   delta  total_connections_received  the agent's own among them
Reclaimed                           Count   delta  expired_keys
ReplicationBytes                    Bytes   moved  master_repl_offset  of a primary; without replicas it stands still
ReplicationLag                      Seconds gauge  -  of a replica: since its primary's last word, 0 within the second between two pings
SaveInProgress                      Count   gauge  rdb_bgsave_in_progress
NetworkBytesIn                      Bytes   delta  total_net_input_bytes  replication among them
NetworkBytesOut                     Bytes   delta  total_net_output_bytes  replication among them
"""

_MEMCACHED = """
BytesReadIntoMemcached              Bytes   delta  bytes_read
BytesUsedForCacheItems              Bytes   gauge  bytes
BytesUsedForHash                    Bytes   gauge  hash_bytes
BytesWrittenOutFromMemcached        Bytes   delta  bytes_written
CasBadval                           Count   delta  cas_badval
CasHits                             Count   delta  cas_hits
CasMisses                           Count   delta  cas_misses
CmdFlush                            Count   delta  cmd_flush
CmdGet                              Count   delta  cmd_get  the agent's own among them
CmdSet                              Count   delta  cmd_set  the agent's own among them
CmdTouch                            Count   delta  cmd_touch
CurrConnections                     Count   gauge  curr_connections  the agent's own among them
CurrItems                           Count   gauge  curr_items  the list of nodes among them, which a client of the older kind looks for
DecrHits                            Count   delta  decr_hits
DecrMisses                          Count   delta  decr_misses
DeleteHits                          Count   delta  delete_hits
DeleteMisses                        Count   delta  delete_misses
EvictedUnfetched                    Count   delta  evicted_unfetched
Evictions                           Count   delta  evictions
ExpiredUnfetched                    Count   delta  expired_unfetched
GetHits                             Count   delta  get_hits  the agent's own among them
GetMisses                           Count   delta  get_misses  the agent's own among them
IncrHits                            Count   delta  incr_hits
IncrMisses                          Count   delta  incr_misses
NewConnections                      Count   delta  total_connections  the agent's own among them
NewItems                            Count   delta  total_items
Reclaimed                           Count   delta  reclaimed
SlabsMoved                          Count   delta  slabs_moved
TouchHits                           Count   delta  touch_hits
TouchMisses                         Count   delta  touch_misses
UnusedMemory                        Bytes   gauge  -  `limit_maxbytes` less `bytes`
NetworkBytesIn                      Bytes   delta  bytes_read
NetworkBytesOut                     Bytes   delta  bytes_written
"""

_HOST = """
CPUUtilization                      Percent share  -  the engine's own processor time, of all vCPUs of its node type
FreeableMemory                      Bytes   gauge  -  the engine's memory limit less the resident memory of its process, at least 0
SwapUsage                           Bytes   gauge  -  memory of the node's process that is swapped out
"""

NOT_EXPOSED = {
    "CPUCreditBalance, CPUCreditUsage": "nobody sells processor time by credits here",
    "NetworkBandwidthInAllowanceExceeded, NetworkBandwidthOutAllowanceExceeded, NetworkPacketsPerSecondAllowanceExceeded, "
    "NetworkConntrackAllowanceExceeded, NetworkLinkLocalAllowanceExceeded": "no node has an allowance",
    "NetworkPacketsIn, NetworkPacketsOut": "an engine counts bytes; a node has no network interface whose packets could be counted",
    "GlobalDatastoreReplicationLag": "there are no global datastores",
    "IamAuthenticationExpirations, IamAuthenticationThrottling": "nobody logs in by IAM",
    "NumItemsReadFromDisk, NumItemsWrittenToDisk, BytesReadFromDisk, BytesWrittenToDisk": "there is no data tiering",
    "TrafficManagementActive": "no traffic is slowed down",
    "JsonBasedCmds, JsonBasedCmdsLatency, SearchBasedCmds, SearchBasedCmdsLatency": "the engines have no such modules",
    "SuccessfulReadRequestLatency, SuccessfulWriteRequestLatency": "an engine sums up the time of calls that failed and of those that did "
    "not; over both, GetTypeCmdsLatency and SetTypeCmdsLatency are just that",
    "CmdConfigGet, CmdConfigSet, CurrConfig": "stock Memcached does not know these commands, so it does not count them",
    "SSLCurrConnections and others of TLS": "no engine is started with TLS yet",
}
"""What the service has and we do not, with the reason."""


def _rows(table: str) -> Iterator[Metric]:
    for line in table.strip().splitlines():
        name, unit, kind, field, *words = line.split(maxsplit=4)
        yield Metric(name, unit, Kind.DELTA if kind == "moved" else Kind(kind), None if field == "-" else field, " ".join(words),
                     from_zero=kind != "moved")  # fmt: skip


def _families() -> Iterator[Metric]:
    for family in FAMILIES:
        calls = f"{family}Cmds"
        yield Metric(calls, "Count", Kind.DELTA, words="`calls` of the family's commands in `commandstats`")
        yield Metric(f"{calls}Latency", "Microseconds", Kind.MEAN, words="`usec` of the family's commands, for each call", of=(calls,))


_HIT_RATE = Metric("CacheHitRate", "Percent", Kind.RATE, words="hits of hits and misses, where there were any",
                   of=("CacheHits", "CacheMisses"))  # fmt: skip


def _by_name(*parts: Iterator[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for part in parts for metric in part}


_VALKEY: Mapping[str, Metric] = _by_name(_rows(_ENGINE), iter([_HIT_RATE]), _families(), _rows(_HOST))
METRICS: Mapping[str, Mapping[str, Metric]] = {
    "valkey": _VALKEY,
    "redis": _VALKEY,
    "memcached": _by_name(_rows(_MEMCACHED), _rows(_HOST)),
}
"""Engine to its metrics, by their names."""

UNITS: Mapping[str, str] = {name: metric.unit for table in METRICS.values() for name, metric in table.items()}
"""The unit of every metric of any engine."""
