"""What can be asked of an engine that is not ours to talk to: whether it answers, and how far it has replicated."""

from __future__ import annotations

from typing import BinaryIO

from agents.engines.reach import Reach, asked


def answers_ping(reach: Reach, within: float = 0.5, expecting: bytes = b"+PONG") -> bool:
    """Whether something there speaks the protocol and is ready for commands, or answers as expected otherwise."""
    try:
        with asked(reach, b"PING\r\n", within) as answer:
            return answer.readline().startswith(expecting)
    except OSError:
        return False


def bus_seen_at(reach: Reach, within: float = 0.3) -> str | None:
    """What an engine in cluster mode there answers to CLUSTER NODES; None when none answers."""
    try:
        with asked(reach, b"CLUSTER NODES\r\n", within) as answer:
            told = _bulk(answer)
    except (OSError, ValueError):
        return None
    return told.decode() if told is not None else None


def replicated_at(reach: Reach, within: float = 0.5) -> int | None:
    """The replication offset, in bytes, that a replica there has applied; None when none answers."""
    try:
        with asked(reach, b"INFO replication\r\n", within) as answer:
            told = _bulk(answer) or b""
    except (OSError, ValueError):
        return None
    _, found, rest = told.partition(b"slave_repl_offset:")
    return int(rest.split(b"\r\n", 1)[0]) if found else None


def _bulk(answer: BinaryIO) -> bytes | None:
    """An answer that is a text, None where it is an error or ends early."""
    head = answer.readline()
    if not head.startswith(b"$") or not head.endswith(b"\r\n"):
        return None
    length = int(head[1:])
    told = answer.read(length)
    return told if len(told) == length else None
