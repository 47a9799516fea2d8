"""An agent and the control plane: who it is, what it shall run, what it saw."""

from __future__ import annotations

from pydantic import Field

from api_schemas.agent.fault import FaultReport, FaultSpec
from api_schemas.agent.node import EngineBinary, NodeReport, NodeSpec
from api_schemas.agent.route import RouteReport, RouteSpec
from api_schemas.shape import Shape

LEASE = 1.5
"""Seconds after it sent its last answered word for which an agent may rely on being heard. The control plane waits for longer."""

BEAT = 0.5
"""Seconds between two words of an agent that has nothing to say."""


class AgentHello(Shape):
    """An agent introduces itself.

    ``network`` is the block of addresses its nodes may use (CIDR). ``url`` is where it takes orders, absent when it lives
    in the control plane's process. ``faults`` are the kinds of fault that can be injected there. ``memory`` is what its nodes may take of
    the host's in bytes, None where they are not counted, and ``cores`` are the host's processors.
    """

    agent: str
    zone: str
    host: str
    runtime: str
    network: str
    engines: list[EngineBinary] = Field(default_factory=list)
    url: str | None = None
    faults: list[str] = Field(default_factory=list)
    memory: int | None = None
    cores: int | None = None


class Orders(Shape):
    """A batch of levels for one agent: what to run, what to route, what to let go.

    ``faults`` are all faults that it shall have from now on, None when nothing is said of them.
    """

    nodes: list[NodeSpec] = Field(default_factory=list)
    dropped_nodes: list[str] = Field(default_factory=list)
    routes: list[RouteSpec] = Field(default_factory=list)
    dropped_routes: list[str] = Field(default_factory=list)
    faults: list[FaultSpec] | None = None


class Welcome(Shape):
    """The agent is known. ``keeps`` are the keys of all nodes that may be there, None when nothing is said of them.

    Whatever else the agent had before is to go.
    """

    keeps: list[str] | None = None


class AgentReport(Shape):
    """What changed on an agent since its last answered report, or everything when ``full``. An empty one is a heartbeat.

    ``gone_routes`` are keys that were dropped and are served no more; ``faults`` are those that it could not have.
    """

    agent: str
    full: bool = False
    nodes: list[NodeReport] = Field(default_factory=list)
    routes: list[RouteReport] = Field(default_factory=list)
    gone_routes: list[str] = Field(default_factory=list)
    faults: list[FaultReport] = Field(default_factory=list)


class ReportTaken(Shape):
    """The control plane has stored the report. ``unknown`` asks the agent to introduce itself again and report in full."""

    unknown: bool = False
