"""Metrics at the doors, of a fleet whose agents answer, refuse, are late or fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from factories import NOW, WORLD, FixedClock, a_group, an_agent
from prometheus_client.parser import text_string_to_metric_families

from api_schemas.agent.agent import Orders
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted, NodeMetrics, Point
from api_schemas.faults import CacheClusterNotFound, InvalidParameterValue, ReplicationGroupNotFound
from api_schemas.metrics import DescribeMetrics
from controlplane.api.metrics import MetricsDoor
from controlplane.domain.reported import DEAD, SeenNode
from controlplane.domain.topology import Binary, Placement, Topology, World
from controlplane.reconciler.fleet import AgentUnreachableError
from controlplane.reconciler.gathering import Gatherer
from controlplane.store.store import Store

AGENTS = {"agent-a": "us-east-1a", "agent-b": "us-east-1b", "agent-c": "us-east-1c"}
BINARY = Binary("valkey", "9.1.2", "/usr/bin/valkey-server")


class Agents:
    """A fleet: what each agent answers, who refuses, and who never answers."""

    def __init__(self) -> None:
        self.answers: dict[str, list[NodeMetrics]] = {}
        self.away: dict[str, str] = {}
        self.late: set[str] = set()
        self.asked: dict[str, MetricsWanted] = {}
        self.over = threading.Event()

    def push(self, agent: str, orders: Orders) -> None:
        raise AssertionError("nobody is given orders")

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        self.asked[agent] = wanted
        if agent in self.late:
            self.over.wait(30)
        if agent in self.away:
            raise AgentUnreachableError(self.away[agent])
        nodes = self.answers.get(agent, [])
        return AgentMetrics(agent=agent, nodes=[node for node in nodes if wanted.keys is None or node.key in wanted.keys])


class Desk:
    """A group of three nodes, one with each agent, and the door."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder / 'plane.db'}")
        self.fleet = Agents()
        self.gatherer = Gatherer(self.store, self.fleet, deadline=0.2)
        self.door = MetricsDoor(self.gatherer, FixedClock())
        self.group = placed(a_group())
        with self.store.transaction() as unit:
            unit.topologies.save(self.group)
            for agent, zone in AGENTS.items():
                unit.agents.put(an_agent(agent, zone))
        for agent, node in zip(AGENTS, self.group.node_groups[0].nodes, strict=True):
            is_primary = float(agent == "agent-a")
            now = Point(age=0.5, values={"CacheHits": 7, "CurrItems": 3, "IsPrimary": is_primary})
            counters = {"CacheHits": 70, "GetTypeCmdsLatency": 2_000_000, "EngineCPUUtilization": 1.5}
            history = [Point(age=60.5, values={"CacheHits": 6, "CurrItems": 2})]
            self.fleet.answers[agent] = [NodeMetrics(key=self.group.key(node.id), now=now, counters=counters, history=history)]

    def close(self) -> None:
        self.fleet.over.set()
        self.gatherer.close()
        self.store.close()

    def series(self) -> dict[str, dict[str, float]]:
        families = text_string_to_metric_families(bytes(self.door.exposition().body).decode())
        found: dict[str, dict[str, float]] = {}
        for sample in (sample for family in families for sample in family.samples):
            name = sample.labels.get("cache_cluster_id") or sample.labels["agent"]
            found.setdefault(sample.name, {})[name] = sample.value
        return found


def placed(topology: Topology) -> Topology:
    (group,) = topology.node_groups
    nodes = tuple(replace(node, placement=Placement(agent, "127.64.0.1", BINARY)) for agent, node in zip(AGENTS, group.nodes, strict=True))
    return topology.with_group(replace(group, nodes=nodes))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_what_agents_say_is_shown_with_whose_it_is_and_when(desk: Desk) -> None:
    found = desk.door.describe(WORLD, DescribeMetrics(minutes=5, period=10))
    assert [(node.cache_cluster_id, node.role, node.zone, node.agent) for node in found.nodes] == [
        ("orders-001", "primary", "us-east-1a", "agent-a"),
        ("orders-002", "replica", "us-east-1b", "agent-b"),
        ("orders-003", "replica", "us-east-1c", "agent-c"),
    ]
    first = found.nodes[0]
    assert (first.cache_node_id, first.replication_group_id, first.node_group_id, first.age) == ("0001", "orders", "0001", 0.5)
    assert first.now is not None and first.now.timestamp == NOW - timedelta(seconds=0.5)
    assert [(point.timestamp, point.values["CacheHits"]) for point in first.history] == [(NOW - timedelta(seconds=60.5), 6)]
    assert found.units["CacheHits"] == "Count"
    assert (desk.fleet.asked["agent-a"].minutes, desk.fleet.asked["agent-a"].window) == (5, 10)
    assert found.missing_agents == []


