"""``cachewright serve``: a whole Cachewright in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from agents.supervisor import Supervisor
from cachewright.data_folder import DataFolder, FolderInUseError, new_ephemeral_folder, reap
from cachewright.embedded import MOST_ZONES, Embedded, start_embedded
from controlplane.settings import Settings

log = logging.getLogger("cachewright")

_SWITCH_INTERVAL = 0.001  # seconds; workers and the event loop hand over often, and none of them computes for long


class CannotServeError(Exception):
    """The server cannot start; the text says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    settings: Settings
    zones: int = 3
    runtime: str = "process"
    ephemeral: bool = False


def serve(wanted: Wanted, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Calls ``ready`` with one line once requests are answered. Raises CannotServeError."""
    _must_be_possible(wanted)
    reap()
    path = new_ephemeral_folder() if wanted.ephemeral else wanted.settings.data_dir
    listener = _listen(wanted.settings.host, wanted.settings.port)
    try:
        folder = DataFolder(path)
    except FolderInUseError as used:
        raise CannotServeError(str(used)) from used
    _let_open_many_files()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    settings = wanted.settings.model_copy(update={"data_dir": folder.path})
    embedded = start_embedded(settings, wanted.zones, folder.block)
    try:
        _run(embedded, listener, lambda: ready(_ready_line(listener, folder, embedded)))
    finally:
        embedded.stop(Supervisor.remove_all if wanted.ephemeral else Supervisor.suspend)
        if wanted.ephemeral:
            folder.remove()


def _run(embedded: Embedded, listener: socket.socket, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(embedded.plane.app, loop="uvloop", http="httptools", log_config=None, access_log=False,
                            timeout_graceful_shutdown=1, ws="none", server_header=False)  # fmt: skip
    server = _Server(config, ready)
    gc.collect()
    gc.freeze()
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
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
            loop.add_signal_handler(number, self._stop)
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _stop(self) -> None:
        self.should_exit = True


def _must_be_possible(wanted: Wanted) -> None:
    if wanted.runtime != "process":
        raise CannotServeError(f"the runtime {wanted.runtime} is not built yet; it can be process")
    if not 1 <= wanted.zones <= MOST_ZONES:
        raise CannotServeError(f"there can be 1 to {MOST_ZONES} zones, not {wanted.zones}")
    try:
        is_loopback = wanted.settings.host == "localhost" or ipaddress.ip_address(wanted.settings.host).is_loopback
    except ValueError:
        raise CannotServeError(f"{wanted.settings.host} is not an address to listen on") from None
    if not is_loopback:
        raise CannotServeError(
            f"listening on {wanted.settings.host} would let anybody in: access keys are not built yet, so only loopback addresses are served"
        )
    if sys.platform != "linux":
        raise CannotServeError(
            "every node has a loopback address of its own, which only Linux has without set-up; run Cachewright in Linux or a Linux container"
        )


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as failed:
        listener.close()
        raise CannotServeError(f"cannot listen on {host}:{port}: {failed.strerror}. Choose another with --port.") from failed
    return listener


def _let_open_many_files() -> None:
    """Engines inherit the limit, and cannot serve more clients than they may open files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _ready_line(listener: socket.socket, folder: DataFolder, embedded: Embedded) -> str:
    host, port = listener.getsockname()[:2]
    engines = ", ".join(f"{binary.engine} {binary.version}" for binary in embedded.binaries) or "none"
    return f"Cachewright is ready at http://{host}:{port}  data: {folder.path}  engines: {engines}"


def default_data_dir() -> Path:
    """Where data lives when nobody says otherwise."""
    return Path.home() / ".local" / "share" / "cachewright"
