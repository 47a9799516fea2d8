"""What reports amount to: up, down, given up, in sync, doing its duty, holding the endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, a_cache_cluster, a_group

from controlplane.domain.reported import (
    DEAD,
    FAILED,
    GONE,
    RUNNING,
    STARTING,
    Reported,
    SeenNode,
    does_duty,
    holds_endpoint,
    is_down,
    is_given_up,
    is_up,
    replicates,
)
from controlplane.domain.topology import Binary, Node, NodeGroup, Placement, Topology

FIRST, SECOND = "orders-001", "orders-002"
BINARY = Binary("valkey", "9.1.2", "/opt/valkey-server")
ENDPOINT = "127.100.0.1"


def a_placed_group() -> Topology:
    topology = replace(a_group(nodes=2), primary_address=ENDPOINT)
    for number, node in enumerate(topology.nodes, start=1):
        topology = topology.with_node(replace(node, placement=Placement("agent-a", f"127.101.0.{number}", BINARY)))
    return topology.with_group(replace(topology.node_groups[0], holder=FIRST, epoch=3))


GROUP = a_placed_group()
PRIMARY = SeenNode(RUNNING, 1, "primary", 3, proven=frozenset({GROUP.key(SECOND)}), holds=frozenset({ENDPOINT}))
REPLICA = SeenNode(RUNNING, 1, "replica", 3, follows="127.101.0.1:6379", link_up=True)


def of(topology: Topology, node_id: str) -> tuple[NodeGroup, Node]:
    group = topology.group_of(node_id)
    node = group.node(node_id)
    assert node is not None
    return group, node


@pytest.mark.parametrize(
    ("phase", "desired", "seen", "up", "down"),
    [
        (RUNNING, 2, 2, True, False),
        (RUNNING, 2, 1, False, False),  # an earlier boot still runs
        (RUNNING, 2, 3, False, False),
        (STARTING, 2, 2, False, False),
        (DEAD, 2, 2, False, True),
        (FAILED, 2, 2, False, True),
        (DEAD, 2, 1, False, False),  # an earlier boot has ended; the desired one is to come
        (DEAD, 2, 3, False, True),
        (GONE, 2, 2, False, False),
    ],
)
def test_up_and_down(phase: str, desired: int, seen: int, up: bool, down: bool) -> None:
    node = Node("n", "us-east-1a", boot=desired)
    assert (is_up(node, SeenNode(phase, seen)), is_down(node, SeenNode(phase, seen))) == (up, down)


def test_what_nobody_has_seen_is_neither_up_nor_down() -> None:
    node = Node("n", "us-east-1a")
    assert not is_up(node, None)
    assert not is_down(node, None)


@pytest.mark.parametrize(
    ("boot", "joined", "phase", "given_up"),
    [
        (4, False, FAILED, True),
        (5, False, DEAD, True),
        (3, False, FAILED, False),
        (4, True, FAILED, False),
        (4, False, STARTING, False),
    ],
)
def test_given_up(boot: int, joined: bool, phase: str, given_up: bool) -> None:
    node = Node("n", "us-east-1a", boot=boot, joined_at=NOW if joined else None)
    assert is_given_up(node, SeenNode(phase, boot), most_boots=4) is given_up


@pytest.mark.parametrize(
    ("primary", "replica", "in_sync"),
    [
        ({}, {}, True),
        ({}, {"link_up": False}, False),
        ({}, {"follows": None}, False),
        ({}, {"follows": "127.101.0.1:6380"}, False),
        ({"proven": frozenset()}, {}, False),
        ({"proven": frozenset({SECOND})}, {}, False),  # proofs are under keys, which are unique over time
        ({"epoch": 2}, {}, False),  # what it proved was before the election
    ],
)
def test_a_replica_replicates(primary: dict[str, Any], replica: dict[str, Any], in_sync: bool) -> None:
    reported = Reported({FIRST: replace(PRIMARY, **primary), SECOND: replace(REPLICA, **replica)})
    assert replicates(GROUP, *of(GROUP, SECOND), reported) is in_sync


@pytest.mark.parametrize("seen", [{}, {FIRST: PRIMARY}, {SECOND: REPLICA}])
def test_it_takes_two_reports_to_replicate(seen: dict[str, SeenNode]) -> None:
    assert not replicates(GROUP, *of(GROUP, SECOND), Reported(seen))


@pytest.mark.parametrize(
    ("node", "changes", "duty"),
    [
        (FIRST, {}, True),
        (FIRST, {"role": "replica"}, False),
        (FIRST, {"epoch": 2}, False),
        (FIRST, {"boot": 0}, False),
        (FIRST, {"phase": STARTING}, False),
        (FIRST, {"holds": frozenset()}, True),  # whether the endpoint is bound is another question
        (SECOND, {}, True),
        (SECOND, {"role": "primary"}, False),
        (SECOND, {"epoch": 2}, False),
        (SECOND, {"link_up": False}, False),
        (SECOND, {"phase": DEAD}, False),
    ],
)
def test_duty(node: str, changes: dict[str, Any], duty: bool) -> None:
    seen = {FIRST: PRIMARY, SECOND: REPLICA}
    reported = Reported({**seen, node: replace(seen[node], **changes)})
    assert does_duty(GROUP, *of(GROUP, node), reported) is duty


def test_a_silent_node_does_no_duty() -> None:
    assert not does_duty(GROUP, *of(GROUP, FIRST), Reported())


def test_a_memcached_node_has_only_to_run() -> None:
    caches = a_cache_cluster()
    assert does_duty(caches, *of(caches, "0001"), Reported({"0001": SeenNode(RUNNING, 1)}))
    assert not does_duty(caches, *of(caches, "0001"), Reported({"0001": SeenNode(STARTING, 1)}))


@pytest.mark.parametrize(
    ("group", "seen", "held"),
    [
        ({}, {}, True),
        ({"holder": None}, {}, False),
        ({"holder": SECOND}, {}, False),
        ({"epoch": 4}, {}, False),
        ({}, {"role": "replica"}, False),
        ({}, {"holds": frozenset()}, False),
        ({}, {"holds": frozenset({"127.100.0.9"})}, False),
    ],
)
def test_the_endpoint_is_held(group: dict[str, Any], seen: dict[str, Any], held: bool) -> None:
    topology = GROUP.with_group(replace(GROUP.node_groups[0], **group))
    reported = Reported({FIRST: replace(PRIMARY, **seen)})
    assert holds_endpoint(topology, topology.node_groups[0], reported) is held


def test_nobody_holds_an_endpoint_unseen() -> None:
    assert not holds_endpoint(GROUP, GROUP.node_groups[0], Reported())
