"""The end of an agent's membership."""

from __future__ import annotations

from api_schemas.enrolment import REMOVE_AGENT, RemoveAgent, RemovedAgent
from api_schemas.faults import AgentNotFound, InvalidParameterValue
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(REMOVE_AGENT)
def remove_agent(ctx: Context, asked: RemoveAgent) -> RemovedAgent:
    """Forget the agent: its certificate is refused from now on, and its name is free.

    Its nodes must be gone before, unless its host is ``lost``: then they move to other hosts of their zone, the last of a group emptied.
    """
    hello, certified = ctx.unit.agents.get(asked.agent), ctx.unit.certified_agents.get(asked.agent)
    if hello is None and certified is None:
        raise AgentNotFound(asked.agent)
    if hello is not None and hello.url is None:
        raise InvalidParameterValue(f"{asked.agent} is an agent inside the control plane; it cannot be removed.")
    if asked.lost and ctx.unit.agents.is_heard(asked.agent):
        raise InvalidParameterValue(f"Agent {asked.agent} is heard, so its host is not lost. Have it emptied: cachewright agent drain.")
    used_by = sorted(_users(ctx, asked.agent))
    if used_by and not asked.lost:
        raise InvalidParameterValue(
            f"Agent {asked.agent} is in use by {', '.join(used_by)}. Have its nodes leave with cachewright agent drain; or, if its host will "
            "never come back, say --lost: what only that host had is lost then."
        )
    if spreads := sorted(topology.name for topology in ctx.unit.topologies.all() if topology.reader_agent == asked.agent):
        raise InvalidParameterValue(f"Agent {asked.agent} serves endpoints of {', '.join(spreads)}. Delete these first.")
    ctx.unit.certified_agents.forget(asked.agent)
    if hello is not None:
        ctx.unit.agents.remove(asked.agent)
    _clear_leftovers(ctx, asked.agent)
    ctx.unit.woken.update(topology.uid for topology in ctx.unit.topologies.all())
    return RemovedAgent(agent=asked.agent)


def _clear_leftovers(ctx: Context, agent: str) -> None:
    """Nobody will say that what moved away from there is gone."""
    for topology in list(ctx.unit.topologies.all()):
        left = [leftover for leftover in topology.leftovers if leftover.agent == agent]
        for leftover in left:
            ctx.unit.addresses.release(leftover.address)
            topology = topology.without_leftover(leftover)
        if left:
            ctx.unit.topologies.save(topology)


def _users(ctx: Context, agent: str) -> set[str]:
    """Names of the groups and caches of any world that have a node or a reader endpoint with the agent."""
    return {
        topology.name
        for topology in ctx.unit.topologies.all()
        if topology.reader_agent == agent or any(node.placement is not None and node.placement.agent == agent for node in topology.nodes)
    }
