"""What differs between operating systems: how a process is recognised, found again, watched and ended."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import ClassVar, Protocol

from agents.launch import Launch
from agents.runtimes.children import CHILDREN
from agents.runtimes.runtime import Footprint, Handle, Progress

_log = logging.getLogger(__name__)


def alive(system: System, handle: Handle) -> bool:
    """Whether the very process of this handle still runs; a child of ours that has ended is reaped on the way."""
    CHILDREN.reap(handle.pid)
    return system.born(handle.pid) == handle.started


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

    def progress(self, pid: int) -> Progress | None:
        """What the process has done so far, and whether it could do more; None when there is none."""

    def footprint(self, pid: int) -> Footprint | None:
        """What memory the process takes; None when there is none, or that cannot be told cheaply."""

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


Steps = tuple[tuple[signal.Signals, float | None], ...]
"""Signals to send until a process ends, and how many seconds to wait after each, None for as long as it takes."""


def asked_first(grace: float) -> Steps:
    """SIGTERM, and SIGKILL after so many seconds."""
    return ((signal.SIGTERM, max(grace, 0.0)), *AT_ONCE)


AT_ONCE: Steps = ((signal.SIGKILL, None),)


def send(system: System, handle: Handle, number: signal.Signals) -> None:
    """Send a signal to the very process of the handle. Nothing happens when it has ended."""
    with system.held(handle) as process:
        if process is not None:
            process.send(number)


def end(system: System, handle: Handle, steps: Steps) -> None:
    """Send signals until the very process of the handle has ended; at once if it already has."""
    with system.held(handle) as process:
        if process is not None:
            _walk(process, steps)
    CHILDREN.reap(handle.pid)


def _walk(process: Held, steps: Steps) -> None:
    for number, patience in steps:
        process.send(number)
        if process.wait(patience):
            return


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

    def progress(self, pid: int) -> Progress | None:
        stat = _stat(pid)
        return None if stat is None else Progress(int(stat[11]) + int(stat[12]), stat[0] in {"R", "D"})

    def footprint(self, pid: int) -> Footprint | None:
        sizes = _sizes(pid)
        return Footprint(sizes[b"VmRSS"], sizes.get(b"VmSwap")) if b"VmRSS" in sizes else None

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
                os.eventfd_write(self._bell, 1)  # under the lock: the watcher may be on its way out, and closes the bell under it
        if self._epoll is not None:
            self._thread.join()

    def _open(self, handle: Handle) -> int | None:
        """A pidfd of the very process of this handle, None when that has ended. The caller closes it."""
        if not alive(self, handle):  # also keeps out a pid that is now a thread's, which pidfd_open would not take
            return None
        try:
            descriptor = os.pidfd_open(handle.pid)
        except ProcessLookupError:
            return None
        # Looked at once more: whatever has this pid and this birth after the pidfd was opened is what the pidfd names.
        if alive(self, handle):
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
        CHILDREN.reap(handle.pid)
        self._callbacks.call(ended, handle)


def has_pidfds() -> bool:
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


def _sizes(pid: int) -> dict[bytes, int]:
    """The sizes in /proc/<pid>/status, in bytes; none of a process that has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123 (as above)
            lines = [line.split() for line in file.read(4096).splitlines()]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == b"kB"}


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

    def progress(self, pid: int) -> Progress | None:
        try:
            process = self._psutil.Process(pid)
            times, status = process.cpu_times(), process.status()
        except self._psutil.NoSuchProcess:
            return None
        return Progress(int((times.user + times.system) * 100), status in {self._psutil.STATUS_RUNNING, self._psutil.STATUS_DISK_SLEEP})

    def footprint(self, pid: int) -> Footprint | None:
        try:
            return Footprint(self._psutil.Process(pid).memory_info().rss)
        except self._psutil.Error:
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
        yield _Looked(self, handle) if alive(self, handle) else None

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
            for handle in [handle for handle in list(self._watched) if not alive(self, handle)]:
                self._callbacks.call(self._watched.pop(handle), handle)


class _Looked:
    """A process by its pid, looked at anew before each signal. A pid reused in that instant is the price of having no pidfd."""

    def __init__(self, system: Portable, handle: Handle) -> None:
        self._system, self._handle = system, handle

    def send(self, number: signal.Signals) -> None:
        if alive(self._system, self._handle):
            with suppress(ProcessLookupError):
                os.kill(self._handle.pid, number)

    def wait(self, seconds: float | None) -> bool:
        looks = 0
        while alive(self._system, self._handle):
            if seconds is not None and looks * self._system.interval >= seconds:
                return False
            threading.Event().wait(self._system.interval)
            looks += 1
        return True
