"""Listening for queries: the same port over UDP and TCP."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass

_TRIES = 20


class CannotListenError(Exception):
    """No name can be asked for there; the text says why and what to do."""


@dataclass(frozen=True)
class Listeners:
    """Sockets that take queries."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def place(self) -> tuple[str, int]:
        """Address and port."""
        host, port = self.udp.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Take no more."""
        self.udp.close()
        self.tcp.close()


def listen_for_queries(where: str) -> Listeners:
    """Sockets at ``HOST:PORT``; port 0 picks a free one. Raises CannotListenError."""
    host, port = _place(where)
    for _ in range(_TRIES if port == 0 else 1):
        try:
            return _listeners(host, port)
        except OSError as failed:
            if port == 0 and failed.errno == errno.EADDRINUSE:
                continue  # the port that was free for TCP was not for UDP
            why = f"cannot serve DNS at {where}: {failed.strerror or failed}. Choose another place with --dns-listen."
            raise CannotListenError(why) from failed
    raise CannotListenError(f"cannot serve DNS at {where}: no port is free over both UDP and TCP. Give one with --dns-listen.")


def _place(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise CannotListenError(f"{where} is no place to serve DNS at; they look like 127.0.0.1:8353.")
    return host, int(port)


def _listeners(host: str, port: int) -> Listeners:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as undo:
        tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((host, port))
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.bind((host, tcp.getsockname()[1]))
        tcp.listen(64)
        for each in (udp, tcp):
            each.setblocking(False)
        undo.pop_all()
    return Listeners(udp, tcp)
