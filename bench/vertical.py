"""How long nobody takes writes while a group moves to another node type, or to another version; and what was lost."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from bench import measure as m
from bench.failover import ENGINE, VERSION, Writer
from cachewright import local_server

ROUNDS = 12
BOUND = 300
TYPES = ("cache.m7g.large", "cache.t4g.small")
TARGET = 0.05


def run() -> None:
    m.heading(f"another node type: {ENGINE} {VERSION}, one writing client on one connection at a time")
    if m.binary_of(find_binaries(), ENGINE, VERSION) is None:
        print(f"{ENGINE} {VERSION} is not installed\n")
        return
    rows = []
    with local_server() as server:
        for nodes in (3, 2, 1):
            gap, whole, lost = Product(server.url, nodes).moves(ROUNDS)
            met = f"≤ {TARGET * 1e3:.0f} ms: {'met' if gap.median <= TARGET else '**not met**'}" if nodes > 1 else ""
            rows.append([f"{nodes} node{'s' * (nodes > 1)}", gap.in_ms(), whole.in_ms(), f"{lost} lost", met])
    m.table(["group", "ms, longest gap between two acknowledged writes", "ms until available again", "of the last 20,000", "target"], rows)
    print("Median (min, max). Each round every node is made anew, larger and smaller in turn.")


class Product:
    """A group of ours that moves from one node type to the other and back."""

    def __init__(self, url: str, nodes: int) -> None:
        self._http = m.Http(url)
        self._name = f"vertical-{nodes}"
        wanted = {"replication_group_id": self._name, "replication_group_description": "bench", "engine": ENGINE, "engine_version": VERSION,
                  "num_cache_clusters": nodes, "automatic_failover_enabled": nodes > 1, "cache_node_type": TYPES[1]}  # fmt: skip
        self._http.ask(self._http.request("POST", "/v1/replication-groups", json.dumps(wanted).encode(), Content_Type="application/json",
                                          Prefer="wait=20"))  # fmt: skip
        self._endpoint = self._group()["node_groups"][0]["primary_endpoint"]["address"]

    def moves(self, rounds: int) -> tuple[m.Figures, m.Figures, int]:
        """The longest gap of each move, how long each took, and how many acknowledged writes were lost."""
        gaps, whole, lost = [], [], 0
        for number in range(rounds):
            wanted = {"cache_node_type": TYPES[number % 2], "apply_immediately": True}
            ask = self._http.request("PATCH", f"/v1/replication-groups/{self._name}", json.dumps(wanted).encode(),
                                     Content_Type="application/json")  # fmt: skip
            with Writer(self._endpoint) as writer:
                started = time.perf_counter()
                self._http.ask(ask)
                m.until(lambda: self._group()["status"] == "available" or None, 60.0, pause=0.01)
                whole.append(time.perf_counter() - started)
                gaps.append(writer.longest)
            lost += self._lost(writer)
        return m.Figures.of(gaps), m.Figures.of(whole), lost

    def _group(self) -> dict[str, object]:
        asked = self._http.request("GET", f"/v1/replication-groups?replication_group_id={self._name}")
        found: dict[str, object] = json.loads(self._http.ask(asked))["replication_groups"][0]
        return found

    def _lost(self, writer: Writer) -> int:
        wire = m.Wire(self._endpoint, timeout=3.0)
        lost = sum(wire.say("EXISTS", f"key:{number}") != ":1" for number in writer.acknowledged[-20000:])
        wire.say("FLUSHALL")
        wire.close()
        return lost


if __name__ == "__main__":
    m.main(run, BOUND)
