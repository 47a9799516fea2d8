"""Requests, results and promises of injected faults: what is done to nodes and zones on purpose, and undone by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api_schemas.operation import Operation
from api_schemas.parts import ZoneName
from api_schemas.shape import Shape

LONGEST, USUAL = 3600, 60

Kind = Literal["node-crash", "node-hang", "node-slow", "zone-power-loss", "zone-isolation", "link-cut", "agent-silence"]


class CreateFault(Shape):
    """What shall be done, to what, and for how long.

    ``kind`` is one of ``node-crash``, ``node-hang``, ``node-slow``, ``zone-power-loss``, ``zone-isolation``, ``link-cut`` and
    ``agent-silence``. The target is one of: ``cache_cluster_id`` (with ``cache_node_id`` a single Memcached node),
    ``replication_group_id`` (with ``zone`` only its nodes there), ``zone``, or a pair of ``zones``. What is done to a zone is done to
    all of it, for every account and region. ``slowness`` is the share of the time for which a slow node stands still.
    """

    kind: Kind
    cache_cluster_id: str | None = None
    cache_node_id: str | None = None
    replication_group_id: str | None = None
    zone: ZoneName | None = None
    zones: list[ZoneName] = Field(default_factory=list, max_length=10)
    duration_seconds: Annotated[int, Field(ge=1, le=LONGEST)] = USUAL
    slowness: Annotated[float, Field(ge=0, le=0.95)] = 0.8


class FaultTarget(Shape):
    """What a fault was asked for: exactly what the request named."""

    cache_cluster_id: str | None = None
    cache_node_id: str | None = None
    replication_group_id: str | None = None
    zone: str | None = None
    zones: list[str] = Field(default_factory=list)


class InjectedFault(Shape):
    """A fault: ``active`` or ``ended``, from when to when, whom it concerns, and what could not be done of it.

    ``nodes`` are the caller's own nodes it is done to, ``agents`` those that have to do it. ``ended_because`` says why it is over.
    """

    fault_id: str
    kind: str
    target: FaultTarget
    status: str
    started_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None
    slowness: float | None = None
    nodes: list[str] = Field(default_factory=list)
    agents: list[str] = Field(default_factory=list)
    problems: list[str] = Field(default_factory=list)


class FaultResult(Shape):
    """One fault."""

    fault: InjectedFault


class DescribeFaults(Shape):
    """Which faults to show: those of this status, or all."""

    status: Literal["active", "ended"] | None = None


class Faults(Shape):
    """The faults that the account has asked for in the region, the newest first. Ended ones are forgotten after an hour."""

    faults: list[InjectedFault]


class DeleteFault(Shape):
    """Which fault to end before its time."""

    fault_id: str


CREATE_FAULT = Operation("CreateFault", "POST /faults", CreateFault, FaultResult,
                         "Inject a fault into nodes, a zone or the link between two; it is undone by itself.", ours=True,
                         in_engines="Processes are killed or stand still, or packets between zones are dropped.")  # fmt: skip
DESCRIBE_FAULTS = Operation("DescribeFaults", "GET /faults", DescribeFaults, Faults,
                            "Show injected faults, those under way and those that ended lately.", reads=True, ours=True)  # fmt: skip
DELETE_FAULT = Operation("DeleteFault", "DELETE /faults/{fault_id}", DeleteFault, FaultResult,
                         "End an injected fault before its time.", ours=True,
                         in_engines="Processes get SIGCONT, the filter's rules are removed.")  # fmt: skip
