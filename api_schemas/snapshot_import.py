"""What is said of files that a snapshot shall be made of, and what is known of them before it is."""

from __future__ import annotations

from api_schemas.shape import Shape


class ImportSnapshot(Shape):
    """What the files do not say themselves: a manifest says everything, the files alone which engine and version wrote them.

    ``cache_node_type`` is what it is restored to, unless another is said then.
    """

    engine: str | None = None
    engine_version: str | None = None
    cache_node_type: str | None = None


class UploadedFile(Shape):
    """A file that has arrived: its size in bytes, and the SHA-256 of what arrived."""

    name: str
    size: int
    sha256: str


class SnapshotImport(Shape):
    """The files that have arrived. ``step`` says what is being done with them, ``done`` of ``total`` bytes of it."""

    snapshot_name: str
    step: str
    done: int
    total: int
    files: list[UploadedFile]
