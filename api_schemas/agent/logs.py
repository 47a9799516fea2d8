"""The logs of nodes: how far the control plane has them, and what has come since."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api_schemas.shape import Shape


class SlowLogMark(Shape):
    """Up to where a slow log was read: the run of the engine, and the id that comes next in it."""

    run_id: str = ""
    next_id: int = 0


class EngineLogMark(Shape):
    """Up to where an engine log was read: the file, by the hash of its first line, and the bytes of it."""

    head: str = ""
    offset: int = 0


class NodeLogsWanted(Shape):
    """Which logs of a node are wanted, from which marks on, and nothing from before ``since`` (seconds of the Unix epoch)."""

    key: str
    slow: SlowLogMark | None = None
    slow_since: float = 0.0
    engine: EngineLogMark | None = None
    engine_since: float = 0.0


class LogsWanted(Shape):
    """The logs of several nodes of one agent."""

    nodes: list[NodeLogsWanted] = Field(default_factory=list)


class SlowEntry(Shape):
    """One entry of a slow log. ``at`` is in seconds of the Unix epoch, ``took`` in microseconds; of the command's arguments only their
    number is told."""

    id: int
    at: int
    took: int
    command: str
    client_address: str
    client_name: str


class EngineLine(Shape):
    """One line of an engine log. ``role`` is M (primary), S (replica), C (a child that saves) or X (sentinel)."""

    at: datetime
    level: str
    role: str
    message: str


class NodeLogs(Shape):
    """What has come to the logs of a node since the marks, up to new ones. ``lost`` is how much the engine, or the agent, no longer has.

    ``problem`` says why a slow log could not be read; ``more`` that there is more than an answer holds.
    """

    key: str
    slow: list[SlowEntry] = Field(default_factory=list)
    slow_mark: SlowLogMark | None = None
    slow_lost: int = 0
    engine: list[EngineLine] = Field(default_factory=list)
    engine_mark: EngineLogMark | None = None
    engine_lost: int = 0
    more: bool = False
    problem: str | None = None


class AgentLogs(Shape):
    """The logs of an agent's nodes, of those that were asked for."""

    agent: str
    nodes: list[NodeLogs] = Field(default_factory=list)
