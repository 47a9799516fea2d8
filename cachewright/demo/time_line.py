"""What became of a crash on one line of time, in milliseconds since it began."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cachewright.demo.crash import Crash

MILLISECOND = timedelta(milliseconds=1)
_SIGNS, _SIGNS_BEFORE = 90, 15


class Moment(NamedTuple):
    """What happened when: a word for what it is, and a sentence."""

    at: datetime
    kind: str
    says: str


def moments(crash: Crash) -> list[Moment]:
    """Everything that is known, in its order.

    The server dates to the millisecond, so that is how far anything is told apart: within one the order is that of ``_known``,
    which is what must have come first.
    """
    return sorted(_known(crash), key=lambda moment: since(crash, moment.at))


def since(crash: Crash, at: datetime) -> int:
    """Whole milliseconds from the beginning of the crash."""
    return (at - crash.began) // MILLISECOND


def _known(crash: Crash) -> Iterator[Moment]:
    node, process = crash.former["Node"], crash.former["ProcessId"]
    yield Moment(crash.began, "kill", f"node-crash of {node}, the primary: SIGKILL for its process {process}")
    if write := crash.last_before:
        yield Moment(write.at, "write", f"order:{write.number} is the last one that {node} acknowledges")
    if crash.process_ended:
        yield Moment(crash.process_ended, "process", f"{process} is no more, says the kernel")
    yield from (_election(election) for election in crash.elections)
    yield from _events(crash)
    if write := crash.first_after:
        by = crash.names.get(write.by, write.by)
        yield Moment(write.at, "write", f"order:{write.number} is acknowledged at the same endpoint, by {by}")
    if crash.back:
        yield Moment(crash.back.at, "node", _back(crash.back.node, crash.former))


def _election(election: dict[str, Any]) -> Moment:
    return Moment(election["At"], "election", f"{election['Elected']} at epoch {election['Epoch']}: {election['Because']}")


def _events(crash: Crash) -> Iterator[Moment]:
    """Each message once, with those whom it was told about where it names none of them itself."""
    sources: dict[tuple[datetime, str], list[str]] = {}
    for event in crash.events:
        sources.setdefault((event["Date"], event["Message"]), []).append(event["SourceIdentifier"])
    for (at, message), told in sources.items():
        named = any(source in message for source in told)
        yield Moment(at, "event", message if named else f"{', '.join(told)}: {message}")


def _back(node: dict[str, Any], former: dict[str, Any]) -> str:
    as_before = all(node.get(fact) == former.get(fact) for fact in ("Zone", "Address"))
    place = "zone and address as before" if as_before else f"in {node['Zone']} at {node['Address']}"
    return f"{node['Node']} is a replica in sync, {place}, process {node['ProcessId']}"


class Strip(NamedTuple):
    """Writes over time, a sign for each so many milliseconds: ``|`` where at least one was acknowledged, ``.`` where none was."""

    signs: str
    milliseconds: int


def strip(crash: Crash) -> Strip:
    """From somewhat before the crash until the client stopped."""
    each = max(1, -(-since(crash, crash.until) // (_SIGNS - _SIGNS_BEFORE)))
    hit = {since(crash, write.at) // each for write in crash.writes}
    last = since(crash, crash.until) // each
    return Strip("".join("|" if sign in hit else "." for sign in range(-_SIGNS_BEFORE, last)), each)


def gap(crash: Crash) -> float | None:
    """Milliseconds between the last write before and the first one after, as the client had them; None where one is not known."""
    before, after = crash.last_before, crash.first_after
    return (after.at - before.at) / MILLISECOND if before and after else None
