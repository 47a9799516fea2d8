"""The end of an agent's membership."""

from __future__ import annotations

from api_schemas.enrolment import REMOVE_AGENT, RemoveAgent, RemovedAgent
from api_schemas.faults import AgentNotFound, InvalidParameterValue
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(REMOVE_AGENT)
def remove_agent(ctx: Context, asked: RemoveAgent) -> RemovedAgent:
    """Forget the agent: its certificate is refused from now on, and its name is free. Its nodes must be gone before."""
    hello, certified = ctx.unit.agents.get(asked.agent), ctx.unit.certified_agents.get(asked.agent)
    if hello is None and certified is None:
        raise AgentNotFound(asked.agent)
    if hello is not None and hello.url is None:
        raise InvalidParameterValue(f"{asked.agent} is an agent inside the control plane; it cannot be removed.")
    used_by = sorted(_users(ctx, asked.agent))
    if used_by:
        told = f"Agent {asked.agent} is in use by {', '.join(used_by)}. Delete these first, or have them leave its zone."
        raise InvalidParameterValue(told)
    ctx.unit.certified_agents.forget(asked.agent)
    if hello is not None:
        ctx.unit.agents.forget(asked.agent)
    return RemovedAgent(agent=asked.agent)


def _users(ctx: Context, agent: str) -> set[str]:
    """Names of the groups and caches of any world that have a node or a reader endpoint with the agent."""
    return {
        topology.name
        for topology in ctx.unit.topologies.all()
        if topology.reader_agent == agent or any(node.placement is not None and node.placement.agent == agent for node in topology.nodes)
    }
