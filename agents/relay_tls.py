"""TLS at a relay: what an endpoint is told of it, and how a client that speaks it is told from one that does not: by its first byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CERTIFICATE, PRIVATE_KEY = "transit.crt", "transit.key"
HANDSHAKE = b"\x16"
HANDSHAKE_WITHIN = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Terms:
    """How an endpoint speaks TLS: with the certificate in ``folder``, as seen from the relay's, of which ``digest`` tells one from another.

    When it is ``required``, who does not speak it is served only if it comes from one of the ``trusted`` addresses.
    """

    folder: str
    digest: str
    required: bool
    trusted: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: Any) -> Terms:
        """Raise ValueError when ``given`` are none."""
        match given:
            case {"folder": str(folder), "digest": str(digest), "required": bool(required), "trusted": list(trusted) | tuple(trusted)}:
                return cls(folder, digest, required, tuple(map(str, trusted)))
        raise ValueError("not terms of TLS")

    def lets_in(self, address: str) -> bool:
        """Whether a client from there is served in clear."""
        return not self.required or address in self.trusted


def context_for(terms: Terms) -> ssl.SSLContext:
    """What shows the certificate that lies in the folder now. Raises OSError, also for one that is no certificate or not that key's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(Path(terms.folder) / CERTIFICATE, Path(terms.folder) / PRIVATE_KEY)
    return context


async def first_byte(client: socket.socket) -> bytes:
    """What a client begins with, which is left unread; nothing when it ends before. Raises OSError."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return client.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            came = loop.create_future()
            loop.add_reader(client, _tell, came)
            try:
                await came
            finally:
                loop.remove_reader(client)


def _tell(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)
