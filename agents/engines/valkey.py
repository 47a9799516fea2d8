"""Valkey and Redis: how they are started, given a role and endpoints, and made to prove that they replicate."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.engines.engine import EngineUnreachableError, Observation, Session
from agents.engines.valkey_config import write_config
from agents.runtimes.runtime import Launch
from api_schemas.agent.node import NodeSpec, Peer, Role

_PROBE = "__cachewright__:probe"


class ValkeyEngine:
    """Serves ``valkey`` and ``redis``; the differences between versions are in the configuration."""

    keeps_data = True

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        """The server with a configuration file of its own, which holds what others must not read."""
        config = write_config(spec, folder)
        return Launch(spec.key, spec.boot, (spec.binary.path, str(config)), folder, folder / "launch.log")

    def is_ready(self, spec: NodeSpec) -> bool:
        """Whether it answers PING with PONG; one that loads its data answers otherwise."""
        return answers_ping(spec.address, spec.port)

    def open(self, spec: NodeSpec) -> Session:
        """A session over one connection to the node's own address."""
        return ValkeySession(spec)

    def why_it_ended(self, folder: Path) -> str:
        """The last lines of its log."""
        for name in ("engine.log", "launch.log"):
            path = folder / name
            if path.exists() and (lines := path.read_text(errors="replace").strip().splitlines()):
                return " / ".join(line.strip() for line in lines[-2:])[-300:]
        return "it left no log"

    def wipe(self, folder: Path) -> None:
        """Remove the dump of an earlier boot, and its log."""
        for path in folder.glob("*"):
            if path.suffix in (".rdb", ".log", ".aof"):
                path.unlink(missing_ok=True)


def answers_ping(address: str, port: int, within: float = 0.5) -> bool:
    """Whether something at that address speaks the protocol and is ready for commands."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


class ValkeySession:
    """One connection to one engine. Not for two threads at once."""

    def __init__(self, spec: NodeSpec) -> None:
        self._own = spec.address
        self._client = redis.Redis(
            host=spec.address,
            port=spec.port,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            single_connection_client=False,
            decode_responses=True,
            protocol=2,
            lib_name=None,
            lib_version=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._client.response_callbacks.clear()

    def observe(self) -> Observation:
        """Role, link, offset and replicas from INFO; the bound addresses from the configuration."""
        with self._talk():
            pipe = self._client.pipeline(transaction=False)
            pipe.response_callbacks.clear()
            pipe.execute_command("INFO", "replication")
            pipe.execute_command("INFO", "server")
            pipe.execute_command("CONFIG", "GET", "bind")
            replication, server, bind = pipe.execute()
        return _observation(_fields(replication), _fields(server), bind[1].split(), self._own)

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """REPLICAOF, once the primary answers: a replica told earlier would retry on its 1 Hz cron only."""
        if spec.role is Role.PRIMARY:
            if seen.role is Role.PRIMARY:
                return True
            self._say("REPLICAOF", "NO", "ONE")
            return False
        leader = spec.follows
        if leader is None:
            return False
        if seen.role is Role.REPLICA and seen.follows == f"{leader.address}:{leader.port}":
            return True
        if answers_ping(leader.address, leader.port):
            self._say("REPLICAOF", leader.address, str(leader.port))
        return False

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        """Bind the wanted addresses. One that is let go keeps no client: they would go on writing to the wrong node."""
        wanted = frozenset(spec.holds)
        if wanted == seen.holds:
            return
        self._say("CONFIG", "SET", "bind", " ".join([self._own, *sorted(wanted)]))
        for address in seen.holds - wanted:
            self._say("CLIENT", "KILL", "LADDR", f"{address}:{spec.port}")

    def prove(self, spec: NodeSpec, patience: float) -> frozenset[str]:
        """Send a message down the replication stream, wait for acknowledgements, and see who has come that far.

        A PUBLISH is replicated like a write but leaves no key behind. That a link is up proves nothing: for up to a second the
        stream may not have begun.
        """
        with self._talk():
            pipe = self._client.pipeline(transaction=False)
            pipe.response_callbacks.clear()
            pipe.execute_command("PUBLISH", _PROBE, spec.key)
            pipe.execute_command("INFO", "replication")
            pipe.execute_command("WAIT", str(len(spec.replicas)), str(int(patience * 1000)))
            pipe.execute_command("INFO", "replication")
            _, sent, _, acknowledged = pipe.execute()
        reached = int(_fields(sent)["master_repl_offset"])
        return _keys_at(reached, spec.replicas, _fields(acknowledged))

    def save(self) -> None:
        """SHUTDOWN SAVE. Raises EngineUnreachableError when the engine could not save; it then goes on."""
        with contextlib.suppress(redis.ConnectionError):  # it ends without an answer
            answer = self._client.execute_command("SHUTDOWN", "SAVE")
            raise EngineUnreachableError(f"SHUTDOWN SAVE answered {answer}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _say(self, *command: str) -> Any:
        with self._talk():
            return self._client.execute_command(*command)

    @contextlib.contextmanager
    def _talk(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as failed:
            raise EngineUnreachableError(str(failed)) from failed


def _fields(info: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def _observation(replication: dict[str, str], server: dict[str, str], bind: list[str], own: str) -> Observation:
    is_primary = replication["role"] == "master"
    offset = replication.get("master_repl_offset" if is_primary else "slave_repl_offset", "0")
    return Observation(
        role=Role.PRIMARY if is_primary else Role.REPLICA,
        run_id=server.get("run_id", ""),
        follows=None if is_primary else f"{replication['master_host']}:{replication['master_port']}",
        link_up=replication.get("master_link_status") == "up",
        offset=max(0, int(offset)),
        online=frozenset(place for place, replica in _replicas(replication) if replica.get("state") == "online"),
        holds=frozenset(bind) - {own},
    )


def _replicas(replication: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each replica that INFO lists, by its ``address:port``."""
    for name, value in replication.items():
        if name.startswith("slave") and name[5:].isdigit():
            replica = dict(part.split("=", 1) for part in value.split(","))
            yield f"{replica['ip']}:{replica['port']}", replica


def _keys_at(offset: int, peers: list[Peer], replication: dict[str, str]) -> frozenset[str]:
    keys = {f"{peer.address}:{peer.port}": peer.key for peer in peers}
    came_far = (place for place, replica in _replicas(replication) if int(replica.get("offset", "0")) >= offset)
    return frozenset(keys[place] for place in came_far if place in keys)
