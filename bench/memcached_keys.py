"""What share of the keys a client finds elsewhere when a Memcached cluster gets a node more or less, by the way it chooses nodes."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient
from pymemcache.client.rendezvous import RendezvousHash

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import measure as m
from cachewright import local_server

BOUND = 120
KEYS = 20_000
BATCH = 500
STEPS = ((1, 2), (3, 4), (4, 3), (10, 11))
POINTS = 160
"""How many places a node has on a ketama ring."""

SIGMAS = 4
"""So many standard deviations from what is expected are taken for chance."""

Place = tuple[str, int]


class Ketama:
    """A consistent hash: each node has 160 places on a ring, and a key belongs to the node of the first place after it."""

    def __init__(self) -> None:
        from uhashring import HashRing

        self._ring = HashRing(hash_fn="ketama")

    def add_node(self, node: str) -> None:
        self._ring.add_node(node)

    def remove_node(self, node: str) -> None:
        self._ring.remove_node(node)

    def get_node(self, key: str) -> str:
        return str(self._ring.get_node(key))


@dataclass
class Modulo:
    """The number of nodes divides the hash of a key, and what is left says which node of the list has it."""

    nodes: list[str] = field(default_factory=list)

    def add_node(self, node: str) -> None:
        self.nodes = sorted({*self.nodes, node})

    def remove_node(self, node: str) -> None:
        self.nodes.remove(node)

    def get_node(self, key: str) -> str:
        return self.nodes[zlib.crc32(key.encode()) % len(self.nodes)]


WAYS: dict[str, type[Any]] = {"ketama": Ketama, "rendezvous": RendezvousHash, "modulo": Modulo}
"""Ways to choose a node, as hashers of pymemcache's HashClient, of which rendezvous is the usual one."""


def run() -> None:
    m.heading(f"memcached_keys: {KEYS:,} keys by each way of choosing, through the discovered nodes of one cluster")
    with local_server() as server:
        rows = [[f"{before} → {after}", *(_said(way, before, after, shares[way]) for way in WAYS)] for before, after, shares in measured(server.client())]
    m.table(["nodes", *WAYS], rows)
    print("Measured share of the keys that are not found any more, and what is expected: of n and n + 1 nodes, 1 / (n + 1) or n / (n + 1).")


def _said(way: str, before: int, after: int, share: float) -> str:
    return f"{share:.1%} (expected {expected(way, before, after):.1%})"


def expected(way: str, before: int, after: int) -> float:
    """The share of the keys that belong to another node, or to one that has gone, when there is one node more or less."""
    most = max(before, after)
    return (most - 1) / most if way == "modulo" else 1 / most


def tolerance(way: str, before: int, after: int) -> float:
    """What chance may add to the expected share or take away from it.

    Keys fall independently of each other: a binomial share of ``KEYS``. On a ring the nodes' own shares differ as well: one is the sum of
    160 arcs of random length, each with a standard deviation as large as its mean.
    """
    share = expected(way, before, after)
    of_keys = math.sqrt(share * (1 - share) / KEYS)
    of_ring = share * math.sqrt((1 - share) / POINTS) if way == "ketama" else 0.0
    return SIGMAS * math.hypot(of_keys, of_ring)


def measured(client: Any) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Numbers of nodes before and after, and the share of the keys that moved, for each way of choosing."""
    asked = {"CacheClusterId": "moving-keys", "Engine": "memcached", "NumCacheNodes": STEPS[0][0]}
    client.create_cache_cluster(**asked)
    endpoint = _available(client)["ConfigurationEndpoint"]
    place = (endpoint["Address"], endpoint["Port"])
    for before, after in STEPS:
        scale(client, before)
        nodes = discovered(place)
        for way in WAYS:
            _write(way, f"{way}:{before}:{after}", nodes)
        scale(client, after)
        now = discovered(place)
        yield before, after, {way: 1 - len(_found(way, f"{way}:{before}:{after}", now)) / KEYS for way in WAYS}
    client.delete_cache_cluster(CacheClusterId="moving-keys")
    client.get_waiter("cache_cluster_deleted").wait(CacheClusterId="moving-keys")


def scale(client: Any, number: int) -> None:
    """The cluster has so many nodes; of too many, those with the highest ids have gone."""
    ids = [node["CacheNodeId"] for node in _available(client)["CacheNodes"]]
    if len(ids) == number:
        return
    fewer = {"CacheNodeIdsToRemove": ids[number:]} if number < len(ids) else {}
    client.modify_cache_cluster(CacheClusterId="moving-keys", NumCacheNodes=number, ApplyImmediately=True, **fewer)
    _available(client)


def _available(client: Any) -> Any:
    client.get_waiter("cache_cluster_available").wait(CacheClusterId="moving-keys")
    return client.describe_cache_clusters(CacheClusterId="moving-keys", ShowCacheNodeInfo=True)["CacheClusters"][0]


def discovered(place: Place) -> list[Place]:
    """The nodes as the configuration endpoint tells them."""
    with closing(Client(place, connect_timeout=5, timeout=5)) as client:
        told = client.raw_command(b"config get cluster", b"\n\r\nEND\r\n")
    nodes = told.split(b"\n")[2].decode().split()
    return [(address, int(port)) for _, address, port in (node.split("|") for node in nodes)]


def _write(way: str, prefix: str, nodes: list[Place]) -> None:
    """Every key is there, as the same client sees it."""
    with closing(_client(way, nodes)) as client:
        for batch in _batches(prefix):
            client.set_many(dict.fromkeys(batch, "v"), noreply=False)
    lacking = KEYS - len(_found(way, prefix, nodes))
    if lacking:
        raise RuntimeError(f"{lacking} of {KEYS} keys were not stored on {len(nodes)} nodes")


def _found(way: str, prefix: str, nodes: list[Place]) -> set[str]:
    """The keys that a client which knows these nodes finds."""
    found: set[str] = set()
    with closing(_client(way, nodes)) as client:
        for batch in _batches(prefix):
            found |= client.get_many(batch).keys()
    return found


def _client(way: str, nodes: list[Place]) -> HashClient:
    return HashClient(nodes, hasher=WAYS[way], connect_timeout=5, timeout=5)


def _batches(prefix: str) -> Iterator[list[str]]:
    for first in range(0, KEYS, BATCH):
        yield [f"{prefix}:{number}" for number in range(first, first + BATCH)]


if __name__ == "__main__":
    m.main(run, BOUND)
