"""Many replication groups at once, for benches that need a server with something on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from bench import measure as m

QUICK = {"Engine": "valkey", "EngineVersion": "8.1"}


def names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}-{each:03d}" for each in range(number)]


def create(url: str, wanted: Iterable[str], nodes: int = 1, at_once: int = 4) -> float:
    """Create a group of each name, so many at once, and wait until all are available; answers how many seconds that took."""
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=at_once) as together:
        list(together.map(lambda name: _create(url, name, nodes), wanted))
    return time.perf_counter() - started


def _create(url: str, name: str, nodes: int) -> None:
    http = m.Http(url)
    http.ask(http.query("CreateReplicationGroup", ReplicationGroupId=name, ReplicationGroupDescription="bench", NumCacheClusters=nodes,
                        **QUICK))  # fmt: skip
    describe = http.request("POST", "/", urlencode({"Action": "DescribeReplicationGroups", "ReplicationGroupId": name}).encode())
    m.until(lambda: b"<Status>available</Status>" in http.ask(describe) or None, 60.0)
    http.close()
