"""Where an agent takes orders: a small HTTP door for the control plane and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from agents.supervisor import AgentSilentError, Supervisor
from api_schemas.agent.agent import Orders

LARGEST_BODY = 16 * 1024 * 1024  # bytes; some thousand nodes


class RefusedError(Exception):
    """The request is refused; with the status, a code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class OrderDoor:
    """Hands orders to the supervisor of this host, for those who know the join token."""

    def __init__(self, supervisor: Supervisor, token: str) -> None:
        self._supervisor = supervisor
        self._token = token.encode()

    def app(self) -> Starlette:
        """The routes."""
        routes = [
            Route("/v1/orders", self.take, methods=["PUT"]),
            Route("/v1/reports", self.show, methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={RefusedError: _refuse})

    async def take(self, request: Request) -> Response:
        """204 once the orders are written down."""
        self._admit(request)
        self._must_be_meant(request)
        try:
            orders = Orders.model_validate_json(await _body(request))
        except ValidationError as wrong:
            first = wrong.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            told = f"The orders make no sense at {place or 'the top'}: {first['msg']}."
            raise RefusedError(400, "InvalidParameterValue", told) from None
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

    async def health(self, _: Request) -> Response:
        """200 while orders are taken."""
        return PlainTextResponse("ok\n")

    def _admit(self, request: Request) -> None:
        """Raises RefusedError for who does not know the token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise RefusedError(401, "AccessDenied", "Orders need the header Authorization: Bearer with the join token.")
        if not hmac.compare_digest(token.strip().encode(), self._token):
            raise RefusedError(403, "AccessDenied", "This is not the token that the agent has joined with.")

    def _must_be_meant(self, request: Request) -> None:
        """Raises RefusedError when the orders are another agent's that listened here before us."""
        name = self._supervisor.host.agent
        if request.headers.get("cachewright-agent", name) != name:
            raise RefusedError(421, "InvalidParameterValue", f"These orders are for another agent; this is {name}.")


class Server(uvicorn.Server):
    """Says when it is ready, and leaves the end of the process to us: engines are still to be saved."""

    def __init__(self, app: Starlette, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False, lifespan="off",
                                ws="none", timeout_graceful_shutdown=1, timeout_keep_alive=75, server_header=False)  # fmt: skip
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
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
    return JSONResponse({"error": {"code": refused.code, "message": refused.message}}, refused.status, headers)
