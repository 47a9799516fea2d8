"""How long a snapshot takes until it is available, against BGSAVE and a copy by hand; where the time goes; and what a writer notices."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from agents.engines.reach import Reach
from agents.engines.talk import Talk
from bench import measure as m
from bench.bare import Bare, Group, Program, ended, node_folder, scratch
from bench.mixed_keys import MixedKeys, Place
from cachewright import local_server

BOUND = 590
ENGINES = (("valkey", "9.1", "Valkey 9.1"), ("valkey", "8.1", "Valkey 8.1"), ("redis", "7.0", "Redis 7.0"))
TARGET = 1.3
KEYS, QUICK_KEYS = 1_000_000, 100_000
ROUNDS, QUICK_ROUNDS = 11, 3
_WITHIN = 40.0  # seconds for the rounds of one table
_LOOKS = 5  # rounds in which we look at where the time goes
_WRITTEN = 5000  # keys of the writer
_HAND, _CLI, _HELD, _POLLED = "BGSAVE + copy", "redis-cli --rdb", "held", "polled"

Folder = tuple[Place, Path]


def run() -> None:
    keys = keys_asked()
    rounds = QUICK_ROUNDS if "--quick" in sys.argv else ROUNDS
    m.heading(f"snapshot: {keys:,} keys, until available")
    load = MixedKeys(keys)
    only = engine_asked()
    os.environ["CACHEWRIGHT_MOST_MANUAL_SNAPSHOTS"] = "0"
    with local_server() as server:
        for engine, version, label in ENGINES:
            if only not in f"{engine}-{version}":
                continue
            if m.binary_of(find_binaries(), engine, version) is None:
                print(f"{label}: not installed, left out\n")
                continue
            _one_engine(server.url, server.data_dir, (engine, version, label), load, rounds)
    print("Median (min, max), ratios of the rounds. Ours from the call until its answer, held until the snapshot is available, or until one of many")
    print("GETs says so. By hand: BGSAVE, INFO every millisecond until it is done, a copy of dump.rdb with fsync; redis-cli with fsync; nothing is")
    print(f"checked there. Load at the end {os.getloadavg()[0]:.1f}.")


def _one_engine(url: str, data_dir: Path, which: tuple[str, str, str], load: MixedKeys, rounds: int) -> None:
    """The tables of one engine, each as soon as it is there."""
    engine, version, label = which
    one = OneShard(url, data_dir, engine, version, load)
    try:
        m.table([f"{label}, one shard of two nodes", "ms", "ours / that (quartiles)", "target"], one.times(rounds))
        m.table(["of ours, ms", "call → engine saves", "engine saves", "saved → available", "checker by hand", "bytes"], [one.phases(label, rounds)])
        m.table([f"{label}, a writer at the primary during", "commands", "failed", "p99, ms", "worst, ms"], one.written(rounds))
    finally:
        one.group.delete()
    row = three_shards(url, data_dir, engine, version, load, label, rounds)
    m.table(["three shards of two nodes", "ours, ms", "by hand one after the other", "by hand all at once", "ours / sum", "ours / at once"], [row])


def keys_asked() -> int:
    """How many keys this run is about."""
    usual = QUICK_KEYS if "--quick" in sys.argv else KEYS
    return next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("--keys=")), usual)


def engine_asked() -> str:
    """The one that this run is about, such as valkey-9.1; every if it says nothing."""
    return next((word.partition("=")[2] for word in sys.argv if word.startswith("--engine=")), "")


_names = (f"bench-{number}" for number in itertools.count(1))


class OneShard:
    """A group of two nodes, full, and the same engine with the same keys by hand."""

    def __init__(self, url: str, data_dir: Path, engine: str, version: str, load: MixedKeys) -> None:
        self.group = Group(url, f"snap-{engine}-{version.replace('.', '')}", engine=engine, engine_version=version, num_cache_clusters=2)
        self._data_dir = data_dir
        (self._primary,), (self._replica,) = self.group.nodes("primary"), self.group.nodes("replica")
        load.fill(self.group.places()[0])
        self._load = load
        m.until(lambda: self.group.keys("replica") == load.number or None, 30.0, pause=0.01)

    def times(self, rounds: int) -> list[list[str]]:
        """Rows of how long each way takes."""
        with scratch() as folder:
            bare = Bare(Program.of(self._primary, self._data_dir), folder)
            with ended([bare]):
                bare.start()
                bare.answers().close()
                self._load.fill(bare.place)
                taken = m.interleaved(
                    rounds,
                    {
                        _HELD: self._held, _POLLED: self._polled,
                        _HAND: lambda: by_hand([(bare.place, bare.folder)], folder),
                        _CLI: lambda: _by_tool(bare.place, folder),
                    },
                    within=_WITHIN,
                )  # fmt: skip
        ours = taken[_HELD]
        rows = [["Cachewright, answer held", m.Figures.of(ours).in_ms(), "", ""]]
        rows.append(["Cachewright, asked every 4 ms", m.Figures.of(taken[_POLLED]).in_ms(), _ratio(ours, taken[_POLLED]), ""])
        rows += [[name, m.Figures.of(taken[name]).in_ms(), _ratio(ours, taken[name]), _met(ours, taken[name])] for name in (_HAND, _CLI)]
        return rows

    def phases(self, label: str, rounds: int) -> list[str]:
        """What of our time is what, seen at the folder of the node that saves."""
        seen = []
        for _ in range(min(rounds, _LOOKS)):
            with Watched(node_folder(self._data_dir, self._replica["node"])) as watched:
                began = time.perf_counter()
                self._held()
                done = time.perf_counter()
            seen.append((watched.begun - began, watched.saved - watched.begun, done - watched.saved))
        dump = node_folder(self._data_dir, self._replica["node"]) / "dump.rdb"
        checks = m.Figures.of(_check_by_hand(self._replica["engine_binary"], dump) for _ in range(min(rounds, _LOOKS)))
        return [label, *(m.Figures.of(each).in_ms() for each in zip(*seen, strict=True)), checks.in_ms(), f"{dump.stat().st_size:,}"]

    def written(self, rounds: int) -> list[list[str]]:
        """Rows of what a writer at the primary notices."""
        place, folder = self.group.places()[0], node_folder(self._data_dir, self._primary["node"])
        with scratch() as aside:
            ways: dict[str, Callable[[], object]] = {
                "nothing": lambda: time.sleep(0.5),
                "our snapshot, of the replica": self._held,
                "BGSAVE of the primary itself, and a copy": lambda: by_hand([(place, folder)], aside),
            }
            seen = m.interleaved(rounds, {name: lambda way=way: _written_during(place, way) for name, way in ways.items()},  # type: ignore[misc]
                                 within=_WITHIN)  # fmt: skip
        rows = []
        for name, parts in seen.items():
            latencies = m.Figures.of(itertools.chain.from_iterable(part[0] for part in parts))
            failed = sum(part[1] for part in parts)
            rows.append([name, f"{len(latencies.samples):,}", str(failed), f"{latencies.p99 * 1e3:.2f}", f"{latencies.high * 1e3:.1f}"])
        return rows

    def _held(self) -> float:
        return held(self.group)

    def _polled(self) -> float:
        name, began = next(_names), time.perf_counter()
        self.group.snapshot(name, wait=0)
        m.until(lambda: _settled(self.group.status_of(name)), 60.0, pause=0.004)
        took = time.perf_counter() - began
        self.group.forget(name)
        return took


def three_shards(url: str, data_dir: Path, engine: str, version: str, load: MixedKeys, label: str, rounds: int) -> list[str]:
    """A row: a snapshot of three shards against BGSAVE of their replicas one after the other, and all at once."""
    group = Group(url, f"snaps-{engine}-{version.replace('.', '')}", engine=engine, engine_version=version, num_node_groups=3,
                  replicas_per_node_group=1, cluster_mode="enabled")  # fmt: skip
    try:
        fill_shards(group, load)
        replicas = group.nodes("replica")
        folders = [((node["address"], node["port"]), node_folder(data_dir, node["node"])) for node in replicas]
        with scratch() as aside:
            taken = m.interleaved(
                rounds,
                {
                    "ours": lambda: held(group),
                    "sum": lambda: sum(by_hand([each], aside) for each in folders),
                    "at once": lambda: by_hand(folders, aside),
                },
                within=_WITHIN / 2,
            )  # fmt: skip
        figures = [m.Figures.of(taken[name]).in_ms() for name in ("ours", "sum", "at once")]
        return [label, *figures, _ratio(taken["ours"], taken["sum"]), _ratio(taken["ours"], taken["at once"])]
    finally:
        group.delete()


def fill_shards(group: Group, load: MixedKeys) -> None:
    """Each shard of evenly shared slots gets its keys, and its replica has them."""
    places = group.places()
    bounds = [16384 * part // len(places) for part in range(len(places) + 1)]
    for place, first, after in zip(places, bounds, bounds[1:], strict=False):
        load.fill(place, first, after - 1)
    m.until(lambda: not group.places("replica") or group.keys("replica") == load.number or None, 30.0, pause=0.01)


def held(group: Group) -> float:
    """Seconds of a snapshot whose answer is held until it is available. Raises RuntimeError for one that failed."""
    name, began = next(_names), time.perf_counter()
    status = group.snapshot(name)
    took = time.perf_counter() - began
    _settled(status)
    group.forget(name)
    return took


def _settled(status: str) -> bool | None:
    if status == "failed":
        raise RuntimeError("a snapshot failed")
    return status == "available" or None


def _ratio(over: Sequence[float], under: Sequence[float]) -> str:
    ratios = m.ratios(over, under)
    return f"{ratios.median:.2f} ({ratios.quartiles[0]:.2f}, {ratios.quartiles[1]:.2f})"


def _met(over: Sequence[float], under: Sequence[float]) -> str:
    return f"≤ {TARGET} ×: {'met' if m.ratios(over, under).median <= TARGET else '**not met**'}"


# ---- by hand


def by_hand(engines: Sequence[Folder], aside: Path) -> float:
    """Seconds of BGSAVE of these engines at once, until each is done and its file is copied and on the disk."""
    waiting = [(Talk(Reach(*place)), folder) for place, folder in engines]
    for talk, _ in waiting:
        m.until(lambda talk=talk: not _saves(talk) or None, 30.0)  # type: ignore[misc]
    began = time.perf_counter()
    for talk, _ in waiting:
        talk.say("BGSAVE")
    while waiting:
        still = []
        for talk, folder in waiting:
            if _saves(talk):
                still.append((talk, folder))
                continue
            talk.close()
            _copy(folder / "dump.rdb", aside / "copy.rdb")
        waiting = still
        time.sleep(0.001)
    return time.perf_counter() - began


def _saves(talk: Talk) -> bool:
    """Whether a save goes on: the engine calls it so until it has noticed that its child has ended."""
    return b"rdb_bgsave_in_progress:1" in talk.say("INFO", "persistence")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())


def _by_tool(place: Place, aside: Path) -> float:
    began = time.perf_counter()
    target = aside / "tool.rdb"
    done = subprocess.run(["redis-cli", "-h", place[0], "-p", str(place[1]), "--rdb", str(target)], capture_output=True, text=True, timeout=60,
                          check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"redis-cli --rdb: {done.stdout[-300:]}{done.stderr[-300:]}")
    with target.open("rb") as written:
        os.fsync(written.fileno())
    return time.perf_counter() - began


def _check_by_hand(binary: dict[str, Any], dump: Path) -> float:
    """Seconds of the program's own check: the server under its other name."""
    began = time.perf_counter()
    done = subprocess.run([f"{binary['engine']}-check-rdb", str(dump)], executable=binary["path"], capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"the checker refuses {dump}: {done.stdout[-300:]!r}")
    return time.perf_counter() - began


