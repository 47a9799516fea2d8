"""Events: what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api_schemas.event import DESCRIBE_EVENTS, LONGEST_DURATION, DescribeEvents, Event, Events
from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.paging import page
from controlplane.domain import events as domain
from controlplane.operations.context import Context
from controlplane.operations.performs import performs

_WINDOW = timedelta(minutes=60)
KEPT = timedelta(minutes=LONGEST_DURATION)
"""How long events are kept."""


@performs(DESCRIBE_EVENTS)
def describe_events(ctx: Context, asked: DescribeEvents) -> Events:
    """Show the events of a span of time, newest first. A source that nothing is known of has none."""
    if asked.source_identifier and not asked.source_type:
        raise InvalidParameterCombination("SourceIdentifier needs a SourceType; give both, or SourceType alone.")
    start, end = _span(asked, ctx.now)
    source = asked.source_identifier.lower() if asked.source_identifier else None
    found = ctx.unit.events.between(ctx.world, start, end, asked.source_type, source)
    shown, marker = page(found, asked)
    return Events(marker=marker, events=[_shown(event) for event in shown])


def _span(asked: DescribeEvents, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, in UTC. Raises InvalidParameterCombination where that is said twice or the end comes first."""
    if asked.start_time and asked.end_time and asked.duration:
        raise InvalidParameterCombination("StartTime, EndTime and Duration cannot be given together; two of them are enough.")
    if asked.start_time and asked.start_time < now - KEPT:
        raise InvalidParameterValue("StartTime is more than 14 days ago; events are kept for 14 days.")
    if asked.start_time and asked.end_time and asked.end_time < asked.start_time:
        raise InvalidParameterCombination("EndTime is before StartTime.")
    length = _WINDOW if asked.duration is None else timedelta(minutes=asked.duration)
    if asked.start_time is None:
        end = (asked.end_time or now).astimezone(UTC)
        return end - length, end
    start = asked.start_time.astimezone(UTC)
    return start, (asked.end_time or (start + length if asked.duration else now)).astimezone(UTC)


def _shown(event: domain.Event) -> Event:
    return Event(source_identifier=event.source, source_type=event.source_type, message=event.message, date=event.at)
