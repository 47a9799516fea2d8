"""Injected faults: what each kind may be done to, what is refused and why, what is shown, when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import WORLD, FixedClock, a_cache_cluster, a_group, an_agent, have

from api_schemas.fault import CreateFault, DeleteFault, DescribeFaults, InjectedFault
from api_schemas.fault_kind import BY_FILTER, FaultKind
from api_schemas.faults import (
    CacheClusterNotFound,
    Fault,
    FaultNotFound,
    InvalidParameterCombination,
    InvalidParameterValue,
    ReplicationGroupNotFound,
)
from controlplane.domain.reported import SeenNode
from controlplane.domain.topology import Binary, Placement, Topology, World
from controlplane.operations.context import Context
from controlplane.operations.injected_faults import create_fault, delete_fault, describe_faults

ALL = [kind.value for kind in FaultKind]
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


def placed(topology: Topology) -> Topology:
    """The topology with each node on the agent of its zone."""
    for number, node in enumerate(topology.nodes):
        place = Placement(f"agent-{node.zone[-1]}", f"127.64.0.{number + 1}", Binary("valkey", "9.1.2", "/opt/valkey-server"))
        topology = topology.with_node(replace(node, placement=place))
    return topology


@pytest.fixture
def full(ctx: Context) -> Context:
    """Agents in three zones, a group and a Memcached cluster, whose nodes all run."""
    for letter in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{letter}", f"us-east-1{letter}").model_copy(update={"faults": ALL}))
    group, cache = placed(a_group()), placed(a_cache_cluster(nodes=2))
    have(ctx, group, cache)
    for topology in (group, cache):
        for node in topology.nodes:
            ctx.unit.reports.put_node(topology.key(node.id), SeenNode("running", 1, None, 1), ctx.now)
    ctx.unit.reports.settle()
    return ctx


def inject(ctx: Context, kind: str, **fields: Any) -> InjectedFault:
    return create_fault(ctx, CreateFault.model_validate({"kind": kind, **fields})).fault


@pytest.mark.parametrize(
    ("kind", "target", "nodes", "agents"),
    [
        ("node-crash", {"cache_cluster_id": "orders-002"}, ["orders-002"], ["agent-b"]),
        ("node-hang", {"cache_cluster_id": "ORDERS-002", "cache_node_id": "0001"}, ["orders-002"], ["agent-b"]),
        ("node-slow", {"cache_cluster_id": "sessions"}, ["sessions/0001", "sessions/0002"], ["agent-a", "agent-b"]),
        ("node-crash", {"cache_cluster_id": "sessions", "cache_node_id": "0002"}, ["sessions/0002"], ["agent-b"]),
        ("node-hang", {"replication_group_id": "orders"}, ["orders-001", "orders-002", "orders-003"], ["agent-a", "agent-b", "agent-c"]),
        ("node-hang", {"replication_group_id": "orders", "zone": C}, ["orders-003"], ["agent-c"]),
        ("zone-power-loss", {"replication_group_id": "orders", "zone": A}, ["orders-001"], ["agent-a"]),
        ("zone-power-loss", {"zone": A}, ["orders-001", "sessions/0001"], ["agent-a"]),
        ("zone-isolation", {"zone": C}, ["orders-003"], ["agent-c"]),
        ("link-cut", {"zones": [B, C]}, ["orders-002", "orders-003", "sessions/0002"], ["agent-b", "agent-c"]),
        ("agent-silence", {"zone": C}, ["orders-003"], ["agent-c"]),
    ],
)
def test_whom_a_fault_concerns(full: Context, kind: str, target: dict[str, Any], nodes: list[str], agents: list[str]) -> None:
    fault = inject(full, kind, **target)
    assert (sorted(fault.nodes), fault.agents, fault.status, fault.problems) == (nodes, agents, "active", [])
    assert describe_faults(full, DescribeFaults()).faults == [fault]


@pytest.mark.parametrize(
    ("kind", "target", "error"),
    [
        ("node-crash", {}, InvalidParameterCombination),
        ("node-crash", {"zone": A}, InvalidParameterCombination),
        ("node-crash", {"cache_cluster_id": "orders-001", "replication_group_id": "orders"}, InvalidParameterCombination),
        ("node-crash", {"cache_cluster_id": "orders-001", "zone": A}, InvalidParameterCombination),
        ("node-crash", {"cache_node_id": "0001"}, InvalidParameterCombination),
        ("node-crash", {"cache_cluster_id": "nobody"}, CacheClusterNotFound),
        ("node-crash", {"cache_cluster_id": "sessions", "cache_node_id": "0003"}, InvalidParameterValue),
        ("node-crash", {"cache_cluster_id": "orders-001", "cache_node_id": "0002"}, InvalidParameterValue),
        ("node-hang", {"replication_group_id": "nobody"}, ReplicationGroupNotFound),
        ("node-hang", {"replication_group_id": "orders", "zone": "us-east-1x"}, InvalidParameterValue),
        ("zone-power-loss", {"replication_group_id": "orders"}, InvalidParameterCombination),
        ("zone-power-loss", {"replication_group_id": "nobody", "zone": A}, ReplicationGroupNotFound),
        ("zone-isolation", {"zone": "eu-west-1a"}, InvalidParameterValue),
        ("zone-isolation", {"zones": [A, B]}, InvalidParameterCombination),
        ("link-cut", {"zone": A}, InvalidParameterCombination),
        ("link-cut", {"zones": [A]}, InvalidParameterCombination),
        ("link-cut", {"zones": [A, A]}, InvalidParameterCombination),
        ("link-cut", {"zones": [A, B, C]}, InvalidParameterCombination),
        ("agent-silence", {"cache_cluster_id": "orders-001"}, InvalidParameterCombination),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_begins(full: Context, kind: str, target: dict[str, Any], error: type[Fault]) -> None:
    with pytest.raises(error):
        inject(full, kind, **target)
    assert describe_faults(full, DescribeFaults()).faults == []


@pytest.mark.parametrize("kind", sorted(BY_FILTER))
def test_a_host_that_may_not_filter_says_so_and_offers_the_other_kinds(full: Context, kind: FaultKind) -> None:
    able = [each for each in ALL if each not in BY_FILTER]
    full.unit.agents.put(an_agent("agent-c", C).model_copy(update={"faults": able}))
    target = {"zones": [B, C]} if kind is FaultKind.CUT else {"zone": C}
    with pytest.raises(InvalidParameterCombination) as raised:
        inject(full, kind.value, **target)
    assert "agent-c" in raised.value.message
    assert "root" in raised.value.message
    assert all(each in raised.value.message for each in able)
    assert inject(full, "agent-silence", zone=C).status == "active"


def test_a_node_without_a_process_is_named(full: Context) -> None:
    key = placed(a_group()).key("orders-002")
    full.unit.reports.put_node(key, SeenNode("dead", 1, None, 1), full.now)
    full.unit.reports.settle()
    assert inject(full, "node-hang", replication_group_id="orders").problems == ["orders-002 has no process now"]


def test_a_node_that_has_no_place_yet_cannot_be_struck(full: Context) -> None:
    have(full, a_group("young"))
    with pytest.raises(InvalidParameterCombination, match="Nothing runs"):
        inject(full, "node-crash", replication_group_id="young")


def test_a_fault_has_its_time_and_is_ended_once(full: Context, clock: FixedClock) -> None:
    fault = inject(full, "node-slow", cache_cluster_id="orders-001", duration_seconds=90, slowness=0.5)
    assert (fault.ends_at - fault.started_at).total_seconds() == 90
    assert fault.slowness == 0.5
    clock.advance(seconds=10)
    ended = delete_fault(full, DeleteFault(fault_id=fault.fault_id)).fault
    assert (ended.status, ended.ended_at, ended.ended_because) == ("ended", clock.moment, "it was ended by its caller")
    clock.advance(seconds=10)
    assert delete_fault(full, DeleteFault(fault_id=fault.fault_id)).fault == ended
    assert describe_faults(full, DescribeFaults(status="active")).faults == []
    assert describe_faults(full, DescribeFaults(status="ended")).faults == [ended]
    told = full.unit.events.between(WORLD, fault.started_at, clock.moment, "cache-cluster", "orders-001")
    assert [event.message for event in told] == [
        f"Fault {fault.fault_id} (node-slow) ended: it was ended by its caller",
        f"Fault {fault.fault_id} (node-slow) injected into cache cluster orders-001 for 90 seconds",
    ]


def test_what_is_done_to_a_zone_is_an_event_of_all_that_have_nodes_there(full: Context) -> None:
    inject(full, "zone-power-loss", zone=C)
    inject(full, "agent-silence", zone=A)
    told = full.unit.events.between(WORLD, full.now, full.now, None, None)
    assert sorted((event.source_type, event.source) for event in told) == [
        ("cache-cluster", "sessions"), ("replication-group", "orders"), ("replication-group", "orders"),
    ]  # fmt: skip


def test_another_world_neither_sees_nor_ends_a_fault(full: Context) -> None:
    fault = inject(full, "agent-silence", zone=A)
    stranger = replace(full, world=World("111111111111", "us-east-1"))
    assert describe_faults(stranger, DescribeFaults()).faults == []
    with pytest.raises(FaultNotFound):
        delete_fault(stranger, DeleteFault(fault_id=fault.fault_id))
