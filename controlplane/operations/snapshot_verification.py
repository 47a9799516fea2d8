"""Verifications: asked for here, carried out by the archivist, shown as its record has them."""

from __future__ import annotations

from dataclasses import replace

from api_schemas.faults import InvalidSnapshotState
from api_schemas.snapshot_progress import (
    DESCRIBE_SNAPSHOT_VERIFICATION,
    VERIFY_SNAPSHOT,
    DescribeSnapshotVerification,
    SnapshotVerification,
    VerifiedPart,
    VerifySnapshot,
)
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.verification import PartVerification, Verification
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.snapshots import snapshot_of


@performs(VERIFY_SNAPSHOT)
def verify_snapshot(ctx: Context, asked: VerifySnapshot) -> SnapshotVerification:
    """Begin a verification; one that is running already goes on. The snapshot cannot be deleted meanwhile."""
    snapshot = snapshot_of(ctx, asked.snapshot_name)
    if snapshot.state is not SnapshotState.AVAILABLE:
        raise InvalidSnapshotState(f"Snapshot {snapshot.name} must be available to be verified; it is {snapshot.state.value}.")
    if snapshot.verification is None or not snapshot.verification.is_running:
        parts = tuple(PartVerification(part.group) for part in snapshot.parts)
        snapshot = replace(snapshot, verification=Verification(ctx.clock.uid(), ctx.now, parts))
        ctx.unit.snapshots.save(snapshot)
    return _shown(snapshot)


@performs(DESCRIBE_SNAPSHOT_VERIFICATION)
def describe_snapshot_verification(ctx: Context, asked: DescribeSnapshotVerification) -> SnapshotVerification:
    """The newest verification of a snapshot."""
    return _shown(snapshot_of(ctx, asked.snapshot_name))


def _shown(snapshot: Snapshot) -> SnapshotVerification:
    found = snapshot.verification
    if found is None:
        return SnapshotVerification(snapshot_name=snapshot.name, state="none", percent=0)
    files = {part.group: part.file.key.rpartition("/")[2] for part in snapshot.parts if part.file is not None}
    return SnapshotVerification(
        snapshot_name=snapshot.name,
        state=found.verdict.value,
        problem=found.problem,
        asked_at=found.asked_at,
        ended_at=found.ended_at,
        percent=_percent(found),
        parts=[_part(part, files.get(part.group, "")) for part in found.parts],
    )


def _part(part: PartVerification, file: str) -> VerifiedPart:
    return VerifiedPart(
        node_group_id=part.group,
        file=file,
        state=part.verdict.value,
        step=part.step or None,
        done=part.done,
        total=part.total,
        problem=part.problem,
        agent=part.agent,
        engine=part.binary.engine if part.binary else None,
        engine_version=part.binary.version if part.binary else None,
        keys=part.keys,
        expires=part.expires,
        functions=part.functions,
        digest=part.digest,
        digest_after=part.digest_after,
    )


def _percent(found: Verification) -> int:
    """Of the files: each counts once it has a verdict, for how many steps an engine needs is the agent's own affair."""
    if not found.is_running:
        return 100
    return 100 * sum(part.is_over for part in found.parts) // max(1, len(found.parts))


