"""Measures every node that runs, in a thread of its own: nothing that the caches need waits for it, and no engine for another.

A node is measured every few seconds while nobody asks, and at once, though not more than once a second, when somebody does.
"""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from agents.engines.reach import own_reach
from agents.metrics.memory import Memory, Recalled
from agents.metrics.question import Line
from agents.metrics.reading import READERS, host_figures
from agents.runtimes.runtime import Footprint, Handle
from api_schemas.agent.metrics import MetricsWanted, NodeMetrics
from api_schemas.agent.node import NodeSpec

log = logging.getLogger("cachewright.agent")

PATIENCE = 0.4  # seconds for an answer
_FRESH = 1.0  # seconds for which a sample need not be taken anew
_WAIT = 2.2 * PATIENCE  # seconds for a round that was under way and the one after it
_TICK = 1.0  # seconds in which all that is due is measured in one go

Footprints = Callable[[Handle], Footprint | None]


class _Watched:
    """A node that runs: whom to ask, what was measured, and when to ask again."""

    def __init__(self, spec: NodeSpec, handle: Handle, folder: Path) -> None:
        self.spec, self.handle = spec, handle
        self.line = Line(spec, folder)
        self.memory = Memory(spec.binary.engine, spec.threads)
        self.due = 0.0
        self.tried = -1.0
        self.problem: str | None = "it was not measured yet"