@dataclass
class Watched:
    """When a node began to write a file, and when that got its name, seen every two milliseconds."""

    folder: Path
    begun: float = 0.0
    saved: float = 0.0

    def __enter__(self) -> Watched:
        self._before = self._dump()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _look(self) -> None:
        until = time.perf_counter() + 60.0
        while not self.saved and time.perf_counter() < until:
            if not self.begun and any(path.name.startswith("temp-") for path in self.folder.iterdir()):
                self.begun = time.perf_counter()
            if self._dump() != self._before:
                self.saved = time.perf_counter()
                self.begun = self.begun or self.saved
            time.sleep(0.002)

    def _dump(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "dump.rdb").stat().st_ino
        return 0


# ---- a client that writes


def _written_during(place: Place, way: Callable[[], object]) -> tuple[list[float], int]:
    """The latencies of one writer while that happens, and how many of its commands failed."""
    with _writing(place) as (latencies, failed):
        m.until(lambda: len(latencies) > 200 or None, 10.0)
        first = len(latencies)
        way()
        last = len(latencies)
    return latencies[first : last + 1], len(failed)


@contextlib.contextmanager
def _writing(place: Place) -> Iterator[tuple[list[float], list[str]]]:
    latencies: list[float] = []
    failed: list[str] = []
    done = threading.Event()

    def write() -> None:
        wire, chosen = m.Wire(*place), random.Random(1)
        while not done.is_set():
            began = time.perf_counter()
            answer = wire.say("SET", f"w:{chosen.randrange(_WRITTEN)}", "yyyyyyyyyyyyyyyy")
            latencies.append(time.perf_counter() - began)
            if answer != "+OK":
                failed.append(answer)
        wire.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield latencies, failed
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    m.main(run, BOUND)
