"""A URL says which archive is meant, in any process that may use it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from archives.archive import Archive, ArchiveError
from archives.directory import DirectoryArchive

FORMS = "file:///a/folder, or s3://bucket/prefix?endpoint=http%3A%2F%2Fhost%3A9000&region=us-east-1 (prefix, endpoint and region as needed)"


def open_archive(url: str) -> Archive:
    """The archive at a URL; nobody is asked whether it answers. Raises ArchiveError, with the forms that there are, for a malformed one."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as why:
        raise ArchiveError(f"{url!r} is no URL of an archive: {why}. Write {FORMS}") from why
    if scheme == "file":
        return DirectoryArchive(_folder_of(url))
    raise ArchiveError(f"{url!r} is no URL of an archive. Write {FORMS}")


def _folder_of(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    because = ""
    if parts.netloc:
        because = f"a folder is named from the root of this host, and {parts.netloc!r} stands where nothing may"
    elif parts.query or parts.fragment:
        because = "a folder takes no query and no fragment: write '?' as %3F and '#' as %23"
    elif not path.startswith("/") or not path.strip("/"):
        because = "it names no folder"
    if because:
        raise ArchiveError(f"{url!r} is no URL of an archive: {because}. Write {FORMS}")
    return Path(path)
