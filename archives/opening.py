"""A URL says which archive is meant, in any process that may use it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from archives.archive import Archive, ArchiveError
from archives.bucket_names import why_no_bucket_name
from archives.buckets import Buckets, DirectoryBuckets, S3Buckets
from archives.directory import DirectoryArchive
from archives.keys import parts_of
from archives.s3 import S3Archive

FORMS = "file:///a/folder, or s3://bucket/prefix?endpoint=http%3A%2F%2Fhost%3A9000&region=us-east-1 (prefix, endpoint and region as needed)"


def open_archive(url: str) -> Archive:
    """The archive at a URL; nobody is asked whether it answers. Raises ArchiveError, with the forms that there are, for a malformed one."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as why:
        raise ArchiveError(f"{url!r} is no URL of an archive: {why}. Write {FORMS}") from why
    if scheme == "file":
        return DirectoryArchive(_folder_of(url))
    if scheme == "s3":
        return _bucket_of(url)
    raise ArchiveError(f"{url!r} is no URL of an archive. Write {FORMS}")


@lru_cache(maxsize=16)
def shared_archive(url: str) -> Archive:
    """As ``open_archive``, the same one for all of this process: an archive in a bucket keeps its connections. Raises ArchiveError."""
    return open_archive(url)


def open_buckets(url: str) -> Buckets:
    """Callers' buckets at a URL: a folder with a folder for each, or S3 with its endpoint and region as needed. Raises ArchiveError."""
    if url.partition("?")[0] == "s3://":
        options, because = _options_of(url)
        if because:
            raise ArchiveError(f"{_without_credentials(url)!r} is no URL of buckets: {because}")
        return S3Buckets(options.get("endpoint"), options.get("region"))
    if url.startswith("s3://"):
        raise ArchiveError(f"{_without_credentials(url)!r} names one bucket, and all are meant: write s3:// or s3://?endpoint=…&region=…")
    return DirectoryBuckets(_folder_of(url))


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


def _bucket_of(url: str) -> S3Archive:
    parts = urlsplit(url)
    prefix = unquote(parts.path).strip("/")
    options, because = _options_of(url)
    if "@" in parts.netloc:
        because = "credentials never stand in it: they come from where boto3 looks for them, such as AWS_ACCESS_KEY_ID"
    elif wrong := why_no_bucket_name(parts.netloc):
        because = wrong
    if because:
        raise ArchiveError(f"{_without_credentials(url)!r} is no URL of an archive: {because}. Write {FORMS}")
    if prefix:
        parts_of(prefix)
    return S3Archive(parts.netloc, prefix, options.get("endpoint"), options.get("region"))


def _options_of(url: str) -> tuple[dict[str, str], str]:
    """The endpoint and the region in a URL, and what is wrong with them, "" if nothing is."""
    parts = urlsplit(url)
    asked = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(asked)
    if parts.fragment or options.keys() - {"endpoint", "region"} or len(options) != len(asked):
        return options, "it takes endpoint and region, each once, and nothing else"
    if "endpoint" in options and not _is_endpoint(options["endpoint"]):
        return options, f"its endpoint {options['endpoint']!r} is not http(s)://host:port"
    return options, "its region is empty" if options.get("region") == "" else ""


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.path.strip("/"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_is_fine and plain


def _without_credentials(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://...@{after}" if at else url
