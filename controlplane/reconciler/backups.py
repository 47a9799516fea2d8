"""What decisions about backups change in the records of snapshots, in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controlplane.domain.backup import Cause
from controlplane.domain.events import Event
from controlplane.domain.snapshot import Export, Snapshot, SnapshotState, begun
from controlplane.domain.topology import Kind, Topology
from controlplane.planner import decisions as d
from controlplane.planner.outcome import Addresses
from controlplane.store.store import Unit


def note_snapshots(unit: Unit, topology: Topology, decision: d.Decision, now: datetime, drawn: Addresses) -> None:
    """Have the records of snapshots say what was decided about the topology, which is as it was before."""
    backup = topology.backup
    match decision:
        case d.BeginBackup(name=name, member=member):
            _, snapshot = begun(topology, name, Cause.AUTOMATED, drawn.archive, now, drawn.snapshot, member, member is None)
            free = name if unit.snapshots.named(topology.world, name) is None else f"{name}-{topology.version}"
            unit.snapshots.save(replace(snapshot, name=free))
        case d.CloseBackup() if backup is not None:
            taken = unit.snapshots.get(backup.snapshot)
            if taken is not None:
                unit.snapshots.save(taken.with_files_of(backup))
        case d.GiveUpBackup(problem=problem) if backup is not None:
            given_up = unit.snapshots.get(backup.snapshot)
            if given_up is not None:
                unit.snapshots.save(replace(given_up, state=SnapshotState.FAILED, problem=problem))
                say_outcome(unit, given_up, "failed", now, problem)
        case d.Bury():
            _outlive(unit, topology)
        case _:
            pass


def say_outcome(unit: Unit, snapshot: Snapshot, word: str, now: datetime, because: str | None = None) -> None:
    """What the service says of it: under the name of the cache cluster that it is of, or of a member of the group."""
    member = snapshot.cache_cluster or snapshot.parts[0].node
    is_of_group = snapshot.cache_cluster is None and snapshot.origin.kind is Kind.REPLICATION_GROUP
    of = f"replication group with ID '{snapshot.origin.name}'" if is_of_group else f"cache cluster with ID '{member}'"
    message = f"Snapshot {word} for snapshot with ID '{snapshot.name}' of {of}"
    unit.events.say(Event(snapshot.world, Kind.CACHE_CLUSTER.value, member, message, now, because))


def _outlive(unit: Unit, topology: Topology) -> None:
    """What becomes of the snapshots of a topology that is forgotten: automatic ones go, and one that is not taken yet never will be."""
    for snapshot in unit.snapshots.of_source(topology.uid):
        if snapshot.automated and snapshot.state is not SnapshotState.DELETING:
            unit.snapshots.save(replace(snapshot, state=SnapshotState.DELETING))
        elif snapshot.state is SnapshotState.CREATING and not snapshot.gathered:
            problem = f"its source {topology.name} was deleted before it was taken"
            unit.snapshots.save(replace(snapshot, state=SnapshotState.FAILED, problem=problem))


def say_export(unit: Unit, snapshot: Snapshot, export: Export, now: datetime, problem: str | None) -> None:
    """Write down what became of an export. The service says nothing of it."""
    member = snapshot.cache_cluster or snapshot.parts[0].node
    end = f"failed: {problem}" if problem else "succeeded"
    message = f"Export of snapshot '{snapshot.name}' to the S3 bucket {export.bucket} {end}"
    unit.events.say(Event(snapshot.world, Kind.CACHE_CLUSTER.value, member, message, now, problem))
