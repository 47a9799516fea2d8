"""Requests, results, parts and promises of reserved nodes. Nothing is for sale here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.paging import Paged
from api_schemas.parts import Tag
from api_schemas.shape import Aws, Shape

Duration = Literal["1", "3", "31536000", "94608000"]
OfferingType = Literal[
    "No Upfront", "Partial Upfront", "All Upfront", "Light Utilization", "Medium Utilization", "Heavy Utilization"
]


class DescribeReservedCacheNodesOfferings(Paged):
    """Which offerings to show: those that match everything given. ``duration`` is in years or seconds."""

    reserved_cache_nodes_offering_id: str | None = None
    cache_node_type: str | None = None
    duration: Duration | None = None
    product_description: str | None = None
    offering_type: OfferingType | None = None


class DescribeReservedCacheNodes(DescribeReservedCacheNodesOfferings):
    """Which reserved nodes to show: those that match everything given."""

    reserved_cache_node_id: str | None = None


class PurchaseReservedCacheNodesOffering(Shape):
    """Which offering to take, how many of it, and the reservation's id."""

    reserved_cache_nodes_offering_id: str
    reserved_cache_node_id: str | None = None
    cache_node_count: int | None = None
    tags: list[Tag] = Field(default_factory=list)


class ReservedCacheNodesOffering(Shape):
    """An offering."""

    reserved_cache_nodes_offering_id: str
    cache_node_type: str
    duration: int
    fixed_price: float
    usage_price: float
    product_description: str
    offering_type: str


class ReservedCacheNode(ReservedCacheNodesOffering):
    """A reservation of nodes."""

    reserved_cache_node_id: str
    start_time: datetime
    cache_node_count: int
    state: str
    reservation_arn: Annotated[str, Aws("ReservationARN")]


class ReservedCacheNodeResult(Shape):
    """One reservation."""

    reserved_cache_node: ReservedCacheNode


class ReservedCacheNodes(Shape):
    """A page of reservations."""

    marker: str | None = None
    reserved_cache_nodes: list[ReservedCacheNode]


class ReservedCacheNodesOfferings(Shape):
    """A page of offerings."""

    marker: str | None = None
    reserved_cache_nodes_offerings: list[ReservedCacheNodesOffering]


DESCRIBE_RESERVED_CACHE_NODES = Operation(
    "DescribeReservedCacheNodes", "GET /reserved-nodes", DescribeReservedCacheNodes, ReservedCacheNodes,
    "Show the reserved nodes: none, for none are for sale.",
    reads=True,
)  # fmt: skip
DESCRIBE_RESERVED_CACHE_NODES_OFFERINGS = Operation(
    "DescribeReservedCacheNodesOfferings", "GET /reserved-node-offerings",
    DescribeReservedCacheNodesOfferings, ReservedCacheNodesOfferings,
    "Show what reserved nodes are for sale: none.",
    reads=True,
)  # fmt: skip
PURCHASE_RESERVED_CACHE_NODES_OFFERING = Operation(
    "PurchaseReservedCacheNodesOffering", "POST /reserved-node-offerings/{reserved_cache_nodes_offering_id}/purchase",
    PurchaseReservedCacheNodesOffering, ReservedCacheNodeResult,
    "Reserve nodes; there is no offering to take.",
    in_engines=NOTHING,
)  # fmt: skip
