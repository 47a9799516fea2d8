"""How fast slots with their keys go to another shard, and what clients notice of it, against ``redis-cli --cluster reshard``."""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from agents.engines.reach import Reach
from agents.engines.talk import Talk
from agents.engines.valkey_config import replication_tuning
from api_schemas.agent.node import EngineBinary
from bench import measure as m
from cachewright import local_server

BOUND = 400
ENGINES = (("valkey", "9.1", "Valkey 9.1", 20.0), ("valkey", "8.1", "Valkey 8.1", 3.0), ("redis", "7.0", "Redis 7.0", 3.0))
_KEYS, _QUICK_KEYS = 1_000_000, 100_000
_TOOL_SLOTS = 500  # that redis-cli moves: its speed does not change with their number, its time does
_SLOTS = 16384
_NETWORK = "127.120.79"
_PORT = 6379
_WRITTEN = 5000  # keys of the writer
_SCALE_OUT = 10

Place = tuple[str, int]


def run() -> None:
    quick = "--quick" in sys.argv
    keys = next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("--keys=")), _QUICK_KEYS if quick else _KEYS)
    m.heading(f"reshard: {keys:,} keys on two shards, and a third that is empty")
    load = Load(keys)
    binaries = find_binaries()
    rows: list[list[str]] = []
    with local_server() as server:
        for replicas in (0, 1):
            for engine, version, label, target in ENGINES:
                binary = m.binary_of(binaries, engine, version)
                if binary is None:
                    print(f"{label}: not installed, left out\n")
                    continue
                ours = of_ours(server.url, engine, version, replicas, load)
                tool = by_hand(binary, replicas, load) if shutil.which("redis-cli") else {}
                rows += _rows(f"{label}, {replicas} replicas", ours, tool, target)
        m.table(["engine", "moved by", "keys", "keys/s", "we are faster by", "seconds in all", "failed", "p99, ms", "worst, ms"], rows)
        scaled = scale_out(server.url, load)
    m.table(["from 1 to 10 shards, Valkey 9.1", "keys/s", "seconds in all", "commands", "failed", "p99, ms", "worst, ms"], [scaled])
    print(f"Keys per second from the first key at the target, or the first job there, to the last. redis-cli moves {_TOOL_SLOTS} slots in each run, we")
    print("move all 5,461. One writer, SET after SET to random keys, redirections followed and part of a command's time. In all: from the call until the")
    print(f"group is available, new nodes and all; redis-cli from its start to its end. Load at the end {os.getloadavg()[0]:.1f}.")


def _rows(label: str, ours: Move, tool: dict[str, Move], target: float) -> list[list[str]]:
    rows = [[label, "Cachewright", *ours.cells("")]]
    for name, move in tool.items():
        ratio = ours.speed / move.speed
        rows.append([label, name, *move.cells(f"{ratio:.1f} × (≥ {target:.0f} ×: {'met' if ratio >= target else '**not met**'})")])
    return rows


@dataclass(frozen=True)
class Move:
    """What a move took: keys, the seconds in which they arrived, the seconds in all; and what the writer saw meanwhile."""

    keys: int
    arriving: float
    whole: float
    written: m.Figures
    failed: list[str]

    @property
    def speed(self) -> float:
        return self.keys / self.arriving

    def cells(self, ratio: str) -> list[str]:
        latencies = [f"{self.written.p99 * 1e3:.1f}", f"{self.written.high * 1e3:.0f}"]
        return [f"{self.keys:,}", f"{self.speed:,.0f}", ratio, f"{self.whole:.1f}", str(len(self.failed)), *latencies]


# ---- keys, and a client that writes


def slot_of(key: str) -> int:
    return binascii.crc_hqx(key.encode(), 0) % _SLOTS


