"""Hosts are emptied, and used again."""

from __future__ import annotations

from collections.abc import Iterator

from api_schemas.faults import AgentNotFound
from api_schemas.host import DRAIN_AGENT, UNDRAIN_AGENT, DrainAgent, Drained, UndrainAgent
from controlplane.domain.topology import Node, NodeGroup, Topology
from controlplane.operations.context import Context
from controlplane.operations.lab import shown_agent
from controlplane.operations.performs import performs


@performs(DRAIN_AGENT)
def drain_agent(ctx: Context, asked: DrainAgent) -> Drained:
    """The planner moves its nodes from now on; those of every world, for a host is everybody's."""
    return _drained(ctx, asked.agent, draining=True)


@performs(UNDRAIN_AGENT)
def undrain_agent(ctx: Context, asked: UndrainAgent) -> Drained:
    """What has moved stays where it is."""
    return _drained(ctx, asked.agent, draining=False)


def _drained(ctx: Context, name: str, *, draining: bool) -> Drained:
    hello = ctx.unit.agents.get(name)
    if hello is None:
        raise AgentNotFound(name)
    if ctx.unit.agents.is_draining(name) != draining:
        ctx.unit.agents.drain(name, draining)
        ctx.unit.woken.update(topology.uid for topology in ctx.unit.topologies.all())
    return Drained(agent=shown_agent(ctx, hello), staying=list(_staying(ctx, name)) if draining else [])


def _staying(ctx: Context, agent: str) -> Iterator[str]:
    """Nodes that have nowhere to go, as far as is certain now."""
    for topology in ctx.unit.topologies.all():
        for group in topology.node_groups:
            for node in group.staying:
                if node.placement is not None and node.placement.agent == agent and (why := _why_it_stays(topology, group, node)):
                    yield f"{node.id} of {topology.name}: {why}"


def _why_it_stays(topology: Topology, group: NodeGroup, node: Node) -> str | None:
    if topology.is_memcached or len(group.staying) > 1:
        return None
    return "it is the only one with its data; add a replica, or delete it"
