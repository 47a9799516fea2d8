"""The identity of an archive is written into it once, so that two processes can tell whether they see the very same place."""

from __future__ import annotations

import json
import re

from archives.archive import Archive, ArchiveError, NotInArchiveError
from archives.unique import unique

KEY = "archive.json"
"""Where it is kept; ``list`` shows it like any other file."""

_AT_MOST = 1000


def identity(archive: Archive) -> str:
    """The identity of an archive, which is founded and gets one if it has none. All who call this at once are told the same.

    Raises ArchiveError.
    """
    archive.found()
    archive.put_new(KEY, json.dumps({"identity": unique()}).encode())
    return _written_in(archive)


def must_be(archive: Archive, expected: str) -> None:
    """The archive is the one with that identity. Raises ArchiveError where this host sees another place, or none, under that URL."""
    try:
        found = _written_in(archive)
    except NotInArchiveError as why:
        raise ArchiveError(_not_seen(archive)) from why
    if found != expected:
        raise ArchiveError(_not_seen(archive))


def _not_seen(archive: Archive) -> str:
    return f"this host sees another place at {archive.url} than the one that is meant: share the folder, or use an S3 bucket"


def _written_in(archive: Archive) -> str:
    content = archive.read_bytes(KEY, _AT_MOST)
    try:
        found = json.loads(content)["identity"]
    except (ValueError, KeyError, TypeError) as why:
        raise _illegible(archive) from why
    if not isinstance(found, str) or not re.fullmatch("[0-9a-f]{16}", found):
        raise _illegible(archive)
    return found


def _illegible(archive: Archive) -> ArchiveError:
    return ArchiveError(f"{KEY} in {archive.url} is not what was written there: restore it, or begin with an empty archive")
