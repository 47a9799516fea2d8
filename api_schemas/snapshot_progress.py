"""What is ours of a snapshot beyond the service: how far it is, which files it has, and whether they were restored aside and compared."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api_schemas.operation import Operation
from api_schemas.shape import Shape


class DescribeSnapshotProgress(Shape):
    """Of which snapshot."""

    snapshot_name: str


class SnapshotFile(Shape):
    """One RDB file: its name beside the manifest, its size in bytes, its SHA-256, the version in its header (``VALKEY080``).

    ``keys``, ``expires`` (keys with an expiry) and ``functions`` as the engine's own check counted them, absent where it was not to be had;
    ``databases`` is how many there are up to the last that has keys, ``used_memory`` the bytes that the engine counted.
    """

    name: str
    size: int
    sha256: str
    rdb_version: str
    taken_at: datetime
    keys: int | None = None
    expires: int | None = None
    functions: int | None = None
    databases: int
    used_memory: int


class SnapshotPart(Shape):
    """One node group of a snapshot: the node that saves, at which attempt, and how far it is.

    ``phase`` is waiting, saving, storing, importing, copying, done or failed. ``done`` of ``total`` are keys while it is saving, bytes
    while it is storing. ``problem`` is what the newest attempt says. ``file`` is there once it is kept.
    """

    node_group_id: str
    slots: str
    node: str | None = None
    attempt: int
    phase: str
    done: int
    total: int
    problem: str | None = None
    file: SnapshotFile | None = None


class SnapshotProgress(Shape):
    """How far a snapshot is. ``phase`` is saving, importing, publishing, copying, done, failed or deleting.

    ``percent`` is of all its parts, each of which counts alike. ``problem`` says why it failed. ``keys`` and ``bytes`` are those of the
    files that are kept; ``keys`` is absent where nobody counted. ``manifest`` is the SHA-256 of manifest.json, once that is there.
    """

    snapshot_name: str
    status: str
    phase: str
    percent: int
    problem: str | None = None
    keys: int | None = None
    bytes: int
    manifest: str | None = None
    parts: list[SnapshotPart]


class VerifySnapshot(Shape):
    """Which snapshot shall be restored aside and compared."""

    snapshot_name: str


class DescribeSnapshotVerification(Shape):
    """Of which snapshot."""

    snapshot_name: str


class VerifiedPart(Shape):
    """What an engine made of one file. ``state`` is waiting, running, passed or failed.

    ``step`` says what is being done now, ``done`` of ``total`` bytes of it. ``engine`` with its version is the program that it is restored
    with, on the host of ``agent``. ``digest`` is of the file, ``digest_after`` of what the engine saved once it had loaded it.
    """

    node_group_id: str
    file: str
    state: str
    step: str | None = None
    done: int
    total: int
    problem: str | None = None
    agent: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    keys: int | None = None
    expires: int | None = None
    functions: int | None = None
    digest: str | None = None
    digest_after: str | None = None


class SnapshotVerification(Shape):
    """The newest verification of a snapshot. ``state`` is none before the first, then running, passed or failed: then some part says why,
    or ``problem`` does, where it is the snapshot as a whole."""

    snapshot_name: str
    state: str
    problem: str | None = None
    asked_at: datetime | None = None
    ended_at: datetime | None = None
    percent: int
    parts: list[VerifiedPart] = Field(default_factory=list)


DESCRIBE_SNAPSHOT_PROGRESS = Operation(
    "DescribeSnapshotProgress", "GET /snapshots/{snapshot_name}/progress", DescribeSnapshotProgress, SnapshotProgress,
    "Show how far a snapshot is, part by part, which files it has, and why it failed.", reads=True, ours=True,
)  # fmt: skip
VERIFY_SNAPSHOT = Operation(
    "VerifySnapshot", "POST /snapshots/{snapshot_name}/verify", VerifySnapshot, SnapshotVerification,
    "Restore every file of a snapshot aside, by a real engine, and compare what it holds then with the file and the manifest.", ours=True,
    in_engines="None of a cache: for each file a program is started aside, on a Unix socket, which loads it and is told `SAVE`.",
)  # fmt: skip
DESCRIBE_SNAPSHOT_VERIFICATION = Operation(
    "DescribeSnapshotVerification", "GET /snapshots/{snapshot_name}/verification", DescribeSnapshotVerification, SnapshotVerification,
    "Show how far the newest verification of a snapshot is, and what it found.", reads=True, ours=True,
)  # fmt: skip
