"""What can be asked of an engine that is not ours to talk to: whether it answers, and how far it has replicated."""

from __future__ import annotations

import socket


def answers_ping(address: str, port: int, within: float = 0.5, expecting: bytes = b"+PONG") -> bool:
    """Whether something at that address speaks the protocol and is ready for commands, or answers as expected otherwise."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(expecting)
    except OSError:
        return False


def bus_seen_at(address: str, port: int, within: float = 0.3) -> str | None:
    """What an engine in cluster mode at that address answers to CLUSTER NODES; None when none answers there."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"CLUSTER NODES\r\n")
            answer = connection.makefile("rb")
            head = answer.readline()
            if not head.startswith(b"$") or not head.endswith(b"\r\n"):
                return None
            length = int(head[1:])
            told = answer.read(length)
    except (OSError, ValueError):
        return None
    return told.decode() if len(told) == length else None


def replicated_at(address: str, port: int, within: float = 0.5) -> int | None:
    """The replication offset, in bytes, that a replica at that address has applied; None when none answers there."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"INFO replication\r\n")
            told = b""
            while b"slave_repl_offset:" not in told or not told.endswith(b"\r\n"):
                more = connection.recv(4096)
                if not more or told.startswith(b"-"):
                    return None
                told += more
    except OSError:
        return None
    return int(told.partition(b"slave_repl_offset:")[2].split(b"\r\n", 1)[0])
