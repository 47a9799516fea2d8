"""Which versions of which engines a cache can have."""

from __future__ import annotations

from api_schemas.operation import Operation
from api_schemas.paging import Paged
from api_schemas.shape import Shape


class DescribeCacheEngineVersions(Paged):
    """Which versions to show: those that match everything given, or only the one that each engine's caches get by default."""

    engine: str | None = None
    engine_version: str | None = None
    cache_parameter_group_family: str | None = None
    default_only: bool | None = None


class CacheEngineVersion(Shape):
    """A version as requests name it; its patch level shows in ``cache_engine_version_description`` only."""

    engine: str
    engine_version: str
    cache_parameter_group_family: str
    cache_engine_description: str
    cache_engine_version_description: str


class CacheEngineVersions(Shape):
    """A page of engine versions."""

    marker: str | None = None
    cache_engine_versions: list[CacheEngineVersion]


DESCRIBE_CACHE_ENGINE_VERSIONS = Operation(
    "DescribeCacheEngineVersions", "GET /engine-versions", DescribeCacheEngineVersions, CacheEngineVersions,
    "Show the versions of each engine, and the parameter group family that goes with them.",
    reads=True,
)  # fmt: skip
