"""Clients whom a name has led to a primary are closed once they should be elsewhere, and at no other time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agents.engines.engine import Observation
from agents.led_clients import LedClients
from api_schemas.agent.node import EngineBinary, NodeSpec, Role

PRIMARY = NodeSpec(
    key="uid.n1", generation=1, binary=EngineBinary(engine="toy", version="1.0.0", path="/toy"), zone="us-east-1a",
    address="127.99.200.1", port=16379, role=Role.PRIMARY, epoch=1, memory=2**20, named=True,
)  # fmt: skip
REPLICA = PRIMARY.model_copy(update={"role": Role.REPLICA})


@dataclass
class Session:
    """Counts how often clients were sent away."""

    times: int = 0

    def send_away(self) -> None:
        self.times += 1


@dataclass
class Looks:
    """What is looked at in turn, and how often clients were closed by then."""

    clients: LedClients
    session: Session

    def at(self, spec: NodeSpec, role: Role, *, gives_up: bool = False, settled: bool = True) -> int:
        before = self.session.times
        self.clients.look(self.session, spec, Observation(role), gives_up=gives_up, settled=settled)  # type: ignore[arg-type]
        return self.session.times - before


@pytest.fixture
def started() -> Looks:
    """Of an engine that this agent has started."""
    return Looks(LedClients(are_here=False), Session())


@pytest.fixture
def adopted() -> Looks:
    """Of an engine that an agent of before has started."""
    return Looks(LedClients(), Session())


def test_a_primary_that_stays_keeps_its_clients(started: Looks) -> None:
    assert [started.at(PRIMARY, Role.PRIMARY) for _ in range(3)] == [0, 0, 0]


def test_a_former_primary_closes_them_once(started: Looks) -> None:
    started.at(PRIMARY, Role.PRIMARY)
    assert [started.at(REPLICA, Role.REPLICA) for _ in range(3)] == [1, 0, 0]


def test_while_it_has_not_become_a_replica_whoever_comes_back_is_closed_again(started: Looks) -> None:
    started.at(PRIMARY, Role.PRIMARY)
    assert [started.at(REPLICA, Role.PRIMARY, settled=False) for _ in range(3)] == [1, 1, 1]
    assert [started.at(REPLICA, Role.REPLICA) for _ in range(2)] == [1, 0]


def test_who_refuses_all_writes_closes_them_once_and_again_when_it_had_them_back(started: Looks) -> None:
    started.at(PRIMARY, Role.PRIMARY)
    assert [started.at(PRIMARY, Role.PRIMARY, gives_up=True) for _ in range(3)] == [1, 0, 0]
    assert started.at(PRIMARY, Role.PRIMARY) == 0
    assert started.at(PRIMARY, Role.PRIMARY, gives_up=True) == 1


def test_an_engine_that_starts_is_nobodys_former_primary(started: Looks) -> None:
    """Every engine begins as a primary."""
    assert [started.at(REPLICA, Role.PRIMARY, settled=False), started.at(REPLICA, Role.REPLICA)] == [0, 0]


def test_of_an_adopted_engine_its_role_tells(adopted: Looks) -> None:
    assert adopted.at(REPLICA, Role.PRIMARY, settled=False) == 1
    assert [adopted.at(REPLICA, Role.REPLICA) for _ in range(2)] == [1, 0]


def test_an_adopted_replica_and_an_adopted_primary_keep_theirs(adopted: Looks) -> None:
    assert adopted.at(REPLICA, Role.REPLICA) == 0
    assert Looks(LedClients(), Session()).at(PRIMARY, Role.PRIMARY) == 0


@pytest.mark.parametrize("are_here", [None, False])
def test_where_endpoints_are_bound_an_address_that_is_let_go_does_it(are_here: bool | None) -> None:
    looks = Looks(LedClients(are_here=are_here), Session())
    bound = PRIMARY.model_copy(update={"named": False})
    assert looks.at(bound, Role.PRIMARY) == 0
    assert looks.at(bound.model_copy(update={"role": Role.REPLICA}), Role.PRIMARY, settled=False) == 0
    assert looks.at(bound.model_copy(update={"role": Role.REPLICA}), Role.REPLICA) == 0


def test_a_node_that_outlives_its_group_lets_the_groups_clients_go(started: Looks) -> None:
    started.at(PRIMARY, Role.PRIMARY)
    assert started.at(PRIMARY.model_copy(update={"named": False}), Role.PRIMARY) == 1
