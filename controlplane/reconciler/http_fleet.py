"""The fleet port over HTTP and TLS: orders for agents that are programs of their own, perhaps on other hosts."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from api_schemas.agent.agent import Orders
from api_schemas.agent.examination import ExaminationOrder, ExaminationState
from api_schemas.agent.identity import agent_host
from api_schemas.agent.logs import AgentLogs, LogsWanted
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from api_schemas.shape import Shape
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError

S = TypeVar("S", bound=Shape)

_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_SHORT = httpx.Timeout(2.0, connect=1.0)  # somebody waits for the answer, who would rather have those of all others
_LIMITS = httpx.Limits(max_keepalive_connections=None, keepalive_expiry=60.0)  # an agent keeps an idle connection for longer
_WARM_EVERY = 20.0  # seconds; in less time than an idle connection is kept


class HttpFleet:
    """Delivers orders to where each agent said that it takes them, over connections that are kept: a failover is no time for a handshake.

    The agent there must show its own certificate before it is told anything. ``context`` answers the TLS that shows ours; ``urls`` where
    an agent is, None while it is unknown or silent: then nothing is tried, for that would hold up the orders of all others.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], urls: Callable[[str], str | None], warm_every: float = _WARM_EVERY) -> None:
        self._context = context
        self._urls = urls
        self._warm_every = warm_every
        self._known: set[str] = set()
        self._making = threading.Lock()
        self._client: httpx.Client | None = None
        self._closing = threading.Event()
        self._warmer = threading.Thread(target=self._keep_warm, name="fleet-warmer", daemon=True)

    def push(self, agent: str, orders: Orders) -> None:
        """Returns once the agent has written the orders down. Raises AgentUnreachableError."""
        answer = self._asked(agent, "PUT", "orders", orders, _TIMEOUT)
        if answer.status_code != 204:
            raise AgentUnreachableError(f"agent {agent} refused its orders with {_refusal(answer)}")

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        """What the agent measures now. Raises AgentUnreachableError."""
        answer = self._asked(agent, "POST", "metrics", wanted, _SHORT)
        return _told(answer, AgentMetrics, agent, "does not say what it measures")

    def logs(self, agent: str, wanted: LogsWanted) -> AgentLogs:
        """What has come to the logs of the agent's nodes. Raises AgentUnreachableError."""
        answer = self._asked(agent, "POST", "logs", wanted, _TIMEOUT)
        return _told(answer, AgentLogs, agent, "does not tell logs")

    def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
        """Begin an examination, or ask how far it is. Raises AgentUnreachableError, ExaminationRefusedError."""
        answer = self._asked(agent, "POST", "examinations", order, _TIMEOUT)
        if answer.status_code == 400:
            raise ExaminationRefusedError(f"agent {agent} refuses the examination with {_refusal(answer)}")
        return _told(answer, ExaminationState, agent, "does not examine")

    def cancel_examination(self, agent: str, name: str) -> None:
        """End an examination and forget it. Raises AgentUnreachableError."""
        answer = self._asked(agent, "DELETE", f"examinations/{quote(name, safe='')}", None, _TIMEOUT)
        if answer.status_code != 204:
            raise AgentUnreachableError(f"agent {agent} does not cancel {name}: {_refusal(answer)}")

    def _asked(self, agent: str, method: str, what: str, said: Shape | None, patience: httpx.Timeout) -> httpx.Response:
        """The agent's answer. Raises AgentUnreachableError when there is none."""
        url = self._urls(agent)
        if url is None:
            raise AgentUnreachableError(f"agent {agent} has not joined, or was not heard for a while")
        if not url.startswith("https://"):  # so said an agent of former times; it is to join again
            raise AgentUnreachableError(f"agent {agent} has not joined over TLS, and nobody is given orders otherwise")
        self._known.add(agent)
        try:
            return self._send(agent, method, f"{url.rstrip('/')}/v1/{what}", said.model_dump_json() if said else "", patience)
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            why = str(failed) or type(failed).__name__
            raise AgentUnreachableError(f"agent {agent} does not answer at {url}: {why}") from failed

    def close(self) -> None:
        """Let the connections go."""
        self._closing.set()
        with self._making:
            client = self._client
        if client is not None:
            self._warmer.join(1)
            client.close()

    def _send(self, agent: str, method: str, at: str, body: str, patience: httpx.Timeout) -> httpx.Response:
        """A connection that was closed since it was used last is no news about the agent: everything here may be sent twice."""
        client = self._opened()
        meant, named = {"Cachewright-Agent": agent}, {"sni_hostname": agent_host(agent)}
        try:
            return client.request(method, at, content=body, headers=meant, extensions=named, timeout=patience)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return client.request(method, at, content=body, headers=meant, extensions=named, timeout=patience)

    def _opened(self) -> httpx.Client:
        with self._making:
            if self._client is None:
                self._client = httpx.Client(verify=self._context(), headers={"Content-Type": "application/json"}, timeout=_TIMEOUT,
                                            limits=_LIMITS, trust_env=False)  # fmt: skip
                self._warmer.start()
            return self._client

    def _keep_warm(self) -> None:
        """Ask every agent how it is, so that its connection does not go cold."""
        while not self._closing.wait(self._warm_every):
            for agent in sorted(self._known):
                url = self._urls(agent)
                if url is not None and url.startswith("https://"):
                    with suppress(httpx.HTTPError, httpx.InvalidURL):
                        self._opened().get(f"{url.rstrip('/')}/healthz", extensions={"sni_hostname": agent_host(agent)})


def _told(answer: httpx.Response, shape: type[S], agent: str, refusal: str) -> S:
    """What the agent answered. Raises AgentUnreachableError for a refusal, such as 404 from one of a former version, and for nonsense."""
    if answer.status_code != 200:
        raise AgentUnreachableError(f"agent {agent} {refusal}: {_refusal(answer)}")
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as wrong:
        raise AgentUnreachableError(f"what agent {agent} answers makes no sense: {wrong.error_count()} problems") from wrong


def _refusal(answer: httpx.Response) -> str:
    return f"{answer.status_code} at {answer.url}: {answer.text[:500]}"
