"""Renews the agent's certificate long before it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from agents.credentials import Credentials
from agents.joining import CannotJoinError, NoAnswerError, renew
from agents.tls import AgentTls
from api_schemas.agent.joining import CertificateWanted

log = logging.getLogger("cachewright.agent")

_LOOK_EVERY = 60.0  # seconds; whoever did not answer is asked again


class Renewal:
    """Looks after the certificate of one agent from ``keep`` until ``close``."""

    def __init__(self, url: Callable[[], str], agent: str, zone: str, credentials: Credentials, tls: AgentTls) -> None:
        """``url`` answers which control plane is to be asked."""
        self._url = url
        self._agent, self._zone = agent, zone
        self._credentials = credentials
        self._tls = tls
        self._closing = threading.Event()
        self._complaint = ""

    def keep(self, now: Callable[[], datetime]) -> None:
        """Look every minute from now on."""
        threading.Thread(target=self._repeat, args=(now,), name="renewal", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def look(self, now: datetime) -> bool:
        """Renew the certificate if it is due; answers whether there is another one."""
        if not self._credentials.is_due(now):
            return False
        wanted = CertificateWanted(agent=self._agent, zone=self._zone, signing_request=self._credentials.request(self._agent))
        try:
            self._credentials.keep(renew(self._url(), self._tls.client, wanted))
        except (CannotJoinError, NoAnswerError, ValueError) as failed:
            self._complain(str(failed))
            return False
        self._tls.refresh()
        self._complaint = ""
        log.info("certificate renewed  agent=%s until=%s", self._agent, self._credentials.lasts_until())
        return True

    def _repeat(self, now: Callable[[], datetime]) -> None:
        while not self._closing.wait(_LOOK_EVERY):
            self.look(now())

    def _complain(self, why: str) -> None:
        """Once for each reason in a row, not for each attempt."""
        if why != self._complaint:
            self._complaint = why
            until = self._credentials.lasts_until()
            log.warning("certificate not renewed, trying again  agent=%s until=%s because=%s", self._agent, until, why)
