"""Engines as plain processes of this machine. They outlive the agent that started them and are found again by their handle.

Known by: pid and start time, because a pid alone is reused. Found by: a label that the process carries from its first moment,
because an agent can be killed between starting a process and writing that down.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

from agents.launch import Launch
from agents.runtimes.runtime import Handle, StartRefusedError

_log = logging.getLogger(__name__)

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What an engine gets of the agent's environment. No more, so that no credentials reach it."""


Steps = tuple[tuple[signal.Signals, float | None], ...]
"""Signals to send until the process ends, and how many seconds to wait after each, None for as long as it takes."""


class ProcessRuntime:
    """Runs each engine as a process in a session of its own. ``folder`` is the agent's, and tells its processes from others'."""

    name: ClassVar[str] = "process"

    def __init__(self, folder: Path, system: System | None = None) -> None:
        self._agent = _fingerprint(folder)
        self._system = system or (Linux() if _has_pidfds() else Portable())
        self._known: dict[str, Handle] = {}
        self._lock = threading.Lock()

    def start(self, launch: Launch) -> Handle:
        """Start the process, or return the handle of the one already running for this key and boot. Raises StartRefusedError."""
        with self._lock:
            known = self._known.get(launch.key)
            if known is not None and known.boot == launch.boot and self.alive(known):
                return known
            _CHILDREN.reap_ended()
            pid = _spawn(launch, self._agent, self._system)
            # One that has ended already was born at no time we can tell: its handle is never alive, and watching it says so.
            handle = Handle(self.name, launch.key, launch.boot, pid, self._system.born(pid) or 0)
            self._known[launch.key] = handle
            return handle

    def alive(self, handle: Handle) -> bool:
        """Whether the very process of this handle still runs; a zombie or a reused pid does not count."""
        return _alive(self._system, handle)

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """Call ``ended`` from another thread as soon as the process ends, at once if it has. Once closed, nothing is watched."""
        with self._lock:
            known = self._known.get(handle.key)
            if known is None or known.boot < handle.boot:
                self._known[handle.key] = handle
        self._system.watch(handle, ended)

    def stop(self, handle: Handle, grace: timedelta) -> None:
        """Send SIGTERM, and SIGKILL after ``grace``. Returns when the process has ended, at once if it already has."""
        self._end(handle, ((signal.SIGTERM, max(grace.total_seconds(), 0.0)), (signal.SIGKILL, None)))

    def kill(self, handle: Handle) -> None:
        """Send SIGKILL. Returns when the process has ended, at once if it already has."""
        self._end(handle, ((signal.SIGKILL, None),))

    def strays(self, known: Collection[Handle]) -> list[Handle]:
        """Live processes any runtime with this folder has started that are not among ``known``.

        Children of an engine (a snapshot being saved) are not counted: they end by themselves, or with the engine.
        """
        pids = {(handle.pid, handle.started) for handle in known}
        labelled = [(pid, label, self._system.born(pid)) for pid, label in self._system.labelled(self._agent)]
        found = [Handle(self.name, key, boot, pid, born) for pid, (key, boot), born in labelled if born is not None]
        return [handle for handle in found if (handle.pid, handle.started) not in pids]

    def close(self) -> None:
        """Stop watching. The processes go on."""
        self._system.close()

    def _end(self, handle: Handle, steps: Steps) -> None:
        with self._system.held(handle) as process:
            if process is not None:
                _walk(process, steps)
        _CHILDREN.reap(handle.pid)
        with self._lock:
            if self._known.get(handle.key) == handle:
                del self._known[handle.key]


def _walk(process: Held, steps: Steps) -> None:
    for number, patience in steps:
        process.send(number)
        if process.wait(patience):
            return


