"""Agents join and report: the same path as every other write."""

from __future__ import annotations

from api_schemas.agent.agent import AgentHello, AgentReport
from api_schemas.agent.node import NodeReport
from api_schemas.agent.route import RouteReport
from controlplane.clock import Clock
from controlplane.domain.reported import SeenNode, SeenRoute
from controlplane.store.store import Store, Unit


class Registry:
    """Takes what agents say."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def welcome(self, hello: AgentHello) -> None:
        """Write down who the agent is. Everything that could use it, or already does, is looked at again."""
        with self._store.transaction() as unit:
            if unit.agents.get(hello.agent) != hello:
                unit.agents.put(hello)
            unit.woken.update(topology.uid for topology in unit.topologies.all() if _concerns(unit, topology.uid, hello.agent))

    def take(self, report: AgentReport) -> bool:
        """Write down what changed. Answers False to an agent that has not introduced itself."""
        if self._store.agents.get(report.agent) is None:
            return False
        if not (report.nodes or report.routes or report.gone_routes):
            return True
        now = self._clock.now()
        with self._store.transaction() as unit:
            for node in report.nodes:
                if _is_known(unit, node.key) and unit.reports.put_node(node.key, _seen_node(node), now):
                    unit.woken.add(_uid(node.key))
            for route in report.routes:
                if _is_known(unit, route.key) and unit.reports.put_route(route.key, _seen_route(route), now):
                    unit.woken.add(_uid(route.key))
            for key in report.gone_routes:
                gone = SeenRoute(listening=False, gone=True)
                if _is_known(unit, key) and unit.reports.put_route(key, gone, now):
                    unit.woken.add(_uid(key))
        return True


def _concerns(unit: Unit, uid: str, agent: str) -> bool:
    topology = unit.topologies.get(uid)
    return topology is not None and any(node.placement is None or node.placement.agent == agent for node in topology.nodes)


def _uid(key: str) -> str:
    return key.partition(".")[0]


def _is_known(unit: Unit, key: str) -> bool:
    """Whether the key belongs to something that still exists; a late word about anything else is dropped."""
    topology = unit.topologies.get(_uid(key))
    return topology is not None and (key == topology.route_key or any(topology.key(node.id) == key for node in topology.nodes))


def _seen_node(report: NodeReport) -> SeenNode:
    return SeenNode(
        phase=report.phase.value,
        boot=report.boot,
        role=report.role.value if report.role else None,
        epoch=report.epoch,
        follows=report.follows,
        link_up=report.link_up,
        offset=report.offset,
        proven=frozenset(report.proven),
        holds=frozenset(report.holds),
        problem=report.problem,
        address_taken=report.address_taken,
        pid=report.pid,
        run_id=report.run_id,
    )


def _seen_route(report: RouteReport) -> SeenRoute:
    return SeenRoute(report.listening, tuple(report.backends), problem=report.problem)
