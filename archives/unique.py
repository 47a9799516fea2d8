"""A word that nobody else makes up: the name of a file that is being written, the identity of an archive."""

from __future__ import annotations

import secrets


def unique() -> str:
    """Sixteen hexadecimal digits, by chance."""
    return secrets.token_hex(8)
