"""How an engine is reached: where it listens, and as whom we come in. Whatever we ever say to an engine begins here.

Credentials are tried, not insisted on: an engine that was started before there were users has none, refuses them, and takes what is said
next from everybody. So the greeting and the first question go out together, and the question's answer is the one that counts.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from api_schemas.agent.access import Credentials
from api_schemas.agent.node import NodeSpec


@dataclass(frozen=True, slots=True)
class Reach:
    """The place of an engine, and who we are there; without ``credentials`` whoever everybody is."""

    address: str
    port: int
    credentials: Credentials | None = None

    @property
    def greeting(self) -> bytes:
        """What a connection begins with; it is answered by one line. Nothing where we are nobody in particular."""
        if self.credentials is None:
            return b""
        words = [b"AUTH", self.credentials.username.encode(), self.credentials.password.encode()]
        return b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Place(Protocol):
    """Anything that has an address and a port: a peer, a member of a mesh."""

    @property
    def address(self) -> str:
        """An IPv4 address."""

    @property
    def port(self) -> int:
        """Where clients come in."""


def own_reach(spec: NodeSpec) -> Reach:
    """The engine of the spec's own node."""
    return peer_reach(spec, spec)


def peer_reach(spec: NodeSpec, peer: Place) -> Reach:
    """Another node's engine of the same topology: all have the same user for us."""
    return Reach(peer.address, peer.port, credentials_of(spec))


def credentials_of(spec: NodeSpec) -> Credentials | None:
    """As whom agents and replicas come in; None where there are no users."""
    return spec.access.system if spec.access is not None and spec.binary.engine != "memcached" else None


@contextlib.contextmanager
def asked(reach: Reach, question: bytes, within: float) -> Iterator[BinaryIO]:
    """A connection on which the question was put, to read its answer from. Raises OSError; ``within`` seconds for each step."""
    with socket.create_connection((reach.address, reach.port), timeout=within) as connection, connection.makefile("rb") as answer:
        greeting = reach.greeting
        connection.sendall(greeting + question)
        if greeting:
            answer.readline()
        yield answer


def dialled(reach: Reach) -> socket.socket:
    """A socket that is connecting and never waits; whoever has it writes ``reach.greeting`` first. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    code = made.connect_ex((reach.address, reach.port))
    if code not in (0, errno.EINPROGRESS):
        made.close()
        raise OSError(code, errno.errorcode.get(code, "it cannot be reached"))
    return made
