"""``local_server()``: a Cachewright of one's own for the length of a ``with`` block, real engines included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from cachewright.resolver import Resolver

_READY = re.compile(
    r"ready at (http://\S+)  data: (.+?)  engines: (.*?)(?:  runtime: .*?)?(?:  agents: \S+)?(?:  DNS: \*\.(\S+) at (\S+):(\d+) .*)?$"
)
_LAST_WORDS = 2000
_LONGEST_STOP = 60.0


class ServerFailedError(Exception):
    """The server did not start, or did not stop; the text is what it said."""


class LocalServer(NamedTuple):
    """A running server: where it answers, its process, its data folder, the engines it found, and where it serves names, if it does.

    ``dns`` is the suffix of names, the address and the port; ``access_key_file`` has the key that clients of this server need, if they do.
    """

    url: str
    pid: int
    data_dir: Path
    engines: str
    dns: tuple[str, str, int] | None = None
    access_key_file: Path | None = None

    def client(self, service: str = "elasticache", **options: Any) -> Any:
        """A client of this server; see :func:`cachewright.client`."""
        from cachewright.client import client

        return client(service, endpoint_url=self.url, **{"access_key_file": self.access_key_file, **options})

    def resolver(self) -> Resolver:
        """What asks this server for names. Raises ValueError where it serves none; start it with ``options=["--dns"]``."""
        from cachewright.resolver import Resolver

        if self.dns is None:
            raise ValueError("the server serves no names; start it with the option --dns")
        suffix, host, port = self.dns
        return Resolver(host, port, suffix=suffix)


@contextmanager
def local_server(*, data_dir: Path | None = None, port: int = 0, zones: int = 3, options: Sequence[str] = (),
                 ready_within: float = 60.0, access_key_file: Path | None = None) -> Iterator[LocalServer]:  # fmt: skip
    """Start a server and stop it at the end of the block.

    Without a ``data_dir`` it leaves nothing behind; with one, engines save at the end, and a later server on the same folder
    brings everything back. ``port`` 0 picks a free one. With an ``access_key_file`` the server is guarded: it makes an admin's key into
    that file, which clients made by it use. Raises ServerFailedError with what the server said, when it does not
    start within ``ready_within`` seconds or does not stop.
    """
    import subprocess
    import sys
    import tempfile

    where = ["--data-dir", str(data_dir)] if data_dir else ["--ephemeral"]
    guarded = ["--authentication", "required", "--access-key-file", str(access_key_file)] if access_key_file else []
    command = [sys.executable, "-m", "cachewright", "serve", *where, "--port", str(port), "--zones", str(zones), *guarded, *options]
    with tempfile.TemporaryFile("w+", errors="replace") as log:  # a file, because a pipe that nobody reads would block the server
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        try:
            yield _until_ready(process, log, ready_within)._replace(access_key_file=access_key_file)
        finally:
            _stop(process, log)


def _until_ready(process: subprocess.Popen[str], log: IO[str], within: float) -> LocalServer:
    from pathlib import Path

    line = _first_line(process, within)
    found = _READY.search(line or "")
    if found is None:
        why = f"was not ready after {within:g} s" if line is None else "did not start"
        raise ServerFailedError(f"the server {why}: {_said(log) or (line or '').strip() or 'it said nothing'}")
    dns = (found[4], found[5].strip("[]"), int(found[6])) if found[4] else None
    return LocalServer(found[1], process.pid, Path(found[2]), found[3], dns)


def _first_line(process: subprocess.Popen[str], within: float) -> str | None:
    """The first line on stdout; empty when there is none to come, None when none came in time. What follows is dropped."""
    import queue
    import threading

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read(stdout: IO[str]) -> None:
        with stdout:
            lines.put(stdout.readline())
            while stdout.read(65536):
                pass

    if process.stdout is not None:
        threading.Thread(target=read, args=(process.stdout,), name="cachewright-stdout", daemon=True).start()
    try:
        return lines.get(timeout=within)
    except queue.Empty:
        return None


def _stop(process: subprocess.Popen[str], log: IO[str]) -> None:
    """SIGTERM, which lets engines save, and time to do so; SIGKILL and an error when that was not enough."""
    import subprocess

    process.terminate()
    try:
        process.wait(_LONGEST_STOP)
    except subprocess.TimeoutExpired as slow:
        process.kill()
        process.wait()
        raise ServerFailedError(f"the server did not stop within {_LONGEST_STOP:g} s and was killed: {_said(log)}") from slow


def _said(log: IO[str]) -> str:
    log.seek(0)
    return log.read().strip()[-_LAST_WORDS:]
