"""Which node types a cache could move to."""

from __future__ import annotations

from api_schemas.operation import Operation
from api_schemas.shape import Shape


class ListAllowedNodeTypeModifications(Shape):
    """Of which cache cluster or replication group; one of the two."""

    cache_cluster_id: str | None = None
    replication_group_id: str | None = None


class AllowedNodeTypeModifications(Shape):
    """Node types with at least as much memory as the present one, and node types with less."""

    scale_up_modifications: list[str]
    scale_down_modifications: list[str]


LIST_ALLOWED_NODE_TYPE_MODIFICATIONS = Operation(
    "ListAllowedNodeTypeModifications", "GET /allowed-node-type-modifications",
    ListAllowedNodeTypeModifications, AllowedNodeTypeModifications,
    "Show the node types that a cache cluster or replication group could have instead of its own.",
    reads=True,
)  # fmt: skip
