"""The agent itself: keeps every node and the relay as ordered, and reports what changed. Orders are levels; so is the work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from agents.engines.engine import Engine
from agents.engines.reach import own_reach
from agents.engines.users import users_of
from agents.examinations import Examinations
from agents.faulting.packet_filter import PacketFilter
from agents.faults import FaultKeeper
from agents.front_seen import FrontSeen, is_fronted
from agents.fronts import front_of, front_seen
from agents.journal import Entry, Journal
from agents.lease import Lease
from agents.metrics.sampler import Sampler
from agents.node import LocalNode
from agents.node_logs import LogReaders
from agents.pace import Pace
from agents.pulse import Pulse
from agents.refused_writers import RefusedWriters, closes_on_write
from agents.relay_keeper import RelayKeeper
from agents.rounds import Rounds
from agents.runtimes.runtime import Handle, Runtime
from api_schemas.agent.agent import AgentHello, AgentReport, Orders
from api_schemas.agent.examination import ExaminationOrder, ExaminationState
from api_schemas.agent.fault import FaultSpec
from api_schemas.agent.logs import AgentLogs, LogsWanted
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from api_schemas.agent.node import EngineBinary, NodeReport, NodeSpec, Phase, Role
from api_schemas.agent.route import RouteSpec

log = logging.getLogger("cachewright.agent")

Report = Callable[[AgentReport], bool]
"""Delivers a report; answers whether the control plane took it. One it did not take is offered again."""

_WORTH_A_WORD = 1024 * 1024  # bytes
_RELAY = "relay"
_STRAYS = "strays"  # no node's key: those have a dot


@dataclass(frozen=True)
class Host:
    """Who an agent is: its name, its zone, the addresses its nodes may use, its folder, what its host can run.

    ``packet_filter`` is what it can keep zones apart with, if anything. ``memory`` is what its nodes may take of the host's, in bytes, None
    where they are not counted; ``cores`` are the host's processors.
    """

    agent: str
    zone: str
    network: str
    folder: Path
    host: str = "localhost"
    binaries: list[EngineBinary] = field(default_factory=list)
    url: str | None = None
    packet_filter: PacketFilter | None = None
    memory: int | None = None
    cores: int | None = None


class AgentSilentError(Exception):
    """The agent takes no orders now: a fault has it keep silent."""


class Supervisor:
    """Runs the nodes and routes of one host. Safe to order from any thread."""

    def __init__(self, host: Host, runtime: Runtime, engines: dict[str, Engine], report: Report,
                 pace: Pace | None = None, own: Runtime | None = None) -> None:  # fmt: skip
        """``own`` is where our own programs live, if not where engines do."""
        self.host = host
        self._runtime = runtime
        self._engines = engines
        self._deliver = report
        self.lease = Lease(self._wake_primaries)
        self._pace = pace or Pace()
        self._journal = Journal(host.folder)
        self._own = own or runtime
        self._relay = RelayKeeper(host.folder, self._own, self._journal)
        self._strays: dict[Handle, float] = {}
        self._nodes: dict[str, LocalNode] = {}
        self._newest: dict[str, NodeReport] = {}
        self._reported: dict[str, NodeReport] = {}
        self._gone: dict[str, NodeReport] = {}
        self._lock = threading.Lock()
        self._rounds = Rounds(host.agent, self._visit)
        self._pulse = Pulse(self._kill_hung, self._pace.pulse_within)
        self._refused_writers = RefusedWriters()
        self._sampler = Sampler(host.agent, host.folder, runtime.footprint, self._pace.sample)
        self._logs = LogReaders(host.folder, self._spec_of)
        self._examinations = Examinations(host.folder, self._own, host.binaries)
        self._faults = FaultKeeper(host.folder, host.network, runtime, host.packet_filter, self._processes, self.report_all)

    def hello(self) -> AgentHello:
        """How this agent introduces itself."""
        host = self.host
        return AgentHello(agent=host.agent, zone=host.zone, host=host.host, runtime=self._runtime.name, network=host.network,
                          engines=host.binaries, url=host.url, faults=self._faults.kinds(), memory=host.memory,
                          cores=host.cores)  # fmt: skip

    def start(self) -> None:
        """Find every node of the journal again, end what is ours but not in it, and begin the rounds."""
        entries = self._journal.entries()
        known = [entry.handle for entry in entries.values() if entry.handle is not None]
        for runtime in self._runtimes:
            for stray in runtime.strays([*known, *self._relay.handles()]):
                _end_stray(runtime, stray)
        self._examinations.clear()
        self._rounds.wake(_STRAYS, self._pace.sweep)
        self._faults.sweep(known)
        for key, entry in entries.items():
            self._nodes[key] = self._node_of(entry)
            if entry.handle is not None:
                # It goes on serving; should the node be dead, its visit takes it away.
                self._relay.front(key, front_of(self._nodes[key].spec, entry.spec.holds))
            if entry.suspended:
                self._offer(self._nodes[key].resuming())
            self._rounds.wake(key)
        if self._relay.is_wanted():
            self._rounds.wake(_RELAY)

    def beat(self) -> None:
        """Say that we are there."""
        self._report(AgentReport(agent=self.host.agent))

    def warm_up(self) -> None:
        """Start the relay and load the engines' client library, before the first cache asks for them."""
        self._relay.want()
        self._rounds.wake(_RELAY)
        import_module("agents.engines.valkey_session")

    def take(self, orders: Orders) -> None:
        """Write the orders down and carry them out soon.

        Raises ValueError for orders that make no sense, AgentSilentError while a fault has the agent keep silent; of faults it hears all
        the same, so that they can be ended.
        """
        if orders.faults is not None:
            self._take_faults(orders.faults)
        if self._faults.silent and orders != Orders(faults=orders.faults):
            raise AgentSilentError(f"{self.host.agent} is silent: a fault was injected")
        for spec in orders.nodes:
            self._take_node(spec)
        for key in orders.dropped_nodes:
            self._drop_node(key)
        if orders.routes or orders.dropped_routes:
            self._relay.take(orders.routes, orders.dropped_routes)
            self._rounds.wake(_RELAY)

    def keys(self) -> frozenset[str]:
        """The keys of all nodes that are here."""
        return frozenset(self._nodes)

    def keep_only(self, keeps: Collection[str], of: Collection[str]) -> None:
        """Drop the nodes among ``of`` that are not to be kept: they moved, or were forgotten, while we were away."""
        for key in sorted(set(of) - set(keeps)):
            log.warning("node lives here no more and is removed  node=%s", key)
            self._drop_node(key)

    def report_all(self) -> None:
        """Offer the newest report of every node and route again, as to a control plane that has just met us."""
        with self._lock:
            self._reported.clear()
        for key in (*self._nodes, *self._gone):
            self._rounds.wake(key)
        self._relay.report_again()
        self._rounds.wake(_RELAY)

    def newest(self) -> AgentReport:
        """The newest report of every node and route, whether it was taken or not."""
        with self._lock:
            nodes = [*self._newest.values(), *self._gone.values()]
        return AgentReport(agent=self.host.agent, full=True, nodes=nodes, routes=self._relay.reports())

    def measure(self, wanted: MetricsWanted) -> AgentMetrics:
        """What the nodes that run measure now. Raises AgentSilentError while a fault has the agent keep silent."""
        self._must_speak()
        return AgentMetrics(agent=self.host.agent, nodes=self._sampler.measure(wanted))

    def logs(self, wanted: LogsWanted) -> AgentLogs:
        """What has come to the logs of nodes. Raises AgentSilentError while a fault has the agent keep silent."""
        self._must_speak()
        return AgentLogs(agent=self.host.agent, nodes=self._logs.read(wanted))

    def examine(self, order: ExaminationOrder) -> ExaminationState:
        """Begin an examination, or say how far the one of that name is.

        Raises ValueError for one that cannot be done here, AgentSilentError while a fault has the agent keep silent.
        """
        self._must_speak()
        return self._examinations.begin_or_look(order)

    def cancel_examination(self, name: str) -> None:
        """Have no more to do with an examination. Raises AgentSilentError while a fault has the agent keep silent."""
        self._must_speak()
        self._examinations.cancel(name)

    def _must_speak(self) -> None:
        if self._faults.silent:
            raise AgentSilentError(f"{self.host.agent} is silent: a fault was injected")

    @property
    def silent(self) -> bool:
        """Whether a fault has this agent neither report nor take orders."""
        return self._faults.silent

    def suspend(self) -> None:
        """An orderly stop: every engine saves and ends; a later start of this agent brings all back with their data."""
        self._stop_looking()
        with ThreadPoolExecutor(max_workers=8) as together:
            list(together.map(LocalNode.suspend, list(self._nodes.values())))
        self._relay.stop()
        self._close_runtimes()

    def leave(self) -> None:
        """Stop looking after the engines, which go on."""
        self._stop_looking()
        for node in list(self._nodes.values()):
            node.release()
        self._close_runtimes()

    def remove_all(self) -> None:
        """End every node and leave nothing behind."""
        self._stop_looking()
        with ThreadPoolExecutor(max_workers=8) as together:
            list(together.map(LocalNode.remove, list(self._nodes.values())))
        self._relay.stop()
        self._close_runtimes()

    def _stop_looking(self) -> None:
        """End every thread that looks after engines; the rounds last, for others wake them."""
        for each in (self._faults, self.lease, self._pulse, self._refused_writers, self._sampler, self._logs, self._examinations,
                     self._rounds):  # fmt: skip
            each.close()

    def _take_faults(self, faults: list[FaultSpec]) -> None:
        """Have these faults, and say which could not be had: even one that is silent says that."""
        problems = self._faults.take(faults)
        if problems:
            self._deliver(AgentReport(agent=self.host.agent, faults=problems))

    def _processes(self) -> dict[str, Handle]:
        nodes = dict(self._nodes)
        return {key: node.handle for key, node in nodes.items() if node.handle is not None}

    def _take_node(self, spec: NodeSpec) -> None:
        if spec.binary.engine not in self._engines:
            raise ValueError(f"{spec.binary.engine} is not an engine that this agent knows how to run")
        if spec.access is not None:
            users_of(spec.access)
        spec = self._at_home(spec)
        with self._lock:
            node = self._nodes.get(spec.key)
            if node is None:
                self._gone.pop(spec.key, None)
                entry = Entry(spec=spec, boot_done=spec.boot if spec.was_up else 0)
                self._journal.write(entry)
                self._nodes[spec.key] = self._node_of(entry)
        if node is not None:
            node.accept(spec)
        self._rounds.wake(spec.key)

    def _drop_node(self, key: str) -> None:
        with self._lock:
            node = self._nodes.get(key)
            if node is not None:
                node.dropped = True
            else:
                self._gone[key] = NodeReport(key=key, generation=0, phase=Phase.GONE, boot=0)
        self._rounds.wake(key)

    def _node_of(self, entry: Entry) -> LocalNode:
        entry = replace(entry, spec=self._at_home(entry.spec))
        folder = Path(entry.spec.home)
        return LocalNode(entry, folder, self._runtime, self._engines, self._journal, self._pace, self._rounds.wake, self._front_seen,
                         lambda: self.lease.held_for, self._faults.without_power)  # fmt: skip

    def _spec_of(self, key: str) -> NodeSpec | None:
        node = self._nodes.get(key)
        return node.spec if node is not None and not node.dropped else None

    def _at_home(self, spec: NodeSpec) -> NodeSpec:
        return spec.model_copy(update={"home": str(self.host.folder / "nodes" / spec.key)})

    def _front_seen(self, key: str) -> FrontSeen:
        return front_seen(key, self._relay.front_reports(key))

    def _set_front(self, key: str, front: tuple[RouteSpec, ...]) -> None:
        if self._relay.front(key, front):
            self._rounds.wake(_RELAY)

    def _close_runtimes(self) -> None:
        for runtime in self._runtimes:
            runtime.close()

    @property
    def _runtimes(self) -> list[Runtime]:
        return [self._runtime] if self._own is self._runtime else [self._runtime, self._own]

    def _sweep(self) -> float:
        """End what is ours and has been known to nobody for some time: a start can succeed although we never heard of it."""
        now = time.monotonic()
        known = [*self._processes().values(), *self._relay.handles(), *self._examinations.handles()]
        found = {stray: runtime for runtime in self._runtimes for stray in runtime.strays(known)}
        self._strays = {stray: self._strays.get(stray, now) for stray in found}
        for stray, since in list(self._strays.items()):
            if now - since >= self._pace.stray_for:
                _end_stray(found[stray], stray)
                del self._strays[stray]
        return self._pace.sweep

    def _visit(self, key: str) -> float | None:
        if key == _RELAY:
            return self._visit_relay()
        if key == _STRAYS:
            return self._sweep()
        node = self._nodes.get(key)
        if node is None:
            return self._visit_gone(key)
        if node.dropped:
            self._pulse.forget(key)
            self._refused_writers.forget(key)
            self._sampler.forget(key)
            self._set_front(key, ())
            if self._relay.still_fronts(key):
                return self._pace.eager  # nothing of it may be left when it is said to be gone
            gone = node.remove()
            with self._lock:
                self._gone[key] = gone
                for known in (self._nodes, self._newest, self._reported):
                    known.pop(key, None)
            return self._visit_gone(key)
        if not is_fronted(node.spec) and self._relay.still_fronts(key):
            self._set_front(key, ())
            return self._pace.eager  # the engine is to listen where the front still does
        report, again = node.visit()
        self._watch_clients(node, report)
        is_there = report.phase is Phase.RUNNING or report.address_taken
        self._set_front(key, front_of(node.spec, node.front_holds) if is_there else ())
        with self._lock:
            self._newest[key] = report
        taken = self._offer(report)
        if report.phase is Phase.RUNNING and node.handle is not None:
            self._sampler.watch(node.spec, node.handle)
        else:
            self._sampler.forget(key)
        return again if taken else min(again, self._pace.steady)

    def _watch_clients(self, node: LocalNode, report: NodeReport) -> None:
        """Listen to the pulse of a primary, for its clients wait, and for those who write to a replica."""
        if node.leads:
            self._pulse.watch(report.key, own_reach(node.spec), node.progress)
        else:
            self._pulse.forget(report.key)
        if closes_on_write(node.spec, follows=report.phase is Phase.RUNNING and report.role is Role.REPLICA):
            self._refused_writers.watch(node.spec)
        else:
            self._refused_writers.forget(report.key)

    def _report(self, said: AgentReport) -> bool:
        """Deliver a report; one that was taken renews the lease from when it was sent. While a fault has us silent, nothing is said."""
        if self._faults.silent:
            return False
        sent_at = time.monotonic()
        taken = self._deliver(said)
        if taken:
            self.lease.renew(sent_at)
        return taken

    def _wake_primaries(self) -> None:
        for key, node in list(self._nodes.items()):
            if node.leads:
                self._rounds.wake(key)

    def _kill_hung(self, key: str) -> None:
        node = self._nodes.get(key)
        if node is not None:
            node.kill_hung()

    def _visit_gone(self, key: str) -> float | None:
        """Say that a node is gone until that is taken: nobody else would."""
        with self._lock:
            gone = self._gone.get(key)
        if gone is None:
            return None
        if not self._report(AgentReport(agent=self.host.agent, nodes=[gone])):
            return self._pace.steady
        with self._lock:
            self._gone.pop(key, None)
        return None

    def _visit_relay(self) -> float | None:
        seen = self._relay.visit(lambda: self._rounds.wake(_RELAY))
        for key in seen.nodes:
            self._rounds.wake(key)
        if seen.routes or seen.gone:
            taken = self._report(AgentReport(agent=self.host.agent, routes=seen.routes, gone_routes=seen.gone))
            if not taken:
                self._relay.report_again(seen.gone)
                return self._pace.steady
        if not self._relay.is_wanted():
            return None
        return self._pace.steady if self._relay.settled() else self._pace.eager * 2

    def _offer(self, report: NodeReport) -> bool:
        """Report a node if anything but its offset changed since the last report that was taken. The first data is a change."""
        former = self._reported.get(report.key)
        if former is not None and (former.offset > 0) == (report.offset > 0):
            unsaid: dict[str, int] = {"offset": report.offset, "generation": report.generation}
            if not _has_grown(former.used_memory, report.used_memory):
                unsaid["used_memory"] = report.used_memory
            if former.model_copy(update=unsaid) == report:
                return True
        if not self._report(AgentReport(agent=self.host.agent, nodes=[report])):
            return False
        with self._lock:
            self._reported[report.key] = report
        return True


def _has_grown(former: int, used: int) -> bool:
    """Whether so much more, or less, memory is used than was last told that it is worth a word."""
    return abs(used - former) > max(former // 16, _WORTH_A_WORD)


def _end_stray(runtime: Runtime, stray: Handle) -> None:
    log.warning("stray process ended  node=%s pid=%d", stray.key, stray.pid)
    runtime.kill(stray)
