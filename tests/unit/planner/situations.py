"""Situations that the tests of single rules begin with: everything works, but for what the test changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from factories import NOW, a_cache_cluster, a_group, a_sharded_group

from controlplane.domain.mesh import mesh_of
from controlplane.domain.reported import RUNNING, Reported, SeenAgent, SeenNode, SeenRoute
from controlplane.domain.resizing import Discovery
from controlplane.domain.settings import Settings
from controlplane.domain.topology import Binary, Endpoints, Placement, Topology
from controlplane.planner.decisions import Decision
from controlplane.planner.rules import Rule
from controlplane.planner.situation import Situation

VALKEY = Binary("valkey", "9.1.2", "/opt/valkey-server")
MEMCACHED = Binary("memcached", "1.6.18", "/usr/bin/memcached")
AGENTS = tuple(SeenAgent(f"agent-{zone}", zone, (VALKEY, MEMCACHED)) for zone in "abc")
PRIMARY_ADDRESS, READER_ADDRESS, CONFIGURATION_ADDRESS = "127.100.0.1", "127.100.0.2", "127.100.0.3"
FIRST, SECOND, THIRD = "orders-001", "orders-002", "orders-003"


def at_work(nodes: int = 3, **fields: Any) -> Situation:
    """The group ``orders`` does all that is desired of it: the first node is primary, the others replicate from it."""
    topology = _placed(a_group(nodes=nodes, **fields))
    topology = replace(topology, primary_address=PRIMARY_ADDRESS, reader_address=READER_ADDRESS, reader_agent="agent-a")
    topology = topology.with_group(replace(topology.node_groups[0], holder=FIRST))
    backends = tuple(f"{address_of(topology, node)}:6379" for node in [FIRST, SECOND, THIRD][1 if nodes > 1 else 0 : nodes])
    seen = {node.id: _replica(topology) for node in topology.nodes}
    proven = frozenset(topology.key(node.id) for node in topology.node_groups[0].replicas)
    seen[FIRST] = SeenNode(RUNNING, 1, "primary", 1, offset=1000, proven=proven, holds=frozenset({PRIMARY_ADDRESS}))
    reported = Reported(seen, SeenRoute(True, backends))
    return Situation(replace(topology, reader_backends=backends), reported, AGENTS, NOW)


def sharded_at_work(shards: int = 2, replicas: int = 1, **fields: Any) -> Situation:
    """The group ``orders`` in cluster mode does all that is desired of it, and every node sees the bus just so."""
    topology = _placed(a_sharded_group(shards=shards, replicas=replicas, **fields))
    first = topology.node_groups[0].primary
    topology = replace(topology, configuration_address=CONFIGURATION_ADDRESS, configuration_holder=first)
    now = Situation(topology, Reported({node.id: _at_duty(topology, node.id) for node in topology.nodes}), AGENTS, NOW)
    return seeing(now, first or "", holds=frozenset({CONFIGURATION_ADDRESS}))


def memcached_at_work(nodes: int = 2, **fields: Any) -> Situation:
    """The Memcached cluster ``sessions`` does all that is desired of it; the third list of its nodes is served."""
    topology = _placed(a_cache_cluster(nodes=nodes, **{"settings": Settings(fronted=True), **fields}))
    listed = Discovery(3, tuple(node.id for node in topology.nodes))
    topology = replace(topology, configuration_address=CONFIGURATION_ADDRESS, reader_agent="agent-a", discovery=listed)
    backends = tuple(f"{address_of(topology, node.id)}:11211" for node in topology.nodes)
    seen = {node.id: SeenNode(RUNNING, 1, "none", fronted=True, discovery=3) for node in topology.nodes}
    return Situation(topology, Reported(seen, SeenRoute(True, backends, discovery=3)), AGENTS, NOW)


def named(now: Situation) -> Situation:
    """The same, but its endpoints are names: nobody binds one, and no relay serves one."""
    topology = replace(now.topology, primary_address=None, reader_address=None, configuration_address=None, reader_agent=None)
    topology = replace(topology, endpoints=Endpoints.NAMED, configuration_holder=None)
    now = replace(now, topology=topology, reported=replace(now.reported, route=None))
    for node in now.reported.nodes:
        now = seeing(now, node, holds=frozenset())
    return now


def agreeing(now: Situation) -> Situation:
    """The same, but every node sees the bus as it is desired now."""
    mesh = mesh_of(now.topology)
    for node in now.reported.nodes:
        now = seeing(now, node, agrees=mesh.digest if mesh else None)
    return now


def unplaced(topology: Topology, *agents: SeenAgent) -> Situation:
    """A topology that nobody has done anything about yet."""
    return Situation(topology, Reported(), agents or AGENTS, NOW)


def seeing(now: Situation, node: str, **changes: Any) -> Situation:
    """The same, but something else was reported of the node."""
    former = now.reported.nodes.get(node) or SeenNode(RUNNING, 1)
    return replace(now, reported=replace(now.reported, nodes={**now.reported.nodes, node: replace(former, **changes)}))


def silent(now: Situation, *nodes: str) -> Situation:
    """The same, but nothing was ever reported of these nodes."""
    left = {node: seen for node, seen in now.reported.nodes.items() if node not in nodes}
    return replace(now, reported=replace(now.reported, nodes=left))


def routed(now: Situation, route: SeenRoute | None) -> Situation:
    """The same, but something else was reported of the reader route."""
    return replace(now, reported=replace(now.reported, route=route))


def desiring(now: Situation, **changes: Any) -> Situation:
    """The same, but something else is desired of the topology."""
    return replace(now, topology=replace(now.topology, **changes))


def grouped(now: Situation, place: int = 0, **changes: Any) -> Situation:
    """The same, but something else is desired of the node group, the first unless another is meant."""
    return replace(now, topology=now.topology.with_group(replace(now.topology.node_groups[place], **changes)))


def noded(now: Situation, node_id: str, **changes: Any) -> Situation:
    """The same, but something else is desired of one node."""
    node = next(node for node in now.topology.nodes if node.id == node_id)
    return replace(now, topology=now.topology.with_node(replace(node, **changes)))


def failover(now: Situation, *, automatic: bool) -> Situation:
    """The same, with automatic failover on or off."""
    return desiring(now, settings=replace(now.topology.settings, automatic_failover=automatic))


def later(now: Situation, **by: float) -> Situation:
    """The same, some time later."""
    return replace(now, now=now.now + timedelta(**by))


def decided(rule: Rule, now: Situation) -> list[Decision]:
    """What a rule decides, its reasons left out; each decision must have had one."""
    return list(_without_reasons(rule(now)))


def reason(rule: Rule, now: Situation) -> str:
    """The reason of the one decision that a rule yields."""
    (decision,) = rule(now)
    return decision.because


def address_of(topology: Topology, node_id: str) -> str:
    """The node's own address."""
    node = topology.node(node_id)
    assert node is not None
    assert node.placement is not None
    return node.placement.address


