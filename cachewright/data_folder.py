"""The data folder of one server: locked while it runs, with a share of the loopback addresses that no other server uses."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from agents.address_block import block_of, give_back
from agents.faulting.packet_filter import find_filter, owner_of
from agents.faults import has_left_faults
from agents.ground import runtimes_of
from controlplane.store.folder import FolderInUseError, lock_folder

_EPHEMERAL = "cachewright-ephemeral-"


class DataFolder:
    """A data folder that this process has locked. The lock goes with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and lock it. Raises FolderInUseError."""
        self._lock = lock_folder(path)
        self.path = path.resolve()

    @property
    def block(self) -> int:
        """This folder's share of the loopback addresses: the third number of each, claimed once and kept."""
        return block_of(self.path)

    def remove(self) -> None:
        """Leave nothing behind."""
        give_back(self.path)
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
    """End every process that any agent of this data folder has started, and whatever keeps their zones apart."""
    for agent in (path / "agents").glob("*"):
        if has_left_faults(agent) and (packet_filter := find_filter()) is not None:
            packet_filter.put(owner_of(agent), [])
        with runtimes_of(agent) as runtimes:
            for runtime in runtimes:
                for stray in runtime.strays([]):
                    runtime.kill(stray)
