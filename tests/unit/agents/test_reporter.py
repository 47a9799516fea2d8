"""An agent stays in touch: with a stand-in for the connection, so that what fails fails at the wrong moment."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Collection

from factories import an_agent
from waiting import wait_until

from agents.reporter import NotTakenError, Reporter
from api_schemas.agent.agent import AgentHello, AgentReport, ReportTaken, Welcome
from api_schemas.shape import Shape


class Agent:
    """It has no nodes."""

    silent = False

    def hello(self) -> AgentHello:
        return an_agent("agent-a", "us-east-1a")

    def report_all(self) -> None:
        """There is nothing to offer."""

    def keys(self) -> frozenset[str]:
        return frozenset()

    def keep_only(self, keeps: Collection[str], of: Collection[str]) -> None:
        """There is nothing to drop."""


class Connection(Reporter):
    """While it introduces itself anew, a report fails that was under way before contact was lost."""

    def __init__(self) -> None:
        super().__init__(["https://first"], ssl.create_default_context())
        self.introductions = 0
        self.words = 0
        self.is_cut = False
        self._late = threading.Thread(target=self.report, args=(AgentReport(agent="agent-a", full=True),))
        self._under_way, self._fails = threading.Event(), threading.Event()

    def cut(self) -> None:
        """The late report is on its way, and nothing is answered any more until we introduce ourselves."""
        self._late.start()
        self._under_way.wait(5)
        self.is_cut = True

    def _post(self, path: str, body: Shape) -> bytes:
        if path == "/v1/agents":
            return self._answer_introduction()
        if isinstance(body, AgentReport) and body.full:
            self._under_way.set()
            self._fails.wait(5)
            raise NotTakenError("late")
        if self.is_cut:
            raise NotTakenError("cut")
        self.words += 1
        return ReportTaken(unknown=False).model_dump_json().encode()

    def _answer_introduction(self) -> bytes:
        self.introductions += 1
        if self.is_cut:
            self._fails.set()
            self._late.join(5)
            self.is_cut = False
        return Welcome(keeps=[]).model_dump_json().encode()


def test_a_report_that_fails_while_we_introduce_ourselves_does_not_silence_us() -> None:
    connection = Connection()
    talking = threading.Thread(target=connection.stay_in_touch, args=(Agent(),))
    talking.start()
    try:
        wait_until(lambda: connection.words > 0)
        connection.cut()
        wait_until(lambda: connection.introductions > 1)
        said = connection.words
        wait_until(lambda: connection.words > said + 1, within=5)
    finally:
        connection.close()
        talking.join()
