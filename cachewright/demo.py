"""``make demo``: a server, and the main job done before the reader's eyes; then it stays up and says what to try next."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

from cachewright.local_server import LocalServer, ServerFailedError, local_server

PORT = 8379
GROUP = "orders"
T = TypeVar("T")


def main(port: int = PORT) -> int:
    """Run the demonstration until Ctrl-C. Answers the exit code."""
    try:
        with local_server(port=port) as server:
            _show(server)
            _wait_for_the_end()
    except ServerFailedError as failed:
        print(f"{failed}\nIs something else on port {port}? Then: cachewright demo --port 0", file=sys.stderr)
        return 1
    return 0


def _show(server: LocalServer) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]Cachewright[/] serves the ElastiCache API at [bold]{server.url}[/]  (engines: {server.engines})\n")
    elasticache = server.client()
    _timed(console, "create_replication_group, 3 nodes over 3 zones: answered", lambda: _create(elasticache))
    waiter = elasticache.get_waiter("replication_group_available")
    _timed(console, "available: 3 engines run, both replicas have acknowledged a write", lambda: waiter.wait(ReplicationGroupId=GROUP))
    group = elasticache.describe_replication_groups(ReplicationGroupId=GROUP)["ReplicationGroups"][0]["NodeGroups"][0]
    _write_and_read(console, group)
    nodes = _table(console, server)
    _what_next(console, server, group, next(node for node in nodes if node["role"] == "primary"))


def _create(elasticache: Any) -> Any:
    return elasticache.create_replication_group(
        ReplicationGroupId=GROUP,
        ReplicationGroupDescription="orders of the day",
        Engine="valkey",
        NumCacheClusters=3,
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
    )


def _write_and_read(console: Any, group: dict[str, Any]) -> None:
    import redis

    clients: list[Any] = [redis.Redis(end["Address"], end["Port"], decode_responses=True) for end in _ends(group)]
    primary, reader = clients
    names = [f"{end['Address']}:{end['Port']}" for end in _ends(group)]
    _timed(console, f"SET greeting at the primary endpoint {names[0]}", lambda: primary.set("greeting", "hello from the primary"))
    primary.wait(2, 1000)
    said = _timed(console, f"GET greeting at the reader endpoint {names[1]}", lambda: reader.get("greeting"))
    console.print(f"             a replica answers: [bold]{said}[/]\n")


def _ends(group: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return group["PrimaryEndpoint"], group["ReaderEndpoint"]


def _timed(console: Any, what: str, do: Callable[[], T]) -> T:
    started = time.perf_counter()
    done = do()
    console.print(f"  [green]{(time.perf_counter() - started) * 1000:7.1f} ms[/]  {what}")
    return done


def _table(console: Any, server: LocalServer) -> list[dict[str, Any]]:
    import httpx
    from rich.table import Table

    table = Table(title="What runs now, as the engines say it", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("node", "role", "zone", "address", "process", "engine", "in sync"):
        table.add_column(column, no_wrap=True)
    nodes: list[dict[str, Any]] = httpx.get(f"{server.url}/v1/nodes").json()["nodes"]
    for node in nodes:
        engine = f"{node['engine_binary']['engine']} {node['engine_binary']['version']}"
        cells = (node["node"], node["role"], node["zone"], node["address"], str(node["process_id"]), engine)
        table.add_row(*cells, "yes" if node["in_sync"] else "no")
    console.print(table)
    return nodes


def _what_next(console: Any, server: LocalServer, group: dict[str, Any], node: dict[str, Any]) -> None:
    primary = group["PrimaryEndpoint"]
    lines = f"""
It stays up until Ctrl-C. In another terminal, try:

  curl {server.url}/v1/replication-groups/{GROUP}
  curl -H 'Prefer: wait=30' -H 'Content-Type: application/json' {server.url}/v1/cache-clusters \\
       -d '{{"cache_cluster_id": "sessions", "engine": "memcached", "num_cache_nodes": 3, "az_mode": "cross-az"}}'

  export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL={server.url}
  aws elasticache describe-replication-groups --replication-group-id {GROUP}
  {_ours("python")} -c "import boto3; print(boto3.client('elasticache').describe_cache_clusters()['CacheClusters'])"

  redis-cli -h {primary["Address"]} -p {primary["Port"]} set answer 42

  {_ours("cachewright")} describe {GROUP} --url {server.url}
  kill -9 {node["process_id"]}       # the primary's process; then describe again: a replica has taken over, and the node comes back

API pages: {server.url}/docs
"""
    console.print(lines, markup=False, soft_wrap=True)


def _ours(program: str) -> str:
    """How to call a program of this virtual environment from a shell that has not entered it."""
    path = Path(sys.executable).parent / program
    if which(program) == str(path):
        return program
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _wait_for_the_end() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):
            signal.signal(number, lambda *_: ended.set())
    ended.wait()
