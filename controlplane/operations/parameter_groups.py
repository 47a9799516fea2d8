"""Parameter groups and their parameters: those of callers' own, and the default groups, which nobody can change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from api_schemas.faults import (
    CacheParameterGroupAlreadyExists,
    CacheParameterGroupNotFound,
    CacheParameterGroupQuotaExceeded,
    InvalidCacheParameterGroupState,
    InvalidParameterCombination,
    InvalidParameterValue,
)
from api_schemas.paging import Paged, page
from api_schemas.parameter_group import (
    CREATE_CACHE_PARAMETER_GROUP,
    DELETE_CACHE_PARAMETER_GROUP,
    DESCRIBE_CACHE_PARAMETER_GROUPS,
    DESCRIBE_CACHE_PARAMETERS,
    DESCRIBE_ENGINE_DEFAULT_PARAMETERS,
    MODIFY_CACHE_PARAMETER_GROUP,
    RESET_CACHE_PARAMETER_GROUP,
    CacheNodeTypeSpecificParameter,
    CacheNodeTypeSpecificValue,
    CacheParameterGroup,
    CacheParameterGroupName,
    CacheParameterGroupResult,
    CacheParameterGroups,
    CacheParameters,
    CreateCacheParameterGroup,
    DeleteCacheParameterGroup,
    DescribeCacheParameterGroups,
    DescribeCacheParameters,
    DescribeEngineDefaultParameters,
    EngineDefaultParameters,
    EngineDefaults,
    ModifyCacheParameterGroup,
    Parameter,
    ParameterNameValue,
    ResetCacheParameterGroup,
)
from api_schemas.parts import Nothing
from controlplane.domain import naming
from controlplane.domain import parameters as domain
from controlplane.domain.parameter_group import MOST_GROUPS, MOST_PARAMETERS_IN_A_CALL, ParameterGroup, differences
from controlplane.domain.parameters import (
    CONDITIONALLY_MODIFIABLE,
    DEFAULT_GROUPS,
    DefaultGroup,
    family,
    node_type_parameters,
    parameters_of,
)
from controlplane.domain.renewal import with_values_of
from controlplane.domain.topology import Kind, Topology, World
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.tagging import forget_tags, tag_new

SOURCE_TYPE = "cache-parameter-group"
EitherGroup = DefaultGroup | ParameterGroup
EitherParameter = domain.Parameter | domain.NodeTypeParameter


@performs(CREATE_CACHE_PARAMETER_GROUP)
def create_cache_parameter_group(ctx: Context, asked: CreateCacheParameterGroup) -> CacheParameterGroupResult:
    """Create a parameter group."""
    name = naming.parameter_group_name(asked.cache_parameter_group_name)
    if ctx.unit.parameter_groups.get(ctx.world, name):
        raise CacheParameterGroupAlreadyExists(name)
    of = family(asked.cache_parameter_group_family.lower()).name
    if len(ctx.unit.parameter_groups.of(ctx.world)) >= MOST_GROUPS:
        raise CacheParameterGroupQuotaExceeded(MOST_GROUPS)
    group = ParameterGroup(ctx.world, name, of, asked.description)
    ctx.unit.parameter_groups.save(group)
    tag_new(ctx, _arn(ctx.world, group), asked.tags)
    ctx.say(SOURCE_TYPE, name, "Cache parameter group created")
    return CacheParameterGroupResult(cache_parameter_group=_group(ctx.world, group))


@performs(MODIFY_CACHE_PARAMETER_GROUP)
def modify_cache_parameter_group(ctx: Context, asked: ModifyCacheParameterGroup) -> CacheParameterGroupName:
    """Set parameters of a group, and hand them to every cache that uses it."""
    group = _own_group(ctx, asked.cache_parameter_group_name)
    names = _names(asked.parameter_name_values)
    values = (each.parameter_value or "" for each in asked.parameter_name_values)
    return _changed(ctx, group, group.with_values(dict(zip(names, values, strict=True))))


@performs(RESET_CACHE_PARAMETER_GROUP)
def reset_cache_parameter_group(ctx: Context, asked: ResetCacheParameterGroup) -> CacheParameterGroupName:
    """Set parameters of a group to the family's defaults again, and hand them to every cache that uses it."""
    group = _own_group(ctx, asked.cache_parameter_group_name)
    if bool(asked.reset_all_parameters) == bool(asked.parameter_name_values):
        raise InvalidParameterCombination("Give either ResetAllParameters or ParameterNameValues: all are reset, or those that are named.")
    if asked.reset_all_parameters:
        return _changed(ctx, group, replace(group, values=()))
    return _changed(ctx, group, group.without(_names(asked.parameter_name_values)))


