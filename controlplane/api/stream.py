"""Events as they happen, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool

from controlplane.domain.events import Event
from controlplane.domain.topology import World
from controlplane.store.store import Committed, Store

_KEEP_ALIVE = 15.0
_MOST_UNREAD = 1000


class EventStream:
    """Hands every committed event to those who follow its world."""

    def __init__(self, store: Store) -> None:
        self._followers: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event], World]] = set()
        store.listen(self._on_commit)

    async def follow(self, world: World, is_still_in: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """The events of a world from now on; a comment every 15 s shows that the stream lives. A reader too slow loses the oldest.

        It ends within these 15 s when the reader is not in any more.
        """
        queue: asyncio.Queue[Event] = asyncio.Queue(_MOST_UNREAD)
        follower = (asyncio.get_running_loop(), queue, world)
        self._followers.add(follower)
        try:
            yield b": following\n\n"
            looked = asyncio.get_running_loop().time()
            while True:
                if asyncio.get_running_loop().time() - looked >= _KEEP_ALIVE:
                    if not await run_in_threadpool(is_still_in):
                        return
                    looked = asyncio.get_running_loop().time()
                try:
                    yield _message(await asyncio.wait_for(queue.get(), _KEEP_ALIVE))
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._followers.discard(follower)

    def _on_commit(self, committed: Committed) -> None:
        for loop, queue, world in list(self._followers):
            for event in committed.events:
                if event.world == world and not loop.is_closed():
                    loop.call_soon_threadsafe(_put, queue, event)


def _put(queue: asyncio.Queue[Event], event: Event) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)


def _message(event: Event) -> bytes:
    body = {
        "source_type": event.source_type,
        "source_identifier": event.source,
        "message": event.message,
        "because": event.because,
        "date": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return f"event: event\ndata: {json.dumps(body)}\n\n".encode()
