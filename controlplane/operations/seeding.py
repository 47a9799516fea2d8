"""What a new cache begins with: a snapshot, or files in callers' buckets. What cannot work is refused before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from api_schemas.faults import (
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSnapshotState,
    SnapshotNotFound,
)
from archives.bucket_names import BadArnError, parse_object_arn
from archives.buckets import BucketError, Buckets
from archives.rdb.header import read_version, why_unreadable
from controlplane.domain.backup import SavedFile, Seed
from controlplane.domain.binaries import best_binary
from controlplane.domain.node_types import MIB, node_type
from controlplane.domain.resources import databases_of, resources_of
from controlplane.domain.seeding import cuts, expected_bytes
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Binary, ClusterMode, Topology
from controlplane.operations.bucket_faults import fault_of
from controlplane.operations.context import Context


class AskedSeed(Protocol):
    """The fields of a create request that say what a new cache begins with."""

    @property
    def snapshot_name(self) -> str | None: ...
    @property
    def snapshot_arns(self) -> list[str]: ...


def snapshot_asked(ctx: Context, asked: AskedSeed) -> Snapshot | None:
    """The snapshot that a new cache shall begin with, if any.

    Raises InvalidParameterCombination beside files, SnapshotNotFound, and InvalidSnapshotState for one that is not available.
    """
    if asked.snapshot_name and asked.snapshot_arns:
        raise InvalidParameterCombination("SnapshotName and SnapshotArns cannot be given together: give the snapshot, or the files.")
    if not asked.snapshot_name:
        return None
    snapshot = ctx.unit.snapshots.named(ctx.world, asked.snapshot_name.lower())
    if snapshot is None:
        raise SnapshotNotFound(asked.snapshot_name)
    if snapshot.state is not SnapshotState.AVAILABLE:
        raise InvalidSnapshotState(f"Snapshot {snapshot.name} must be available to be restored; it is {snapshot.state.value}.")
    return snapshot


def seeded(ctx: Context, topology: Topology, asked: AskedSeed, snapshot: Snapshot | None) -> Topology:
    """The new topology with what it begins with, which may be nothing.

    Raises InvalidParameterCombination for a snapshot whose data it could not take, InvalidParameterValue for the wrong number of files.
    """
    if snapshot is not None:
        _must_be_able_to_read(ctx, topology, snapshot)
        _must_be_able_to_hold(topology, snapshot)
        return replace(topology, seed=Seed(snapshot.name, ctx.archive, snapshot=snapshot.uid))
    if asked.snapshot_arns:
        _must_be_as_many_as_needed(topology, asked)
        return replace(topology, seed=Seed(_called(asked.snapshot_arns), ctx.archive, arns=tuple(asked.snapshot_arns)))
    return topology


def must_join_empty(asked: AskedSeed) -> None:
    """Raises InvalidParameterCombination for a replica that should begin with anything but its primary's data."""
    if asked.snapshot_name or asked.snapshot_arns:
        raise InvalidParameterCombination(
            "A replica that joins a replication group gets its data from the primary: leave out SnapshotName and SnapshotArns."
        )


# ---- a snapshot


def _must_be_able_to_read(ctx: Context, topology: Topology, snapshot: Snapshot) -> None:
    """What counts is the program that would load a file, which may be of another version than the one that is asked for."""
    for version in sorted({file.version for file in _files(snapshot)}):
        for zone in sorted({node.zone for group in topology.node_groups if (node := group.primary_node) is not None}):
            programs = _programs(ctx, topology, zone)
            reasons = [why_unreadable(read_version(version.encode()), program.engine, program.version) for program in programs]
            if reasons and None not in reasons:
                raise InvalidParameterCombination(
                    f"Snapshot {snapshot.name} cannot be restored into {topology.engine} {topology.engine_version} in {zone}. {reasons[0]} "
                    "Nothing was created; choose a later version."
                )


def _programs(ctx: Context, topology: Topology, zone: str) -> list[Binary]:
    """What each agent of a zone would run for the topology, of those that can."""
    offers = [[Binary(**each.model_dump()) for each in hello.engines] for hello in ctx.unit.agents.all() if hello.zone[-1:] == zone[-1:]]
    found = [best_binary(topology.engine, topology.engine_version, offered) for offered in offers]
    return [program for program in found if program is not None]


