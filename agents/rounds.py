"""Rounds: runs a visit to each of many things when it is due, never two visits to the same thing at once."""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable

log = logging.getLogger("cachewright.agent")


class Rounds:
    """Calls ``visit(key)`` from a few threads whenever ``key`` is due. The visit answers when to come again, in seconds, or None.

    A key that is woken during its visit is visited once more afterwards.
    """

    def __init__(self, name: str, visit: Callable[[str], float | None], threads: int = 8) -> None:
        self._name = name
        self._visit = visit
        self._most_threads = threads
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._clock = threading.Condition(lock)
        self._alarm: float | None = None  # when the one thread that watches the clock will look; None while none watches
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._closing = False

    def wake(self, key: str, delay: float = 0.0) -> None:
        """Visit the key after ``delay`` seconds, or earlier if it is due earlier."""
        at = time.monotonic() + delay
        with self._changed:
            if self._closing or self._due.get(key, at + 1) <= at:
                return
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))
            self._hire()
            self._stir(at)

    def close(self, within: float = 10.0) -> None:
        """End after the visits that are under way, waiting for them ``within`` seconds in all."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._clock.notify_all()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _hire(self) -> None:
        if self._idle == 0 and len(self._threads) < self._most_threads:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (key := self._next()) is not None:
            again: float | None = 1.0
            try:
                again = self._visit(key)
            except Exception:  # a visit that fails must not end the rounds
                log.exception("visit failed  key=%s", key)
            with self._changed:
                self._busy.discard(key)
                if key in self._due:
                    self._stir(self._due[key])  # it was woken meanwhile
            if again is not None:
                self.wake(key, again)

    def _next(self) -> str | None:
        with self._changed:
            while not self._closing:
                wait = self._take()
                if isinstance(wait, str):
                    self._hand_over()
                    return wait
                self._idle += 1
                self._rest(wait)
                self._idle -= 1
            return None

    def _rest(self, seconds: float | None) -> None:
        """One idle thread watches the clock; the others, woken with it, would only get in its way."""
        if self._alarm is not None:
            self._changed.wait()
            return
        self._alarm = math.inf if seconds is None else time.monotonic() + seconds
        self._clock.wait(seconds)
        self._alarm = None

    def _stir(self, at: float) -> None:
        """Have somebody look at a key that is due at that time."""
        if self._alarm is None:
            self._changed.notify()
        elif at < self._alarm:
            self._clock.notify()

    def _hand_over(self) -> None:
        """Who leaves for a visit may be the only one that was told of the other keys: somebody else watches over them."""
        if self._heap and not self._closing:
            self._hire()
            self._changed.notify()

    def _take(self) -> str | float | None:
        """A key that is due and not being visited; else how long to wait, None meaning until woken."""
        postponed: list[tuple[float, str]] = []
        answer: str | float | None = None
        while self._heap:
            at, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)  # visited or rescheduled since
            elif key in self._busy:
                postponed.append(heapq.heappop(self._heap))
            elif (left := at - time.monotonic()) > 0:
                answer = left
                break
            else:
                heapq.heappop(self._heap)
                del self._due[key]
                self._busy.add(key)
                answer = key
                break
        for item in postponed:
            heapq.heappush(self._heap, item)
        return answer
