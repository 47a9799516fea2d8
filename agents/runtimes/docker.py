"""Engines in containers of this host's Docker, on its network. They outlive the agent that started them, and are found by label.

A container's process is a process of this host as well. Where it can be seen, it is watched, paused and ended like any other, which
is as quick as without Docker; Docker is asked to start containers, to tell why one ended, and to remove what is left.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from docker.errors import APIError, ImageNotFound

from agents.launch import Launch
from agents.runtimes.container_system import ContainerSystem
from agents.runtimes.containers import NOBODY, Container, Containers, key_and_boot
from agents.runtimes.docker_daemon import FAILURES, Daemon, DockerFacts, DockerUnusableError
from agents.runtimes.process import agent_label
from agents.runtimes.runtime import Ending, Footprint, Handle, Progress, StartRefusedError
from agents.runtimes.system import AT_ONCE, Linux, Portable, Steps, System, alive, asked_first, end, has_pidfds, send

_log = logging.getLogger(__name__)

_KILLED = 137
_USER = re.compile(r"\d{1,10}:\d{1,10}")


class DockerRuntime:
    """Runs each engine in a container. ``folder`` is the agent's, and tells its containers from others'."""

    name: ClassVar[str] = "docker"

    def __init__(self, folder: Path, daemon: Daemon, user: str | None = None, system: System | None = None) -> None:
        """``user`` is who engines run as, ``uid:gid``; by default this user, or nobody if that is root. Raises DockerUnusableError."""
        self._daemon = daemon
        self._containers = Containers(daemon, agent_label(folder), user_of(daemon.facts, user))
        self._system = system or _system(daemon, agent_label(folder))
        self._known: dict[str, Handle] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._starting: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._removals = Removals(self._containers)

    def start(self, launch: Launch) -> Handle:
        """Start the container, or return the handle of the one already running for this key and boot.

        Raises StartRefusedError, and NotYetError while its image is fetched.
        """
        if launch.image is None:
            program = launch.argv[0]
            raise StartRefusedError(f"{launch.key} was placed to run {program} of this host; start this agent with --runtime process.")
        with self._turn(launch):
            known = self._known.get(launch.key)
            if known is not None and known.boot == launch.boot and self.alive(known):
                return known
            self._removals.wait_for(launch.key, launch.boot)
            self._daemon.pulls.need(launch.image)
            handle = self._handle(self._run(launch, launch.image))
            self._known[launch.key] = handle
            return handle

    def alive(self, handle: Handle) -> bool:
        """Whether the very process of this handle still runs; a zombie or a reused pid does not count."""
        return alive(self._system, handle)

    def progress(self, handle: Handle) -> Progress | None:
        """User and system time of the process in clock ticks; None when it has ended."""
        return self._system.progress(handle.pid) if self.alive(handle) else None

    def footprint(self, handle: Handle) -> Footprint | None:
        """What memory the process takes; None when it has ended, or nobody tells cheaply."""
        footprint = self._system.footprint(handle.pid)
        return footprint if footprint is not None and self.alive(handle) else None

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """Call ``ended`` from another thread as soon as the process ends, at once if it has. Once closed, nothing is watched."""
        with self._lock:
            known = self._known.get(handle.key)
            if known is None or known.boot < handle.boot:
                self._known[handle.key] = handle
        self._system.watch(handle, ended)

    def stop(self, handle: Handle, grace: timedelta) -> None:
        """Send SIGTERM, and SIGKILL after ``grace``. Returns when the process has ended; what is left is removed soon."""
        self._end(handle, asked_first(grace.total_seconds()))

    def kill(self, handle: Handle) -> None:
        """Send SIGKILL. Returns when the process has ended; what is left is removed soon."""
        self._end(handle, AT_ONCE)

    def pause(self, handle: Handle) -> None:
        """Send SIGSTOP. Nothing happens when the process has ended."""
        send(self._system, handle, signal.SIGSTOP)

    def resume(self, handle: Handle) -> None:
        """Send SIGCONT, which does nothing to a process that runs."""
        send(self._system, handle, signal.SIGCONT)

    def strays(self, known: Collection[Handle]) -> list[Handle]:
        """Live containers any runtime with this folder has started that are not among ``known``. Ended ones of those are removed."""
        pids = {(handle.pid, handle.started) for handle in known}
        remembered = {(handle.key, handle.boot) for handle in known}
        found: list[Handle] = []
        try:
            for container in self._containers.all():
                handle = self._handle(container)
                named = (handle.key, handle.boot)
                if self.alive(handle):
                    found += [] if (handle.pid, handle.started) in pids else [handle]
                elif named not in remembered and named not in self._starting:
                    self._removals.remove(handle)
        except FAILURES as failed:
            _log.warning("Docker cannot be asked for stray containers  because=%s", failed)
        return found

    def ending(self, handle: Handle) -> Ending:
        """Whether Docker saw its memory limit end it, and the last that it printed; nothing of one that was removed."""
        if self.alive(handle):
            return Ending()
        try:
            container = self._containers.find(handle.key, handle.boot)
            if container is None:
                return Ending()
            container = self._containers.ended(container)
            state = container["State"]
            if state["Running"]:  # another start of the same boot
                return Ending()
            return Ending(bool(state["OOMKilled"]) and state["ExitCode"] == _KILLED, self._containers.last_words(container))
        except FAILURES as failed:
            _log.warning("Docker cannot be asked why a container ended  node=%s because=%s", handle.key, failed)
            return Ending()

    def close(self) -> None:
        """Stop watching. The containers go on; what ended ones have left is removed before this returns."""
        self._system.close()
        self._removals.close()

    def _run(self, launch: Launch, image: str) -> Container:
        try:
            return self._containers.run(launch)
        except ImageNotFound:
            self._daemon.pulls.forget(image)
            self._daemon.pulls.need(image)
            return self._containers.run(launch)
        except FAILURES as failed:
            raise StartRefusedError(_refusal(launch, failed)) from failed

    def _handle(self, container: Container) -> Handle:
        """One that has ended already was born at no time we can tell: its handle is never alive, and watching it says so."""
        key, boot = key_and_boot(container)
        pid = int(container["State"]["Pid"])
        return Handle(self.name, key, boot, pid, (self._system.born(pid) if pid else None) or 0)

    def _end(self, handle: Handle, steps: Steps) -> None:
        end(self._system, handle, steps)
        with self._lock:
            if self._known.get(handle.key) == handle:
                del self._known[handle.key]
        self._removals.remove(handle)

    @contextmanager
    def _turn(self, launch: Launch) -> Iterator[None]:
        """One start of a node at a time."""
        with self._lock:
            turn = self._turns.setdefault(launch.key, threading.Lock())
        with turn:
            self._starting.add((launch.key, launch.boot))
            try:
                yield
            finally:
                self._starting.discard((launch.key, launch.boot))


class Removals:
    """Removes what ended containers leave, aside: it takes longer than ending them, and nobody needs to wait for it."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="remove-containers")
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], Future[None]] = {}

    def remove(self, handle: Handle) -> None:
        """Remove the container of this handle soon, at once after the end of all."""
        with self._lock:
            try:
                self._under_way[handle.key, handle.boot] = self._pool.submit(self._remove, handle)
                return
            except RuntimeError:  # closed
                pass
        self._remove(handle)

    def wait_for(self, key: str, boot: int) -> None:
        """Return when nothing of that boot is being removed."""
        with self._lock:
            removal = self._under_way.get((key, boot))
        if removal is not None:
            removal.result()

    def close(self) -> None:
        """Return when all is removed."""
        self._pool.shutdown(wait=True)

    def _remove(self, handle: Handle) -> None:
        try:
            found = self._containers.find(handle.key, handle.boot)
            if found is not None and not (found["State"]["Running"] and found["State"]["Pid"] != handle.pid):
                self._containers.remove(found["Id"])
        except FAILURES as failed:  # it is swept later
            _log.warning("an ended container was not removed  node=%s because=%s", handle.key, failed)
        with self._lock:
            self._under_way.pop((handle.key, handle.boot), None)


