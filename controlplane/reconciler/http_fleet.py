"""The fleet port over HTTP: orders for agents that are programs of their own, perhaps on other hosts."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from api_schemas.agent.agent import Orders
from controlplane.reconciler.fleet import AgentUnreachableError

_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_LIMITS = httpx.Limits(max_keepalive_connections=None, keepalive_expiry=30.0)  # an agent keeps an idle connection for longer


class HttpFleet:
    """Delivers orders to where each agent said that it takes them, over connections that are kept.

    ``urls`` answers where that is, None while the agent is unknown or silent: then nothing is tried, for that would hold up
    the orders of all others.
    """

    def __init__(self, token: str | None, urls: Callable[[str], str | None]) -> None:
        self._urls = urls
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token or ''}", "Content-Type": "application/json"},
                                    timeout=_TIMEOUT, limits=_LIMITS, trust_env=False)  # fmt: skip

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""
        url = self._urls(agent)
        if url is None:
            raise AgentUnreachableError(f"agent {agent} has not joined, or was not heard for a while")
        body, meant = orders.model_dump_json(), {"Cachewright-Agent": agent}
        try:
            answer = self._client.put(f"{url.rstrip('/')}/v1/orders", content=body, headers=meant)
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            why = str(failed) or type(failed).__name__
            raise AgentUnreachableError(f"agent {agent} does not answer at {url}: {why}") from failed
        if answer.status_code != 204:
            why = f"{answer.status_code}: {answer.text[:500]}"
            raise AgentUnreachableError(f"agent {agent} refused its orders at {url} with {why}")

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