@performs(DELETE_CACHE_PARAMETER_GROUP)
def delete_cache_parameter_group(ctx: Context, asked: DeleteCacheParameterGroup) -> Nothing:
    """Delete a parameter group that no cache uses."""
    group = _own_group(ctx, asked.cache_parameter_group_name)
    if _users(ctx, group):
        raise InvalidCacheParameterGroupState(
            f"One or more cache clusters are still members of this parameter group {group.name}, so the group cannot be deleted."
        )
    ctx.unit.parameter_groups.forget(group)
    forget_tags(ctx, _arn(ctx.world, group))
    ctx.say(SOURCE_TYPE, group.name, "Cache parameter group deleted")
    return Nothing()


@performs(DESCRIBE_CACHE_PARAMETER_GROUPS)
def describe_cache_parameter_groups(ctx: Context, asked: DescribeCacheParameterGroups) -> CacheParameterGroups:
    """Show one parameter group, or all: the default ones, then the caller's by name."""
    named = asked.cache_parameter_group_name
    every: list[EitherGroup] = [*DEFAULT_GROUPS, *ctx.unit.parameter_groups.of(ctx.world)]
    found = [parameter_group(ctx, named)] if named else every
    shown, marker = page(found, asked)
    return CacheParameterGroups(marker=marker, cache_parameter_groups=[_group(ctx.world, each) for each in shown])


@performs(DESCRIBE_CACHE_PARAMETERS)
def describe_cache_parameters(ctx: Context, asked: DescribeCacheParameters) -> CacheParameters:
    """Show the parameters of a group with their values."""
    group = parameter_group(ctx, asked.cache_parameter_group_name)
    parameters = [each for each in _parameters_in(group) if asked.source in (None, each.source)]
    return _page_of(parameters, asked)


@performs(DESCRIBE_ENGINE_DEFAULT_PARAMETERS)
def describe_engine_default_parameters(ctx: Context, asked: DescribeEngineDefaultParameters) -> EngineDefaultParameters:
    """Show the parameters of a family as its default group has them."""
    of = family(asked.cache_parameter_group_family.lower()).name
    shown = _page_of((*parameters_of(of), *node_type_parameters(of)), asked)
    return EngineDefaultParameters(engine_defaults=EngineDefaults(**dict(shown), cache_parameter_group_family=of))


def parameter_group(ctx: Context, name: str) -> EitherGroup:
    """The parameter group of that name, written in any case. Raises CacheParameterGroupNotFound."""
    for each in DEFAULT_GROUPS:
        if each.name == name.lower():
            return each
    own = ctx.unit.parameter_groups.get(ctx.world, name.lower())
    if own is None:
        raise CacheParameterGroupNotFound(name)
    return own


def _own_group(ctx: Context, name: str) -> ParameterGroup:
    group = parameter_group(ctx, name)
    if isinstance(group, DefaultGroup):
        raise InvalidCacheParameterGroupState(f"The default parameter group {group.name} can be neither changed nor deleted.")
    return group


def _names(given: Sequence[ParameterNameValue]) -> list[str]:
    """The parameters that a call names, in lower case. Raises InvalidParameterValue for too many, none, or one named twice."""
    names = [(each.parameter_name or "").lower() for each in given]
    if not 1 <= len(names) <= MOST_PARAMETERS_IN_A_CALL:
        raise InvalidParameterValue(f"{len(names)} parameters are named; a call takes 1 to {MOST_PARAMETERS_IN_A_CALL}.")
    for name in names:
        if not name:
            raise InvalidParameterValue("Every item of ParameterNameValues needs a ParameterName.")
        if names.count(name) > 1:
            raise InvalidParameterValue(f"The parameter {name[:80]} is named more than once.")
    return names


