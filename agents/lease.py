"""The lease of an agent: for how long after its last answered word it may rely on the control plane knowing of it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from api_schemas.agent.agent import BEAT, LEASE


class Lease:
    """Counted from when a word was *sent* that was answered, on a clock that never jumps. Before the first such word there is none.

    ``changed`` is called when it runs out, and when it is back.
    """

    def __init__(self, changed: Callable[[], None], length: float = LEASE, clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._length = length
        self._clock = clock
        self._renewed_at = self._since = -math.inf
        self._renewing = threading.Lock()
        self._was_out = True
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def is_out(self) -> bool:
        """Whether the control plane may count us as lost by now."""
        return self._clock() - self._renewed_at > self._length

    @property
    def held_for(self) -> float | None:
        """Seconds between the first and the newest answered word of a lease that never ran out meanwhile; None while it is out."""
        with self._renewing:
            return None if self.is_out else self._renewed_at - self._since

    def renew(self, sent_at: float) -> None:
        """A word that was sent at that time was answered."""
        with self._renewing:
            if self.is_out:
                self._since = sent_at
            self._renewed_at = max(self._renewed_at, sent_at)
        self.look()

    def look(self) -> None:
        """Tell of a change, if there is one."""
        if self.is_out != self._was_out:
            self._was_out = not self._was_out
            self._changed()

    def keep(self, beat: Callable[[], object] | None) -> None:
        """Watch over it from now on, and have something said in every interval where nobody else does that."""
        for does in (self.look, beat):
            if does is not None:
                thread = threading.Thread(target=self._repeat, args=(does,), name="lease", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._closing.set()
        for thread in self._threads:
            thread.join(2)

    def _repeat(self, does: Callable[[], object]) -> None:
        while not self._closing.wait(BEAT / 2 if does == self.look else BEAT):
            does()