def _must_be_able_to_hold(topology: Topology, snapshot: Snapshot) -> None:
    if node_type(topology.node_type).tiers_data != node_type(snapshot.origin.node_type).tiers_data:
        raise InvalidParameterCombination(
            f"Snapshot {snapshot.name} was taken of {snapshot.origin.node_type} and cannot be restored into {topology.node_type}: "
            "only one of the two keeps part of its data on a disk."
        )
    for file in _files(snapshot):
        _must_have_the_databases(topology, snapshot, file)
    _must_have_the_memory(topology, snapshot)


def _files(snapshot: Snapshot) -> Iterator[SavedFile]:
    return (part.file for part in snapshot.parts if part.file is not None)


def _must_have_the_databases(topology: Topology, snapshot: Snapshot, file: SavedFile) -> None:
    parameter = "cluster-databases" if topology.has_bus else "databases"
    most = databases_of(topology)
    if file.databases <= most:
        return
    where = f"in cluster mode {topology.engine} {topology.engine_version}" if topology.has_bus else "the new cache"
    raise InvalidParameterCombination(
        f"Snapshot {snapshot.name} has keys in database {file.databases - 1}, and {where} would have {most} "
        f"({parameter} of {topology.parameter_group}). Nothing was created."
    )


def _must_have_the_memory(topology: Topology, snapshot: Snapshot) -> None:
    """What a slot holds is taken to be its share of what its node group did."""
    used = {part.group: part.file.used_memory for part in snapshot.parts if part.file is not None}
    owned = {part.group: part.slots for part in snapshot.parts}
    most = resources_of(topology).memory
    for cut in cuts(snapshot.parts, topology.node_groups):
        needed = sum(expected_bytes(used.get(share.source, 0), owned[share.source], share.slots) for share in cut.shares)
        if needed > most:
            raise InvalidParameterCombination(
                f"The data of snapshot {snapshot.name} does not fit: node group {cut.target} would hold some {needed / MIB:.0f} MiB, and a "
                f"node of type {topology.node_type} can hold {most / MIB:.0f} MiB. Choose a larger type, or more shards."
            )


# ---- files in buckets


def files_to_find(ctx: Context, asked: AskedSeed) -> Callable[[], None] | None:
    """What is to be made sure of before a cache is made that begins with files: that they are there and can be read."""
    if not asked.snapshot_arns or asked.snapshot_name:
        return None  # both together are refused whatever is there
    objects, buckets = [_object(named) for named in asked.snapshot_arns], ctx.buckets
    if buckets is None:
        raise InvalidParameterValue("SnapshotArns cannot be given: this control plane reaches no buckets. Nothing was changed.")
    return lambda: must_be_readable(buckets, objects)


def must_be_readable(buckets: Buckets, objects: Iterable[tuple[str, str]]) -> None:
    """Raises InvalidParameterValue where one of the objects cannot be a file to begin with, ServiceUnavailable where that is not known."""
    for bucket, key in objects:
        try:
            size = buckets.size(bucket, key)
        except BucketError as failed:
            raise fault_of(failed) from failed
        if not size:
            raise InvalidParameterValue(f"The object {key} in the S3 bucket {bucket} is empty: it is no RDB file.")


def _object(named: str) -> tuple[str, str]:
    """The bucket and the key in an ARN."""
    try:
        return parse_object_arn(named)
    except BadArnError as bad:
        raise InvalidParameterValue(f"SnapshotArns is not valid: {bad}.") from bad


def _must_be_as_many_as_needed(topology: Topology, asked: AskedSeed) -> None:
    arns = asked.snapshot_arns
    if twice := next((named for named in arns if arns.count(named) > 1), None):
        raise InvalidParameterValue(f"SnapshotArns names {twice} more than once.")
    if topology.cluster_mode is not ClusterMode.ENABLED and len(arns) != 1:
        raise InvalidParameterValue(f"SnapshotArns names {len(arns)} files, and a cache without several shards begins with exactly 1.")
    configured = getattr(asked, "node_group_configuration", [])
    if any(part.slots for part in configured) and len(arns) != len(configured):
        raise InvalidParameterValue(
            f"SnapshotArns names {len(arns)} files for {len(configured)} node groups with Slots: give one for each of them, or no Slots."
        )


def _called(arns: list[str]) -> str:
    return arns[0] if len(arns) == 1 else f"{arns[0]} and {len(arns) - 1} more"
