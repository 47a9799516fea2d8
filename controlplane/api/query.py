"""The AWS Query door: a form in, XML out. A plain route that pays for nothing it does not use."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api_schemas.faults import (
    Fault,
    InternalFailure,
    InvalidAction,
    MalformedQueryString,
    MissingAction,
    OperationNotBuilt,
)
from api_schemas.operation import Operation
from api_schemas.shape import Shape
from controlplane.api.body import read_body
from controlplane.api.caller import Callers
from controlplane.api.holding import IN_DATABASE, Holding
from controlplane.api.problems import fault_of
from controlplane.api.wire import Wire, shortened
from controlplane.domain.topology import World
from controlplane.operations.performs import Operations, kept_promises

log = logging.getLogger("cachewright.api")

_XML = "text/xml"
_FORM = "application/x-www-form-urlencoded"


class QueryDoor:
    """Answers ``POST /`` and ``GET /?Action=`` as the service does."""

    def __init__(self, operations: Operations, callers: Callers, holding: Holding, hold: float, largest_body: int) -> None:
        self._operations = operations
        self._callers = callers
        self._holding = holding
        self._hold = hold
        self._largest_body = largest_body
        self._wire = Wire.load()
        self._promises = kept_promises()

    async def answer(self, request: Request) -> Response:
        """The response to one request; a Fault becomes the service's error document."""
        request_id = str(uuid.uuid4())
        try:
            pairs = await self._pairs(request)
            world = self._callers.from_signature(_signature(request, pairs))
            return self._render(await self._perform(world, pairs), request_id)
        except Fault as fault:
            return self._refuse(fault, request_id)
        except Exception:
            log.exception("request failed  request_id=%s", request_id)
            return self._refuse(InternalFailure(f"The request failed inside Cachewright; its log has request {request_id}."), request_id)

    async def _pairs(self, request: Request) -> list[tuple[str, str]]:
        if request.method == "GET":
            text: str | bytes = request.url.query
        else:
            body = await read_body(request, self._largest_body)
            text = body or request.url.query
        try:
            readable = text if isinstance(text, str) else text.decode("utf-8", errors="strict")
            return parse_qsl(readable, keep_blank_values=True, max_num_fields=10_000, errors="strict")
        except ValueError as unreadable:
            raise MalformedQueryString(f"The request is not a readable form ({_FORM}): {unreadable}.") from unreadable

    async def _perform(self, world: World, pairs: list[tuple[str, str]]) -> tuple[str, Shape]:
        name = next((value for key, value in pairs if key == "Action"), "")
        if not name:
            raise MissingAction()
        if name not in self._wire.operations:
            raise InvalidAction(shortened(name))
        promise = self._promises.get(name)
        if promise is None:
            raise OperationNotBuilt(name)
        asked = self._read(promise, pairs)
        if promise.reads and promise.subject is not None:
            await self._holding.until_changed(world, promise.subject, asked, self._hold)
        if _is_quick(promise, asked):
            return name, self._operations.run(name, world, asked)
        return name, await run_in_threadpool(self._operations.run, name, world, asked)

    def _read(self, promise: Operation[Shape, Shape], pairs: list[tuple[str, str]]) -> Shape:
        fields = self._wire.decode(promise.name, pairs, promise.takes)
        try:
            return promise.takes.model_validate(fields)
        except ValidationError as problem:
            raise fault_of(problem, promise.takes, aws=True) from problem

    def _render(self, done: tuple[str, Shape], request_id: str) -> Response:
        return _response(self._wire.encode(*done, request_id), 200, request_id)

    def _refuse(self, fault: Fault, request_id: str) -> Response:
        return _response(self._wire.error(fault, request_id), fault.status, request_id)


def _is_quick(promise: Operation[Shape, Shape], asked: Shape) -> bool:
    """Whether to answer on the spot: to read one resource takes no lock and no database, and a thread would take longer to reach.

    Snapshots, users and user groups are in the database.
    """
    subject = promise.subject
    return promise.reads and subject is not None and subject.kind not in IN_DATABASE and subject.name(asked) is not None


def _response(body: bytes, status: int, request_id: str) -> Response:
    return Response(body, status, {"x-amzn-RequestId": request_id}, _XML)


def _signature(request: Request, pairs: Sequence[tuple[str, str]]) -> str | None:
    header = request.headers.get("authorization")
    if header:
        return header
    credential = next((value for key, value in pairs if key == "X-Amz-Credential"), None)
    return f"Credential={credential}" if credential else None