def _without_reasons(decisions: Iterator[Decision]) -> Iterator[Decision]:
    for decision in decisions:
        assert decision.because.strip(), f"no reason given for {decision}"
        yield replace(decision, because="")


def _placed(topology: Topology) -> Topology:
    binary = MEMCACHED if topology.is_memcached else VALKEY
    for number, node in enumerate(topology.nodes, start=1):
        place = Placement(f"agent-{node.zone[-1]}", f"127.101.0.{number}", binary)
        topology = topology.with_node(replace(node, placement=place))
    return topology


def _replica(topology: Topology) -> SeenNode:
    return SeenNode(RUNNING, 1, "replica", 1, follows=f"{address_of(topology, FIRST)}:6379", link_up=True, offset=1000)


def _at_duty(topology: Topology, node_id: str) -> SeenNode:
    """What is reported of a node in cluster mode that does its duty."""
    mesh, group = mesh_of(topology), topology.group_of(node_id)
    digest = mesh.digest if mesh else None
    if node_id == group.primary:
        proven = frozenset(topology.key(node.id) for node in group.replicas)
        return SeenNode(RUNNING, 1, "primary", group.epoch, offset=1000, proven=proven, agrees=digest)
    leader = f"{address_of(topology, group.primary or '')}:{topology.port}"
    return SeenNode(RUNNING, 1, "replica", group.epoch, follows=leader, link_up=True, offset=1000, agrees=digest)
