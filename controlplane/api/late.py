"""An ASGI application that is built when it is first asked, in a thread, so that start-up and others' requests do not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send


class Late:
    """Builds the application at the first request, once, and passes every request on to it."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._building = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._building:
                if self._app is None:
                    self._app = await run_in_threadpool(self._build)
        await self._app(scope, receive, send)
