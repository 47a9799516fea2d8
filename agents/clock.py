"""What time it is: the one file of an agent that asks the outside for it. Certificates depend on it, and when a snapshot was taken."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
