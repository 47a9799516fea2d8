"""A directory archive keeps its files in a folder, which every host that writes or reads them has to see."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from archives.archive import ArchiveAwayError, ArchiveError, Entry, NotInArchiveError, Told
from archives.aside import aside, clear_leftovers, copy_into, copy_out, linked, publish, publish_new, write_into
from archives.disk_errors import disk_errors
from archives.keys import is_part, parts_of, parts_of_prefix
from archives.open_files import FOLDER, READ, names_in, opened, regular_file

_ATTEMPTS = 100
"""How often a folder is emptied, as long as others put something into it meanwhile."""


class DirectoryArchive:
    """The archive in a folder. No symbolic link within is followed: each folder is opened from the one that it is in."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_absolute() or ".." in folder.parts or "\0" in str(folder):
            raise ArchiveError(f"{str(folder)!r} is no folder for an archive: name it from the root, without '..'")
        self.folder = folder

    @property
    def url(self) -> str:
        """Such as ``file:///var/lib/cachewright/archive``."""
        return self.folder.as_uri()

    def close(self) -> None:
        """Nothing is open between calls."""

    def found(self) -> None:
        """There is a folder, empty if there was none. Nothing else makes it: a share that is not mounted must not be taken for empty."""
        with disk_errors("making the folder", self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # ---- writing

    def put(self, key: str, source: Path, *, may_link: bool = False, told: Told | None = None) -> None:
        """Keep a copy of a file; with ``may_link`` the file itself, where it can have one more name, for its owner alone from now on."""

        def fill(folder: int, spare: str) -> None:
            with regular_file(source) as file:
                if may_link and linked(str(source), None, folder, spare):
                    _say_all(told, file)
                else:
                    copy_into(folder, spare, file, told)

        self._write(key, fill)

    def put_bytes(self, key: str, content: bytes) -> None:
        """Keep these bytes."""
        self._write(key, lambda folder, spare: write_into(folder, spare, content))

    def put_new(self, key: str, content: bytes) -> bool:
        """Keep these bytes unless there is something under that key."""
        return self._write(key, lambda folder, spare: write_into(folder, spare, content), publish_new)

    def put_new_file(self, key: str, source: Path, told: Told | None = None) -> bool:
        """Keep a copy of a file unless there is something under that key: then nothing happens, and the answer is False."""

        def fill(folder: int, spare: str) -> None:
            with regular_file(source) as file:
                copy_into(folder, spare, file, told)

        return self._write(key, fill, publish_new)

    def copy(self, source: str, target: str) -> None:
        """Give the same file one more name: nobody ever writes into it."""

        def fill(folder: int, spare: str) -> None:
            with self._opened(source) as (inside, name, file):
                if not linked(name, inside, folder, spare):
                    copy_into(folder, spare, file, None)

        self._write(target, fill)

    def _write(self, key: str, fill: Callable[[int, str], None], publishing: Callable[[int, str, str], bool] = publish) -> bool:
        """What publishing answers, once a file that was filled aside has its place."""
        *folders, name = self._parts_of(key)
        with disk_errors(f"writing {key}", self.folder), self._folder(folders, make=True) as folder, aside(folder, name) as spare:
            try:
                fill(folder, spare)
                clear_leftovers(folder, spare, self._leftovers_of(name))
                return publishing(folder, spare, name)
            except FileNotFoundError as why:  # the source of a copy is told from that where it is opened
                raise ArchiveError(f"{key} of {self.url} was deleted while it was written: write it again if it is wanted") from why

    # ---- reading

    def fetch(self, key: str, target: Path, *, told: Told | None = None) -> None:
        """Copy a file out, beside ``target`` first."""
        with self._opened(key) as (_, _, file):
            copy_out(file, target, f"fetching {key}", told)

    def read_bytes(self, key: str, at_most: int) -> bytes:
        """What a small file holds."""
        with self.open(key) as file, disk_errors(f"reading {key}", self.folder):
            content = file.read(at_most + 1)
        if len(content) > at_most:
            raise ArchiveError(f"{key} of {self.url} has more than the {at_most} bytes that were expected: it is not what it should be")
        return content

    def open(self, key: str) -> BinaryIO:
        """A file, open for reading."""
        with self._opened(key) as (_, _, file):
            return os.fdopen(os.dup(file), "rb")

    def size(self, key: str) -> int | None:
        """The size of a file in bytes, None where there is none."""
        try:
            with self._opened(key) as (_, _, file):
                return os.fstat(file).st_size
        except NotInArchiveError:
            return None

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, str, int]]:
        """The folder of a file, its name there, and the file. What the caller does with them raises what it raises."""
        *folders, name = self._parts_of(key)
        with ExitStack() as until_the_end:
            with disk_errors(f"reading {key}", self.folder):
                try:
                    folder = until_the_end.enter_context(self._folder(folders))
                    file = until_the_end.enter_context(opened(name, READ, folder))
                except FileNotFoundError as why:
                    raise NotInArchiveError(f"there is no {key} in {self.url}") from why
                if stat.S_ISDIR(os.fstat(file).st_mode):
                    raise NotInArchiveError(f"there is no file {key} in {self.url}: it is a folder")
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise ArchiveError(f"{key} in {self.url} is no ordinary file: remove it")
            yield folder, name, file

    # ---- listing and deleting

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every file whose key begins with that. Links and whatever else has no place in an archive are not shown."""
        folders, beginning = parts_of_prefix(prefix)
        with disk_errors(f"listing {prefix or 'everything'}", self.folder):
            try:
                with self._folder(folders) as folder:
                    yield from _files_below(folder, "".join(f"{part}/" for part in folders), beginning)
            except FileNotFoundError:
                return

    def delete(self, key: str) -> None:
        """Keep a file no longer."""
        *folders, name = self._parts_of(key)
        with disk_errors(f"deleting {key}", self.folder), suppress(FileNotFoundError), self._folder(folders) as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def delete_all(self, folder: str) -> None:
        """Keep nothing of what is below that folder, nor the folder itself."""
        *folders, name = self._parts_of(folder)
        with disk_errors(f"deleting {folder}", self.folder), suppress(FileNotFoundError), self._folder(folders) as parent:
            _remove_folder(name, parent)
            os.fsync(parent)

    # ---- folders

    def _parts_of(self, key: str) -> Sequence[str]:
        """Folders and a file. Raises ArchiveError for what is no key."""
        return parts_of(key)

    def _leftovers_of(self, name: str) -> str:
        """How the names of files begin that a writer of that one looks after: here those of all, as only keys are published."""
        return ""

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A folder that is open, made if wanted. Raises FileNotFoundError where there is none, and OSError for a link."""
        with ExitStack() as until_the_end:
            folder = until_the_end.enter_context(self._root())
            for part in parts:
                if make:
                    _made(part, folder)
                folder = until_the_end.enter_context(opened(part, FOLDER, folder))
            yield folder

    @contextmanager
    def _root(self) -> Iterator[int]:
        with ExitStack() as until_the_end:
            try:
                root = until_the_end.enter_context(opened(str(self.folder), os.O_RDONLY | os.O_DIRECTORY, None))
            except (FileNotFoundError, NotADirectoryError) as why:
                says = f"this host does not see the folder {self.folder}: share it between the hosts, or use an S3 bucket"
                raise ArchiveError(says) from why
            yield root


