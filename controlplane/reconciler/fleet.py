"""The fleet port: how orders reach an agent. Implemented by a direct call (embedded) and over HTTP; both pass one contract suite."""

from __future__ import annotations

from typing import Protocol

from api_schemas.agent.agent import Orders


class AgentUnreachableError(Exception):
    """The agent did not take the orders; they will be offered again."""


class Fleet(Protocol):
    """Delivers levels to agents. Delivering one twice changes nothing."""

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""
