"""In which order agents are told, and what is told again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import NOW
from situations import at_work, named

from api_schemas.agent.agent import Orders
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from controlplane.domain.topology import Handover, Topology
from controlplane.reconciler.fleet import AgentUnreachableError
from controlplane.reconciler.push import Pusher

ORDERS = at_work().topology
FIRST, SECOND, THIRD = (node.id for node in ORDERS.nodes)


def agent_of(node_id: str) -> str:
    node = ORDERS.node(node_id)
    assert node is not None and node.placement is not None
    return node.placement.agent


class Told:
    """A fleet that writes down who was told of which nodes."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.unreachable: set[str] = set()

    def push(self, agent: str, orders: Orders) -> None:
        if agent in self.unreachable:
            raise AgentUnreachableError(agent)
        self.nodes += [spec.key.partition(".")[2] for spec in orders.nodes]

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        raise AgentUnreachableError(agent)


def elected(topology: Topology, heir: str) -> Topology:
    """The heir leads, and holds the endpoint."""
    (group,) = topology.node_groups
    return topology.with_group(replace(group, primary=heir, epoch=group.epoch + 1, holder=heir))


@pytest.mark.parametrize("topology", [ORDERS, named(at_work()).topology], ids=["bound", "named"])
@pytest.mark.parametrize("heir", [SECOND, THIRD])
@pytest.mark.parametrize("yields", [True, False])
def test_who_lets_the_endpoint_go_is_told_first_but_for_one_that_yields_whose_heir_is(heir: str, yields: bool, topology: Topology) -> None:
    fleet = Told()
    pusher = Pusher(fleet)
    before = elected(topology, FIRST)
    if yields:
        (group,) = before.node_groups
        before = before.with_group(replace(group, handover=Handover(FIRST, NOW, heir=heir)))
    assert pusher.push(before)
    fleet.nodes.clear()
    assert pusher.push(elected(topology, heir))
    assert fleet.nodes[:2] == ([heir, FIRST] if yields else [FIRST, heir])
    assert set(fleet.nodes) == {FIRST, SECOND, THIRD}


def test_when_nobody_knows_what_was_told_who_shall_lead_is_told_last() -> None:
    fleet = Told()
    assert Pusher(fleet).push(elected(ORDERS, SECOND))
    assert fleet.nodes == [FIRST, THIRD, SECOND]


def test_what_was_taken_is_not_told_again_until_it_is_forgotten() -> None:
    fleet = Told()
    pusher = Pusher(fleet)
    pusher.push(ORDERS)
    told = list(fleet.nodes)
    assert pusher.push(ORDERS) and fleet.nodes == told == [FIRST, SECOND, THIRD]
    pusher.forget(agent_of(FIRST))
    pusher.push(ORDERS)
    assert fleet.nodes == [*told, FIRST]


def test_who_did_not_answer_is_told_again_and_the_others_are_not() -> None:
    fleet = Told()
    pusher = Pusher(fleet)
    fleet.unreachable.add(agent_of(SECOND))
    assert not pusher.push(ORDERS)
    assert fleet.nodes == [FIRST, THIRD]
    fleet.unreachable.clear()
    assert pusher.push(ORDERS)
    assert fleet.nodes == [FIRST, THIRD, SECOND]
