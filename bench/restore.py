"""How long a new group takes to begin with a snapshot, in the same shards and in others, against the same engines by hand."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.engines.catalogue import find_binaries
from agents.engines.reach import Reach
from agents.engines.talk import Talk
from bench import measure as m
from bench.bare import Bare, Group, Program, dbsize, ended, scratch
from bench.mixed_keys import SLOTS, MixedKeys
from bench.snapshot import ENGINES, engine_asked, fill_shards, keys_asked
from cachewright import local_server

BOUND = 590
ROUNDS = 3
_AT_ONCE = 500  # commands of a pipeline by hand
_CLUSTER = ("cluster-node-timeout 1000", "cluster-require-full-coverage no")

Shape = dict[str, object]


def run() -> None:
    keys = keys_asked()
    m.heading(f"restore: {keys:,} keys, until the new group is available and every key is there")
    load = MixedKeys(keys)
    only = engine_asked()
    with local_server() as server:
        for engine, version, label in ENGINES:
            if only not in f"{engine}-{version}" or m.binary_of(find_binaries(), engine, version) is None:
                continue
            restores, rows = Restores(server.url, server.data_dir, engine, version, load), []
            try:
                for row in restores.rows():
                    rows.append(row)
            finally:
                m.table([f"{label}, shards", "available, ms", "and every key is there", "the same group, empty", "by hand", "ours / by hand"], rows)
    print("Median (min, max), ratio of medians; dividing by hand once. No replicas. One to one is outside cluster mode, all others are in it. By hand, one")
    print("to one and three to three is the same program with the same file until PONG, with no cluster to agree; one to more is every shard with the")
    print("whole file, foreign slots dropped (FLUSHSLOT, or UNLINK slot by slot), MEET, until all agree. Copying the file is not counted by hand. There is")
    print(f"no such way for three files to one shard or to five. Load at the end {os.getloadavg()[0]:.1f}.")


@dataclass(frozen=True)
class Source:
    """A snapshot, what its nodes were started with, and its files in the order of the shards."""

    snapshot: str
    program: Program
    files: tuple[Path, ...]


class Restores:
    """Two groups of an engine, of one shard and of three, and what becomes of their snapshots."""

    def __init__(self, url: str, data_dir: Path, engine: str, version: str, load: MixedKeys) -> None:
        self._url, self._data_dir, self._load = url, data_dir, load
        self._engine: Shape = {"engine": engine, "engine_version": version}
        self._names = (f"rest-{engine}-{version.replace('.', '')}-{number}" for number in itertools.count(1))
        self._one = self._source(_shape(1, cluster=False))
        self._three = self._source(_shape(3))

    def rows(self) -> Iterator[list[str]]:
        one, three = self._one, self._three
        yield self._row("1 → 1", one, _shape(1, cluster=False), lambda: self._loaded(one.program, one.files))
        yield self._row("1 → 3", one, _shape(3), lambda: self._divided(one.files[0], 3), is_long=True)
        yield self._row("1 → 5", one, _shape(5), lambda: self._divided(one.files[0], 5), is_long=True)
        yield self._row("3 → 3", three, _shape(3), lambda: self._loaded(three.program, three.files))
        yield self._row("3 → 1", three, _shape(1), None)
        yield self._row("3 → 5", three, _shape(5), None)

    def _source(self, shape: Shape) -> Source:
        group = Group(self._url, next(self._names), **self._engine, **shape)
        try:
            fill_shards(group, self._load)
            name = f"of-{group.name}"
            if group.snapshot(name) != "available":
                raise RuntimeError(f"snapshot {name} failed")
            newest = max((self._data_dir / "snapshots").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
            return Source(name, Program.of(group.nodes("primary")[0], self._data_dir), tuple(sorted(newest.parent.glob("*.rdb"))))
        finally:
            group.delete()

    def _row(self, label: str, source: Source, shape: Shape, hand: Callable[[], float] | None, *, is_long: bool = False) -> list[str]:
        ways: dict[str, Callable[[], tuple[float, ...]]] = {
            "ours": lambda: self._restored(source, shape), "empty": lambda: (self._empty(shape),),
        }  # fmt: skip
        if hand is not None and not is_long:
            ways["hand"] = lambda: (hand(),)
        taken = m.interleaved(ROUNDS, ways)
        available, there = (m.Figures.of(each) for each in zip(*taken["ours"], strict=True))
        row = [label, available.in_ms(), there.in_ms(), m.Figures.of(each for each, in taken["empty"]).in_ms()]
        if hand is None:
            return [*row, "", ""]
        by_hand = m.Figures.of(each for each, in taken["hand"]) if not is_long else m.Figures.of([hand()])
        return [*row, by_hand.in_ms(), f"{available.median / by_hand.median:.2f}"]

    def _restored(self, source: Source, shape: Shape) -> tuple[float, float]:
        """Seconds until a group that begins with the snapshot is available, and until its nodes have all keys."""
        began = time.perf_counter()
        group = Group(self._url, next(self._names), **self._engine, **shape, snapshot_name=source.snapshot)
        try:
            available = time.perf_counter() - began
            m.until(lambda: group.keys() == self._load.number or None, 30.0)
            return available, time.perf_counter() - began
        finally:
            group.delete()

    def _empty(self, shape: Shape) -> float:
        began = time.perf_counter()
        group = Group(self._url, next(self._names), **self._engine, **shape)
        took = time.perf_counter() - began
        group.delete()
        return took

    # ---- by hand

    def _loaded(self, program: Program, files: Sequence[Path]) -> float:
        """Seconds until engines that begin with these files answer."""
        with scratch() as folder, ended([Bare(program, folder, number, file) for number, file in enumerate(files, 1)]) as engines:
            began = time.perf_counter()
            _up(engines)
            took = time.perf_counter() - began
            self._must_have_all(engines)
            return took

    def _divided(self, file: Path, shards: int) -> float:
        """Seconds until so many engines, each of which begins with the whole file, are a cluster in which each has its slots."""
        with scratch() as folder, ended([Bare(self._three.program, folder, each, file, _CLUSTER) for each in range(1, shards + 1)]) as engines:
            began = time.perf_counter()
            _up(engines)
            bounds = [SLOTS * part // shards for part in range(shards + 1)]
            with ThreadPoolExecutor(shards) as together:
                list(together.map(_keep_only, engines, [range(*each) for each in itertools.pairwise(bounds)], range(1, shards + 1)))
            _introduce(engines)
            took = time.perf_counter() - began
            self._must_have_all(engines)
            return took

    def _must_have_all(self, engines: Sequence[Bare]) -> None:
        if (keys := sum(dbsize(engine.place) for engine in engines)) != self._load.number:
            raise RuntimeError(f"by hand there are {keys} keys of {self._load.number}")


def _shape(shards: int, cluster: bool = True) -> Shape:
    if not cluster:
        return {"num_cache_clusters": 1}
    return {"num_node_groups": shards, "replicas_per_node_group": 0, "cluster_mode": "enabled"}


def _up(engines: Sequence[Bare]) -> None:
    for engine in engines:
        engine.start()
    for engine in engines:
        engine.answers().close()


def _keep_only(engine: Bare, own: range, epoch: int) -> None:
    """Drop the keys of all other slots, which this engine took for its own when it loaded them, and then the slots."""
    talk = Talk(Reach(*engine.place))
    m.until(lambda: b"cluster_state:ok" in talk.say("CLUSTER", "INFO") or None, 30.0)
    foreign = [slot for slot in range(SLOTS) if slot not in own]
    for part in _parts(foreign):
        dropped = talk.each([("CLUSTER", "FLUSHSLOT", slot) for slot in part])
        if any(isinstance(answer, Exception) for answer in dropped):  # only Valkey 9 has that
            found = talk.obey([("CLUSTER", "GETKEYSINSLOT", slot, 100_000) for slot in part])
            talk.obey([("UNLINK", *keys) for keys in found if keys])
    beside = [each for pair in ((0, own.start - 1), (own.stop, SLOTS - 1)) if pair[0] <= pair[1] for each in pair]
    if isinstance(talk.each([("CLUSTER", "DELSLOTSRANGE", *beside)])[0], Exception):  # of few keys, none is in some slots
        for part in _parts(foreign):
            talk.each([("CLUSTER", "DELSLOTS", slot) for slot in part])
    if b"cluster_slots_assigned:%d\r" % len(own) not in talk.say("CLUSTER", "INFO"):
        for part in _parts(own):
            talk.each([("CLUSTER", "ADDSLOTS", slot) for slot in part])
    talk.each([("CLUSTER", "SET-CONFIG-EPOCH", epoch)])
    talk.close()


def _introduce(engines: Sequence[Bare]) -> None:
    talks = [Talk(Reach(*engine.place)) for engine in engines]
    for number, talk in enumerate(talks):
        talk.obey([("CLUSTER", "MEET", other.address, 6379) for other in engines[:number]] or [("PING",)])
    wanted = (b"cluster_state:ok", b"cluster_slots_assigned:16384", b"cluster_known_nodes:%d\r" % len(engines), b"cluster_size:%d\r" % len(engines))
    for talk in talks:
        m.until(lambda talk=talk: all(word in talk.say("CLUSTER", "INFO") for word in wanted) or None, 60.0)  # type: ignore[misc]
        talk.close()


def _parts(slots: Sequence[int]) -> list[Sequence[int]]:
    return [slots[first : first + _AT_ONCE] for first in range(0, len(slots), _AT_ONCE)]


if __name__ == "__main__":
    m.main(run, BOUND)
