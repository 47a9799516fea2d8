"""Requests, results, parts and promises of a replication group."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api_schemas.operation import Operation, Subject
from api_schemas.paging import Paged
from api_schemas.parts import (
    Endpoint,
    LogDeliveryConfiguration,
    LogDeliveryConfigurationRequest,
    NodeGroupConfiguration,
    PendingLogDeliveryConfiguration,
    Tag,
)
from api_schemas.shape import Aws, Shape

GROUP = "replication-group"


class CreateReplicationGroup(Shape):
    """What a new replication group shall be. Everything but the id and the description has a default."""

    replication_group_id: str
    replication_group_description: str
    global_replication_group_id: str | None = None
    primary_cluster_id: str | None = None
    automatic_failover_enabled: bool | None = None
    multi_az_enabled: Annotated[bool | None, Aws("MultiAZEnabled")] = None
    num_cache_clusters: int | None = None
    preferred_cache_cluster_azs: Annotated[list[str], Aws("PreferredCacheClusterAZs")] = Field(default_factory=list)
    num_node_groups: int | None = None
    replicas_per_node_group: int | None = None
    node_group_configuration: list[NodeGroupConfiguration] = Field(default_factory=list)
    cache_node_type: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    cache_parameter_group_name: str | None = None
    cache_subnet_group_name: str | None = None
    cache_security_group_names: list[str] = Field(default_factory=list)
    security_group_ids: list[str] = Field(default_factory=list)
    tags: list[Tag] = Field(default_factory=list)
    snapshot_arns: list[str] = Field(default_factory=list)
    snapshot_name: str | None = None
    preferred_maintenance_window: str | None = None
    port: int | None = None
    notification_topic_arn: str | None = None
    auto_minor_version_upgrade: bool | None = None
    snapshot_retention_limit: int | None = None
    snapshot_window: str | None = None
    auth_token: str | None = Field(None, repr=False)
    transit_encryption_enabled: bool | None = None
    at_rest_encryption_enabled: bool | None = None
    kms_key_id: str | None = None
    user_group_ids: list[str] = Field(default_factory=list)
    log_delivery_configurations: list[LogDeliveryConfigurationRequest] = Field(default_factory=list)
    data_tiering_enabled: bool | None = None
    network_type: str | None = None
    ip_discovery: str | None = None
    transit_encryption_mode: str | None = None
    cluster_mode: str | None = None
    serverless_cache_snapshot_name: str | None = None
    durability: str | None = None


class ModifyReplicationGroup(Shape):
    """What shall change of a replication group; what is left out stays."""

    replication_group_id: str
    replication_group_description: str | None = None
    primary_cluster_id: str | None = None
    snapshotting_cluster_id: str | None = None
    automatic_failover_enabled: bool | None = None
    multi_az_enabled: Annotated[bool | None, Aws("MultiAZEnabled")] = None
    node_group_id: str | None = None
    cache_security_group_names: list[str] = Field(default_factory=list)
    security_group_ids: list[str] | None = None
    preferred_maintenance_window: str | None = None
    notification_topic_arn: str | None = None
    cache_parameter_group_name: str | None = None
    notification_topic_status: str | None = None
    apply_immediately: bool | None = None
    engine: str | None = None
    engine_version: str | None = None
    auto_minor_version_upgrade: bool | None = None
    snapshot_retention_limit: int | None = None
    snapshot_window: str | None = None
    cache_node_type: str | None = None
    auth_token: str | None = Field(None, repr=False)
    auth_token_update_strategy: str | None = None
    user_group_ids_to_add: list[str] = Field(default_factory=list)
    user_group_ids_to_remove: list[str] = Field(default_factory=list)
    remove_user_groups: bool | None = None
    log_delivery_configurations: list[LogDeliveryConfigurationRequest] = Field(default_factory=list)
    ip_discovery: str | None = None
    transit_encryption_enabled: bool | None = None
    transit_encryption_mode: str | None = None
    cluster_mode: str | None = None
    durability: str | None = None


class ReshardingConfiguration(Shape):
    """The zones of one node group to be, the primary's first."""

    node_group_id: str | None = None
    preferred_availability_zones: list[str] = Field(default_factory=list)


class ModifyReplicationGroupShardConfiguration(Shape):
    """How many node groups there shall be; which go, or which stay, when there shall be fewer."""

    replication_group_id: str
    node_group_count: int
    apply_immediately: bool
    resharding_configuration: list[ReshardingConfiguration] = Field(default_factory=list)
    node_groups_to_remove: list[str] = Field(default_factory=list)
    node_groups_to_retain: list[str] = Field(default_factory=list)


class DeleteReplicationGroup(Shape):
    """Which replication group shall go, and whether its primary stays as a cache cluster of its own."""

    replication_group_id: str
    retain_primary_cluster: bool | None = None
    final_snapshot_identifier: str | None = None


