"""Classic cache security groups: there are none in an account with a VPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api_schemas import security_group as s
from api_schemas.faults import CacheSecurityGroupNotFound, InvalidParameterValue
from controlplane.operations import security_groups as ops
from controlplane.operations.context import Context

NAMED = {"cache_security_group_name": "mine"}
INGRESS = {**NAMED, "ec2_security_group_name": "web", "ec2_security_group_owner_id": "000000000000"}


def test_none_is_shown(ctx: Context) -> None:
    shown = ops.describe_cache_security_groups(ctx, s.DescribeCacheSecurityGroups())
    assert (shown.cache_security_groups, shown.marker) == ([], None)


def test_one_by_name_is_not_there(ctx: Context) -> None:
    with pytest.raises(CacheSecurityGroupNotFound, match="CacheSecurityGroup mine not found"):
        ops.describe_cache_security_groups(ctx, s.DescribeCacheSecurityGroups(cache_security_group_name="mine"))


@pytest.mark.parametrize(
    ("operation", "takes", "asked"),
    [
        (ops.create_cache_security_group, s.CreateCacheSecurityGroup, {**NAMED, "description": "ours"}),
        (ops.authorize_cache_security_group_ingress, s.AuthorizeCacheSecurityGroupIngress, INGRESS),
        (ops.revoke_cache_security_group_ingress, s.RevokeCacheSecurityGroupIngress, INGRESS),
        (ops.delete_cache_security_group, s.DeleteCacheSecurityGroup, NAMED),
    ],
)
def test_everything_else_is_refused(ctx: Context, operation: Callable[..., object], takes: Any, asked: dict[str, str]) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        operation(ctx, takes(**asked))
    assert refused.value.message == "Use of cache security groups is not permitted in this API version for your account."


@pytest.mark.parametrize("records", [19, 101])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        ops.describe_cache_security_groups(ctx, s.DescribeCacheSecurityGroups(max_records=records))