class Load:
    """A million keys as the commands that set them, by slot, made once."""

    def __init__(self, keys: int) -> None:
        self._commands: list[list[bytes]] = [[] for _ in range(_SLOTS)]
        names = [*(f"key:{number}" for number in range(keys)), *(f"w:{number}" for number in range(_WRITTEN))]
        for name in names:
            self._commands[slot_of(name)].append(f"*3\r\n$3\r\nSET\r\n${len(name)}\r\n{name}\r\n$8\r\nxxxxxxxx\r\n".encode())

    def fill(self, place: Place, first: int, last: int) -> None:
        """Set those of some slots, and wait until replicas have them."""
        commands = [command for commands in self._commands[first : last + 1] for command in commands]
        blob = b"".join(commands)
        with socket.create_connection(place, timeout=60) as wire:
            sender = threading.Thread(target=wire.sendall, args=[blob])
            sender.start()
            missing = len(commands) * len(b"+OK\r\n")
            while missing > 0:
                answer = wire.recv(min(missing, 1 << 20))
                if not answer or not answer.startswith((b"+", b"O", b"K", b"\r", b"\n")):
                    raise RuntimeError(f"filling was refused: {answer[:100]!r}")
                missing -= len(answer)
            sender.join()


class Writer:
    """Writes random keys one after the other, and follows redirections; everything else counts as failed."""

    def __init__(self, owners: dict[int, Place]) -> None:
        self.latencies: list[float] = []
        self.failed: list[str] = []
        self._owners = owners
        self._wires: dict[Place, m.Wire] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        m.until(lambda: len(self.latencies) > 100 or None, 30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for wire in self._wires.values():
            wire.close()

    def _write(self) -> None:
        chosen = random.Random(1)
        while not self._done.is_set():
            key = f"w:{chosen.randrange(_WRITTEN)}"
            began = time.perf_counter()
            try:
                answer = self._set(key)
            except OSError as failed:
                answer = repr(failed)
                self._wires.clear()
            self.latencies.append(time.perf_counter() - began)
            if answer != "+OK":
                self.failed.append(answer)

    def _set(self, key: str) -> str:
        slot = slot_of(key)
        place, answer = self._owners[slot], ""
        for _ in range(1000):
            wire = self._wire(place)
            answer = wire.say("SET", key, "yyyyyyyy")
            while answer.startswith("-ASK"):
                other = self._wire(_place_in(answer))
                other.say("ASKING")
                answer = other.say("SET", key, "yyyyyyyy")
            if not answer.startswith("-MOVED"):
                break
            place = self._owners[slot] = _place_in(answer)
        return answer

    def _wire(self, place: Place) -> m.Wire:
        if place not in self._wires:
            self._wires[place] = m.Wire(*place)
        return self._wires[place]


def _place_in(answer: str) -> Place:
    host, _, port = answer.split()[2].rpartition(":")
    return host, int(port)


class Arrivals:
    """Looks how many keys each of some nodes has, a hundred times a second."""

    def __init__(self, find: Callable[[], list[Place]]) -> None:
        self.seen: list[tuple[float, int]] = []
        self.began: float | None = None
        self._find = find
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def keys(self) -> int:
        return self.seen[-1][1] - self.seen[0][1]

    @property
    def seconds(self) -> float:
        ended = next(at for at, keys in self.seen if keys == self.seen[-1][1])
        began = self.began if self.began is not None else ended
        return max(ended - began, 0.001)

    def _look(self) -> None:
        places = self._find()
        talks = [Talk(Reach(*place)) for place in places]
        while not self._done.wait(0.01):
            if self.began is None and any(_has_a_job(talk) for talk in talks):
                self.began = time.perf_counter()
            keys = sum(talk.say("DBSIZE") for talk in talks)
            self.seen.append((time.perf_counter(), keys))
            if self.began is None and keys > self.seen[0][1]:
                self.began = self.seen[-2][0]
        for talk in talks:
            talk.close()


def _has_a_job(talk: Talk) -> bool:
    """Whether Valkey 9 tells of slots that it gets: their keys do not count until the slots are its own."""
    (told,) = talk.each([("CLUSTER", "GETSLOTMIGRATIONS")])
    return isinstance(told, list) and bool(told)


# ---- ours


class Product:
    """A group of ours."""

    def __init__(self, url: str, engine: str, version: str, shards: int, replicas: int, name: str) -> None:
        self._http, self.name = m.Http(url), name
        wanted = {"replication_group_id": name, "replication_group_description": "bench", "engine": engine, "engine_version": version,
                  "num_node_groups": shards, "replicas_per_node_group": replicas, "cluster_mode": "enabled"}  # fmt: skip
        self._http.ask(self._http.request("POST", "/v1/replication-groups", json.dumps(wanted).encode(), Content_Type="application/json",
                                          Prefer="wait=20"))  # fmt: skip
        self._nodes_of = self._http.request("GET", f"/v1/nodes?replication_group_id={name}")
        self._listed = self._http.query("DescribeReplicationGroups")

    def primaries(self) -> dict[str, Place]:
        """The primary of each shard that runs."""
        nodes = json.loads(self._http.ask(self._nodes_of))["nodes"]
        return {node["node_group_id"]: (node["address"], node["port"]) for node in nodes if node.get("role") == "primary"}

    def reshard(self, shards: int) -> None:
        self._http.ask(self._http.query("ModifyReplicationGroupShardConfiguration", ReplicationGroupId=self.name, NodeGroupCount=shards,
                                        ApplyImmediately="true"))  # fmt: skip
        m.until(lambda: b"<Status>modifying</Status>" not in self._http.ask(self._listed) or None, 200.0, pause=0.02)

    def delete(self) -> None:
        self._http.ask(self._http.request("DELETE", f"/v1/replication-groups/{self.name}", Prefer="wait=20"))


def of_ours(url: str, engine: str, version: str, replicas: int, load: Load, shards: int = 2, more: int = 1) -> Move:
    """Add shards to a group of ours that is full and written to."""
    group = Product(url, engine, version, shards, replicas, f"bench-{engine}-{version.replace('.', '')}-{replicas}-{shards}")
    try:
        before = group.primaries()
        owners = _filled(load, list(before.values()))

        def fresh() -> list[Place]:
            watcher = Product.__new__(Product)
            watcher._http, watcher._nodes_of = m.Http(url), group._nodes_of
            return m.until(lambda: _others(watcher.primaries(), before, more), 60.0, pause=0.01)

        with Writer(owners) as writer, Arrivals(fresh) as arrivals:
            writer.latencies.clear()
            began = time.perf_counter()
            group.reshard(shards + more)
            whole = time.perf_counter() - began
        return Move(arrivals.keys, arrivals.seconds, whole, m.Figures.of(writer.latencies), writer.failed)
    finally:
        group.delete()


def _others(now: dict[str, Place], before: dict[str, Place], more: int) -> list[Place] | None:
    places = [place for name, place in now.items() if name not in before]
    return places if len(places) == more else None


def _filled(load: Load, places: list[Place]) -> dict[int, Place]:
    """Who owns each slot, once each has its keys. Slots are evenly shared."""
    bounds = [_SLOTS * part // len(places) for part in range(len(places) + 1)]
    for place, first, after in zip(places, bounds, bounds[1:], strict=False):
        load.fill(place, first, after - 1)
    return {slot: place for place, first, after in zip(places, bounds, bounds[1:], strict=False) for slot in range(first, after)}


def scale_out(url: str, load: Load) -> list[str]:
    move = of_ours(url, "valkey", "9.1", 0, load, shards=1, more=_SCALE_OUT - 1)
    keys, speed, _, whole, failed, p99, worst = move.cells("")
    return [f"{keys} keys moved", speed, whole, f"{len(move.written.samples):,}", failed, p99, worst]


# ---- redis-cli


def by_hand(binary: EngineBinary, replicas: int, load: Load) -> dict[str, Move]:
    """The same engine programs as three shards of which one is empty, and redis-cli, which moves slots there twice."""
    with _engines(binary, replicas) as places:
        owners = _filled(load, places[:2])
        moved = {}
        for name, options in (("redis-cli", ()), ("redis-cli, pipeline 100", ("--cluster-pipeline", "100"))):
            with Writer(owners) as writer, Arrivals(lambda: [places[2]]) as arrivals:
                m.until(lambda arrivals=arrivals: arrivals.seen or None, 10.0)  # type: ignore[misc]
                writer.latencies.clear()
                began = time.perf_counter()
                _reshard_by_tool(places, options)
                whole = time.perf_counter() - began
            moved[name] = Move(arrivals.keys, arrivals.seconds, whole, m.Figures.of(writer.latencies), writer.failed)
        return moved


def _reshard_by_tool(places: list[Place], options: tuple[str, ...]) -> None:
    ids = [_said(place, "MYID") for place in places]
    command = ["redis-cli", "--cluster", "reshard", f"{places[0][0]}:{_PORT}", "--cluster-from", ",".join(ids[:2]), "--cluster-to", ids[2],
               "--cluster-slots", str(_TOOL_SLOTS), "--cluster-yes", *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        raise RuntimeError(f"redis-cli --cluster reshard: {done.stdout[-300:]}{done.stderr[-300:]}")


@contextlib.contextmanager
def _engines(binary: EngineBinary, replicas: int) -> Iterator[list[Place]]:
    """Three shards that know each other, the first two with half of the slots each; yields their primaries."""
    folder = Path(tempfile.mkdtemp(prefix="cachewright-bench-"))
    places = [(f"{_NETWORK}.{number + 1}", _PORT) for number in range(3 * (1 + replicas))]
    processes = [_started(binary, folder / place[0], place[0]) for place in places]
    try:
        for place in places:
            m.first_answer(place[0], ("PING",), "+PONG").close()
        _introduce(places, replicas)
        yield places[:3]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _introduce(places: list[Place], replicas: int) -> None:
    for number, place in enumerate(places):
        _said(place, "SET-CONFIG-EPOCH", str(number + 1))
        for other in places[:number]:
            _said(place, "MEET", other[0], str(other[1]))
    _said(places[0], "ADDSLOTSRANGE", "0", "8191")
    _said(places[1], "ADDSLOTSRANGE", "8192", "16383")
    for number, place in enumerate(places[3:] if replicas else []):
        leader = _said(places[number], "MYID")
        m.until(lambda place=place, leader=leader: _said(place, "REPLICATE", leader) == "OK" or None, 20.0, pause=0.02)  # type: ignore[misc]
    for place in places:
        m.until(lambda place=place: _knows_all(place, len(places)) or None, 30.0, pause=0.02)  # type: ignore[misc]
    time.sleep(2.0)  # redis-cli refuses to begin before all nodes tell the same of each other


def _knows_all(place: Place, number: int) -> bool:
    told = _said(place, "INFO")
    return "cluster_state:ok" in told and f"cluster_known_nodes:{number}" in told


def _said(place: Place, *words: str) -> str:
    done = subprocess.run(["redis-cli", "-h", place[0], "-p", str(place[1]), "CLUSTER", *words], capture_output=True, text=True,
                          timeout=20, check=True)  # fmt: skip
    return done.stdout.strip()


def _started(binary: EngineBinary, folder: Path, address: str) -> subprocess.Popen[Any]:
    folder.mkdir()
    lines = {
        "bind": address, "port": str(_PORT), "dir": str(folder), "logfile": str(folder / "engine.log"), "save": '""', "protected-mode": "no",
        "bind-source-addr": address, "replica-announce-ip": address, "cluster-enabled": "yes", "cluster-announce-ip": address,
        "cluster-node-timeout": "8000", "cluster-require-full-coverage": "no", "cluster-replica-no-failover": "yes",
        **dict(replication_tuning(binary)),
    }  # fmt: skip
    config = folder / "engine.conf"
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    return subprocess.Popen([binary.path, str(config)])


if __name__ == "__main__":
    m.main(run, BOUND)
