"""One question to one engine over a connection of its own, which never waits: whoever asks many at once lets none hold up the others."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agents.engines.memcached_arguments import SOCKET
from agents.engines.reach import dialled, own_reach
from agents.socket_path import socket_path
from api_schemas.agent.node import NodeSpec

_SECTIONS = "server clients memory persistence stats replication cpu commandstats keyspace"
_LARGEST = 1024 * 1024  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said, and how the answer is found in what came back: None while it is not whole. Raises ValueError when it is none."""

    said: bytes
    answer: Callable[[bytes], str | None]


def wording_for(spec: NodeSpec) -> Wording:
    """How the engine of that node is asked for all it knows of itself."""
    if spec.binary.engine == "memcached":
        return Wording(b"stats\r\n", _stats_in)
    several = not spec.binary.version.startswith(("5.", "6."))  # sections at once, from Redis 7 on
    return Wording(f"INFO {_SECTIONS if several else 'all'}\r\n".encode(), _bulk_in)


def _bulk_in(came: bytes) -> str | None:
    head, found, rest = came.partition(b"\r\n")
    if not found:
        return None
    if head[:1] != b"$":
        raise ValueError(head[:200].decode(errors="replace"))
    length = int(head[1:])
    return rest[:length].decode(errors="replace") if len(rest) >= length + 2 else None


def _stats_in(came: bytes) -> str | None:
    if came and not b"STAT ".startswith(came[:5]) and b"\r\n" in came:
        raise ValueError(came.partition(b"\r\n")[0][:200].decode(errors="replace"))
    return came.decode(errors="replace") if came.endswith(b"END\r\n") else None


class Line:
    """A connection to one engine that is kept from one question to the next. For one thread."""

    def __init__(self, spec: NodeSpec, folder: Path) -> None:
        self._path = folder / SOCKET if spec.front else None
        self._reach = own_reach(spec)
        self._wording = wording_for(spec)
        self._socket: socket.socket | None = None
        self._came = b""
        self._unsent = b""
        self._greets = False
        self.was_open = False
        """Whether there was a connection before the question: it may have been closed since, and is then worth another try."""

    @property
    def waits_at(self) -> socket.socket:
        """Where the answer will come, after the question was put."""
        if self._socket is None:
            raise ConnectionError("it is not asked anything")
        return self._socket

    def ask(self) -> None:
        """Put the question. Raises OSError."""
        self._came, self._unsent, self.was_open = b"", self._wording.said, self._socket is not None
        self._greets = False
        if self._socket is None:
            self._socket = self._connected()
            self._greets = bool(self._reach.greeting)
            self._unsent = self._reach.greeting + self._unsent
        self._send()

    def go_on(self) -> str | None:
        """Send and take what can be without waiting; the answer, once it is whole. Raises OSError and ValueError."""
        try:
            self._send()
            while True:
                more = self.waits_at.recv(16384)
                if not more:
                    raise ConnectionResetError("it closed the connection")
                self._came += more
                if self._greets and not self._is_greeted():
                    continue
                if (answer := self._wording.answer(self._came)) is not None:
                    return answer
                if len(self._came) > _LARGEST:
                    raise ValueError("its answer has no end")
        except BlockingIOError:
            return None

    def _is_greeted(self) -> bool:
        """Whether the answer to the greeting has come. Whatever it is: to the question it is answered whether we may ask."""
        _, found, rest = self._came.partition(b"\r\n")
        if found:
            self._came, self._greets = rest, False
        return bool(found)

    def _send(self) -> None:
        """As much of the question as can go out at once."""
        with suppress(BlockingIOError):
            if self._unsent:
                self._unsent = self._unsent[self.waits_at.send(self._unsent) :]

    @property
    def wants_to_send(self) -> bool:
        """Whether the question is not out yet."""
        return bool(self._unsent)

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._path is None:
            return dialled(self._reach)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            with socket_path(self._path) as path:
                made.connect(path)
        except BaseException:
            made.close()
            raise
        return made
