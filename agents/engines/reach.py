"""How an engine is reached: where it listens, and as whom we come in. Whatever we ever say to an engine begins here.

Credentials are tried, not insisted on: an engine that was started before there were users has none, refuses them, and takes what is said
next from everybody. So the greeting and the first question go out together, and the question's answer is the one that counts.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from agents.engines.transit_files import SOCKET
from agents.socket_path import socket_path
from api_schemas.agent.access import Credentials
from api_schemas.agent.node import NodeSpec, Peer


@dataclass(frozen=True, slots=True)
class Reach:
    """The place of an engine, and who we are there; without ``credentials`` whoever everybody is.

    Through ``socket``, a Unix socket, where it has one for us; with TLS, verified by ``authority`` (PEM), where that is said.
    """

    address: str
    port: int
    credentials: Credentials | None = None
    socket: Path | None = None
    authority: str | None = field(default=None, repr=False)

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
    socket = Path(spec.home) / SOCKET if spec.transit is not None else None
    return Reach(spec.address, spec.port, credentials_of(spec), socket)


def peer_reach(spec: NodeSpec, peer: Place) -> Reach:
    """Another node's engine of the same topology: all have the same user for us."""
    tls = spec.transit is not None and (peer.tls if isinstance(peer, Peer) else True)  # in cluster mode all are encrypted, or none
    authority = spec.transit.certified.authority if spec.transit is not None and tls else None
    return Reach(peer.address, peer.port, credentials_of(spec), authority=authority)


def credentials_of(spec: NodeSpec) -> Credentials | None:
    """As whom agents and replicas come in; None where there are no users."""
    return spec.access.system if spec.access is not None and spec.binary.engine != "memcached" else None


@contextlib.contextmanager
def asked(reach: Reach, question: bytes, within: float) -> Iterator[BinaryIO]:
    """A connection on which the question was put, to read its answer from. Raises OSError; ``within`` seconds for each step."""
    with _connected(reach, within) as connection, connection.makefile("rb") as answer:
        greeting = reach.greeting
        connection.sendall(greeting + question)
        if greeting:
            answer.readline()
        yield answer


def _connected(reach: Reach, within: float) -> socket.socket:
    """Through the Unix socket, with TLS or without. Raises OSError, also where the far side cannot prove who it is."""
    if reach.socket is not None:
        return _at_home(reach.socket, within)
    made = socket.create_connection((reach.address, reach.port), timeout=within)
    if reach.authority is None:
        return made
    try:
        return trusting(reach.authority).wrap_socket(made, server_hostname=reach.address)
    except BaseException:
        made.close()
        raise


def _at_home(path: Path, within: float | None) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(within)
        with socket_path(path) as short:
            made.connect(short)
    except BaseException:
        made.close()
        raise
    return made


@lru_cache(maxsize=64)
def trusting(authority: str) -> ssl.SSLContext:
    """Trusts whom that authority certified for the address that is asked for, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority)
    return context


def dialled(reach: Reach) -> socket.socket:
    """A socket that is connecting and never waits; whoever has it writes ``reach.greeting`` first. Raises OSError.

    Only for a node's own engine: what is encrypted cannot be spoken without waiting.
    """
    if reach.socket is not None:
        return _at_home(reach.socket, 0)
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    code = made.connect_ex((reach.address, reach.port))
    if code not in (0, errno.EINPROGRESS):
        made.close()
        raise OSError(code, errno.errorcode.get(code, "it cannot be reached"))
    return made