def user_of(facts: DockerFacts, asked: str | None) -> str:
    """Who engines run as. Raises DockerUnusableError for what is no ``uid:gid``."""
    if asked is not None:
        if not _USER.fullmatch(asked):
            raise DockerUnusableError(f"--container-user {asked} is no uid:gid, such as 65534:65534.")
        return asked
    if facts.rootless:
        return "0:0"  # which is this user, outside
    return NOBODY if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def _system(daemon: Daemon, agent: str) -> System:
    if not daemon.facts.sees_processes:
        return ContainerSystem(daemon.client, agent)
    return Linux() if has_pidfds() else Portable()


def _refusal(launch: Launch, failed: Exception) -> str:
    """Why the start was refused and what to do about it, in a sentence."""
    said = str(getattr(failed, "explanation", None) or failed).strip().rstrip(".")
    if not launch.folder.is_dir():
        return f"The folder {launch.folder} of node {launch.key} does not exist; make it before the start."
    if not isinstance(failed, APIError):
        return f"Docker does not answer: {said}. Start it again."
    if "executable file not found" in said or "no such file" in said:
        return f"The image {launch.image} has no {launch.argv[0]}: {said}. Name another image with --images."
    return f"Docker did not start {launch.argv[0]} of {launch.image}: {said}."
