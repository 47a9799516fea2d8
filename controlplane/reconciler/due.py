"""What is due to be looked at, and when: each thing once at a time, by whichever thread asks for work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK_AGAIN = 0.5  # seconds after which who does not lead looks whether it does by now


class Due:
    """Uids by the moment at which they are due. While this control plane does not lead there is no work: all will be due when it does."""

    def __init__(self, leads: Callable[[], bool]) -> None:
        self._leads = leads
        self._changed = threading.Condition()
        self._at: dict[str, float] = {}
        self._busy: set[str] = set()
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether there is to be no more work."""
        return self._closing

    def wake(self, uid: str, delay: float = 0.0) -> None:
        """It is due after so many seconds, or earlier if it is due earlier."""
        at = time.monotonic() + delay
        with self._changed:
            if self._at.get(uid, at + 1) > at:
                self._at[uid] = at
                self._changed.notify()

    def take(self) -> str | None:
        """The next that is due and that nobody is at, once there is one; None when there is to be no more work."""
        with self._changed:
            while not self._closing:
                if not self._leads():
                    self._at.clear()
                    self._changed.wait(_LOOK_AGAIN)
                    continue
                now = time.monotonic()
                free = [(at, uid) for uid, at in self._at.items() if uid not in self._busy]
                if free and (first := min(free))[0] <= now:
                    del self._at[first[1]]
                    self._busy.add(first[1])
                    return first[1]
                self._changed.wait(min(free)[0] - now if free else None)
            return None

    def done(self, uid: str) -> None:
        """Nobody is at it any more."""
        with self._changed:
            self._busy.discard(uid)
            self._changed.notify()

    def look(self) -> None:
        """Something has changed: whoever waits for work looks again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """There is to be no more work."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
