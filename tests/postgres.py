"""A PostgreSQL server of the tests' own, as an unprivileged user on a loopback address, for tests that need a database in it."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from ports import free_port
from psycopg import sql
from waiting import wait_until

_numbers = itertools.count(1)


class Postgres:
    """A server that runs, or can be ended and started again on the same data."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        """``prefix`` is put before the server's command: who else shall start it."""
        self.address = address
        self._data = folder / "data"
        self._log = folder / "log"
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        self._be = _unprivileged(folder)
        self.password = secrets.token_hex(8)
        (folder / "password").write_text(self.password)
        (folder / "password").chmod(0o644)
        self._run("initdb", "--auth=scram-sha-256", "--username=postgres", f"--pwfile={folder / 'password'}", "--no-sync", "-D", str(self._data))
        with (self._data / "pg_hba.conf").open("a") as known_hosts:
            known_hosts.write("host all all all scram-sha-256\n")  # whoever knows the password, from wherever
        self.port = free_port()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = (*self._prefix, *self._be, str(_program("postgres")), "-D", str(self._data), "-h", self.address, "-p", str(self.port),
                 "-c", "fsync=off", "-c", "unix_socket_directories=", "-c", "max_connections=200")  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, env=_environment(), start_new_session=True)
        wait_until(self._answers, within=30, every=0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends every session at once, and leaves the data in order."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{next(_numbers)}_{secrets.token_hex(3)}"
        with psycopg.connect(self._where("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._where(name)

    def _where(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@{self.address}:{self.port}/{database}"

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._where("postgres"), connect_timeout=2):
            return True
        return False

    def _run(self, program: str, *words: str) -> None:
        subprocess.run((*self._be, str(_program(program)), *words), check=True, capture_output=True, env=_environment())


@contextlib.contextmanager
def postgres_server(address: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> Iterator[Postgres]:
    """A running server, of which nothing is left afterwards. ``prefix`` is put before its command."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = Postgres(folder, address, prefix)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> Path:
    """Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    on_path = shutil.which(name)
    if not found and on_path is None:
        raise FileNotFoundError(f"{name} is missing: scripts/system-packages installs it")
    return found[-1] if found else Path(str(on_path))


def _unprivileged(folder: Path) -> tuple[str, ...]:
    """PostgreSQL refuses to be root: then it runs as nobody, who owns the folder."""
    if os.getuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    folder.chmod(0o755)
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", nobody.pw_uid, nobody.pw_gid)
    return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

