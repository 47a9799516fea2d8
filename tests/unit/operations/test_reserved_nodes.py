"""Reserved nodes: nothing is for sale."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api_schemas import reserved_node as s
from api_schemas.faults import InvalidParameterValue, ReservedCacheNodeNotFound, ReservedCacheNodesOfferingNotFound
from controlplane.operations import reserved_nodes as ops
from controlplane.operations.context import Context

OFFERING = "649fd0c8-cf6d-47a0-bfa6-060f8e75e95f"
RESERVATION = "ri-2017-03-27-08-33-25-582"


@pytest.mark.parametrize("asked", [{}, {"duration": "3"}, {"duration": "31536000", "offering_type": "No Upfront"}])
def test_none_is_shown(ctx: Context, asked: dict[str, str]) -> None:
    nodes = ops.describe_reserved_cache_nodes(ctx, s.DescribeReservedCacheNodes.model_validate(asked))
    offerings = ops.describe_reserved_cache_nodes_offerings(ctx, s.DescribeReservedCacheNodesOfferings.model_validate(asked))
    assert (nodes.reserved_cache_nodes, offerings.reserved_cache_nodes_offerings) == ([], [])


def test_one_by_id_is_not_there(ctx: Context) -> None:
    with pytest.raises(ReservedCacheNodeNotFound, match=RESERVATION):
        ops.describe_reserved_cache_nodes(ctx, s.DescribeReservedCacheNodes(reserved_cache_node_id=RESERVATION))
    asked = s.DescribeReservedCacheNodesOfferings(reserved_cache_nodes_offering_id=OFFERING)
    with pytest.raises(ReservedCacheNodesOfferingNotFound, match=OFFERING):
        ops.describe_reserved_cache_nodes_offerings(ctx, asked)


def test_the_id_of_an_offering_only_filters_reservations(ctx: Context) -> None:
    asked = s.DescribeReservedCacheNodes(reserved_cache_nodes_offering_id=OFFERING)
    assert ops.describe_reserved_cache_nodes(ctx, asked).reserved_cache_nodes == []


def test_there_is_none_to_take(ctx: Context) -> None:
    asked = s.PurchaseReservedCacheNodesOffering(reserved_cache_nodes_offering_id=OFFERING)
    with pytest.raises(ReservedCacheNodesOfferingNotFound):
        ops.purchase_reserved_cache_nodes_offering(ctx, asked)


@pytest.mark.parametrize("asked", [{"duration": "2"}, {"duration": "forever"}, {"offering_type": "Some Upfront"}])
def test_what_the_request_itself_does_not_allow(asked: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        s.DescribeReservedCacheNodes.model_validate(asked)


@pytest.mark.parametrize("records", [19, 101])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        ops.describe_reserved_cache_nodes(ctx, s.DescribeReservedCacheNodes(max_records=records))
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        ops.describe_reserved_cache_nodes_offerings(ctx, s.DescribeReservedCacheNodesOfferings(max_records=records))
