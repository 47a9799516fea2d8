"""Engines that exist only in memory: for trying an agent, and for its tests, without a process. Faults are ordinary fields."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from agents.launch import Launch
from agents.runtimes.runtime import Ending, Footprint, Handle, NotYetError, Progress, StartRefusedError
from agents.runtimes.system import Callbacks


@dataclass(eq=False)
class FakeProcess:
    """One of a world's processes, until ``ended`` is set."""

    folder: Path
    launch: Launch
    handle: Handle
    ended: threading.Event = field(default_factory=threading.Event)
    paused: bool = False
    watchers: dict[FakeRuntime, Callable[[Handle], None]] = field(default_factory=dict)


class FakeWorld:
    """The processes, which outlive the agents that started them. Hand one world to two runtimes to play an agent's restart."""

    def __init__(self) -> None:
        self._processes: dict[Handle, FakeProcess] = {}
        self._pids = itertools.count(1_000_001)  # above what kernels hand out by default, so that nobody takes one for real
        self._ticks = itertools.count(1)
        self._lock = threading.RLock()

    def find(self, folder: Path, key: str, boot: int) -> FakeProcess | None:
        """The live process for this key and boot of the agent with this folder."""
        return next((p for p in self.live(folder) if p.launch.key == key and p.launch.boot == boot), None)

    def live(self, folder: Path) -> list[FakeProcess]:
        """The live processes of the agent with this folder, oldest first."""
        with self._lock:
            return [process for process in self._processes.values() if process.folder == folder]

    def get(self, handle: Handle) -> FakeProcess | None:
        """The live process of this handle."""
        return self._processes.get(handle)

    def begin(self, folder: Path, launch: Launch) -> FakeProcess:
        """The live process for this key and boot, made if there is none."""
        with self._lock:
            if (running := self.find(folder, launch.key, launch.boot)) is not None:
                return running
            handle = Handle(FakeRuntime.name, launch.key, launch.boot, next(self._pids), next(self._ticks))
            self._processes[handle] = FakeProcess(folder, launch, handle)
            return self._processes[handle]

    def end(self, handle: Handle) -> None:
        """End the process, if it lives, and tell who watches it."""
        with self._lock:
            process = self._processes.pop(handle, None)
            if process is None:
                return
            process.ended.set()
            for runtime, ended in process.watchers.items():
                runtime.callbacks.call(ended, handle)

    def watch(self, handle: Handle, runtime: FakeRuntime, ended: Callable[[Handle], None]) -> None:
        """Have ``ended`` called through the runtime when the process ends, at once if it has."""
        with self._lock:
            process = self._processes.get(handle)
            if process is None:
                runtime.callbacks.call(ended, handle)
            else:
                process.watchers.setdefault(runtime, ended)


@dataclass(eq=False)
class FakeRuntime:
    """Runs engines in a :class:`FakeWorld`. Set a field to have the fault from then on.

    ``start_fails_times`` counts down with each start that is refused, ``not_yet_times`` with each that is put off; ``start_delay`` and
    ``dies_after`` are seconds; with ``ignores_stop`` a process does not end when asked, only when killed; ``ends_by`` is why processes
    end that nobody ended.
    """

    name: ClassVar[str] = "fake"

    folder: Path = Path("fake-agent")
    world: FakeWorld = field(default_factory=FakeWorld)
    start_fails_times: int = 0
    not_yet_times: int = 0
    start_delay: float = 0.0
    dies_after: float | None = None
    ignores_stop: bool = False
    ends_by: Ending = field(default_factory=Ending)
    callbacks: Callbacks = field(default_factory=Callbacks, init=False, repr=False)

    def start(self, launch: Launch) -> Handle:
        """Start a process, or return the handle of the one already running for this key and boot. Raises StartRefusedError."""
        if (running := self.world.find(self.folder, launch.key, launch.boot)) is not None:
            return running.handle
        if self.start_fails_times > 0:
            self.start_fails_times -= 1
            raise StartRefusedError(f"The start of {launch.key} was made to fail; {self.start_fails_times} more will.")
        if self.not_yet_times > 0:
            self.not_yet_times -= 1
            raise NotYetError(f"What {launch.key} needs is not there yet; asked {self.not_yet_times} more times it will be.")
        threading.Event().wait(self.start_delay)
        handle = self.world.begin(self.folder, launch).handle
        if self.dies_after is not None:
            death = threading.Timer(self.dies_after, self.world.end, (handle,))
            death.daemon = True
            death.start()
        return handle

    def alive(self, handle: Handle) -> bool:
        """Whether the very process of this handle still runs."""
        return self.world.get(handle) is not None

    def progress(self, handle: Handle) -> Progress | None:
        """Always the same: nothing is computed here."""
        return Progress(0) if self.alive(handle) else None

    def footprint(self, handle: Handle) -> Footprint | None:
        """Always the same: nothing is remembered here."""
        return Footprint(resident=0, swapped=0) if self.alive(handle) else None

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """Call ``ended`` from another thread as soon as the process ends, at once if it has. Once closed, nothing is watched."""
        self.world.watch(handle, self, ended)

    def stop(self, handle: Handle, grace: timedelta) -> None:
        """End the process; when it ignores that, after ``grace``."""
        process = self.world.get(handle)
        if process is not None and self.ignores_stop:
            process.ended.wait(max(grace.total_seconds(), 0.0))
        self.world.end(handle)

    def kill(self, handle: Handle) -> None:
        """End the process."""
        self.world.end(handle)

    def pause(self, handle: Handle) -> None:
        """Have the process stand still."""
        self._let_stand(handle, still=True)

    def resume(self, handle: Handle) -> None:
        """Have the process go on."""
        self._let_stand(handle, still=False)

    def crash(self, key: str) -> None:
        """Let every process of this key end by itself, as a fault would. Raises KeyError when none lives."""
        crashing = [process.handle for process in self.world.live(self.folder) if process.launch.key == key]
        if not crashing:
            raise KeyError(key)
        for handle in crashing:
            self.world.end(handle)

    def strays(self, known: Collection[Handle]) -> list[Handle]:
        """Live processes any runtime with this folder and world has started that are not among ``known``."""
        return [process.handle for process in self.world.live(self.folder) if process.handle not in known]

    def ending(self, handle: Handle) -> Ending:
        """As the field says, of a process that has ended."""
        return Ending() if self.alive(handle) else self.ends_by

    def _let_stand(self, handle: Handle, *, still: bool) -> None:
        process = self.world.get(handle)
        if process is not None:
            process.paused = still

    def close(self) -> None:
        """Stop watching. The processes go on."""
        self.callbacks.close()
