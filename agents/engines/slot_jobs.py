"""Slots that Valkey 9 moves by itself, with everything in them, and hands over in one step: ``CLUSTER MIGRATESLOTS``.

As many slots at a time as hold some tens of thousands of keys: each job takes a tenth of a second or two besides its keys, and stalls
writers at its end. Measured with 168,000 keys of two sources under a writer: 0.6 s and 140 ms with a job for each source, 0.75 s and 40 ms
with jobs of 21,000 keys, 1.6 s and 75 ms with jobs of 6,000.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from agents.engines.slot_ranges import bounds, ranges_of
from agents.engines.talk import CommandRefusedError, Talk

KEYS_A_JOB = 40_000

_FEWEST_SLOTS = 16
_POLL = (0.002, 0.05)  # seconds between two looks at a job: at first, and at most
_FINAL = frozenset({"success", "failed", "cancelled"})


class JobTransfer:
    """Has the engine at ``source`` move slots to the node of that id on the bus."""

    def __init__(self, source: Talk, target: str, goes_on: Callable[[], bool]) -> None:
        self._source = source
        self._target = target
        self._goes_on = goes_on

    def move(self, left: list[int], owned: int) -> None:
        """Have the engines move the next slots, or wait for the job that is already under way. Raises CommandRefusedError."""
        if not self._is_busy():
            ranges = bounds(ranges_of(left[: self._slots_a_job(owned)]))
            self._source.obey([("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", self._target)])
        pause, longest = _POLL
        while self._is_busy() and self._goes_on():
            time.sleep(pause)
            pause = min(longest, pause * 1.5)
        newest = self._jobs()[0]
        if newest["state"] != "success" and self._goes_on():
            why = newest.get("message") or "no reason given"
            raise CommandRefusedError(f"slots {newest['slot_ranges']} were not moved: {newest['state']}, {why}")

    def close(self) -> None:
        """It has no connection of its own."""

    def _slots_a_job(self, owned: int) -> int:
        return max(_FEWEST_SLOTS, KEYS_A_JOB * owned // max(int(self._source.say("DBSIZE")), 1))

    def _is_busy(self) -> bool:
        return any(job["state"] not in _FINAL and job["operation"] == "EXPORT" for job in self._jobs())

    def _jobs(self) -> list[dict[str, str]]:
        """What GETSLOTMIGRATIONS tells, the newest first."""
        told = self._source.say("CLUSTER", "GETSLOTMIGRATIONS")
        return [{_text(name): _text(value) for name, value in _pairs(job)} for job in told]


def _pairs(flat: Any) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
