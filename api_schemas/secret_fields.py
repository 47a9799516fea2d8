"""Which members of requests are secrets: nothing repeats their values, no answer, no log and no audit."""

from __future__ import annotations

SECRET_FIELDS = frozenset({"auth_token", "authentication_mode", "password", "passwords", "secret_access_key", "text"})
"""By their names in our shapes; ``text`` is that of a join token."""
