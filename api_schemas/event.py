"""Requests, results, parts and promises of events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from api_schemas.operation import Operation
from api_schemas.paging import Paged
from api_schemas.shape import Shape

LONGEST_DURATION = 14 * 24 * 60

SourceType = Literal[
    "cache-cluster",
    "cache-parameter-group",
    "cache-security-group",
    "cache-subnet-group",
    "replication-group",
    "serverless-cache",
    "serverless-cache-snapshot",
    "user",
    "user-group",
]


class DescribeEvents(Paged):
    """Which events to show: of which source, and of when.

    Two of ``start_time``, ``end_time`` and ``duration`` (minutes, at most 14 days) say when; without an end it is now, and
    without a duration it is 60.
    """

    source_identifier: str | None = None
    source_type: SourceType | None = None
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    duration: Annotated[int | None, Field(ge=1, le=LONGEST_DURATION)] = None


class Event(Shape):
    """What happened to a resource, and when."""

    source_identifier: str
    source_type: str
    message: str
    date: datetime


class Events(Shape):
    """A page of events, newest first."""

    marker: str | None = None
    events: list[Event]


DESCRIBE_EVENTS = Operation(
    "DescribeEvents", "GET /events", DescribeEvents, Events,
    "Show what happened in the last hour, or at another time of the last 14 days; newest first.",
    reads=True,
)  # fmt: skip
