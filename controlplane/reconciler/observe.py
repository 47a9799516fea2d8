"""Rows and reports become a Situation."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.topology import Topology
from controlplane.planner.situation import Policy, Situation
from controlplane.store.hosts import seen_agents
from controlplane.store.store import Unit


def observe(unit: Unit, topology: Topology, now: datetime, policy: Policy) -> Situation:
    """Everything the planner may know of one topology at this moment."""
    return Situation(
        topology=topology,
        reported=unit.reports.of(topology),
        agents=seen_agents(unit, topology),
        now=now,
        policy=policy,
        seen_at=unit.reports.times(topology),
    )
