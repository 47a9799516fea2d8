"""Requests, results, parts and promises of parameter groups, and of the parameters in them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.paging import Paged
from api_schemas.parts import Nothing, Tag
from api_schemas.shape import Aws, Shape

Source = Literal["user", "system", "engine-default"]


class ParameterNameValue(Shape):
    """A parameter and the value it shall have. Where parameters are reset, only the name counts."""

    parameter_name: str | None = None
    parameter_value: str | None = None


class CreateCacheParameterGroup(Shape):
    """What a new parameter group shall be: a name and a family, whose default values it starts with."""

    cache_parameter_group_name: str
    cache_parameter_group_family: str
    description: str
    tags: list[Tag] = Field(default_factory=list)


class ModifyCacheParameterGroup(Shape):
    """Which parameters of a group shall have which values: up to 20 in one call. What is not named stays."""

    cache_parameter_group_name: str
    parameter_name_values: list[ParameterNameValue]


class ResetCacheParameterGroup(Shape):
    """Which parameters of a group shall be as the family has them: all, or up to 20 that are named."""

    cache_parameter_group_name: str
    reset_all_parameters: bool | None = None
    parameter_name_values: list[ParameterNameValue] = Field(default_factory=list)


class DeleteCacheParameterGroup(Shape):
    """Which parameter group shall go."""

    cache_parameter_group_name: str


class DescribeCacheParameterGroups(Paged):
    """Which parameter groups to show: one by name, or all."""

    cache_parameter_group_name: str | None = None


class DescribeCacheParameters(Paged):
    """Of which group to show the parameters, and whose values: the caller's (``user``) or the service's (``system``)."""

    cache_parameter_group_name: str
    source: Source | None = None


class DescribeEngineDefaultParameters(Paged):
    """Of which family to show the parameters."""

    cache_parameter_group_family: str


class CacheParameterGroup(Shape):
    """A named set of values for the parameters of a family."""

    cache_parameter_group_name: str
    cache_parameter_group_family: str
    description: str
    is_global: bool
    arn: Annotated[str, Aws("ARN")]


class CacheParameterGroupResult(Shape):
    """One parameter group."""

    cache_parameter_group: CacheParameterGroup


class CacheParameterGroupName(Shape):
    """The parameter group whose values changed."""

    cache_parameter_group_name: str


class Parameter(Shape):
    """A parameter, its value if it has one, and what else it could be."""

    parameter_name: str
    parameter_value: str | None = None
    description: str
    source: str
    data_type: str
    allowed_values: str | None = None
    is_modifiable: bool
    minimum_engine_version: str
    change_type: str


class CacheNodeTypeSpecificValue(Shape):
    """The value that a parameter has on a node type."""

    cache_node_type: str
    value: str


class CacheNodeTypeSpecificParameter(Shape):
    """A parameter whose value goes with the node type."""

    parameter_name: str
    description: str
    source: str
    data_type: str
    allowed_values: str
    is_modifiable: bool
    minimum_engine_version: str
    cache_node_type_specific_values: list[CacheNodeTypeSpecificValue]
    change_type: str


class CacheParameterGroups(Shape):
    """A page of parameter groups."""

    marker: str | None = None
    cache_parameter_groups: list[CacheParameterGroup]


class CacheParameters(Shape):
    """A page of parameters. Both lists share it: those that go with the node type follow the others."""

    marker: str | None = None
    parameters: list[Parameter] = Field(default_factory=list)
    cache_node_type_specific_parameters: list[CacheNodeTypeSpecificParameter] = Field(default_factory=list)


class EngineDefaults(CacheParameters):
    """A page of the parameters of a family."""

    cache_parameter_group_family: str


class EngineDefaultParameters(Shape):
    """The parameters of a family, as a new group of it has them."""

    engine_defaults: EngineDefaults


CREATE_CACHE_PARAMETER_GROUP = Operation(
    "CreateCacheParameterGroup", "POST /parameter-groups", CreateCacheParameterGroup, CacheParameterGroupResult,
    "Create a parameter group of a family, with the family's default values.",
    in_engines=NOTHING,
)  # fmt: skip
MODIFY_CACHE_PARAMETER_GROUP = Operation(
    "ModifyCacheParameterGroup", "PATCH /parameter-groups/{cache_parameter_group_name}",
    ModifyCacheParameterGroup, CacheParameterGroupName,
    "Set parameters of a group. Every cache that uses it takes them: Valkey and Redis at once, Memcached at its next reboot.",
    in_engines="`CONFIG SET` on every node of every cache that uses the group; what is reserved becomes `maxmemory`. What programs "
               "only read at their start (`databases`, all of Memcached's flags): at the next reboot.",
)  # fmt: skip
RESET_CACHE_PARAMETER_GROUP = Operation(
    "ResetCacheParameterGroup", "POST /parameter-groups/{cache_parameter_group_name}/reset",
    ResetCacheParameterGroup, CacheParameterGroupName,
    "Set some or all parameters of a group to the family's defaults again.",
    in_engines="As ModifyCacheParameterGroup, with the family's values.",
)  # fmt: skip
DELETE_CACHE_PARAMETER_GROUP = Operation(
    "DeleteCacheParameterGroup", "DELETE /parameter-groups/{cache_parameter_group_name}", DeleteCacheParameterGroup, Nothing,
    "Delete a parameter group that no cache uses.",
    in_engines=NOTHING,
)  # fmt: skip
DESCRIBE_CACHE_PARAMETER_GROUPS = Operation(
    "DescribeCacheParameterGroups", "GET /parameter-groups", DescribeCacheParameterGroups, CacheParameterGroups,
    "Show one parameter group, or all: every family has its default groups.",
    reads=True,
)  # fmt: skip
DESCRIBE_CACHE_PARAMETERS = Operation(
    "DescribeCacheParameters", "GET /parameter-groups/{cache_parameter_group_name}/parameters",
    DescribeCacheParameters, CacheParameters,
    "Show the parameters of a group with their values.",
    reads=True,
)  # fmt: skip
DESCRIBE_ENGINE_DEFAULT_PARAMETERS = Operation(
    "DescribeEngineDefaultParameters", "GET /engine-default-parameters/{cache_parameter_group_family}",
    DescribeEngineDefaultParameters, EngineDefaultParameters,
    "Show the parameters of a family with the values that a new group of it has.",
    reads=True,
)  # fmt: skip
