"""Requests, results, parts and promises of a snapshot: what a cache held at one moment, kept aside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api_schemas.operation import NOTHING, Operation, Subject
from api_schemas.paging import Paged
from api_schemas.parts import NodeGroupConfiguration, Tag
from api_schemas.shape import Aws, Shape

SNAPSHOT = "snapshot"

LARGEST_PAGE = 50  # of a listing of snapshots, and what it has when not said


class CreateSnapshot(Shape):
    """Of what a snapshot shall be taken, and under which name."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    snapshot_name: str
    kms_key_id: str | None = None
    tags: list[Tag] = Field(default_factory=list)


class DescribeSnapshots(Paged):
    """Which snapshots to show: one by name, those of a source, those that callers made (user) or that were made for them (system)."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    snapshot_name: str | None = None
    snapshot_source: str | None = None
    show_node_group_config: bool | None = None


class CopySnapshot(Shape):
    """Which snapshot shall be copied, and under which name; with a bucket its files go there, and there is no new snapshot."""

    source_snapshot_name: str
    target_snapshot_name: str
    target_bucket: str | None = None
    kms_key_id: str | None = None
    tags: list[Tag] = Field(default_factory=list)


class DeleteSnapshot(Shape):
    """Which snapshot shall go."""

    snapshot_name: str


class NodeSnapshot(Shape):
    """One node group of a snapshot. ``cache_size`` is a text such as ``3 MB``, empty until its data is saved."""

    cache_cluster_id: str | None = None
    node_group_id: str | None = None
    cache_node_id: str | None = None
    node_group_configuration: NodeGroupConfiguration | None = None
    cache_size: str = ""
    cache_node_create_time: datetime | None = None
    snapshot_create_time: datetime | None = None


class Snapshot(Shape):
    """A snapshot as it is, and what its source was when it was taken."""

    snapshot_name: str
    replication_group_id: str | None = None
    replication_group_description: str | None = None
    cache_cluster_id: str | None = None
    snapshot_status: str
    snapshot_source: str
    cache_node_type: str
    engine: str
    engine_version: str
    num_cache_nodes: int | None = None
    preferred_availability_zone: str | None = None
    cache_cluster_create_time: datetime | None = None
    preferred_maintenance_window: str
    topic_arn: str | None = None
    port: int
    cache_parameter_group_name: str
    cache_subnet_group_name: str | None = None
    vpc_id: str
    auto_minor_version_upgrade: bool
    snapshot_retention_limit: int
    snapshot_window: str
    num_node_groups: int | None = None
    automatic_failover: str | None = None
    node_snapshots: list[NodeSnapshot] = Field(default_factory=list)
    arn: Annotated[str, Aws("ARN")]
    data_tiering: str


class SnapshotResult(Shape):
    """One snapshot."""

    snapshot: Snapshot


class SnapshotList(Shape):
    """A page of snapshots."""

    marker: str | None = None
    snapshots: list[Snapshot]


CREATE_SNAPSHOT = Operation(
    "CreateSnapshot", "POST /snapshots", CreateSnapshot, SnapshotResult,
    "Take a snapshot of a replication group, of one of its members, or of a stand-alone Redis node.",
    Subject(SNAPSHOT, "snapshot_name"),
    in_engines="`BGSAVE` on one node of each shard, a replica where one is in sync.",
)  # fmt: skip
DESCRIBE_SNAPSHOTS = Operation(
    "DescribeSnapshots", "GET /snapshots", DescribeSnapshots, SnapshotList,
    "Show one snapshot, those of a source, or all.",
    Subject(SNAPSHOT, "snapshot_name"), reads=True,
)  # fmt: skip
COPY_SNAPSHOT = Operation(
    "CopySnapshot", "POST /snapshots/{source_snapshot_name}/copy", CopySnapshot, SnapshotResult,
    "Copy a snapshot under another name, or export its files to a bucket.",
    Subject(SNAPSHOT, "target_snapshot_name", instead=("target_bucket", "source_snapshot_name")), in_engines=NOTHING,
)  # fmt: skip
DELETE_SNAPSHOT = Operation(
    "DeleteSnapshot", "DELETE /snapshots/{snapshot_name}", DeleteSnapshot, SnapshotResult,
    "Delete a snapshot with its files.",
    Subject(SNAPSHOT, "snapshot_name"), in_engines=NOTHING,
)  # fmt: skip
