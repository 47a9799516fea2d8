"""What discovery on every node costs: the same Memcached through its front and directly, by a lean load, in turns."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import measure as m
from cachewright import local_server

BOUND = 200
ROUNDS = 15
LONGEST = 35.0  # seconds for the rounds of one comparison
CLIENTS = 50
SECONDS = 0.5  # of load in each half of a round
KEYS, SIZE = 64, 100
TARGET = 0.45
Place = tuple[str, int]


def run() -> None:
    m.heading(f"memcached: {CLIENTS} connections of one client, items of {SIZE} bytes, up to {ROUNDS} rounds of {SECONDS} s in turns")
    rows: list[list[str]] = []
    direct_only = ("--memcached-discovery", "configuration-endpoint")
    with local_server() as fronted, local_server(options=direct_only) as plain:
        through, configuration = _a_node(fronted.client())
        direct, _ = _a_node(plain.client())
        for depth in (1, 16):
            for verb in ("get", "set"):
                rows += _compare(depth, verb, {"node": through, "configuration endpoint": configuration}, direct)
    head = ["through", "pipelined", "command", "per second", "direct", "rounds", "ratio of medians", "ratio (quartiles)", "direct / direct"]
    m.table([*head, f"target ≥ {TARGET}"], rows)
    print("Direct is a node that was created with --memcached-discovery configuration-endpoint: the same program at its own port, on the")
    print("same machine. Through the configuration endpoint there are two hops, its relay and the node's front; clients ask it for the list only.")


def _a_node(client: Any) -> tuple[Place, Place]:
    """One node in zone b, and the configuration endpoint before it, which the relay of zone a serves."""
    client.create_cache_cluster(CacheClusterId="bench", Engine="memcached", NumCacheNodes=1, PreferredAvailabilityZone="us-east-1b")
    client.get_waiter("cache_cluster_available").wait(CacheClusterId="bench")
    shown = client.describe_cache_clusters(CacheClusterId="bench", ShowCacheNodeInfo=True)["CacheClusters"][0]
    node, configuration = shown["CacheNodes"][0]["Endpoint"], shown["ConfigurationEndpoint"]
    return (node["Address"], node["Port"]), (configuration["Address"], configuration["Port"])


def _compare(depth: int, verb: str, fronts: dict[str, Place], direct: Place) -> list[list[str]]:
    variants = {name: partial(_load, place, depth, verb) for name, place in fronts.items()}
    under = partial(_load, direct, depth, verb)
    for once in (*variants.values(), under):
        once()  # for nothing: the first run meets cold connections
    taken = m.interleaved(ROUNDS, {**variants, "direct": under, "again": under}, LONGEST)
    both = [(one + other) / 2 for one, other in zip(taken["direct"], taken["again"], strict=True)]
    noise = m.ratios(taken["again"], taken["direct"])
    rows = []
    for name in fronts:
        ratio = m.ratios(taken[name], both)
        of_medians = m.Figures.of(taken[name]).median / m.Figures.of(both).median
        met = "-" if name != "node" else "met" if of_medians >= TARGET else "**not met**"
        rates = [f"{m.Figures.of(values).median:,.0f}" for values in (taken[name], both)]
        rows.append([name, str(depth), verb, *rates, str(len(both)), f"{of_medians:.2f}", _said(ratio), _said(noise), met])
    return rows


def _said(ratio: m.Figures) -> str:
    return f"{ratio.median:.2f} ({ratio.quartiles[0]:.2f}, {ratio.quartiles[1]:.2f})"


def _load(place: Place, depth: int, verb: str) -> float:
    """Requests per second, by a process of its own: a load must not share an interpreter with what sums it up."""
    command = [sys.executable, __file__, "load", place[0], str(place[1]), str(depth), verb]
    return float(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)


def load(place: Place, depth: int, verb: str) -> float:
    """Requests per second over many connections, each of which sends ``depth`` requests and waits for all their answers."""
    item = b"x" * SIZE
    stores = [b"set key:%d 0 0 %d\r\n%s\r\n" % (number, SIZE, item) for number in range(KEYS)]
    asked = b"".join(stores[:depth]) if verb == "set" else b"".join(b"get key:%d\r\n" % number for number in range(depth))
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(place, timeout=5))
        first.sendall(b"".join(stores))
        _read(first, KEYS * len(b"STORED\r\n"))
        got = b"VALUE key:%d 0 %d\r\n%s\r\nEND\r\n"
        expected = sum(8 if verb == "set" else len(got % (number, SIZE, item)) for number in range(depth))
        connections = [stack.enter_context(socket.create_connection(place)) for _ in range(CLIENTS)]
        return _drive(connections, asked, expected) * depth


def _drive(connections: list[socket.socket], asked: bytes, expected: int) -> float:
    poll = select.epoll()
    calls, missing = {}, {}
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        calls[connection.fileno()] = (connection.recv, connection.sendall)
        missing[connection.fileno()] = expected
        poll.register(connection.fileno(), select.EPOLLIN)
        connection.sendall(asked)
    done, started = 0, time.perf_counter()
    while (now := time.perf_counter()) < started + SECONDS:
        for descriptor, _ in poll.poll(1.0):
            receive, send = calls[descriptor]
            left = missing[descriptor] - len(receive(65536))
            if left == 0:
                done, left = done + 1, expected
                send(asked)
            missing[descriptor] = left
    poll.close()
    return done / (now - started)


def _read(connection: socket.socket, number: int) -> None:
    while number > 0:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the node closed the connection")
        number -= len(data)


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        address, port, depth, verb = sys.argv[2:]
        print(load((address, int(port)), int(depth), verb))
    else:
        m.main(run, BOUND)