class Sampler:
    """Looks after what is watched until it is forgotten. ``folder`` is the agent's; ``every`` is in seconds."""

    def __init__(self, name: str, folder: Path, footprint: Footprints, every: float) -> None:
        self._name, self._nodes, self._footprint, self._every = name, folder / "nodes", footprint, every
        self._watched: dict[str, _Watched] = {}
        self._left: list[Line] = []  # to be hung up on, by the one thread that talks
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def watch(self, spec: NodeSpec, handle: Handle) -> None:
        """Measure that process from now on, if we know how to ask its engine. What was measured of a former one is forgotten."""
        if spec.binary.engine not in READERS:
            return
        known = self._watched.get(spec.key)
        if known is not None and known.spec is spec and known.handle == handle:
            return
        with self._changed:
            known = self._watched.get(spec.key)
            if self._closing:
                return
            if known is not None and known.handle == handle and _is_asked_alike(known.spec, spec):
                known.spec = spec
                return
            self._leave(spec.key)
            self._watched[spec.key] = _Watched(spec, handle, self._nodes / spec.key)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"{self._name}-metrics", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def forget(self, key: str) -> None:
        """It does not run any more: nothing is known of it."""
        if key in self._watched:
            with self._changed:
                self._leave(key)

    def measure(self, wanted: MetricsWanted) -> list[NodeMetrics]:
        """What is known of the nodes now. Those that were not measured within a second are measured first."""
        asked_at = time.monotonic()
        with self._changed:
            keys = list(self._watched) if wanted.keys is None else [key for key in wanted.keys if key in self._watched]
            self._have_measured(keys, asked_at)
            now = time.monotonic()
            found = [(key, watched.problem or watched.memory.recall()) for key in keys if (watched := self._watched.get(key)) is not None]
        return [_told(key, told, wanted, now) for key, told in found]  # without the lock: a visit may want it

    def close(self) -> None:
        """Measure no more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(2 * PATIENCE)

    def _have_measured(self, keys: Collection[str], asked_at: float) -> None:
        """With the lock held, which is let go while waiting."""
        stale = [key for key in keys if asked_at - self._watched[key].tried > _FRESH]
        for key in stale:
            self._watched[key].due = asked_at
        if stale:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing or all(self._was_tried(key, asked_at) for key in stale), _WAIT)

    def _was_tried(self, key: str, since: float) -> bool:
        watched = self._watched.get(key)
        return watched is None or watched.tried >= since

    def _leave(self, key: str) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            self._left.append(watched.line)

    def _work(self) -> None:
        while (round_of := self._next()) is not None:
            try:
                self._measure(round_of)
            except Exception:  # a round that fails must not end the sampling
                log.exception("nodes could not be measured  agent=%s", self._name)
            with self._changed:
                self._changed.notify_all()

    def _next(self) -> list[_Watched] | None:
        """All that are due, once any is; None at the end."""
        with self._changed:
            while not self._closing:
                self._hang_up()
                now = time.monotonic()
                due = [watched for watched in self._watched.values() if watched.due <= now]
                if due:
                    return due
                first = min((watched.due for watched in self._watched.values()), default=None)
                self._changed.wait(None if first is None else max(_TICK, first - now))
            for watched in self._watched.values():
                watched.line.close()
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        for line in self._left:
            line.close()
        self._left.clear()

    def _measure(self, together: Iterable[_Watched]) -> None:
        """Ask all at once, and wait for all together."""
        with selectors.DefaultSelector() as answers:
            for watched in together:
                watched.due = time.monotonic() + self._every
                self._ask(watched, answers)
            deadline = time.monotonic() + PATIENCE
            while answers.get_map() and (left := deadline - time.monotonic()) > 0:
                for ready, _ in answers.select(left):
                    self._hear(ready.data, answers)
            for ready in list(answers.get_map().values()):
                answers.unregister(ready.fileobj)
                self._failed(ready.data, f"it does not answer within {PATIENCE:g} s")

    def _ask(self, watched: _Watched, answers: selectors.BaseSelector) -> None:
        try:
            watched.line.ask()
            answers.register(watched.line.waits_at, _events(watched.line), watched)
        except OSError as failed:
            self._again(watched, answers, failed)

    def _hear(self, watched: _Watched, answers: selectors.BaseSelector) -> None:
        place = watched.line.waits_at
        try:
            told = watched.line.go_on()
        except (OSError, ValueError) as failed:
            answers.unregister(place)
            self._again(watched, answers, failed)
            return
        if told is None:
            answers.modify(place, _events(watched.line), watched)
            return
        answers.unregister(place)
        self._take(watched, told)

    def _again(self, watched: _Watched, answers: selectors.BaseSelector, failed: Exception) -> None:
        """Once more on a new connection, where an old one was closed meanwhile: as when all clients of a node are sent away."""
        watched.line.close()
        if watched.line.was_open and isinstance(failed, OSError):
            self._ask(watched, answers)
        else:
            self._failed(watched, str(failed))

    def _take(self, watched: _Watched, told: str) -> None:
        at = time.monotonic()
        try:
            reading = READERS[watched.spec.binary.engine](told)
        except (ValueError, KeyError) as wrong:
            self._failed(watched, f"it tells what cannot be read: {wrong}")
            return
        footprint = self._footprint(watched.handle)
        figures = reading.figures | (host_figures(footprint, watched.spec.memory) if footprint else {})
        with self._changed:
            watched.memory.add(at, reading.uptime, figures)
            watched.tried, watched.problem = at, None

    def _failed(self, watched: _Watched, why: str) -> None:
        watched.line.close()
        with self._changed:
            watched.tried, watched.problem = time.monotonic(), why


def _events(line: Line) -> int:
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if line.wants_to_send else 0)


def _is_asked_alike(former: NodeSpec, spec: NodeSpec) -> bool:
    return (own_reach(former), former.front, former.threads) == (own_reach(spec), spec.front, spec.threads)


def _told(key: str, told: Recalled | str, wanted: MetricsWanted, now: float) -> NodeMetrics:
    """What is remembered of a node, or why nothing is."""
    if isinstance(told, str):
        return NodeMetrics(key=key, problem=told)
    return NodeMetrics(
        key=key,
        now=told.now(wanted.window, now, wanted.names),
        history=told.history(wanted.minutes, now, wanted.names) if wanted.minutes else [],
        counters=told.counters() if wanted.counters else {},
    )
