"""``aws_elasticache_cluster``: a stand-alone Redis node, a Memcached cluster, or one more replica of a replication group."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.engine_version import read_version
from integration.terraform.log_delivery import create_request, equal_blocks, read_blocks, update_request
from integration.terraform.lookup import NotThere, find_cache_cluster
from integration.terraform.patience import GONE, StateChange, code_of, retried, says
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_as_sets, equal_in_lower_case

MISSING, BUSY = "CacheClusterNotFound", "InvalidCacheClusterState"

AVAILABLE = StateChange({"creating", "modifying", "snapshotting", "rebooting cluster nodes"}, {"available"})
DELETED = StateChange({"creating", "available", "modifying", "deleting", "incompatible-network", "restore-failed", "snapshotting"})

REQUEST = {
    "node_type": "CacheNodeType",
    "num_cache_nodes": "NumCacheNodes",
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "parameter_group_name": "CacheParameterGroupName",
    "subnet_group_name": "CacheSubnetGroupName",
    "port": "Port",
    "az_mode": "AZMode",
    "availability_zone": "PreferredAvailabilityZone",
    "preferred_availability_zones": "PreferredAvailabilityZones",
    "maintenance_window": "PreferredMaintenanceWindow",
    "snapshot_window": "SnapshotWindow",
    "snapshot_retention_limit": "SnapshotRetentionLimit",
    "notification_topic_arn": "NotificationTopicArn",
    "auto_minor_version_upgrade": "AutoMinorVersionUpgrade",
    "ip_discovery": "IpDiscovery",
    "network_type": "NetworkType",
    "replication_group_id": "ReplicationGroupId",
}
"""Each is sent when it is configured, under this name."""

CHANGEABLE = (
    "parameter_group_name", "ip_discovery", "maintenance_window", "notification_topic_arn", "engine", "engine_version",
    "auto_minor_version_upgrade", "snapshot_window", "node_type", "snapshot_retention_limit", "az_mode",
)  # fmt: skip


class NilPointer(Exception):
    """A field is missing that the provider does not do without."""


class CacheCluster(Resource):
    """A cache cluster with its nodes."""

    schema = {
        "cluster_id": Attribute(forces_new=True, same=equal_in_lower_case),
        "engine": Attribute(computed=True),
        "engine_version": Attribute(computed=True),
        "node_type": Attribute(computed=True),
        "num_cache_nodes": Attribute(computed=True),
        "parameter_group_name": Attribute(computed=True),
        "subnet_group_name": Attribute(computed=True, forces_new=True),
        "security_group_ids": Attribute(computed=True, same=equal_as_sets),
        "port": Attribute(computed=True, forces_new=True),
        "az_mode": Attribute(computed=True, forces_new=True),
        "availability_zone": Attribute(computed=True, forces_new=True),
        "preferred_availability_zones": Attribute(read_back=False),
        "maintenance_window": Attribute(computed=True, same=equal_in_lower_case),
        "snapshot_window": Attribute(computed=True),
        "snapshot_retention_limit": Attribute(),
        "notification_topic_arn": Attribute(),
        "log_delivery_configuration": Attribute(same=equal_blocks),
        "auto_minor_version_upgrade": Attribute(default=True),
        "apply_immediately": Attribute(read_back=False),
        "ip_discovery": Attribute(computed=True),
        "network_type": Attribute(computed=True, forces_new=True),
        "replication_group_id": Attribute(computed=True, forces_new=True),
        "transit_encryption_enabled": Attribute(computed=True, forces_new=True),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Its id is what the service answers, in lower case. Without security groups an empty list of them is sent."""
        asked = {REQUEST[name]: value for name in REQUEST if (value := self.asked(config, name)) is not None}
        if "replication_group_id" not in config:
            asked["SecurityGroupIds"] = list(config.get("security_group_ids") or [])
        if blocks := config.get("log_delivery_configuration"):
            asked["LogDeliveryConfigurations"] = create_request(blocks)
        made = self.client.create_cache_cluster(CacheClusterId=config["cluster_id"], Tags=tags, **asked)["CacheCluster"]
        name = str(made["CacheClusterId"]).lower()
        AVAILABLE.wait(lambda: _status(self.client, name))
        return name

    def read(self, config: Config) -> State:
        """The cache cluster as a whole, then each of its nodes."""
        found = find_cache_cluster(self.client, self.id, ShowCacheNodeInfo=True)
        zone = found.get("PreferredAvailabilityZone")
        return {
            **read_settings(found, config),
            **_read_endpoint(found),
            "cluster_id": found["CacheClusterId"],
            "snapshot_window": found.get("SnapshotWindow"),
            "snapshot_retention_limit": found.get("SnapshotRetentionLimit"),
            "num_cache_nodes": found.get("NumCacheNodes"),
            "replication_group_id": found.get("ReplicationGroupId"),
            "notification_topic_arn": active_topic(found),
            "log_delivery_configuration": read_blocks(found),
            "availability_zone": zone,
            "az_mode": "cross-az" if zone == "Multiple" else "single-az",
            "cache_nodes": [_read_node(node) for node in sorted(found["CacheNodes"], key=lambda node: node.get("CacheNodeId", ""))],
            "arn": found["ARN"],
            "ip_discovery": found.get("IpDiscovery"),
            "network_type": found.get("NetworkType"),
            "transit_encryption_enabled": found.get("TransitEncryptionEnabled"),
        }

    def update(self, config: Config, plan: Plan) -> None:
        """One modification with everything in it, then a wait."""
        asked = {REQUEST[name]: self.asked(config, name) for name in CHANGEABLE if name in plan}
        if "snapshot_retention_limit" in plan:
            asked["SnapshotRetentionLimit"] = config.get("snapshot_retention_limit") or 0  # what is not set any more is sent as none
        if asked.get("NotificationTopicArn", "") is None:
            asked |= {"NotificationTopicArn": "", "NotificationTopicStatus": "inactive"}
        if "log_delivery_configuration" in plan:
            change = plan["log_delivery_configuration"]
            asked["LogDeliveryConfigurations"] = update_request(change.wanted, change.present)
        if "security_group_ids" in plan and config.get("security_group_ids"):
            asked["SecurityGroupIds"] = list(config["security_group_ids"])
        if "num_cache_nodes" in plan:
            asked |= _new_number(config, plan["num_cache_nodes"].present, plan["num_cache_nodes"].wanted)
        if asked:
            now = bool(config.get("apply_immediately"))
            self.client.modify_cache_cluster(CacheClusterId=self.id, ApplyImmediately=now, **asked)
            AVAILABLE.wait(lambda: _status(self.client, self.id))

    def delete(self) -> None:
        """Tried again while the cache cluster is busy, unless the message says that waiting will not help."""
        try:
            retried(lambda: self.client.delete_cache_cluster(CacheClusterId=self.id), 5, may_pass)
        except ClientError as error:
            if code_of(error) != MISSING:
                raise
            return
        DELETED.wait(lambda: _status(self.client, self.id))


