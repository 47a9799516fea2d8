"""What a node shall write to an archive, or begin with from one, and how far that is."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from api_schemas.shape import Shape


class SaveOrder(Shape):
    """Have this node write its data to an archive, once for each ``snapshot`` and ``attempt``.

    ``archive`` is the archive's URL, ``archive_id`` what tells it from another that is found there ("" where nothing else can be), ``key``
    what the file's key shall begin with: it ends in something that no other file ever did.
    """

    snapshot: str
    attempt: int
    archive: str
    archive_id: str = ""
    key: str


class SavePhase(StrEnum):
    """How far a node is with what it shall save."""

    WAITING = "waiting"    # for another save of the engine to end
    SAVING = "saving"      # the engine writes its data, which is checked as it comes
    STORING = "storing"    # the file goes to the archive
    DONE = "done"
    FAILED = "failed"      # ``problem`` says why


class SaveState(Shape):
    """How far a node is with a save. ``done`` of ``total`` are keys while it is saving, bytes while it is storing.

    ``key`` is where the file is, or will be, in the archive. The rest is told when it is done: the file's ``size`` in bytes and SHA-256,
    the ``version`` in its header, and what the engine's own check counted, None where that was not to be had. ``used_memory`` is in bytes,
    as the engine counted it when it began.
    """

    snapshot: str
    attempt: int
    key: str
    phase: SavePhase
    done: int = 0
    total: int = 0
    problem: str | None = None
    size: int = 0
    sha256: str = ""
    version: str = ""
    taken_at: datetime | None = None
    keys: int | None = None
    expires: int | None = None
    functions: int | None = None
    databases: int = 0
    used_memory: int = 0


class SeedOrder(Shape):
    """The file that a primary begins with, at each of its boots while this is said: of so many bytes, with that SHA-256.

    ``keys`` are in it, None where nobody knows; those that have expired by then are among them.
    """

    archive: str
    archive_id: str = ""
    key: str
    size: int
    sha256: str
    keys: int | None = None
