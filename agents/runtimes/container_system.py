"""Containers' processes as Docker tells of them, where they cannot be seen: from inside a container with processes of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from docker import APIClient
from docker.errors import APIError, DockerException

from agents.launch import Launch
from agents.runtimes.containers import AGENT
from agents.runtimes.runtime import Footprint, Handle, Progress
from agents.runtimes.system import Callbacks, Held, alive

_FAILURES = (DockerException, OSError)


class ContainerSystem:
    """A process is known by the pid that it has outside and by when its container was started, in microseconds."""

    def __init__(self, client: APIClient, agent: str) -> None:
        self._client, self._agent = client, agent
        self._callbacks = Callbacks()
        self._ids: dict[int, str] = {}
        self._watched: set[Handle] = set()
        self._lock = threading.Lock()
        self._closed = False

    def born(self, pid: int) -> int | None:
        container = self._running(pid)
        return None if container is None else _started(container)

    def progress(self, pid: int) -> Progress | None:
        container = self._running(pid)
        if container is None:
            return None
        try:
            used = self._client.stats(container["Id"], stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]
        except _FAILURES:
            return None
        return Progress(int(used) // 10_000_000)

    def footprint(self, pid: int) -> Footprint | None:
        """Docker takes its time for an answer: too much for something that is asked all the time."""
        return None

    @contextmanager
    def labelled_stdin(self, agent: str, launch: Launch) -> Iterator[int]:
        raise NotImplementedError("containers have labels of their own")
        yield

    def labelled(self, agent: str) -> Iterator[tuple[int, tuple[str, int]]]:
        raise NotImplementedError("containers have labels of their own")

    @contextmanager
    def held(self, handle: Handle) -> Iterator[Held | None]:
        container = self._running(handle.pid)
        yield None if container is None or _started(container) != handle.started else _Told(self._client, container["Id"])

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        with self._lock:
            if self._closed or handle in self._watched:
                return
            self._watched.add(handle)
        threading.Thread(target=self._wait, args=(handle, ended), name=f"watch {handle.key}", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._callbacks.close()

    def _wait(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """A watcher's thread: Docker answers when the process has ended."""
        while not self._closed and alive(self, handle):
            with suppress(*_FAILURES):
                self._client.wait(self._ids[handle.pid], timeout=60)
        with self._lock:
            self._watched.discard(handle)
            if self._closed:
                return
        self._callbacks.call(ended, handle)

    def _running(self, pid: int) -> Mapping[str, Any] | None:
        """The running container whose process has this pid outside."""
        for known in [self._ids[pid]] if pid in self._ids else self._all() if pid > 0 else []:
            with suppress(*_FAILURES):
                container: Mapping[str, Any] = self._client.inspect_container(known)
                if container["State"]["Running"] and container["State"]["Pid"] == pid:
                    self._ids[pid] = container["Id"]
                    return container
        self._ids.pop(pid, None)
        return None

    def _all(self) -> list[str]:
        with suppress(*_FAILURES):
            return [each["Id"] for each in self._client.containers(filters={"label": f"{AGENT}={self._agent}"})]
        return []


class _Told:
    """A container's process, by what Docker does to it."""

    def __init__(self, client: APIClient, container: str) -> None:
        self._client, self._container = client, container

    def send(self, number: signal.Signals) -> None:
        with suppress(APIError):
            self._client.kill(self._container, signal=int(number))

    def wait(self, seconds: float | None) -> bool:
        patience = None if seconds is None else max(seconds, 0.01)
        try:
            self._client.wait(self._container, timeout=patience)  # type: ignore[arg-type]  # the library below takes fractions
        except APIError:
            return True  # it is removed
        except _FAILURES:
            return False
        return True


def _started(container: Mapping[str, Any]) -> int:
    """Docker writes nanoseconds, of which Python reads six digits."""
    text = str(container["State"]["StartedAt"]).rstrip("Z")
    whole, _, part = text.partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000 + int(f"{part:0<6}"[:6] or 0)
