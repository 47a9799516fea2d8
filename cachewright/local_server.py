"""``local_server()``: a Cachewright of one's own for the length of a ``with`` block, real engines included."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_READY = re.compile(r"ready at (http://\S+)  data: (.+?)  engines: (.*)")


class ServerFailedError(Exception):
    """The server did not start, or ended; the text is what it said."""


@dataclass(frozen=True)
class LocalServer:
    """A running server: where it answers, its process, its data folder, and the engines it found."""

    url: str
    pid: int
    data_dir: Path
    engines: str

    def client(self, service: str = "elasticache", **options: Any) -> Any:
        """A client of this server; see :func:`cachewright.client`."""
        from cachewright.client import client

        return client(service, endpoint_url=self.url, **options)


@contextmanager
def local_server(*, data_dir: Path | None = None, port: int = 0, zones: int = 3, options: Sequence[str] = ()) -> Iterator[LocalServer]:
    """Start a server and stop it at the end of the block.

    Without a ``data_dir`` it leaves nothing behind; with one, engines save at the end, and a later server on the same folder
    brings everything back. ``port`` 0 picks a free one. Raises ServerFailedError.
    """
    where = ["--data-dir", str(data_dir)] if data_dir else ["--ephemeral"]
    command = [sys.executable, "-m", "cachewright", "serve", *where, "--port", str(port), "--zones", str(zones), *options]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        try:
            yield _until_ready(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()


def _until_ready(process: subprocess.Popen[str], log: IO[str]) -> LocalServer:
    line = process.stdout.readline() if process.stdout is not None else ""
    found = _READY.search(line)
    if found is None:
        process.wait(timeout=60)
        log.seek(0)
        raise ServerFailedError(f"the server did not start: {log.read().strip()[-2000:] or line or 'it said nothing'}")
    return LocalServer(found[1], process.pid, Path(found[2]), found[3])
