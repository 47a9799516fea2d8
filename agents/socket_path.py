"""Unix sockets in folders that may lie deeper than a Unix address is long."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LONGEST_SOCKET_PATH = 107  # bytes; what sockaddr_un holds without its closing zero


@contextlib.contextmanager
def socket_path(path: Path) -> Iterator[str]:
    """A path of the socket that fits a Unix address. Good inside the block only. Raises OSError when the folder does not exist."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}/{path.name}"
    finally:
        os.close(opened)
