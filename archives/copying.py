"""Copying moves all bytes of one open file into another, as fast as the file system can, and tells how far it is."""

from __future__ import annotations

import errno
import os

from archives.archive import Told

_AT_A_TIME = 16 << 20
_IN_MEMORY = 1 << 20

_CANNOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.ETXTBSY)
"""What the system call says of files that it cannot copy between: then they are read and written."""


def copy_bytes(source: int, target: int, told: Told | None) -> int:
    """The number of bytes that were copied, from where both files stand to the end. Raises OSError."""
    done = _copied_by_system(source, target, told) if hasattr(os, "copy_file_range") else 0
    while block := os.read(source, _IN_MEMORY):
        write_all(target, block)
        done += len(block)
        if told is not None:
            told(done)
    return done


def _copied_by_system(source: int, target: int, told: Told | None) -> int:
    """How much the system copied: all of it, or nothing where it cannot."""
    done = 0
    try:
        while count := os.copy_file_range(source, target, _AT_A_TIME):
            done += count
            if told is not None:
                told(done)
    except OSError as why:
        if why.errno not in _CANNOT:
            raise
    return done


def write_all(target: int, content: bytes) -> None:
    """Write every byte: a single call may write fewer."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(target, rest) :]
