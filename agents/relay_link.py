"""One connection through the relay: a client and a backend joined, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from agents.relay_front import Front
from agents.relay_route import family_of, keep_lively, where_is
from agents.relay_tls import HANDSHAKE_WITHIN

log = logging.getLogger("relay")

DIAL_DEADLINE = 1.0  # seconds a backend has to take a connection before the next one is tried
AVOID_AFTER_FAILURE = 1.0  # seconds for which a backend that took none is asked last, so that few clients wait for it


class Backend:
    """A node behind one endpoint, and the connections that lead to it."""

    def __init__(self, name: str, source: str | None = None) -> None:
        self.name = name
        self.source = source
        self.address = where_is(name)
        self.links: set[Link] = set()
        self.dialing = 0
        self.avoided_until = 0.0
        self.left = False

    @property
    def load(self) -> int:
        return len(self.links) + self.dialing

    async def dial(self) -> socket.socket | None:
        """A connection to it, or None if it takes none within the deadline or has left."""
        if self.left:
            return None
        family = socket.AF_UNIX if isinstance(self.address, str) else family_of(self.address[0])
        connection = socket.socket(family, socket.SOCK_STREAM)
        self.dialing += 1
        try:
            connection.setblocking(False)
            if self.source is not None and family == socket.AF_INET:
                connection.bind((self.source, 0))
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(connection, self.address), DIAL_DEADLINE)
        except OSError as refused:  # TimeoutError is one too
            self._avoid(refused)
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        finally:
            self.dialing -= 1
        if self.left:
            connection.close()
            return None
        return connection

    def leave(self) -> None:
        """Close every connection to it, so that clients connect again and reach another."""
        self.left = True
        for link in tuple(self.links):
            link.abort()

    def _avoid(self, reason: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self.avoided_until:
            log.warning("backend takes no connection  backend=%s because=%r", self.name, reason)
        self.avoided_until = now + AVOID_AFTER_FAILURE


class Link:
    """A client's connection and the one to its backend, joined for life. A front sees, and may change, all that passes."""

    def __init__(self, backend: Backend, front: Front | None = None) -> None:
        self.backend = backend
        self.client = Side(self, front.to_engine if front else None)
        self.server = Side(self, front.to_client if front else None)
        self.early: list[bytes] = []  # what the client sent before there was a server side to write to
        self.client_ended = False
        self.aborted = False
        self.open_sides = 0

    async def join(self, client: socket.socket, server: socket.socket, sent: bytes = b"",
                   tls: ssl.SSLContext | None = None) -> None:  # fmt: skip
        """Take over both sockets and pass bytes both ways from now on, beginning with what the client has sent already.

        With ``tls`` the client is spoken to in it; one that cannot is closed.
        """
        self.backend.links.add(self)
        self.early = [sent] if sent else []
        try:
            await self.client.take(client, tls)
            await self.server.take(server)
        except OSError as broken:
            log.info("connection broke while it was joined  backend=%s because=%r", self.backend.name, broken)
            self.abort()
            client.close()
            server.close()
            self.backend.links.discard(self)

    def server_made(self, server: asyncio.Transport) -> None:
        """Catch up with what the client did meanwhile."""
        server.writelines(self.early)
        self.early = []
        if self.client_ended:
            server.write_eof()
        if self.client.transport is None or self.client.transport.is_closing():
            self.finish()

    def other(self, side: Side) -> asyncio.Transport | None:
        return (self.server if side is self.client else self.client).transport

    def finish(self) -> None:
        """Close both sides once what was read has been written."""
        for side in (self.client, self.server):
            if side.transport:
                side.transport.close()

    def abort(self) -> None:
        """Close both sides now."""
        self.aborted = True
        for side in (self.client, self.server):
            if side.transport:
                side.transport.abort()


class Side(asyncio.Protocol):
    """One side of a link: what it reads is written to the other, and it reads no faster than the other takes."""

    def __init__(self, link: Link, through: Callable[[bytes], bytes] | None) -> None:
        self.link = link
        self._through = through
        self.transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], None] | None = None
        self._may_half_close = True  # TLS knows no half of a connection

    async def take(self, connection: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        keep_lively(connection)
        loop = asyncio.get_running_loop()
        if tls is None:
            await loop.connect_accepted_socket(lambda: self, connection)
        else:
            self._may_half_close = False
            await loop.connect_accepted_socket(lambda: self, connection, ssl=tls, ssl_handshake_timeout=HANDSHAKE_WITHIN)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = made = cast(asyncio.Transport, transport)  # uvloop's are no subclass, so this cannot be asserted
        self.link.open_sides += 1
        if self.link.aborted:
            made.abort()
        elif self is self.link.server:
            self.link.server_made(made)

    def data_received(self, data: bytes) -> None:
        if self._through is not None and not (data := self._through(data)):
            return
        if self._write is None:
            other = self.link.other(self)
            if other is None:
                self.link.early.append(data)
                return
            self._write = other.write  # looked up once: this is the path of every command
        self._write(data)

    def pause_writing(self) -> None:
        if other := self.link.other(self):
            other.pause_reading()

    def resume_writing(self) -> None:
        if other := self.link.other(self):
            other.resume_reading()

    def eof_received(self) -> bool:
        """A client may end its requests and still read answers; an engine that ends has nothing more to hear."""
        server = self.link.server.transport
        if self is self.link.server:
            self.link.finish()
        elif server is None:
            self.link.client_ended = True
        elif not server.is_closing():
            server.write_eof()
        return self._may_half_close

    def connection_lost(self, exc: Exception | None) -> None:
        self._write = None
        self.link.finish()
        self.link.open_sides -= 1
        if not self.link.open_sides:
            self.link.backend.links.discard(self.link)
