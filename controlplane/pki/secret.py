"""Secrets of join tokens and access keys: made up here, compared in a time that tells nothing. Of those of tokens only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def new_secret() -> str:
    """192 random bits. Nobody guesses them, so a plain hash is enough to keep."""
    return secrets.token_hex(24)


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_same(secret: str, kept: str) -> bool:
    """Whether the hash is that of the secret."""
    return hmac.compare_digest(hash_of(secret), kept)


def new_access_key_id() -> str:
    """An id that nobody had before: 20 characters, as AWS's have, and none of AWS's."""
    return "CWAK" + "".join(secrets.choice(_LETTERS) for _ in range(16))


def new_access_key_secret() -> str:
    """240 random bits in 40 characters."""
    return secrets.token_urlsafe(30)


def are_equal(given: str, known: str) -> bool:
    """Whether two secrets or signatures are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode(), known.encode())
