"""Uploads: files that callers send for a new snapshot, kept for a while until one is made of them."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from archives.unique import unique
from controlplane.domain.topology import World

MOST_FILES = 1001
"""Of one import: as many node groups as there can be, twice, and a manifest."""

MOST_IMPORTS = 64

_KEPT = 3600.0  # seconds after the last word of a caller
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")  # as archives and manifests have it


class UploadRefusedError(Exception):
    """What was sent is not kept; the text says why."""


class TooLargeError(UploadRefusedError):
    """There is no room for it."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that has arrived."""

    name: str
    path: Path
    size: int
    sha256: str


@dataclass
class Pending:
    """What was sent for one snapshot. ``step`` is what is being done with it, ``done`` of ``total`` bytes."""

    folder: Path
    files: dict[str, Uploaded] = field(default_factory=dict)
    heard_at: float = 0.0
    senders: int = 0
    taken: bool = False
    wanted: bool = True
    step: str = "waits for files"
    done: int = 0
    total: int = 0

    def tell(self, step: str, total: int) -> None:
        """Begin another step."""
        self.step, self.done, self.total = step, 0, total

    def told(self, done: int) -> None:
        """So much of the step is done."""
        self.done = done


class Receiver:
    """One file on its way in."""

    def __init__(self, file: BinaryIO, path: Path, reserve: Callable[[int], None]) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._reserve = reserve
        self._sha = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Keep a piece. Raises TooLargeError, OSError."""
        self._reserve(len(piece))
        self.size += len(piece)
        self._file.write(piece)
        self._sha.update(piece)

    @property
    def sha256(self) -> str:
        """Of what has arrived."""
        return self._sha.hexdigest()


class Uploads:
    """In a folder of their own, which is emptied at the start; of no more than ``most`` bytes together. Safe from any thread."""

    def __init__(self, folder: Path, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[tuple[World, str], Pending] = {}
        self._used = 0
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def receiving(self, world: World, snapshot: str, name: str, announced: int | None) -> Iterator[Receiver]:
        """A file is written for as long as the block lasts, and is there when it ends well; nothing of it is, if not.

        Raises UploadRefusedError, OSError.
        """
        if _NAME.fullmatch(name) is None:
            raise UploadRefusedError(f"{name[:130]!r} is no name of a file here: rename it to 1 to 120 letters, digits, '.', '_' and '-'")
        if announced is not None and announced > self._room():
            raise TooLargeError(self._no_room(announced))
        pending = self._begun(world, snapshot, name)
        path = pending.folder / f".{unique()}"
        receiver: Receiver | None = None
        try:
            with path.open("xb") as file:
                receiver = Receiver(file, path, self._reserve)
                yield receiver
            self._arrived(pending, name, receiver)
        except BaseException:
            path.unlink(missing_ok=True)
            self._release(receiver.size if receiver else 0)
            raise
        finally:
            self._ended((world, snapshot), pending)

    def look(self, world: World, snapshot: str) -> Pending | None:
        """What was sent for a snapshot, None where there is nothing."""
        with self._lock:
            return self._pending.get((world, snapshot))

    @contextmanager
    def taken(self, world: World, snapshot: str) -> Iterator[Pending]:
        """What was sent, as long as the block lasts; then it is gone. Raises UploadRefusedError where there is nothing, or no end of it."""
        with self._lock:
            pending = self._pending.get((world, snapshot))
            if pending is None or not pending.files:
                raise UploadRefusedError(f"no files were sent for snapshot {snapshot}: send them first")
            if pending.taken or pending.senders:
                doing = "checked" if pending.taken else "sent"
                raise UploadRefusedError(f"files for snapshot {snapshot} are still being {doing}: wait for that")
            pending.taken = True
        try:
            yield pending
        finally:
            with self._lock:
                self._forget((world, snapshot), pending)

    def forget(self, world: World, snapshot: str) -> None:
        """Keep nothing of what was sent for a snapshot. What is being made of it is given up."""
        with self._lock:
            pending = self._pending.get((world, snapshot))
            if pending is None:
                return
            pending.wanted = False
            if not pending.taken:
                self._forget((world, snapshot), pending)

    def close(self) -> None:
        """Nothing is wanted any more, and nothing stays."""
        with self._lock:
            for pending in self._pending.values():
                pending.wanted = False
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begun(self, world: World, snapshot: str, name: str) -> Pending:
        with self._lock:
            self._forget_old()
            key = (world, snapshot)
            pending = self._pending.get(key)
            if pending is None:
                if len(self._pending) >= MOST_IMPORTS:
                    raise UploadRefusedError(f"files of {MOST_IMPORTS} snapshots are waiting here already: make those snapshots first")
                pending = self._pending[key] = Pending(self._folder / unique())
                pending.folder.mkdir(mode=0o700, parents=True)
            if pending.taken:
                raise UploadRefusedError(f"the files of snapshot {snapshot} are being checked: none can be added now")
            if len(pending.files.keys() | {name}) > MOST_FILES:
                raise UploadRefusedError(f"{MOST_FILES} files were sent for snapshot {snapshot} already, and no snapshot has more")
            pending.senders += 1
            return pending

    def _arrived(self, pending: Pending, name: str, receiver: Receiver) -> None:
        with self._lock:
            if not pending.wanted:
                raise UploadRefusedError("the import was given up while the file was sent")
            path = receiver.path.rename(pending.folder / name)
            former = pending.files.get(name)
            self._used -= former.size if former else 0
            pending.files[name] = Uploaded(name, path, receiver.size, receiver.sha256)

    def _ended(self, key: tuple[World, str], pending: Pending) -> None:
        with self._lock:
            pending.senders -= 1
            pending.heard_at = self._clock()
            if not pending.files and not pending.senders and self._pending.get(key) is pending:
                self._forget(key, pending)

    def _room(self) -> int:
        with self._lock:
            return self._most - self._used

    def _no_room(self, size: int) -> str:
        return f"a file of {size} bytes or more has no room: files that snapshots are made of have {self._most} together (largest-import)"

    def _reserve(self, size: int) -> None:
        with self._lock:
            if self._used + size > self._most:
                raise TooLargeError(self._no_room(size))
            self._used += size

    def _release(self, size: int) -> None:
        with self._lock:
            self._used -= size

    def _forget_old(self) -> None:
        before = self._clock() - _KEPT
        for key, pending in list(self._pending.items()):
            if not pending.taken and not pending.senders and pending.heard_at < before:
                self._forget(key, pending)

    def _forget(self, key: tuple[World, str], pending: Pending) -> None:
        self._used -= sum(file.size for file in pending.files.values())
        pending.files = {}
        pending.wanted = False
        del self._pending[key]
        shutil.rmtree(pending.folder, ignore_errors=True)