def test_one_metric_of_one_node_asks_one_agent(desk: Desk) -> None:
    found = desk.door.describe(WORLD, DescribeMetrics(cache_cluster_id="Orders-002", metric="CacheHits"))
    [node] = found.nodes
    assert node.now is not None and node.now.values == {"CacheHits": 7}
    assert found.units == {"CacheHits": "Count"}
    assert desk.fleet.asked.keys() == {"agent-b"}


def test_who_does_not_answer_is_named_and_nobody_waits_for_long(desk: Desk) -> None:
    desk.fleet.away["agent-b"] = "agent agent-b has not joined"
    desk.fleet.late.add("agent-c")
    found = desk.door.describe(WORLD, DescribeMetrics())
    assert [(agent.agent, agent.zone, agent.because) for agent in found.missing_agents] == [
        ("agent-b", "us-east-1b", "agent agent-b has not joined"),
        ("agent-c", "us-east-1c", "agent agent-c did not answer within 0.2 s"),
    ]
    assert [(node.now is None, node.problem) for node in found.nodes] == [
        (False, None),
        (True, "agent agent-b has not joined"),
        (True, "agent agent-c did not answer within 0.2 s"),
    ]


def test_a_node_without_figures_says_why(desk: Desk) -> None:
    key = desk.group.key("orders-001")
    desk.fleet.answers["agent-a"] = [NodeMetrics(key=key, problem="it does not answer within 0.4 s")]
    desk.fleet.answers["agent-b"] = []
    with desk.store.transaction() as unit:
        unit.reports.put_node(desk.group.key("orders-002"), SeenNode(DEAD, 1), NOW)
        unit.topologies.save(a_group("later", nodes=1))
    told = {node.cache_cluster_id: (node.now, node.problem) for node in desk.door.describe(WORLD, DescribeMetrics()).nodes}
    assert told["orders-001"] == (None, "it does not answer within 0.4 s")
    assert told["orders-002"] == (None, "it does not run: its agent saw it dead")
    assert told["later-001"] == (None, "it has no place yet")


@pytest.mark.parametrize(
    ("asked", "fault", "told"),
    [
        (DescribeMetrics(replication_group_id="nope"), ReplicationGroupNotFound, "nope"),
        (DescribeMetrics(cache_cluster_id="nope"), CacheClusterNotFound, "nope"),
        (DescribeMetrics(metric="cachehits"), InvalidParameterValue, "did you mean CacheHits"),
        (DescribeMetrics(metric="?"), InvalidParameterValue, "docs/metrics.md"),
    ],
)
def test_what_is_not_there_is_refused(desk: Desk, asked: DescribeMetrics, fault: type[Exception], told: str) -> None:
    with pytest.raises(fault, match=told):
        desk.door.describe(WORLD, asked)
    assert desk.fleet.asked == {}


def test_other_worlds_are_not_seen_but_by_prometheus(desk: Desk) -> None:
    other = World("111122223333", "us-east-1")
    assert desk.door.describe(other, DescribeMetrics()).nodes == []
    with pytest.raises(ReplicationGroupNotFound):
        desk.door.describe(other, DescribeMetrics(replication_group_id="orders"))
    assert len(desk.series()["cachewright_curr_items"]) == 3


def test_what_prometheus_reads(desk: Desk) -> None:
    desk.fleet.away["agent-c"] = "away"
    told = desk.series()
    assert told["cachewright_agent_up"] == {"agent-a": 1, "agent-b": 1, "agent-c": 0}
    assert told["cachewright_node_measured"] == {"orders-001": 1, "orders-002": 1, "orders-003": 0}
    measured = {"orders-001", "orders-002"}
    assert told["cachewright_cache_hits_total"] == dict.fromkeys(measured, 70)
    assert told["cachewright_curr_items"] == dict.fromkeys(measured, 3)
    assert told["cachewright_get_type_cmds_latency_seconds_total"] == dict.fromkeys(measured, 2)
    assert told["cachewright_engine_cpu_seconds_total"] == dict.fromkeys(measured, 1.5)
    assert told["cachewright_node_sample_age_seconds"] == dict.fromkeys(measured, 0.5)
    assert told["cachewright_is_primary"] == {"orders-001": 1, "orders-002": 0}
