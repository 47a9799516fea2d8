"""An open file or folder stays the one that it was, whatever happens to its name: so nobody is led elsewhere by a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from archives.disk_errors import OwnFileError, own_file_errors

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
"""Flags for a folder that is no link."""

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
"""Flags for a file that is no link; a pipe does not make its reader wait."""


@contextmanager
def opened(name: str, flags: int, folder: int | None) -> Iterator[int]:
    """A file that is open, by its name in an open folder or from the root."""
    file = os.open(name, flags, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def regular_file(path: Path) -> Iterator[int]:
    """A file that shall be copied, open. Raises OwnFileError for a link, and for anything that is no ordinary file."""
    with ExitStack() as until_the_end:
        with own_file_errors(f"reading {path.name}", path.parent):
            try:
                file = until_the_end.enter_context(opened(str(path), READ, None))
            except FileNotFoundError as why:
                raise OwnFileError(f"there is no file {path} to be kept: write it first") from why
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OwnFileError(f"{path} is no ordinary file: only those are kept in archives")
        yield file


def names_in(folder: int) -> list[str]:
    """What is in an open folder, in no order."""
    return os.listdir(folder)
