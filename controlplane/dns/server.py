"""The name server: one thread that answers over UDP and TCP, and that nothing it is sent can end."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.dns.answer import answer
from controlplane.dns.listening import Listeners
from controlplane.dns.zone import Zone

log = logging.getLogger("cachewright.dns")

_LARGEST_QUERY = 4096
_IN_ONE_GO = 64  # datagrams that are answered before connections have their turn
_MOST_CONNECTIONS = 64
_IDLE_FOR = 5.0  # seconds


@dataclass
class _Connection:
    """A client over TCP: what it has sent and has not been answered, and when it last sent anything."""

    socket: socket.socket
    heard_at: float
    received: bytearray = field(default_factory=bytearray)


class NameServer:
    """Answers queries for a zone until it is closed."""

    def __init__(self, listeners: Listeners, zone: Zone) -> None:
        self.zone = zone
        self._listeners = listeners
        self._connections: dict[socket.socket, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)

    @property
    def place(self) -> tuple[str, int]:
        """Where it is asked: address and port."""
        return self._listeners.place

    @property
    def invitation(self) -> str:
        """How to ask it, in words for people."""
        host, port = self.place
        shown = f"[{host}]" if ":" in host else host
        return f"DNS: *.{self.zone.authority.suffix} at {shown}:{port} (dig @{host} -p {port} NAME)"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._closing.set()
        self._wake.send(b"x")
        if self._thread.ident is not None:
            self._thread.join()
        for each in (*self._connections, self._wake, self._woken):
            each.close()
        self._selector.close()
        self._listeners.close()

    def _serve(self) -> None:
        self._watch(self._listeners.udp, self._take_datagrams)
        self._watch(self._listeners.tcp, self._accept)
        self._watch(self._woken, lambda: None)
        while not self._closing.is_set():
            for key, _ in self._selector.select(timeout=_IDLE_FOR if self._connections else None):
                try:
                    key.data()
                except Exception:
                    log.exception("a query could not be answered")
            self._end_idle()

    def _watch(self, watched: socket.socket, then: Callable[[], None]) -> None:
        self._selector.register(watched, selectors.EVENT_READ, then)

    def _take_datagrams(self) -> None:
        for _ in range(_IN_ONE_GO):
            try:
                query, sender = self._listeners.udp.recvfrom(_LARGEST_QUERY)
                if reply := answer(query, self.zone):
                    self._listeners.udp.sendto(reply, sender)
            except BlockingIOError:
                return
            except OSError as failed:  # of a former answer, which nobody was there to take; or the sender cannot be reached
                log.debug("an answer was not taken  because=%s", failed)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listeners.tcp.accept()
        except OSError:
            return  # it has gone again
        if len(self._connections) >= _MOST_CONNECTIONS:
            self._end(min(self._connections.values(), key=lambda connection: connection.heard_at))
        accepted.setblocking(False)
        connection = self._connections[accepted] = _Connection(accepted, time.monotonic())
        self._watch(accepted, lambda: self._take(connection))

    def _take(self, connection: _Connection) -> None:
        """Answer what has come whole. Who sends more than a query is long, or does not take its answers, is not heard any longer."""
        if connection.socket not in self._connections:
            return  # it was ended a moment ago, to make room
        try:
            more = connection.socket.recv(_LARGEST_QUERY)
            connection.received += more
            connection.heard_at = time.monotonic()
            if not more or not self._answer_all(connection):
                self._end(connection)
        except BlockingIOError:
            return
        except OSError:
            self._end(connection)

    def _answer_all(self, connection: _Connection) -> bool:
        received = connection.received
        while len(received) >= 2 and len(received) >= (end := 2 + int.from_bytes(received[:2], "big")):
            query = bytes(received[2:end])
            del received[:end]
            reply = answer(query, self.zone)
            if reply is None:
                return False
            whole = len(reply).to_bytes(2, "big") + reply
            if connection.socket.send(whole) < len(whole):
                return False
        return len(received) < 2 or int.from_bytes(received[:2], "big") <= _LARGEST_QUERY

    def _end_idle(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._connections.values() if now - each.heard_at > _IDLE_FOR]:
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        del self._connections[connection.socket]
        connection.socket.close()
