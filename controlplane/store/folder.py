"""The data folder of a control plane: one process owns it, for what the store holds in memory is the truth."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class FolderInUseError(Exception):
    """Another server runs on the data folder; the text says which."""


def lock_folder(path: Path) -> IO[str]:
    """Create the folder if need be and lock it, for as long as the file is open: the lock goes with the process, however it ends.

    Raises FolderInUseError.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = open(path / "serve.lock", "a+")  # noqa: SIM115, PTH123 - held open until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as held:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise FolderInUseError(f"another server (pid {owner}) runs on {path}; stop it or choose another folder") from held
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
