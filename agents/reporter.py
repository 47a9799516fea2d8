"""Tells the control plane who we are and what changed, over HTTP and TLS. While it is away, the engines go on and it is tried again."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import httpx
from pydantic import ValidationError

from api_schemas.agent.agent import BEAT, AgentHello, AgentReport, ReportTaken, Welcome
from api_schemas.agent.identity import CONTROL_PLANE_HOST
from api_schemas.shape import Shape

log = logging.getLogger("cachewright.agent")

_PATIENCE = 2.0  # seconds for one answer
_CONNECT = 1.0  # seconds for a connection: whoever follows a leader whose host is gone must hear us within 2.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5  # seconds between attempts to join
_KEEP_ALIVE = 3.0  # seconds; less than the control plane keeps an idle connection, so that neither meets one the other has closed


class Joining(Protocol):
    """An agent, as far as joining goes."""

    def hello(self) -> AgentHello:
        """How it introduces itself."""

    def report_all(self) -> None:
        """Offer everything again."""

    def keys(self) -> frozenset[str]:
        """The keys of all its nodes."""

    def keep_only(self, keeps: Collection[str], of: Collection[str]) -> None:
        """Drop the nodes among ``of`` that are not to be kept."""

    @property
    def silent(self) -> bool:
        """Whether a fault has it say nothing."""


class NotTakenError(Exception):
    """The control plane did not answer, or refused; the text says which."""


class Reporter:
    """Speaks to one of the control planes at ``urls`` for one agent, from any thread. ``context`` shows the agent's certificate.

    Of several control planes one leads, and takes what we say; the others refuse, and the next one is asked.
    One report that fails means that we have to introduce ourselves again, and until that is done all others fail at once:
    those who look after engines must not wait for a control plane that is away.
    """

    def __init__(self, urls: Sequence[str], context: ssl.SSLContext) -> None:
        self._urls = urls
        self._spoken_to = 0
        self._client = httpx.Client(
            verify=context,
            headers={"Content-Type": "application/json"},
            timeout=httpx.Timeout(_PATIENCE, connect=_CONNECT),
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
            trust_env=False,
        )
        self._joined = False
        self._closing = False
        self.on_taken: Callable[[float], None] = lambda sent_at: None
        """Called with the time at which a word was sent that was taken."""
        self._stirred = threading.Event()  # contact was lost since we introduced ourselves, or we are closing
        self._hush = threading.Event()  # set once we are closing
        self._complaint = ""

    @property
    def url(self) -> str:
        """The control plane that is spoken to."""
        return self._urls[self._spoken_to % len(self._urls)]

    @property
    def joined(self) -> bool:
        """Whether the control plane knows us and took our last report."""
        return self._joined

    def report(self, said: AgentReport) -> bool:
        """Deliver a report; answers whether it was taken."""
        if not self._joined or self._closing:
            return False
        sent_at = time.monotonic()
        try:
            answer = ReportTaken.model_validate_json(self._post(f"/v1/agents/{said.agent}/reports", said))
        except (NotTakenError, ValidationError) as failed:
            self._lose(str(failed))
            return False
        if answer.unknown:
            self._lose("it does not know us any more")
            return False
        self.on_taken(sent_at)
        return True

    def stay_in_touch(self, agent: Joining) -> None:
        """Introduce the agent, send heartbeats, and introduce it again whenever contact was lost, until closed."""
        pause = 0.0
        while not self._closing:
            if agent.silent:
                self._hush.wait(_FIRST_PAUSE)
            elif not self._joined:
                self._stirred.clear()
                self._stirred.wait(pause)
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                self._introduce(agent)
            elif self._stirred.wait(BEAT):  # also a report that was under way while we introduced ourselves may have failed since
                self._joined = False
            elif self.report(AgentReport(agent=agent.hello().agent)):
                pause = 0.0

    def close(self) -> None:
        """Say no more."""
        self._closing = True
        self._hush.set()
        self._stirred.set()

    def _introduce(self, agent: Joining) -> None:
        self._stirred.clear()
        if self._closing:
            return
        had = agent.keys()  # what is ordered from now on may not be known to who answers
        welcome = self._welcome_by_any(agent)
        if welcome is None:
            return
        if welcome.keeps is not None:
            agent.keep_only(welcome.keeps, had)
        self._joined, self._complaint = True, ""
        log.info("joined  control_plane=%s", self.url)
        agent.report_all()

    def _welcome_by_any(self, agent: Joining) -> Welcome | None:
        """The answer of the first that takes our introduction, beginning with the one spoken to last."""
        for _ in self._urls:
            try:
                return Welcome.model_validate_json(self._post("/v1/agents", agent.hello()))
            except (NotTakenError, ValidationError) as failed:
                self._complain(str(failed))
                self._spoken_to += 1
            if self._closing:
                return None
        return None

    def _post(self, path: str, body: Shape) -> bytes:
        """The answer's body. Raises NotTakenError."""
        try:
            answer = self._client.post(self.url + path, content=body.model_dump_json(), extensions={"sni_hostname": CONTROL_PLANE_HOST})
        except httpx.HTTPError as failed:
            raise NotTakenError(f"it does not answer: {str(failed) or type(failed).__name__}") from failed
        if answer.status_code != 200:
            raise NotTakenError(f"it answered {answer.status_code}: {answer.text[:500]}")
        return answer.content

    def _lose(self, why: str) -> None:
        self._joined = False
        self._stirred.set()
        self._complain(why)

    def _complain(self, why: str) -> None:
        """Once for each reason in a row, not for each attempt."""
        if why != self._complaint and not self._closing:
            self._complaint = why
            log.warning("the control plane did not take what we said, trying again  control_plane=%s because=%s", self.url, why)
