"""The progress of a snapshot, part by part: who saves it and how far that is, or the file that is kept."""

from __future__ import annotations

from api_schemas.snapshot_progress import (
    DESCRIBE_SNAPSHOT_PROGRESS,
    DescribeSnapshotProgress,
    SnapshotFile,
    SnapshotProgress,
)
from api_schemas.snapshot_progress import SnapshotPart as ShownPart
from controlplane.domain.backup import Backup, BackupPart, SavedFile
from controlplane.domain.reported import Saved
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotPart, SnapshotState
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.snapshots import snapshot_of, status_of

WAITING, SAVING, STORING, DONE, FAILED = "waiting", "saving", "storing", "done", "failed"
PUBLISHING, COPYING, IMPORTING = "publishing", "copying", "importing"

_OF_SAVING, _OF_STORING = 80, 15  # percent of a part; the rest is the manifest's
_PHASES = {SnapshotState.COPYING: COPYING, SnapshotState.AVAILABLE: DONE, SnapshotState.FAILED: FAILED, SnapshotState.DELETING: "deleting"}


@performs(DESCRIBE_SNAPSHOT_PROGRESS)
def describe_snapshot_progress(ctx: Context, asked: DescribeSnapshotProgress) -> SnapshotProgress:
    """How far a snapshot is at this moment, by the newest word of the agents."""
    snapshot = snapshot_of(ctx, asked.snapshot_name)
    parts = _parts(ctx, snapshot)
    return SnapshotProgress(
        snapshot_name=snapshot.name,
        status=status_of(ctx, snapshot),
        phase=_PHASES.get(snapshot.state, PUBLISHING if snapshot.gathered else IMPORTING if snapshot.imported else SAVING),
        percent=_percent(snapshot, parts),
        problem=snapshot.problem,
        keys=_keys(parts),
        bytes=sum(part.file.size for part in parts if part.file),
        manifest=snapshot.manifest or None,
        parts=parts,
    )


def _parts(ctx: Context, snapshot: Snapshot) -> list[ShownPart]:
    topology = ctx.unit.topologies.get(snapshot.origin.uid)
    backup = topology.backup if topology is not None else None
    if topology is None or backup is None or backup.snapshot != snapshot.uid:
        return [_settled(snapshot, part) for part in snapshot.parts]
    reported = ctx.reported(topology)
    saved = {node: seen.saved for node, seen in reported.nodes.items()}
    return [_under_way(backup, part, saved) for part in snapshot.parts]


def _under_way(backup: Backup, part: SnapshotPart, saved: dict[str, Saved | None]) -> ShownPart:
    now = backup.part(part.group)
    said = _said(backup, now, saved)
    if now.file is not None:
        return _shown(part, now.file, node=now.node, attempt=now.attempt)
    if said is None:
        return _shown(part, None, node=now.node, attempt=now.attempt)
    phase = SAVING if said.phase == DONE else said.phase  # it is done once the planner has heard of it
    return _shown(part, None, node=now.node, attempt=now.attempt, phase=phase, done=said.done, total=said.total, problem=said.problem)


def _said(backup: Backup, part: BackupPart, saved: dict[str, Saved | None]) -> Saved | None:
    """What the node says of this very attempt."""
    said = saved.get(part.node or "")
    return said if said is not None and (said.snapshot, said.attempt) == (backup.snapshot, part.attempt) else None


def _settled(snapshot: Snapshot, part: SnapshotPart) -> ShownPart:
    if snapshot.imported and not snapshot.gathered:  # its record names what will be in the archive
        return _shown(part, None, node=part.node, attempt=0, phase=IMPORTING)
    phase = {SnapshotState.COPYING: COPYING, SnapshotState.FAILED: FAILED}.get(snapshot.state, WAITING)
    return _shown(part, part.file, node=part.node, attempt=0, phase=phase)


def _shown(part: SnapshotPart, file: SavedFile | None, *, node: str | None, attempt: int, phase: str = WAITING,
           done: int = 0, total: int = 0, problem: str | None = None) -> ShownPart:  # fmt: skip
    return ShownPart(
        node_group_id=part.group,
        slots=shown_slots(part.slots),
        node=node,
        attempt=attempt,
        phase=phase if file is None else DONE,
        done=done if file is None else file.size,
        total=total if file is None else file.size,
        problem=problem,
        file=shown_file(file) if file else None,
    )


def shown_file(file: SavedFile) -> SnapshotFile:
    """A file of a snapshot, under its name beside the manifest."""
    return SnapshotFile(
        name=file.key.rpartition("/")[2], size=file.size, sha256=file.sha256, rdb_version=file.version, taken_at=file.taken_at,
        keys=file.keys, expires=file.expires, functions=file.functions, databases=file.databases, used_memory=file.used_memory,
    )  # fmt: skip


def _keys(parts: list[ShownPart]) -> int | None:
    known = [part.file.keys for part in parts if part.file is not None]
    return sum(each or 0 for each in known) if known and None not in known else None


def _percent(snapshot: Snapshot, parts: list[ShownPart]) -> int:
    """All parts count alike: how large each will be is not known before it is there. 100 once the snapshot is available."""
    if snapshot.state is SnapshotState.AVAILABLE:
        return 100
    return sum(_percent_of(part) for part in parts) // len(parts)


def _percent_of(part: ShownPart) -> int:
    way = min(1.0, part.done / part.total) if part.total else 0.0
    if part.phase == SAVING:
        return int(_OF_SAVING * way)
    if part.phase == STORING:
        return _OF_SAVING + int(_OF_STORING * way)
    return _OF_SAVING + _OF_STORING if part.phase == DONE else 0
