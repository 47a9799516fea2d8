"""Metrics of nodes: the service's CloudWatch metrics, which are ours beyond its API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api_schemas.agent.metrics import LONGEST_HISTORY
from api_schemas.operation import Operation
from api_schemas.shape import Shape


class DescribeMetrics(Shape):
    """Whose metrics to show: those of one resource, or of all; and only one ``metric``, by its CloudWatch name, if that is given.

    ``period`` are the seconds that deltas (which are per minute), means and percentages are about; ``minutes`` is how far back to tell.
    """

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    metric: str | None = None
    period: Annotated[int, Field(ge=5, le=60)] = 60
    minutes: Annotated[int, Field(ge=0, le=LONGEST_HISTORY)] = 0


class MetricValues(Shape):
    """The metrics at a moment, by their CloudWatch names. What cannot be known is absent."""

    timestamp: datetime
    values: dict[str, float]


class NodeMetrics(Shape):
    """What a node measures: now, where ``age`` is how many seconds ago that was, and in the minutes before, the newest first.

    A node that has just not been measured has neither; ``problem`` says why.
    """

    cache_cluster_id: str
    cache_node_id: str
    replication_group_id: str | None = None
    node_group_id: str
    zone: str
    engine: str
    agent: str | None = None
    role: str | None = None
    age: float | None = None
    now: MetricValues | None = None
    history: list[MetricValues]
    problem: str | None = None


class MissingAgent(Shape):
    """An agent that should have answered and did not, and why."""

    agent: str
    zone: str
    because: str


class Metrics(Shape):
    """Every node that was asked for, the agents among them that do not answer, and the units of all metrics shown."""

    nodes: list[NodeMetrics]
    missing_agents: list[MissingAgent]
    units: dict[str, str]


DESCRIBE_METRICS = Operation("DescribeMetrics", "GET /metrics", DescribeMetrics, Metrics,
                             "Show what nodes measure, under CloudWatch's names.", reads=True, ours=True)  # fmt: skip
