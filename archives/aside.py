"""A file that is written aside has a name with a ``~``, which no key has, until it is whole and gets its own."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archives.archive import ArchiveError, Told
from archives.copying import copy_bytes, write_all
from archives.disk_errors import own_file_errors
from archives.open_files import READ, names_in, opened
from archives.unique import unique

MARK = "~"

_SPARE = re.compile(r".*~[0-9a-f]{16}", re.DOTALL)

_CANNOT_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS)
"""What the system says of a file that can have no second name there: then it is copied."""

OLD = 24 * 3600.0
"""Seconds after which a file that nobody has written to is left over from a writer that is no more."""


@contextmanager
def aside(folder: int, name: str) -> Iterator[str]:
    """A name for the file to be written, in an open folder. Nothing is left there under that name afterwards."""
    spare = f"{name}{MARK}{unique()}"
    try:
        yield spare
    finally:
        with suppress(FileNotFoundError):  # it was published, or never written
            os.unlink(spare, dir_fd=folder)


def publish(folder: int, spare: str, name: str) -> bool:
    """The file has its own name now, durably, and replaces the one that had it: True. What it holds must be on the disk already."""
    os.rename(spare, name, src_dir_fd=folder, dst_dir_fd=folder)  # does nothing where both are the same file, as two links are
    os.fsync(folder)
    return True


def publish_new(folder: int, spare: str, name: str) -> bool:
    """The same unless something has that name already: then nothing happens, and the answer is False."""
    try:
        os.link(spare, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    os.fsync(folder)
    return True


def copy_into(folder: int, spare: str, source: int, told: Told | None) -> None:
    """Fill a new file with what an open one holds."""
    expected = os.fstat(source).st_size
    with created(folder, spare) as file:
        copied = copy_bytes(source, file, told)
    if copied != expected:
        raise ArchiveError(f"a file had {expected} bytes when its copying began and {copied} when it ended: copy it once nobody writes it")


def write_into(folder: int, spare: str, content: bytes) -> None:
    """Fill a new file with these bytes."""
    with created(folder, spare) as file:
        write_all(file, content)


@contextmanager
def created(folder: int, spare: str) -> Iterator[int]:
    """A new file to be filled, for its owner alone; what it holds is on the disk afterwards."""
    file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        yield file
        os.fsync(file)
    finally:
        os.close(file)


def linked(source: str, inside: int | None, folder: int, spare: str) -> bool:
    """Whether the file has the spare name as well now, and is on the disk. Raises ArchiveError if it is no ordinary file by then."""
    try:
        os.link(source, spare, src_dir_fd=inside, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as why:
        if why.errno not in _CANNOT_LINK:
            raise
        return False
    with opened(spare, READ, folder) as file:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ArchiveError(f"{source} is no ordinary file any more: only those are kept in archives")
        os.fchmod(file, 0o600)
        os.fsync(file)
    return True


def clear_leftovers(folder: int, spare: str, beginning: str = "") -> None:
    """Remove what writers that are no more left in a folder, under names that begin so. ``spare`` was just written: it tells the time."""
    now = os.stat(spare, dir_fd=folder, follow_symlinks=False).st_ctime  # by the clock of the file system, wherever that is
    for name in names_in(folder):
        if name != spare and name.startswith(beginning) and _SPARE.fullmatch(name):
            with suppress(FileNotFoundError):  # another writer cleared it, or published it
                seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
                # not when it was modified: a linked file keeps that from before
                if stat.S_ISREG(seen.st_mode) and now - seen.st_ctime > OLD:
                    os.unlink(name, dir_fd=folder)


@contextmanager
def beside(target: Path, doing: str) -> Iterator[tuple[int, str]]:
    """The folder of ``target``, open, and a name for what is published as ``target`` unless its writing raises. Raises ArchiveError."""
    place = opened(str(target.parent), os.O_RDONLY | os.O_DIRECTORY, None)
    with own_file_errors(doing, target.parent), place as folder, aside(folder, target.name) as spare:
        yield folder, spare
        clear_leftovers(folder, spare, f"{target.name}{MARK}")
        publish(folder, spare, target.name)


def copy_out(file: int, target: Path, doing: str, told: Told | None) -> None:
    """Copy an open file to where nobody sees it before it is whole. Raises ArchiveError."""
    with beside(target, doing) as (folder, spare):
        copy_into(folder, spare, file, told)
