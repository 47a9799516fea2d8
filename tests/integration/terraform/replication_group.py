"""``aws_elasticache_replication_group``, with cluster mode disabled and enabled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.cache_cluster import active_topic, read_settings
from integration.terraform.log_delivery import create_request, equal_blocks, read_blocks, update_request
from integration.terraform.lookup import NotThere, find_all, find_replication_group
from integration.terraform.patience import GONE, StateChange, code_of, retried, says
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_as_sets, equal_in_lower_case

MISSING, BUSY = "ReplicationGroupNotFoundFault", "InvalidReplicationGroupState"

AVAILABLE = StateChange({"creating", "modifying", "snapshotting"}, {"available"})
DELETED = StateChange({"creating", "available", "deleting"})
MEMBERS_AVAILABLE = StateChange({"creating", "deleting", "modifying", "snapshotting"}, {"available"})

REQUEST = {
    "at_rest_encryption_enabled": "AtRestEncryptionEnabled",
    "auth_token": "AuthToken",
    "auto_minor_version_upgrade": "AutoMinorVersionUpgrade",
    "automatic_failover_enabled": "AutomaticFailoverEnabled",
    "cluster_mode": "ClusterMode",
    "data_tiering_enabled": "DataTieringEnabled",
    "description": "ReplicationGroupDescription",
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "ip_discovery": "IpDiscovery",
    "maintenance_window": "PreferredMaintenanceWindow",
    "multi_az_enabled": "MultiAZEnabled",
    "network_type": "NetworkType",
    "node_type": "CacheNodeType",
    "notification_topic_arn": "NotificationTopicArn",
    "num_cache_clusters": "NumCacheClusters",
    "num_node_groups": "NumNodeGroups",
    "parameter_group_name": "CacheParameterGroupName",
    "port": "Port",
    "preferred_cache_cluster_azs": "PreferredCacheClusterAZs",
    "replicas_per_node_group": "ReplicasPerNodeGroup",
    "security_group_ids": "SecurityGroupIds",
    "snapshot_retention_limit": "SnapshotRetentionLimit",
    "snapshot_window": "SnapshotWindow",
    "subnet_group_name": "CacheSubnetGroupName",
    "transit_encryption_enabled": "TransitEncryptionEnabled",
    "user_group_ids": "UserGroupIds",
    "transit_encryption_mode": "TransitEncryptionMode",
}
EMPTY_IS_A_VALUE = (
    "replicas_per_node_group", "auto_minor_version_upgrade", "at_rest_encryption_enabled", "automatic_failover_enabled",
    "transit_encryption_enabled",
)  # fmt: skip
"""Sent even when they are 0 or false; other attributes are then left out."""

CHANGEABLE = (
    "auto_minor_version_upgrade", "automatic_failover_enabled", "description", "cluster_mode", "ip_discovery", "maintenance_window",
    "multi_az_enabled", "node_type", "notification_topic_arn", "parameter_group_name", "snapshot_retention_limit", "snapshot_window",
    "transit_encryption_enabled",
)  # fmt: skip
SHARD = {
    "node_group_id": "NodeGroupId",
    "primary_availability_zone": "PrimaryAvailabilityZone",
    "replica_availability_zones": "ReplicaAvailabilityZones",
    "replica_count": "ReplicaCount",
    "slots": "Slots",
}


def equal_shards(wanted: Any, present: Any) -> bool:
    """The same shards by their ids, in everything that is configured of each: a text of slots and an order of zones count."""
    if len(wanted or ()) != len(present or ()):
        return False
    shown = {shard["node_group_id"]: shard for shard in present or ()}
    pairs = [(shard, shown.get(shard.get("node_group_id", f"{place + 1:04d}"))) for place, shard in enumerate(wanted or ())]
    return all(there is not None and all(there[name] == value for name, value in shard.items()) for shard, there in pairs)


class ReplicationGroup(Resource):
    """A replication group with its members."""

    schema = {
        "replication_group_id": Attribute(forces_new=True, same=equal_in_lower_case),
        "description": Attribute(),
        "engine": Attribute(default="redis"),
        "engine_version": Attribute(computed=True),
        "node_type": Attribute(computed=True),
        "num_cache_clusters": Attribute(computed=True),
        "num_node_groups": Attribute(computed=True),
        "replicas_per_node_group": Attribute(computed=True),
        "node_group_configuration": Attribute(computed=True, forces_new=True, same=equal_shards),
        "automatic_failover_enabled": Attribute(default=False),
        "multi_az_enabled": Attribute(default=False),
        "cluster_mode": Attribute(computed=True),
        "parameter_group_name": Attribute(computed=True),
        "subnet_group_name": Attribute(computed=True, forces_new=True),
        "security_group_ids": Attribute(computed=True, same=equal_as_sets),
        "port": Attribute(computed=True, forces_new=True),
        "preferred_cache_cluster_azs": Attribute(read_back=False),
        "maintenance_window": Attribute(computed=True, same=equal_in_lower_case),
        "snapshot_window": Attribute(computed=True),
        "snapshot_retention_limit": Attribute(),
        "notification_topic_arn": Attribute(),
        "log_delivery_configuration": Attribute(same=equal_blocks),
        "auto_minor_version_upgrade": Attribute(computed=True),
        "apply_immediately": Attribute(read_back=False),
        "at_rest_encryption_enabled": Attribute(computed=True, forces_new=True),
        "transit_encryption_enabled": Attribute(computed=True),
        "transit_encryption_mode": Attribute(computed=True),
        "data_tiering_enabled": Attribute(computed=True, forces_new=True),
        "ip_discovery": Attribute(computed=True),
        "network_type": Attribute(computed=True, forces_new=True),
        "auth_token": Attribute(read_back=False),
        "auth_token_update_strategy": Attribute(read_back=False),
        "user_group_ids": Attribute(computed=True, same=equal_as_sets),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Engine, failover and encryption in transit are sent whatever is configured; the rest when there is something in it."""
        wanted = {"transit_encryption_enabled": False, **{name: self.asked(config, name) for name in self.schema if name in config}}
        wanted |= {name: self.asked(config, name) for name in ("automatic_failover_enabled", "engine")}
        asked = {REQUEST[name]: value for name, value in wanted.items() if name in REQUEST and (value or name in EMPTY_IS_A_VALUE)}
        if shards := config.get("node_group_configuration"):
            asked["NodeGroupConfiguration"] = [_shard_request(shard) for shard in shards]
        if blocks := config.get("log_delivery_configuration"):
            asked["LogDeliveryConfigurations"] = create_request(blocks)
        made = self.client.create_replication_group(ReplicationGroupId=config["replication_group_id"], Tags=tags, **asked)
        name = str(made["ReplicationGroup"]["ReplicationGroupId"])
        AVAILABLE.wait(lambda: status(self.client, name))
        return name

    def read(self, config: Config) -> State:
        """The group, and then its first member for what only a member shows."""
        group = find_replication_group(self.client, self.id)
        if group.get("Status") == "deleting":
            raise NotThere(f"{self.id} is being deleted")
        shards = group.get("NodeGroups") or []
        state = {
            **_read_flags(group, self.state),
            "description": group.get("Description"),
            "num_cache_clusters": len(group.get("MemberClusters") or []),
            "member_clusters": group.get("MemberClusters"),
            "num_node_groups": len(shards),
            "cluster_enabled": group.get("ClusterEnabled"),
            "cluster_mode": group.get("ClusterMode"),
            "replication_group_id": group["ReplicationGroupId"],
            "arn": group["ARN"],
            "data_tiering_enabled": group.get("DataTiering") == "enabled",
            "ip_discovery": group.get("IpDiscovery"),
            "network_type": group.get("NetworkType"),
            "snapshot_window": group.get("SnapshotWindow"),
            "log_delivery_configuration": read_blocks(group),
            "snapshot_retention_limit": group.get("SnapshotRetentionLimit"),
            "user_group_ids": group.get("UserGroupIds"),
            **_read_endpoints(group, shards),
        }
        if shards:
            state["replicas_per_node_group"] = len(shards[0]["NodeGroupMembers"]) - 1
            state["node_group_configuration"] = [_read_shard(shard) for shard in shards]
        return {**state, **self._read_first_member(group, config)}

    def update(self, config: Config, plan: Plan) -> None:
        """Shards, more replicas, settings, fewer replicas: in this order, with a wait before and after each."""
        for step in self._steps(config, plan):
            self._wait_at_once()
            step()
            self._wait_at_once()

    def delete(self) -> None:
        """Tried again while the group is busy; then it may only be available or deleting until it is gone."""
        try:
            retried(lambda: self.client.delete_replication_group(ReplicationGroupId=self.id), 10, lambda error: says(error, BUSY))
        except ClientError as error:
            if code_of(error) != MISSING:
                raise
            return
        DELETED.wait(lambda: status(self.client, self.id))

    def _steps(self, config: Config, plan: Plan) -> list[Callable[[], None]]:
        members = plan.get("num_cache_clusters")
        number = members.wanted - members.present if members else 0
        settings = self._modification(config, plan)
        possible: list[tuple[bool, Callable[[], None]]] = [
            ("num_node_groups" in plan, lambda: self._change_shards(plan)),
            ("replicas_per_node_group" in plan, lambda: self._change_replicas(plan["replicas_per_node_group"])),
            (number > 0, lambda: self._change_members("increase_replica_count", config)),
            (bool(settings), lambda: self._modify(config, settings)),
            (bool({"auth_token", "auth_token_update_strategy"} & plan.keys()), lambda: self._modify_token(config)),
            (number < 0, lambda: self._change_members("decrease_replica_count", config)),
        ]
        return [step for needed, step in possible if needed]

    def _wait_at_once(self) -> None:
        replace(AVAILABLE, delay=0).wait(lambda: status(self.client, self.id))

    def _modification(self, config: Config, plan: Plan) -> dict[str, Any]:
        asked = {REQUEST[name]: self.asked(config, name) for name in CHANGEABLE if name in plan}
        if "snapshot_retention_limit" in plan:
            asked["SnapshotRetentionLimit"] = config.get("snapshot_retention_limit") or 0  # what is not set any more is sent as none
        if asked.get("NotificationTopicArn", "") is None:
            asked |= {"NotificationTopicArn": "", "NotificationTopicStatus": "inactive"}
        if "log_delivery_configuration" in plan:
            change = plan["log_delivery_configuration"]
            asked["LogDeliveryConfigurations"] = update_request(change.wanted, change.present)
        if "engine_version" in plan:
            asked |= {"EngineVersion": config["engine_version"], "Engine": self.asked(config, "engine")}
        if "user_group_ids" in plan:
            present, wanted = set(plan["user_group_ids"].present or ()), set(config.get("user_group_ids") or ())
            asked |= {"UserGroupIdsToAdd": sorted(wanted - present)} if wanted - present else {}
            asked |= {"UserGroupIdsToRemove": sorted(present - wanted)} if present - wanted else {}
        if "security_group_ids" in plan and config.get("security_group_ids"):
            asked["SecurityGroupIds"] = list(config["security_group_ids"])
        if "snapshot_retention_limit" in plan and not plan["snapshot_retention_limit"].present:
            asked["SnapshottingClusterId"] = f"{self.id}-001"
        return asked

    def _modify(self, config: Config, asked: dict[str, Any]) -> None:
        now = bool(config.get("apply_immediately"))
        try:
            self.client.modify_replication_group(ReplicationGroupId=self.id, ApplyImmediately=now, **asked)
        except ClientError as error:
            if not says(error, "InvalidParameterCombination", "No modifications were requested"):
                raise

    def _modify_token(self, config: Config) -> None:
        """A call of its own, at once, whatever is configured."""
        token = {"AuthToken": config["auth_token"]} if config.get("auth_token") else {}
        strategy = config.get("auth_token_update_strategy", "ROTATE")
        self.client.modify_replication_group(
            ReplicationGroupId=self.id, ApplyImmediately=True, AuthTokenUpdateStrategy=strategy, **token
        )

    def _change_members(self, operation: str, config: Config) -> None:
        replicas = config["num_cache_clusters"] - 1
        getattr(self.client, operation)(ReplicationGroupId=self.id, NewReplicaCount=replicas, ApplyImmediately=True)
        MEMBERS_AVAILABLE.wait(lambda: _members_status(self.client, self.id))

    def _change_replicas(self, change: Any) -> None:
        operation = "increase_replica_count" if change.wanted > change.present else "decrease_replica_count"
        getattr(self.client, operation)(ReplicationGroupId=self.id, NewReplicaCount=change.wanted, ApplyImmediately=True)
        AVAILABLE.wait(lambda: status(self.client, self.id))

    def _change_shards(self, plan: Plan) -> None:
        wanted = plan["num_node_groups"].wanted
        shards = sorted(shard["NodeGroupId"] for shard in find_replication_group(self.client, self.id)["NodeGroups"])
        fewer = {"NodeGroupsToRemove": shards[: wanted - 1 : -1]} if wanted < len(shards) else {}
        self.client.modify_replication_group_shard_configuration(
            ReplicationGroupId=self.id, NodeGroupCount=wanted, ApplyImmediately=True, **fewer
        )
        AVAILABLE.wait(lambda: status(self.client, self.id))

    def _read_first_member(self, group: Any, config: Config) -> State:
        if "NodeGroups" not in group or not group["NodeGroups"][0]["NodeGroupMembers"]:
            return {}
        first = group["NodeGroups"][0]["NodeGroupMembers"][0]["CacheClusterId"]
        found = self.client.describe_cache_clusters(CacheClusterId=first, ShowCacheNodeInfo=True)["CacheClusters"]
        if not found:
            return {}
        return {
            **read_settings(found[0], config),
            "notification_topic_arn": active_topic(found[0]),
            "at_rest_encryption_enabled": found[0].get("AtRestEncryptionEnabled", False),
            "transit_encryption_enabled": found[0].get("TransitEncryptionEnabled"),
            **({} if found[0].get("AuthTokenEnabled") else {"auth_token": None}),
            "transit_encryption_mode": group.get("TransitEncryptionMode"),
        }


