"""What an operating system says about a disk, as an ArchiveError that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archives.archive import ArchiveAwayError, ArchiveError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_NO_PLACE = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)
_AWAY = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO, errno.ENOTCONN, errno.EAGAIN)


class OwnFileError(ArchiveError):
    """The trouble is with the caller's own file, or where it shall be; the archive is well."""


@contextmanager
def disk_errors(doing: str, folder: Path) -> Iterator[None]:
    """Raises ArchiveError where an OSError comes from within, about what was being done in that folder."""
    try:
        yield
    except OSError as why:
        raise as_archive_error(why, doing, folder) from why


@contextmanager
def own_file_errors(doing: str, folder: Path) -> Iterator[None]:
    """The same for a file of the caller's in that folder: raises OwnFileError, or ArchiveAwayError."""
    try:
        yield
    except OSError as why:
        found = as_archive_error(why, doing, folder)
        raise (found if isinstance(found, ArchiveAwayError) else OwnFileError(str(found))) from why


def as_archive_error(why: OSError, doing: str, folder: Path) -> ArchiveError:
    """The error to raise in its place."""
    said, vain = why.strerror or str(why), f"{doing} was given up and left nothing behind"
    if why.errno in _FULL:
        return ArchiveError(f"the disk of {folder} is full: {vain}; free some space and try again")
    if why.errno == errno.EFBIG:
        return ArchiveError(f"a file is too large for {folder}: {vain}; raise the limit on file sizes")
    if why.errno in _FORBIDDEN:
        return ArchiveError(f"{doing} is not permitted in {folder} ({said}): let the user of this process read and write there")
    if why.errno == errno.EROFS:
        return ArchiveError(f"{folder} is mounted read-only: {doing} is not possible; mount it for writing")
    if why.errno in _NO_PLACE:
        return ArchiveError(f"{doing} is refused in {folder} ({said}): a link is there, or a file for a folder, or a folder for a file")
    if why.errno in _AWAY:
        return ArchiveAwayError(f"{folder} does not answer for now ({said}): {doing} was given up; see to its disk or its mount")
    return ArchiveError(f"{doing} in {folder} failed: {said}")
