"""Agents join and report: the same path as every other write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from api_schemas.agent.agent import AgentHello, AgentReport, Welcome
from api_schemas.agent.backup import SavePhase, SaveState
from api_schemas.agent.fault import FaultReport
from api_schemas.agent.node import NodeReport, Phase
from api_schemas.agent.route import RouteReport
from api_schemas.faults import InvalidParameterValue
from controlplane.clock import Clock
from controlplane.domain.backup import SavedFile
from controlplane.domain.reported import Saved, SeenNode, SeenRoute
from controlplane.domain.topology import Topology
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Store, Unit


class Registry:
    """Takes what agents say."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def welcome(self, hello: AgentHello) -> Welcome:
        """Write down who the agent is; tells it which nodes it may keep. Everything that could use it, or already does, is looked at again.

        Raises InvalidParameterValue when an agent of another process takes the name of one that lives in ours, NotLeadingError.
        """
        with self._store.transaction(leading=True) as unit:
            known = unit.agents.get(hello.agent)
            if known is not None and known.url is None and hello.url is not None:
                raise InvalidParameterValue(f"{hello.agent} is an agent inside the control plane. Give yours another --name.")
            if known != hello:
                unit.agents.put(hello)
            self._store.heartbeats.hear(hello.agent)
            _wake_concerned(unit, hello.agent)
            return Welcome(keeps=list(_living_at(unit, hello.agent)))

    def take(self, report: AgentReport) -> bool:
        """Write down what changed. Answers False to an agent that has not introduced itself. Raises NotLeadingError.

        Who does not lead takes not even a heartbeat: the agent would rely on being heard.
        """
        if not self._store.leadership.leads:
            raise NotLeadingError("another control plane listens to the agents")
        agent = report.agent
        if self._store.agents.get(agent) is None:
            return False
        was_silent = self._store.heartbeats.hear(agent)
        if not (was_silent or _says_something(report)):
            return True
        with self._store.transaction(leading=True) as unit:
            if was_silent:
                _wake_concerned(unit, agent)
            _write_down(unit, report, self._clock.now())
        return True


def _write_down(unit: Unit, report: AgentReport, now: datetime) -> None:
    agent = report.agent
    for node in report.nodes:
        if node.phase is Phase.GONE:
            _clear_leftovers(unit, agent, node.key)
        if _runs(unit, agent, node.key) and unit.reports.put_node(node.key, _seen_node(node), now):
            unit.woken.add(_uid(node.key))
            _mark_resumed(unit, node)
    for route in report.routes:
        if _routes(unit, agent, route.key) and unit.reports.put_route(route.key, _seen_route(route), now):
            unit.woken.add(_uid(route.key))
    _note_problems(unit, agent, report.faults)
    for key in report.gone_routes:
        gone = SeenRoute(listening=False, gone=True)
        if _routes(unit, agent, key) and unit.reports.put_route(key, gone, now):
            unit.woken.add(_uid(key))


def _says_something(report: AgentReport) -> bool:
    """Whether it is more than a heartbeat."""
    return bool(report.nodes or report.routes or report.gone_routes or report.faults)


def _note_problems(unit: Unit, agent: str, reports: Iterable[FaultReport]) -> None:
    """Write down what an agent could not do of faults that go on."""
    for said in reports:
        fault = unit.faults.get(said.id)
        if fault is not None and fault.is_active:
            unit.faults.save(fault.with_problem(f"{agent}: {said.problem}"))


def _clear_leftovers(unit: Unit, agent: str, key: str) -> None:
    """A node that moved away has left nothing with that agent any more: its former address is free."""
    topology = unit.topologies.get(_uid(key))
    for leftover in topology.leftovers if topology is not None else ():
        if topology is not None and leftover.agent == agent and topology.key(leftover) == key:
            unit.addresses.release(leftover.address)
            topology = unit.topologies.save(topology.without_leftover(leftover))


def _living_at(unit: Unit, agent: str) -> Iterator[str]:
    """The keys of the nodes that have their place with the agent, those included that are to leave."""
    for topology in unit.topologies.all():
        for node in topology.nodes:
            if node.placement is not None and node.placement.agent == agent:
                yield topology.key(node)


def _wake_concerned(unit: Unit, agent: str) -> None:
    """Have everything that could use the agent, or already does, looked at again."""
    unit.woken.update(topology.uid for topology in unit.topologies.all() if _concerns(topology, agent))


def _concerns(topology: Topology, agent: str) -> bool:
    agents = {node.placement.agent if node.placement is not None else agent for node in topology.nodes}
    agents |= {leftover.agent for leftover in topology.leftovers}
    return agent in agents or topology.reader_agent == agent


def _mark_resumed(unit: Unit, report: NodeReport) -> None:
    """A joined node that starts although no restart is desired comes back from an orderly stop of its agent.

    Its topology counts as being modified until everything was seen to work again.
    """
    topology = unit.topologies.get(_uid(report.key))
    node = topology.node_of(report.key) if topology is not None else None
    if topology is None or node is None or report.phase is not Phase.STARTING or node.joined_at is None or node.restart is not None:
        return
    if not topology.modifying:
        unit.topologies.save(replace(topology, modifying=True))


def _uid(key: str) -> str:
    return key.partition(".")[0]


def _runs(unit: Unit, agent: str, key: str) -> bool:
    """Whether the node still exists and is that agent's; a late word about anything else is dropped."""
    topology = unit.topologies.get(_uid(key))
    node = topology.node_of(key) if topology is not None else None
    return node is not None and node.placement is not None and node.placement.agent == agent


def _routes(unit: Unit, agent: str, key: str) -> bool:
    """Whether the reader route still exists and is that agent's."""
    topology = unit.topologies.get(_uid(key))
    return topology is not None and key == topology.route_key and topology.reader_agent == agent


def _seen_node(report: NodeReport) -> SeenNode:
    return SeenNode(
        phase=report.phase.value,
        boot=report.boot,
        role=report.role.value if report.role else None,
        epoch=report.epoch,
        roll=report.roll,
        follows=report.follows,
        link_up=report.link_up,
        offset=report.offset,
        proven=frozenset(report.proven),
        holds=frozenset(report.holds),
        problem=report.problem,
        address_taken=report.address_taken,
        agrees=report.agrees,
        arrived=report.arrived,
        yielded_to=report.yielded_to,
        pid=report.pid,
        run_id=report.run_id,
        parameters=report.parameters,
        access=report.access,
        fronted=report.fronted,
        discovery=report.discovery,
        out_of_memory=report.out_of_memory,
        used_memory=report.used_memory,
        databases=report.databases,
        saved=_saved(report.saved) if report.saved else None,
        seeded=report.seeded,
    )


def _saved(state: SaveState) -> Saved:
    file = None
    if state.phase is SavePhase.DONE and state.taken_at is not None:
        file = SavedFile(
            state.key, state.size, state.sha256, state.version, state.taken_at, state.keys, state.expires, state.functions,
            state.databases, state.used_memory,
        )  # fmt: skip
    return Saved(state.snapshot, state.attempt, state.phase.value, state.done, state.total, state.problem, file)


def _seen_route(report: RouteReport) -> SeenRoute:
    return SeenRoute(report.listening, tuple(report.backends), problem=report.problem, discovery=report.discovery)
