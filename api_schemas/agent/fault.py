"""A fault as an agent shall have it, and what it could not do of one."""

from __future__ import annotations

from pydantic import Field

from api_schemas.fault_kind import FaultKind
from api_schemas.shape import Shape


class FaultyNode(Shape):
    """A node that a fault is done to, and its boot at that time."""

    key: str
    boot: int


class FaultSpec(Shape):
    """A fault that concerns an agent, which undoes it by itself after ``seconds``.

    ``nodes`` are those it is done to; with ``whole`` it is the whole zone of the agent instead. A crash is of the boot that is named,
    so it happens once however often it is ordered. ``slowness`` is the share of the time for which a slow node stands still.
    ``apart_from`` are the networks (CIDR) that no packet passes to or from.
    """

    id: str
    kind: FaultKind
    seconds: float
    nodes: list[FaultyNode] = Field(default_factory=list)
    whole: bool = False
    slowness: float = 0.0
    apart_from: list[str] = Field(default_factory=list)


class FaultReport(Shape):
    """A fault that an agent could not have as ordered, and why."""

    id: str
    problem: str
