"""What the store holds in memory of its database: all that is planned with, or asked for often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from controlplane.store.fleet import Addresses, AgentMemory, load_agent, load_agents
from controlplane.store.reports import ReportMemory, load_report, load_reports
from controlplane.store.topologies import TopologyMemory, load_topologies, load_topology


@dataclass
class Memory:
    """Topologies, the newest reports, agents, and for whom each address is drawn."""

    topologies: TopologyMemory
    reports: ReportMemory
    agents: AgentMemory
    addresses: dict[str, str]

    @classmethod
    def load(cls, connection: Connection) -> Self:
        """Everything the database holds."""
        return cls(load_topologies(connection), load_reports(connection), load_agents(connection), Addresses.load(connection))

    def load_anew(self, connection: Connection) -> None:
        """Everything the database holds, in place of what was known; each part is replaced at once, for readers take no lock."""
        anew = Memory.load(connection)
        self.topologies, self.reports, self.agents, self.addresses = anew.topologies, anew.reports, anew.agents, anew.addresses

    def take_topology(self, connection: Connection, uid: str) -> None:
        """Know the topology as the database holds it."""
        topology = load_topology(connection, uid)
        if topology is None:
            self.topologies.drop(uid)
        else:
            self.topologies.put(topology)

    def take_report(self, connection: Connection, key: str) -> None:
        """Know the newest report under that key as the database holds it."""
        load_report(connection, key, self.reports)

    def take_agent(self, connection: Connection, agent: str) -> None:
        """Know the agent as the database holds it."""
        load_agent(connection, agent, self.agents)

    def take_address(self, connection: Connection, address: str) -> None:
        """Know for whom the address is drawn as the database holds it."""
        key = Addresses.load_one(connection, address)
        if key is None:
            self.addresses.pop(address, None)
        else:
            self.addresses[address] = key
