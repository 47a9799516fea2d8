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
from api_schemas.agent.examination import ExaminationOrder, ExaminationState
from api_schemas.agent.logs import AgentLogs, LogsWanted
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from controlplane.app import ControlPlane, Outside, build, outside_of
from controlplane.dns.listening import Listeners
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError, Fleet
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
        try:
            self._of(agent).take(orders)
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        """What the agent measures now. Raises AgentUnreachableError for one that is not of this process, or is silent."""
        try:
            return self._of(agent).measure(wanted)
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent

    def logs(self, agent: str, wanted: LogsWanted) -> AgentLogs:
        """What has come to the logs of nodes. Raises AgentUnreachableError for an agent that is not of this process, or is silent."""
        try:
            return self._of(agent).logs(wanted)
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent

    def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
        """Begin an examination, or ask how far it is. Raises AgentUnreachableError, ExaminationRefusedError."""
        try:
            return self._of(agent).examine(order)
        except ValueError as wrong:
            raise ExaminationRefusedError(f"agent {agent} refuses the examination: {wrong}") from wrong
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent

    def cancel_examination(self, agent: str, name: str) -> None:
        """End an examination and forget it. Raises AgentUnreachableError."""
        try:
            self._of(agent).cancel_examination(name)
        except AgentSilentError as silent:
            raise AgentUnreachableError(str(silent)) from silent

    def _of(self, agent: str) -> Supervisor:
        if agent not in self._agents:
            raise AgentUnreachableError(f"agent {agent} does not run in this process")
        return self._agents[agent]


class MixedFleet:
    """The fleet port of a server that agents of other processes may join: by direct call to its own, over HTTP to those."""

    def __init__(self, embedded: EmbeddedFleet, remote: Fleet) -> None:
        self._embedded = embedded
        self._remote = remote

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""
        self._to(agent).push(agent, orders)

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        """What the agent measures now. Raises AgentUnreachableError."""
        return self._to(agent).measure(agent, wanted)

    def logs(self, agent: str, wanted: LogsWanted) -> AgentLogs:
        """What has come to the logs of nodes. Raises AgentUnreachableError."""
        return self._to(agent).logs(agent, wanted)

    def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
        """Begin an examination, or ask how far it is. Raises AgentUnreachableError, ExaminationRefusedError."""
        return self._to(agent).examine(agent, order)

    def cancel_examination(self, agent: str, name: str) -> None:
        """End an examination and forget it. Raises AgentUnreachableError."""
        self._to(agent).cancel_examination(agent, name)

    def _to(self, agent: str) -> Fleet:
        return self._embedded if self._embedded.has(agent) else self._remote


@dataclass(frozen=True)
class Embedded:
    """A running control plane with its agents."""

    plane: ControlPlane
    supervisors: list[Supervisor]
    ground: Ground
    closing: threading.Event
    outside: Outside | None = None

    @property
    def agents_url(self) -> str | None:
        """Where agents of other processes join; None when they may not."""
        return self.outside.url if self.outside is not None else None

    def warm_up(self) -> None:
        """Load in the background what the first cache would otherwise wait for."""
        threading.Thread(target=self.supervisors[0].warm_up, name="warm-up", daemon=True).start()

    def stop(self, how: Callable[[Supervisor], None]) -> None:
        """End the agents in the given way, then the control plane."""
        self.closing.set()
        if self.outside is not None and self.outside.door is not None:
            self.outside.door.close()
        self.plane.watchdog.close()
        self.plane.reconciler.close()
        threads = [threading.Thread(target=how, args=(supervisor,)) for supervisor in self.supervisors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.plane.close()


def start_embedded(settings: Settings, zones: int, block: int, where: RuntimeSettings, queries: Listeners | None = None) -> Embedded:
    """Build everything over the data folder and start it. ``block`` is this server's share of the loopback addresses, ``queries`` where
    names are asked for, if they are served.

    Raises CannotServeError and JoinTokenError when agents of other processes shall join but cannot, GroundRefusedError when engines cannot
    live ``where`` they shall.
    """
    with ThreadPoolExecutor(max_workers=2) as aside:
        finding = aside.submit(prepare, where)  # programs are asked for their versions while the database is opened
        aside.submit(find_filter)  # a trial, which is remembered
        fleet = EmbeddedFleet()
        plane, outside = _plane(settings, fleet, block, queries)
        ground = finding.result()
    closing = threading.Event()

    def report(said: AgentReport) -> bool:
        return not closing.is_set() and plane.registry.take(said)

    supervisors, welcomes = [], []
    for number in range(zones):
        supervisor = _agent(settings.data_dir, settings.region, number, block, ground, report)
        fleet.add(supervisor)
        supervisors.append(supervisor)
        welcomes.append(plane.registry.welcome(supervisor.hello()))
    for supervisor, welcome in zip(supervisors, welcomes, strict=True):
        supervisor.start()
        supervisor.keep_only(welcome.keeps or (), supervisor.keys())
        supervisor.lease.keep(supervisor.beat)
    plane.start()
    if outside is not None and outside.door is not None:
        outside.door.start()
    return Embedded(plane, supervisors, ground, closing, outside)


def _plane(settings: Settings, fleet: EmbeddedFleet, block: int, queries: Listeners | None) -> tuple[ControlPlane, Outside | None]:
    settings = settings.model_copy(update={"endpoint_network": f"127.100.{block}.0/24"})
    if settings.agents_address is None:
        return build(settings, fleet, queries=queries), None
    from controlplane.reconciler.http_fleet import HttpFleet  # who has no agents outside need not wait for an HTTP client

    plane: ControlPlane
    outside: Outside
    whole = MixedFleet(fleet, HttpFleet(lambda: outside.tls.client, lambda agent: plane.url_of(agent)))
    plane = build(settings, whole, queries=queries)
    outside = outside_of(plane, settings)
    return plane, outside


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
