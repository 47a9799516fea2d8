"""Names of buckets and of objects, as S3 has them, and the ARNs that are made of both."""

from __future__ import annotations

import re

LONGEST_KEY = 1024
"""Bytes of the name of an object."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([^/]*)/(.*)", re.DOTALL)


class BadArnError(Exception):
    """A text is no ARN of an object; the text of the error says why not."""


def parse_object_arn(text: str) -> tuple[str, str]:
    """The bucket and the key that an ARN such as ``arn:aws:s3:::bucket/path/file.rdb`` names. Raises BadArnError."""
    found = _ARN.fullmatch(text)
    if found is None:
        raise BadArnError(f"{text!r} is not of the form arn:aws:s3:::bucket/key")
    wrong = why_no_bucket_name(found[1]) or why_no_object_name(found[2])
    if wrong:
        raise BadArnError(f"{text!r} is no ARN of an object: {wrong}")
    return found[1], found[2]


def why_no_bucket_name(name: str) -> str:
    """Why no bucket can have that name, empty if one can."""
    if not _BUCKET.fullmatch(name) or ".." in name:
        return f"{name!r} is not 3 to 63 small letters, digits, hyphens and single dots, with a letter or digit at both ends"
    return f"{name!r} looks like an IP address, which no bucket is called" if _ADDRESS.fullmatch(name) else ""


def why_no_object_name(key: str) -> str:
    """Why no object can have that name, empty if one can."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "its key is not UTF-8"
    return "" if 0 < length <= LONGEST_KEY else f"its key has {length} bytes and not 1 to {LONGEST_KEY}"
