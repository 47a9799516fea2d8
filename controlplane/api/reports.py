"""Where agents of other processes join and report. Not for callers: it needs the join token, and OpenAPI does not show it."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api_schemas.agent.agent import AgentHello, AgentReport, ReportTaken, Welcome
from api_schemas.faults import AccessDenied, Fault, InvalidParameterValue
from api_schemas.shape import Shape
from controlplane.api.body import read_body
from controlplane.api.join_token import bearer_of, is_same
from controlplane.api.problems import fault_of
from controlplane.store.leadership import NotLeadingError

_NAME = re.compile(r"[a-z0-9-]{1,63}")
_ZONE = re.compile(r"[a-z]{2}(-[a-z0-9]+)+-\d{1,2}[a-z]")
_LONGEST_URL = 512

_CLOSED = ("Agents of other processes cannot join: no join token is configured. "
           "Start the control plane with --join-token-file FILE, and give the agents the same file.")  # fmt: skip

S = TypeVar("S", bound=Shape)


class JoinDoor:
    """Answers agents that know the token. Without a token it answers nobody.

    ``welcome`` takes an introduction, ``take`` a report, answering whether the agent is known.
    """

    def __init__(self, token: str | None, welcome: Callable[[AgentHello], Welcome], take: Callable[[AgentReport], bool],
                 largest_body: int) -> None:  # fmt: skip
        self._token = token
        self._welcome = welcome
        self._take = take
        self._largest_body = largest_body

    def routes(self) -> list[Route]:
        """What is to be mounted before the REST door."""
        return [
            Route("/v1/agents", self._guarded(self._introduce), methods=["POST"]),
            Route("/v1/agents/{agent}/reports", self._guarded(self._report), methods=["POST"]),
        ]

    async def _introduce(self, request: Request) -> Shape:
        hello = await self._read(request, AgentHello)
        _check(hello)
        return await run_in_threadpool(self._welcome, hello)

    async def _report(self, request: Request) -> Shape:
        report = await self._read(request, AgentReport)
        if report.agent != request.path_params["agent"]:
            raise InvalidParameterValue("The report is by another agent than the path says.")
        return ReportTaken(unknown=not await run_in_threadpool(self._take, report))

    def _guarded(self, answer: Callable[[Request], Awaitable[Shape]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                if refusal := self._refusal(request):
                    return refusal
                return Response((await answer(request)).model_dump_json(), media_type="application/json")
            except NotLeadingError:
                return _not_leading()
            except Fault as fault:
                return _problem(fault, fault.status)

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        """What to answer to who does not know the token; its request is not read."""
        if self._token is None:
            return _problem(AccessDenied(_CLOSED), 403)
        given = bearer_of(request.headers.get("authorization"))
        if given is None:
            return _problem(AccessDenied("Joining needs the header Authorization: Bearer with the join token."), 401)
        if not is_same(given, self._token):
            return _problem(AccessDenied("This is not the join token of this control plane."), 403)
        return None

    async def _read(self, request: Request, shape: type[S]) -> S:
        body = await read_body(request, self._largest_body)
        try:
            return shape.model_validate_json(body)
        except ValidationError as problem:
            raise fault_of(problem, shape, aws=False) from None


def _check(hello: AgentHello) -> None:
    """Raises InvalidParameterValue for what must not be written down."""
    if not _NAME.fullmatch(hello.agent):
        raise InvalidParameterValue("agent must be 1 to 63 lower case letters, digits and hyphens.")
    if not _ZONE.fullmatch(hello.zone):
        raise InvalidParameterValue("zone must be an availability zone such as us-east-1b.")
    try:
        ipaddress.IPv4Network(hello.network)
    except ValueError as wrong:
        raise InvalidParameterValue(f"network must be a network such as 127.102.9.0/24: {wrong}") from None
    if not _is_reachable(hello.url):
        raise InvalidParameterValue("url must be where the agent takes orders, such as http://127.0.0.1:8401.")


def _is_reachable(url: str | None) -> bool:
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password) and port != 0
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and len(url or "") <= _LONGEST_URL


def _not_leading() -> Response:
    """The agent is to ask another control plane: one that does not lead must not let it believe that it is heard."""
    told = "This control plane does not lead: another one listens to the agents, or will in a moment."
    return JSONResponse({"error": {"code": "ServiceUnavailable", "message": told}}, 503)


def _problem(fault: Fault, status: int) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id} | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    body = {"error": {"code": fault.code, "message": fault.message, "request_id": request_id}}
    return JSONResponse(body, status, headers)
