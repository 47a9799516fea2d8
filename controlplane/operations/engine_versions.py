"""Engine versions: which there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api_schemas.engine_version import (
    DESCRIBE_CACHE_ENGINE_VERSIONS,
    CacheEngineVersion,
    CacheEngineVersions,
    DescribeCacheEngineVersions,
)
from api_schemas.paging import page
from controlplane.domain.engine_versions import ENGINE_VERSIONS, ENGINES, EngineVersion, default_version
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(DESCRIBE_CACHE_ENGINE_VERSIONS)
def describe_cache_engine_versions(ctx: Context, asked: DescribeCacheEngineVersions) -> CacheEngineVersions:
    """Show the engine versions that match everything that was given; none where nothing matches."""
    found = [each for each in ENGINE_VERSIONS if _matches(each, asked)]
    if asked.default_only:
        found = list(_defaults_among(found))
    shown, marker = page(found, asked)
    return CacheEngineVersions(marker=marker, cache_engine_versions=[_shown(each) for each in shown])


def _matches(version: EngineVersion, asked: DescribeCacheEngineVersions) -> bool:
    wanted = (
        (asked.engine, version.engine),
        (asked.engine_version, version.version),
        (asked.cache_parameter_group_family, version.family),
    )
    return all(not want or want.lower() == has for want, has in wanted)


def _defaults_among(found: Sequence[EngineVersion]) -> Iterator[EngineVersion]:
    """One version of each engine: the default where it was found, else the newest that was, as of an older family."""
    for engine in ENGINES:
        of_engine = [each for each in found if each.engine == engine]
        if default_version(engine) in of_engine:
            yield default_version(engine)
        elif of_engine:
            yield max(of_engine, key=lambda each: each.numbers)


def _shown(version: EngineVersion) -> CacheEngineVersion:
    return CacheEngineVersion(
        engine=version.engine,
        engine_version=version.version,
        cache_parameter_group_family=version.family,
        cache_engine_description=version.description,
        cache_engine_version_description=version.version_description,
    )
