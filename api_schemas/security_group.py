"""Requests, results, parts and promises of classic cache security groups. An account with a VPC, as all are here, has none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.paging import Paged
from api_schemas.parts import Nothing, Tag
from api_schemas.shape import Aws, Shape


class CreateCacheSecurityGroup(Shape):
    """What a new cache security group would be."""

    cache_security_group_name: str
    description: str
    tags: list[Tag] = Field(default_factory=list)


class DescribeCacheSecurityGroups(Paged):
    """Which cache security groups to show."""

    cache_security_group_name: str | None = None


class AuthorizeCacheSecurityGroupIngress(Shape):
    """Which EC2 security group would be let in."""

    cache_security_group_name: str
    ec2_security_group_name: Annotated[str, Aws("EC2SecurityGroupName")]
    ec2_security_group_owner_id: Annotated[str, Aws("EC2SecurityGroupOwnerId")]


class RevokeCacheSecurityGroupIngress(AuthorizeCacheSecurityGroupIngress):
    """Which EC2 security group would be let in no more."""


class DeleteCacheSecurityGroup(Shape):
    """Which cache security group would go."""

    cache_security_group_name: str


class EC2SecurityGroup(Shape):
    """An EC2 security group that is let in."""

    status: str
    ec2_security_group_name: Annotated[str, Aws("EC2SecurityGroupName")]
    ec2_security_group_owner_id: Annotated[str, Aws("EC2SecurityGroupOwnerId")]


class CacheSecurityGroup(Shape):
    """A cache security group."""

    owner_id: str
    cache_security_group_name: str
    description: str
    ec2_security_groups: Annotated[list[EC2SecurityGroup], Aws("EC2SecurityGroups")]
    arn: Annotated[str, Aws("ARN")]


class CacheSecurityGroupResult(Shape):
    """One cache security group."""

    cache_security_group: CacheSecurityGroup


class CacheSecurityGroups(Shape):
    """A page of cache security groups."""

    marker: str | None = None
    cache_security_groups: list[CacheSecurityGroup]


CREATE_CACHE_SECURITY_GROUP = Operation(
    "CreateCacheSecurityGroup", "POST /security-groups", CreateCacheSecurityGroup, CacheSecurityGroupResult,
    "Refused: an account with a VPC has no cache security groups.",
    in_engines=NOTHING,
)  # fmt: skip
DESCRIBE_CACHE_SECURITY_GROUPS = Operation(
    "DescribeCacheSecurityGroups", "GET /security-groups", DescribeCacheSecurityGroups, CacheSecurityGroups,
    "Show the cache security groups: none, in an account with a VPC.",
    reads=True,
)  # fmt: skip
AUTHORIZE_CACHE_SECURITY_GROUP_INGRESS = Operation(
    "AuthorizeCacheSecurityGroupIngress", "POST /security-groups/{cache_security_group_name}/authorize",
    AuthorizeCacheSecurityGroupIngress, CacheSecurityGroupResult,
    "Refused: an account with a VPC has no cache security groups.",
    in_engines=NOTHING,
)  # fmt: skip
REVOKE_CACHE_SECURITY_GROUP_INGRESS = Operation(
    "RevokeCacheSecurityGroupIngress", "POST /security-groups/{cache_security_group_name}/revoke",
    RevokeCacheSecurityGroupIngress, CacheSecurityGroupResult,
    "Refused: an account with a VPC has no cache security groups.",
    in_engines=NOTHING,
)  # fmt: skip
DELETE_CACHE_SECURITY_GROUP = Operation(
    "DeleteCacheSecurityGroup", "DELETE /security-groups/{cache_security_group_name}", DeleteCacheSecurityGroup, Nothing,
    "Refused: an account with a VPC has no cache security groups.",
    in_engines=NOTHING,
)  # fmt: skip
