"""What the agents of this process stand on: the runtime that their engines live in, and the programs that it has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.engines.catalogue import find_binaries
from agents.runtime_settings import RuntimeSettings
from agents.runtimes.process import ProcessRuntime
from agents.runtimes.runtime import Runtime
from api_schemas.agent.node import ANY_VERSION, EngineBinary

log = logging.getLogger("cachewright.agent")

_MARK = "docker"  # in an agent's folder: which Docker its containers are in


class GroundRefusedError(Exception):
    """Engines cannot live where they shall; the text says why and what to do."""


@dataclass(frozen=True)
class Ground:
    """``runtime`` makes the runtime of the agent with that folder; ``about`` says in a sentence what was found of it, if there is much."""

    runtime: Callable[[Path], Runtime]
    binaries: list[EngineBinary]
    about: str | None = None

    @property
    def programs(self) -> str:
        """The programs in words."""
        return ", ".join(map(_named, self.binaries)) or "none"


def _named(binary: EngineBinary) -> str:
    return f"any {binary.engine} ({binary.image})" if binary.version == ANY_VERSION else f"{binary.engine} {binary.version}"


def prepare(settings: RuntimeSettings, engines_dir: Path | None = None) -> Ground:
    """Find out what there is. Raises GroundRefusedError."""
    if settings.runtime == "process":
        return Ground(ProcessRuntime, find_binaries(engines_dir))
    return _in_docker(settings)


def _in_docker(settings: RuntimeSettings) -> Ground:
    from agents.engines.images import ImagesRefusedError, offered
    from agents.runtimes.docker import DockerRuntime, user_of  # brings Docker's library, which others need not wait for
    from agents.runtimes.docker_daemon import DockerUnusableError, connect

    try:
        daemon = connect()
        user_of(daemon.facts, settings.container_user)
        binaries = offered(settings.images, settings.registry, daemon.images())
    except (DockerUnusableError, ImagesRefusedError) as why:
        raise GroundRefusedError(str(why)) from why

    def runtime(folder: Path) -> Runtime:
        (folder / _MARK).write_text(daemon.facts.url)
        return DockerRuntime(folder, daemon, settings.container_user)

    return Ground(runtime, binaries, str(daemon.facts))


@contextmanager
def runtimes_of(folder: Path) -> Iterator[list[Runtime]]:
    """Every runtime that may have something of the agent with that folder.

    A Docker that does not answer any more is left out: its containers cannot be ended from here.
    """
    with ExitStack() as after:
        runtimes: list[Runtime] = [ProcessRuntime(folder)]
        if (folder / _MARK).exists() and (docker := _docker_of(folder, after)) is not None:
            runtimes.append(docker)
        for runtime in runtimes:
            after.callback(runtime.close)
        yield runtimes


def _docker_of(folder: Path, after: ExitStack) -> Runtime | None:
    from agents.runtimes.docker import DockerRuntime
    from agents.runtimes.docker_daemon import DockerUnusableError, connect

    try:
        daemon = connect((folder / _MARK).read_text())
    except DockerUnusableError as why:
        log.warning("containers of an agent cannot be ended  folder=%s because=%s", folder, why)
        return None
    after.callback(daemon.close)
    return DockerRuntime(folder, daemon)
