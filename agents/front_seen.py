"""What a node sees of the front that the agent's relay has before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.engines.engine import Observation
from api_schemas.agent.node import NodeSpec


@dataclass(frozen=True)
class FrontSeen:
    """Whether it listens at the node's address, with which version of the list of nodes, and why it cannot; which endpoints it holds."""

    listening: bool = False
    discovery: int = 0
    problem: str | None = None
    holds: frozenset[str] = frozenset()


def is_fronted(spec: NodeSpec) -> bool:
    """Whether a front stands before the node: Memcached's, or one that speaks TLS for an engine."""
    return spec.front or (spec.transit is not None and not spec.transit.native)


def with_front(seen: Observation, spec: NodeSpec, front: FrontSeen) -> Observation:
    """What is seen of a node, whose endpoints are its front's."""
    return replace(seen, holds=front.holds) if is_fronted(spec) else seen