class DescribeReplicationGroups(Paged):
    """Which replication groups to show: one by id, or all."""

    replication_group_id: str | None = None


class FailoverTest(Shape):
    """Which node group's primary shall fail over to a replica."""

    replication_group_id: str
    node_group_id: str


class ConfigureShard(Shape):
    """How many replicas a node group shall have, and the zones of its nodes, that of the primary among them."""

    node_group_id: str
    new_replica_count: int
    preferred_availability_zones: list[str] = Field(default_factory=list)
    preferred_outpost_arns: list[str] = Field(default_factory=list)


class IncreaseReplicaCount(Shape):
    """How many replicas every node group shall have, or those that are named; more than now."""

    replication_group_id: str
    new_replica_count: int | None = None
    replica_configuration: list[ConfigureShard] = Field(default_factory=list)
    apply_immediately: bool


class DecreaseReplicaCount(Shape):
    """How many replicas every node group shall have, or those that are named, fewer than now; or which replicas shall go."""

    replication_group_id: str
    new_replica_count: int | None = None
    replica_configuration: list[ConfigureShard] = Field(default_factory=list)
    replicas_to_remove: list[str] = Field(default_factory=list)
    apply_immediately: bool


class DescribeHistory(Shape):
    """Which replication group's elections to tell."""

    replication_group_id: str


class Candidate(Shape):
    """A replica at an election: whether it told its state after the loss, was proven, and how many bytes it had replicated."""

    cache_cluster_id: str
    answered: bool
    proven: bool
    offset: int


class Election(Shape):
    """A primary that was elected: when, where, at which epoch, instead of whom, why, and among whom, the best first."""

    at: datetime
    node_group_id: str
    epoch: int
    former: str | None = None
    elected: str
    because: str
    candidates: list[Candidate] = Field(default_factory=list)


class History(Shape):
    """The newest elections of a replication group, the newest first."""

    elections: list[Election]


class NodeGroupMember(Shape):
    """One node of a node group."""

    cache_cluster_id: str
    cache_node_id: str
    read_endpoint: Endpoint | None = None
    preferred_availability_zone: str | None = None
    current_role: str | None = None


class NodeGroup(Shape):
    """A primary and its replicas."""

    node_group_id: str
    status: str
    primary_endpoint: Endpoint | None = None
    reader_endpoint: Endpoint | None = None
    slots: str | None = None
    node_group_members: list[NodeGroupMember] = Field(default_factory=list)


class SlotMigration(Shape):
    """How far slots have moved, in percent."""

    progress_percentage: float


class ReshardingStatus(Shape):
    """What is under way between node groups."""

    slot_migration: SlotMigration


class UserGroupsUpdateStatus(Shape):
    """Which user group comes and which goes."""

    user_group_ids_to_add: list[str] = Field(default_factory=list)
    user_group_ids_to_remove: list[str] = Field(default_factory=list)


class ReplicationGroupPendingModifiedValues(Shape):
    """Changes that wait for the maintenance window, or are under way."""

    automatic_failover_status: str | None = None
    auth_token_status: str | None = None
    user_groups: UserGroupsUpdateStatus | None = None
    cluster_mode: str | None = None
    resharding: ReshardingStatus | None = None
    log_delivery_configurations: list[PendingLogDeliveryConfiguration] | None = None
    transit_encryption_enabled: bool | None = None
    transit_encryption_mode: str | None = None


class ReplicationGroup(Shape):
    """A replication group as it is."""

    replication_group_id: str
    description: str
    status: str
    pending_modified_values: ReplicationGroupPendingModifiedValues = Field(default_factory=ReplicationGroupPendingModifiedValues)
    member_clusters: list[str] = Field(default_factory=list)
    node_groups: list[NodeGroup] | None = None
    snapshotting_cluster_id: str | None = None
    automatic_failover: str
    multi_az: Annotated[str, Aws("MultiAZ")]
    configuration_endpoint: Endpoint | None = None
    snapshot_retention_limit: int
    snapshot_window: str
    cluster_enabled: bool
    cache_node_type: str
    auth_token_enabled: bool
    auth_token_last_modified_date: datetime | None = None
    user_group_ids: list[str] = Field(default_factory=list)
    transit_encryption_enabled: bool
    transit_encryption_mode: str | None = None
    at_rest_encryption_enabled: bool
    arn: Annotated[str, Aws("ARN")]
    log_delivery_configurations: list[LogDeliveryConfiguration] = Field(default_factory=list)
    replication_group_create_time: datetime
    data_tiering: str
    auto_minor_version_upgrade: bool
    network_type: str
    ip_discovery: str
    cluster_mode: str
    engine: str


class ReplicationGroupResult(Shape):
    """One replication group."""

    replication_group: ReplicationGroup


class ReplicationGroups(Shape):
    """A page of replication groups."""

    marker: str | None = None
    replication_groups: list[ReplicationGroup]


