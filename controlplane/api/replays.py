"""Signatures that have changed something: none does so again, unless at once, as a client that retries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from api_schemas.faults import AccessDenied

RETRIED_WITHIN = timedelta(seconds=5)
"""A client that retries signs anew, and within the same second the signature is the same: for so long it is taken for a retry."""

MOST = 50_000


class Replays:
    """Remembers signatures for as long as they are valid, ``most`` of them; beyond that the oldest are forgotten, and are as any other."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._looking = threading.Lock()
        self._seen: OrderedDict[str, tuple[datetime, datetime]] = OrderedDict()

    def must_be_new(self, signature: str, now: datetime, until: datetime) -> None:
        """Remember a signature that is valid ``until`` then. Raises AccessDenied where it has been here before, and that is a while ago."""
        with self._looking:
            first, _ = self._seen.get(signature, (now, until))
            if now - first > RETRIED_WITHIN:
                raise AccessDenied("This very request has been carried out before, and a signature changes something only once. "
                                   "Sign it anew.")  # fmt: skip
            self._seen.setdefault(signature, (first, until))
            self._forget(now)

    def _forget(self, now: datetime) -> None:
        """The oldest first: those that are over, and as many as are too many. One that stays valid for days holds up nobody for long."""
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest][1] >= now and len(self._seen) <= self._most:
                return
            del self._seen[oldest]
