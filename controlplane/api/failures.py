"""Counts failed authentications by address, and slows down who fails too often. What it remembers is bounded."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 30
"""Failures of one address within ``WINDOW``; more have everything from there refused until it is over."""

WINDOW = 60.0  # seconds
_MOST_ADDRESSES = 10_000


class Failures:
    """How often who failed of late. The network of a host counts as one address where that is what a host has, as in IPv6."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counting = threading.Lock()
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, address: str) -> float:
        """For how many seconds the address is refused; 0 for one that is not."""
        with self._counting:
            began, count = self._counts.get(_whose(address), (0.0, 0))
            left = began + WINDOW - self._monotonic()
            return left if count >= MOST and left > 0 else 0.0

    def add(self, address: str) -> bool:
        """Count one more; answers whether the address is refused from now on, and was not before."""
        whose, now = _whose(address), self._monotonic()
        with self._counting:
            began, count = self._counts.pop(whose, (now, 0))
            if now - began >= WINDOW:
                began, count = now, 0
            self._counts[whose] = (began, count + 1)
            if len(self._counts) > _MOST_ADDRESSES:
                self._counts.popitem(last=False)
            return count + 1 == MOST


def _whose(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else address
