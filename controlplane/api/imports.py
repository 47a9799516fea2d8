"""Imports over REST: files are streamed in, and a snapshot is made of them.

This is no operation: what comes in is a file, however large, and what is made of it takes its time.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api_schemas.faults import InvalidParameterValue, RequestEntityTooLarge, ResourceNotFound, ServiceUnavailable
from api_schemas.snapshot import SnapshotResult
from api_schemas.snapshot_import import ImportSnapshot, SnapshotImport, UploadedFile
from controlplane.api.audit import note_of
from controlplane.api.caller import Callers
from controlplane.api.files import PIECE
from controlplane.domain.naming import snapshot_name
from controlplane.domain.topology import World
from controlplane.operations.describe_snapshot import snapshot_as_shown
from controlplane.operations.roles import IMPORT_SNAPSHOT
from controlplane.reconciler.importing import Importer
from controlplane.reconciler.uploads import Receiver, TooLargeError, Uploaded, UploadRefusedError

log = logging.getLogger("cachewright.api")


class ImportsDoor:
    """Answers everything below ``/v1/snapshot-imports``."""

    def __init__(self, importer: Importer, callers: Callers) -> None:
        self._importer = importer
        self._callers = callers

    async def receive(self, request: Request) -> Response:
        """Take a file in, a piece at a time; one that does not arrive whole is not kept."""
        world, name = self._asked(request)
        await run_in_threadpool(self._importer.must_be_new, world, name)
        file, announced = request.path_params["file"], _announced(request)
        try:
            with self._importer.uploads.receiving(world, name, file, announced) as receiver:
                await _received(request, receiver)
                if announced is not None and receiver.size != announced:
                    raise InvalidParameterValue(f"{file} ended after {receiver.size} of {announced} bytes; nothing of it was kept.")
                kept = UploadedFile(name=file, size=receiver.size, sha256=receiver.sha256)
        except TooLargeError as refused:
            raise RequestEntityTooLarge(f"{file} was not kept: {refused}.") from refused
        except UploadRefusedError as refused:
            raise InvalidParameterValue(f"{file} was not kept: {refused}.".replace("..", ".")) from refused
        except OSError as failed:
            log.warning("an upload could not be written  snapshot=%s file=%s because=%s", name, file, failed)
            raise ServiceUnavailable(f"{file} was not kept: the control plane cannot write it: {failed.strerror}.") from failed
        return Response(kept.model_dump_json(), 201, media_type="application/json")

    async def describe(self, request: Request) -> Response:
        """What has arrived for a snapshot, and what is being done with it."""
        world, name = self._asked(request, changes=False)
        pending = self._importer.uploads.look(world, name)
        if pending is None:
            raise ResourceNotFound(message=f"No files were sent for a snapshot {name}, or it has been made of them.")
        files = [_shown(file) for file in list(pending.files.values())]
        told = SnapshotImport(snapshot_name=name, step=pending.step, done=pending.done, total=pending.total, files=files)
        return Response(told.model_dump_json(), media_type="application/json")

    async def complete(self, request: Request, asked: ImportSnapshot) -> Response:
        """Make the snapshot, which is answered once every file was checked; it is available a moment later."""
        world, name = self._asked(request)
        made = await asyncio.wrap_future(self._importer.begin(world, name, asked))
        answer = SnapshotResult(snapshot=snapshot_as_shown(made, ()))
        return Response(answer.model_dump_json(exclude_none=True), 202, media_type="application/json")

    async def forget(self, request: Request) -> Response:
        """Keep nothing of what was sent; a snapshot that is being made of it is given up."""
        world, name = self._asked(request)
        await run_in_threadpool(self._importer.uploads.forget, world, name)
        told = SnapshotImport(snapshot_name=name, step="given up", done=0, total=0, files=[])
        return Response(told.model_dump_json(), media_type="application/json")

    def _asked(self, request: Request, *, changes: bool = True) -> tuple[World, str]:
        world = self._callers.asks_for(request, IMPORT_SNAPSHOT, changes=changes)
        note_of(request.scope).resource = request.path_params["snapshot_name"]
        return world, snapshot_name(request.path_params["snapshot_name"], "SnapshotName")


async def _received(request: Request, receiver: Receiver) -> None:
    gathered = bytearray()
    try:
        async for chunk in request.stream():
            gathered += chunk
            if len(gathered) >= PIECE:
                await run_in_threadpool(receiver.write, bytes(gathered))
                gathered.clear()
    except ClientDisconnect as gone:
        raise UploadRefusedError("the caller went away before all of it had come") from gone
    if gathered:
        await run_in_threadpool(receiver.write, bytes(gathered))


def _announced(request: Request) -> int | None:
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None


def _shown(file: Uploaded) -> UploadedFile:
    return UploadedFile(name=file.name, size=file.size, sha256=file.sha256)
