"""``cachewright events``: what happened, and what happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.paper import time
from cachewright.cli.server import Json

_WIDEST_SOURCE = 20
_MOST_MINUTES = 14 * 24 * 60


@remote
def events(
    session: Session,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show events as they happen, until Ctrl-C.")] = False,
    source: Annotated[str | None, typer.Option(help="Only those of this group, cache or other resource.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, max=_MOST_MINUTES, help="How far back; else 60, with --follow 0.")] = None,
) -> None:
    """Show what happened, oldest first."""
    if follow:
        _follow(session, source, minutes)
        return
    found = _past(session, source, minutes or 60)
    session.paper.answer({"events": found}, lambda: _show(session, found))


def _past(session: Session, source: str | None, minutes: int) -> list[Json]:
    """The events of the last minutes, newest first, as the REST API has them."""
    found = session.server.all("events", "events", duration=minutes)
    return [event for event in found if _is_of(event, source)]


def _is_of(event: Json, source: str | None) -> bool:
    return source is None or event["source_identifier"] == source.lower()


def _show(session: Session, found: list[Json]) -> None:
    if found:
        session.paper.table(("time (UTC)", "source", "what happened"), [_cells(event) for event in reversed(found)])
    else:
        session.paper.aside("Nothing happened.")


def _follow(session: Session, source: str | None, minutes: int | None) -> None:
    """Listen first, then look back: no event between the two is lost, and none is shown twice."""
    shown: set[tuple[str, str, str]] = set()
    for line in session.server.stream("events", "stream"):
        if line == ": following":
            session.paper.aside("Following events; Ctrl-C ends it.")
            for event in reversed(_past(session, source, minutes) if minutes else []):
                shown.add(_cells(event))
                _say(session, event)
        for event in _events(line):
            if _is_of(event, source) and _cells(event) not in shown:
                _say(session, event)


def _events(line: str) -> Iterator[Json]:
    if line.startswith("data: "):
        yield json.loads(line.removeprefix("data: "))


def _say(session: Session, event: Json) -> None:
    if session.paper.as_json:
        print(json.dumps(event), flush=True)
        return
    moment, source, message = _cells(event)
    because = f", because {event['because']}" if event.get("because") else ""
    session.paper.line(f"{moment}  {source.ljust(_WIDEST_SOURCE)}  {message}{because}")


def _cells(event: Json) -> tuple[str, str, str]:
    """What identifies an event, in the listing and in the stream alike."""
    return (time(event["date"], milliseconds=True) or "", event["source_identifier"], event["message"])
