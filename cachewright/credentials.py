"""The access key that a caller has: in a file, in variables of ours, or in AWS's where it is one of ours."""

from __future__ import annotations

import os
from pathlib import Path

from api_schemas.credentials import Credentials, is_our_id


class CredentialsError(Exception):
    """The access key that was given cannot be used; the text says why."""


def found(file: Path | None = None) -> Credentials | None:
    """The key in the file; without one, that of ``CACHEWRIGHT_ACCESS_KEY_ID`` and ``CACHEWRIGHT_SECRET_ACCESS_KEY``, else of AWS's
    variables if it is one of ours: what a developer has for the cloud is never sent to a server of ours. None where there is none.

    Raises CredentialsError.
    """
    if file is not None:
        return _in_file(file.expanduser())
    own = _in_environment("CACHEWRIGHT_")
    if own is not None:
        return own
    aws = _in_environment("AWS_")
    return aws if aws is not None and is_our_id(aws.id) else None


def keep(credentials: Credentials, file: Path) -> None:
    """Write the key into a new file that only its owner reads. Raises CredentialsError."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as failed:
        raise CredentialsError(f"the access key cannot be written to {file}: {failed.strerror}") from failed
    with os.fdopen(descriptor, "w") as fresh:
        fresh.write(credentials.file)


def _in_file(file: Path) -> Credentials:
    try:
        return Credentials.parse_file(file.read_text())
    except OSError as failed:
        raise CredentialsError(f"the access key cannot be read from {file}: {failed.strerror}") from failed
    except ValueError as why:
        raise CredentialsError(f"there is no access key in {file}: {why}") from None


def _in_environment(prefix: str) -> Credentials | None:
    key, secret = (os.environ.get(f"{prefix}{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    return Credentials(key, secret) if key and secret else None
