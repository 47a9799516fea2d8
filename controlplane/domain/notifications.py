"""A notification: what the topic of a cache hears of an event, under the name that the service publishes it as."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controlplane.domain.events import Event
from controlplane.domain.topology import World

SUBJECT = "Amazon ElastiCache Notification"
"""The subject of every notification. (unverified)"""

_CACHE_CLUSTER, _GROUP, _PARAMETERS = "cache-cluster", "replication-group", "cache-parameter-group"

_PUBLISHED: Mapping[str, tuple[tuple[str, str], ...]] = {
    _CACHE_CLUSTER: (
        (r"Cache cluster created", "CacheClusterProvisioningComplete"),
        (r"Failed to create the cache cluster\b", "CacheClusterProvisioningFailed"),
        (r"Cache cluster deleted", "DeleteCacheClusterComplete"),
        (r"Finished modifying number of nodes from", "AddCacheNodeComplete"),
        (r"Failed to modify number of nodes from", "AddCacheNodeFailed"),
        (r"Removed cache nodes ", "RemoveCacheNodeComplete"),
        (r"Updated parameter ", "CacheClusterParametersChanged"),
        (r"Updated to use a CacheParameterGroup ", "CacheClusterParametersChanged"),
        (r"Applied change to security group", "CacheClusterSecurityGroupModified"),
        (r"Succeeded applying modification to cache node type to ", "CacheClusterScalingComplete"),
        (r"Failed applying modification to cache node type to ", "CacheClusterScalingFailed"),
        (r"Cache node \S+ restarted", "CacheNodesRebooted"),
        (r"Recovering cache nodes ", "CacheNodeReplaceStarted"),
        (r"Finished recovery for cache nodes ", "CacheNodeReplaceComplete"),
        (r"Failover from primary node \S+ to replica node \S+ completed", "FailoverComplete"),
        (r"Snapshot succeeded for snapshot with ID ", "SnapshotComplete"),
        (r"Snapshot failed for snapshot with ID ", "SnapshotFailed"),
        (r"The node with Cache Cluster ID: .* is scheduled for replacement", "NodeReplacementScheduled"),
        (r"The replacement in maintenance window for node .* has re-scheduled", "NodeReplacementRescheduled"),
        (r"The replacement for Cache Cluster ID: .* has been canceled", "NodeReplacementCanceled"),
        (r"Service update is available for cache node ", "ServiceUpdateAvailableForNode"),
    ),
    _GROUP: (
        (r"Replication group \S+ created", "CreateReplicationGroupComplete"),
        (r"Succeeded applying modification to cache node type to ", "ReplicationGroupScalingComplete"),
        (r"Failed applying modification to cache node type to ", "ReplicationGroupScalingFailed"),
        (r"Failover from primary node \S+ to replica node \S+ completed", "FailoverComplete"),
        (r"Increasing number of replicas from ", "ReplicationGroupIncreaseReplicaCountStarted"),
        (r"Finished increasing number of replicas from ", "ReplicationGroupIncreaseReplicaCountFinished"),
    ),
    _PARAMETERS: ((r"Updated parameter ", "CacheClusterParametersChanged"),),
}
"""By source type: how the message begins, and the name it is published under. What is not here is not published."""

_PATTERNS = {kind: tuple((re.compile(begins), name) for begins, name in rows) for kind, rows in _PUBLISHED.items()}


@dataclass(frozen=True, slots=True)
class Notification:
    """What is to be published to a topic. ``id`` stays the same however often that is tried, ``at`` is when the event was."""

    world: World
    topic: str
    id: str
    source_type: str
    source: str
    body: str
    at: datetime
    number: int = 0


def published_name(event: Event) -> str | None:
    """The name that the service publishes such an event under; None for one that it keeps to DescribeEvents."""
    for pattern, name in _PATTERNS.get(event.source_type, ()):
        if pattern.match(event.message):
            return f"ElastiCache:{name}"
    return None


def body_of(event: Event, name: str) -> str:
    """What is published: one member, named as the event, with the resource's id. (exact form unverified)"""
    return json.dumps({name: event.source}, separators=(",", ":"))
