"""How long a three-zone replication group takes, against starting and syncing the same three engines by hand."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from agents.engines.valkey_config import replication_tuning
from api_schemas.agent.node import EngineBinary
from bench import measure as m
from cachewright import local_server

ROUNDS = 10
BOUND = 240
ENGINES = (("valkey", "9.1", "Valkey 9.1"), ("valkey", "8.1", "Valkey 8.1"), ("redis", "7.1", "Redis 7.0 (asked for as 7.1)"))
_HAND_NETWORK = "127.120.77"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Taken:
    """Seconds from the call until the primary took a write, and until both replicas had one; None where not looked at."""

    first_write: float | None
    all_proven: float | None


def run() -> None:
    m.heading(f"create: a group of three nodes in three zones, {ROUNDS} rounds")
    binaries = find_binaries()
    rows: list[list[str]] = []
    with local_server() as server:
        for engine, version, label in ENGINES:
            binary = m.binary_of(binaries, engine, version)
            if binary is None:
                print(f"{label}: not installed, left out\n")
                continue
            product = Product(server.url, engine, version)
            product.with_prefer_wait()
            rows += _compare(label, product, binary)
    m.table(["engine", "what", "by hand, ms", "Cachewright, ms", "ratio", "target"], rows)
    print("Median (min, max). The ratio is that of the medians; target: ratio ≤ 1.5 and median ≤ 300 ms.")
    print("By hand, *available* is: both replicas acknowledged a write (WAIT 2).")


def _compare(label: str, product: Product, binary: EngineBinary) -> list[list[str]]:
    variants: dict[str, Callable[[], Taken]] = {
        "hand": lambda: by_hand(binary),
        "early": product.with_early_client,
        "wait": product.with_prefer_wait,
        "query": product.with_held_describe,
    }
    taken = m.interleaved(ROUNDS, variants)
    first = {name: m.Figures.of(one.first_write for one in of if one.first_write is not None) for name, of in taken.items()}
    proven = {name: m.Figures.of(one.all_proven for one in of if one.all_proven is not None) for name, of in taken.items()}
    return [
        _row(label, "first write, client that knows the endpoint as soon as it is bound", first["hand"], first["early"]),
        _row(label, "available, REST `Prefer: wait`", proven["hand"], proven["wait"]),
        _row(label, "… then first write by a new client", proven["hand"], first["wait"]),
        _row(label, "available, AWS Query create and one held Describe", proven["hand"], proven["query"]),
    ]


def _row(label: str, what: str, hand: m.Figures, ours: m.Figures) -> list[str]:
    ratio = ours.median / hand.median
    met = "met" if ratio <= 1.5 and ours.median <= 0.3 else "**not met**"
    return [label, what, hand.in_ms(), ours.in_ms(), f"{ratio:.2f}", met]


# ---- Ours ----------------------------------------------------------------------------------------------------------------------


class Product:
    """Creates groups of three and deletes them again, in the ways a client may."""

    def __init__(self, url: str, engine: str, version: str) -> None:
        self._http = m.Http(url)
        self._engine = engine
        self._version = version

    def with_early_client(self) -> Taken:
        """A client that asks which address the primary holds, and writes there as soon as there is one."""
        name, started = self._name(), time.perf_counter()
        self._http.ask(self._rest_create(name))
        look = self._http.request("GET", f"/v1/nodes?replication_group_id={name}")

        def held() -> str | None:
            nodes = json.loads(self._http.ask(look))["nodes"]
            return next((node["holds"][0] for node in nodes if node["holds"]), None)

        written = _write_to(m.until(held, 10.0, pause=0.004), started)
        self._http.ask(self._http.request("GET", f"/v1/replication-groups/{name}", Prefer="wait=20"))
        self._delete(name)
        return Taken(written, None)

    def with_prefer_wait(self) -> Taken:
        """One call, which answers when the group is available; then a write through the endpoint that it names."""
        name, started = self._name(), time.perf_counter()
        group = json.loads(self._http.ask(self._rest_create(name, Prefer="wait=20")))["replication_group"]
        available = time.perf_counter() - started
        if group["status"] != "available":
            raise RuntimeError(f"the group is {group['status']}")
        written = _write_to(group["node_groups"][0]["primary_endpoint"]["address"], started)
        self._delete(name)
        return Taken(written, available)

    def with_held_describe(self) -> Taken:
        """As an AWS SDK and its waiter do: create, then describe, which is held until the status changes."""
        name, started = self._name(), time.perf_counter()
        self._http.ask(self._http.query(
            "CreateReplicationGroup", ReplicationGroupId=name, ReplicationGroupDescription="bench", Engine=self._engine,
            EngineVersion=self._version, NumCacheClusters=3, AutomaticFailoverEnabled="true", MultiAZEnabled="true",
        ))  # fmt: skip
        describe = self._http.query("DescribeReplicationGroups", ReplicationGroupId=name)
        m.until(lambda: b"<Status>available</Status>" in self._http.ask(describe) or None, 20.0)
        available = time.perf_counter() - started
        self._delete(name)
        return Taken(None, available)

    def _name(self) -> str:
        return f"bench-{next(_numbers)}"

    def _rest_create(self, name: str, **headers: str) -> bytes:
        wanted = {
            "replication_group_id": name, "replication_group_description": "bench", "engine": self._engine,
            "engine_version": self._version, "num_cache_clusters": 3, "automatic_failover_enabled": True, "multi_az_enabled": True,
        }  # fmt: skip
        body = json.dumps(wanted).encode()
        return self._http.request("POST", "/v1/replication-groups", body, Content_Type="application/json", **headers)

    def _delete(self, name: str) -> None:
        self._http.ask(self._http.request("DELETE", f"/v1/replication-groups/{name}", Prefer="wait=20"))


def _write_to(address: str, started: float) -> float:
    wire = m.first_answer(address, ("SET", "bench", "1"), "+OK")
    written = time.perf_counter() - started
    wire.close()
    return written


# ---- By hand -------------------------------------------------------------------------------------------------------------------


def by_hand(binary: EngineBinary) -> Taken:
    """The quickest way we know: all three at once, REPLICAOF to both when all answer, the settings that sync fastest."""
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="cachewright-bench-"))
    addresses = [f"{_HAND_NETWORK}.{number}" for number in (1, 2, 3)]
    processes: list[subprocess.Popen[Any]] = []
    wires: list[m.Wire] = []
    try:
        processes += [subprocess.Popen([binary.path, str(_config(folder, address, binary))]) for address in addresses]
        wires += [m.first_answer(address, ("PING",), "+PONG") for address in addresses]
        primary, *replicas = wires
        for replica in replicas:
            replica.say("REPLICAOF", addresses[0], "6379")
        first_write = _written(primary, started)
        m.until(lambda: _both_have_a_write(primary), 10.0, pause=0)
        return Taken(first_write, time.perf_counter() - started)
    finally:
        for wire in wires:
            wire.close()
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _config(folder: Path, address: str, binary: EngineBinary) -> Path:
    own = folder / address
    own.mkdir()
    lines = {
        "bind": address, "port": "6379", "dir": str(own), "logfile": str(own / "engine.log"), "save": '""', "appendonly": "no",
        "protected-mode": "no", "replica-announce-ip": address, "bind-source-addr": address, **dict(replication_tuning(binary)),
    }  # fmt: skip
    path = own / "engine.conf"
    path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    return path


def _written(primary: m.Wire, started: float) -> float:
    if primary.say("SET", "bench", "1") != "+OK":
        raise RuntimeError("the primary refused a write")
    return time.perf_counter() - started


def _both_have_a_write(primary: m.Wire) -> bool | None:
    """WAIT asks for acknowledgements only from those that are there when it starts, hence a short one, again and again."""
    primary.say("SET", "bench", "2")
    return primary.say("WAIT", "2", "5") == ":2" or None


if __name__ == "__main__":
    m.main(run, BOUND)
