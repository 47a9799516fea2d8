"""A key names a file in an archive, such as ``a1b2/0001.rdb``."""

from __future__ import annotations

import re

from archives.archive import ArchiveError

LONGEST_KEY = 800
"""In characters: a bucket takes 1024 bytes, of which its prefix needs some."""

LONGEST_PART = 200
"""In characters: a file system takes 255 bytes, of which a file that is being written needs some."""

_PART = re.compile(r"[A-Za-z0-9._-]+")


def parts_of(key: str) -> tuple[str, ...]:
    """What stands between the slashes of a key. Raises ArchiveError for what is none."""
    parts = tuple(key.split("/"))
    wrong = next((part for part in parts if not is_part(part)), None)
    if wrong is not None or len(key) > LONGEST_KEY:
        raise ArchiveError(f"{key[:LONGEST_KEY]!r} is no key of an archive: {_because(wrong)}")
    return parts


def is_part(name: str) -> bool:
    """Whether a file or a folder of that name may be in an archive."""
    return _PART.fullmatch(name) is not None and name not in (".", "..") and len(name) <= LONGEST_PART


def parts_of_prefix(prefix: str) -> tuple[tuple[str, ...], str]:
    """The folders that a prefix is in, and how names begin there. Raises ArchiveError where no key can begin so."""
    folder, _, beginning = prefix.rpartition("/")
    if not folder and prefix.startswith("/"):
        raise ArchiveError(f"{prefix!r} begins no key of an archive: {_because('')}")
    if beginning and not _PART.fullmatch(beginning):
        raise ArchiveError(f"{prefix[:LONGEST_KEY]!r} begins no key of an archive: {_because(beginning)}")
    return (parts_of(folder) if folder else ()), beginning


def _because(part: str | None) -> str:
    if part is None:
        return f"it has more than {LONGEST_KEY} characters"
    return f"its part {part[:LONGEST_PART]!r} is not 1 to {LONGEST_PART} letters, digits, '.', '_' and '-', or is '.' or '..'"
