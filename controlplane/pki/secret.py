"""The secret of a join token: made up here, kept only as a hash, compared in a time that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """192 random bits. Nobody guesses them, so a plain hash is enough to keep."""
    return secrets.token_hex(24)


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_same(secret: str, kept: str) -> bool:
    """Whether the hash is that of the secret."""
    return hmac.compare_digest(hash_of(secret), kept)
