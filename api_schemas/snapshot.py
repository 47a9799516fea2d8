"""Requests and promises of a snapshot. Taking one is not built yet."""

from __future__ import annotations

from pydantic import Field

from api_schemas.operation import Operation
from api_schemas.parts import Nothing, Tag
from api_schemas.shape import Shape


class CreateSnapshot(Shape):
    """Of what a snapshot shall be taken, and under which name."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    snapshot_name: str
    kms_key_id: str | None = None
    tags: list[Tag] = Field(default_factory=list)


CREATE_SNAPSHOT = Operation(
    "CreateSnapshot", "POST /snapshots", CreateSnapshot, Nothing, "Refused for Memcached, which has no snapshots; not built for any other.",
    only_refuses=True,
)  # fmt: skip