def read_settings(found: Any, config: Config) -> State:
    """What cache clusters and replication groups both read from a cache cluster."""
    engine = found.get("Engine", "")
    group = found.get("CacheParameterGroup")
    return {
        "node_type": found.get("CacheNodeType"),
        "engine": engine,
        "engine_version": read_version(engine, found.get("EngineVersion"), config.get("engine_version")),
        "engine_version_actual": found.get("EngineVersion"),
        "auto_minor_version_upgrade": found.get("AutoMinorVersionUpgrade", False),
        "subnet_group_name": found.get("CacheSubnetGroupName"),
        "security_group_ids": [each["SecurityGroupId"] for each in found.get("SecurityGroups", [])],
        **({"parameter_group_name": group.get("CacheParameterGroupName")} if group else {}),
        "maintenance_window": found.get("PreferredMaintenanceWindow"),
    }


def _status(client: Any, name: str) -> str:
    try:
        return str(find_cache_cluster(client, name).get("CacheClusterStatus", ""))
    except NotThere:
        return GONE


def _read_endpoint(found: Any) -> State:
    if configuration := found.get("ConfigurationEndpoint"):
        address, port = configuration["Address"], configuration["Port"]
        return {"port": port, "configuration_endpoint": f"{address}:{port}", "cluster_address": address}
    return {"port": found["CacheNodes"][0]["Endpoint"]["Port"]} if found["CacheNodes"] else {}


def _read_node(node: Any) -> dict[str, Any]:
    endpoint = node.get("Endpoint") or {}
    read = {
        "id": node.get("CacheNodeId"),
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "availability_zone": node.get("CustomerAvailabilityZone"),
    }
    if None in read.values():
        raise NilPointer(f"Unexpected nil pointer in: {node}")
    return read


def active_topic(found: Any) -> str | None:
    """The topic is read back while it is active."""
    notification = found.get("NotificationConfiguration") or {}
    return notification.get("TopicArn") if notification.get("TopicStatus") == "active" else None


def _new_number(config: Config, present: int, wanted: int) -> dict[str, Any]:
    """Fewer: the highest ids go, as if ids had no gaps. More: the zones that were added at the end of the list."""
    if wanted < present:
        return {"NumCacheNodes": wanted, "CacheNodeIdsToRemove": [f"{number:04d}" for number in range(present, wanted, -1)]}
    zones = config.get("preferred_availability_zones") or []
    if not zones:
        return {"NumCacheNodes": wanted}
    assert len(zones) == wanted, f"length of preferred_availability_zones ({len(zones)}) must match num_cache_nodes ({wanted})"
    return {"NumCacheNodes": wanted, "NewAvailabilityZones": list(zones[present:])}


def may_pass(error: ClientError) -> bool:
    """True when a delete may work later: the cache cluster is busy, and not for a reason that stays."""
    hopeless = ("serving as primary", "only member of a replication group")
    return says(error, BUSY) and not any(says(error, BUSY, fragment) for fragment in hopeless)
