"""Valkey and Redis: how they are started, and whether they answer."""

from __future__ import annotations

import contextlib
from pathlib import Path

from agents.engines.engine import Session, last_words, launch_of
from agents.engines.ping import answers_ping
from agents.engines.reach import own_reach
from agents.engines.transit_files import SOCKET
from agents.engines.valkey_config import at_start, write_config
from agents.launch import Launch
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec


class ValkeyEngine:
    """Serves ``valkey`` and ``redis``; the differences between versions are in the configuration."""

    keeps_data = True

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        """The server with a configuration file of its own, which holds what others must not read."""
        config = write_config(spec, folder)
        return launch_of(spec, (spec.binary.path, str(config)), folder)

    def starts_with(self, spec: NodeSpec) -> Configuration:
        """All that is desired but what is only tried once it runs."""
        return at_start(spec)

    def is_ready(self, spec: NodeSpec) -> bool:
        """Whether it answers PING with PONG; one that loads its data answers otherwise."""
        return answers_ping(own_reach(spec))

    def is_loading(self, spec: NodeSpec) -> bool:
        """Whether it answers PING with LOADING."""
        return answers_ping(own_reach(spec), expecting=b"-LOADING")

    def open(self, spec: NodeSpec) -> Session:
        """A session over one connection to the node's own address."""
        from agents.engines.cluster_session import ClusterSession  # brings the client library, which start-up need not wait for
        from agents.engines.valkey_session import ValkeySession

        return ClusterSession(spec) if spec.mesh else ValkeySession(spec)

    def why_it_ended(self, folder: Path) -> str | None:
        """The last lines of its log, None if it left none."""
        for name in ("engine.log", "launch.log"):
            if said := last_words(folder / name):
                return said
        return None

    def wipe(self, folder: Path) -> None:
        """Remove the dump of an earlier boot, and put its log aside: whoever delivers it may not have its last words yet."""
        with contextlib.suppress(FileNotFoundError):
            (folder / "engine.log").replace(folder / "engine.log.former")
        for path in folder.glob("*"):
            if path.suffix in (".rdb", ".log", ".aof"):
                path.unlink(missing_ok=True)
        (folder / SOCKET).unlink(missing_ok=True)
