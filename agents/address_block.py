"""A folder's share of this machine's loopback addresses: the third number of each. No two folders are given the same one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

BLOCKS = 256
_KEPT = "address-block"


class NoBlockLeftError(Exception):
    """Every block of this machine is claimed; the text says what to do."""


def block_of(folder: Path) -> int:
    """The folder's block, claimed once and kept in the folder. Raises NoBlockLeftError."""
    kept = folder / _KEPT
    if kept.exists():
        return int(kept.read_text())
    with _one_at_a_time():
        block = next((block for block in range(BLOCKS) if _claim(block, folder)), None)
    if block is None:
        raise NoBlockLeftError(f"all {BLOCKS} blocks of loopback addresses are claimed; {_claims()} says by which folders")
    kept.write_text(str(block))
    return block


def give_back(folder: Path) -> None:
    """The folder's block, if it has one, is free again."""
    kept = folder / _KEPT
    if kept.exists():
        _claim_file(int(kept.read_text())).unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """A claim that somebody is still writing down would look like one whose folder is gone."""
    with contextlib.suppress(FileExistsError):
        _claims().mkdir()
        _claims().chmod(0o1777)
    descriptor = os.open(_claims(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claim(block: int, folder: Path) -> bool:
    """Claim a block for the folder, unless it is another's or somebody listens in it."""
    file = _claim_file(block)
    for _ in range(2):
        try:
            with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "w") as fresh:
                fresh.write(str(folder))
        except FileExistsError:
            with contextlib.suppress(OSError):
                owner = Path(file.read_text().strip() or "/nowhere")
                if owner == folder:
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


def _claims() -> Path:
    return Path(tempfile.gettempdir()) / "cachewright-address-blocks"


def _claim_file(block: int) -> Path:
    return _claims() / str(block)


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


def is_taken(address: str, port: int) -> bool:
    """Whether somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False
