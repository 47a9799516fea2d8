"""The pulse of primaries: asked for often and cheaply, so that one that hangs is noticed long before its next visit.

A hung engine still holds its addresses and accepts connections, so nobody can take over until it is killed. One that is only busy
(a long script, a large deletion) does not answer either, but its process gets further; nor does one that gets no processor on a busy
machine, but it is ready to run. Both are left alone.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agents.engines.reach import Reach, dialled
from agents.runtimes.runtime import Progress

log = logging.getLogger("cachewright.agent")

INTERVAL = 0.25  # seconds between two questions to one engine
_PING = b"PING\r\n"


@dataclass
class _Heart:
    """One engine that is listened to. ``asked_at`` is when the question that is unanswered was put; ``progress_then`` is how far its
    process was when half of our patience was over, for to look at it costs more than to ask."""

    reach: Reach
    progress: Callable[[], Progress | None]
    connection: socket.socket | None = None
    greeted: bool = False
    asked_at: float | None = None
    progress_then: Progress | None = None


class Pulse:
    """Asks every watched engine for a PONG, and calls ``hung(key)`` for one that owes it for ``patience`` seconds and gets nowhere.

    ``progress`` of a watched engine answers what its process has done so far, None when it is gone.
    """

    def __init__(self, hung: Callable[[str], None], patience: float, interval: float = INTERVAL) -> None:
        self._hung = hung
        self._patience = patience
        self._interval = interval
        self._hearts: dict[str, _Heart] = {}
        self._left: list[_Heart] = []  # to be hung up on, by the one thread that talks
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, key: str, reach: Reach, progress: Callable[[], Progress | None]) -> None:
        """Listen to the engine there from now on."""
        with self._lock:
            heart = self._hearts.get(key)
            if heart is not None and heart.reach == reach:
                heart.progress = progress
                return
            if heart is not None:
                self._left.append(heart)
            self._hearts[key] = _Heart(reach, progress)
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._listen, name="pulse", daemon=True)
                self._thread.start()

    def forget(self, key: str) -> None:
        """Listen to it no more."""
        with self._lock:
            heart = self._hearts.pop(key, None)
            if heart is not None:
                self._left.append(heart)

    def close(self) -> None:
        """End."""
        with self._lock:  # nobody is just starting the thread
            self._closing.set()
        if self._thread is not None:
            self._thread.join(2 * self._interval + 1)
        for key in list(self._hearts):
            self.forget(key)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            left, self._left = self._left, []
        for heart in left:
            _hang_up(heart)

    def _listen(self) -> None:
        while not self._closing.wait(self._interval):
            self._leave()
            with self._lock:
                hearts = list(self._hearts.items())
            self._hear(hearts)
            for key, heart in hearts:
                if self._is_hung(heart):
                    log.warning("node does not answer and gets nowhere  node=%s for=%.1fs", key, self._patience)
                    self.forget(key)
                    self._hung(key)
                else:
                    self._ask(heart)

    def _hear(self, hearts: list[tuple[str, _Heart]]) -> None:
        """Take every answer that is there."""
        by_socket = {heart.connection: heart for _, heart in hearts if heart.connection is not None and heart.asked_at is not None}
        poll = select.poll()
        by_number = {connection.fileno(): heart for connection, heart in by_socket.items() if connection.fileno() >= 0}
        for number in by_number:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(0) if by_number else ():
            heart = by_number[number]
            with suppress(BlockingIOError):
                answered = b""
                with suppress(OSError):
                    answered = heart.connection.recv(256) if heart.connection is not None else b""
                if answered:
                    heart.asked_at = None  # whatever it says (it may be loading), it lives
                else:
                    _hang_up(heart)

    def _ask(self, heart: _Heart) -> None:
        if heart.asked_at is not None:
            return
        try:
            if heart.connection is None:
                heart.connection, heart.greeted = dialled(heart.reach), False
                return  # asked next time, once it is connected
            if heart.greeted:
                _drain(heart.connection)
                heart.connection.send(_PING)
            else:
                heart.connection.send(heart.reach.greeting + _PING)
                heart.greeted = True
            heart.asked_at, heart.progress_then = time.monotonic(), None
        except OSError:
            _hang_up(heart)

    def _is_hung(self, heart: _Heart) -> bool:
        """Owing an answer for too long, without having done anything or being about to. Any other is given as long again."""
        now = time.monotonic()
        if heart.asked_at is None or now - heart.asked_at < self._patience / 2:
            return False
        if heart.progress_then is None:
            heart.progress_then = heart.progress()
        if heart.progress_then is None or now - heart.asked_at < self._patience:
            return False
        progress = heart.progress()
        if progress is None or progress.awaits or progress.used > heart.progress_then.used:
            heart.asked_at, heart.progress_then = now, None
            return False
        return True


def _drain(connection: socket.socket) -> None:
    """Take what came after an answer that was counted already: the greeting's and the question's may come one by one."""
    with suppress(BlockingIOError):
        while connection.recv(256):
            pass


def _hang_up(heart: _Heart) -> None:
    if heart.connection is not None:
        with suppress(OSError):
            heart.connection.close()
    heart.connection, heart.asked_at = None, None
