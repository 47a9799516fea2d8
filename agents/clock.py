"""What time it is: the one file of an agent that asks the outside for it. Certificates are the only thing that depends on it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
