"""Bounds the body of every request before anybody reads it."""

from __future__ import annotations

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_schemas.faults import RequestEntityTooLarge


class Bounded:
    """An ASGI application that refuses bodies of more than ``largest`` bytes, but for those that it is to read as they come.

    ``streamed`` is the method, and what the path begins with, of these.
    """

    def __init__(self, app: ASGIApp, largest: int, streamed: tuple[str, str] | None = None) -> None:
        self._app = app
        self._largest = largest
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_streamed(scope):
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._largest:
            await self._refuse(send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._largest:
                raise RequestEntityTooLarge(self._sentence())
            return message

        await self._app(scope, counted, send)

    def _is_streamed(self, scope: Scope) -> bool:
        if self._streamed is None:
            return False
        method, path = self._streamed
        return bool(scope["method"] == method and scope["path"].startswith(path))

    async def _refuse(self, send: Send) -> None:
        fault = RequestEntityTooLarge(self._sentence())
        body = json.dumps({"error": {"code": fault.code, "message": fault.message, "request_id": ""}}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": fault.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _sentence(self) -> str:
        return f"The request's body is larger than the {self._largest} bytes that are read."
