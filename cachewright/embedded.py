"""A whole Cachewright in one process: the control plane, and one agent for each simulated zone. Engines are processes of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agents.engines.catalogue import engines_in
from agents.faulting.packet_filter import find_filter
from agents.ground import Ground, prepare
from agents.runtime_settings import RuntimeSettings
from agents.runtimes.process import ProcessRuntime
from agents.supervisor import AgentSilentError, Host, Supervisor
from api_schemas.agent.agent import AgentReport, Orders
from controlplane.app import ControlPlane, build, join_token
from controlplane.reconciler.fleet import AgentUnreachableError, Fleet
from controlplane.settings import Settings

log = logging.getLogger("cachewright")

MOST_ZONES = 6
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class EmbeddedFleet:
    """The fleet port by direct call."""

    def __init__(self) -> None:
        self._agents: dict[str, Supervisor] = {}

    def add(self, supervisor: Supervisor) -> None:
        """Orders for this agent go to it from now on."""
        self._agents[supervisor.host.agent] = supervisor

    def has(self, agent: str) -> bool:
        """Whether the agent lives in this process."""
        return agent in self._agents

    def push(self, agent: str, orders: Orders) -> None:
        """Hand the orders over. Raises AgentUnreachableError for an agent that is not of this process, or is silent."""
        if agent not in self._agents:
            raise AgentUnreachableError(f"agent {agent} does not run in this process")
        try:
            self._agents[agent].take(orders)
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent


class MixedFleet:
    """The fleet port of a server that agents of other processes may join: by direct call to its own, over HTTP to those."""

    def __init__(self, embedded: EmbeddedFleet, remote: Fleet) -> None:
        self._embedded = embedded
        self._remote = remote

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""
        if self._embedded.has(agent):
            self._embedded.push(agent, orders)
        else:
            self._remote.push(agent, orders)


@dataclass(frozen=True)
class Embedded:
    """A running control plane with its agents."""

    plane: ControlPlane
    supervisors: list[Supervisor]
    ground: Ground
    closing: threading.Event

    def warm_up(self) -> None:
        """Load in the background what the first cache would otherwise wait for."""
        threading.Thread(target=self.supervisors[0].warm_up, name="warm-up", daemon=True).start()

    def stop(self, how: Callable[[Supervisor], None]) -> None:
        """End the agents in the given way, then the control plane."""
        self.closing.set()
        self.plane.watchdog.close()
        self.plane.reconciler.close()
        threads = [threading.Thread(target=how, args=(supervisor,)) for supervisor in self.supervisors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.plane.close()


def start_embedded(settings: Settings, zones: int, block: int, where: RuntimeSettings) -> Embedded:
    """Build everything over the data folder and start it. ``block`` is this server's share of the loopback addresses.

    Raises JoinTokenError when agents of other processes shall join but there is no token, GroundRefusedError when engines cannot live
    ``where`` they shall.
    """
    with ThreadPoolExecutor(max_workers=2) as aside:
        finding = aside.submit(prepare, where)  # programs are asked for their versions while the database is opened
        aside.submit(find_filter)  # a trial, which is remembered
        fleet = EmbeddedFleet()
        plane = _plane(settings, fleet, block)
        ground = finding.result()
    closing = threading.Event()

    def report(said: AgentReport) -> bool:
        return not closing.is_set() and plane.registry.take(said)

    supervisors = []
    for number in range(zones):
        supervisor = _agent(settings.data_dir, settings.region, number, block, ground, report)
        fleet.add(supervisor)
        supervisors.append(supervisor)
        plane.registry.welcome(supervisor.hello())
    for supervisor in supervisors:
        supervisor.start()
        supervisor.lease.keep(supervisor.beat)
    plane.start()
    return Embedded(plane, supervisors, ground, closing)


def _plane(settings: Settings, fleet: EmbeddedFleet, block: int) -> ControlPlane:
    plane: ControlPlane
    token = join_token(settings)
    whole = fleet if token is None else _joinable(fleet, token, lambda agent: plane.url_of(agent))
    plane = build(settings.model_copy(update={"endpoint_network": f"127.100.{block}.0/24"}), whole)
    return plane


def _joinable(embedded: EmbeddedFleet, token: str, urls: Callable[[str], str | None]) -> Fleet:
    from controlplane.reconciler.http_fleet import HttpFleet  # who has no token need not wait for an HTTP client

    return MixedFleet(embedded, HttpFleet(token, urls))


def _agent(data_dir: Path, region: str, number: int, block: int, ground: Ground,
           report: Callable[[AgentReport], bool]) -> Supervisor:  # fmt: skip
    letter = _LETTERS[number]
    folder = data_dir / "agents" / letter
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    network = f"127.{101 + number}.{block}.0/24"
    host = Host(agent=f"agent-{letter}", zone=f"{region}{letter}", network=network, folder=folder.resolve(), binaries=ground.binaries,
                packet_filter=find_filter())  # fmt: skip
    return Supervisor(host, ground.runtime(host.folder), engines_in(host.folder), report, own=ProcessRuntime(host.folder))


__all__ = ["Embedded", "EmbeddedFleet", "MixedFleet", "start_embedded"]
