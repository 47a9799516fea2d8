"""The data folder of one server: locked while it runs, with a share of the loopback addresses that no other server uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agents.runtimes.process import ProcessRuntime

BLOCKS = 256
_EPHEMERAL = "cachewright-ephemeral-"


class FolderInUseError(Exception):
    """Another server runs on the data folder; the text says which."""


class DataFolder:
    """A data folder that this process has locked. The lock goes with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and lock it. Raises FolderInUseError."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path.resolve()
        self._lock = open(self.path / "serve.lock", "a+")  # noqa: SIM115 - held open until the process ends
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            self._lock.seek(0)
            owner = self._lock.read().strip()
            self._lock.close()
            raise FolderInUseError(f"another server (pid {owner}) runs on {self.path}; stop it or choose another folder") from held
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    @property
    def block(self) -> int:
        """This folder's share of the loopback addresses: the third number of each, claimed once and kept."""
        kept = self.path / "address-block"
        if kept.exists():
            return int(kept.read_text())
        block = next(block for block in range(BLOCKS) if _claim(block, self.path))
        kept.write_text(str(block))
        return block

    def remove(self) -> None:
        """Leave nothing behind."""
        kept = self.path / "address-block"
        if kept.exists():
            _claim_file(int(kept.read_text())).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def new_ephemeral_folder() -> Path:
    """A folder that ``reap`` knows as one to remove when its server is gone."""
    return Path(tempfile.mkdtemp(prefix=_EPHEMERAL))


def reap() -> list[Path]:
    """End the engines and remove the folders of ephemeral servers that are gone; answers the folders."""
    reaped = []
    for path in Path(tempfile.gettempdir()).glob(f"{_EPHEMERAL}*"):
        with contextlib.suppress(FolderInUseError, PermissionError):
            folder = DataFolder(path)
            end_processes(folder.path)
            folder.remove()
            reaped.append(path)
    return reaped


def end_processes(path: Path) -> None:
    """End every process that any agent of this data folder has started."""
    for agent in (path / "agents").glob("*"):
        runtime = ProcessRuntime(agent)
        for stray in runtime.strays([]):
            runtime.kill(stray)
        runtime.close()


def _claim(block: int, path: Path) -> bool:
    """Claim a block for the folder, unless it is another's or somebody listens in it."""
    file = _claim_file(block)
    for _ in range(2):
        try:
            with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "w") as fresh:
                fresh.write(str(path))
        except FileExistsError:
            with contextlib.suppress(OSError):
                owner = Path(file.read_text().strip() or "/nowhere")
                if owner == path:
                    return True
                if owner.exists():
                    return False
                file.unlink()  # its folder is gone
            continue
        if block not in _blocks_in_use():
            return True
        file.unlink()
        return False
    return False


def _claim_file(block: int) -> Path:
    folder = Path(tempfile.gettempdir()) / "cachewright-address-blocks"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return folder / str(block)


def _blocks_in_use() -> set[int]:
    """The third number of every loopback address from 127.100 up that somebody listens at."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return set()
    return set(_listening(table.read_text().splitlines()[1:]))


def _listening(lines: list[str]) -> Iterator[int]:
    for line in lines:
        local, state = line.split()[1], line.split()[3]
        numbers = [int(local[place : place + 2], 16) for place in (6, 4, 2)]
        if state == "0A" and numbers[0] == 127 and numbers[1] >= 100:
            yield numbers[2]
