"""An engine that a test has for itself, on a Unix socket: to write RDB files with, and to look into them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from waiting import wait_until

from agents.engines.catalogue import find_binaries
from api_schemas.agent.node import EngineBinary

SERVERS = [binary for binary in find_binaries() if binary.engine != "memcached"]
NAMES = [f"{binary.engine}-{binary.version}" for binary in SERVERS]


def server(name: str) -> EngineBinary:
    """The program that has this name and version, such as ``valkey-9.1.2``."""
    return SERVERS[NAMES.index(name)]


@contextmanager
def engine_aside(binary: EngineBinary, folder: Path, *options: str) -> Iterator[redis.Redis]:
    """A client of an engine that keeps its ``dump.rdb`` in that folder, and loads the one that is there."""
    with tempfile.TemporaryDirectory() as short:  # a socket's address is
        socket = Path(short) / "s"
        command = [binary.path, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", "--logfile", "", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                wait_until(lambda: answers(client))
                yield client
        finally:
            process.kill()
            process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
        return False
