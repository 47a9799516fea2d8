"""Fetching an object puts it, whole, where a file is wanted."""

from __future__ import annotations

import os
from pathlib import Path

from archives.archive import ArchiveAwayError, Told
from archives.aside import beside, created
from archives.copying import write_all
from archives.s3_objects import ObjectReader

_AT_A_TIME = 1 << 20


def fetch_object(reader: ObjectReader, target: Path, doing: str, told: Told | None) -> None:
    """Copy an object out, and close its reader. ``target`` is there whole or not at all. Raises ArchiveError."""
    with reader, beside(target, doing) as (folder, spare), created(folder, spare) as file:
        done = 0
        while block := reader.read(_AT_A_TIME):
            write_all(file, block)
            done += len(block)
            if told is not None:
                told(done)
        size = os.fstat(file).st_size
        if size != reader.length:
            raise ArchiveAwayError(f"{doing} ended after {size} of {reader.length} bytes: try again later")