def _users(ctx: Context, group: ParameterGroup) -> list[Topology]:
    return [topology for topology in ctx.unit.topologies.of(ctx.world) if group.name in topology.parameter_groups]


def _cache_clusters(topology: Topology) -> list[str]:
    """Every member of a replication group is one, for those who read events."""
    return [node.id for node in topology.nodes] if topology.kind is Kind.REPLICATION_GROUP else [topology.name]


def _changed(ctx: Context, before: ParameterGroup, after: ParameterGroup) -> CacheParameterGroupName:
    """Write a group down, tell every cache that uses it, and say which values changed."""
    users, changes = _users(ctx, before), differences(before, after)
    if users and (fixed := sorted(CONDITIONALLY_MODIFIABLE & changes.keys())):
        raise InvalidCacheParameterGroupState(
            f"The parameter {fixed[0]} cannot be modified while a cache uses the parameter group {before.name}. Nothing was changed."
        )
    ctx.unit.parameter_groups.save(after)
    for topology in users:
        if (changed := with_values_of(topology, after.name, after.differing)) != topology:
            ctx.unit.topologies.save(changed)
    for name, value in changes.items():
        ctx.say(SOURCE_TYPE, after.name, f"Updated parameter {name} to {value}")
        for cache_cluster in (each for topology in users for each in _cache_clusters(topology)):
            ctx.say(Kind.CACHE_CLUSTER.value, cache_cluster, f"Updated parameter {name} to {value}")
    return CacheParameterGroupName(cache_parameter_group_name=after.name)


def _parameters_in(group: EitherGroup) -> Iterator[EitherParameter]:
    yield from group.parameters if isinstance(group, ParameterGroup) else parameters_of(group.family, cluster_mode=group.cluster_mode)
    yield from node_type_parameters(group.family)


def _page_of(parameters: Sequence[EitherParameter], asked: Paged) -> CacheParameters:
    """A page is as long as was asked for when both lists in it are counted together; no parameter is on two pages."""
    shown, marker = page(parameters, asked)
    return CacheParameters(
        marker=marker,
        parameters=[_parameter(each) for each in shown if isinstance(each, domain.Parameter)],
        cache_node_type_specific_parameters=[_by_node_type(each) for each in shown if isinstance(each, domain.NodeTypeParameter)],
    )


def _arn(world: World, group: EitherGroup) -> str:
    return naming.arn(world, "parametergroup", group.name)


def _group(world: World, group: EitherGroup) -> CacheParameterGroup:
    return CacheParameterGroup(
        cache_parameter_group_name=group.name,
        cache_parameter_group_family=group.family,
        description=group.description,
        is_global=False,
        arn=_arn(world, group),
    )


def _parameter(parameter: domain.Parameter) -> Parameter:
    return Parameter(
        parameter_name=parameter.name,
        parameter_value=parameter.value,
        description=parameter.description,
        source=parameter.source,
        data_type=parameter.data_type,
        allowed_values=parameter.allowed or None,
        is_modifiable=parameter.modifiable,
        minimum_engine_version=parameter.minimum_engine_version,
        change_type=parameter.change_type,
    )


def _by_node_type(parameter: domain.NodeTypeParameter) -> CacheNodeTypeSpecificParameter:
    return CacheNodeTypeSpecificParameter(
        parameter_name=parameter.name,
        description=parameter.description,
        source=parameter.source,
        data_type=parameter.data_type,
        allowed_values=parameter.allowed,
        is_modifiable=parameter.modifiable,
        minimum_engine_version=parameter.minimum_engine_version,
        cache_node_type_specific_values=[
            CacheNodeTypeSpecificValue(cache_node_type=node_type, value=value) for node_type, value in parameter.values
        ],
        change_type=parameter.change_type,
    )