def _say_all(told: Told | None, file: int) -> None:
    if told is not None:
        told(os.fstat(file).st_size)


def _made(name: str, folder: int) -> None:
    """There is a folder of that name, and it stays if the machine loses power."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        os.fsync(folder)


def _files_below(folder: int, path: str, beginning: str = "") -> Iterator[Entry]:
    """Files in the order of their keys, in which a folder stands where its name with a slash does."""
    found: dict[str, int] = {}
    for name in names_in(folder):
        if is_part(name) and name.startswith(beginning):
            with suppress(FileNotFoundError):  # deleted meanwhile
                seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(seen.st_mode):
                    found[f"{name}/"] = 0
                elif stat.S_ISREG(seen.st_mode):
                    found[name] = seen.st_size
    for name in sorted(found):
        if not name.endswith("/"):
            yield Entry(path + name, found[name])
            continue
        with suppress(FileNotFoundError), opened(name[:-1], FOLDER, folder) as inner:
            yield from _files_below(inner, path + name)


def _remove_folder(name: str, parent: int) -> None:
    """Remove a folder with everything in it: of a link, the link itself. Again while writers put something in."""
    for _ in range(_ATTEMPTS):
        with opened(name, FOLDER, parent) as folder:
            for inner in names_in(folder):
                with suppress(FileNotFoundError):
                    _remove(inner, folder)
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as why:
            if why.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise ArchiveAwayError(f"the folder {name} is written to faster than it is emptied: delete it again once its writers have ended")


def _remove(name: str, folder: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        _remove_folder(name, folder)
    else:
        os.unlink(name, dir_fd=folder)
