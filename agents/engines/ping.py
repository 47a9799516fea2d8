"""Whether something at an address answers PING."""

from __future__ import annotations

import socket


def answers_ping(address: str, port: int, within: float = 0.5) -> bool:
    """Whether something at that address speaks the protocol and is ready for commands."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
