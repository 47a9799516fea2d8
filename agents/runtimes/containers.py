"""The containers of one agent: how each is made, called, found again and removed."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import LogConfig, Mount, Ulimit

from agents.launch import Launch
from agents.runtimes.docker_daemon import Daemon, DockerFacts

AGENT, NODE, BOOT = "cachewright.agent", "cachewright.node", "cachewright.boot"
"""Labels, by which ours are told from others'."""

NOBODY = "65534:65534"
_CONFLICT = 409
_SMALLEST = 8 * 1024 * 1024  # Docker takes no limit below 6 MiB
_SCRATCH = "rw,noexec,nosuid,size=16m"

Container = Mapping[str, Any]
"""What Docker says of a container."""


class Containers:
    """Talks to the daemon about the containers of the agent with that label. ``user`` (``uid:gid``) is who their programs run as."""

    def __init__(self, daemon: Daemon, agent: str, user: str) -> None:
        self._daemon = daemon
        self._client = daemon.client
        self._agent = agent
        self._user = user

    def name(self, key: str, boot: int) -> str:
        """What the container of this boot is called: it can be found without having been written down."""
        return f"cachewright-{self._agent}-{key}-{boot}"

    def find(self, key: str, boot: int) -> Container | None:
        """The container of this boot, if there is one and it is this agent's."""
        try:
            found: Container = self._client.inspect_container(self.name(key, boot))
        except NotFound:
            return None
        return found if (found["Config"].get("Labels") or {}).get(AGENT) == self._agent else None

    def run(self, launch: Launch) -> Container:
        """The running container of this boot; what is left of an ended one makes room for it."""
        give(launch.folder, self._user)
        try:
            made = self._create(launch)
        except APIError as refused:
            if refused.status_code != _CONFLICT:
                raise
            former = self.find(launch.key, launch.boot)
            if former is not None and former["State"]["Running"]:
                return former
            self.remove(self.name(launch.key, launch.boot))
            made = self._create(launch)
        try:
            self._client.start(made)
        except APIError:
            self.remove(made)
            raise
        started: Container = self._client.inspect_container(made)
        return started

    def all(self) -> list[Container]:
        """Every container of this agent, ended ones too, as inspected."""
        listed = self._client.containers(all=True, filters={"label": f"{AGENT}={self._agent}"})
        found: list[Container] = []
        for each in listed:
            with suppress(NotFound):
                found.append(self._client.inspect_container(each["Id"]))
        return found

    def remove(self, container: str) -> None:
        """By its id or name: it is gone afterwards. Nothing happens when it is already."""
        try:
            self._client.remove_container(container, force=True, v=True)
        except NotFound:
            return
        except APIError as refused:
            if refused.status_code != _CONFLICT:  # somebody else removes it just now
                raise

    def ended(self, container: Container, within: int = 5) -> Container:
        """The container, once Docker has heard of the end of its process, which we may know before it does."""
        with suppress(OSError):
            self._client.wait(container["Id"], timeout=within)
        latest: Container = self._client.inspect_container(container["Id"])
        return latest

    def last_words(self, container: Container, lines: int = 2) -> str | None:
        """The last lines that its program printed."""
        printed: bytes = self._client.logs(container["Id"], tail=lines)
        return " / ".join(line.strip() for line in printed.decode(errors="replace").splitlines())[-300:] or None

    def _create(self, launch: Launch) -> str:
        made = self._client.create_container(
            launch.image,
            name=self.name(launch.key, launch.boot),
            entrypoint=[launch.argv[0]],  # in place of the image's own, which may be a script that changes users or files
            command=list(launch.argv[1:]),
            user=self._user,
            working_dir=str(launch.folder),
            labels={AGENT: self._agent, NODE: launch.key, BOOT: str(launch.boot)},
            host_config=self._client.create_host_config(**_options(launch, self._daemon.facts)),
        )
        return str(made["Id"])


def key_and_boot(container: Container) -> tuple[str, int]:
    """For which boot of which node it was made."""
    labels = container["Config"]["Labels"]
    return labels[NODE], int(labels[BOOT])


def _options(launch: Launch, facts: DockerFacts) -> dict[str, Any]:
    """How the container is run: on the host's network, with the node's folder at its own path, and nothing else of the host."""
    folder = str(launch.folder)
    return {
        "network_mode": "host",
        "read_only": True,
        "tmpfs": {"/tmp": _SCRATCH},  # noqa: S108 (inside the container)
        "mounts": [Mount(target=folder, source=folder, type="bind")],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "restart_policy": {"Name": "no"},  # the control plane heals
        "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
        "ulimits": [_ulimit("nofile", resource.RLIMIT_NOFILE), _ulimit("memlock", resource.RLIMIT_MEMLOCK)],
        **({"userns_mode": "host"} if facts.remaps_users else {}),
        **_limits(launch, facts),
    }


def _ulimit(name: str, number: int) -> Ulimit:
    """As much as this process might have itself: with fewer files an engine could not serve the clients it is configured for."""
    _, most = resource.getrlimit(number)
    most = -1 if most == resource.RLIM_INFINITY else most
    return Ulimit(name=name, soft=most, hard=most)


def _limits(launch: Launch, facts: DockerFacts) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if launch.memory is not None and facts.limits_memory:
        limits["mem_limit"] = max(launch.memory, _SMALLEST)
        if facts.limits_swap:
            limits["memswap_limit"] = limits["mem_limit"]  # of both together: nothing of a cache is swapped out
    if launch.cpus is not None and facts.limits_processors:
        limits["nano_cpus"] = min(launch.cpus, facts.processors) * 1_000_000_000
    return limits


def give(folder: Path, user: str) -> None:
    """Let the user own the folder with all that is in it, so that its program may write there, if we may decide that."""
    if os.geteuid() != 0:
        return
    uid, gid = map(int, user.split(":"))
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            os.chown(path, uid, gid, follow_symlinks=False)
