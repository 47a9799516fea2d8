"""Memcached: no roles, no replication, nothing to save. How it is started, whether it answers, which list of nodes it keeps."""

from __future__ import annotations

import logging
import re
import socket
from pathlib import Path

from agents.engines.engine import Configured, Enforced, EngineUnreachableError, Observation, Session, last_words, launch_of
from agents.engines.memcached_arguments import SOCKET, arguments
from agents.launch import Launch
from agents.socket_path import socket_path
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec, Peer, Role

log = logging.getLogger("cachewright.agent")

ITEM = b"AmazonElastiCache:cluster"
"""The key under which clients of the older kind look for the list of nodes."""

_PATIENCE = 0.5  # seconds for an answer
_seen = re.compile(rb"(?:VALUE \S+ \d+ \d+\r\n(.*)\r\n)?END\r\nVERSION \S+\r\n\Z", re.DOTALL)
_line = re.compile(rb".*\r\n\Z")


class MemcachedEngine:
    """Serves ``memcached``. ``folder`` is the agent's, whose nodes have theirs in it."""

    keeps_data = False

    def __init__(self, folder: Path) -> None:
        self._nodes = folder / "nodes"

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        """The server with the node type's memory and threads and the parameter group's values as flags."""
        return launch_of(spec, (spec.binary.path, *arguments(spec)), folder)

    def starts_with(self, spec: NodeSpec) -> Configuration:
        """All that is desired."""
        return spec.configuration

    def is_ready(self, spec: NodeSpec) -> bool:
        """Whether it answers."""
        try:
            self.open(spec).observe()
        except EngineUnreachableError:
            return False
        return True

    def is_loading(self, spec: NodeSpec) -> bool:
        """It has nothing to load."""
        return False

    def open(self, spec: NodeSpec) -> Session:
        """A session; each question opens a connection of its own, for they are rare."""
        return MemcachedSession(spec, self._nodes / spec.key)

    def why_it_ended(self, folder: Path) -> str | None:
        """The last lines it printed, None if it left none."""
        return last_words(folder / "launch.log")

    def wipe(self, folder: Path) -> None:
        """It keeps nothing on disk but what it printed, and the socket of a former life."""
        for name in ("launch.log", SOCKET):
            (folder / name).unlink(missing_ok=True)


class MemcachedSession:
    """Questions to one server: at its port, or at the Unix socket in its folder when a front stands before it."""

    def __init__(self, spec: NodeSpec, folder: Path) -> None:
        self._socket = folder / SOCKET if spec.front else None
        self._address = (spec.address, spec.port)
        self._item: bytes | None = None
        self._refused: bytes | None = None

    def observe(self) -> Observation:
        """That it answers, and the version of the list that it keeps for clients that look for one among its items."""
        found = self._ask(b"get %s\r\nversion\r\n" % ITEM, _seen)
        self._item = found[1]
        version = (self._refused or found[1] or b"").partition(b"\n")[0]
        return Observation(Role.NONE, discovery=int(version) if version.isdigit() else 0)

    def is_deposed(self, spec: NodeSpec, seen: Observation) -> bool:
        """There is nothing to be deposed from."""
        return False

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """It has no role to assume. The list is put back when it is another, or was flushed or evicted."""
        wanted = spec.discovery.payload.encode() if spec.discovery else None
        if wanted is None or wanted in (self._item, self._refused):
            return True
        said = self._ask(b"set %s 0 0 %d\r\n%s\r\n" % (ITEM, len(wanted), wanted), _line)[0]
        self._refused = None
        if said != b"STORED\r\n":  # no room for it, or larger than its items may be: clients that ask for it by command still learn it
            log.warning("list of nodes not stored  node=%s because=%r", spec.key, said)
            self._refused = wanted
        return False

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        """It holds no endpoint but its own address."""

    def send_away(self) -> None:
        """Nodes that share nothing have no primary that clients would have to leave."""

    def prove(self, spec: NodeSpec, streaming: int, patience: float) -> frozenset[str]:
        """It has no replicas."""
        return frozenset()

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        """It is on no bus."""
        return None

    def arrived(self, spec: NodeSpec, seen: Observation) -> str:
        """It has no slots."""
        return ""

    def demand(self, acknowledgements: int, lag: int) -> None:
        """It has nobody to wait for."""

    def yield_to(self, spec: NodeSpec, heir: Peer) -> bool:
        """It has no heirs."""
        return False

    def go_on(self) -> None:
        """It never stopped."""

    def glance(self, former: Observation) -> Observation:
        """All that can be seen is quickly seen."""
        return self.observe()

    def certify(self, spec: NodeSpec) -> None:
        """It speaks no TLS: its front does."""

    def configure(self, spec: NodeSpec, runs_with: Configuration) -> Configured:
        """It takes its flags when it starts, and nothing afterwards."""
        return Configured(runs_with)

    def enforce(self, spec: NodeSpec) -> Enforced:
        """It knows no users."""
        return Enforced()

    def nudge(self, spec: NodeSpec, keys: frozenset[str]) -> None:
        """It has no replicas."""

    def relink(self, spec: NodeSpec) -> None:
        """It follows nobody."""

    def save(self) -> None:
        """It has nothing to save."""

    def close(self) -> None:
        """Nothing is open."""

    def _ask(self, question: bytes, wanted: re.Pattern[bytes]) -> re.Match[bytes]:
        """The answer, once it is whole. Raises EngineUnreachableError, also for an answer that was not wanted."""
        try:
            with self._connect() as connection:
                connection.sendall(question)
                answer = b""
                while (found := wanted.match(answer)) is None:
                    more = connection.recv(65536)
                    if not more:
                        raise EngineUnreachableError("it closed the connection before it had answered")
                    answer += more
                return found
        except OSError as silent:
            raise EngineUnreachableError(f"it does not answer: {silent}") from silent

    def _connect(self) -> socket.socket:
        if self._socket is None:
            return socket.create_connection(self._address, timeout=_PATIENCE)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_PATIENCE)
            with socket_path(self._socket) as path:
                connection.connect(path)
        except BaseException:
            connection.close()
            raise
        return connection
