"""Maintenance and snapshot windows: what is well-formed, and which are given to those who ask for none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from api_schemas.faults import InvalidParameterValue

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY, _HOUR = 24 * 60, 60
_WEEK = 7 * _DAY
_MAINTENANCE = re.compile(r"([a-z]{3}):(\d\d):(\d\d)-([a-z]{3}):(\d\d):(\d\d)")
_SNAPSHOT = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


def maintenance_window(asked: str) -> str:
    """The window as it is stored (``ddd:hh:mm-ddd:hh:mm``, lower case, UTC). Raises InvalidParameterValue."""
    start, end = _maintenance_minutes(asked.lower(), asked)
    length = (end - start) % _WEEK
    if not _HOUR <= length <= _DAY:
        raise InvalidParameterValue(f"The maintenance window {asked} must be at least 60 minutes long, and at most 24 hours.")
    return asked.lower()


def snapshot_window(asked: str) -> str:
    """The window as it is stored (``hh:mm-hh:mm``, UTC). Raises InvalidParameterValue."""
    start, end = _snapshot_minutes(asked)
    if (end - start) % _DAY < _HOUR:
        raise InvalidParameterValue(f"The snapshot window {asked} must be at least 60 minutes long.")
    return asked


def must_not_overlap(maintenance: str, snapshot: str) -> None:
    """Raises InvalidParameterValue when the daily snapshot window and the weekly maintenance window share a minute."""
    if _overlap(maintenance, snapshot):
        raise InvalidParameterValue(f"The snapshot window {snapshot} and the maintenance window {maintenance} must not overlap.")


def chosen_windows(number: int, maintenance: str | None = None, snapshot: str | None = None) -> tuple[str, str]:
    """A maintenance and a snapshot window: those that are given, and picked by a number (any) those that are not.

    What is picked does not overlap what is given, where there is room in the day. Raises InvalidParameterValue for a malformed one.
    """
    given = (maintenance and maintenance_window(maintenance), snapshot and snapshot_window(snapshot))
    pairs = [(given[0] or weekly, given[1] or daily) for weekly, daily in _picked(number)]
    return next((pair for pair in pairs if not _overlap(*pair)), pairs[0])


def _picked(number: int) -> Iterator[tuple[str, str]]:
    """A pair of windows, and then the pairs that are so many hours later on the same day."""
    day, first = number % 7, number // 7 % 8
    for hour in range(first, first + 24):
        begins, ends = (f"{_DAYS[(day + at // 24) % 7]}:{at % 24:02d}:30" for at in (hour, hour + 1))
        yield f"{begins}-{ends}", f"{(hour + 10) % 24:02d}:00-{(hour + 11) % 24:02d}:00"


def _overlap(maintenance: str, snapshot: str) -> bool:
    first, last = _maintenance_minutes(maintenance, maintenance)
    begins, ends = _snapshot_minutes(snapshot)
    weekly, daily = (last - first) % _WEEK, (ends - begins) % _DAY
    starts = [day * _DAY + begins for day in range(7)]
    return any((start - first) % _WEEK < weekly or (first - start) % _WEEK < daily for start in starts)


def next_opening(maintenance: str, now: datetime) -> datetime:
    """When the maintenance window opens next: ``now`` itself while it is open."""
    start, end = _maintenance_minutes(maintenance, maintenance)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    opened = today - timedelta(days=now.weekday()) + timedelta(minutes=start)
    if opened > now:
        opened -= timedelta(minutes=_WEEK)
    is_open = now < opened + timedelta(minutes=(end - start) % _WEEK)
    return now if is_open else opened + timedelta(minutes=_WEEK)


def snapshot_opening(snapshot: str, now: datetime) -> tuple[datetime, datetime]:
    """When the snapshot window opens and closes: the one that is open, else the next."""
    start, end = _snapshot_minutes(snapshot)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    length = timedelta(minutes=(end - start) % _DAY)
    for day in (-1, 0, 1):
        opened = today + timedelta(days=day, minutes=start)
        if now < opened + length:
            return opened, opened + length
    raise AssertionError("a daily window opens within a day")


def _maintenance_minutes(text: str, asked: str) -> tuple[int, int]:
    found = _MAINTENANCE.fullmatch(text)
    if found is None or found[1] not in _DAYS or found[4] not in _DAYS:
        raise InvalidParameterValue(
            f"The maintenance window {asked!r} is not of the form ddd:hh:mm-ddd:hh:mm, such as sun:05:00-sun:06:00."
        )
    start = _DAYS.index(found[1]) * _DAY + _minutes(found[2], found[3], asked)
    return start, _DAYS.index(found[4]) * _DAY + _minutes(found[5], found[6], asked)


def _snapshot_minutes(asked: str) -> tuple[int, int]:
    found = _SNAPSHOT.fullmatch(asked)
    if found is None:
        raise InvalidParameterValue(f"The snapshot window {asked!r} is not of the form hh:mm-hh:mm, such as 03:00-04:00.")
    return _minutes(found[1], found[2], asked), _minutes(found[3], found[4], asked)


def _minutes(hours: str, minutes: str, asked: str) -> int:
    if int(hours) > 23 or int(minutes) > 59:
        raise InvalidParameterValue(f"The window {asked!r} names a time of day that does not exist.")
    return int(hours) * 60 + int(minutes)
