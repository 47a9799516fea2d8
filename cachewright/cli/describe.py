"""``cachewright describe``: everything there is, or one thing in detail."""

from __future__ import annotations

from typing import Annotated

import typer

from cachewright.cli import deliveries
from cachewright.cli.command import Session, remote
from cachewright.cli.node import show_nodes
from cachewright.cli.paper import Paper, time
from cachewright.cli.resource import GROUP, Found, Inventory, KindName, endpoint, find
from cachewright.cli.server import Json
from cachewright.cli.settling import until_settled


@remote
def describe(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="A replication group or a cache; all of them when left out.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
) -> None:
    """Show all replication groups and caches, or one with its endpoints and nodes."""
    inventory = Inventory.of(session.server)
    if name is None:
        caches = inventory.standalone()
        answer = {"replication_groups": inventory.groups, "cache_clusters": caches}
        session.paper.answer(answer, lambda: show_overview(session.paper, inventory))
    else:
        show(session, find(session.server, inventory, name, kind), inventory)


def show(session: Session, found: Found, inventory: Inventory | None = None) -> None:
    """One resource in detail: as JSON the REST API's resource and its nodes."""
    nodes = session.server.nodes(found.kind.id_field, found.name)
    inventory = inventory or Inventory.of(session.server)
    answer = {found.kind.member: found.seen, "nodes": nodes}
    session.paper.answer(answer, lambda: _show_one(session.paper, found, nodes, inventory))


def show_when_settled(session: Session, begun: Found, doing: str, wait: bool) -> None:
    """The resource in detail, once it has settled when that is to be waited for."""
    settled = until_settled(session, begun, doing) if wait else begun
    if settled is not None:
        show(session, settled)


def show_overview(paper: Paper, inventory: Inventory) -> None:
    """A line for each group, and for each cache that is in none."""
    rows = [_group_row(group, inventory) for group in inventory.groups] + [_cache_row(cache) for cache in inventory.standalone()]
    if not rows:
        paper.aside("There is nothing yet. `cachewright create group NAME` makes a replication group.")
        return
    paper.table(("name", "kind", "engine", "node type", "nodes", "status", "endpoint"), rows)


def _group_row(group: Json, inventory: Inventory) -> list[object]:
    at = group.get("configuration_endpoint") or _node_group(group).get("primary_endpoint")
    return [group["replication_group_id"], "group", _engine(group["engine"], inventory.version(group)), group["cache_node_type"],
            len(group["member_clusters"]), group["status"], endpoint(at)]  # fmt: skip


def _cache_row(cache: Json) -> list[object]:
    return [cache["cache_cluster_id"], "cache", _engine(cache["engine"], cache["engine_version"]), cache["cache_node_type"],
            cache["num_cache_nodes"], cache["cache_cluster_status"], endpoint(_where(cache))]  # fmt: skip


def _show_one(paper: Paper, found: Found, nodes: list[Json], inventory: Inventory) -> None:
    paper.facts(_group_facts(found.seen, inventory) if found.kind is GROUP else _cache_facts(found.seen))
    if nodes:
        paper.line()
        show_nodes(paper, nodes)


def _group_facts(group: Json, inventory: Inventory) -> dict[str, object]:
    part = _node_group(group)
    return {
        "replication group": group["replication_group_id"],
        "description": group["description"] or None,
        "status": group["status"],
        "engine": _engine(group["engine"], inventory.version(group)),
        "node type": group["cache_node_type"],
        "automatic failover": group["automatic_failover"],
        "multi-AZ": group["multi_az"],
        "primary endpoint": endpoint(part.get("primary_endpoint")),
        "reader endpoint": endpoint(part.get("reader_endpoint")),
        "configuration endpoint": endpoint(group.get("configuration_endpoint")),
        "shards": _shards(group),
        "topic": deliveries.topic(inventory.member(group)),
        **deliveries.logs(group),
        "created": time(group.get("replication_group_create_time")),
        "ARN": group["arn"],
    }


def _cache_facts(cache: Json) -> dict[str, object]:
    return {
        "cache": cache["cache_cluster_id"],
        "status": cache["cache_cluster_status"],
        "member of": cache.get("replication_group_id"),
        "engine": _engine(cache["engine"], cache["engine_version"]),
        "node type": cache["cache_node_type"],
        "configuration endpoint": endpoint(cache.get("configuration_endpoint")),
        "endpoint": None if cache.get("configuration_endpoint") else endpoint(_where(cache)),
        "parameter group": cache["cache_parameter_group"]["cache_parameter_group_name"],
        "maintenance window": cache["preferred_maintenance_window"],
        "topic": deliveries.topic(cache),
        **deliveries.logs(cache),
        "created": time(cache.get("cache_cluster_create_time")),
        "ARN": cache["arn"],
    }


def _shards(group: Json) -> str | None:
    """Each shard with its slots, where slots are shared out."""
    parts = [part for part in group.get("node_groups") or [] if part.get("slots")]
    return "   ".join(f"{part['node_group_id']}: {part['slots']}" for part in parts) or None


def _node_group(group: Json) -> Json:
    """The one node group, or what stands for several."""
    parts = group.get("node_groups") or [{}]
    return dict(parts[0]) if len(parts) == 1 else {}


def _where(cache: Json) -> Json | None:
    nodes = cache.get("cache_nodes") or [{}]
    found = cache.get("configuration_endpoint") or nodes[0].get("endpoint")
    return dict(found) if found else None


def _engine(engine: str, version: str | None) -> str:
    return f"{engine} {version}" if version else engine
