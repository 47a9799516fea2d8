"""Patience with an archive that does not answer for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from archives.archive import ArchiveAwayError

_FIRST_PAUSE = 0.1  # seconds before another try, doubled with each


def until_it_answers(ask: Callable[[], None], within: float, longest: float, pause: Callable[[float, ArchiveAwayError], None]) -> None:
    """Ask an archive again and again, for so many seconds, as long as it does not answer.

    ``pause`` lets some seconds pass before another try, ``longest`` at most, and is told why; it may raise to end this. Raises as ``ask``.
    """
    until, seconds = time.monotonic() + within, _FIRST_PAUSE
    while True:
        try:
            ask()
            return
        except ArchiveAwayError as away:
            if time.monotonic() > until:
                raise
            why = away
        pause(seconds, why)
        seconds = min(2 * seconds, longest)
