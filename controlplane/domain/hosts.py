"""Where a node can live: on a host of its zone that has a program for it and room, apart from its kin where that can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from controlplane.domain.binaries import best_binary
from controlplane.domain.reported import SeenAgent
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import Binary, Make, Topology


@dataclass(frozen=True, slots=True)
class Demand:
    """What one node takes: which program, best one that speaks TLS, how many bytes, how many threads."""

    engine: str
    version: str
    memory: int
    threads: int
    tls: bool = False


def demand_of(topology: Topology, make: Make | None = None) -> Demand:
    """What each node of the topology takes, or one of another make."""
    resources, made = resources_of(topology, make), make or topology.make
    return Demand(made.engine, made.engine_version, resources.memory, resources.threads, made.transit is not None)


@dataclass(frozen=True, slots=True)
class Load:
    """What the nodes on one host take."""

    nodes: int = 0
    memory: int = 0
    threads: int = 0

    def with_one(self, demand: Demand) -> Load:
        """The same with one node more."""
        return Load(self.nodes + 1, self.memory + demand.memory, self.threads + demand.threads)


@dataclass(frozen=True, slots=True)
class Place:
    """An agent that can have the node, and the program that it would run."""

    agent: SeenAgent
    binary: Binary


class Room:
    """The agents as they fill up while places are given."""

    def __init__(self, agents: Iterable[SeenAgent]) -> None:
        self._agents = {agent.id: agent for agent in agents}

    def find(self, zone: str, demand: Demand, beside: Collection[str], but: Collection[str] = ()) -> Place | None:
        """The best place in the zone: first where none of the hosts ``beside`` is, then the host with most to spare, then fewest nodes.

        Agents in ``but`` are left out, and those that are silent, draining, full or without a program. None when nobody is left.
        """
        def worse(place: Place) -> tuple[int, float, int, str]:
            return (_kin(place.agent, beside), _load(place.agent), place.agent.nodes, place.agent.id)

        candidates = (agent for agent in self._agents.values() if agent.id not in but)
        return min((place for agent in candidates if (place := _place(agent, zone, demand))), key=worse, default=None)

    def is_full(self, zone: str, demand: Demand) -> bool:
        """Whether agents of the zone are heard, but none of their hosts has room: waiting for one that is silent would not help."""
        heard = [agent for agent in self._agents.values() if agent.zone == zone[-1:] and agent.heard and not agent.draining]
        return bool(heard) and not any(_has_room(agent, demand) for agent in heard)

    def host_of(self, agent: str) -> str:
        """The host on which the agent runs; its own name where that is not known."""
        found = self._agents.get(agent)
        return found.host if found is not None and found.host else agent

    def stay(self, agent: str, zone: str, demand: Demand, instead_of: Demand) -> Place | None:
        """A place with the agent where a node lives already, for one that takes another demand in its stead; None where it cannot be."""
        known = self._agents.get(agent)
        if known is None:
            return None
        return _place(replace(known, used=known.used - instead_of.memory, threads=known.threads - instead_of.threads), zone, demand)

    def exchange(self, agent: str, had: Demand, wanted: Demand) -> None:
        """A node there takes another demand from now on."""
        known = self._agents[agent]
        used, threads = known.used - had.memory + wanted.memory, known.threads - had.threads + wanted.threads
        self._agents[agent] = replace(known, used=used, threads=threads)

    def take(self, place: Place, demand: Demand) -> None:
        """A node of that demand lives there from now on."""
        known = self._agents[place.agent.id]
        used, threads = known.used + demand.memory, known.threads + demand.threads
        self._agents[known.id] = replace(known, nodes=known.nodes + 1, used=used, threads=threads)


def _place(agent: SeenAgent, zone: str, demand: Demand) -> Place | None:
    if not agent.heard or agent.draining or agent.zone != zone[-1:]:
        return None
    if not _has_room(agent, demand):
        return None
    binary = best_binary(demand.engine, demand.version, agent.binaries, tls=demand.tls)
    return Place(agent, binary) if binary is not None else None


def _has_room(agent: SeenAgent, demand: Demand) -> bool:
    return agent.memory is None or agent.used + demand.memory <= agent.memory


def _kin(agent: SeenAgent, beside: Collection[str]) -> int:
    """How many nodes of the same node group live on its host."""
    return sum(host == (agent.host or agent.id) for host in beside)


def _load(agent: SeenAgent) -> float:
    """The larger part of its host's memory or processors that is promised; 0 where neither is known."""
    memory = agent.used / agent.memory if agent.memory else 0.0
    return max(memory, agent.threads / agent.cores if agent.cores else 0.0)
