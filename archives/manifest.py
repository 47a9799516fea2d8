"""The manifest of a snapshot: what it is of, and which files are in it. A snapshot that has none was never finished."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archives.archive import ArchiveError

NAME = "manifest.json"
"""What it is called, beside the files that it names."""

LARGEST = 8 << 20
"""Bytes that a manifest may have."""

_Text = Annotated[str, Field(max_length=1000)]
_Count = Annotated[int, Field(ge=0, le=1 << 62)]


class ManifestRefusedError(Exception):
    """What should be a manifest is not, or names what cannot be; the text says what is wrong, and where."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestFile(_Strict):
    """One RDB file: its name beside the manifest, its size in bytes, its SHA-256, the version in its header.

    ``keys``, ``expires`` (keys with an expiry) and ``functions`` as the engine's own check counted them, None where it was not to be had;
    ``databases`` is how many there are up to the last that has keys, ``used_memory`` the bytes that the engine counted.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}$")]
    size: Annotated[int, Field(ge=18, le=1 << 50)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    version: Annotated[str, Field(pattern=r"^(REDIS\d{4}|VALKEY\d{3})$")]
    taken_at: datetime
    keys: _Count | None = None
    expires: _Count | None = None
    functions: _Count | None = None
    databases: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    used_memory: _Count = 0


class ManifestPart(_Strict):
    """One node group: its id, its slots ("" outside cluster mode, else as in ``0-8191``), how many replicas it had, the zones of its nodes
    with the primary's first, the node that it was taken from, and the file."""

    node_group: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    slots: Annotated[str, Field(max_length=200_000, pattern=r"^[0-9,-]*$")] = ""
    replicas: Annotated[int, Field(ge=0, le=100)]
    zones: Annotated[list[_Text], Field(max_length=100)]
    node: _Text
    file: ManifestFile


class Manifest(_Strict):
    """What a snapshot is: of which engine, in which version and cluster mode, with which parameters, in which parts.

    ``parameters`` are the values that differ from the defaults of the family of ``parameter_group``.
    """

    format: Literal[1] = 1
    name: _Text
    taken_at: datetime
    source: _Text
    engine: Literal["redis", "valkey"]
    engine_version: _Text
    cluster_mode: Literal["disabled", "compatible", "enabled"]
    node_type: _Text
    port: Annotated[int, Field(ge=1, le=65535)]
    parameter_group: _Text
    parameters: Annotated[dict[_Text, _Text], Field(max_length=1000)]
    parts: Annotated[list[ManifestPart], Field(min_length=1, max_length=500)]

    def to_bytes(self) -> bytes:
        """As it is kept: with the SHA-256 of the rest, by which a change of it is noticed."""
        content = self.model_dump(mode="json")
        return (json.dumps({"digest": _digest(content), "manifest": content}, indent=1, sort_keys=True) + "\n").encode()


def read_manifest(content: bytes) -> Manifest:
    """The manifest that these bytes are. Raises ManifestRefusedError."""
    if len(content) > LARGEST:
        raise ManifestRefusedError(f"the manifest has {len(content)} bytes; no manifest has more than {LARGEST}")
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as garbled:
        raise ManifestRefusedError(f"the manifest is no JSON: {str(garbled)[:200]}") from garbled
    if not isinstance(told, dict) or set(told) != {"digest", "manifest"} or not isinstance(told["manifest"], dict):
        raise ManifestRefusedError("the manifest is not of the form {digest, manifest}; it was not written by Cachewright")
    if told["digest"] != _digest(told["manifest"]):
        raise ManifestRefusedError("the manifest was changed after it was written: its digest does not fit")
    try:
        manifest = Manifest.model_validate(told["manifest"])
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ManifestRefusedError(f"the manifest is not sound: {place}: {first['msg']}") from wrong
    _must_agree(manifest)
    return manifest


def digest_of(content: bytes) -> str:
    """The SHA-256 of a manifest as it is kept."""
    return hashlib.sha256(content).hexdigest()


def must_be_whole(manifest: Manifest, sizes: dict[str, int]) -> None:
    """Raises ArchiveError where a file that the manifest names is missing, or has another size than it says; ``sizes`` are by name."""
    for part in manifest.parts:
        size = sizes.get(part.file.name)
        if size is None:
            raise ArchiveError(f"{part.file.name} of snapshot {manifest.name} is missing")
        if size != part.file.size:
            raise ArchiveError(f"{part.file.name} of snapshot {manifest.name} has {size} bytes, and should have {part.file.size}")


def _must_agree(manifest: Manifest) -> None:
    """Raises ManifestRefusedError where parts contradict one another."""
    names = [part.file.name for part in manifest.parts]
    groups = [part.node_group for part in manifest.parts]
    for what, all_of in (("file", names), ("node group", groups)):
        if len(set(all_of)) < len(all_of):
            raise ManifestRefusedError(f"the manifest is not sound: it names a {what} twice")
    if manifest.cluster_mode != "enabled" and len(manifest.parts) > 1:
        raise ManifestRefusedError("the manifest is not sound: only with cluster mode enabled there are several node groups")


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
