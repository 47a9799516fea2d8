"""Parameter groups: the default ones, their parameters, and those of a family."""

from __future__ import annotations

import pytest

from api_schemas.faults import CacheParameterGroupNotFound, InvalidParameterValue
from api_schemas.parameter_group import (
    CacheParameters,
    DescribeCacheParameterGroups,
    DescribeCacheParameters,
    DescribeEngineDefaultParameters,
)
from controlplane.domain.parameters import DEFAULT_GROUPS, DefaultGroup, node_type_parameters, parameters_of
from controlplane.operations.context import Context
from controlplane.operations.parameter_groups import (
    describe_cache_parameter_groups,
    describe_cache_parameters,
    describe_engine_default_parameters,
)


def parameters(ctx: Context, name: str, **asked: object) -> CacheParameters:
    return describe_cache_parameters(ctx, DescribeCacheParameters.model_validate({"cache_parameter_group_name": name, **asked}))


# ---- Groups -------------------------------------------------------------------------------------------------------------
def test_every_default_group_is_shown(ctx: Context) -> None:
    shown = describe_cache_parameter_groups(ctx, DescribeCacheParameterGroups()).cache_parameter_groups
    assert [each.cache_parameter_group_name for each in shown] == [each.name for each in DEFAULT_GROUPS]


@pytest.mark.parametrize("name", ["default.valkey8.cluster.on", "Default.Valkey8.Cluster.On"])
def test_a_group_is_found_in_any_case(ctx: Context, name: str) -> None:
    asked = DescribeCacheParameterGroups(cache_parameter_group_name=name)
    [shown] = describe_cache_parameter_groups(ctx, asked).cache_parameter_groups
    assert shown.model_dump() == {
        "cache_parameter_group_name": "default.valkey8.cluster.on",
        "cache_parameter_group_family": "valkey8",
        "description": "Customized default parameter group for valkey8 with cluster mode on",
        "is_global": False,
        "arn": "arn:aws:elasticache:us-east-1:000000000000:parametergroup:default.valkey8.cluster.on",
    }


@pytest.mark.parametrize("name", ["mine", "default", "default.redis8", "valkey8"])
def test_a_group_that_is_not_there(ctx: Context, name: str) -> None:
    with pytest.raises(CacheParameterGroupNotFound, match=f"CacheParameterGroup {name} not found."):
        describe_cache_parameter_groups(ctx, DescribeCacheParameterGroups(cache_parameter_group_name=name))
    with pytest.raises(CacheParameterGroupNotFound):
        parameters(ctx, name)


# ---- Parameters ---------------------------------------------------------------------------------------------------------
def test_a_parameter_is_shown_with_all_there_is_to_it(ctx: Context) -> None:
    shown = next(each for each in parameters(ctx, "default.valkey8").parameters if each.parameter_name == "maxmemory-policy")
    assert (shown.parameter_value, shown.source, shown.data_type) == ("volatile-lru", "system", "string")
    assert (shown.is_modifiable, shown.change_type, shown.minimum_engine_version) == (True, "immediate", "8.0.0")
    assert shown.allowed_values is not None
    assert "allkeys-lfu" in shown.allowed_values.split(",")


def test_what_a_parameter_lacks_is_left_out(ctx: Context) -> None:
    every = [each for group in DEFAULT_GROUPS for each in parameters(ctx, group.name).parameters]
    assert any(each.parameter_value is None for each in every)
    assert any(each.allowed_values is None for each in every)
    assert not any(each.allowed_values == "" for each in every)


@pytest.mark.parametrize(("group", "value"), [("default.redis7", "no"), ("default.redis7.cluster.on", "yes")])
def test_cluster_mode_is_a_parameter(ctx: Context, group: str, value: str) -> None:
    named = {each.parameter_name: each.parameter_value for each in parameters(ctx, group).parameters}
    assert named["cluster-enabled"] == value


def test_values_that_go_with_the_node_type(ctx: Context) -> None:
    by_type = parameters(ctx, "default.redis7").cache_node_type_specific_parameters
    maxmemory = next(each for each in by_type if each.parameter_name == "maxmemory")
    values = {each.cache_node_type: each.value for each in maxmemory.cache_node_type_specific_values}
    assert (maxmemory.data_type, maxmemory.is_modifiable) == ("integer", False)
    assert values["cache.t4g.small"] == "1471026299"


@pytest.mark.parametrize(("source", "any_shown"), [("system", True), ("user", False), ("engine-default", False)])
def test_nobody_has_changed_a_default_group(ctx: Context, source: str, any_shown: bool) -> None:
    shown = parameters(ctx, "default.valkey9", source=source)
    assert bool(shown.parameters) is any_shown
    assert bool(shown.cache_node_type_specific_parameters) is any_shown


@pytest.mark.parametrize("group", DEFAULT_GROUPS, ids=lambda group: group.name)
def test_every_parameter_is_on_one_page(ctx: Context, group: DefaultGroup) -> None:
    shown, by_type, marker = [], [], None
    while True:
        page = parameters(ctx, group.name, max_records=20, marker=marker)
        assert len(page.parameters) + len(page.cache_node_type_specific_parameters) <= 20
        shown += [each.parameter_name for each in page.parameters]
        by_type += [each.parameter_name for each in page.cache_node_type_specific_parameters]
        if (marker := page.marker) is None:
            break
    assert shown == [each.name for each in parameters_of(group.family)]
    assert by_type == [each.name for each in node_type_parameters(group.family)]


# ---- Families -----------------------------------------------------------------------------------------------------------
def test_a_family_has_the_parameters_of_its_default_group(ctx: Context) -> None:
    asked = DescribeEngineDefaultParameters(cache_parameter_group_family="Valkey9")
    defaults = describe_engine_default_parameters(ctx, asked).engine_defaults
    assert defaults.cache_parameter_group_family == "valkey9"
    assert defaults.parameters == parameters(ctx, "default.valkey9").parameters


def test_a_family_that_is_not_there(ctx: Context) -> None:
    with pytest.raises(InvalidParameterValue, match="CacheParameterGroupFamily redis8 is not a valid parameter group family"):
        describe_engine_default_parameters(ctx, DescribeEngineDefaultParameters(cache_parameter_group_family="redis8"))


@pytest.mark.parametrize("records", [19, 101])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    calls = (
        lambda: describe_cache_parameter_groups(ctx, DescribeCacheParameterGroups(max_records=records)),
        lambda: parameters(ctx, "default.redis7", source="user", max_records=records),
        lambda: describe_engine_default_parameters(
            ctx, DescribeEngineDefaultParameters(cache_parameter_group_family="redis7", max_records=records)
        ),
    )
    for call in calls:
        with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
            call()
