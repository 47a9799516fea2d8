"""Engines as plain processes of this machine. They outlive the agent that started them and are found again by their handle.

Known by: pid and start time, because a pid alone is reused. Found by: a label that the process carries from its first moment,
because an agent can be killed between starting a process and writing that down.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from agents.launch import Launch
from agents.runtimes.children import CHILDREN, Child
from agents.runtimes.runtime import Ending, Footprint, Handle, Progress, StartRefusedError
from agents.runtimes.system import AT_ONCE, Linux, Portable, Steps, System, alive, asked_first, end, has_pidfds, send

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What an engine gets of the agent's environment. No more, so that no credentials reach it."""


class ProcessRuntime:
    """Runs each engine as a process in a session of its own. ``folder`` is the agent's, and tells its processes from others'."""

    name: ClassVar[str] = "process"

    def __init__(self, folder: Path, system: System | None = None) -> None:
        self._agent = agent_label(folder)
        self._system = system or (Linux() if has_pidfds() else Portable())
        self._known: dict[str, Handle] = {}
        self._lock = threading.Lock()

    def start(self, launch: Launch) -> Handle:
        """Start the process, or return the handle of the one already running for this key and boot. Raises StartRefusedError."""
        with self._lock:
            known = self._known.get(launch.key)
            if known is not None and known.boot == launch.boot and self.alive(known):
                return known
            CHILDREN.reap_ended()
            pid = _spawn(launch, self._agent, self._system)
            # One that has ended already was born at no time we can tell: its handle is never alive, and watching it says so.
            handle = Handle(self.name, launch.key, launch.boot, pid, self._system.born(pid) or 0)
            self._known[launch.key] = handle
            return handle

    def alive(self, handle: Handle) -> bool:
        """Whether the very process of this handle still runs; a zombie or a reused pid does not count."""
        return alive(self._system, handle)

    def progress(self, handle: Handle) -> Progress | None:
        """User and system time of the process in clock ticks, usually a hundredth of a second each; None when it has ended."""
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
        """Send SIGTERM, and SIGKILL after ``grace``. Returns when the process has ended, at once if it already has."""
        self._end(handle, asked_first(grace.total_seconds()))

    def kill(self, handle: Handle) -> None:
        """Send SIGKILL. Returns when the process has ended, at once if it already has."""
        self._end(handle, AT_ONCE)

    def pause(self, handle: Handle) -> None:
        """Send SIGSTOP. Nothing happens when the process has ended."""
        send(self._system, handle, signal.SIGSTOP)

    def resume(self, handle: Handle) -> None:
        """Send SIGCONT, which does nothing to a process that runs."""
        send(self._system, handle, signal.SIGCONT)

    def strays(self, known: Collection[Handle]) -> list[Handle]:
        """Live processes any runtime with this folder has started that are not among ``known``.

        Children of an engine (a snapshot being saved) are not counted: they end by themselves, or with the engine.
        """
        pids = {(handle.pid, handle.started) for handle in known}
        labelled = [(pid, label, self._system.born(pid)) for pid, label in self._system.labelled(self._agent)]
        found = [Handle(self.name, key, boot, pid, born) for pid, (key, boot), born in labelled if born is not None]
        return [handle for handle in found if (handle.pid, handle.started) not in pids]

    def ending(self, handle: Handle) -> Ending:
        """Nothing: what it printed is in the log, and whether the kernel ended it for want of memory is not for us to know."""
        return Ending()

    def close(self) -> None:
        """Stop watching. The processes go on."""
        self._system.close()

    def _end(self, handle: Handle, steps: Steps) -> None:
        end(self._system, handle, steps)
        with self._lock:
            if self._known.get(handle.key) == handle:
                del self._known[handle.key]


def agent_label(folder: Path) -> str:
    """What tells the processes of the agent with this folder from those of others."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


def _spawn(launch: Launch, agent: str, system: System) -> int:
    """The pid of the new process, which carries the label. Raises StartRefusedError."""
    if launch.image is not None:
        raise StartRefusedError(f"{launch.key} was placed to run in a container of {launch.image}; start this agent with --runtime docker.")
    try:
        with system.labelled_stdin(agent, launch) as stdin, _appending(launch.log) as log:
            child = Child(
                launch.argv, stdin=stdin, stdout=log, stderr=log, cwd=launch.folder, start_new_session=True,
                env=_environment(agent, launch),
            )  # no preexec_fn: without one this is a vfork, whose price does not grow with the agent's memory
    except OSError as error:
        raise StartRefusedError(_refusal(launch, error)) from error
    CHILDREN.add(child)
    return child.pid


def _environment(agent: str, launch: Launch) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"CACHEWRIGHT_AGENT": agent, "CACHEWRIGHT_NODE": launch.key, "CACHEWRIGHT_BOOT": str(launch.boot)}


@contextmanager
def _appending(log: Path) -> Iterator[int]:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(launch: Launch, error: OSError) -> str:
    """Why the start was refused and what to do about it, in a sentence."""
    binary = launch.argv[0] if launch.argv else "(no program)"
    if not launch.folder.is_dir():
        return f"The folder {launch.folder} of node {launch.key} does not exist; make it before the start."
    if not launch.log.parent.is_dir():
        return f"The folder of the log {launch.log} of node {launch.key} does not exist; make it before the start."
    match error:
        case FileNotFoundError():
            return f"{binary} does not exist, or the interpreter or loader it names; install the engine or correct its path."
        case PermissionError():
            return f"Permission was denied for {error.filename or binary}; let this user execute the engine and write the log."
        case OSError(errno=errno.ENOEXEC):
            return f"{binary} is not a program for this system; install the engine for this processor and operating system."
    return f"{binary} could not be started: {error.strerror or error}."
