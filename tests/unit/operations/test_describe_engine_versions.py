"""DescribeCacheEngineVersions: which versions match what was given."""

from __future__ import annotations

import pytest

from api_schemas.engine_version import DescribeCacheEngineVersions
from api_schemas.faults import InvalidParameterValue
from controlplane.domain.engine_versions import ENGINE_VERSIONS
from controlplane.operations.context import Context
from controlplane.operations.engine_versions import describe_cache_engine_versions


def versions(ctx: Context, **asked: object) -> list[str]:
    answer = describe_cache_engine_versions(ctx, DescribeCacheEngineVersions.model_validate(asked))
    return [f"{each.engine} {each.engine_version}" for each in answer.cache_engine_versions]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"engine": "valkey"}, ["valkey 7.2", "valkey 8.0", "valkey 8.1", "valkey 8.2", "valkey 9.0", "valkey 9.1"]),
        ({"engine": "Valkey", "engine_version": "8.1"}, ["valkey 8.1"]),
        ({"engine_version": "7.1"}, ["redis 7.1"]),
        ({"cache_parameter_group_family": "redis7"}, ["redis 7.0", "redis 7.1"]),
        ({"cache_parameter_group_family": "memcached1.5"}, ["memcached 1.5.10", "memcached 1.5.16"]),
        ({"default_only": True}, ["redis 7.1", "valkey 9.1", "memcached 1.6.22"]),
        ({"engine": "redis", "default_only": True}, ["redis 7.1"]),
        ({"cache_parameter_group_family": "redis6.x", "default_only": True}, ["redis 6.2"]),
        ({"engine": "redis", "engine_version": "7.1.0"}, []),  # the version as requests write it, not as caches show it
        ({"engine": "valkey", "cache_parameter_group_family": "redis7"}, []),
        ({"engine": "dynomite"}, []),
    ],
)  # fmt: skip
def test_versions_match_everything_given(ctx: Context, asked: dict[str, object], shown: list[str]) -> None:
    assert versions(ctx, **asked) == shown


def test_the_patch_level_shows_in_the_description_only(ctx: Context) -> None:
    asked = DescribeCacheEngineVersions(engine="redis", engine_version="6.0")
    [shown] = describe_cache_engine_versions(ctx, asked).cache_engine_versions
    assert shown.model_dump() == {
        "engine": "redis",
        "engine_version": "6.0",
        "cache_parameter_group_family": "redis6.x",
        "cache_engine_description": "Redis",
        "cache_engine_version_description": "redis version 6.0.5",
    }


def test_pages_follow_one_another(ctx: Context) -> None:
    first = describe_cache_engine_versions(ctx, DescribeCacheEngineVersions(max_records=20))
    second = describe_cache_engine_versions(ctx, DescribeCacheEngineVersions(max_records=20, marker=first.marker))
    both = [*first.cache_engine_versions, *second.cache_engine_versions]
    assert len(first.cache_engine_versions) == 20
    assert len(both) == len(ENGINE_VERSIONS)
    assert second.marker is None


@pytest.mark.parametrize("records", [0, 19, 101, -1])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    with pytest.raises(InvalidParameterValue, match=f"Invalid value {records} for MaxRecords. Must be between 20 and 100"):
        versions(ctx, engine="dynomite", max_records=records)
