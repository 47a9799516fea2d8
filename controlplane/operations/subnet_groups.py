"""Cache subnet groups: create, describe, modify, delete. Every world has one called ``default``."""

from __future__ import annotations

from dataclasses import replace

from api_schemas.faults import (
    CacheSubnetGroupAlreadyExists,
    CacheSubnetGroupInUse,
    CacheSubnetGroupNotFound,
    CacheSubnetGroupQuotaExceeded,
    SubnetInUse,
)
from api_schemas.paging import page
from api_schemas.parts import Nothing
from api_schemas.subnet_group import (
    CREATE_CACHE_SUBNET_GROUP,
    DELETE_CACHE_SUBNET_GROUP,
    DESCRIBE_CACHE_SUBNET_GROUPS,
    MODIFY_CACHE_SUBNET_GROUP,
    CacheSubnetGroup,
    CacheSubnetGroupResult,
    CacheSubnetGroups,
    CreateCacheSubnetGroup,
    DeleteCacheSubnetGroup,
    DescribeCacheSubnetGroups,
    ModifyCacheSubnetGroup,
    Subnet,
    SubnetAvailabilityZone,
)
from controlplane.domain import naming
from controlplane.domain.subnet_group import (
    DEFAULT_NAME,
    MOST_GROUPS,
    SubnetGroup,
    checked_subnets,
    default_subnet_group,
    vpc_id,
    zones_of,
)
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.tagging import forget_tags, tag_new

SOURCE_TYPE = "cache-subnet-group"
_NETWORK_TYPES = ["ipv4"]


@performs(CREATE_CACHE_SUBNET_GROUP)
def create_cache_subnet_group(ctx: Context, asked: CreateCacheSubnetGroup) -> CacheSubnetGroupResult:
    """Create a subnet group."""
    name = naming.group_name(asked.cache_subnet_group_name, "CacheSubnetGroupName")
    if name == DEFAULT_NAME or ctx.unit.subnet_groups.get(ctx.world, name):
        raise CacheSubnetGroupAlreadyExists(name)
    if len(ctx.unit.subnet_groups.of(ctx.world)) >= MOST_GROUPS:
        raise CacheSubnetGroupQuotaExceeded(MOST_GROUPS)
    group = SubnetGroup(ctx.world, name, asked.cache_subnet_group_description, checked_subnets(asked.subnet_ids))
    ctx.unit.subnet_groups.save(group)
    tag_new(ctx, _arn(group), asked.tags)
    ctx.say(SOURCE_TYPE, name, "Cache subnet group created")
    return CacheSubnetGroupResult(cache_subnet_group=_shown(ctx, group))


@performs(DESCRIBE_CACHE_SUBNET_GROUPS)
def describe_cache_subnet_groups(ctx: Context, asked: DescribeCacheSubnetGroups) -> CacheSubnetGroups:
    """Show one subnet group, or all by name."""
    named = asked.cache_subnet_group_name
    found = [subnet_group(ctx, named)] if named else _every(ctx)
    shown, marker = page(found, asked)
    return CacheSubnetGroups(marker=marker, cache_subnet_groups=[_shown(ctx, group) for group in shown])


@performs(MODIFY_CACHE_SUBNET_GROUP)
def modify_cache_subnet_group(ctx: Context, asked: ModifyCacheSubnetGroup) -> CacheSubnetGroupResult:
    """Change a subnet group's description or its subnets. A group that a cache uses keeps the subnets it has."""
    group = subnet_group(ctx, asked.cache_subnet_group_name)
    changed = group
    if asked.subnet_ids is not None:
        changed = replace(changed, subnets=checked_subnets(asked.subnet_ids))
    if asked.cache_subnet_group_description is not None:
        changed = replace(changed, description=asked.cache_subnet_group_description)
    removed = [subnet for subnet in group.subnets if subnet not in changed.subnets]
    if removed and _is_used(ctx, group):
        raise SubnetInUse(removed[0])
    ctx.unit.subnet_groups.save(changed)
    ctx.say(SOURCE_TYPE, group.name, "Cache subnet group modified")
    return CacheSubnetGroupResult(cache_subnet_group=_shown(ctx, changed))


@performs(DELETE_CACHE_SUBNET_GROUP)
def delete_cache_subnet_group(ctx: Context, asked: DeleteCacheSubnetGroup) -> Nothing:
    """Delete a subnet group that no cache uses."""
    group = subnet_group(ctx, asked.cache_subnet_group_name)
    if group.name == DEFAULT_NAME:
        raise CacheSubnetGroupInUse(message="The default cache subnet group cannot be deleted.")
    if _is_used(ctx, group):
        raise CacheSubnetGroupInUse(group.name)
    ctx.unit.subnet_groups.forget(group)
    forget_tags(ctx, _arn(group))
    ctx.say(SOURCE_TYPE, group.name, "Cache subnet group deleted")
    return Nothing()


def subnet_group(ctx: Context, name: str) -> SubnetGroup:
    """The subnet group of that name, written in any case. Raises CacheSubnetGroupNotFound."""
    stored = ctx.unit.subnet_groups.get(ctx.world, name.lower())
    if stored is not None:
        return stored
    if name.lower() == DEFAULT_NAME:
        return default_subnet_group(ctx.world)
    raise CacheSubnetGroupNotFound(name)


def _every(ctx: Context) -> list[SubnetGroup]:
    """The default group is stored only once somebody has changed it."""
    stored = ctx.unit.subnet_groups.of(ctx.world)
    return sorted({each.name: each for each in (default_subnet_group(ctx.world), *stored)}.values(), key=lambda each: each.name)


def _is_used(ctx: Context, group: SubnetGroup) -> bool:
    return any(topology.subnet_group == group.name for topology in ctx.unit.topologies.of(ctx.world))


def _arn(group: SubnetGroup) -> str:
    return naming.arn(group.world, "subnetgroup", group.name)


def _shown(ctx: Context, group: SubnetGroup) -> CacheSubnetGroup:
    available = zones_of(ctx.world.region, (agent.zone for agent in ctx.unit.agents.all()))
    return CacheSubnetGroup(
        cache_subnet_group_name=group.name,
        cache_subnet_group_description=group.description,
        vpc_id=vpc_id(group.world),
        subnets=[
            Subnet(
                subnet_identifier=subnet,
                subnet_availability_zone=SubnetAvailabilityZone(name=zone),
                supported_network_types=_NETWORK_TYPES,
            )
            for subnet, zone in group.zones(available)
        ],
        arn=_arn(group),
        supported_network_types=_NETWORK_TYPES,
    )
