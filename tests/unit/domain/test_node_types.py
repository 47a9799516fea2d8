"""Node types: how much they hold, which can be had, and which may become which."""

from __future__ import annotations

import re

import pytest

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.node_types import (
    NODE_TYPES,
    NodeType,
    allowed_modifications,
    memory_for,
    must_not_tier_data,
    must_support,
    node_type,
)

ORDINARY = [each for each in NODE_TYPES if each.creatable and not each.tiers_data]


@pytest.mark.parametrize(
    ("name", "maxmemory", "megabytes", "threads", "maxclients"),
    [
        ("cache.t2.micro", 581959680, 555, 1, 20000),
        ("cache.t3.micro", 536870912, 512, 2, 20000),
        ("cache.t4g.micro", 536870912, 512, 2, 20000),
        ("cache.t3.medium", 3317862236, 3364, 2, 46000),
        ("cache.t4g.medium", 3317862236, 3164, 2, 65000),
        ("cache.m4.10xlarge", 166047614239, 158355, 40, 65000),
        ("cache.m7g.8xlarge", 111325552312, 107000, 32, 65000),
        ("cache.m5.24xlarge", 337500562842, 321865, 96, 65000),
        ("cache.r4.16xlarge", 437021573120, 416776, 64, 65000),
        ("cache.r5.large", 14037181030, 13387, 2, 65000),
        ("cache.r6g.16xlarge", 450000750456, 429154, 64, 65000),
        ("cache.r6gd.xlarge", 28261849702, None, 4, 65000),
        ("cache.r8g.16xlarge", 541725818880, 516630, 64, 65000),
        ("cache.c7gn.large", 3317862236, 3164, 2, 65000),
        ("cache.c8gn.12xlarge", 99847503872, 95222, 48, 65000),
    ],
)
def test_a_node_of_this_type_has(name: str, maxmemory: int, megabytes: int | None, threads: int, maxclients: int) -> None:
    found = node_type(name)
    assert (found.maxmemory, found.memcached_megabytes, found.threads, found.maxclients) == (
        maxmemory,
        megabytes,
        threads,
        maxclients,
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cache.x", "Generations on offer: t2, t3, t4g"),
        ("t3.micro", "Generations on offer"),
        ("", "Generations on offer"),
        ("cache.t4g.huge", "Sizes on offer of this generation: micro, small, medium."),
        ("cache.r5.8xlarge", "Sizes on offer of this generation: large, xlarge, 2xlarge, 4xlarge, 12xlarge, 24xlarge."),
        ("cache.r6gd.large", "Sizes on offer of this generation: xlarge"),
        ("cache.m1.small", "Generations on offer"),
        ("cache.t1.micro", "Generations on offer"),
        ("cache.r3.large", "Generations on offer"),
    ],
)
def test_a_type_that_cannot_be_had_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(f"Invalid Cache Node Type: {name}.")) as refused:
        node_type(name)
    assert hint in str(refused.value)
    assert len(str(refused.value)) < 300


def test_every_type_is_listed_once() -> None:
    assert len({each.name for each in NODE_TYPES}) == len(NODE_TYPES)


@pytest.mark.parametrize("each", NODE_TYPES, ids=lambda each: each.name)
def test_memcached_has_about_the_memory_that_redis_has(each: NodeType) -> None:
    """A slip of a digit in a table shows as an outlier. m1.small and m4.xlarge are published this far apart."""
    megabytes = each.memcached_megabytes
    if megabytes is None:
        assert each.tiers_data
        return
    ratio = megabytes / (each.maxmemory / 1024**2)
    odd = {"cache.m1.small", "cache.m4.xlarge", "cache.t1.micro"}
    assert each.name in odd or 0.93 < ratio < 1.15


@pytest.mark.parametrize("generation", sorted({each.generation for each in NODE_TYPES}))
def test_a_larger_size_of_a_generation_has_more_of_everything(generation: str) -> None:
    sizes = [each for each in NODE_TYPES if each.generation == generation]
    by_memory = sorted(sizes, key=lambda each: each.maxmemory)
    assert by_memory == sizes
    assert [each.threads for each in sizes] == sorted(each.threads for each in sizes)
    assert [each.memory("memcached") for each in sizes] == sorted(each.memory("memcached") for each in sizes)


@pytest.mark.parametrize(
    ("name", "engine", "reserved_percent", "bytes_"),
    [
        ("cache.t3.micro", "redis", 0, 536870912),
        ("cache.t3.micro", "redis", 25, 402653184),
        ("cache.t3.micro", "valkey", 50, 268435456),
        ("cache.t4g.small", "valkey", 25, 1103269724),
        ("cache.t3.micro", "memcached", 0, 412 * 1024**2),
        ("cache.t3.micro", "memcached", 25, 412 * 1024**2),
        ("cache.r5.large", "memcached", 0, 13287 * 1024**2),
    ],
)
def test_an_engine_may_fill(name: str, engine: str, reserved_percent: int, bytes_: int) -> None:
    assert memory_for(node_type(name), engine, reserved_percent) == bytes_


