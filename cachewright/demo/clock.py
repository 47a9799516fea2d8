"""What time it is, for a client that puts what it sees beside what the server dates."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment in UTC, by the machine's clock.

    The demo's server, its agents and this client run on one machine and ask the same clock of its kernel, so their moments may stand
    on one line as they are. Only their resolution differs: the server writes whole milliseconds, cut off.
    """
    return datetime.now(UTC)
