"""What an agent does with orders for nodes it knows nothing of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from agents.engines.catalogue import engines_in
from agents.launch import Launch
from agents.pace import Pace
from agents.runtimes.fake import FakeRuntime
from agents.supervisor import Host, Supervisor
from api_schemas.agent.agent import AgentReport, Orders
from api_schemas.agent.node import EngineBinary, NodeReport, NodeSpec, Phase, Role

SPEC = NodeSpec(key="t1.orders-001", generation=7, binary=EngineBinary(engine="valkey", version="9.1.2", path="/opt/valkey-server"),
                zone="us-east-1a", address="127.98.0.1", port=6379, boot=3, role=Role.PRIMARY, epoch=2, memory=1 << 20)  # fmt: skip


class Plane:
    """A control plane that takes every report, and remembers the newest of each node."""

    def __init__(self) -> None:
        self.newest: dict[str, NodeReport] = {}

    def take(self, said: AgentReport) -> bool:
        self.newest.update({node.key: node for node in said.nodes})
        return True


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
def runtime(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path)


@pytest.fixture
def supervisor(tmp_path: Path, plane: Plane, runtime: FakeRuntime) -> Iterator[Supervisor]:
    host = Host(agent="agent-a", zone="us-east-1a", network="127.98.0.0/24", folder=tmp_path)
    made = Supervisor(host, runtime, engines_in(tmp_path), plane.take)
    made.start()
    yield made
    made.leave()


def test_a_node_that_was_never_up_is_started(supervisor: Supervisor, plane: Plane, runtime: FakeRuntime) -> None:
    supervisor.take(Orders(nodes=[SPEC]))
    assert wait_until(lambda: plane.newest.get(SPEC.key)).phase is Phase.STARTING  # type: ignore[union-attr]
    assert [(handle.key, handle.boot) for handle in runtime.strays([])] == [(SPEC.key, 3)]


def test_a_node_that_was_up_but_is_unknown_here_is_reported_dead_and_not_started_empty(
    supervisor: Supervisor, plane: Plane, runtime: FakeRuntime
) -> None:
    supervisor.take(Orders(nodes=[SPEC.model_copy(update={"was_up": True})]))
    report = wait_until(lambda: plane.newest.get(SPEC.key))
    assert report is not None
    assert (report.phase, report.boot) == (Phase.DEAD, 3)
    assert runtime.strays([]) == []


def test_a_node_nobody_knows_is_gone_when_it_is_dropped(supervisor: Supervisor, plane: Plane) -> None:
    supervisor.take(Orders(dropped_nodes=["t9.unknown-001"]))
    assert wait_until(lambda: plane.newest.get("t9.unknown-001")).phase is Phase.GONE  # type: ignore[union-attr]


def test_orders_given_twice_start_one_process(supervisor: Supervisor, plane: Plane, runtime: FakeRuntime) -> None:
    for _ in range(2):
        supervisor.take(Orders(nodes=[SPEC]))
    wait_until(lambda: plane.newest.get(SPEC.key))
    assert len(runtime.strays([])) == 1


def test_what_nobody_knows_is_ended_when_it_is_found_twice(tmp_path: Path, plane: Plane, runtime: FakeRuntime) -> None:
    host = Host(agent="agent-a", zone="us-east-1a", network="127.98.0.0/24", folder=tmp_path)
    swept = Supervisor(host, runtime, engines_in(tmp_path), plane.take, Pace(sweep=0.05, stray_for=0.1))
    swept.start()
    swept.take(Orders(nodes=[SPEC]))
    wait_until(lambda: plane.newest.get(SPEC.key))
    known = runtime.strays([])
    stray = runtime.start(Launch("t1.lost-001", 1, ("engine",), tmp_path, tmp_path / "log"))
    wait_until(lambda: not runtime.alive(stray))
    assert runtime.strays([]) == known
    swept.leave()
