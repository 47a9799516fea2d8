"""Files of snapshots over REST: what an archive holds is streamed out of it, piece by piece.

This is no operation: an answer is a file, however large, and not a value.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api_schemas.faults import InvalidSnapshotState, ResourceNotFound, ServiceUnavailable, SnapshotNotFound
from archives import manifest as m
from archives.archive import ArchiveError
from controlplane.api.caller import Callers
from controlplane.api.wire import shortened
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import World
from controlplane.operations.roles import DOWNLOAD_SNAPSHOT_FILE
from controlplane.reconciler.filing import opened
from controlplane.store.store import Store, StoreAwayError

log = logging.getLogger("cachewright.api")

PIECE = 1 << 20
"""Bytes of a file that are in memory at once."""

_AWAY = "The database of the control plane does not answer, so it is not known which snapshots there are. Try again."


class FilesDoor:
    """Answers ``/v1/snapshots/{snapshot_name}/files/{file}``."""

    def __init__(self, store: Store, callers: Callers) -> None:
        self._store = store
        self._callers = callers

    async def download(self, request: Request) -> Response:
        """A file that the record of an available snapshot names. Its ETag is its SHA-256."""
        world = self._callers.asks_for(request, DOWNLOAD_SNAPSHOT_FILE)
        name, file = request.path_params["snapshot_name"], request.path_params["file"]
        snapshot = await run_in_threadpool(self._available, world, name)
        key, sha256 = _named(snapshot, file)
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        size, content = await run_in_threadpool(_opened, snapshot, key)
        media_type = "application/json" if file == m.NAME else "application/octet-stream"
        return _Sent(content, headers={**headers, "Content-Length": str(size)}, media_type=media_type)

    def _available(self, world: World, name: str) -> Snapshot:
        try:
            with self._store.reading(fresh=True) as unit:
                snapshot = unit.snapshots.named(world, name.lower())
        except StoreAwayError as away:
            raise ServiceUnavailable(_AWAY) from away
        if snapshot is None:
            raise SnapshotNotFound(name)
        if snapshot.state is not SnapshotState.AVAILABLE:
            state = snapshot.state.value
            raise InvalidSnapshotState(f"Snapshot {snapshot.name} must be available for its files to be read; it is {state}.")
        return snapshot


class _Sent(StreamingResponse):
    """An open file on its way out, which is closed however that ends."""

    def __init__(self, content: BinaryIO, headers: dict[str, str], media_type: str) -> None:
        super().__init__(_pieces(content), headers=headers, media_type=media_type)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._content.close()


async def _pieces(content: BinaryIO) -> AsyncIterator[bytes]:
    """Should the archive break off, so does the answer: its length says that it is not whole."""
    while piece := await run_in_threadpool(content.read, PIECE):
        yield piece


def _named(snapshot: Snapshot, file: str) -> tuple[str, str]:
    """The key and the SHA-256 of a file that the record names. Raises ResourceNotFound."""
    if file == m.NAME:
        return f"{snapshot.uid}/{m.NAME}", snapshot.manifest
    for part in snapshot.parts:
        if part.file is not None and part.file.key.rpartition("/")[2] == file:
            return part.file.key, part.file.sha256
    raise ResourceNotFound(message=f"Snapshot {snapshot.name} has no file {shortened(file)}; its progress names those that it has.")


def _opened(snapshot: Snapshot, key: str) -> tuple[int, BinaryIO]:
    """How large a file is, and the file. Raises ServiceUnavailable where the archive does not give it."""
    try:
        archive = opened(snapshot.archive)
        size = archive.size(key)
        if size is None:
            raise ArchiveError(f"{key} is not in {archive.url} any more")
        return size, archive.open(key)
    except ArchiveError as failed:
        log.warning("a file of a snapshot cannot be read  snapshot=%s key=%s because=%s", snapshot.name, key, failed)
        raise ServiceUnavailable(f"The archive does not give the file: {failed}") from failed
