"""A snapshot: what its source was when it was taken, and a file for each of its node groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile
from controlplane.domain.settings import Settings
from controlplane.domain.slots import Slots
from controlplane.domain.topology import ClusterMode, Kind, NodeGroup, Topology, World
from controlplane.domain.verification import Verification


class SnapshotState(StrEnum):
    """How far a snapshot is, in the service's words. That it is being restored or exported is seen elsewhere."""

    CREATING = "creating"
    COPYING = "copying"
    AVAILABLE = "available"
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Origin:
    """What the source of a snapshot was. A snapshot outlives it, and a new cache may be made like it.

    ``created_at`` is when its source first worked. ``automatic_failover`` and the like are in its settings.
    """

    uid: str
    kind: Kind
    name: str
    engine: str
    engine_version: str
    node_type: str
    port: int
    parameter_group: str
    parameters: tuple[tuple[str, str], ...]
    subnet_group: str | None
    settings: Settings
    cluster_mode: ClusterMode
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """One node group of a snapshot: the slots it owned (none outside cluster mode), its replicas, the zones of its nodes with the
    primary's first, the node that it was to be taken from, since when that worked and its zone, and the file, once there is one."""

    group: str
    slots: Slots
    replicas: int
    zones: tuple[str, ...]
    node: str
    node_created_at: datetime | None = None
    zone: str = ""
    file: SavedFile | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A snapshot is being copied to a caller's bucket, under that name."""

    bucket: str
    target: str
    asked_at: datetime

    def key_of(self, part: SnapshotPart) -> str:
        """What the file of a node group is called there."""
        return f"{self.target}-{part.group}.rdb"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot under its name. ``uid`` is the folder of its files in the archive.

    ``automated`` tells those that the snapshot window made. ``cache_cluster`` is the member by whose id it was asked for, None for one of a
    whole replication group. ``gathered`` once every node group has its file: then the manifest can be published, whose SHA-256
    ``manifest`` is from then on. ``problem`` says why it failed. ``copy_of`` is the uid of the one whose files are being copied.
    ``swept`` once a failed one has left no files behind. ``imported`` tells one that was made of a caller's files.
    ``verification`` is the newest.
    """

    uid: str
    world: World
    name: str
    automated: bool
    state: SnapshotState
    requested_at: datetime
    origin: Origin
    parts: tuple[SnapshotPart, ...]
    archive: ArchivePlace
    cache_cluster: str | None = None
    gathered: bool = False
    manifest: str = ""
    problem: str | None = None
    copy_of: str | None = None
    swept: bool = False
    exports: tuple[Export, ...] = ()
    imported: bool = False
    verification: Verification | None = None

    @property
    def is_clustered(self) -> bool:
        """Whether it is of a group with cluster mode enabled."""
        return self.origin.cluster_mode is ClusterMode.ENABLED

    @property
    def is_being_verified(self) -> bool:
        """Whether its files are being restored aside."""
        return self.verification is not None and self.verification.is_running

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(part.file.size for part in self.parts if part.file)

    @property
    def keys(self) -> int | None:
        """How many keys it has, None where that is not known of some part."""
        known = [part.file.keys for part in self.parts if part.file is not None]
        return None if None in known or len(known) < len(self.parts) else sum(number or 0 for number in known)

    def with_files_of(self, backup: Backup) -> Self:
        """The same snapshot, every node group of which has its file."""
        files = {part.group: part for part in backup.parts}
        parts = tuple(replace(part, node=files[part.group].node or part.node, file=files[part.group].file) for part in self.parts)
        return replace(self, parts=parts, gathered=True)

    def expires_at(self, retention: int) -> datetime | None:
        """When an automated one leaves, if so many days are kept; others never do."""
        return self.requested_at + timedelta(days=retention) if self.automated and retention else None


def origin_of(topology: Topology) -> Origin:
    """What is worth remembering of a topology that a snapshot is taken of."""
    return Origin(
        uid=topology.uid,
        kind=topology.kind,
        name=topology.name,
        engine=topology.engine,
        engine_version=topology.engine_version,
        node_type=topology.node_type,
        port=topology.port,
        parameter_group=topology.parameter_group,
        parameters=topology.parameters,
        subnet_group=topology.subnet_group,
        settings=topology.settings,
        cluster_mode=topology.cluster_mode,
        created_at=topology.announced_at,
    )


def part_of(topology: Topology, group: NodeGroup, member: str | None) -> SnapshotPart:
    """What is worth remembering of a node group; ``member`` is the node that it shall be taken from, if a caller said."""
    nodes = sorted(group.staying, key=lambda node: node.id != group.primary)
    taken_from = group.node(member or "") or nodes[0]
    slots = group.slots if topology.cluster_mode is ClusterMode.ENABLED else ()
    zones = tuple(node.zone for node in nodes)
    return SnapshotPart(group.id, slots, len(nodes) - 1, zones, taken_from.id, taken_from.joined_at, taken_from.zone)


def begun(topology: Topology, name: str, cause: Cause, archive: ArchivePlace, now: datetime, uid: str,
          member: str | None = None, whole: bool = True) -> tuple[Topology, Snapshot]:  # fmt: skip
    """The topology while a snapshot of that name is taken of it, and the snapshot. ``uid`` must be unique, and safe as a file name.

    Without ``whole`` it is one of the cache cluster ``member`` rather than of its group.
    """
    groups = topology.node_groups
    backup = Backup(uid, cause, tuple(BackupPart(group.id) for group in groups), now, archive, member)
    snapshot = Snapshot(
        uid=uid,
        world=topology.world,
        name=name,
        automated=cause is Cause.AUTOMATED,
        state=SnapshotState.CREATING,
        requested_at=now,
        origin=origin_of(topology),
        parts=tuple(part_of(topology, group, member) for group in groups),
        archive=archive,
        cache_cluster=None if whole else member or topology.name,
    )
    automated_at = now if cause is Cause.AUTOMATED else topology.automated_at
    return replace(topology, backup=backup, automated_at=automated_at), snapshot
