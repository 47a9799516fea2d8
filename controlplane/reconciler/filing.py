"""The files of a snapshot in its archive: its manifest is written last, and taken away first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from archives import manifest as m
from archives.archive import Archive, ArchiveError
from archives.identity import must_be
from archives.opening import shared_archive
from controlplane.domain.backup import ArchivePlace, SavedFile
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotPart

_CHUNK = 1 << 20


def opened(place: ArchivePlace) -> Archive:
    """The very archive that is meant. Raises ArchiveError."""
    archive = shared_archive(place.url)
    if place.id:
        must_be(archive, place.id)
    return archive


def publish(snapshot: Snapshot) -> Snapshot:
    """Write the manifest of a snapshot all files of which are there; answers the snapshot with what identifies it. Raises ArchiveError.

    What attempts that were given up have left there goes.
    """
    archive = opened(snapshot.archive)
    found = {entry.key: entry.size for entry in archive.list(f"{snapshot.uid}/")}
    manifest = manifest_of(snapshot)
    m.must_be_whole(manifest, {key.rpartition("/")[2]: size for key, size in found.items()})
    content = manifest.to_bytes()
    archive.put_bytes(f"{snapshot.uid}/{m.NAME}", content)
    named = {part.file.key for part in snapshot.parts if part.file} | {f"{snapshot.uid}/{m.NAME}"}
    for left in found.keys() - named:
        archive.delete(left)
    return replace(snapshot, manifest=m.digest_of(content))


def copied(source: Snapshot, target: Snapshot) -> Snapshot:
    """The target with a copy of each of the source's files. Raises ArchiveError."""
    read, write = opened(source.archive), opened(target.archive)
    if read.url != write.url:
        raise ArchiveError(f"snapshot {source.name} is in {read.url}, and new ones go to {write.url}: copy it with its files")
    parts = []
    for part in source.parts:
        if part.file is None:
            raise ArchiveError(f"snapshot {source.name} has no file of node group {part.group}")
        key = f"{target.uid}/{part.group}-0.rdb"
        write.copy(part.file.key, key)
        parts.append(replace(part, file=replace(part.file, key=key)))
    return replace(target, parts=tuple(parts))


def must_have_its_manifest(snapshot: Snapshot) -> m.Manifest:
    """The manifest of a snapshot that is available.

    Raises ManifestRefusedError or ArchiveError where it, or the size of a file that it names, is another than it was.
    """
    archive = opened(snapshot.archive)
    content = archive.read_bytes(f"{snapshot.uid}/{m.NAME}", m.LARGEST)
    manifest = m.read_manifest(content)
    if m.digest_of(content) != snapshot.manifest:
        raise m.ManifestRefusedError(f"the manifest of snapshot {snapshot.name} was replaced by another")
    sizes = {entry.key.rpartition("/")[2]: entry.size for entry in archive.list(f"{snapshot.uid}/")}
    m.must_be_whole(manifest, sizes)
    return manifest


def fetch(archive: Archive, file: SavedFile, target: Path) -> None:
    """Copy a file out of an archive. Raises ArchiveError for one that was changed since it was kept."""
    archive.fetch(file.key, target)
    with target.open("rb") as copy:
        _must_have(file, sha256_of(copy.read))


def must_be_unchanged(archive: Archive, file: SavedFile) -> None:
    """Raises ArchiveError for a file that was changed since it was kept."""
    with archive.open(file.key) as kept:
        _must_have(file, sha256_of(kept.read))


def sha256_of(read: Callable[[int], bytes]) -> str:
    """The SHA-256 of what is read, a piece at a time, up to its end."""
    sha = hashlib.sha256()
    while chunk := read(_CHUNK):
        sha.update(chunk)
    return sha.hexdigest()


def _must_have(file: SavedFile, sha256: str) -> None:
    if sha256 != file.sha256:
        raise ArchiveError(f"{file.key} was changed after it was kept: its SHA-256 is {sha256}, and was {file.sha256}")


def remove(snapshot: Snapshot) -> None:
    """Keep nothing of a snapshot: from its first moment on it is none any more. Raises ArchiveError."""
    archive = opened(snapshot.archive)
    archive.delete(f"{snapshot.uid}/{m.NAME}")
    archive.delete_all(snapshot.uid)


def manifest_of(snapshot: Snapshot) -> m.Manifest:
    """What the snapshot is, for whoever reads its files. Raises ArchiveError where a file is still missing."""
    origin = snapshot.origin
    return m.Manifest(
        name=snapshot.name,
        taken_at=snapshot.requested_at,
        source=origin.name,
        engine=origin.engine,  # Memcached has no snapshots
        engine_version=origin.engine_version,
        cluster_mode=origin.cluster_mode.value,
        node_type=origin.node_type,
        port=origin.port,
        parameter_group=origin.parameter_group,
        parameters=dict(origin.parameters),
        parts=[_part(part, snapshot) for part in snapshot.parts],
    )


def _part(part: SnapshotPart, snapshot: Snapshot) -> m.ManifestPart:
    if part.file is None:
        raise ArchiveError(f"snapshot {snapshot.name} has no file of node group {part.group}")
    return m.ManifestPart(
        node_group=part.group, slots=shown_slots(part.slots), replicas=part.replicas, zones=list(part.zones), node=part.node,
        file=_file(part.file),
    )  # fmt: skip


def _file(file: SavedFile) -> m.ManifestFile:
    return m.ManifestFile(
        name=file.key.rpartition("/")[2], size=file.size, sha256=file.sha256, version=file.version, taken_at=file.taken_at, keys=file.keys,
        expires=file.expires, functions=file.functions, databases=file.databases, used_memory=file.used_memory,
    )  # fmt: skip
