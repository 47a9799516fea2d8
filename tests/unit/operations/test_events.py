"""DescribeEvents: of which source, and of when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from factories import NOW, WORLD, FixedClock
from pydantic import ValidationError

from api_schemas.event import DescribeEvents
from api_schemas.faults import Fault, InvalidParameterCombination, InvalidParameterValue
from controlplane.operations.context import Context
from controlplane.operations.events import describe_events


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def messages(ctx: Context, **asked: object) -> list[str]:
    return [event.message for event in describe_events(ctx, DescribeEvents.model_validate(asked)).events]


@pytest.fixture
def told(ctx: Context, clock: FixedClock) -> Context:
    """A context in which something happened in three weeks; each message says how long ago."""
    for message, at in (
        ("20 days", ago(days=20)),
        ("13 days", ago(days=13)),
        ("2 hours", ago(hours=2)),
        ("1 hour", ago(hours=1)),
        ("5 minutes", ago(minutes=5)),
    ):
        clock.moment = at
        ctx.say("replication-group", "orders", message)
    clock.moment = NOW
    return ctx


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, ["5 minutes", "1 hour"]),
        ({"duration": 10}, ["5 minutes"]),
        ({"duration": 20160}, ["5 minutes", "1 hour", "2 hours", "13 days"]),
        ({"start_time": ago(hours=3)}, ["5 minutes", "1 hour", "2 hours"]),
        ({"start_time": ago(days=14)}, ["5 minutes", "1 hour", "2 hours", "13 days"]),
        ({"start_time": ago(hours=3), "end_time": ago(minutes=30)}, ["1 hour", "2 hours"]),
        ({"start_time": ago(hours=3), "duration": 90}, ["2 hours"]),
        ({"end_time": ago(minutes=30)}, ["1 hour"]),
        ({"end_time": ago(minutes=30), "duration": 120}, ["1 hour", "2 hours"]),
        ({"start_time": NOW + timedelta(seconds=2)}, []),  # the caller's clock is ahead of ours
        ({"start_time": ago(hours=3).astimezone(timezone(timedelta(hours=-7))), "duration": 90}, ["2 hours"]),
    ],
)  # fmt: skip
def test_when(told: Context, asked: dict[str, object], shown: list[str]) -> None:
    assert messages(told, **asked) == shown


@pytest.mark.parametrize(
    ("asked", "fault", "says"),
    [
        ({"start_time": ago(days=14, seconds=1)}, InvalidParameterValue, "14 days"),
        ({"start_time": ago(hours=1), "end_time": ago(hours=2)}, InvalidParameterCombination, "EndTime is before StartTime"),
        ({"start_time": ago(hours=2), "end_time": ago(hours=1), "duration": 60}, InvalidParameterCombination, "together"),
        ({"source_identifier": "orders"}, InvalidParameterCombination, "SourceIdentifier needs a SourceType"),
        ({"max_records": 19}, InvalidParameterValue, "Must be between 20 and 100"),
        ({"max_records": 101}, InvalidParameterValue, "Must be between 20 and 100"),
    ],
)  # fmt: skip
def test_what_is_refused(ctx: Context, asked: dict[str, object], fault: type[Fault], says: str) -> None:
    with pytest.raises(fault, match=says):
        messages(ctx, **asked)


@pytest.mark.parametrize(
    "asked",
    [{"duration": 0}, {"duration": -5}, {"duration": 20161}, {"source_type": "queue"}, {"start_time": NOW.replace(tzinfo=None)}],
)
def test_what_the_request_itself_does_not_allow(asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DescribeEvents.model_validate(asked)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"source_type": "cache-cluster"}, ["b", "a"]),
        ({"source_type": "cache-cluster", "source_identifier": "Orders-001"}, ["a"]),
        ({"source_type": "replication-group", "source_identifier": "orders-001"}, []),
        ({"source_type": "user"}, []),
        ({"source_type": "cache-cluster", "source_identifier": "never-heard-of"}, []),
        ({}, ["c", "b", "a"]),
    ],
)
def test_of_which_source(ctx: Context, asked: dict[str, object], shown: list[str]) -> None:
    ctx.say("cache-cluster", "orders-001", "a")
    ctx.say("cache-cluster", "orders-002", "b")
    ctx.say("replication-group", "orders", "c")
    assert messages(ctx, **asked) == shown


def test_an_event_as_it_is_shown(ctx: Context) -> None:
    ctx.say("cache-cluster", "orders-001", "Cache cluster created")
    [event] = describe_events(ctx, DescribeEvents()).events
    assert event.model_dump() == {
        "source_identifier": "orders-001",
        "source_type": "cache-cluster",
        "message": "Cache cluster created",
        "date": NOW,
    }


def test_worlds_have_their_own_events(ctx: Context) -> None:
    ctx.say("cache-cluster", "orders-001", "a")
    assert messages(replace(ctx, world=replace(WORLD, region="eu-west-1"))) == []


def test_pages_follow_one_another(ctx: Context) -> None:
    for number in range(25):
        ctx.say("cache-cluster", "orders-001", str(number))
    first = describe_events(ctx, DescribeEvents(max_records=20))
    second = describe_events(ctx, DescribeEvents(max_records=20, marker=first.marker))
    assert [event.message for event in (*first.events, *second.events)] == [str(number) for number in reversed(range(25))]
    assert second.marker is None
