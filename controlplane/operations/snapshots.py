"""Snapshots: not built yet, but what can never have one is refused with the service's code."""

from __future__ import annotations

from api_schemas.faults import OperationNotBuilt, SnapshotFeatureNotSupported
from api_schemas.parts import Nothing
from api_schemas.snapshot import CREATE_SNAPSHOT, CreateSnapshot
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(CREATE_SNAPSHOT)
def create_snapshot(ctx: Context, asked: CreateSnapshot) -> Nothing:
    """Memcached keeps nothing that could be saved. Raises SnapshotFeatureNotSupported, CacheClusterNotFound or OperationNotBuilt."""
    if asked.cache_cluster_id:
        topology, _ = ctx.cache_cluster(asked.cache_cluster_id)
        if topology.is_memcached:
            raise SnapshotFeatureNotSupported(f"{topology.name} is a Memcached cluster, and Memcached has no snapshots.")
    raise OperationNotBuilt(CREATE_SNAPSHOT.name)
