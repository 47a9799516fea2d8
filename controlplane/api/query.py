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
from controlplane.api.audit import Note, address_of, claimed, names_of, note_of
from controlplane.api.body import read_body
from controlplane.api.caller import Callers
from controlplane.api.gate import Gate
from controlplane.api.guarded import who
from controlplane.api.holding import IN_DATABASE, Holding
from controlplane.api.problems import fault_of
from controlplane.api.signature import Arrived
from controlplane.api.wire import Wire, shortened
from controlplane.domain.topology import World
from controlplane.operations.performs import Operations, kept_promises

log = logging.getLogger("cachewright.api")

_XML = "text/xml"
_FORM = "application/x-www-form-urlencoded"


class QueryDoor:
    """Answers ``POST /`` and ``GET /?Action=`` as the service does; with a gate, only those who sign with an access key."""

    def __init__(self, operations: Operations, callers: Callers, holding: Holding, hold: float, largest_body: int,
                 gate: Gate | None = None) -> None:  # fmt: skip
        self._operations = operations
        self._callers = callers
        self._holding = holding
        self._hold = hold
        self._largest_body = largest_body
        self._gate = gate
        self._wire = Wire.load()
        self._promises = kept_promises()

    async def answer(self, request: Request) -> Response:
        """The response to one request; a Fault becomes the service's error document."""
        request_id = str(uuid.uuid4())
        note = note_of(request.scope)
        note.request_id = request_id
        try:
            if self._gate is None:
                pairs = _pairs(await self._body(request))
                world = self._callers.from_signature(_signature(request, pairs))
            else:
                world, pairs = await self._identified(self._gate, request, note)
            return self._render(await self._perform(world, pairs, note), request_id)
        except Fault as fault:
            note.code = fault.code
            return self._refuse(fault, request_id)
        except Exception:
            log.exception("request failed  request_id=%s", request_id)
            note.code = InternalFailure.code
            return self._refuse(InternalFailure(f"The request failed inside Cachewright; its log has request {request_id}."), request_id)

    async def _body(self, request: Request) -> bytes:
        """The form: the body, or the query where there is none."""
        if request.method == "GET":
            return bytes(request.scope["query_string"])
        return await read_body(request, self._largest_body) or bytes(request.scope["query_string"])

    async def _identified(self, gate: Gate, request: Request, note: Note) -> tuple[World, list[tuple[str, str]]]:
        """The world of who has signed the request, which must be allowed what it asks for; and the form."""
        address = address_of(request.scope)
        note.who = claimed(request.scope)
        gate.must_be_patient(address)
        body = await read_body(request, self._largest_body)
        arrived = Arrived.of(request.scope, body)
        if body and request.method != "POST":
            raise MalformedQueryString("The form of a GET is its query, and it has no body.")
        pairs = _pairs(body or bytes(request.scope["query_string"]))
        note.operation = next((value for key, value in pairs if key == "Action" and value in self._wire.operations), "")
        caller = await run_in_threadpool(gate.signed, arrived, address)
        note.who = who(caller)
        name = _action(pairs)
        promise = self._promises.get(name)
        gate.must_be_allowed(caller, name, changes=promise is not None and not promise.reads)
        return World(caller.key.account, caller.signature.region if caller.signature is not None else ""), pairs

    async def _perform(self, world: World, pairs: list[tuple[str, str]], note: Note) -> tuple[str, Shape]:
        name = _action(pairs)
        if name not in self._wire.operations:
            raise InvalidAction(shortened(name))
        promise = self._promises.get(name)
        if promise is None:
            raise OperationNotBuilt(name)
        if not promise.reads:
            note.operation, note.changes, note.parameters = name, True, names_of(pairs)
        asked = self._read(promise, pairs)
        if not promise.reads:
            note.about(promise, asked)
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


def _pairs(form: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(form.decode("utf-8", errors="strict"), keep_blank_values=True, max_num_fields=10_000, errors="strict")
    except ValueError as unreadable:
        raise MalformedQueryString(f"The request is not a readable form ({_FORM}): {unreadable}.") from unreadable


def _action(pairs: Sequence[tuple[str, str]]) -> str:
    name = next((value for key, value in pairs if key == "Action"), "")
    if not name:
        raise MissingAction()
    return name


def _signature(request: Request, pairs: Sequence[tuple[str, str]]) -> str | None:
    header = request.headers.get("authorization")
    if header:
        return header
    credential = next((value for key, value in pairs if key == "X-Amz-Credential"), None)
    return f"Credential={credential}" if credential else None


