"""Listening: where a server may, and a server that says when it is ready and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from controlplane.api.heads import BoundedProtocol


class CannotServeError(Exception):
    """The server cannot start; the text says why and what to do."""


def is_loopback(host: str) -> bool:
    """Whether only this machine's users can reach the address. Raises CannotServeError for what is no address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise CannotServeError(f"{host} is not an address to listen on") from None


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens. ``option`` is where another place can be chosen. Raises CannotServeError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as failed:
        listener.close()
        why = getattr(failed, "strerror", None) or failed
        raise CannotServeError(f"cannot listen on {host}:{port}: {why}. Choose another with {option}.") from failed
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where the socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def run(app: ASGIApp, listener: socket.socket, ready: Callable[[], None], proxies: str = "") -> None:
    """Serve until SIGINT or SIGTERM. Calls ``ready`` once requests are answered.

    ``proxies`` are addresses, with commas between, of those who are believed whose requests they pass on.
    """
    config = uvicorn.Config(app, loop="uvloop", http=BoundedProtocol, log_config=None, access_log=False,
                            timeout_graceful_shutdown=1, timeout_keep_alive=75,
                            proxy_headers=bool(proxies), forwarded_allow_ips=proxies,
                            ws="none", server_header=False)  # fmt: skip
    server = Server(config, ready)
    gc.freeze()  # what start-up made stays, and need not be looked at again
    gc.enable()
    server.run(sockets=[listener])


class Server(uvicorn.Server):
    """Says when it is ready, and leaves the end of the process to us: engines are still to be saved."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in order at SIGINT and SIGTERM; a second one does not cut the saving short."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def stop(self) -> None:
        """End after the requests under way."""
        self.should_exit = True
