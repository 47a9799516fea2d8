"""Service updates: none is issued, so none is found."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from api_schemas import service_update as s
from api_schemas.faults import InvalidParameterValue, ServiceUpdateNotFound
from controlplane.operations import service_updates as ops
from controlplane.operations.context import Context

NAME = "elasticache-20260401"


def test_none_is_shown(ctx: Context) -> None:
    assert ops.describe_service_updates(ctx, s.DescribeServiceUpdates(service_update_status=["available"])).service_updates == []
    assert ops.describe_update_actions(ctx, s.DescribeUpdateActions(replication_group_ids=["orders"])).update_actions == []


def test_one_by_name_is_not_there(ctx: Context) -> None:
    with pytest.raises(ServiceUpdateNotFound, match=f"Service update {NAME} not found."):
        ops.describe_service_updates(ctx, s.DescribeServiceUpdates(service_update_name=NAME))


def test_a_name_only_filters_update_actions(ctx: Context) -> None:
    assert ops.describe_update_actions(ctx, s.DescribeUpdateActions(service_update_name=NAME)).update_actions == []


def test_there_is_none_to_apply_or_stop(ctx: Context) -> None:
    with pytest.raises(ServiceUpdateNotFound):
        ops.batch_apply_update_action(ctx, s.BatchApplyUpdateAction(service_update_name=NAME, cache_cluster_ids=["sessions"]))
    with pytest.raises(ServiceUpdateNotFound):
        ops.batch_stop_update_action(ctx, s.BatchStopUpdateAction(service_update_name=NAME, cache_cluster_ids=["sessions"]))


@pytest.mark.parametrize(
    ("takes", "asked"),
    [
        (s.DescribeServiceUpdates, {"service_update_status": ["new"]}),
        (s.DescribeServiceUpdates, {"service_update_status": ["available"] * 4}),
        (s.DescribeUpdateActions, {"update_action_status": ["done"]}),
        (s.DescribeUpdateActions, {"cache_cluster_ids": ["sessions"] * 21}),
        (s.BatchApplyUpdateAction, {"service_update_name": NAME, "replication_group_ids": ["orders"] * 21}),
    ],
)
def test_what_the_request_itself_does_not_allow(takes: Any, asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        takes(**asked)


@pytest.mark.parametrize("records", [19, 101])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        ops.describe_service_updates(ctx, s.DescribeServiceUpdates(max_records=records))
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        ops.describe_update_actions(ctx, s.DescribeUpdateActions(max_records=records))
