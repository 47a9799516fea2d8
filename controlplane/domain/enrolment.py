"""Who may join, and who has: join tokens and certified agents. Values without behaviour towards the outside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A join token as it is kept: its secret only as a hash."""

    id: str
    secret_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """``valid``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    def with_revocation(self, now: datetime) -> Self:
        """Lets nobody in any more. Once revoked, it stays revoked since then."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True)
class CertifiedAgent:
    """An agent that has a certificate: only the one with this key holds, and only for as long as this is on record."""

    agent: str
    zone: str
    key_print: str
    certified_at: datetime
    expires_at: datetime
