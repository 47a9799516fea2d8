"""How long nobody takes writes: a crashed primary, and one that hands over; against Sentinel and the engine's own cluster failover."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from agents.engines.valkey_config import replication_tuning
from api_schemas.agent.node import EngineBinary
from bench import measure as m
from cachewright import local_server

ROUNDS, FEWER = 20, 5
BOUND = 400
ENGINE, VERSION = "valkey", "9.1"
_NETWORK = "127.120.79"
_PORT = 6379
_DOWN_AFTER = 1000  # milliseconds; with less, Sentinel moved the primary unasked on a machine like this
_NODE_TIMEOUT = 1000  # milliseconds, for the engine's own failover
_PAUSE = 0.001  # seconds between two attempts that fail, as for those whom we are compared with
_A_GAP = 0.3  # seconds; a gap as long as that is the fault's
_numbers = itertools.count(1)


def run() -> None:
    m.heading(f"failover: {ENGINE} {VERSION}, one writing client on one connection at a time")
    binary = m.binary_of(find_binaries(), ENGINE, VERSION)
    if binary is None:
        print(f"{ENGINE} {VERSION} is not installed\n")
        return
    with local_server() as server:
        ours = Product(server.url)
        crash, lost = ours.crashes(ROUNDS)
        planned, kept = ours.handovers(ROUNDS)
        hung, hung_lost = ours.faults("node-hang", FEWER, lambda primary: {"cache_cluster_id": primary["node"]})
        dark, dark_lost = ours.faults("zone-power-loss", FEWER, lambda primary: {"zone": primary["zone"]})
        sharded = Product(server.url, shards=3).shard_crashes(FEWER * 2)
    hand = m.Figures.of(by_hand(binary) for _ in range(ROUNDS))
    sentinel = m.Figures.of(with_sentinel(binary, FEWER))
    gossip = m.Figures.of(with_gossip(binary, FEWER))
    rows = [
        ["crash (kill -9), cluster mode disabled", crash.in_ms(), f"{lost} lost", _met(crash, 0.05)],
        ["… in cluster mode, at the shard's new primary", sharded.in_ms(), "", ""],
        ["… promoted and bound by hand, the moment it is dead", hand.in_ms(), "", f"{crash.median / hand.median:.1f} × that"],
        [f"… by three Sentinels (down-after {_DOWN_AFTER} ms)", sentinel.in_ms(), "", f"we are {sentinel.median / crash.median:.0f} × faster"],
        [f"… by the engine's own failover, 3 shards (node-timeout {_NODE_TIMEOUT} ms)", gossip.in_ms(), "",
         f"we are {gossip.median / sharded.median:.0f} × faster"],
        ["hung (SIGSTOP)", hung.in_ms(), f"{hung_lost} lost", _met(hung, 1.5)],
        ["zone lost (every process killed, its agent silent)", dark.in_ms(), f"{dark_lost} lost", _met(dark, 3.0)],
        ["handed over (TestFailover), longest gap between two writes", planned.in_ms(), f"{kept} lost", _met(planned, 0.01)],
    ]  # fmt: skip
    m.table(["what", "ms until the first acknowledged write", "acknowledged writes", "target"], rows)
    print("Median (min, max). Target: crash ≤ 50 ms, hung ≤ 1.5 s, zone lost ≤ 3 s, handover ≤ 10 ms and nothing lost;")
    print("at least 40 × faster than Sentinel.")


def _met(figures: m.Figures, most: float) -> str:
    return f"≤ {most * 1e3:.0f} ms: {'met' if figures.median <= most else '**not met**'}"


class Writer:
    """Writes numbered keys to an address for as long as it runs, opening a new connection whenever the old one fails."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.acknowledged: list[int] = []
        self.longest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        m.until(lambda: len(self.acknowledged) > 50 or None, 10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _write(self) -> None:
        wire: m.Wire | None = None
        last = time.perf_counter()
        for number in itertools.count(1):
            if self._done.is_set():
                break
            with contextlib.suppress(OSError):
                wire = wire or m.Wire(self.address, timeout=3.0)
                if wire.say("SET", f"key:{number}", str(number)) == "+OK":
                    now = time.perf_counter()
                    self.longest, last = max(self.longest, now - last), now
                    self.acknowledged.append(number)
                    continue
            if wire is not None:
                wire.close()
                wire = None
            time.sleep(_PAUSE)
        if wire is not None:
            wire.close()


class Product:
    """A group of ours whose primary crashes or hands over again and again."""

    def __init__(self, url: str, shards: int = 0) -> None:
        self._http = m.Http(url)
        self._name = f"bench-{next(_numbers)}"
        size = {"num_node_groups": shards, "replicas_per_node_group": 1} if shards else {"num_cache_clusters": 3}
        wanted = {"replication_group_id": self._name, "replication_group_description": "bench", "engine": ENGINE, "engine_version": VERSION,
                  "automatic_failover_enabled": True, **size}  # fmt: skip
        self._http.ask(self._http.request("POST", "/v1/replication-groups", json.dumps(wanted).encode(), Content_Type="application/json",
                                          Prefer="wait=20"))  # fmt: skip
        group = json.loads(self._http.ask(self._http.request("GET", f"/v1/replication-groups?replication_group_id={self._name}")))
        part = group["replication_groups"][0]["node_groups"][0]
        self._endpoint = part["primary_endpoint"]["address"] if not shards else ""

    def crashes(self, rounds: int) -> tuple[m.Figures, int]:
        """Seconds from kill -9 of the primary to the first write through the endpoint; and how many acknowledged writes were lost."""
        taken, lost = [], 0
        for _ in range(rounds):
            primary = self._settled("primary")
            with Writer(self._endpoint) as writer:
                before = len(writer.acknowledged)
                os.kill(primary["process_id"], signal.SIGKILL)
                m.until(lambda writer=writer, before=before: len(writer.acknowledged) > before + 50 or None, 20.0)  # type: ignore[misc]
                taken.append(writer.longest)
            lost += self._lost(writer)
        return m.Figures.of(taken), lost

    def handovers(self, rounds: int) -> tuple[m.Figures, int]:
        """The longest gap between two acknowledged writes while the primary hands over; and how many acknowledged writes were lost."""
        taken, lost = [], 0
        ask = self._http.request("POST", f"/v1/replication-groups/{self._name}/failover", b'{"node_group_id": "0001"}',
                                 Content_Type="application/json")  # fmt: skip
        for _ in range(rounds):
            former = self._settled("primary")["node"]
            with Writer(self._endpoint) as writer:
                m.until(lambda: self._http.send(ask)[0] < 300 or None, 20.0, pause=0.05)  # refused while the last former is replaced
                m.until(lambda former=former: self._leads(former) or None, 20.0, pause=0.05)  # type: ignore[misc]
                taken.append(writer.longest)
            lost += self._lost(writer)
        return m.Figures.of(taken), lost

    def faults(self, kind: str, rounds: int, target: Callable[[dict[str, Any]], dict[str, str]]) -> tuple[m.Figures, int]:
        """The longest gap between two acknowledged writes with a fault injected into the primary; and how many of them were lost."""
        taken, lost = [], 0
        for _ in range(rounds):
            asked = {"kind": kind, **target(self._settled("primary"))}
            with Writer(self._endpoint) as writer:
                made = self._http.ask(self._http.request("POST", "/v1/faults", json.dumps(asked).encode(), Content_Type="application/json"))
                fault = json.loads(made)["fault"]["fault_id"]
                m.until(lambda writer=writer: writer.longest > _A_GAP or None, 20.0)  # type: ignore[misc]
                written = len(writer.acknowledged)
                m.until(lambda writer=writer, written=written: len(writer.acknowledged) > written + 50 or None, 20.0)  # type: ignore[misc]
                taken.append(writer.longest)
            self._http.ask(self._http.request("DELETE", f"/v1/faults/{fault}"))
            lost += self._lost(writer)
        return m.Figures.of(taken), lost

    def shard_crashes(self, rounds: int) -> m.Figures:
        """Seconds from kill -9 of a shard's primary until its replica acknowledges a write for one of its slots."""
        taken = []
        for _ in range(rounds):
            primary = self._settled("primary")
            heir = next(node for node in self._nodes() if node["node_group_id"] == "0001" and node["node"] != primary["node"])
            started = time.perf_counter()
            os.kill(primary["process_id"], signal.SIGKILL)
            m.first_answer(heir["address"], ("SET", "b", "1"), "+OK", 20.0).close()
            taken.append(time.perf_counter() - started)
        return m.Figures.of(taken)

    def _nodes(self) -> list[dict[str, Any]]:
        return list(json.loads(self._http.ask(self._http.request("GET", f"/v1/nodes?replication_group_id={self._name}")))["nodes"])

    def _settled(self, role: str) -> dict[str, Any]:
        """The first node of that role, once all are in sync. Of several shards the first: key ``b`` belongs to it."""

        def settled() -> list[dict[str, Any]] | None:
            nodes = self._nodes()
            return nodes if all(node["in_sync"] for node in nodes) else None

        nodes = m.until(settled, 30.0, pause=0.02)
        return next(node for node in nodes if node.get("role") == role and node["node_group_id"] == "0001")

    def _leads(self, former: str) -> bool:
        nodes = self._nodes()
        return any(node.get("role") == "primary" and node["node"] != former and node["holds"] for node in nodes)

    def _lost(self, writer: Writer) -> int:
        wire = m.Wire(self._endpoint)
        lost = sum(wire.say("EXISTS", f"key:{number}") != ":1" for number in writer.acknowledged[-2000:])
        wire.say("FLUSHALL")
        wire.close()
        return lost


# ---- By hand, Sentinel, gossip ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _engines(binary: EngineBinary, number: int, **settings: str) -> Iterator[list[tuple[str, subprocess.Popen[Any], m.Wire]]]:
    """So many engines of a network of their own, each with a connection."""
    folder = Path(tempfile.mkdtemp(prefix="cachewright-bench-"))
    made: list[tuple[str, subprocess.Popen[Any], m.Wire]] = []
    processes = []
    try:
        for each in range(1, number + 1):
            address = f"{_NETWORK}.{each}"
            processes.append((address, _started(binary, folder / address, address, settings)))
        for address, process in processes:
            made.append((address, process, m.first_answer(address, ("PING",), "+PONG")))
        yield made
    finally:
        for _, _, wire in made:
            wire.close()
        for _, process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _started(binary: EngineBinary, folder: Path, address: str, settings: dict[str, str]) -> subprocess.Popen[Any]:
    folder.mkdir(exist_ok=True)
    lines = {
        "bind": address, "port": str(_PORT), "dir": str(folder), "logfile": str(folder / "engine.log"), "save": '""', "protected-mode": "no",
        "replica-announce-ip": address, "bind-source-addr": address, **dict(replication_tuning(binary)), **settings,
    }  # fmt: skip
    (folder / "engine.conf").write_text("".join(f"{name.replace('_', '-')} {value}\n" for name, value in lines.items()))
    return subprocess.Popen([binary.path, str(folder / "engine.conf")])


def _linked(engines: list[tuple[str, subprocess.Popen[Any], m.Wire]]) -> None:
    first = engines[0]
    for _, _, wire in engines[1:]:
        wire.say("REPLICAOF", first[0], str(_PORT))
    m.until(lambda: (first[2].say("SET", "linked", "1"), first[2].say("WAIT", str(len(engines) - 1), "5"))[1] == f":{len(engines) - 1}" or None, 20.0)


def by_hand(binary: EngineBinary) -> float:
    """Kill the primary, wait for its end, promote a replica, have it bind the address, write there."""
    endpoint = f"{_NETWORK}.200"
    with _engines(binary, 3) as engines:
        _linked(engines)
        engines[0][2].say("CONFIG", "SET", "bind", f"{engines[0][0]} {endpoint}")
        started = time.perf_counter()
        engines[0][1].kill()
        engines[0][1].wait()
        engines[1][2].say("REPLICAOF", "NO", "ONE")
        m.until(lambda: engines[1][2].say("CONFIG", "SET", "bind", f"{engines[1][0]} {endpoint}") == "+OK" or None, 5.0, pause=0)
        m.first_answer(endpoint, ("SET", "a", "1"), "+OK").close()
        return time.perf_counter() - started


def with_sentinel(binary: EngineBinary, rounds: int) -> list[float]:
    """Kill the primary and write to whichever replica takes it first, for three Sentinels that watch."""
    return [_sentinel_round(binary) for _ in range(rounds)]


def _sentinel_round(binary: EngineBinary) -> float:
    folder = Path(tempfile.mkdtemp(prefix="cachewright-bench-"))
    sentinels: list[subprocess.Popen[Any]] = []
    with _engines(binary, 3) as engines:
        _linked(engines)
        try:
            for number in range(3):
                address, config = f"{_NETWORK}.{100 + number}", folder / f"sentinel-{number}.conf"
                config.write_text(
                    f"bind {address}\nport 26379\ndir {folder}\nlogfile {folder}/sentinel-{number}.log\nprotected-mode no\n"
                    f"sentinel announce-ip {address}\nsentinel monitor group {engines[0][0]} {_PORT} 2\n"
                    f"sentinel down-after-milliseconds group {_DOWN_AFTER}\nsentinel failover-timeout group 5000\n"
                )
                sentinels.append(subprocess.Popen([binary.path, str(config), "--sentinel"]))
            m.until(lambda: _know_each_other(folder) or None, 30.0, pause=0.05)
            return _until_written(engines, engines[0][1].kill)
        finally:
            for sentinel in sentinels:
                sentinel.kill()
                sentinel.wait()
            shutil.rmtree(folder)


def _know_each_other(folder: Path) -> bool:
    """Whether every Sentinel has written down both others and both replicas."""
    configs = [path.read_text() for path in folder.glob("*.conf")]
    return all(config.count("known-sentinel") == 2 and config.count("known-replica") + config.count("known-slave") == 2 for config in configs)


def with_gossip(binary: EngineBinary, rounds: int) -> list[float]:
    """Kill a shard's primary and write to its replica, for three shards that see to it themselves."""
    return [_gossip_round(binary) for _ in range(rounds)]


def _gossip_round(binary: EngineBinary) -> float:
    cluster_mode = {"cluster-enabled": "yes", "cluster-node-timeout": str(_NODE_TIMEOUT)}
    with _engines(binary, 6, **cluster_mode) as engines:
        for address, _, wire in engines:
            wire.say("CONFIG", "SET", "cluster-announce-ip", address)
        addresses = [f"{address}:{_PORT}" for address, _, _ in engines]
        made = subprocess.run(["redis-cli", "-h", engines[0][0], "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        if "All 16384 slots covered" not in made.stdout:
            raise RuntimeError(f"redis-cli --cluster create: {made.stdout[-500:]}{made.stderr[-500:]}")

        def owners() -> list[int]:
            return [index for index, (_, _, wire) in enumerate(engines) if wire.say("SET", "b", "1") == "+OK"]

        owner = m.until(lambda: owners() or None, 10.0)[0]
        m.until(lambda: engines[owner][2].say("WAIT", "1", "5") == ":1" or None, 20.0)
        rest = [engine for index, engine in enumerate(engines) if index != owner]
        return _until_written([engines[owner], *rest], engines[owner][1].kill)


def _until_written(engines: list[tuple[str, subprocess.Popen[Any], m.Wire]], crash: Callable[[], None]) -> float:
    """Seconds from the crash of the first until another acknowledges a write to key ``b``."""
    addresses = [address for address, _, _ in engines[1:]]
    started = time.perf_counter()
    crash()
    m.until(lambda: any(_takes_a_write(address) for address in addresses) or None, 30.0)
    return time.perf_counter() - started


def _takes_a_write(address: str) -> bool:
    """On a new connection each time: who changes roles closes those it has."""
    with contextlib.suppress(OSError):
        wire = m.Wire(address)
        with contextlib.closing(wire):
            return wire.say("SET", "b", "1") == "+OK"
    return False


if __name__ == "__main__":
    m.main(run, BOUND)
