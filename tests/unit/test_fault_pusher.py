"""Faults on their way to agents: who is told what, what ends when, and what happens while an agent cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, WORLD, FixedClock, an_agent

from api_schemas.agent.agent import AgentReport, Orders
from api_schemas.agent.fault import FaultReport, FaultSpec
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from api_schemas.fault_kind import FaultKind
from controlplane.domain.fault import InjectedFault, StruckNode, Target
from controlplane.operations.fleet import Registry
from controlplane.reconciler.faults import FaultPusher
from controlplane.reconciler.fleet import AgentUnreachableError
from controlplane.store.store import Store

NETWORKS = {letter: f"127.10{number}.9.0/24" for number, letter in enumerate("abc", 1)}


class NotedFleet:
    """A fleet that notes what each agent was told of faults, and cannot reach some."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[FaultSpec]]] = []
        self.away: set[str] = set()

    def push(self, agent: str, orders: Orders) -> None:
        if agent in self.away:
            raise AgentUnreachableError(agent)
        assert orders == Orders(faults=orders.faults)
        assert orders.faults is not None
        self.told.append((agent, orders.faults))

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        raise AgentUnreachableError(agent)

    def newest(self, agent: str) -> list[FaultSpec]:
        return [faults for name, faults in self.told if name == agent][-1]


class Ground:
    """A store with an agent in each of three zones, and the pusher."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder / 'plane.db'}")
        self.clock = FixedClock()
        self.fleet = NotedFleet()
        self.pusher = FaultPusher(self.store, self.fleet, self.clock)
        with self.store.transaction() as unit:
            for letter, network in NETWORKS.items():
                unit.agents.put(an_agent(f"agent-{letter}", f"us-east-1{letter}").model_copy(update={"network": network}))

    def have(self, kind: FaultKind, target: Target, seconds: float = 60, **fields: Any) -> None:
        fault = InjectedFault(id="f1", world=WORLD, kind=kind, target=target, started_at=self.clock.now(),
                              ends_at=self.clock.now() + timedelta(seconds=seconds), **fields)  # fmt: skip
        with self.store.transaction() as unit:
            unit.faults.save(fault)

    def fault(self) -> InjectedFault:
        with self.store.reading() as unit:
            found = unit.faults.get("f1")
        assert found is not None
        return found


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.store.close()


CRASH = {"target": Target(cache_cluster="orders-002"), "nodes": (StruckNode("orders-002", "u.orders-002", "agent-b", 4),),
         "sources": (("cache-cluster", "orders-002"),)}  # fmt: skip


def test_at_the_start_everybody_is_told_even_that_there_is_nothing(ground: Ground) -> None:
    ground.pusher.converge_once()
    assert ground.fleet.told == [("agent-a", []), ("agent-b", []), ("agent-c", [])]
    ground.pusher.converge_once()
    assert len(ground.fleet.told) == 3, "nothing new was told"


@pytest.mark.parametrize(
    ("kind", "target", "apart"),
    [
        (FaultKind.ISOLATION, Target(zone="us-east-1c"), {"c": ["a", "b"]}),
        (FaultKind.CUT, Target(zones=("us-east-1a", "us-east-1b")), {"a": ["b"], "b": ["a"]}),
        (FaultKind.SILENCE, Target(zone="us-east-1a"), {"a": []}),
        (FaultKind.POWER_LOSS, Target(zone="us-east-1b"), {"b": []}),
    ],
)
def test_a_zone_is_told_whom_it_is_parted_from(ground: Ground, kind: FaultKind, target: Target, apart: dict[str, list[str]]) -> None:
    ground.have(kind, target)
    ground.pusher.converge_once()
    for letter in NETWORKS:
        specs = ground.fleet.newest(f"agent-{letter}")
        assert [spec.id for spec in specs] == (["f1"] if letter in apart else [])
        for spec in specs:
            assert (spec.whole, spec.seconds, spec.nodes) == (True, 60, [])
            assert spec.apart_from == [NETWORKS[other] for other in apart[letter]]


def test_a_fault_ends_when_its_time_is_up_and_its_agent_is_told(ground: Ground) -> None:
    ground.have(FaultKind.SILENCE, Target(zone="us-east-1a"), sources=(("replication-group", "orders"),))
    assert ground.pusher.converge_once() == 60
    assert ground.pusher.is_involved("agent-a")
    ground.clock.advance(seconds=59)
    assert ground.pusher.converge_once() == 1
    ground.clock.advance(seconds=1)
    ground.pusher.converge_once()
    assert (ground.fault().ended_at, ground.fault().ended_because) == (NOW + timedelta(seconds=60), "its time is up")
    assert ground.fleet.newest("agent-a") == []
    assert not ground.pusher.is_involved("agent-a")
    with ground.store.reading() as unit:
        (event,) = unit.events.between(WORLD, NOW, ground.clock.moment, "replication-group", "orders")
    assert event.message == "Fault f1 (agent-silence) ended: its time is up"


def test_a_crash_is_over_once_its_agent_was_told(ground: Ground) -> None:
    ground.have(FaultKind.CRASH, **CRASH)  # type: ignore[arg-type]
    ground.fleet.away.add("agent-b")
    assert ground.pusher.converge_once() < 1, "it is tried again soon"
    assert ground.fault().is_active
    ground.fleet.away.clear()
    ground.pusher.converge_once()
    assert ground.fault().ended_because == "it is done"
    (spec,) = ground.fleet.newest("agent-b")
    assert [(node.key, node.boot) for node in spec.nodes] == [("u.orders-002", 4)]
    assert not spec.whole


def test_an_agent_that_joins_again_is_told_again_with_what_is_left_of_the_time(ground: Ground) -> None:
    ground.have(FaultKind.SILENCE, Target(zone="us-east-1a"))
    ground.pusher.converge_once()
    ground.clock.advance(seconds=20)
    ground.pusher.welcome("agent-a")
    ground.pusher.converge_once()
    assert [spec.seconds for spec in ground.fleet.newest("agent-a")] == [40]
    assert [agent for agent, _ in ground.fleet.told].count("agent-b") == 1


def test_an_agent_that_was_never_told_anything_is_not_waited_for(ground: Ground) -> None:
    ground.fleet.away.add("agent-c")
    assert ground.pusher.converge_once() > 60


def test_what_an_agent_could_not_do_is_kept_with_the_fault(ground: Ground) -> None:
    ground.have(FaultKind.CUT, Target(zones=("us-east-1a", "us-east-1b")))
    registry = Registry(ground.store, ground.clock)
    said = AgentReport(agent="agent-a", faults=[FaultReport(id="f1", problem="nft refused"), FaultReport(id="f9", problem="?")])
    for _ in range(2):
        assert registry.take(said)
    assert ground.fault().problems == ("agent-a: nft refused",)


def test_faults_that_ended_long_ago_are_forgotten(ground: Ground) -> None:
    ground.have(FaultKind.SILENCE, Target(zone="us-east-1a"), seconds=1)
    ground.clock.advance(seconds=2)
    ground.pusher.converge_once()
    ground.clock.advance(hours=2)
    with ground.store.transaction() as unit:
        unit.faults.save(InjectedFault("f2", WORLD, FaultKind.SILENCE, Target(zone="us-east-1a"), NOW, ground.clock.now()))
    ground.pusher.converge_once()
    with ground.store.reading() as unit:
        assert [fault.id for fault in unit.faults.of(WORLD)] == ["f2"]
