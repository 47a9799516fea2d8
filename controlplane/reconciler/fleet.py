"""The fleet port: how orders reach an agent, and what it measures reaches us. By a direct call (embedded) and over HTTP; both pass one
contract suite."""

from __future__ import annotations

from typing import Protocol

from api_schemas.agent.agent import Orders
from api_schemas.agent.examination import ExaminationOrder, ExaminationState
from api_schemas.agent.logs import AgentLogs, LogsWanted
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted


class AgentUnreachableError(Exception):
    """The agent did not take the orders, which will be offered again, or did not answer a question."""


class ExaminationRefusedError(Exception):
    """The agent will not do that examination, however often it is asked; the text says why."""


class Fleet(Protocol):
    """Delivers levels to agents. Delivering one twice changes nothing."""

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        """What the agent measures of its nodes now, within two seconds or so. Raises AgentUnreachableError."""

    def logs(self, agent: str, wanted: LogsWanted) -> AgentLogs:
        """What has come to the logs of the agent's nodes. Raises AgentUnreachableError."""

    def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
        """Have the agent begin an examination, or say how far the one of that name is.

        What ended some minutes ago, or was under way when the agent ended, is not known any more, and begins anew. Raises
        AgentUnreachableError, ExaminationRefusedError.
        """

    def cancel_examination(self, agent: str, name: str) -> None:
        """Have the agent end an examination and forget it; nothing happens where there is none. Raises AgentUnreachableError."""