CREATE_REPLICATION_GROUP = Operation(
    "CreateReplicationGroup", "POST /replication-groups", CreateReplicationGroup, ReplicationGroupResult,
    "Create a replication group: a primary with its replicas, spread over zones.",
    Subject(GROUP, "replication_group_id"),
    in_engines="A program is started for each node, with the type's memory and the group's values in its file; `REPLICAOF` on "
               "replicas, `CONFIG SET bind` where an endpoint is held. Cluster mode: members and slots in `nodes.conf`, `CLUSTER "
               "MEET`, `REPLICATE`, `ADDSLOTSRANGE`.",
)  # fmt: skip
DESCRIBE_REPLICATION_GROUPS = Operation(
    "DescribeReplicationGroups", "GET /replication-groups", DescribeReplicationGroups, ReplicationGroups,
    "Show one replication group, or all.",
    Subject(GROUP, "replication_group_id"), reads=True,
)  # fmt: skip
MODIFY_REPLICATION_GROUP = Operation(
    "ModifyReplicationGroup", "PATCH /replication-groups/{replication_group_id}", ModifyReplicationGroup, ReplicationGroupResult,
    "Change a replication group's description, windows, flags, user group, AUTH token, node type, engine version or cluster mode.",
    Subject(GROUP, "replication_group_id"),
    in_engines="Node type, engine, version, cluster mode, encryption: each program is started anew in its turn, after a handover for a "
               "primary. User group, AUTH token: `ACL SETUSER` and `ACL DELUSER` on every node. "
               "PrimaryClusterId: the handover of TestFailover. Parameter group: `CONFIG SET` on every node. Description, windows and "
               "flags: nothing.",
)  # fmt: skip
MODIFY_SHARD_CONFIGURATION = Operation(
    "ModifyReplicationGroupShardConfiguration", "POST /replication-groups/{replication_group_id}/shard-configuration",
    ModifyReplicationGroupShardConfiguration, ReplicationGroupResult,
    "Add or remove node groups in cluster mode, or share the slots out evenly anew, while clients go on.",
    Subject(GROUP, "replication_group_id"),
    in_engines="New shards are started and get `FUNCTION RESTORE`; slots go by `CLUSTER MIGRATESLOTS` (Valkey 9), elsewhere by "
               "`CLUSTER SETSLOT` and `MIGRATE`; shards without slots are stopped and forgotten (`CLUSTER FORGET`).",
)  # fmt: skip
DELETE_REPLICATION_GROUP = Operation(
    "DeleteReplicationGroup", "DELETE /replication-groups/{replication_group_id}", DeleteReplicationGroup, ReplicationGroupResult,
    "Delete a replication group with its nodes, or keep its primary as a cache cluster of its own.",
    Subject(GROUP, "replication_group_id"),
    in_engines="Its programs are stopped; a primary that is kept goes on without replicas.",
)  # fmt: skip
TEST_FAILOVER = Operation(
    "TestFailover", "POST /replication-groups/{replication_group_id}/failover", FailoverTest, ReplicationGroupResult,
    "Have the primary of a node group fail over to a replica, to see what an application makes of it.",
    Subject(GROUP, "replication_group_id"),
    in_engines="`CLIENT PAUSE WRITE` on the primary until its heir has every write; heir: `REPLICAOF NO ONE`, in cluster mode `CLUSTER "
               "FAILOVER TAKEOVER`; others: `REPLICAOF`, `CLUSTER REPLICATE`; `CONFIG SET bind` moves the endpoint. The former primary "
               "is then started anew, empty.",
)  # fmt: skip
INCREASE_REPLICA_COUNT = Operation(
    "IncreaseReplicaCount", "POST /replication-groups/{replication_group_id}/increase-replica-count",
    IncreaseReplicaCount, ReplicationGroupResult,
    "Add replicas to every node group, or to those that are named.",
    Subject(GROUP, "replication_group_id"),
    in_engines="A program is started for each new replica: `REPLICAOF`, in cluster mode `CLUSTER MEET` and `CLUSTER REPLICATE`; "
               "readers are led to it once it is in sync.",
)  # fmt: skip
DECREASE_REPLICA_COUNT = Operation(
    "DecreaseReplicaCount", "POST /replication-groups/{replication_group_id}/decrease-replica-count",
    DecreaseReplicaCount, ReplicationGroupResult,
    "Remove replicas from every node group or from those that are named, or the replicas that are named.",
    Subject(GROUP, "replication_group_id"),
    in_engines="Readers are led away from replicas that go, then their programs are stopped; in cluster mode the others are told "
               "`CLUSTER FORGET`.",
)  # fmt: skip
DESCRIBE_HISTORY = Operation(
    "DescribeHistory", "GET /replication-groups/{replication_group_id}/history", DescribeHistory, History,
    "Tell every election of a replication group: candidates, offsets, epoch and reason.", reads=True, ours=True,
)  # fmt: skip
