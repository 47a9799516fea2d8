"""The primary of a group is killed under a writing client, and everything that can be known of it is gathered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from cachewright.demo.clock import now
from cachewright.demo.process_end import ProcessEnd
from cachewright.demo.writer import Write, Writer

Node = dict[str, Any]
T = TypeVar("T")

DEADLINE = 15.0
_A_MOMENT = 2.0
_LOOK_EVERY = 0.01
_SOME = 60


class Seen(NamedTuple):
    """A node as it was at the moment when somebody looked."""

    at: datetime
    node: Node


@dataclass(frozen=True, slots=True)
class Crash:
    """What is known of a crash and of what came after it. What did not happen in time is None, or is not in its list.

    ``began`` is when the server wrote the fault down, before it had the process killed; so nothing is made to look faster than it was.
    ``until`` is when the client was told to stop; ``names`` has the node of each run id, of those before and of those now.
    """

    former: Node
    began: datetime
    process_ended: datetime | None
    writes: list[Write]
    missing: int | None
    elections: list[dict[str, Any]]
    events: list[dict[str, Any]]
    back: Seen | None
    until: datetime
    names: dict[str, str]

    @property
    def last_before(self) -> Write | None:
        """The last write that the former primary acknowledged."""
        return next((write for write in reversed(self.writes) if write.by == self.former["RunId"]), None)

    @property
    def first_after(self) -> Write | None:
        """The first write that another engine acknowledged."""
        return next((write for write in self.writes if write.by != self.former["RunId"]), None)


def crash(former: Node, endpoint: dict[str, Any], elasticache: Any, lab: Any) -> Crash:
    """Kill a primary's process under a writing client, and wait until another node takes the writes and the former is back in sync."""
    with Writer(endpoint["Address"], endpoint["Port"]) as writer:
        _go_on(writer)
        process = ProcessEnd(former["ProcessId"], DEADLINE)
        fault = lab.create_fault(Kind="node-crash", CacheClusterId=former["Node"])["Fault"]
        taken_over = _until(lambda: writer.acknowledged_by not in (None, former["RunId"]))
        back = _until(lambda: _back(lab, former)) if taken_over else None
        if back:
            _until(lambda: _told(elasticache, fault, former), _A_MOMENT)
            _go_on(writer)
        until = now()
    return Crash(
        former=former,
        began=fault["StartedAt"],
        process_ended=process.at,
        writes=writer.acknowledged,
        missing=writer.missing(),
        elections=lab.describe_history(ReplicationGroupId=former["ReplicationGroupId"])["Elections"][::-1],
        events=_events(elasticache, fault),
        back=back,
        until=until,
        names={node["RunId"]: node["Node"] for node in [former, *_nodes(lab, former)] if "RunId" in node},
    )


def _until(condition: Callable[[], T], within: float = DEADLINE) -> T | None:
    """The first truthy value of the condition; None when there was none in time."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_EVERY)
    return value


def _go_on(writer: Writer) -> None:
    """Let some more writes be acknowledged."""
    reached = len(writer.acknowledged) + _SOME
    _until(lambda: len(writer.acknowledged) >= reached, _A_MOMENT)


def _nodes(lab: Any, former: Node) -> list[Node]:
    """All nodes of its group, as they are now."""
    nodes: list[Node] = lab.describe_nodes(ReplicationGroupId=former["ReplicationGroupId"])["Nodes"]
    return nodes


def _back(lab: Any, former: Node) -> Seen | None:
    """The node of the former primary, once it is a replica in sync, in another process."""
    node = next((node for node in _nodes(lab, former) if node["Node"] == former["Node"]), None)
    at = now()
    is_back = node and node["InSync"] and node.get("Role") == "replica" and node.get("ProcessId") != former["ProcessId"]
    return Seen(at, node) if node and is_back else None


def _events(elasticache: Any, fault: dict[str, Any]) -> list[dict[str, Any]]:
    """What was told since the fault began, oldest first, but for what is about the fault itself."""
    told = reversed(elasticache.describe_events()["Events"])
    return [event for event in told if event["Date"] >= fault["StartedAt"] and fault["FaultId"] not in event["Message"]]


def _told(elasticache: Any, fault: dict[str, Any], former: Node) -> bool:
    """Whether the end of the recovery was told: the server says so a moment after it sees it."""
    events = _events(elasticache, fault)
    return any(event["SourceIdentifier"] == former["Node"] and event["Message"].startswith("Finished recovery") for event in events)
