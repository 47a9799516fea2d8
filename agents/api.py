"""Where an agent takes orders: a small HTTP door over TLS, for the control plane and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agents.supervisor import AgentSilentError, Supervisor
from api_schemas.agent.agent import Orders
from api_schemas.agent.examination import ExaminationOrder
from api_schemas.agent.identity import Identity, identity_in
from api_schemas.agent.logs import LogsWanted
from api_schemas.agent.metrics import MetricsWanted
from api_schemas.shape import Shape

log = logging.getLogger("cachewright.agent")

Asked = TypeVar("Asked", bound=Shape)

LARGEST_BODY = 16 * 1024 * 1024  # bytes; some thousand nodes


class RefusedError(Exception):
    """The request is refused; with the status, a code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class OrderDoor:
    """Hands orders to the supervisor of this host, from who has the certificate of a control plane."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._complaint = ""

    def app(self) -> Starlette:
        """The routes."""
        routes = [
            Route("/v1/orders", self.take, methods=["PUT"]),
            Route("/v1/reports", self.show, methods=["GET"]),
            Route("/v1/metrics", self.measure, methods=["POST"]),  # it changes nothing, but asks for more than a path can hold
            Route("/v1/logs", self.logs, methods=["POST"]),
            Route("/v1/examinations", self.examine, methods=["POST"]),
            Route("/v1/examinations/{name}", self.cancel_examination, methods=["DELETE"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={RefusedError: _refuse})

    async def take(self, request: Request) -> Response:
        """204 once the orders are written down."""
        self._admit(request)
        self._must_be_meant(request)
        orders = _understood(Orders, await _body(request), "orders")
        try:
            await run_in_threadpool(self._supervisor.take, orders)
        except ValueError as wrong:  # a key that is no file name, an engine that nobody knows how to talk to
            raise RefusedError(400, "InvalidParameterValue", str(wrong)) from wrong
        except AgentSilentError as silent:
            raise RefusedError(503, "ServiceUnavailable", str(silent)) from silent
        return Response(status_code=204)

    async def show(self, request: Request) -> Response:
        """The newest report of every node and route."""
        self._admit(request)
        return Response(self._supervisor.newest().model_dump_json(), media_type="application/json")

    async def measure(self, request: Request) -> Response:
        """What the nodes measure now."""
        self._admit(request)
        self._must_be_meant(request)
        wanted = _understood(MetricsWanted, await _body(request), "question")
        try:
            measured = await run_in_threadpool(self._supervisor.measure, wanted)
        except AgentSilentError as silent:
            raise RefusedError(503, "ServiceUnavailable", str(silent)) from silent
        return Response(measured.model_dump_json(exclude_defaults=True), media_type="application/json")

    async def logs(self, request: Request) -> Response:
        """What has come to the logs of nodes."""
        self._admit(request)
        self._must_be_meant(request)
        wanted = _understood(LogsWanted, await _body(request), "question")
        try:
            told = await run_in_threadpool(self._supervisor.logs, wanted)
        except AgentSilentError as silent:
            raise RefusedError(503, "ServiceUnavailable", str(silent)) from silent
        return Response(told.model_dump_json(exclude_defaults=True), media_type="application/json")

    async def examine(self, request: Request) -> Response:
        """How far an examination is, which is begun if it is not known."""
        self._admit(request)
        self._must_be_meant(request)
        order = _understood(ExaminationOrder, await _body(request), "order")
        try:
            state = await run_in_threadpool(self._supervisor.examine, order)
        except ValueError as wrong:
            raise RefusedError(400, "InvalidParameterValue", str(wrong)) from wrong
        except AgentSilentError as silent:
            raise RefusedError(503, "ServiceUnavailable", str(silent)) from silent
        return Response(state.model_dump_json(), media_type="application/json")

    async def cancel_examination(self, request: Request) -> Response:
        """204 whether there was one of that name or not."""
        self._admit(request)
        self._must_be_meant(request)
        try:
            await run_in_threadpool(self._supervisor.cancel_examination, request.path_params["name"])
        except AgentSilentError as silent:
            raise RefusedError(503, "ServiceUnavailable", str(silent)) from silent
        return Response(status_code=204)

    async def health(self, _: Request) -> Response:
        """200 while orders are taken."""
        return PlainTextResponse("ok\n")

    def _admit(self, request: Request) -> None:
        """Raises RefusedError for everybody but a control plane. Another agent is nobody here."""
        identity: Identity | None = getattr(request.state, "peer", None)
        if identity is not None and identity.is_control_plane:
            return
        self._complain(request, identity)
        if identity is None:
            raise RefusedError(401, "AccessDenied", "Orders need the certificate of the control plane that this agent has joined.")
        raise RefusedError(403, "AccessDenied", f"This is the certificate of {identity}; agents take no orders from agents.")

    def _complain(self, request: Request, identity: Identity | None) -> None:
        """Once for each stranger in a row, not for each attempt."""
        who = f"from={request.client.host if request.client else '-'} certificate={identity or 'none'}"
        if who != self._complaint:
            self._complaint = who
            log.warning("stranger refused  %s path=%s", who, request.url.path)

    def _must_be_meant(self, request: Request) -> None:
        """Raises RefusedError when the orders are another agent's that listened here before us."""
        name = self._supervisor.host.agent
        if request.headers.get("cachewright-agent", name) != name:
            raise RefusedError(421, "InvalidParameterValue", f"These orders are for another agent; this is {name}.")


class PeerProtocol(HttpToolsProtocol):
    """Tells the application whose certificate the connection has shown: ``request.state.peer``."""

    def connection_made(self, transport: Any) -> None:
        """The handshake is over, and has verified the certificate if there is one."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": identity_in(transport.get_extra_info("ssl_object").getpeercert())}

    def shutdown(self) -> None:
        """Let an idle connection go at once: a farewell of TLS waits for an answer, which nobody gives who is not listening just then."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class Server(uvicorn.Server):
    """Says when it is ready, and leaves the end of the process to us: engines are still to be saved."""

    def __init__(self, app: Starlette, context: ssl.SSLContext, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(app, loop="uvloop", http=PeerProtocol, log_config=None, access_log=False, lifespan="off",
                                ws="none", timeout_graceful_shutdown=1, timeout_keep_alive=75, server_header=False)  # fmt: skip
        config.load()
        config.ssl = context
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in order at SIGINT and SIGTERM; a second one does not cut the saving short."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def stop(self) -> None:
        """End after the requests under way."""
        self.should_exit = True


def _understood(shape: type[Asked], body: bytes, what: str) -> Asked:
    """The body as that shape. Raises RefusedError."""
    try:
        return shape.model_validate_json(body)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        told = f"The {what} make{'' if what.endswith('s') else 's'} no sense at {place or 'the top'}: {first['msg']}."
        raise RefusedError(400, "InvalidParameterValue", told) from None


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise RefusedError(413, "RequestEntityTooLarge", f"The body is larger than the {LARGEST_BODY} bytes that are read.")
        parts.append(part)
    return b"".join(parts)


async def _refuse(_: Request, refused: Exception) -> Response:
    if not isinstance(refused, RefusedError):
        raise refused
    headers = {"Connection": "close"} if refused.status in (401, 403) else None  # the body was not read
    return JSONResponse({"error": {"code": refused.code, "message": refused.message}}, refused.status, headers)
