"""A single resource by its id: how its describe is asked for it, and where in the answer it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api_schemas.cache_cluster import CACHE_CLUSTER, DESCRIBE_CACHE_CLUSTERS, CacheClusterResult
from api_schemas.operation import Operation, Subject
from api_schemas.replication_group import DESCRIBE_REPLICATION_GROUPS, GROUP, ReplicationGroupResult
from api_schemas.shape import Shape
from api_schemas.snapshot import DESCRIBE_SNAPSHOTS, SNAPSHOT, SnapshotResult
from api_schemas.user import DESCRIBE_USERS, USER, User
from api_schemas.user_group import DESCRIBE_USER_GROUPS, USER_GROUP, UserGroup


@dataclass(frozen=True)
class Single:
    """One kind of resource.

    ``member`` is the field of ``gives`` that holds it, and in the plural that of the listing; where answers are the resource itself
    (``bare``), only the latter. ``status`` is the field of its status, ``also`` what else is asked of the describe.
    """

    describe: Operation[Any, Any]
    gives: type[Shape]
    member: str
    status: str
    also: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False

    @property
    def subject(self) -> Subject:
        """What the describe is about."""
        if self.describe.subject is None:
            raise ValueError(f"{self.describe.name} has no subject")
        return self.describe.subject

    def ask(self, name: str) -> Shape:
        """The request for the one of that id."""
        asked: Shape = self.describe.takes(**{self.subject.id_field: name, **self.also})
        return asked

    def only(self, listing: Shape) -> Shape:
        """The one resource of a listing."""
        one: Shape = getattr(listing, f"{self.member}s")[0]
        return one if self.bare else self.gives(**{self.member: one})

    def deleted(self, former: Shape) -> Shape:
        """A former answer, whose resource is gone by now."""
        if self.bare:
            return former.model_copy(update={self.status: "deleted"})
        gone = getattr(former, self.member).model_copy(update={self.status: "deleted"})
        return former.model_copy(update={self.member: gone})


SINGLES: Mapping[str, Single] = {
    GROUP: Single(DESCRIBE_REPLICATION_GROUPS, ReplicationGroupResult, "replication_group", "status"),
    CACHE_CLUSTER: Single(
        DESCRIBE_CACHE_CLUSTERS, CacheClusterResult, "cache_cluster", "cache_cluster_status", {"show_cache_node_info": True}
    ),
    SNAPSHOT: Single(DESCRIBE_SNAPSHOTS, SnapshotResult, "snapshot", "snapshot_status"),
    USER: Single(DESCRIBE_USERS, User, "user", "status", bare=True),
    USER_GROUP: Single(DESCRIBE_USER_GROUPS, UserGroup, "user_group", "status", bare=True),
}
"""By the kind of the resource."""