def _fingerprint(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


def _alive(system: System, handle: Handle) -> bool:
    _CHILDREN.reap(handle.pid)
    return system.born(handle.pid) == handle.started


# --- Starting -------------------------------------------------------------------------------------------------------------------


def _spawn(launch: Launch, agent: str, system: System) -> int:
    """The pid of the new process, which carries the label. Raises StartRefusedError."""
    try:
        with system.labelled_stdin(agent, launch) as stdin, _appending(launch.log) as log:
            child = _Child(
                launch.argv, stdin=stdin, stdout=log, stderr=log, cwd=launch.folder, start_new_session=True,
                env=_environment(agent, launch),
            )  # no preexec_fn: without one this is a vfork, whose price does not grow with the agent's memory
    except OSError as error:
        raise StartRefusedError(_refusal(launch, error)) from error
    _CHILDREN.add(child)
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


class _Child(subprocess.Popen[bytes]):
    """A process of ours. To let go of it while it runs is no mistake here: it is meant to outlive us."""

    def __del__(self) -> None:
        """Say nothing, where its parent would warn about a running process."""


class _Children:
    """The children of this Python process. Whoever asks reaps them, so that the ended ones do not stay zombies.

    They belong to the Python process and not to a runtime: a second runtime in it may end what the first one started.
    """

    def __init__(self) -> None:
        self._children: dict[int, _Child] = {}
        self._lock = threading.Lock()

    def add(self, child: _Child) -> None:
        with self._lock:
            self._children[child.pid] = child

    def reap(self, pid: int) -> None:
        """Free the pid if that child of ours has ended."""
        with self._lock:
            child = self._children.get(pid)
            if child is not None and child.poll() is not None:
                del self._children[pid]

    def reap_ended(self) -> None:
        for pid in list(self._children):
            self.reap(pid)


_CHILDREN = _Children()


# --- What differs between operating systems -----------------------------------------------------------------------------------


class Held(Protocol):
    """A process that is certain to be the right one for as long as it is held."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal. Nothing happens when the process has ended."""

    def wait(self, seconds: float | None) -> bool:
        """Wait for the end, for ever if None. Whether it came."""


class System(Protocol):
    """What an operating system lets us know and do about processes that need not be our children."""

    def born(self, pid: int) -> int | None:
        """When the process started, in the system's own ticks; None when it has ended or is a zombie."""

    @contextmanager
    def labelled_stdin(self, agent: str, launch: Launch) -> Iterator[int]:
        """An empty standard input for the new process, by which it can be found, if this system has such a thing."""

    def labelled(self, agent: str) -> Iterator[tuple[int, tuple[str, int]]]:
        """Each process that was started for this agent: its pid, its key and boot."""

    @contextmanager
    def held(self, handle: Handle) -> Iterator[Held | None]:
        """The very process of the handle, None when it has ended."""

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """As Runtime.watch."""

    def close(self) -> None:
        """As Runtime.close."""


class Callbacks:
    """Calls back in threads of their own: a slow one does not delay the watcher, one that raises is logged and forgotten."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="process-ended")

    def call(self, ended: Callable[[Handle], None], handle: Handle) -> None:
        with suppress(RuntimeError):  # closed: the agent is leaving and wants to hear no more
            self._pool.submit(ended, handle).add_done_callback(self._report)

    def close(self) -> None:
        """Start no more calls. Does not wait for those under way, so it may be called from one of them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _report(done: Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("what was to be done about the end of a process failed", exc_info=error)


class Linux:
    """By pidfd, which names one process for ever, and by /proc.

    The label is the name of an empty file in memory that serves as standard input. It is not in the environment, because
    Valkey and Redis write their process title over that, nor on disk, where it would have to be tidied up.
    """

    def __init__(self) -> None:
        self._callbacks = Callbacks()
        self._pidfds: dict[int, Handle] = {}
        self._watched: dict[Handle, Callable[[Handle], None]] = {}
        self._lock = threading.Lock()
        self._epoll: select.epoll | None = None
        self._closed = False

    def born(self, pid: int) -> int | None:
        stat = _stat(pid)
        return None if stat is None or stat[0] in {"Z", "X"} else int(stat[19])

    @contextmanager
    def labelled_stdin(self, agent: str, launch: Launch) -> Iterator[int]:
        descriptor = os.memfd_create(f"cachewright:{agent}:{launch.boot}:{launch.key}")
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def labelled(self, agent: str) -> Iterator[tuple[int, tuple[str, int]]]:
        prefix = f"/memfd:cachewright:{agent}:"
        for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):  # noqa: PTH208 (a Path for each costs more)
            with suppress(OSError):  # another user's, or ended since
                label = os.readlink(f"/proc/{pid}/fd/0")  # noqa: PTH115
                if label.startswith(prefix) and _leads_its_session(pid):
                    boot, key = label.removeprefix(prefix).removesuffix(" (deleted)").split(":", 1)
                    yield pid, (key, int(boot))

    @contextmanager
    def held(self, handle: Handle) -> Iterator[Held | None]:
        descriptor = self._open(handle)
        try:
            yield None if descriptor is None else _Pinned(descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        with self._lock:
            if self._closed or handle in self._watched:
                return
            descriptor = self._open(handle)
            if descriptor is None:
                self._callbacks.call(ended, handle)
                return
            self._pidfds[descriptor], self._watched[handle] = handle, ended
            self._running_epoll().register(descriptor, select.EPOLLIN)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._callbacks.close()
        if self._epoll is not None:
            os.eventfd_write(self._bell, 1)
            self._thread.join()

    def _open(self, handle: Handle) -> int | None:
        """A pidfd of the very process of this handle, None when that has ended. The caller closes it."""
        if not _alive(self, handle):  # also keeps out a pid that is now a thread's, which pidfd_open would not take
            return None
        try:
            descriptor = os.pidfd_open(handle.pid)
        except ProcessLookupError:
            return None
        # Looked at once more: whatever has this pid and this birth after the pidfd was opened is what the pidfd names.
        if _alive(self, handle):
            return descriptor
        os.close(descriptor)
        return None

    def _running_epoll(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._bell = os.eventfd(0, os.EFD_CLOEXEC)
            self._epoll.register(self._bell, select.EPOLLIN)
            self._thread = threading.Thread(target=self._notice, args=(self._epoll,), name="process-watch", daemon=True)
            self._thread.start()
        return self._epoll

    def _notice(self, epoll: select.epoll) -> None:
        """The watcher's thread: sleep until a watched process ends, and pass it on, until the bell says that all is over."""
        while not self._closed:
            for descriptor, _ in epoll.poll():
                if descriptor != self._bell:
                    self._pass_on(epoll, descriptor)
        with self._lock:
            for descriptor in (*self._pidfds, self._bell):
                os.close(descriptor)
            epoll.close()

    def _pass_on(self, epoll: select.epoll, descriptor: int) -> None:
        with self._lock:
            handle = self._pidfds.pop(descriptor)
            ended = self._watched.pop(handle)
            epoll.unregister(descriptor)
            os.close(descriptor)
        _CHILDREN.reap(handle.pid)
        self._callbacks.call(ended, handle)


def _has_pidfds() -> bool:
    """Whether kernel and sandbox let us use them; a Python built with them does not mean that."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (the state) on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (called for every look at a process)
            line = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return line.rpartition(b")")[2].decode().split()  # the second is the program's name, which may hold spaces and brackets


def _leads_its_session(pid: int) -> bool:
    """True for what we started, false for the children an engine forks, which inherit its label."""
    stat = _stat(pid)
    return stat is not None and int(stat[3]) == pid


class _Pinned:
    """A process by its pidfd."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def wait(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


class Portable:
    """By asking psutil again and again, where there is no pidfd. The label is in the environment, for want of a better place.

    A tick is a hundredth of a second. An engine that writes its title over its environment is not found as a stray,
    nor is any in the instant of its start.
    """

    interval: ClassVar[float] = 0.02  # seconds between two looks: short against any client's timeout, and cheap

    def __init__(self) -> None:
        self._psutil = import_module("psutil")
        self._callbacks = Callbacks()
        self._watched: dict[Handle, Callable[[Handle], None]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def born(self, pid: int) -> int | None:
        if pid < 1:
            return None
        try:
            process = self._psutil.Process(pid)
            ended = process.status() in {self._psutil.STATUS_ZOMBIE, self._psutil.STATUS_DEAD}
            return None if ended else round(process.create_time() * 100)
        except self._psutil.NoSuchProcess:
            return None

    @contextmanager
    def labelled_stdin(self, agent: str, launch: Launch) -> Iterator[int]:
        yield subprocess.DEVNULL

    def labelled(self, agent: str) -> Iterator[tuple[int, tuple[str, int]]]:
        for process in self._psutil.process_iter():
            with suppress(self._psutil.Error, OSError):  # another user's, or ended since
                label = process.environ()
                if label.get("CACHEWRIGHT_AGENT") == agent and os.getsid(process.pid) == process.pid:
                    yield process.pid, (label["CACHEWRIGHT_NODE"], int(label["CACHEWRIGHT_BOOT"]))

    @contextmanager
    def held(self, handle: Handle) -> Iterator[Held | None]:
        yield _Looked(self, handle) if _alive(self, handle) else None

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self._watched.setdefault(handle, ended)
            if self._thread is None:
                self._thread = threading.Thread(target=self._notice, name="process-watch", daemon=True)
                self._thread.start()

    def close(self) -> None:
        with self._lock:
            self._closing.set()
            self._callbacks.close()
        if self._thread is not None:
            self._thread.join()

    def _notice(self) -> None:
        while not self._closing.wait(self.interval):
            for handle in [handle for handle in list(self._watched) if not _alive(self, handle)]:
                self._callbacks.call(self._watched.pop(handle), handle)


class _Looked:
    """A process by its pid, looked at anew before each signal. A pid reused in that instant is the price of having no pidfd."""

    def __init__(self, system: Portable, handle: Handle) -> None:
        self._system, self._handle = system, handle

    def send(self, number: signal.Signals) -> None:
        if _alive(self._system, self._handle):
            with suppress(ProcessLookupError):
                os.kill(self._handle.pid, number)

    def wait(self, seconds: float | None) -> bool:
        looks = 0
        while _alive(self._system, self._handle):
            if seconds is not None and looks * self._system.interval >= seconds:
                return False
            threading.Event().wait(self._system.interval)
            looks += 1
        return True
