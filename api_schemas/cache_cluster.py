"""Requests, results, parts and promises of a cache cluster: one Redis or Valkey node, or a Memcached cluster of several."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api_schemas.operation import Operation, Subject
from api_schemas.paging import Paged
from api_schemas.parts import (
    CacheSecurityGroupMembership,
    Endpoint,
    LogDeliveryConfiguration,
    LogDeliveryConfigurationRequest,
    NotificationConfiguration,
    PendingLogDeliveryConfiguration,
    SecurityGroupMembership,
    Tag,
)
from api_schemas.shape import Aws, Shape

CACHE_CLUSTER = "cache-cluster"


class CreateCacheCluster(Shape):
    """What a new cache cluster shall be; with ``replication_group_id`` it is one more replica of that group."""

    cache_cluster_id: str
    replication_group_id: str | None = None
    az_mode: Annotated[str | None, Aws("AZMode")] = None
    preferred_availability_zone: str | None = None
    preferred_availability_zones: list[str] = Field(default_factory=list)
    num_cache_nodes: int | None = None
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
    outpost_mode: str | None = None
    preferred_outpost_arn: str | None = None
    preferred_outpost_arns: list[str] = Field(default_factory=list)
    log_delivery_configurations: list[LogDeliveryConfigurationRequest] = Field(default_factory=list)
    transit_encryption_enabled: bool | None = None
    network_type: str | None = None
    ip_discovery: str | None = None


class ScaleConfig(Shape):
    """How a Memcached cluster shall move to another node type: how much of it at a time, and how far apart."""

    scale_percentage: int | None = None
    scale_interval_minutes: int | None = None


class ModifyCacheCluster(Shape):
    """What shall change of a cache cluster; what is left out stays."""

    cache_cluster_id: str
    num_cache_nodes: int | None = None
    cache_node_ids_to_remove: list[str] = Field(default_factory=list)
    az_mode: Annotated[str | None, Aws("AZMode")] = None
    new_availability_zones: list[str] = Field(default_factory=list)
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
    log_delivery_configurations: list[LogDeliveryConfigurationRequest] = Field(default_factory=list)
    ip_discovery: str | None = None
    scale_config: ScaleConfig | None = None


class DeleteCacheCluster(Shape):
    """Which cache cluster shall go."""

    cache_cluster_id: str
    final_snapshot_identifier: str | None = None


class RebootCacheCluster(Shape):
    """Which nodes of a cache cluster shall be started again, empty."""

    cache_cluster_id: str
    cache_node_ids_to_reboot: list[str]


class DescribeCacheClusters(Paged):
    """Which cache clusters to show: one by id, or all; with their nodes or without."""

    cache_cluster_id: str | None = None
    show_cache_node_info: bool | None = None
    show_cache_clusters_not_in_replication_groups: bool | None = None


class CacheNode(Shape):
    """One engine of a cache cluster."""

    cache_node_id: str
    cache_node_status: str
    cache_node_create_time: datetime | None = None
    endpoint: Endpoint | None = None
    parameter_group_status: str | None = None
    customer_availability_zone: str | None = None


class CacheParameterGroupStatus(Shape):
    """The parameter group of a cache cluster, and whether its nodes run with its values."""

    cache_parameter_group_name: str
    parameter_apply_status: str
    cache_node_ids_to_reboot: list[str] = Field(default_factory=list)


class PendingModifiedValues(Shape):
    """Changes that wait for the maintenance window, or are under way."""

    num_cache_nodes: int | None = None
    cache_node_ids_to_remove: list[str] | None = None
    engine_version: str | None = None
    cache_node_type: str | None = None
    log_delivery_configurations: list[PendingLogDeliveryConfiguration] | None = None
    auth_token_status: str | None = None


class CacheCluster(Shape):
    """A cache cluster as it is."""

    cache_cluster_id: str
    configuration_endpoint: Endpoint | None = None
    client_download_landing_page: str
    cache_node_type: str
    engine: str
    engine_version: str
    cache_cluster_status: str
    num_cache_nodes: int
    preferred_availability_zone: str | None = None
    cache_cluster_create_time: datetime | None = None
    preferred_maintenance_window: str
    pending_modified_values: PendingModifiedValues = Field(default_factory=PendingModifiedValues)
    notification_configuration: NotificationConfiguration | None = None
    cache_security_groups: list[CacheSecurityGroupMembership] = Field(default_factory=list)
    cache_parameter_group: CacheParameterGroupStatus
    cache_subnet_group_name: str | None = None
    cache_nodes: list[CacheNode] | None = None
    auto_minor_version_upgrade: bool
    security_groups: list[SecurityGroupMembership] = Field(default_factory=list)
    replication_group_id: str | None = None
    snapshot_retention_limit: int | None = None
    snapshot_window: str | None = None
    auth_token_enabled: bool
    auth_token_last_modified_date: datetime | None = None
    transit_encryption_enabled: bool
    transit_encryption_mode: str | None = None
    at_rest_encryption_enabled: bool
    arn: Annotated[str, Aws("ARN")]
    replication_group_log_delivery_enabled: bool
    log_delivery_configurations: list[LogDeliveryConfiguration] = Field(default_factory=list)
    network_type: str
    ip_discovery: str


class CacheClusterResult(Shape):
    """One cache cluster."""

    cache_cluster: CacheCluster


class CacheClusters(Shape):
    """A page of cache clusters."""

    marker: str | None = None
    cache_clusters: list[CacheCluster]


CREATE_CACHE_CLUSTER = Operation(
    "CreateCacheCluster", "POST /cache-clusters", CreateCacheCluster, CacheClusterResult,
    "Create a stand-alone Redis node or a Memcached cluster, or add a replica to a replication group.",
    Subject(CACHE_CLUSTER, "cache_cluster_id"),
    in_engines="A program is started for each node, with the type's memory and the group's values in its file or flags; a replica: "
               "`REPLICAOF`, in cluster mode `CLUSTER MEET` and `CLUSTER REPLICATE`. From a snapshot: the file is there when it "
               "starts.",
)  # fmt: skip
DESCRIBE_CACHE_CLUSTERS = Operation(
    "DescribeCacheClusters", "GET /cache-clusters", DescribeCacheClusters, CacheClusters,
    "Show one cache cluster, or all: every member of a replication group is one.",
    Subject(CACHE_CLUSTER, "cache_cluster_id"), reads=True,
)  # fmt: skip
MODIFY_CACHE_CLUSTER = Operation(
    "ModifyCacheCluster", "PATCH /cache-clusters/{cache_cluster_id}", ModifyCacheCluster, CacheClusterResult,
    "Change a cache cluster's windows, flags, node type or engine version, or add and remove Memcached nodes.",
    Subject(CACHE_CLUSTER, "cache_cluster_id"),
    in_engines="Node type, version: each program is started anew in its turn. Memcached nodes: started, or stopped. Parameter group: "
               "`CONFIG SET` on every node, Memcached's flags at its next reboot. Windows and flags: nothing.",
)  # fmt: skip
DELETE_CACHE_CLUSTER = Operation(
    "DeleteCacheCluster", "DELETE /cache-clusters/{cache_cluster_id}", DeleteCacheCluster, CacheClusterResult,
    "Delete a stand-alone cache cluster, or remove a replica from its group.",
    Subject(CACHE_CLUSTER, "cache_cluster_id"),
    in_engines="Its programs are stopped, a replica's after its readers were led away; in cluster mode the others are told `CLUSTER "
               "FORGET`.",
)  # fmt: skip
REBOOT_CACHE_CLUSTER = Operation(
    "RebootCacheCluster", "POST /cache-clusters/{cache_cluster_id}/reboot", RebootCacheCluster, CacheClusterResult,
    "Start nodes of a cache cluster again; they come back empty, at their addresses.",
    Subject(CACHE_CLUSTER, "cache_cluster_id"),
    in_engines="The program is stopped, what it kept is removed, and it is started with the values of the moment; with a primary its "
               "replicas too, and each copies its primary again.",
)  # fmt: skip
