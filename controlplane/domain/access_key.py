"""Access keys: who may ask for what, once the control plane's doors are guarded. Values without behaviour towards the outside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self


class Role(StrEnum):
    """What the bearer of a key may do; ``controlplane.operations.roles`` has the table."""

    ADMIN = "admin"
    OPERATOR = "operator"
    READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key as it is kept: its secret only sealed. ``last_used`` is to the hour."""

    id: str
    account: str
    role: Role
    name: str
    sealed_secret: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used: datetime | None = None

    def status(self, now: datetime) -> str:
        """``valid``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    def with_revocation(self, now: datetime) -> Self:
        """Lets nobody in any more. Once revoked, it stays revoked since then."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)
