"""Rows and reports become a Situation."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from api_schemas.agent.agent import AgentHello
from controlplane.domain.reported import SeenAgent
from controlplane.domain.topology import Binary, Topology
from controlplane.planner.situation import Policy, Situation
from controlplane.store.store import Unit


def observe(unit: Unit, topology: Topology, now: datetime, policy: Policy) -> Situation:
    """Everything the planner may know of one topology at this moment."""
    return Situation(
        topology=topology,
        reported=unit.reports.of(topology),
        agents=tuple(_seen(unit, hello, load) for load in [_load(unit, topology)] for hello in unit.agents.all()),
        now=now,
        policy=policy,
        seen_at=unit.reports.times(topology),
    )


def _load(unit: Unit, topology: Topology) -> Counter[str]:
    """How many nodes each agent has; counted only while a node of this topology still needs a place."""
    if all(node.placement is not None for node in topology.nodes):
        return Counter()
    placed = (node.placement for each in unit.topologies.all() for node in each.nodes)
    return Counter(placement.agent for placement in placed if placement is not None)


def _seen(unit: Unit, hello: AgentHello, load: Counter[str]) -> SeenAgent:
    binaries = tuple(Binary(**binary.model_dump()) for binary in hello.engines)
    return SeenAgent(hello.agent, hello.zone[-1:], binaries, load[hello.agent], unit.agents.is_heard(hello.agent),
                     unit.agents.last_word(hello.agent))  # fmt: skip