def status(client: Any, name: str) -> str:
    """What a waiter for a replication group looks at."""
    try:
        return str(find_replication_group(client, name).get("Status", ""))
    except NotThere:
        return GONE


def _members_status(client: Any, name: str) -> str:
    """``available``, or the first other state among the members, which are looked for among all cache clusters."""
    try:
        members = find_replication_group(client, name)["MemberClusters"]
        found = find_all(client, "describe_cache_clusters", "CacheClusters", "CacheClusterNotFound")
    except NotThere:
        return GONE
    states = [each["CacheClusterStatus"] for each in found if each["CacheClusterId"] in members]
    return next((state for state in states if state != "available"), "available") if states else GONE


def _shard_request(shard: Any) -> dict[str, Any]:
    return {SHARD[name]: value for name, value in shard.items() if value or name == "replica_count"}


def _read_flags(group: Any, before: State) -> State:
    """A word that is not known leaves the attribute as it was."""
    failover = {"enabled": True, "enabling": True, "disabled": False, "disabling": False}
    zones = {"enabled": True, "disabled": False}
    return {
        "automatic_failover_enabled": failover.get(group.get("AutomaticFailover"), before.get("automatic_failover_enabled")),
        "multi_az_enabled": zones.get(group.get("MultiAZ"), before.get("multi_az_enabled")),
    }


def _read_endpoints(group: Any, shards: list[Any]) -> State:
    """The endpoints of a group are an either-or: with a configuration endpoint nobody looks for a primary endpoint."""
    if configuration := group.get("ConfigurationEndpoint"):
        return {"port": configuration["Port"], "configuration_endpoint_address": configuration["Address"]}
    read: State = {}
    if shards and (primary := shards[0].get("PrimaryEndpoint")):
        read |= {"port": primary["Port"], "primary_endpoint_address": primary["Address"]}
    if shards and (reader := shards[0].get("ReaderEndpoint")):
        read["reader_endpoint_address"] = reader["Address"]
    return read


def _read_shard(shard: Any) -> dict[str, Any]:
    """The member in the first place is taken for the primary."""
    zones = [member.get("PreferredAvailabilityZone") for member in shard["NodeGroupMembers"]]
    return {
        "node_group_id": shard.get("NodeGroupId"),
        "replica_count": len(zones) - 1,
        "slots": shard.get("Slots"),
        "primary_availability_zone": zones[0] if zones else "",
        "replica_availability_zones": zones[1:],
    }
