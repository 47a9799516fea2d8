"""Who uses the caches meanwhile: writers that keep a ledger, and probes that try to write to every single node."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from waiting import wait_until

BEAT = 0.002  # seconds between two writes of one writer
PROBED_EVERY = 0.05  # seconds
_PATIENCE = 0.5  # seconds for one answer
_BATCH = 500


def as_it_is(host: str) -> str:
    """The address of a host that is called by its address."""
    return host


@dataclass(frozen=True)
class Lane:
    """One shard as its clients see it. ``tag`` is a hash tag of one of its slots, ``place`` the endpoint that clients begin at.

    ``find`` is how they learn the address behind its name, each time they connect. Raises OSError where it leads nowhere.
    """

    group: str
    shard: str
    place: tuple[str, int]
    tag: str
    sharded: bool
    find: Callable[[str], str] = field(default=as_it_is, compare=False)

    def __str__(self) -> str:
        return f"{self.group}/{self.shard}"

    def connect(self) -> Any:
        """A client that does not try again by itself: every failure is seen."""
        quick = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE, "decode_responses": True, "retry": Retry(NoBackoff(), 0)}
        host, port = self.find(self.place[0]), self.place[1]
        return RedisCluster(host=host, port=port, **quick) if self.sharded else redis.Redis(host=host, port=port, **quick)  # type: ignore[arg-type]

    def key(self, number: int | str) -> str:
        return f"w:{{{self.tag}}}:{number}"


@dataclass(frozen=True)
class Written:
    """A write that was acknowledged, by a clock of this process."""

    number: int
    sent_at: float
    acknowledged_at: float


class Writer:
    """Writes numbered keys through the lane's endpoint, one after another, for as long as it lives."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.ledger: list[Written] = []
        self.failures: list[tuple[float, str]] = []
        self._number = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name=f"writer-{lane}", daemon=True)
        self._thread.start()

    def go_on_for(self, writes: int, within: float = 30) -> None:
        """Return once so many more writes were acknowledged."""
        wanted = self._number_of_acknowledged() + writes
        try:
            wait_until(lambda: self._number_of_acknowledged() >= wanted, within=within)
        except AssertionError:
            raise AssertionError(f"{self.lane} takes no writes: {self.failures[-1:]}") from None

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def longest_gap(self, since: float) -> tuple[float, float]:
        """The longest time without an acknowledged write that ended after this moment: seconds, and when it ended."""
        times = [since, *(written.acknowledged_at for written in list(self.ledger) if written.acknowledged_at > since)]
        return max(((after - before, after) for before, after in pairwise(times)), default=(0.0, since))

    def lost(self) -> list[Written]:
        """The acknowledged writes of the ledger that are not there."""
        ledger = list(self.ledger)
        with contextlib.closing(self.lane.connect()) as client:
            missing = []
            for batch in _batches(ledger):
                values = client.mget([self.lane.key(written.number) for written in batch])
                missing += [written for written, value in zip(batch, values, strict=True) if value != str(written.number)]
        return missing

    def forget(self) -> None:
        """Take what is in the ledger out of it and out of the cache. Nobody may be in trouble."""
        ledger, self.ledger, self.failures = self.ledger, [], []
        with contextlib.closing(self.lane.connect()) as client:
            for batch in _batches(ledger):
                client.unlink(*(self.lane.key(written.number) for written in batch))

    def _number_of_acknowledged(self) -> int:
        return self.ledger[-1].number if self.ledger else 0

    def _write(self) -> None:
        while not self._closing.is_set():
            try:
                with contextlib.closing(self.lane.connect()) as client:
                    while not self._closing.wait(BEAT):
                        self._number += 1
                        sent_at = time.monotonic()
                        client.set(self.lane.key(self._number), self._number)
                        self.ledger.append(Written(self._number, sent_at, time.monotonic()))
            except (redis.RedisError, RedisClusterException, OSError, AttributeError) as failed:  # the last: redis-py on ASK to a node it never met
                self.failures.append((time.monotonic(), f"{type(failed).__name__}: {failed}"))
                self._closing.wait(BEAT)


