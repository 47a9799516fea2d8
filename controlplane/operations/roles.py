"""Roles: which operations the bearer of an access key may ask for. One table, by name; what it does not name is for admins alone.

A read-only key sees, an operator changes caches and what belongs to them, an admin rules over what all accounts share: keys, agents, join
tokens, and faults, for those of a zone or a link strike everybody's nodes.
"""

from __future__ import annotations

from controlplane.domain.access_key import Role

DOWNLOAD_SNAPSHOT_FILE, IMPORT_SNAPSHOT, FOLLOW_EVENTS = "DownloadSnapshotFile", "ImportSnapshot", "FollowEvents"
"""What the doors do that is no operation. The files of a snapshot are the data of a cache, so that to see is not to read them."""

READ_ONLY = frozenset({
    "DescribeCacheClusters", "DescribeCacheEngineVersions", "DescribeCacheParameterGroups", "DescribeCacheParameters",
    "DescribeCacheSecurityGroups", "DescribeCacheSubnetGroups", "DescribeEngineDefaultParameters", "DescribeEvents",
    "DescribeReplicationGroups", "DescribeReservedCacheNodes", "DescribeReservedCacheNodesOfferings", "DescribeServiceUpdates",
    "DescribeSnapshots", "DescribeUpdateActions", "DescribeUsers", "DescribeUserGroups", "ListAllowedNodeTypeModifications",
    "ListTagsForResource",
    "DescribeAgents", "DescribeFaults", "DescribeHistory", "DescribeMetrics", "DescribeNodes", "DescribeSnapshotProgress",
    "DescribeSnapshotVerification", "DescribeZones",
    FOLLOW_EVENTS,
})  # fmt: skip

OPERATOR = READ_ONLY | {
    "CreateReplicationGroup", "ModifyReplicationGroup", "DeleteReplicationGroup", "ModifyReplicationGroupShardConfiguration",
    "IncreaseReplicaCount", "DecreaseReplicaCount", "TestFailover",
    "CreateCacheCluster", "ModifyCacheCluster", "DeleteCacheCluster", "RebootCacheCluster",
    "CreateSnapshot", "CopySnapshot", "DeleteSnapshot", "VerifySnapshot", DOWNLOAD_SNAPSHOT_FILE, IMPORT_SNAPSHOT,
    "CreateCacheParameterGroup", "ModifyCacheParameterGroup", "ResetCacheParameterGroup", "DeleteCacheParameterGroup",
    "CreateCacheSubnetGroup", "ModifyCacheSubnetGroup", "DeleteCacheSubnetGroup",
    "CreateCacheSecurityGroup", "DeleteCacheSecurityGroup", "AuthorizeCacheSecurityGroupIngress", "RevokeCacheSecurityGroupIngress",
    "CreateUser", "ModifyUser", "DeleteUser", "CreateUserGroup", "ModifyUserGroup", "DeleteUserGroup",
    "AddTagsToResource", "RemoveTagsFromResource", "BatchApplyUpdateAction", "BatchStopUpdateAction",
    "PurchaseReservedCacheNodesOffering",
}  # fmt: skip


def may(role: Role, operation: str) -> bool:
    """Whether bearers of the role may ask for the operation."""
    match role:
        case Role.ADMIN:
            return True
        case Role.OPERATOR:
            return operation in OPERATOR
        case Role.READ_ONLY:
            return operation in READ_ONLY
