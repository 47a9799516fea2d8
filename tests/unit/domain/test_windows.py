"""Maintenance and snapshot windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.windows import (
    chosen_windows,
    maintenance_window,
    must_not_overlap,
    next_opening,
    snapshot_opening,
    snapshot_window,
)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY, WEEK = 1440, 7 * 1440


def clock(minute: int) -> str:
    return f"{minute % DAY // 60:02d}:{minute % 60:02d}"


def weekly(start: int, length: int) -> str:
    """A maintenance window from a minute of the week on, which may end in the next week."""
    end = (start + length) % WEEK
    return f"{DAYS[start // DAY]}:{clock(start)}-{DAYS[end // DAY]}:{clock(end)}"


def daily(start: int, length: int) -> str:
    """A snapshot window from a minute of the day on, which may end on the next day."""
    return f"{clock(start)}-{clock(start + length)}"


def overlaps(maintenance: str, snapshot: str) -> bool:
    try:
        must_not_overlap(maintenance, snapshot)
    except InvalidParameterValue as refused:
        assert "must not overlap" in refused.message
        return True
    return False


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("sun:05:00-sun:06:00", "sun:05:00-sun:06:00"),
        ("Sun:05:00-SUN:06:00", "sun:05:00-sun:06:00"),
        ("sun:23:30-mon:00:30", "sun:23:30-mon:00:30"),  # over the end of the week
        ("mon:00:00-tue:00:00", "mon:00:00-tue:00:00"),  # the longest
    ],
)
def test_a_maintenance_window(asked: str, stored: str) -> None:
    assert maintenance_window(asked) == stored


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("sun:05:00-sun:05:59", "at least 60 minutes"),
        ("sun:05:00-sun:05:00", "at least 60 minutes"),
        ("sun:05:00-mon:05:01", "at most 24 hours"),
        ("sun:06:00-sun:05:00", "at most 24 hours"),  # almost a whole week
        ("05:00-06:00", "not of the form ddd:hh:mm-ddd:hh:mm"),
        ("sunday:05:00-sunday:06:00", "not of the form"),
        ("sun:5:00-sun:6:00", "not of the form"),
        ("xyz:05:00-xyz:06:00", "not of the form"),
        ("sun:05:00-sun:06:00\n", "not of the form"),
        ("", "not of the form"),
        ("sun:24:00-mon:01:00", "does not exist"),
        ("sun:05:60-sun:07:00", "does not exist"),
    ],
)
def test_what_is_no_maintenance_window(asked: str, why: str) -> None:
    with pytest.raises(InvalidParameterValue, match=why):
        maintenance_window(asked)


@pytest.mark.parametrize("asked", ["03:00-04:00", "23:30-00:30", "00:00-23:59", "12:00-11:00"])
def test_a_snapshot_window(asked: str) -> None:
    assert snapshot_window(asked) == asked


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("03:00-03:59", "at least 60 minutes"),
        ("03:00-03:00", "at least 60 minutes"),
        ("23:30-00:29", "at least 60 minutes"),
        ("3:00-4:00", "not of the form hh:mm-hh:mm"),
        ("sun:03:00-sun:04:00", "not of the form"),
        ("03:00-04:00 ", "not of the form"),
        ("24:00-01:00", "does not exist"),
    ],
)
def test_what_is_no_snapshot_window(asked: str, why: str) -> None:
    with pytest.raises(InvalidParameterValue, match=why):
        snapshot_window(asked)


@pytest.mark.parametrize(
    ("maintenance", "snapshot", "overlap"),
    [
        ("sun:05:00-sun:06:00", "03:00-04:00", False),
        ("sun:05:00-sun:06:00", "05:30-06:30", True),
        ("sun:05:00-sun:06:00", "04:00-05:00", False),  # one ends when the other begins
        ("sun:05:00-sun:06:00", "06:00-07:00", False),
        ("sun:05:00-sun:06:00", "04:00-07:00", True),
        ("sun:04:00-sun:07:00", "05:00-06:00", True),
        ("sun:23:30-mon:00:30", "00:00-01:00", True),  # the week wraps
        ("sun:00:00-sun:01:00", "23:30-00:30", True),  # the day wraps
        ("mon:00:00-mon:01:00", "23:30-00:30", True),  # both do: Sunday's snapshot ends on Monday
        ("mon:00:00-tue:00:00", "12:00-13:00", True),
    ],
)
def test_overlap(maintenance: str, snapshot: str, overlap: bool) -> None:
    assert overlaps(maintenance, snapshot) is overlap


@given(
    st.integers(0, WEEK - 1), st.integers(60, DAY), st.integers(0, DAY - 1), st.integers(60, DAY - 1), st.integers(0, 6 * DAY)
)  # fmt: skip
def test_two_windows_overlap_exactly_when_they_share_a_minute(first: int, long: int, second: int, short: int, shift: int) -> None:
    maintenance = {(first + minute) % WEEK for minute in range(long)}
    snapshots = {(second + day * DAY + minute) % WEEK for day in range(7) for minute in range(short)}
    assert overlaps(weekly(first, long), daily(second, short)) is bool(maintenance & snapshots)
    # Moving both by the same time, or by whole days, changes nothing: neither the week nor the day has an end.
    assert overlaps(weekly((first + shift) % WEEK, long), daily((second + shift) % DAY, short)) is bool(maintenance & snapshots)


@given(st.integers(0, DAY - 1), st.integers(60, DAY - 1), st.integers(0, DAY - 1), st.integers(60, DAY - 1), st.integers(0, 6))
def test_overlap_is_symmetric(one: int, long: int, other: int, short: int, day: int) -> None:
    assert overlaps(weekly(day * DAY + one, long), daily(other, short)) is overlaps(weekly(day * DAY + other, short), daily(one, long))


@given(st.integers())
def test_chosen_windows_are_valid_and_never_overlap(number: int) -> None:
    maintenance, snapshot = chosen_windows(number)
    assert maintenance_window(maintenance) == maintenance
    assert snapshot_window(snapshot) == snapshot
    assert not overlaps(maintenance, snapshot)


@given(st.integers(0, 55), st.integers(0, WEEK - 1), st.integers(60, DAY - 120), st.integers(0, DAY - 1), st.integers(60, DAY - 120))
def test_a_window_is_chosen_beside_the_one_that_is_given(number: int, first: int, long: int, second: int, short: int) -> None:
    for given_window in ({"maintenance": weekly(first, long).upper()}, {"snapshot": daily(second, short)}):
        maintenance, snapshot = chosen_windows(number, **given_window)
        assert not overlaps(maintenance, snapshot)
        assert {maintenance, snapshot} & {text.lower() for text in given_window.values()}


def test_both_windows_that_are_given_stay() -> None:
    assert chosen_windows(3, "SUN:05:00-SUN:06:00", "05:30-06:30") == ("sun:05:00-sun:06:00", "05:30-06:30")


def test_chosen_windows_are_spread() -> None:
    assert len({chosen_windows(number) for number in range(56)}) == 56
    assert {chosen_windows(number)[0][:3] for number in range(7)} == set(DAYS)


MONDAY = datetime(2026, 7, 6, tzinfo=UTC)


@given(st.integers(0, WEEK - 1), st.integers(60, DAY), st.integers(0, 2 * WEEK))
def test_when_a_window_opens(start: int, length: int, minute: int) -> None:
    now = MONDAY + timedelta(minutes=minute)
    opens = next_opening(weekly(start, length), now)
    if (minute - start) % WEEK < length:
        assert opens == now
    else:
        assert now < opens <= now + timedelta(minutes=WEEK)
        assert (opens - MONDAY) % timedelta(minutes=WEEK) == timedelta(minutes=start)


# ---- when the snapshot window opens


@pytest.mark.parametrize(
    ("window", "now", "opens", "closes"),
    [
        ("03:00-04:00", "01 02:59", "01 03:00", "01 04:00"),
        ("03:00-04:00", "01 03:00", "01 03:00", "01 04:00"),
        ("03:00-04:00", "01 03:59", "01 03:00", "01 04:00"),
        ("03:00-04:00", "01 04:00", "02 03:00", "02 04:00"),
        ("23:30-00:30", "02 00:29", "01 23:30", "02 00:30"),
        ("23:30-00:30", "02 00:30", "02 23:30", "03 00:30"),
        ("00:00-01:00", "01 00:00", "01 00:00", "01 01:00"),
        ("03:00-02:00", "02 01:59", "01 03:00", "02 02:00"),
    ],
)
def test_the_snapshot_window_is_the_one_that_is_open_or_the_next(window: str, now: str, opens: str, closes: str) -> None:
    moments = [datetime.strptime(f"2026-07-{moment}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for moment in (now, opens, closes)]
    assert snapshot_opening(window, moments[0]) == (moments[1], moments[2])


@given(start=st.integers(0, DAY - 1), length=st.integers(60, DAY - 1), minute=st.integers(0, 10 * DAY))
def test_a_snapshot_window_opens_once_a_day_and_is_not_over(start: int, length: int, minute: int) -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC) + timedelta(minutes=minute)
    opens, closes = snapshot_opening(daily(start, length), now)
    assert closes - opens == timedelta(minutes=length)
    assert now < closes
    assert opens - now < timedelta(days=1)
    assert (opens.hour * 60 + opens.minute) == start
    assert snapshot_opening(daily(start, length), closes)[0] == opens + timedelta(days=1)
