"""Classic cache security groups, which an account with a VPC does not have: they are listed as none and refused otherwise."""

from __future__ import annotations

from typing import NoReturn

from api_schemas.faults import CacheSecurityGroupNotFound, InvalidParameterValue
from api_schemas.paging import page
from api_schemas.parts import Nothing
from api_schemas.security_group import (
    AUTHORIZE_CACHE_SECURITY_GROUP_INGRESS,
    CREATE_CACHE_SECURITY_GROUP,
    DELETE_CACHE_SECURITY_GROUP,
    DESCRIBE_CACHE_SECURITY_GROUPS,
    REVOKE_CACHE_SECURITY_GROUP_INGRESS,
    AuthorizeCacheSecurityGroupIngress,
    CacheSecurityGroup,
    CacheSecurityGroupResult,
    CacheSecurityGroups,
    CreateCacheSecurityGroup,
    DeleteCacheSecurityGroup,
    DescribeCacheSecurityGroups,
    RevokeCacheSecurityGroupIngress,
)
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(DESCRIBE_CACHE_SECURITY_GROUPS)
def describe_cache_security_groups(ctx: Context, asked: DescribeCacheSecurityGroups) -> CacheSecurityGroups:
    """Show that there is none."""
    if asked.cache_security_group_name:
        raise CacheSecurityGroupNotFound(asked.cache_security_group_name)
    none: list[CacheSecurityGroup] = []
    shown, marker = page(none, asked)
    return CacheSecurityGroups(marker=marker, cache_security_groups=shown)


@performs(CREATE_CACHE_SECURITY_GROUP)
def create_cache_security_group(ctx: Context, asked: CreateCacheSecurityGroup) -> CacheSecurityGroupResult:
    """Refuse."""
    _refuse()


@performs(AUTHORIZE_CACHE_SECURITY_GROUP_INGRESS)
def authorize_cache_security_group_ingress(ctx: Context, asked: AuthorizeCacheSecurityGroupIngress) -> CacheSecurityGroupResult:
    """Refuse."""
    _refuse()


@performs(REVOKE_CACHE_SECURITY_GROUP_INGRESS)
def revoke_cache_security_group_ingress(ctx: Context, asked: RevokeCacheSecurityGroupIngress) -> CacheSecurityGroupResult:
    """Refuse."""
    _refuse()


@performs(DELETE_CACHE_SECURITY_GROUP)
def delete_cache_security_group(ctx: Context, asked: DeleteCacheSecurityGroup) -> Nothing:
    """Refuse."""
    _refuse()


def _refuse() -> NoReturn:
    raise InvalidParameterValue("Use of cache security groups is not permitted in this API version for your account.")
