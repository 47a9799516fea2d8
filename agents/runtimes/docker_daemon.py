"""The Docker daemon: whether it can be used here, what it can do, and what it cannot."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from agents.runtimes.pulls import Pulls

FAILURES = (DockerException, OSError)
"""What talking to the daemon may raise: what it answers, and what becomes of the connection."""

_PATIENCE = 60  # seconds for an answer; a busy disk makes the start of a container slow


class DockerUnusableError(Exception):
    """Engines cannot live in the containers of this Docker; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class DockerFacts:
    """What was found of a daemon. ``sees_processes``: its containers' processes are ours to see, so they are watched and ended directly."""

    url: str
    version: str
    processors: int
    limits_memory: bool = True
    limits_swap: bool = True
    limits_processors: bool = True
    sees_processes: bool = True
    rootless: bool = False
    remaps_users: bool = False

    def __str__(self) -> str:
        return "; ".join(self._sentence())

    def _sentence(self) -> Iterator[str]:
        yield f"Docker {self.version} at {self.url}{', rootless' if self.rootless else ''}"
        if not self.limits_memory:
            yield "containers have no memory limit, for its control groups have none"
        if not self.limits_processors:
            yield "containers have no processor limit, for its control groups have none"
        if not self.sees_processes:
            yield "ends of processes are heard from Docker, which is slower, for its processes cannot be seen from here (--pid=host)"


class Daemon:
    """A daemon that can be used, for all agents of this process. ``pulls`` fetches its images."""

    def __init__(self, client: APIClient, facts: DockerFacts) -> None:
        self.client = client
        self.facts = facts
        self.pulls = Pulls(client)

    def images(self) -> dict[str, dict[str, str]]:
        """The images that are here, by name, each with its labels. Raises DockerUnusableError."""
        try:
            listed = self.client.images()
        except FAILURES as failed:
            raise DockerUnusableError(f"Docker at {self.facts.url} does not say which images it has: {failed}.") from failed
        return {name: each.get("Labels") or {} for each in listed for name in each.get("RepoTags") or []}

    def close(self) -> None:
        """Hang up."""
        self.client.close()


def connect(url: str | None = None) -> Daemon:
    """The daemon at that address, by default the one that ``DOCKER_HOST`` names, or the usual one. Raises DockerUnusableError."""
    given: Mapping[str, Any] = {"base_url": url} if url else kwargs_from_env()
    where = given.get("base_url") or "unix:///var/run/docker.sock"
    try:
        client = APIClient(**{**given, "base_url": where}, version="auto", timeout=_PATIENCE)
        told = client.info()
    except FAILURES as failed:
        raise DockerUnusableError(
            f"Docker does not answer at {where}: {failed}. Start it, let this user in, or name another with DOCKER_HOST."
        ) from failed
    if (why := why_not_here(where, told)) is not None:
        client.close()
        raise DockerUnusableError(f"{why} Nodes have loopback addresses of this very host, so its own Docker Engine is needed.")
    return Daemon(client, facts_of(where, told, sees_processes=_peer(where) > 0))


def facts_of(url: str, told: Mapping[str, Any], *, sees_processes: bool) -> DockerFacts:
    """What a daemon's own account of itself comes to."""
    options = [str(option) for option in told.get("SecurityOptions") or []]
    return DockerFacts(
        url=url,
        version=str(told.get("ServerVersion")),
        processors=int(told.get("NCPU") or 1),
        limits_memory=bool(told.get("MemoryLimit")),
        limits_swap=bool(told.get("SwapLimit")),
        limits_processors=bool(told.get("CpuCfsQuota")),
        sees_processes=sees_processes,
        rootless=any("rootless" in option for option in options),
        remaps_users=any("name=userns" in option for option in options),
    )


def why_not_here(url: str, told: Mapping[str, Any]) -> str | None:
    """Why containers of this daemon would not be on our loopback, None when they are."""
    if not url.startswith(("unix://", "http+unix://")):
        return f"The Docker at {url} is reached over a network."
    if told.get("OSType") != "linux" or told.get("KernelVersion") != os.uname().release:
        system, kernel = told.get("OperatingSystem"), told.get("KernelVersion")
        return f"The Docker at {url} ({system}, kernel {kernel}) runs its containers in another machine, such as Docker Desktop's."
    pid = _peer(url)
    if pid > 0 and not _shares_our_network(pid):
        return f"The Docker at {url} has a network of its own, as rootless Docker does; start that with --net=host."
    return None


def _peer(url: str) -> int:
    """The process behind the socket; 0 for one that cannot be seen from here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(url.partition("://")[2])
            found: int = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        except OSError:
            return 0
    return found


def _shares_our_network(pid: int) -> bool:
    """Whether that process is in our network namespace; True where we may not ask: then only root's daemon can be meant."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")  # noqa: PTH115
    return True
