"""How quickly Describe answers: one group by its id, and a list of 100, against moto's stand-alone server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import groups
from bench import measure as m
from bench.moto import is_installed, moto_server
from cachewright import client, local_server

BOUND = 180
GROUPS = 100
ROUNDS = 20
_ONE, _LIST = {"ReplicationGroupId": "bench-050"}, {"MaxRecords": 100}

Block = Callable[[], list[float]]


def run() -> None:
    m.heading(f"describe: {GROUPS} replication groups of one node, {ROUNDS} blocks in turns")
    if not is_installed():
        raise SystemExit("moto is not installed: pip install 'moto[server]'")
    wanted = groups.names("bench", GROUPS)
    with moto_server() as moto, local_server() as server:
        took = groups.create(server.url, wanted)
        _fill(moto.url, wanted)
        print(f"{GROUPS} real engines were available after {took:.1f} s, four at a time ({took / GROUPS * 1e3:.0f} ms each).\n")
        taken = m.interleaved(ROUNDS, _variants({"ours": server.url, "moto": moto.url}))
    samples = {name: m.Figures.of(one for block in blocks for one in block) for name, blocks in taken.items()}
    m.table(
        ["what", "Cachewright p50, ms", "p99", "per second", "moto p50, ms", "p99", "per second", "moto / ours (p50)"],
        [_row(what, samples[f"ours {key}"], samples[f"moto {key}"]) for key, what in _WHATS.items()],
    )
    ours = samples["ours raw one"]
    met = ours.median <= 0.6e-3 and _rate(ours) >= 1500
    print(f"Target, by id, raw HTTP: p50 ≤ 0.6 ms and ≥ 1,500 per second on one connection: {'met' if met else '**not met**'}.")


_WHATS = {
    "raw one": "by id, raw HTTP, one keep-alive connection",
    "raw list": f"list of {GROUPS}, raw HTTP",
    "boto3 one": "by id, boto3",
    "boto3 list": f"list of {GROUPS}, boto3",
}


def _fill(url: str, wanted: list[str]) -> None:
    """The same records, without engines."""
    http = m.Http(url)
    for name in wanted:
        http.ask(http.query("CreateReplicationGroup", ReplicationGroupId=name, ReplicationGroupDescription="bench", NumCacheClusters=1,
                            CacheNodeType="cache.t4g.small", **groups.QUICK))  # fmt: skip
    http.close()


def _variants(urls: dict[str, str]) -> dict[str, Block]:
    """What takes turns. Blocks are of about the same length, so that a slow moment weighs the same on all."""
    variants: dict[str, Block] = {}
    for who, url in urls.items():
        few = 1 if who == "ours" else 5
        variants[f"{who} raw one"] = _raw(url, _ONE, 250 // few, "bench-050")
        variants[f"{who} raw list"] = _raw(url, _LIST, 20 // few, "bench-099")
        sdk = client("elasticache", endpoint_url=url)
        variants[f"{who} boto3 one"] = _sdk(sdk, _ONE, 40 // few, 1)
        variants[f"{who} boto3 list"] = _sdk(sdk, _LIST, 10 // few, GROUPS)
    return variants


def _raw(url: str, members: dict[str, Any], calls: int, last: str) -> Block:
    http = m.Http(url)
    request = http.query("DescribeReplicationGroups", **members)
    if f"<ReplicationGroupId>{last}</ReplicationGroupId>".encode() not in http.ask(request):
        raise RuntimeError(f"{url} does not show {last}")
    return lambda: [_timed(lambda: http.ask(request)) for _ in range(calls)]


def _sdk(sdk: Any, members: dict[str, Any], calls: int, shown: int) -> Block:
    if len(sdk.describe_replication_groups(**members)["ReplicationGroups"]) != shown:
        raise RuntimeError("not every group is shown")
    return lambda: [_timed(lambda: sdk.describe_replication_groups(**members)) for _ in range(calls)]


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _rate(samples: m.Figures) -> float:
    return len(samples.samples) / sum(samples.samples)


def _row(what: str, ours: m.Figures, moto: m.Figures) -> list[str]:
    shown = [f"{value:.2f}" if scale else f"{value:,.0f}" for figures in (ours, moto)
             for value, scale in ((figures.median * 1e3, True), (figures.p99 * 1e3, True), (_rate(figures), False))]  # fmt: skip
    return [what, *shown, f"{moto.median / ours.median:.1f}"]


if __name__ == "__main__":
    m.main(run, BOUND)
