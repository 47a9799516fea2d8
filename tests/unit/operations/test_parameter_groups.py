"""Parameter groups: default ones and callers' own, what may be set in them, and which caches take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import WORLD, a_cache_cluster, a_context, a_group, an_agent, have

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster, ModifyCacheCluster
from api_schemas.faults import (
    CacheParameterGroupAlreadyExists,
    CacheParameterGroupNotFound,
    CacheParameterGroupQuotaExceeded,
    Fault,
    InvalidCacheParameterGroupState,
    InvalidParameterCombination,
    InvalidParameterValue,
)
from api_schemas.parameter_group import (
    CacheParameters,
    CreateCacheParameterGroup,
    DeleteCacheParameterGroup,
    DescribeCacheParameterGroups,
    DescribeCacheParameters,
    DescribeEngineDefaultParameters,
    ModifyCacheParameterGroup,
    ResetCacheParameterGroup,
)
from api_schemas.parts import Tag
from api_schemas.replication_group import CreateReplicationGroup, ModifyReplicationGroup
from api_schemas.tag import AddTagsToResource, ListTagsForResource
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.parameters import DEFAULT_GROUPS, DefaultGroup, node_type_parameters, parameters_of
from controlplane.domain.reported import RUNNING, SeenNode
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import World
from controlplane.operations import describe
from controlplane.operations.cache_clusters import create_cache_cluster, modify_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.parameter_groups import (
    create_cache_parameter_group,
    delete_cache_parameter_group,
    describe_cache_parameter_groups,
    describe_cache_parameters,
    describe_engine_default_parameters,
    modify_cache_parameter_group,
    reset_cache_parameter_group,
)
from controlplane.operations.replication_groups import create_replication_group, modify_replication_group
from controlplane.operations.settings import parameter_group_for
from controlplane.operations.tags import add_tags_to_resource, list_tags_for_resource


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


# ---- Groups of one's own ------------------------------------------------------------------------------------------------
def create(ctx: Context, name: str = "mine", family: str = "valkey9", **fields: Any) -> None:
    create_cache_parameter_group(
        ctx, CreateCacheParameterGroup(cache_parameter_group_name=name, cache_parameter_group_family=family, description="d", **fields)
    )


def pairs(values: dict[str, str | None]) -> list[dict[str, str | None]]:
    return [{"parameter_name": name, "parameter_value": value} for name, value in values.items()]


def modify(ctx: Context, name: str = "mine", /, **values: str) -> str:
    named: dict[str, str | None] = {each.replace("_", "-"): value for each, value in values.items()}
    return modify_all(ctx, name, named)


def modify_all(ctx: Context, name: str, values: dict[str, str | None]) -> str:
    asked = {"cache_parameter_group_name": name, "parameter_name_values": pairs(values)}
    return modify_cache_parameter_group(ctx, ModifyCacheParameterGroup.model_validate(asked)).cache_parameter_group_name


def reset(ctx: Context, *names: str, group: str = "mine", **fields: Any) -> None:
    values = pairs(dict.fromkeys(names, "whatever it was"))
    asked = {"cache_parameter_group_name": group, "parameter_name_values": values, **fields}
    reset_cache_parameter_group(ctx, ResetCacheParameterGroup.model_validate(asked))


def delete(ctx: Context, name: str = "mine") -> None:
    delete_cache_parameter_group(ctx, DeleteCacheParameterGroup(cache_parameter_group_name=name))


def user_values(ctx: Context, name: str = "mine") -> dict[str, str | None]:
    """What Terraform reads back."""
    return {each.parameter_name: each.parameter_value for each in parameters(ctx, name, source="user").parameters}


def names(ctx: Context) -> list[str]:
    shown = describe_cache_parameter_groups(ctx, DescribeCacheParameterGroups(max_records=100)).cache_parameter_groups
    return [each.cache_parameter_group_name for each in shown if not each.cache_parameter_group_name.startswith("default.")]


def said(ctx: Context) -> list[tuple[str, str]]:
    return [(event.source, event.message) for event in ctx.unit.events.said]


def test_a_new_group_is_the_default_one_of_its_family(ctx: Context) -> None:
    create(ctx, "Mine.1", "Valkey9", tags=[Tag(key="team", value="blue")])
    [shown] = describe_cache_parameter_groups(ctx, DescribeCacheParameterGroups(cache_parameter_group_name="MINE.1")).cache_parameter_groups
    assert shown.model_dump() == {
        "cache_parameter_group_name": "mine.1",
        "cache_parameter_group_family": "valkey9",
        "description": "d",
        "is_global": False,
        "arn": "arn:aws:elasticache:us-east-1:000000000000:parametergroup:mine.1",
    }
    values = {each.parameter_name: each.parameter_value for each in parameters(ctx, "mine.1").parameters}
    assert values == {each.parameter_name: each.parameter_value for each in parameters(ctx, "default.valkey9").parameters}
    assert user_values(ctx, "mine.1") == {}
    assert list_tags_for_resource(ctx, ListTagsForResource(resource_name=shown.arn)).tag_list == [Tag(key="team", value="blue")]
    assert said(ctx) == [("mine.1", "Cache parameter group created")]


def test_what_may_be_set_only_while_unused_is_shown_as_modifiable(ctx: Context) -> None:
    create(ctx)
    modifiable = {each.parameter_name: each.is_modifiable for each in parameters(ctx, "mine").parameters}
    assert all(modifiable[name] for name in ("cluster-enabled", "databases", "cluster-databases"))
    assert not modifiable["maxclients"]


def test_groups_are_shown_after_the_default_ones_by_name(ctx: Context) -> None:
    for name in ("west", "east"):
        create(ctx, name)
    assert names(ctx) == ["east", "west"]


@pytest.mark.parametrize(
    ("name", "family", "fault", "words"),
    [
        ("taken", "valkey9", CacheParameterGroupAlreadyExists, "taken already exists"),
        ("TAKEN", "redis7", CacheParameterGroupAlreadyExists, "taken already exists"),
        ("mine", "redis8", InvalidParameterValue, "CacheParameterGroupFamily redis8 is not a valid parameter group family"),
        ("mine", "", InvalidParameterValue, "is not a valid parameter group family"),
        ("default.mine", "valkey9", InvalidParameterValue, "not with default"),
        ("default.valkey9", "valkey9", InvalidParameterValue, "not with default"),
        ("1mine", "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
        ("mine-", "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
        ("mi--ne", "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
        ("mi ne", "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
        ("", "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
        ("m" * 256, "valkey9", InvalidParameterValue, "CacheParameterGroupName is not valid"),
    ],
)
def test_what_cannot_be_created(ctx: Context, name: str, family: str, fault: type[Fault], words: str) -> None:
    create(ctx, "taken")
    with pytest.raises(fault, match=words):
        create(ctx, name, family)
    assert names(ctx) == ["taken"]


def test_three_hundred_are_enough(ctx: Context) -> None:
    for number in range(300):
        ctx.unit.parameter_groups.save(ParameterGroup(WORLD, f"group-{number}", "valkey9", "d"))
    with pytest.raises(CacheParameterGroupQuotaExceeded, match="at most 300"):
        create(ctx)


def test_worlds_do_not_see_each_others_groups(tmp_path: Path) -> None:
    other = World("111111111111", "eu-west-1")
    with a_context(tmp_path) as here:
        there = replace(here, world=other)
        create(here)
        assert (names(here), names(there)) == (["mine"], [])
        create(there, family="redis7")
        delete(here)
        assert (names(here), names(there)) == ([], ["mine"])


# ---- Modify -------------------------------------------------------------------------------------------------------------
def test_what_was_modified_is_the_users_even_where_it_is_the_default(ctx: Context) -> None:
    create(ctx)
    assert modify(ctx, "Mine", maxmemory_policy="allkeys-lru", timeout="0") == "mine"
    assert user_values(ctx) == {"maxmemory-policy": "allkeys-lru", "timeout": "0"}
    assert {each.source for each in parameters(ctx, "mine", source="system").parameters} == {"system"}
    assert said(ctx)[1:] == [("mine", "Updated parameter maxmemory-policy to allkeys-lru")]


def test_names_are_taken_in_any_case_and_what_is_not_named_stays(ctx: Context) -> None:
    create(ctx)
    modify(ctx, timeout="60")
    modify_all(ctx, "mine", {"Maxmemory-Policy": "noeviction"})
    modify(ctx, timeout="90")
    assert user_values(ctx) == {"maxmemory-policy": "noeviction", "timeout": "90"}


@pytest.mark.parametrize(
    ("family", "values", "words"),
    [
        ("valkey9", {"nonsense": "1"}, "The parameter nonsense cannot be found"),
        ("valkey9", {"hash-max-ziplist-entries": "1"}, "cannot be found"),
        ("valkey9", {"maxclients": "100"}, "The parameter maxclients cannot be modified"),
        ("valkey9", {"maxmemory": "100"}, "The parameter maxmemory cannot be modified"),
        ("valkey9", {"appendonly": "yes"}, "cannot be modified"),
        ("valkey9", {"timeout": "19"}, "not valid for the parameter timeout. Allowed: 0,20-"),
        ("valkey9", {"timeout": "4294967296"}, "not valid"),
        ("valkey9", {"timeout": "060"}, "not valid"),
        ("valkey9", {"timeout": "-0"}, "not valid"),
        ("valkey9", {"timeout": ""}, "not valid"),
        ("valkey9", {"timeout": None}, "not valid"),
        ("valkey9", {"maxmemory-policy": "most-lru"}, "not valid"),
        ("valkey9", {"notify-keyspace-events": "Q"}, "not valid"),
        ("valkey9", {"reserved-memory-percent": "101"}, "not valid"),
        ("valkey9", {"timeout": "60", "nonsense": "1"}, "cannot be found"),
        ("valkey9", {"": "1"}, "needs a ParameterName"),
        ("valkey9", {"timeout": "60", "TIMEOUT": "90"}, "named more than once"),
        ("valkey9", {}, "0 parameters are named"),
        ("valkey9", {f"p{number}": "1" for number in range(21)}, "21 parameters are named; a call takes 1 to 20"),
        ("valkey9", {"client-output-buffer-limit-normal-hard-limit": "1"}, "must be 0 or at least 1048576 bytes, but 1 was given"),
        ("valkey9", {"rename-commands": "GET FETCH"}, "can only be empty: a replica would lose"),
        ("valkey8", {"search-default-timeout-ms": "100"}, "can only be 50000: searching is not built yet"),
        ("redis2.6", {"appendonly": "yes"}, "can only be no: append only files are not built yet"),
        ("memcached1.6", {"num_threads": "8"}, "cannot be modified"),
        ("memcached1.6", {"max_item_size": "1500000"}, "would not start: max_item_size must be a multiple of slab_chunk_max"),
        ("memcached1.6", {"max_item_size": "1024"}, "would not start: max_item_size"),
        ("memcached1.6", {"slab_chunk_max": "1000"}, "would not start: slab_chunk_max"),
        ("memcached1.6", {"chunk_size_growth_factor": "1.0"}, "would not start: chunk_size_growth_factor"),
        ("memcached1.6", {"worker_logbuf_size": "128"}, "worker_logbuf_size can only be 64"),
    ],
)
def test_what_cannot_be_set(ctx: Context, family: str, values: dict[str, str | None], words: str) -> None:
    create(ctx, family=family)
    with pytest.raises(InvalidParameterValue, match=words):
        modify_all(ctx, "mine", values)
    assert user_values(ctx) == {}


@pytest.mark.parametrize("family", ["valkey9", "valkey8", "valkey7", "redis7", "redis4.0", "redis2.6", "memcached1.6", "memcached1.4"])
def test_every_default_of_what_may_be_modified_may_be_set(ctx: Context, family: str) -> None:
    create(ctx, family=family)
    own = [each for each in parameters_of(family, custom=True) if each.modifiable and each.allows(each.value or "")]
    for start in range(0, len(own), 20):
        modify_all(ctx, "mine", {each.name: each.value for each in own[start : start + 20]})
    assert sorted(user_values(ctx)) == sorted(each.name for each in own)
    [group] = ctx.unit.parameter_groups.of(WORLD)
    assert group.differing == ()


def test_a_smaller_chunk_allows_other_sizes_of_items(ctx: Context) -> None:
    create(ctx, family="memcached1.6")
    modify_all(ctx, "mine", {"max_item_size": "102400", "slab_chunk_max": "4096"})
    with pytest.raises(InvalidParameterValue, match="would not start"):
        reset(ctx, "slab_chunk_max")
    reset(ctx, "slab_chunk_max", "max_item_size")


# ---- Reset --------------------------------------------------------------------------------------------------------------
def test_what_is_reset_is_the_services_again(ctx: Context) -> None:
    create(ctx)
    modify(ctx, maxmemory_policy="allkeys-lru", timeout="60", notify_keyspace_events="Ex")
    reset(ctx, "TIMEOUT", "notify-keyspace-events", "lfu-decay-time")
    assert user_values(ctx) == {"maxmemory-policy": "allkeys-lru"}
    reset(ctx, reset_all_parameters=True)
    assert user_values(ctx) == {}
    assert said(ctx)[4:] == [
        ("mine", "Updated parameter notify-keyspace-events to "),
        ("mine", "Updated parameter timeout to 0"),
        ("mine", "Updated parameter maxmemory-policy to volatile-lru"),
    ]


@pytest.mark.parametrize(
    ("names", "fields", "fault", "words"),
    [
        ((), {}, InvalidParameterCombination, "either ResetAllParameters or ParameterNameValues"),
        ((), {"reset_all_parameters": False}, InvalidParameterCombination, "either"),
        (("timeout",), {"reset_all_parameters": True}, InvalidParameterCombination, "either"),
        (("nonsense",), {}, InvalidParameterValue, "cannot be found"),
        (("maxclients",), {}, InvalidParameterValue, "cannot be modified"),
        (("reserved-memory",), {}, InvalidParameterValue, "^Parameter reserved-memory doesn't exist$"),
        ([f"p{number}" for number in range(21)], {}, InvalidParameterValue, "21 parameters"),
    ],
)
def test_what_cannot_be_reset(ctx: Context, names: tuple[str, ...], fields: dict[str, Any], fault: type[Fault], words: str) -> None:
    create(ctx)
    modify(ctx, timeout="60")
    with pytest.raises(fault, match=words):
        reset(ctx, *names, **fields)
    assert user_values(ctx) == {"timeout": "60"}


def test_memory_is_reserved_in_bytes_or_in_percent(ctx: Context) -> None:
    create(ctx)
    modify(ctx, reserved_memory_percent="10")
    modify(ctx, reserved_memory="1000")
    with pytest.raises(InvalidParameterCombination, match="not both"):
        modify(ctx, reserved_memory="1", reserved_memory_percent="1")
    assert user_values(ctx) == {"reserved-memory": "1000"}
    modify(ctx, reserved_memory_percent="10")
    assert user_values(ctx) == {"reserved-memory-percent": "10"}


# ---- Default groups and used ones ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", [lambda ctx, name: modify(ctx, name, timeout="60"), delete,
                                  lambda ctx, name: reset(ctx, group=name, reset_all_parameters=True)])  # fmt: skip
def test_nobody_changes_a_default_group_or_one_that_is_not_there(ctx: Context, call: Any) -> None:
    with pytest.raises(InvalidCacheParameterGroupState, match="The default parameter group"):
        call(ctx, "Default.Valkey9")
    with pytest.raises(CacheParameterGroupNotFound, match="CacheParameterGroup gone not found"):
        call(ctx, "gone")


def test_a_group_is_deleted_with_its_tags_once_nobody_uses_it(ctx: Context) -> None:
    create(ctx, tags=[Tag(key="team", value="blue")])
    have(ctx, a_group(parameter_group="mine"))
    with pytest.raises(InvalidCacheParameterGroupState) as refused:
        delete(ctx)
    assert refused.value.message == (
        "One or more cache clusters are still members of this parameter group mine, so the group cannot be deleted."
    )
    ctx.unit.topologies.forget(a_group(parameter_group="mine"))
    delete(ctx, "MINE")
    create(ctx)
    arn = "arn:aws:elasticache:us-east-1:000000000000:parametergroup:mine"
    assert list_tags_for_resource(ctx, ListTagsForResource(resource_name=arn)).tag_list == []
    add_tags_to_resource(ctx, AddTagsToResource(resource_name=arn, tags=[Tag(key="a", value="b")]))
    assert list_tags_for_resource(ctx, ListTagsForResource(resource_name=arn)).tag_list == [Tag(key="a", value="b")]


def test_every_cache_that_uses_a_group_takes_its_values(ctx: Context) -> None:
    create(ctx)
    have(ctx, a_group("one", parameter_group="mine"), a_group("two", parameter_group="mine"), a_group("three"))
    modify(ctx, timeout="60", maxmemory_policy="volatile-lru")
    values = {topology.name: topology.parameters for topology in ctx.unit.topologies.of(WORLD)}
    assert values == {"one": (("timeout", "60"),), "two": (("timeout", "60"),), "three": ()}
    assert {ctx.status(topology) for topology in ctx.unit.topologies.of(WORLD)} == {"available"}
    reset(ctx, "timeout")
    assert {topology.parameters for topology in ctx.unit.topologies.of(WORLD)} == {()}


def test_every_cache_cluster_that_uses_a_group_is_told_of_what_changed_in_it(ctx: Context) -> None:
    create(ctx)
    group = a_group("one", parameter_group="mine")
    have(ctx, group, a_group("other"))
    modify(ctx, timeout="60", acllog_max_len="128")  # the second is as it was
    told = {(event.source_type, event.source, event.message) for event in ctx.unit.events.said if "Updated parameter" in event.message}
    sources = [("cache-parameter-group", "mine"), *(("cache-cluster", node.id) for node in group.nodes)]
    assert told == {(*source, "Updated parameter timeout to 60") for source in sources}


@pytest.mark.parametrize(("name", "value"), [("cluster-enabled", "yes"), ("databases", "8"), ("cluster-databases", "2")])
def test_some_parameters_change_only_while_nobody_uses_the_group(ctx: Context, name: str, value: str) -> None:
    create(ctx)
    modify_all(ctx, "mine", {name: value})
    have(ctx, a_group(parameter_group="mine", parameters=((name, value),)))
    modify_all(ctx, "mine", {name: value, "timeout": "60"})
    for call in (lambda: reset(ctx, name), lambda: reset(ctx, reset_all_parameters=True)):
        with pytest.raises(InvalidCacheParameterGroupState, match=f"{name} cannot be modified while a cache uses"):
            call()
    assert user_values(ctx) == {name: value, "timeout": "60"}


# ---- Caches name a group ------------------------------------------------------------------------------------------------
@pytest.fixture
def hosts(ctx: Context) -> None:
    """A zone in which everything can be run."""
    engines = [EngineBinary(engine=engine, version=version, path=f"/opt/{engine}")
               for engine, version in (("valkey", "9.1.2"), ("redis", "7.0.15"), ("memcached", "1.6.18"))]  # fmt: skip
    ctx.unit.agents.put(an_agent("agent-a", "us-east-1a").model_copy(update={"engines": engines}))


@pytest.mark.usefixtures("hosts")
def test_caches_are_created_with_the_values_of_their_group(ctx: Context) -> None:
    create(ctx)
    create(ctx, "items", "memcached1.6")
    modify(ctx, timeout="60")
    modify_all(ctx, "items", {"max_item_size": "2097152"})
    create_replication_group(
        ctx, CreateReplicationGroup(replication_group_id="orders", replication_group_description="d", engine="valkey",
                                    cache_parameter_group_name="Mine", num_cache_clusters=2))  # fmt: skip
    create_cache_cluster(
        ctx, CreateCacheCluster(cache_cluster_id="sessions", engine="memcached", cache_parameter_group_name="items"))  # fmt: skip
    kept = {each.name: (each.parameter_group, each.parameters) for each in ctx.unit.topologies.of(WORLD)}
    assert kept == {"orders": ("mine", (("timeout", "60"),)), "sessions": ("items", (("max_item_size", "2097152"),))}
    used = [each for each in said(ctx) if "CacheParameterGroup" in each[1]]
    assert used == [
        ("orders-001", "Updated to use a CacheParameterGroup mine"),
        ("orders-002", "Updated to use a CacheParameterGroup mine"),
        ("sessions", "Updated to use a CacheParameterGroup items"),
    ]


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize(
    ("named", "fault", "words"),
    [
        ("gone", CacheParameterGroupNotFound, "gone not found"),
        ("older", InvalidParameterCombination, "Expected a parameter group of family valkey9 for valkey 9.1, but older is of family valkey8"),
        ("sharded", InvalidParameterCombination, "sharded cannot be used with ClusterMode disabled"),
        ("default.valkey9.cluster.on", InvalidParameterCombination, "cannot be used with ClusterMode disabled"),
    ],
)
def test_a_group_that_does_not_fit(ctx: Context, named: str, fault: type[Fault], words: str) -> None:
    create(ctx, "older", "valkey8")
    create(ctx, "sharded")
    modify(ctx, "sharded", cluster_enabled="yes")
    with pytest.raises(fault, match=words):
        create_replication_group(
            ctx, CreateReplicationGroup(replication_group_id="orders", replication_group_description="d", engine="valkey",
                                        cluster_mode="disabled", cache_parameter_group_name=named))  # fmt: skip


@pytest.mark.usefixtures("hosts")
def test_a_group_for_cluster_mode_makes_sharded_groups_and_no_caches_that_stand_alone(ctx: Context) -> None:
    create(ctx, family="redis7")
    modify(ctx, cluster_enabled="yes", timeout="60")
    with pytest.raises(InvalidParameterCombination, match="mine is for replication groups in cluster mode"):
        create_cache_cluster(ctx, CreateCacheCluster(cache_cluster_id="one", engine="redis", cache_parameter_group_name="mine"))
    create_replication_group(
        ctx, CreateReplicationGroup(replication_group_id="orders", replication_group_description="d", engine="redis",
                                    cache_parameter_group_name="mine"))  # fmt: skip
    [group] = ctx.unit.topologies.of(WORLD)
    assert (group.has_bus, group.parameters) == (True, (("cluster-enabled", "yes"), ("timeout", "60")))


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (None, ("default.valkey9", "valkey9", False, ())),
        ("default.valkey9.cluster.on", ("default.valkey9.cluster.on", "valkey9", True, (("cluster-enabled", "yes"),))),
        ("mine", ("mine", "valkey9", True, (("cluster-enabled", "yes"), ("timeout", "60")))),
    ],
)
def test_what_a_group_comes_to_for_a_cache(ctx: Context, asked: str | None, chosen: tuple[object, ...]) -> None:
    create(ctx)
    modify(ctx, cluster_enabled="yes", timeout="60")
    found = parameter_group_for(ctx, asked, engine_version("valkey", "9.1"))
    assert (found.name, found.family, found.cluster_mode, found.values) == chosen


def test_a_cache_switches_to_another_group_at_once(ctx: Context) -> None:
    create(ctx)
    create(ctx, "items", "memcached1.6")
    modify(ctx, timeout="60")
    modify_all(ctx, "items", {"max_item_size": "2097152"})
    have(ctx, a_group("orders", nodes=2), a_cache_cluster("sessions"))
    modify_replication_group(
        ctx, ModifyReplicationGroup(replication_group_id="orders", cache_parameter_group_name="mine", apply_immediately=False))  # fmt: skip
    modify_cache_cluster(ctx, ModifyCacheCluster(cache_cluster_id="sessions", cache_parameter_group_name="items"))
    kept = {each.name: (each.parameter_group, each.parameters) for each in ctx.unit.topologies.of(WORLD)}
    assert kept == {"orders": ("mine", (("timeout", "60"),)), "sessions": ("items", (("max_item_size", "2097152"),))}
    assert [each for each in said(ctx) if "CacheParameterGroup" in each[1]] == [
        (name, f"Updated to use a CacheParameterGroup {group}")
        for name, group in (("orders-001", "mine"), ("orders-002", "mine"), ("sessions", "items"))
    ]


@pytest.mark.parametrize(
    ("values", "named", "words"),
    [
        ({"databases": "8"}, "mine", "databases is 16 in default.valkey9 and 8 in mine"),
        ({"cluster-enabled": "yes"}, "mine", "cluster-enabled is no in default.valkey9 and yes in mine"),
        ({}, "default.valkey9.cluster.on", "cluster-enabled is no"),
        ({}, "default.valkey8", "Expected a parameter group of family valkey9"),
        ({}, "default.valkey9", "No modifications were requested"),
    ],
)
def test_a_cache_does_not_switch_to_a_group_that_differs_in_what_is_fixed(
    ctx: Context, values: dict[str, str | None], named: str, words: str
) -> None:
    create(ctx)
    if values:
        modify_all(ctx, "mine", values)
    have(ctx, a_group("orders"))
    with pytest.raises(InvalidParameterCombination, match=words):
        modify_replication_group(ctx, ModifyReplicationGroup(replication_group_id="orders", cache_parameter_group_name=named))


# ---- How far the nodes are ----------------------------------------------------------------------------------------------
def shown_status(ctx: Context, name: str) -> tuple[str, list[str], list[str | None]]:
    topology, member = ctx.cache_cluster(name)
    shown = describe.cache_cluster(ctx, topology, member, with_nodes=True)
    group = shown.cache_parameter_group
    nodes = [node.parameter_group_status for node in shown.cache_nodes or []]
    return group.parameter_apply_status, group.cache_node_ids_to_reboot, nodes


def report(ctx: Context, topology: Any, *digests: str) -> None:
    for node, digest in zip(topology.nodes, digests, strict=True):
        ctx.unit.reports.put_node(topology.key(node.id), SeenNode(RUNNING, 1, parameters=digest), ctx.now)
    ctx.unit.reports.settle()


def test_what_has_said_nothing_is_in_sync(ctx: Context) -> None:
    have(ctx, a_cache_cluster(nodes=2))
    assert shown_status(ctx, "sessions") == ("in-sync", [], ["in-sync", "in-sync"])


def test_a_memcached_node_waits_for_its_reboot(ctx: Context) -> None:
    topology = a_cache_cluster(nodes=2)
    have(ctx, topology)
    desired = resources_of(topology).configuration.digest
    report(ctx, topology, desired, "another")
    assert shown_status(ctx, "sessions") == ("pending-reboot", ["0002"], ["in-sync", "pending-reboot"])
    report(ctx, topology, desired, desired)
    assert shown_status(ctx, "sessions") == ("in-sync", [], ["in-sync", "in-sync"])


def test_a_valkey_node_applies_each_for_itself(ctx: Context) -> None:
    topology = a_group(nodes=2)
    have(ctx, topology)
    report(ctx, topology, resources_of(topology).configuration.digest, "another")
    assert shown_status(ctx, "orders-001") == ("in-sync", [], ["in-sync"])
    assert shown_status(ctx, "orders-002") == ("applying", [], ["applying"])
