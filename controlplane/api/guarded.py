"""A guarded application: whatever it has, and will have, is answered only to those who authenticate."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_schemas.faults import Fault, IncompleteSignature, Throttling
from controlplane.api.audit import address_of, claimed, note_of
from controlplane.api.body import read_body
from controlplane.api.gate import CALLER, Caller, Gate
from controlplane.api.signature import Arrived

STREAMED = ("PUT", "/v1/snapshot-imports/")
"""Method, and beginning of the path, of what is read as it comes."""

_OPEN = (("/healthz", ("GET", "HEAD")),)
_THEMSELVES = (("/", ("GET", "HEAD", "POST")),)  # the Query door knows callers by its own form


class Guarded:
    """Passes on requests with a bearer token or a signature, and tells the application who asks; refuses all others, but for health.

    ``streamed`` is the method and the beginning of the path of what is read as it comes, which cannot be signed, only borne.
    """

    def __init__(self, app: ASGIApp, gate: Gate, largest_body: int, streamed: tuple[str, str]) -> None:
        self._app = app
        self._gate = gate
        self._largest_body = largest_body
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_among(_OPEN + _THEMSELVES, scope):
            await self._app(scope, receive, send)
            return
        note_of(scope).who = claimed(scope)
        try:
            caller, receive = await self._identified(scope, receive)
        except Fault as fault:
            await _refuse(scope, send, fault)
            return
        except ClientDisconnect:
            return
        scope[CALLER] = caller
        note_of(scope).who = who(caller)
        await self._app(scope, receive, send)

    async def _identified(self, scope: Scope, receive: Receive) -> tuple[Caller, Receive]:
        request, address = Request(scope, receive), address_of(scope)
        given = request.headers.getlist("authorization")
        if len(given) > 1:
            raise IncompleteSignature("The header authorization is given more than once.")
        if not _is_signed(given, scope):
            return await run_in_threadpool(self._gate.bearing, given[0] if given else None, address), receive
        method, path = self._streamed
        if scope["method"] == method and scope["path"].startswith(path):
            raise IncompleteSignature("Files are sent with Authorization: Bearer ID.SECRET; a signature would have to know the whole file.")
        self._gate.must_be_patient(address)
        body = await read_body(request, self._largest_body)
        caller = await run_in_threadpool(self._gate.signed, Arrived.of(scope, body), address)
        return caller, _again(body, receive)


def who(caller: Caller) -> dict[str, str]:
    """The caller as the audit names it."""
    return {"access_key_id": caller.key.id, "name": caller.key.name, "account_id": caller.key.account, "role": caller.key.role.value}


def _is_signed(authorization: Sequence[str], scope: Scope) -> bool:
    return bool(authorization and authorization[0].startswith("AWS4-")) or b"X-Amz-Signature=" in scope["query_string"]


def _is_among(known: Sequence[tuple[str, Sequence[str]]], scope: Scope) -> bool:
    return any(scope["path"] == path and scope["method"] in methods for path, methods in known)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, for who has not seen that it was read; then whatever comes."""
    told = False

    async def receive_again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _refuse(scope: Scope, send: Send, fault: Fault) -> None:
    note = note_of(scope)
    note.request_id, note.code = str(uuid.uuid4()), fault.code
    body = json.dumps({"error": {"code": fault.code, "message": fault.message, "request_id": note.request_id}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close"),
               (b"x-amzn-requestid", note.request_id.encode())]  # fmt: skip
    is_late = isinstance(fault, Throttling)
    if is_late:
        headers.append((b"retry-after", b"60"))
    status = 429 if is_late else fault.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
