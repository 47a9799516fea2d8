"""Parameter groups and their parameters. There are the default groups, which nobody can change."""

from __future__ import annotations

from collections.abc import Sequence

from api_schemas.faults import CacheParameterGroupNotFound
from api_schemas.paging import Paged, page
from api_schemas.parameter_group import (
    DESCRIBE_CACHE_PARAMETER_GROUPS,
    DESCRIBE_CACHE_PARAMETERS,
    DESCRIBE_ENGINE_DEFAULT_PARAMETERS,
    CacheNodeTypeSpecificParameter,
    CacheNodeTypeSpecificValue,
    CacheParameterGroup,
    CacheParameterGroups,
    CacheParameters,
    DescribeCacheParameterGroups,
    DescribeCacheParameters,
    DescribeEngineDefaultParameters,
    EngineDefaultParameters,
    EngineDefaults,
    Parameter,
)
from controlplane.domain import parameters as domain
from controlplane.domain.naming import arn
from controlplane.domain.parameters import DEFAULT_GROUPS, DefaultGroup, family, node_type_parameters, parameters_of
from controlplane.domain.topology import World
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(DESCRIBE_CACHE_PARAMETER_GROUPS)
def describe_cache_parameter_groups(ctx: Context, asked: DescribeCacheParameterGroups) -> CacheParameterGroups:
    """Show one parameter group, or all."""
    named = asked.cache_parameter_group_name
    found = [parameter_group(named)] if named else DEFAULT_GROUPS
    shown, marker = page(found, asked)
    return CacheParameterGroups(marker=marker, cache_parameter_groups=[_group(ctx.world, each) for each in shown])


@performs(DESCRIBE_CACHE_PARAMETERS)
def describe_cache_parameters(ctx: Context, asked: DescribeCacheParameters) -> CacheParameters:
    """Show the parameters of a group with their values."""
    group = parameter_group(asked.cache_parameter_group_name)
    parameters = [each for each in _both(group.family, group.cluster_mode) if asked.source in (None, each.source)]
    return _page_of(parameters, asked)


@performs(DESCRIBE_ENGINE_DEFAULT_PARAMETERS)
def describe_engine_default_parameters(ctx: Context, asked: DescribeEngineDefaultParameters) -> EngineDefaultParameters:
    """Show the parameters of a family as its default group has them."""
    of = family(asked.cache_parameter_group_family.lower()).name
    shown = _page_of(_both(of, cluster_mode=False), asked)
    return EngineDefaultParameters(engine_defaults=EngineDefaults(**dict(shown), cache_parameter_group_family=of))


def parameter_group(name: str) -> DefaultGroup:
    """The parameter group of that name, written in any case. Raises CacheParameterGroupNotFound."""
    for each in DEFAULT_GROUPS:
        if each.name == name.lower():
            return each
    raise CacheParameterGroupNotFound(name)


EitherParameter = domain.Parameter | domain.NodeTypeParameter


def _both(of: str, cluster_mode: bool) -> Sequence[EitherParameter]:
    return (*parameters_of(of, cluster_mode=cluster_mode), *node_type_parameters(of))


def _page_of(parameters: Sequence[EitherParameter], asked: Paged) -> CacheParameters:
    """A page is as long as was asked for when both lists in it are counted together; no parameter is on two pages."""
    shown, marker = page(parameters, asked)
    return CacheParameters(
        marker=marker,
        parameters=[_parameter(each) for each in shown if isinstance(each, domain.Parameter)],
        cache_node_type_specific_parameters=[_by_node_type(each) for each in shown if isinstance(each, domain.NodeTypeParameter)],
    )


def _group(world: World, group: DefaultGroup) -> CacheParameterGroup:
    return CacheParameterGroup(
        cache_parameter_group_name=group.name,
        cache_parameter_group_family=group.family,
        description=group.description,
        is_global=False,
        arn=arn(world, "parametergroup", group.name),
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
