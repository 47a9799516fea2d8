"""What an agent measures of its nodes, and what it is asked for."""

from __future__ import annotations

from pydantic import Field

from api_schemas.shape import Shape

LONGEST_HISTORY = 15
"""Minutes for which an agent remembers what it measured."""

WINDOW = 60.0
"""Seconds that a metric is about which is not of the moment, where nobody asks for another: the service's period."""


class MetricsWanted(Shape):
    """Which nodes and which metrics, None for all; over how many seconds back; how many minutes of history; and whether counters are
    wanted as they are."""

    keys: list[str] | None = None
    names: list[str] | None = None
    window: float = Field(WINDOW, ge=5, le=60)
    minutes: int = Field(0, ge=0, le=LONGEST_HISTORY)
    counters: bool = False


class Point(Shape):
    """The metrics of a moment, so many seconds ago, by their CloudWatch names. What cannot be known is absent."""

    age: float
    values: dict[str, float]


class NodeMetrics(Shape):
    """What a node measures now, before that every minute (newest first), and its counters since its process started: of calls and bytes,
    and of seconds.

    ``now`` is None, and ``problem`` says why, for one that has just not been measured: nothing old is shown in its stead.
    """

    key: str
    now: Point | None = None
    history: list[Point] = Field(default_factory=list)
    counters: dict[str, float] = Field(default_factory=dict)
    problem: str | None = None


class AgentMetrics(Shape):
    """Every node that runs with an agent, of those that were asked for."""

    agent: str
    nodes: list[NodeMetrics]
