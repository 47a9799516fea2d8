"""Reserved nodes: nothing is for sale here, so there are no offerings and no reservations."""

from __future__ import annotations

from api_schemas.faults import ReservedCacheNodeNotFound, ReservedCacheNodesOfferingNotFound
from api_schemas.paging import page
from api_schemas.reserved_node import (
    DESCRIBE_RESERVED_CACHE_NODES,
    DESCRIBE_RESERVED_CACHE_NODES_OFFERINGS,
    PURCHASE_RESERVED_CACHE_NODES_OFFERING,
    DescribeReservedCacheNodes,
    DescribeReservedCacheNodesOfferings,
    PurchaseReservedCacheNodesOffering,
    ReservedCacheNode,
    ReservedCacheNodeResult,
    ReservedCacheNodes,
    ReservedCacheNodesOffering,
    ReservedCacheNodesOfferings,
)
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(DESCRIBE_RESERVED_CACHE_NODES)
def describe_reserved_cache_nodes(ctx: Context, asked: DescribeReservedCacheNodes) -> ReservedCacheNodes:
    """Show that there is none. The id of an offering only filters here."""
    if asked.reserved_cache_node_id:
        raise ReservedCacheNodeNotFound(asked.reserved_cache_node_id)
    none: list[ReservedCacheNode] = []
    shown, marker = page(none, asked)
    return ReservedCacheNodes(marker=marker, reserved_cache_nodes=shown)


@performs(DESCRIBE_RESERVED_CACHE_NODES_OFFERINGS)
def describe_reserved_cache_nodes_offerings(
    ctx: Context, asked: DescribeReservedCacheNodesOfferings
) -> ReservedCacheNodesOfferings:
    """Show that there is none."""
    if asked.reserved_cache_nodes_offering_id:
        raise ReservedCacheNodesOfferingNotFound(asked.reserved_cache_nodes_offering_id)
    none: list[ReservedCacheNodesOffering] = []
    shown, marker = page(none, asked)
    return ReservedCacheNodesOfferings(marker=marker, reserved_cache_nodes_offerings=shown)


@performs(PURCHASE_RESERVED_CACHE_NODES_OFFERING)
def purchase_reserved_cache_nodes_offering(ctx: Context, asked: PurchaseReservedCacheNodesOffering) -> ReservedCacheNodeResult:
    """Say that there is no such offering."""
    raise ReservedCacheNodesOfferingNotFound(asked.reserved_cache_nodes_offering_id)
