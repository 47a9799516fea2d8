"""Requests, results, parts and promises of a cache subnet group."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.paging import Paged
from api_schemas.parts import Nothing, Tag
from api_schemas.shape import Aws, Shape


class CreateCacheSubnetGroup(Shape):
    """What a new subnet group shall be: a name and 1 to 20 subnets. Any well-formed subnet id will do."""

    cache_subnet_group_name: str
    cache_subnet_group_description: str
    subnet_ids: list[str]
    tags: list[Tag] = Field(default_factory=list)


class DescribeCacheSubnetGroups(Paged):
    """Which subnet groups to show: one by name, or all."""

    cache_subnet_group_name: str | None = None


class ModifyCacheSubnetGroup(Shape):
    """What shall change of a subnet group; what is left out stays. Subnets that are given take the place of all there were."""

    cache_subnet_group_name: str
    cache_subnet_group_description: str | None = None
    subnet_ids: list[str] | None = None


class DeleteCacheSubnetGroup(Shape):
    """Which subnet group shall go."""

    cache_subnet_group_name: str


class SubnetAvailabilityZone(Shape):
    """The zone a subnet is in."""

    name: str


class Subnet(Shape):
    """A subnet of a group."""

    subnet_identifier: str
    subnet_availability_zone: SubnetAvailabilityZone
    supported_network_types: list[str]


class CacheSubnetGroup(Shape):
    """A subnet group as it is."""

    cache_subnet_group_name: str
    cache_subnet_group_description: str
    vpc_id: str
    subnets: list[Subnet]
    arn: Annotated[str, Aws("ARN")]
    supported_network_types: list[str]


class CacheSubnetGroupResult(Shape):
    """One subnet group."""

    cache_subnet_group: CacheSubnetGroup


class CacheSubnetGroups(Shape):
    """A page of subnet groups."""

    marker: str | None = None
    cache_subnet_groups: list[CacheSubnetGroup]


CREATE_CACHE_SUBNET_GROUP = Operation(
    "CreateCacheSubnetGroup", "POST /subnet-groups", CreateCacheSubnetGroup, CacheSubnetGroupResult,
    "Create a subnet group: a name for some subnets, each of which is in a zone.",
    in_engines=NOTHING,
)  # fmt: skip
DESCRIBE_CACHE_SUBNET_GROUPS = Operation(
    "DescribeCacheSubnetGroups", "GET /subnet-groups", DescribeCacheSubnetGroups, CacheSubnetGroups,
    "Show one subnet group, or all.",
    reads=True,
)  # fmt: skip
MODIFY_CACHE_SUBNET_GROUP = Operation(
    "ModifyCacheSubnetGroup", "PATCH /subnet-groups/{cache_subnet_group_name}", ModifyCacheSubnetGroup, CacheSubnetGroupResult,
    "Change a subnet group's description or its subnets.",
    in_engines=NOTHING,
)  # fmt: skip
DELETE_CACHE_SUBNET_GROUP = Operation(
    "DeleteCacheSubnetGroup", "DELETE /subnet-groups/{cache_subnet_group_name}", DeleteCacheSubnetGroup, Nothing,
    "Delete a subnet group that no cache uses.",
    in_engines=NOTHING,
)  # fmt: skip
