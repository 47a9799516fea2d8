"""Time, randomness and ids: the one file of the control plane that asks the outside for them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and what has not been said before."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""

    def uid(self) -> str:
        """A new identity: lower case letters and digits, safe in file names, never given before."""

    def pick(self, among: int) -> int:
        """A number from 0 up to but not including ``among``, evenly."""

    def secret(self) -> str:
        """A password that nobody guesses: 256 random bits as text."""


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        """The present moment to the millisecond, as the service writes it."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def uid(self) -> str:
        """Ten random characters."""
        return secrets.token_hex(5)

    def pick(self, among: int) -> int:
        """A random number."""
        return secrets.randbelow(among)

    def secret(self) -> str:
        """43 random characters."""
        return secrets.token_urlsafe(32)
