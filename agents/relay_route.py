"""What a relay is told: routes, read from a line of JSON, and where it listens for them. Plain dataclasses, for a quick start."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.relay_tls import Terms
from agents.socket_path import socket_path


@contextlib.contextmanager
def control_path(folder: Path) -> Iterator[str]:
    """A path of the relay's control socket that fits a Unix address, however deep the folder is. Good inside the block only."""
    with socket_path(folder / "relay.sock") as path:
        yield path


UNIX = "unix:"
"""Begins the name of a backend that is a Unix socket, its path as seen from the relay's folder."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a Memcached endpoint answers to clients that discover; nothing while its version is 0."""

    version: int
    nodes: str

    @classmethod
    def read(cls, given: Any) -> Listing:
        """Raise ValueError when ``given`` is not a list of nodes."""
        match given:
            case {"version": int(version), "nodes": str(nodes)}:
                return cls(version, nodes)
        raise ValueError(f"not a list of nodes: {given!r}")

    @property
    def payload(self) -> bytes | None:
        """The version in a line of its own, then the nodes in another."""
        return f"{self.version}\n{self.nodes}\n".encode() if self.version else None


@dataclass(frozen=True, slots=True)
class Route:
    """What is asked for one endpoint; ``backends`` are ``address:port`` or a Unix socket. With ``discovery`` it is Memcached's.

    With ``tls`` it speaks TLS. Backends are dialled from the address ``source``, where there is one.
    """

    key: str
    generation: int
    address: str
    port: int
    backends: tuple[str, ...]
    discovery: Listing | None = None
    tls: Terms | None = None
    source: str | None = None

    @classmethod
    def read(cls, given: Any) -> Route:
        """Raise ValueError when ``given`` is not a route."""
        try:
            route = cls(given["key"], given["generation"], given["address"], given["port"], tuple(given["backends"]),
                        None if given.get("discovery") is None else Listing.read(given["discovery"]),
                        None if given.get("tls") is None else Terms.read(given["tls"]), given.get("source"))  # fmt: skip
        except (AttributeError, KeyError, TypeError) as missing:
            raise ValueError(f"not a route: {missing!r}") from None
        if [type(part) for part in (route.key, route.generation, route.address, route.port)] != [str, int, str, int]:
            raise ValueError(f"route {route.key!r} has a field of the wrong type")
        split_address(f"{route.address}:{route.port}")
        for backend in route.backends:
            where_is(backend)
        return route


def read_level(line: bytes) -> list[Route]:
    """The routes in a control line. Raise ValueError when the line is not a whole, consistent set."""
    try:
        level = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(level, dict) or not isinstance(level.get("routes"), list):
        raise ValueError('expected {"routes": [...]}')
    routes = [Route.read(given) for given in level["routes"]]
    if len({route.key for route in routes}) != len(routes):
        raise ValueError("a key is given twice")
    return routes


def where_is(backend: object) -> tuple[str, int] | str:
    """Where a backend of that name is dialled: an address and a port, or a path. Raise ValueError when it is no backend's name."""
    if isinstance(backend, str) and backend.startswith(UNIX):
        return backend.removeprefix(UNIX)
    return split_address(backend)


def split_address(text: object) -> tuple[str, int]:
    """``host:port`` or ``[host]:port`` as a pair. Raise ValueError when it is neither."""
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"not an address and port: {text!r}")
    return host.strip("[]"), int(port)


def family_of(host: str) -> socket.AddressFamily:
    """Which kind of address a host is."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def keep_lively(connection: socket.socket) -> None:
    """Send small answers at once, and notice within two minutes a far side that vanished without a word.

    A Unix socket needs neither.
    """
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
