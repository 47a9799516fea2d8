"""A front before Memcached: answers ``config get``, which the engine does not know, and passes everything else through.

While a client has asked for nothing else, it is answered at once. Later, the engine is asked something harmless in its place.
Where the answer to that comes, ours is put: so answers stay in order, whatever else the client has asked before and after, and no
answer of the engine need be understood.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

from agents.memcached_commands import Commands

KEY = b"cluster"


class Front:
    """What is done to the bytes of one connection, both ways. ``listed`` answers what discovery says now, None for nothing."""

    def __init__(self, listed: Callable[[], bytes | None]) -> None:
        self._listed = listed
        self._awaited: deque[tuple[bytes, bytes]] = deque()  # the engine's answer that is waited for, and ours in its place
        self._held = b""  # the end of what the engine sent, when it may be the beginning of what is waited for
        self._commands = Commands(self._ask_instead)
        self._answered = b""
        self.to_engine = self._commands.take

    def answered(self) -> bytes:
        """What the client is to be sent before the engine has been asked for anything; nothing the second time."""
        answered, self._answered = self._answered, b""
        return answered

    def to_client(self, data: bytes) -> bytes:
        """What is to be sent to the client for what the engine sent."""
        if not self._awaited:
            return data
        data, self._held = self._held + data, b""
        done: list[bytes] = []
        while self._awaited:
            before, found, after = data.partition(self._awaited[0][0])
            if not found:
                kept = _overlap(data, self._awaited[0][0])
                self._held, data = data[len(data) - kept :], data[: len(data) - kept]
                break
            done += (before, self._awaited.popleft()[1])
            data = after
        return b"".join((*done, data))

    def _ask_instead(self, key: bytes) -> bytes:
        """To delete a key that nobody can have: the engine's answer repeats it, and nothing else can contain it."""
        answer = config_answer(self._listed() if key == KEY else None)
        if self._commands.quiet:
            self._answered += answer
            return b""
        name = secrets.token_hex(16).encode()
        self._awaited.append((b"NF k%s\r\n" % name, answer))
        return b"md %s k\r\n" % name


def config_answer(listed: bytes | None) -> bytes:
    """The answer to ``config get``, in the frame of the service."""
    return b"END\r\n" if listed is None else b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(listed), listed)


def _overlap(data: bytes, wanted: bytes) -> int:
    """How many bytes at the end of ``data`` are the beginning of what is wanted."""
    for length in range(min(len(data), len(wanted) - 1), 0, -1):
        if data.endswith(wanted[:length]):
            return length
    return 0
