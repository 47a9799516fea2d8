"""What is ours beyond the service: hosts that are to be emptied."""

from __future__ import annotations

from api_schemas.lab import Agent
from api_schemas.operation import NOTHING, Operation
from api_schemas.shape import Shape


class DrainAgent(Shape):
    """Which agent's host is to be emptied."""

    agent: str


class UndrainAgent(Shape):
    """Which agent's host is to be used again."""

    agent: str


class Drained(Shape):
    """The agent as it is now. ``staying`` are the nodes that stay, each with the reason."""

    agent: Agent
    staying: list[str]


DRAIN_AGENT = Operation("DrainAgent", "POST /agents/{agent}/drain", DrainAgent, Drained,
                        "Empty an agent's host: its nodes move to others of their zone, primaries hand over.", ours=True,
                        in_engines="Primaries hand over as in TestFailover; each node is started on another host, copies its primary "
                                   "there, and is stopped on this one.")  # fmt: skip
UNDRAIN_AGENT = Operation("UndrainAgent", "POST /agents/{agent}/undrain", UndrainAgent, Drained,
                          "Use an agent's host again for new nodes.", ours=True, in_engines=NOTHING)  # fmt: skip
