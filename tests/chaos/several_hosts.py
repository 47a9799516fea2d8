"""The storm on several hosts: namespaces with an agent each, three control planes and their database in their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hosts import Hosts

from chaos.clients import Lane, Probes
from chaos.stage import Stage
from chaos.troubles_on_hosts import KINDS_ON_HOSTS
from chaos.world import World

LOST_AFTER = 6.0
"""Seconds of silence after which the nodes of a host move: some troubles last longer, some do not."""


class SeveralHosts(Stage):
    """Clients are on this machine, which reaches every host that is not cut off: they are in no zone."""

    probes_are_inside = True

    def __init__(self, folder: Path) -> None:
        self.hosts = Hosts(folder, LOST_AFTER)
        self.lanes = []

    def start(self) -> None:
        self.hosts.start()
        self.create_groups(CacheNodeType="cache.t4g.micro")

    def clear(self) -> None:
        self.hosts.clear()

    @property
    def url(self) -> str:
        return self.hosts.url(self.hosts.answering())

    @property
    def elasticache(self) -> Any:
        return self.hosts.client()

    def ask(self, path: str) -> dict[str, Any]:
        return self.hosts.ask(path)

    def available(self, group: str) -> dict[str, Any]:
        return self.hosts.available(group)

    def all_are_heard(self) -> bool:
        return self.hosts.all_are_heard()

    def address_of(self, host: str) -> str:
        return self.hosts.address_of(host)

    def probes(self, lane: Lane) -> Probes:
        """Each on the host of its node, so that it reaches it also when that host is cut off."""
        nodes = self.nodes(lane)
        enter = {node["node"]: self.hosts.network.hosts[node["agent"]].enter for node in nodes}
        return Probes(lane, {node["node"]: (node["address"], node["port"]) for node in nodes}, enter)

    def must_be_so(self) -> None:
        super().must_be_so()
        nodes = self.nodes()
        for host, agent in self.hosts.agents.items():
            kept = {folder.name for folder in (agent.folder / "nodes").glob("*")}
            wanted = {node["node"] for node in nodes if node["agent"] == host}
            assert len(kept) == len(wanted), f"{host} keeps {sorted(kept)}, {sorted(wanted)} live there"


SEVERAL_HOSTS = World(SeveralHosts, KINDS_ON_HOSTS)
