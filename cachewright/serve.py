"""``cachewright serve``: a whole Cachewright in one process, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.address_block import NoBlockLeftError
from agents.ground import GroundRefusedError
from agents.runtime_settings import RuntimeSettings
from agents.supervisor import Supervisor
from agents.this_process import set_up
from cachewright.data_folder import DataFolder, new_ephemeral_folder, reap
from cachewright.embedded import MOST_ZONES, Embedded, start_embedded
from controlplane.api.listening import CannotServeError, is_loopback, listen, run, url_of
from controlplane.app import query_listeners
from controlplane.dns.listening import CannotListenError, Listeners
from controlplane.settings import Settings
from controlplane.store.folder import FolderInUseError

log = logging.getLogger("cachewright")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    settings: Settings
    zones: int = 3
    where: RuntimeSettings = field(default_factory=RuntimeSettings)
    ephemeral: bool = False


def serve(wanted: Wanted, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Calls ``ready`` with one line once requests are answered. Raises CannotServeError."""
    _must_be_possible(wanted)
    reap()
    path = new_ephemeral_folder() if wanted.ephemeral else wanted.settings.data_dir.expanduser()
    listener = listen(wanted.settings.host, wanted.settings.port)
    try:
        queries = query_listeners(wanted.settings)
        folder = DataFolder(path)
        block = folder.block
    except (CannotListenError, FolderInUseError, NoBlockLeftError) as used:
        raise CannotServeError(str(used)) from used
    set_up()
    settings = wanted.settings.model_copy(update={"data_dir": folder.path})
    try:
        embedded = _started(settings, wanted, block, queries)
    except (GroundRefusedError, CannotServeError) as why:
        if wanted.ephemeral:
            folder.remove()
        raise CannotServeError(str(why)) from why
    try:
        run(embedded.plane.app, listener, lambda: _announce(listener, folder, embedded, ready), settings.trusted_proxies)
    finally:
        embedded.stop(Supervisor.remove_all if wanted.ephemeral else Supervisor.suspend)
        if wanted.ephemeral:
            folder.remove()


def _started(settings: Settings, wanted: Wanted, block: int, queries: Listeners | None) -> Embedded:
    if settings.agents_address is None:
        return start_embedded(settings, wanted.zones, block, wanted.where, queries)
    from controlplane.api.join_token_file import JoinTokenError  # its libraries take a while to load

    try:
        return start_embedded(settings, wanted.zones, block, wanted.where, queries)
    except JoinTokenError as why:
        raise CannotServeError(str(why)) from why


def _announce(listener: socket.socket, folder: DataFolder, embedded: Embedded, ready: Callable[[str], None]) -> None:
    ready(_ready_line(listener, folder, embedded))
    embedded.warm_up()


def _must_be_possible(wanted: Wanted) -> None:
    if not 1 <= wanted.zones <= MOST_ZONES:
        raise CannotServeError(f"there can be 1 to {MOST_ZONES} zones, not {wanted.zones}")
    is_loopback(wanted.settings.host)
    if not wanted.settings.url().startswith("sqlite:"):
        raise CannotServeError(
            "serve keeps its definitions in its data folder, for its agents are its own; run python -m controlplane on a shared database"
        )
    if sys.platform != "linux":
        raise CannotServeError(
            "every node has a loopback address of its own, which only Linux has without set-up; run Cachewright in Linux, or in a container"
        )


def _ready_line(listener: socket.socket, folder: DataFolder, embedded: Embedded) -> str:
    where = f"  runtime: {embedded.ground.about}" if embedded.ground.about else ""
    joining = f"  agents: {embedded.agents_url}" if embedded.agents_url else ""
    names = f"  {embedded.plane.names.invitation}" if embedded.plane.names else ""
    return f"Cachewright is ready at {url_of(listener)}  data: {folder.path}  engines: {embedded.ground.programs}{where}{joining}{names}"


__all__ = ["CannotServeError", "Wanted", "serve"]
