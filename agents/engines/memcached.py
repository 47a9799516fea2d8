"""Memcached: no roles, no replication, nothing to save. How it is started, and whether it answers."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from agents.engines.engine import Configured, EngineUnreachableError, Observation, Session
from agents.launch import Launch
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec, Role

_MEBIBYTE = 1024 * 1024
_OTHER_FILES = 64

# A parameter of the service as the program's flag. Those that are switches are given when their value is 1.
_FLAGS = {
    "backlog_queue_limit": "-b",
    "binding_protocol": "-B",
    "chunk_size": "-n",
    "chunk_size_growth_factor": "-f",
    "max_simultaneous_connections": "-c",
    "requests_per_event": "-R",
}
_SWITCHES = {"cas_disabled": "-C", "disable_flush_all": "-F", "error_on_memory_exhausted": "-M", "large_memory_pages": "-L"}
_OPTIONS = {
    "hash_algorithm": "hash_algorithm",
    "hashpower_init": "hashpower",
    "idle_timeout": "idle_timeout",
    "slab_automove": "slab_automove",
    "slab_chunk_max": "slab_chunk_max",
    "watcher_logbuf_size": "watcher_logbuf_size",
    "worker_logbuf_size": "worker_logbuf_size",
}
_SWITCHED_ON = ("lru_crawler", "lru_maintainer", "maxconns_fast", "slab_reassign", "track_sizes")


class MemcachedEngine:
    """Serves ``memcached``."""

    keeps_data = False

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        """The server with the node type's memory and threads and the parameter group's values as flags."""
        return Launch(spec.key, spec.boot, (spec.binary.path, *arguments(spec)), folder, folder / "launch.log")

    def starts_with(self, spec: NodeSpec) -> Configuration:
        """All that is desired."""
        return spec.configuration

    def is_ready(self, spec: NodeSpec) -> bool:
        """Whether it answers ``version``."""
        return version_at(spec.address, spec.port) is not None

    def open(self, spec: NodeSpec) -> Session:
        """A session; each question opens a connection of its own, for they are rare."""
        return MemcachedSession(spec)

    def why_it_ended(self, folder: Path) -> str:
        """The last lines it printed."""
        path = folder / "launch.log"
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return " / ".join(lines[-2:])[-300:] or "it left no log"

    def wipe(self, folder: Path) -> None:
        """It keeps nothing on disk but what it printed."""
        (folder / "launch.log").unlink(missing_ok=True)


def arguments(spec: NodeSpec) -> tuple[str, ...]:
    """The program's arguments."""
    return tuple(_arguments(spec))


def _arguments(spec: NodeSpec) -> Iterator[str]:
    parameters = spec.parameters
    yield from ("-l", spec.address, "-p", str(spec.port), "-U", "0")
    yield from ("-m", str(max(1, spec.memory // _MEBIBYTE)), "-t", str(spec.threads))
    if os.geteuid() == 0:
        yield from ("-u", "root")  # it refuses to run as root unless told to
    if size := parameters.get("max_item_size"):
        yield from ("-I", str(size))
    for name, flag in _FLAGS.items():
        if value := parameters.get(name):
            yield from (flag, _possible(value) if flag == "-c" else value)
    for name, flag in _SWITCHES.items():
        if parameters.get(name) == "1":
            yield flag
    yield from _options(parameters)


def _options(parameters: Mapping[str, str]) -> Iterator[str]:
    if parameters.get("no_modern") == "1" or parameters.get("modern") == "0":
        yield from ("-o", "no_modern")  # before what it switches off is switched on one by one
    for name in _SWITCHED_ON:
        if parameters.get(name) == "1":
            yield from ("-o", name)
    for name, option in _OPTIONS.items():
        if (value := parameters.get(name)) not in (None, "0"):
            yield from ("-o", f"{option}={value}")


def _possible(connections: str) -> str:
    """As many connections as asked, or as this host lets a process open: with more the server refuses to start."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if files == resource.RLIM_INFINITY else str(min(int(connections), files - _OTHER_FILES))


def version_at(address: str, port: int, within: float = 0.5) -> str | None:
    """The version that the server at that address prints, or None when none answers."""
    try:
        with socket.create_connection((address, port), timeout=within) as connection:
            connection.sendall(b"version\r\n")
            answer = connection.recv(64)
    except OSError:
        return None
    return answer.split()[1].decode(errors="replace") if answer.startswith(b"VERSION ") else None


class MemcachedSession:
    """Questions to one server."""

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec

    def observe(self) -> Observation:
        """That it answers is all there is to see."""
        if version_at(self._spec.address, self._spec.port) is None:
            raise EngineUnreachableError("it does not answer")
        return Observation(Role.NONE)

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """It has no role to assume."""
        return True

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        """It holds no endpoint but its own address."""

    def prove(self, spec: NodeSpec, streaming: int, patience: float) -> frozenset[str]:
        """It has no replicas."""
        return frozenset()

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        """It is on no bus."""
        return None

    def glance(self, former: Observation) -> Observation:
        """Whether it answers."""
        return self.observe()

    def configure(self, spec: NodeSpec, runs_with: Configuration) -> Configured:
        """It takes its flags when it starts, and nothing afterwards."""
        return Configured(runs_with)

    def nudge(self, spec: NodeSpec, keys: frozenset[str]) -> None:
        """It has no replicas."""

    def relink(self, spec: NodeSpec) -> None:
        """It follows nobody."""

    def save(self) -> None:
        """It has nothing to save."""

    def close(self) -> None:
        """Nothing is open."""
