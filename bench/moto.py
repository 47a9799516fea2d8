"""moto's stand-alone server, the emulator most people know, as a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

from bench import measure as m


class Moto(NamedTuple):
    """A running moto: where it answers, its pid, and the seconds from its start to its first answer."""

    url: str
    pid: int
    ready: float


def is_installed() -> bool:
    """Whether ``moto[server]`` is there; it comes with the extra ``dev``."""
    return find_spec("moto") is not None and find_spec("flask") is not None


@contextlib.contextmanager
def moto_server() -> Iterator[Moto]:
    """Start it on a free port, wait until it answers, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        m.until(lambda: answers(url, "/moto-api/"), 30.0)
        yield Moto(url, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str, path: str) -> bool | None:
    """True once a GET is answered; None before."""
    http = m.Http(url, timeout=10.0)
    try:
        http.ask(http.request("GET", path))
    except OSError:
        return None
    finally:
        http.close()
    return True