class Ballast:
    """Keys that were written before any trouble, and must be there after each."""

    def __init__(self, lane: Lane, keys: int = 1000) -> None:
        self._lane = lane
        self._wanted = {lane.key(f"ballast-{number}"): str(number) for number in range(keys)}
        with contextlib.closing(lane.connect()) as client:
            client.mset(self._wanted)

    def lost(self) -> int:
        """How many are not there."""
        with contextlib.closing(self._lane.connect()) as client:
            return sum(found != wanted for found, wanted in zip(client.mget(list(self._wanted)), self._wanted.values(), strict=True))


@dataclass
class Reign:
    """A time in which one node took every write that was tried."""

    node: str
    since: float
    until: float


def where_we_are() -> None:
    """A probe that goes nowhere first."""


class Probes:
    """Try to write to every node of a lane at its own address, over and over. What a replica refuses costs nothing.

    ``enter`` has the calling thread go to where the probe of a node is to be, for those that shall be near their nodes.
    """

    def __init__(self, lane: Lane, nodes: dict[str, tuple[str, int]], enter: dict[str, Callable[[], None]] | None = None) -> None:
        self._lane = lane
        self._enter = enter or {}
        self._taken: dict[str, list[tuple[float, float]]] = {node: [] for node in nodes}
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._probe, args=each, name="probe", daemon=True) for each in nodes.items()]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def two_at_once(self) -> float:
        """Seconds of the longest time in which two nodes took writes."""
        return longest_together(self.reigns())

    def taken_by(self, node: str, since: float) -> list[float]:
        """When it acknowledged what it took after that moment."""
        return [acknowledged_at for _, acknowledged_at in self._taken.get(node, []) if acknowledged_at > since]

    def reigns(self) -> list[Reign]:
        """Who took writes from when to when, the earliest first."""
        found = [reign for node, taken in self._taken.items() for reign in reigns_of(node, taken)]
        return sorted(found, key=lambda reign: reign.since)

    def _probe(self, node: str, place: tuple[str, int]) -> None:
        self._enter.get(node, where_we_are)()
        key = f"probe:{{{self._lane.tag}}}:{node}"
        while not self._closing.is_set():
            with contextlib.suppress(redis.RedisError, OSError), _direct(place) as client:
                while not self._closing.wait(PROBED_EVERY):
                    sent_at = time.monotonic()
                    with contextlib.suppress(redis.ResponseError):
                        client.execute_command("SET", key, "1")  # type: ignore[no-untyped-call]
                        self._taken[node].append((sent_at, time.monotonic()))
            self._closing.wait(PROBED_EVERY)


@contextlib.contextmanager
def _direct(place: tuple[str, int]) -> Iterator[redis.Redis]:
    with redis.Redis(*place, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def longest_together(reigns: list[Reign]) -> float:
    """Seconds for which the reigns of two nodes lie over one another, at most."""
    both = (
        min(one.until, other.until) - max(one.since, other.since)
        for place, one in enumerate(reigns)
        for other in reigns[:place]
        if one.node != other.node
    )
    return max(0.0, max(both, default=0.0))


def reigns_of(node: str, taken: Iterable[tuple[float, float]]) -> list[Reign]:
    """What was taken without a pause, from when the first was acknowledged to when the last was sent: for so long at least it took all."""
    found: list[Reign] = []
    for sent_at, acknowledged_at in taken:
        if found and sent_at - found[-1].until < 6 * PROBED_EVERY:
            found[-1].until = max(sent_at, found[-1].since)
        else:
            found.append(Reign(node, acknowledged_at, acknowledged_at))
    return found


def _batches(ledger: list[Written]) -> Iterator[list[Written]]:
    for first in range(0, len(ledger), _BATCH):
        yield ledger[first : first + _BATCH]


def each(writers: Iterable[Writer], does: Callable[[Writer], object]) -> None:
    """The same for all of them at once."""
    with ThreadPoolExecutor() as together:
        list(together.map(does, writers))
