"""The agents' door: a port of its own, over TLS only, served by a thread of its own. Callers never meet it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api_schemas.agent.agent import AgentHello, AgentReport, Welcome
from controlplane.api.agent_requests import Guard
from controlplane.api.certificates import Certificates
from controlplane.api.listening import CannotServeError, Server
from controlplane.api.reports import Reports
from controlplane.clock import Clock
from controlplane.operations.enrolment import Enrolment
from controlplane.pki.peer import peer_of
from controlplane.pki.tls import PlaneTls

log = logging.getLogger("cachewright.agents")

_REFRESH_EVERY = 3600.0  # seconds between two looks at whether our certificate is to be renewed
_START_WITHIN = 30.0  # seconds


def agents_app(enrolment: Enrolment, welcome: Callable[[AgentHello], Welcome], take: Callable[[AgentReport], bool],
               largest_body: int) -> Starlette:  # fmt: skip
    """All that agents may ask for."""
    guard = Guard(largest_body)
    return Starlette(routes=[*Certificates(guard, enrolment).routes(), *Reports(guard, enrolment.check, welcome, take).routes()])


class PeerProtocol(HttpToolsProtocol):
    """Tells the application whose certificate the connection has shown: ``request.state.peer``."""

    def connection_made(self, transport: Any) -> None:
        """The handshake is over, and has verified the certificate if there is one."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": peer_of(transport.get_extra_info("ssl_object"))}

    def shutdown(self) -> None:
        """Let an idle connection go at once: a farewell of TLS waits for an answer, which nobody gives who is not listening just then."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class AgentsDoor:
    """Serves ``app`` on the listener from ``start`` until ``close``."""

    def __init__(self, app: ASGIApp, tls: PlaneTls, clock: Clock, listener: socket.socket) -> None:
        self._tls = tls
        self._clock = clock
        self._listener = listener
        self._serving, self._closing = threading.Event(), threading.Event()
        self._server = Server(_config(app, tls), self._serving.set)
        self._threads = [
            threading.Thread(target=self._serve, name="agents-door", daemon=True),
            threading.Thread(target=self._keep_fresh, name="agents-door-certificate", daemon=True),
        ]

    def start(self) -> None:
        """Return once agents are answered. Raises CannotServeError."""
        for thread in self._threads:
            thread.start()
        if not self._serving.wait(_START_WITHIN):
            raise CannotServeError("the agents' door did not open; see the log")

    def close(self) -> None:
        """Answer nobody any more."""
        self._closing.set()
        self._server.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])

    def _keep_fresh(self) -> None:
        while not self._closing.wait(_REFRESH_EVERY):
            self._tls.refresh(self._clock.now())


def _config(app: ASGIApp, tls: PlaneTls) -> uvicorn.Config:
    config = uvicorn.Config(app, loop="uvloop", http=PeerProtocol, log_config=None, access_log=False, lifespan="off",
                            timeout_graceful_shutdown=1, timeout_keep_alive=75, ws="none", server_header=False)  # fmt: skip
    config.load()
    config.ssl = tls.server
    return config
