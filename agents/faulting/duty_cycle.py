"""Slow processes: each is stopped for its share of every tenth of a second, and goes on for the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from agents.runtimes.runtime import Handle, Runtime

PERIOD = 0.1
"""Seconds. Short enough for a slow node to look slow and not hung, long enough to stop it well."""


class DutyCycle:
    """A thread that slows processes until it is ended. ``slowness`` answers which, and how much of the time each stands still."""

    def __init__(self, runtime: Runtime, slowness: Callable[[], Mapping[Handle, float]]) -> None:
        self._runtime = runtime
        self._slowness = slowness
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slow-nodes", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Nobody is stopped any more."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            self._turn()

    def _turn(self) -> None:
        """One period; all go on at its end, and as soon as everything is over."""
        began = time.monotonic()
        slowed = sorted(self._slowness().items(), key=lambda item: item[1])
        for handle, _ in slowed:
            self._runtime.pause(handle)
        for handle, share in slowed:
            self._over.wait(max(0.0, began + share * PERIOD - time.monotonic()))
            self._runtime.resume(handle)
        self._over.wait(max(0.001, began + PERIOD - time.monotonic()))
