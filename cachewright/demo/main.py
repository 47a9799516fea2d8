"""The story of the demo: a server, a group of three nodes, a crash of its primary; then it stays up and says what to try next."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from cachewright.demo.failover import show_failover
from cachewright.demo.nodes import show_nodes
from cachewright.demo.what_next import what_next
from cachewright.local_server import LocalServer, ServerFailedError, local_server

if TYPE_CHECKING:
    from rich.console import Console

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

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]Cachewright[/] serves the ElastiCache API at [bold]{server.url}[/]  (engines: {server.engines})\n")
    elasticache, lab = server.client(), server.client("lab")
    _timed(console, "create_replication_group, 3 nodes over 3 zones: answered", lambda: _create(elasticache))
    waiter = elasticache.get_waiter("replication_group_available")
    _timed(console, "available: 3 engines run, both replicas have acknowledged a write", lambda: waiter.wait(ReplicationGroupId=GROUP))
    group = elasticache.describe_replication_groups(ReplicationGroupId=GROUP)["ReplicationGroups"][0]["NodeGroups"][0]
    _write_and_read(console, group)
    endpoint = group["PrimaryEndpoint"]
    show_failover(console, show_nodes(console, lab), endpoint, elasticache, lab)
    console.print(what_next(server.url, GROUP, endpoint, show_nodes(console, lab)), markup=False)


def _create(elasticache: Any) -> Any:
    return elasticache.create_replication_group(
        ReplicationGroupId=GROUP,
        ReplicationGroupDescription="orders of the day",
        Engine="valkey",
        NumCacheClusters=3,
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
    )


def _write_and_read(console: Console, group: dict[str, Any]) -> None:
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


def _timed(console: Console, what: str, do: Callable[[], T]) -> T:
    started = time.perf_counter()
    done = do()
    console.print(f"  [green]{(time.perf_counter() - started) * 1000:7.1f} ms[/]  {what}")
    return done


def _wait_for_the_end() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):
            signal.signal(number, lambda *_: ended.set())
    ended.wait()
