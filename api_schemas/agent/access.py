"""Who may do what on an engine, on which control plane and agent must agree. Knows no library, so that the domain may use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

_LONG_ENOUGH = 16

DEFAULT_USER = "default"
"""The user that connections are until they say who they are, in the engines as in the service."""


@dataclass(frozen=True)
class Credentials:
    """A user of an engine with a password in clear: ours, never a caller's."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class AclUser:
    """A user as engines know it: all its ACL rules in order, from ``on`` or ``off`` on; passwords are ``#`` and their SHA-256."""

    name: str
    rules: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Access:
    """All users of the engines of one topology.

    ``system`` is ours: agents come in as it, and replicas to their primary; it may do everything. ``users`` are the callers'; without any,
    whoever connects may do everything without a word. One named ``default`` is among them otherwise, be it only to be ``off``.
    """

    system: Credentials
    users: tuple[AclUser, ...] = ()

    @cached_property
    def digest(self) -> str:
        """A short text that two have in common only if they are equal. It tells nothing of what they are."""
        words = [self.system.username, self.system.password]
        for user in self.users:
            words += ["user", user.name, *user.rules]
        return sha256("\n".join(words).encode()).hexdigest()[:_LONG_ENOUGH]
