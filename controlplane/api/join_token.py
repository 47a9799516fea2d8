"""The join token: the secret by which agents of other processes and the control plane know each other."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from pathlib import Path

_TOKEN = re.compile(r"[!-~]{16,512}")


class JoinTokenError(Exception):
    """The join token cannot be used; the text says why and what to do."""


def read_join_token(file: Path) -> str:
    """The token in the file. Raises JoinTokenError."""
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as failed:
        raise JoinTokenError(f"the join token cannot be read from {file}: {failed}") from failed
    if not _TOKEN.fullmatch(token):
        raise JoinTokenError(f"{file} does not hold a join token, which is one line of at least 16 letters, digits and signs")
    return token


def make_join_token(file: Path) -> None:
    """Write a random token to the file, for its owner's eyes only, unless the file exists already. Raises JoinTokenError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    except OSError as failed:
        raise JoinTokenError(f"the join token cannot be written to {file}: {failed}") from failed
    with os.fdopen(descriptor, "w") as fresh:
        fresh.write(secrets.token_urlsafe(32) + "\n")


def bearer_of(authorization: str | None) -> str | None:
    """The token in an Authorization header, if there is one."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def is_same(given: str, token: str) -> bool:
    """Whether the tokens are the same, found out in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), token.encode())