def test_connections_take_less_of_the_smallest_type() -> None:
    smallest = next(each for each in NODE_TYPES if each.name == "cache.t1.micro")
    assert memory_for(smallest, "memcached", 0) == 200 * 1024**2
    assert memory_for(smallest, "memcached", 0, 100) == 200 * 1024**2


@pytest.mark.parametrize(("overhead", "megabytes"), [(None, 412), (100, 412), (0, 512), (200, 312), (512, 1), (9999, 1)])
def test_connections_take_what_the_parameter_group_says(overhead: int | None, megabytes: int) -> None:
    assert memory_for(node_type("cache.t3.micro"), "memcached", 0, overhead) == megabytes * 1024**2


def test_reserving_everything_does_not_mean_no_limit() -> None:
    assert memory_for(node_type("cache.t3.micro"), "valkey", 100) > 0


def test_memcached_is_not_offered_on_nodes_that_tier_data() -> None:
    with pytest.raises(InvalidParameterCombination, match="not supported for memcached"):
        memory_for(node_type("cache.r6gd.xlarge"), "memcached", 0)


def test_a_small_node_scales_up_to_anything_ordinary_and_down_to_what_is_smaller() -> None:
    up, down = allowed_modifications("cache.t3.micro", "redis")
    assert {"cache.t4g.micro", "cache.t2.micro", "cache.m5.large", "cache.r8g.16xlarge"} <= set(up)
    assert down == []
    up, down = allowed_modifications("cache.t3.small", "redis")
    assert down == ["cache.t2.micro", "cache.t3.micro", "cache.t4g.micro"]
    assert {"cache.t4g.small", "cache.t2.small"} <= set(up)


def test_the_largest_node_only_scales_down() -> None:
    up, down = allowed_modifications("cache.r5.24xlarge", "valkey")
    assert up == []
    assert "cache.r8g.16xlarge" in down


def test_a_node_that_tiers_data_stays_one() -> None:
    assert allowed_modifications("cache.r6gd.4xlarge", "redis") == (
        ["cache.r6gd.12xlarge", "cache.r6gd.16xlarge", "cache.r6gd.8xlarge"],
        ["cache.r6gd.2xlarge", "cache.r6gd.xlarge"],
    )


def test_a_retired_type_can_be_left_but_not_entered() -> None:
    up, down = allowed_modifications("cache.m1.large", "redis")
    assert "cache.m5.xlarge" in up
    assert "cache.t3.small" in down
    assert not [name for name in up + down if name.startswith(("cache.t1.", "cache.m1.", "cache.m2.", "cache.m3.", "cache.r3."))]


@pytest.mark.parametrize("engine", ["redis", "memcached"])
@pytest.mark.parametrize("each", ORDINARY, ids=lambda each: each.name)
def test_every_other_ordinary_type_is_either_up_or_down(each: NodeType, engine: str) -> None:
    up, down = allowed_modifications(each.name, engine)
    assert sorted(up + down) == sorted(other.name for other in ORDINARY if other != each)


def test_scaling_from_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidParameterValue, match="Invalid Cache Node Type"):
        allowed_modifications("cache.x", "redis")


@pytest.mark.parametrize(
    ("name", "engine", "too_old", "enough"),
    [
        ("cache.t4g.micro", "memcached", "1.5.10", "1.5.16"),
        ("cache.m6g.large", "memcached", "1.4.34", "1.5.16"),
        ("cache.r7g.large", "memcached", "1.5.10", "1.6.6"),
        ("cache.r8g.large", "memcached", "1.5.16", "1.6.6"),
        ("cache.t4g.micro", "redis", "4.0.10", "5.0.6"),
        ("cache.r6gd.xlarge", "redis", "6.0", "6.2"),
    ],
)
def test_graviton_needs_this_version(name: str, engine: str, too_old: str, enough: str) -> None:
    must_support(node_type(name), engine_version(engine, enough))
    with pytest.raises(InvalidParameterCombination, match=f"{name} needs {engine} version"):
        must_support(node_type(name), engine_version(engine, too_old))


@pytest.mark.parametrize(
    ("name", "engine", "version"),
    [("cache.t3.micro", "redis", "4.0.10"), ("cache.m5.large", "memcached", "1.4.5")],
)
def test_others_run_every_version(name: str, engine: str, version: str) -> None:
    must_support(node_type(name), engine_version(engine, version))


def test_no_version_of_memcached_runs_on_nodes_that_tier_data() -> None:
    with pytest.raises(InvalidParameterCombination, match="not supported for memcached"):
        must_support(node_type("cache.r6gd.xlarge"), engine_version("memcached", None))


def test_nodes_that_tier_data_are_for_nobody_yet() -> None:
    with pytest.raises(InvalidParameterCombination, match=r"cache\.r6gd\.xlarge can only be had with DataTieringEnabled=true"):
        must_not_tier_data(node_type("cache.r6gd.xlarge"))
    for each in ORDINARY:
        must_not_tier_data(each)
