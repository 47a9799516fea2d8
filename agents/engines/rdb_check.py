"""The engine's own check of an RDB file."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from api_schemas.agent.node import EngineBinary


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check counted."""

    keys: int
    expires: int
    expired: int
    functions: int | None


class RdbCheckFailedError(Exception):
    """The file is not sound."""


def available_for(binary: EngineBinary) -> bool:
    """Whether the program can be had here."""
    return binary.image is None


class RdbCheck:
    """One check of a file that is fed to it."""

    def __init__(self, binary: EngineBinary) -> None:
        name = "redis-check-rdb" if binary.engine == "redis" else "valkey-check-rdb"
        self._p = subprocess.Popen(  # noqa: S603
            [name, "/dev/stdin"], executable=binary.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        assert self._p.stdin is not None
        self._p.stdin.write(chunk)

    def finish(self) -> Checked:
        """What was counted. Raises RdbCheckFailedError."""
        out, _ = self._p.communicate()
        if self._p.returncode:
            raise RdbCheckFailedError(out[-200:].decode("latin1"))

        def n(what: bytes) -> int:
            f = re.search(rb"\[info\] (\d+) " + what, out)
            return int(f[1]) if f else 0

        return Checked(n(b"keys read"), n(b"expires"), n(b"already expired"), n(b"functions"))

    def close(self) -> None:
        """End it."""
        if self._p.poll() is None:
            self._p.kill()
            self._p.wait()
        for pipe in (self._p.stdout, self._p.stdin):
            if pipe is not None:
                pipe.close()
