"""A resource by its name: a replication group, or a cache cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

from cachewright.cli.server import Json, RefusedError, Server


@dataclass(frozen=True)
class Kind:
    """One of the two kinds, and how the REST API calls it."""

    noun: str
    path: str
    member: str
    id_field: str
    status_field: str


GROUP = Kind("replication group", "replication-groups", "replication_group", "replication_group_id", "status")
CACHE = Kind("cache", "cache-clusters", "cache_cluster", "cache_cluster_id", "cache_cluster_status")


class KindName(str, Enum):  # noqa: UP042 - as older typer knows it
    """A kind on the command line."""

    GROUP = "group"
    CACHE = "cache"


KINDS = {KindName.GROUP: GROUP, KindName.CACHE: CACHE}


@dataclass(frozen=True)
class Found:
    """A resource as the REST API shows it."""

    kind: Kind
    seen: Json

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.seen[self.kind.id_field])

    @property
    def status(self) -> str:
        """Its status."""
        return str(self.seen[self.kind.status_field])

    def with_status(self, status: str) -> Found:
        """The same with another status."""
        return Found(self.kind, {**self.seen, self.kind.status_field: status})


@dataclass(frozen=True)
class Inventory:
    """All replication groups and all cache clusters, members of groups among them."""

    groups: list[Json]
    caches: list[Json]

    @classmethod
    def of(cls, server: Server) -> Inventory:
        """Everything the server has. A listing is answered at once; the answer for one resource may be held until it changes."""
        groups = server.all(GROUP.path, "replication_groups")
        return cls(groups, server.all(CACHE.path, "cache_clusters", show_cache_node_info="true"))

    def standalone(self) -> list[Json]:
        """The caches that are no members of a group."""
        return [cache for cache in self.caches if not cache.get(GROUP.id_field)]

    def version(self, group: Json) -> str | None:
        """The engine version of a group, which only its members tell."""
        member = self.member(group)
        return member["engine_version"] if member else None

    def member(self, group: Json) -> Json | None:
        """The first member of a group, for what only members tell."""
        return next((cache for cache in self.caches if cache.get(GROUP.id_field) == group[GROUP.id_field]), None)

    def named(self, name: str) -> list[Found]:
        """What has this name; ids know no upper case."""
        groups = [Found(GROUP, group) for group in self.groups if group[GROUP.id_field] == name.lower()]
        return groups + [Found(CACHE, cache) for cache in self.caches if cache[CACHE.id_field] == name.lower()]


def find(server: Server, inventory: Inventory, name: str, kind: KindName | None = None) -> Found:
    """The one resource of that name. Raises RefusedError where there is none, and a usage error where there are two."""
    found = [one for one in inventory.named(name) if kind is None or one.kind is KINDS[kind]]
    if len(found) > 1:
        raise typer.BadParameter(f"{name} is a replication group and a cache; say which with --kind.")
    if not found:
        raise _refusal(server, name, kind)
    return found[0]


def _refusal(server: Server, name: str, kind: KindName | None) -> RefusedError:
    """How the server refuses a name that it does not know."""
    try:
        server.get((KINDS[kind] if kind else GROUP).path, name)
    except RefusedError as refused:
        also = "" if kind else ", and no cache has that name"
        return RefusedError(refused.code, refused.message + also)
    return RefusedError("NotFound", f"{name} was not there, and is now; try again")


def endpoint(at: Any) -> str | None:
    """An endpoint as people write it."""
    return f"{at['address']}:{at['port']}" if at else None
