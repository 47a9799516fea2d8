"""The faults of one agent: begun as ordered, undone when their time is up or when they are no longer ordered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agents.faulting.duty_cycle import DutyCycle
from agents.faulting.packet_filter import Drop, FilterRefusedError, PacketFilter, owner_of
from agents.runtimes.runtime import Handle, Runtime
from api_schemas.agent.fault import FaultReport, FaultSpec
from api_schemas.fault_kind import BY_FILTER, FaultKind

log = logging.getLogger("cachewright.agent")

_MARK = "faults-under-way"
_RETRY = 1.0  # seconds between attempts to take rules back


def has_left_faults(folder: Path) -> bool:
    """Whether the agent with this folder ended without undoing its faults."""
    return (folder / _MARK).exists()


@dataclass(frozen=True)
class _Running:
    """A fault under way, until a moment of the monotonic clock."""

    spec: FaultSpec
    until: float


class FaultKeeper:
    """Keeps what an agent's faults demand. ``processes`` answers the process of every node, by key; ``changed`` is called after a change.

    Faults are levels: what follows from all of them together is compared with what was done so far. Nothing of a fault survives this
    process unnoticed: a mark in the folder says that there was one, and the next keeper sweeps.
    """

    def __init__(self, folder: Path, network: str, runtime: Runtime, packet_filter: PacketFilter | None,
                 processes: Callable[[], dict[str, Handle]], changed: Callable[[], None]) -> None:  # fmt: skip
        self._mark = folder / _MARK
        self._owner = owner_of(folder)
        self._network = network
        self._runtime = runtime
        self._filter = packet_filter
        self._processes = processes
        self._changed = changed
        self._lock = threading.RLock()
        self._stirred = threading.Event()
        self._closing = False
        self._clock: threading.Thread | None = None
        self._running: dict[str, _Running] = {}
        self._crashed: set[str] = set()
        self._drops: frozenset[Drop] = frozenset()
        self._hung: frozenset[Handle] = frozenset()
        self._duty: DutyCycle | None = None
        self._silent = False
        self._dark: frozenset[str] | None = frozenset()  # the nodes without power, None for all of them

    def kinds(self) -> list[str]:
        """The kinds of fault that can be had here."""
        return [kind.value for kind in FaultKind if self._filter is not None or kind not in BY_FILTER]

    @property
    def silent(self) -> bool:
        """Whether the agent shall neither report nor take orders."""
        return self._silent

    def without_power(self, key: str) -> bool:
        """Whether the node shall have no process now."""
        dark = self._dark
        return dark is None or key in dark

    def sweep(self, handles: Collection[Handle]) -> None:
        """Undo what a former life of this agent has left behind: rules of the packet filter, stopped processes."""
        if not self._mark.exists():
            return
        for handle in handles:
            self._runtime.resume(handle)
        if self._filter is not None:
            try:
                self._filter.put(self._owner, [])
            except FilterRefusedError as refused:
                log.error("the packet filter could not be swept  because=%s", refused)
                return
        self._mark.unlink(missing_ok=True)

    def take(self, specs: Collection[FaultSpec]) -> list[FaultReport]:
        """Have exactly these faults from now on; answers what could not be done. One that goes on keeps its time."""
        now = time.monotonic()
        with self._lock:
            if self._closing:
                return []
            fresh = {spec.id: _Running(spec, now + spec.seconds) for spec in specs if spec.seconds > 0}
            self._running = {each: self._running.get(each, running) for each, running in fresh.items()}
            problems = self._apply()
            if self._running and self._clock is None:
                self._clock = threading.Thread(target=self._watch_the_clock, name="faults-clock", daemon=True)
                self._clock.start()
        self._stirred.set()
        self._changed()
        return problems

    def close(self) -> None:
        """Undo everything and begin nothing more."""
        with self._lock:
            self._closing = True
            self._running.clear()
            self._apply()
        self._stirred.set()
        if self._clock is not None:
            self._clock.join()

    def _watch_the_clock(self) -> None:
        while not self._closing:
            with self._lock:
                ends = [running.until for running in self._running.values()]
                stuck = not ends and bool(self._drops)
            self._stirred.wait(max(0.0, min(ends) - time.monotonic()) if ends else _RETRY if stuck else None)
            self._stirred.clear()
            self._end_due()

    def _end_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [each for each, running in self._running.items() if running.until <= now]
            if self._closing or not (due or (self._drops and not self._running)):
                return
            for each in due:
                del self._running[each]
            self._apply()
        log.info("faults were undone  faults=%s", ",".join(due))
        self._changed()

    def _apply(self) -> list[FaultReport]:
        """What all faults together demand is so afterwards. Silence begins first, for who has no power cannot say so, and ends last."""
        if self._running:
            self._mark.touch()
        silent = any(map(_silences, self._specs()))
        self._silent = self._silent or silent
        problems = list(self._part_networks())
        self._dark = self._nodes_without_power()
        self._kill()
        self._stop_and_continue()
        self._slow_down()
        self._silent = silent
        if not self._running and not self._drops:
            self._mark.unlink(missing_ok=True)
        return problems

    def _specs(self, *kinds: FaultKind) -> list[FaultSpec]:
        return [running.spec for running in self._running.values() if not kinds or running.spec.kind in kinds]

    def _part_networks(self) -> Iterator[FaultReport]:
        parting = [spec for spec in self._specs() if spec.apart_from]
        drops = frozenset(drop for spec in parting for drop in self._between(spec))
        if drops == self._drops:
            return
        try:
            if self._filter is None:
                raise FilterRefusedError("this agent has no packet filter")
            self._filter.put(self._owner, sorted(drops, key=lambda drop: (drop.because, drop.source, drop.destination)))
            self._drops = drops
        except FilterRefusedError as refused:
            log.error("networks are not kept apart as ordered  because=%s", refused)
            yield from (FaultReport(id=spec.id, problem=str(refused)) for spec in parting)

    def _between(self, spec: FaultSpec) -> Iterator[Drop]:
        for other in spec.apart_from:
            yield Drop(self._network, other, spec.id)
            yield Drop(other, self._network, spec.id)

    def _nodes_without_power(self) -> frozenset[str] | None:
        lost = self._specs(FaultKind.POWER_LOSS)
        if any(spec.whole for spec in lost):
            return None
        return frozenset(node.key for spec in lost for node in spec.nodes)

    def _kill(self) -> None:
        """End who has no power, and, once for each crash, the very boots that it names."""
        crashes = [spec for spec in self._specs(FaultKind.CRASH) if spec.id not in self._crashed]
        boots = {(node.key, node.boot) for spec in crashes for node in spec.nodes}
        doomed = [
            handle for key, handle in self._processes().items() if self.without_power(key) or (key, handle.boot) in boots
        ]
        if doomed:
            with ThreadPoolExecutor(max_workers=min(8, len(doomed))) as together:
                list(together.map(self._runtime.kill, doomed))
        self._crashed |= {spec.id for spec in crashes}

    def _stop_and_continue(self) -> None:
        """A hang is of the boots that it names: a process that was started since is none of it."""
        boots = {(node.key, node.boot) for spec in self._specs(FaultKind.HANG) for node in spec.nodes}
        hung = frozenset(handle for key, handle in self._processes().items() if (key, handle.boot) in boots)
        for handle in self._hung - hung:
            self._runtime.resume(handle)
        for handle in hung - self._hung:
            self._runtime.pause(handle)
        self._hung = hung

    def _slow_down(self) -> None:
        wanted = any(spec.slowness > 0 and spec.nodes for spec in self._specs(FaultKind.SLOW))
        if wanted and self._duty is None:
            self._duty = DutyCycle(self._runtime, self._slowness)
        elif not wanted and self._duty is not None:
            self._duty.end()
            self._duty = None

    def _slowness(self) -> dict[Handle, float]:
        """How slow each process shall be; one that hangs is left alone. A node stays slow in its next boot: it is its host that is slow."""
        levels: dict[str, float] = {}
        for running in list(self._running.values()):
            if running.spec.kind is FaultKind.SLOW:
                for node in running.spec.nodes:
                    levels[node.key] = max(levels.get(node.key, 0.0), running.spec.slowness)
        processes = self._processes()
        return {handle: levels[key] for key, handle in processes.items() if levels.get(key) and handle not in self._hung}


def _silences(spec: FaultSpec) -> bool:
    """Whether nothing is heard of an agent that has this fault."""
    return spec.kind in (FaultKind.SILENCE, FaultKind.ISOLATION) or (spec.kind is FaultKind.POWER_LOSS and spec.whole)
