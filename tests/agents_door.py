"""An agents' door over a database of its own, and those who come to it with a certificate, or without."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from agents.credentials import Credentials
from agents.tls import AgentTls
from api_schemas.agent.agent import AgentHello, AgentReport
from api_schemas.agent.identity import CONTROL_PLANE_HOST
from api_schemas.agent.joining import CertificateWanted
from controlplane.api.agents_door import AgentsDoor, agents_app
from controlplane.api.listening import listen, url_of
from controlplane.clock import SystemClock
from controlplane.operations.enrolment import Enrolment
from controlplane.pki.authority import Authority, new_authority
from controlplane.pki.tls import PlaneTls
from controlplane.reconciler.http_fleet import HttpFleet
from controlplane.store.store import Store

CLOCK = SystemClock()


class OpenDoor:
    """The door is open from the beginning, and again wherever it was whenever ``open`` is called after ``stop``."""

    def __init__(self, folder: Path, welcome: Callable[[AgentHello], None], take: Callable[[AgentReport], bool],
                 largest_body: int = 1_000_000) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        self.store = Store(f"sqlite:///{folder / 'door.db'}")
        self.enrolment = Enrolment(self.store, CLOCK)
        self.tls = PlaneTls(self.enrolment.authority, CLOCK.now())
        self._app = agents_app(self.enrolment, welcome, take, largest_body)
        self._port = 0
        self.open()

    def open(self) -> None:
        listener = listen("127.0.0.1", self._port)
        self.url, self._port = url_of(listener, "https"), listener.getsockname()[1]
        self._door = AgentsDoor(self._app, self.tls, CLOCK, listener)
        self._door.start()

    def stop(self) -> None:
        self._door.close()

    def close(self) -> None:
        self.stop()
        self.store.close()

    def fleet(self, urls: Callable[[str], str | None]) -> HttpFleet:
        return HttpFleet(lambda: self.tls.client, urls)

    def token(self) -> str:
        return self.enrolment.new_token().text

    def certify(self, folder: Path, agent: str, zone: str) -> AgentTls:
        """The TLS of an agent that has joined, its files in the folder."""
        folder.mkdir(exist_ok=True)
        credentials = Credentials(folder)
        wanted = CertificateWanted(agent=agent, zone=zone, signing_request=credentials.request(agent))
        credentials.keep(self.enrolment.certify(wanted).certificate, self.enrolment.authority.certificate)
        return AgentTls(credentials)

    def without_certificate(self) -> ssl.SSLContext:
        """A client that trusts the door and shows nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.enrolment.authority.certificate)
        return context


def another_plane() -> PlaneTls:
    """The TLS of a control plane of an authority that nobody here trusts."""
    return PlaneTls(Authority(new_authority(CLOCK.now())), CLOCK.now())


def ask(context: ssl.SSLContext, method: str, url: str, name: str = CONTROL_PLANE_HOST, **sent: Any) -> httpx.Response:
    """The answer of who must be called ``name``."""
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.request(method, url, extensions={"sni_hostname": name}, **sent)
