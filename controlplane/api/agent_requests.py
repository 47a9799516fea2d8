"""Requests of agents: who they come from by certificate, how they are read, refused and answered. OpenAPI does not show them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api_schemas.faults import AccessDenied, Fault, ServiceUnavailable
from api_schemas.shape import Shape
from controlplane.api.body import read_body
from controlplane.api.problems import fault_of
from controlplane.pki.peer import Peer
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import StoreAwayError

log = logging.getLogger("cachewright.agents")

S = TypeVar("S", bound=Shape)
_MOST_REMEMBERED = 1000
_NOT_LEADING = "This control plane does not lead: another one listens to the agents, or will in a moment."


class Unidentified(AccessDenied):
    """The request came without what says whose it is."""

    code, status = "AccessDenied", 401


class Guard:
    """Makes endpoints of functions that answer with a shape; says once in the log who is refused and why, not at each of its attempts."""

    def __init__(self, largest_body: int) -> None:
        self._largest_body = largest_body
        self._refused: dict[str, str] = {}

    def guarded(self, answer: Callable[[Request], Awaitable[Shape]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint."""

        async def endpoint(request: Request) -> Response:
            try:
                said = await answer(request)
            except NotLeadingError:
                return _problem(ServiceUnavailable(_NOT_LEADING))
            except StoreAwayError as away:
                return _problem(ServiceUnavailable(f"The database of the control plane does not answer: {away}"))
            except Fault as fault:
                if isinstance(fault, AccessDenied):
                    self._note(request, fault)
                return _problem(fault)
            return Response(said.model_dump_json(), media_type="application/json")

        return endpoint

    async def read(self, request: Request, shape: type[S], largest: int | None = None) -> S:
        """The request's body. Raises a Fault."""
        body = await read_body(request, largest or self._largest_body)
        try:
            return shape.model_validate_json(body)
        except ValidationError as problem:
            raise fault_of(problem, shape, aws=False) from None

    def _note(self, request: Request, fault: Fault) -> None:
        peer = peer_in(request)
        who = f"from={request.client.host if request.client else '-'} certificate={peer.identity if peer else 'none'!s}"
        if self._refused.get(who) != fault.message:
            if len(self._refused) >= _MOST_REMEMBERED:
                self._refused.clear()
            self._refused[who] = fault.message
            log.warning("agent refused  %s because=%s", who, fault.message)


def peer_in(request: Request) -> Peer | None:
    """Who has sent the request, if it has shown a certificate of ours."""
    peer: Peer | None = getattr(request.state, "peer", None)
    return peer


def must_be_known(request: Request) -> Peer:
    """Who has sent the request. Raises Unidentified."""
    peer = peer_in(request)
    if peer is None:
        raise Unidentified("This needs the certificate of an agent, which agents get with a join token: see docs/agents.md.")
    return peer


def _problem(fault: Fault) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id} | ({"WWW-Authenticate": "Bearer"} if fault.status == 401 else {})
    if isinstance(fault, AccessDenied):
        headers["Connection"] = "close"  # the body was not read
    body = {"error": {"code": fault.code, "message": fault.message, "request_id": request_id}}
    return JSONResponse(body, fault.status, headers)
