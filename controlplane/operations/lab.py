"""What is ours beyond the service: agents, zones, and nodes with their processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from api_schemas.agent.agent import AgentHello
from api_schemas.lab import (
    DESCRIBE_AGENTS,
    DESCRIBE_NODES,
    DESCRIBE_ZONES,
    Agent,
    Agents,
    DescribeAgents,
    DescribeNodes,
    DescribeZones,
    InstalledEngine,
    Node,
    Nodes,
    Zone,
    Zones,
)
from controlplane.domain.hosts import Load
from controlplane.domain.reported import does_duty
from controlplane.domain.topology import Kind, NodeGroup, Topology
from controlplane.domain.topology import Node as DesiredNode
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.store.hosts import load_of


@performs(DESCRIBE_AGENTS)
def describe_agents(ctx: Context, asked: DescribeAgents) -> Agents:
    """Every agent, with the programs it offers."""
    load = load_of(ctx.unit)
    return Agents(agents=[_agent(ctx, hello, load.get(hello.agent, Load())) for hello in ctx.unit.agents.all()])


def shown_agent(ctx: Context, hello: AgentHello) -> Agent:
    """One agent, with the programs it offers."""
    return _agent(ctx, hello, load_of(ctx.unit).get(hello.agent, Load()))


def _agent(ctx: Context, hello: AgentHello, load: Load) -> Agent:
    return Agent(
        **hello.model_dump(include={"agent", "zone", "host", "runtime", "network", "faults", "memory", "cores"}),
        engines=[InstalledEngine(**binary.model_dump()) for binary in hello.engines],
        heard=ctx.unit.agents.is_heard(hello.agent),
        draining=ctx.unit.agents.is_draining(hello.agent),
        nodes=load.nodes,
        memory_used=load.memory,
    )


@performs(DESCRIBE_ZONES)
def describe_zones(ctx: Context, asked: DescribeZones) -> Zones:
    """One zone for each letter that an agent serves."""
    load = load_of(ctx.unit)
    by_letter: dict[str, list[str]] = {}
    for hello in ctx.unit.agents.all():
        by_letter.setdefault(hello.zone[-1:], []).append(hello.agent)
    return Zones(
        zones=[
            Zone(zone=f"{ctx.world.region}{letter}", agents=agents, nodes=sum(load[agent].nodes for agent in agents if agent in load))
            for letter, agents in sorted(by_letter.items())
        ]
    )


@performs(DESCRIBE_NODES)
def describe_nodes(ctx: Context, asked: DescribeNodes) -> Nodes:
    """The nodes of one resource, or of the whole world of the caller."""
    return Nodes(nodes=[_node(ctx, topology, group, node) for topology, group, node in _chosen(ctx, asked)])


def _chosen(ctx: Context, asked: DescribeNodes) -> Iterator[tuple[Topology, NodeGroup, DesiredNode]]:
    if asked.replication_group_id:
        topologies = [ctx.replication_group(asked.replication_group_id)]
    elif asked.cache_cluster_id:
        topologies = [ctx.cache_cluster(asked.cache_cluster_id)[0]]
    else:
        topologies = ctx.unit.topologies.of(ctx.world)
    only = asked.cache_cluster_id.lower() if asked.cache_cluster_id else None
    for topology in topologies:
        for group in topology.node_groups:
            for node in group.nodes:
                if only in (None, node.id, topology.name):
                    yield topology, group, node


def _node(ctx: Context, topology: Topology, group: NodeGroup, node: DesiredNode) -> Node:
    reported = ctx.reported(topology)
    seen, place = reported.of(node), node.placement
    desired = "none" if topology.is_memcached else "primary" if node.id == group.primary else "replica"
    binary = place.binary if place else None
    return Node(
        node=node.id,
        cache_cluster_id=topology.name if topology.is_memcached else node.id,
        replication_group_id=topology.name if topology.kind is Kind.REPLICATION_GROUP else None,
        node_group_id=group.id,
        zone=node.zone,
        agent=place.agent if place else None,
        address=place.address if place else None,
        port=topology.port,
        desired_role=desired,
        role=seen.role if seen else None,
        phase=seen.phase if seen else None,
        in_sync=does_duty(topology, group, node, reported),
        boot=node.boot,
        epoch=group.epoch,
        offset=seen.offset if seen and not topology.is_memcached else None,
        holds=sorted(seen.holds) if seen else [],
        process_id=seen.pid if seen else None,
        run_id=seen.run_id if seen else None,
        engine_binary=InstalledEngine(**asdict(binary)) if binary else None,
        problem=seen.problem if seen else None,
    )
