"""Node types: which of them a cache could move to."""

from __future__ import annotations

from collections.abc import Iterable

from api_schemas.faults import InvalidParameterCombination
from api_schemas.node_type import (
    LIST_ALLOWED_NODE_TYPE_MODIFICATIONS,
    AllowedNodeTypeModifications,
    ListAllowedNodeTypeModifications,
)
from controlplane.domain.engine_versions import EngineVersion, engine_version
from controlplane.domain.node_types import allowed_modifications, must_support, node_type
from controlplane.domain.topology import Topology
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(LIST_ALLOWED_NODE_TYPE_MODIFICATIONS)
def list_allowed_node_type_modifications(ctx: Context, asked: ListAllowedNodeTypeModifications) -> AllowedNodeTypeModifications:
    """Show the node types that the engine version of a cache runs on, the larger ones and the smaller ones."""
    topology = _named(ctx, asked)
    up, down = allowed_node_types(topology, engine_version(topology.engine, topology.engine_version))
    return AllowedNodeTypeModifications(scale_up_modifications=up, scale_down_modifications=down)


def allowed_node_types(topology: Topology, version: EngineVersion) -> tuple[list[str], list[str]]:
    """The node types that a cache could move to and that the version runs on: as large or larger ones, and smaller ones."""
    up, down = allowed_modifications(topology.node_type, topology.engine)
    return _supported(up, version), _supported(down, version)


def _named(ctx: Context, asked: ListAllowedNodeTypeModifications) -> Topology:
    if asked.cache_cluster_id and not asked.replication_group_id:
        return ctx.cache_cluster(asked.cache_cluster_id)[0]
    if asked.replication_group_id and not asked.cache_cluster_id:
        return ctx.replication_group(asked.replication_group_id)
    raise InvalidParameterCombination("Give either CacheClusterId or ReplicationGroupId.")


def _supported(names: Iterable[str], version: EngineVersion) -> list[str]:
    return [name for name in names if _runs_on(name, version)]


def _runs_on(name: str, version: EngineVersion) -> bool:
    try:
        must_support(node_type(name), version)
    except InvalidParameterCombination:
        return False
    return True
