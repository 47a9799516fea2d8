"""The hosts as whoever gives places sees them: who is heard, and how full they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from api_schemas.agent.agent import AgentHello
from controlplane.domain.hosts import Load, demand_of
from controlplane.domain.reported import SeenAgent
from controlplane.domain.topology import Binary, Topology
from controlplane.store.store import Unit


def seen_agents(unit: Unit, topology: Topology | None = None) -> tuple[SeenAgent, ...]:
    """Every agent as the planner sees it, and those that nodes of the topology live with although they were removed.

    How full their hosts are is counted unless the topology has all its nodes where they can stay as they are: it takes as long as there
    are nodes.
    """
    known = unit.agents.all()
    homes = _homes(topology) if topology is not None else set()
    settled = topology is not None and topology.renewal is None and None not in homes
    settled = settled and all(_can_stay(unit, agent) for agent in homes if agent)
    load = {} if settled else load_of(unit)
    removed = sorted(agent for agent in homes if agent and unit.agents.get(agent) is None)
    return (*(_seen(unit, hello, load.get(hello.agent, Load())) for hello in known),
            *(SeenAgent(agent, "", heard=False, last_word="its removal", removed=True) for agent in removed))  # fmt: skip


def load_of(unit: Unit) -> dict[str, Load]:
    """What the nodes of every topology take, by agent."""
    load: dict[str, Load] = {}
    for topology in unit.topologies.all():
        for node in topology.nodes:
            if node.placement is not None:
                demand = demand_of(topology, node.make)
                load[node.placement.agent] = load.get(node.placement.agent, Load()).with_one(demand)
    return load


def _homes(topology: Topology) -> set[str | None]:
    return {node.placement.agent if node.placement is not None else None for node in topology.nodes}


def _can_stay(unit: Unit, agent: str) -> bool:
    return unit.agents.is_heard(agent) and not unit.agents.is_draining(agent)


def _seen(unit: Unit, hello: AgentHello, load: Load) -> SeenAgent:
    return SeenAgent(
        id=hello.agent,
        zone=hello.zone[-1:],
        binaries=tuple(_binaries(hello)),
        nodes=load.nodes,
        heard=unit.agents.is_heard(hello.agent),
        last_word=unit.agents.last_word(hello.agent),
        silent_for=timedelta(seconds=unit.agents.silent_for(hello.agent)),
        host=hello.host,
        memory=hello.memory,
        used=load.memory,
        cores=hello.cores,
        threads=load.threads,
        draining=unit.agents.is_draining(hello.agent),
    )


def _binaries(hello: AgentHello) -> Iterator[Binary]:
    return (Binary(binary.engine, binary.version, binary.path, binary.tls, binary.image) for binary in hello.engines)
