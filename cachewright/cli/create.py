"""``cachewright create group``, ``create cache`` and ``add-replica``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.describe import show_when_settled
from cachewright.cli.resource import CACHE, GROUP, Found, Kind
from cachewright.cli.zone import zone_names

app = typer.Typer(no_args_is_help=True, help="Create a replication group or a cache.")

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is available, and show how it comes along.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be given several times.")]
Version = Annotated[str | None, typer.Option(help="Engine version, such as 8.1; see `cachewright engines`.")]
NodeType = Annotated[str | None, typer.Option(help="Size of a node, such as cache.t4g.small.")]
Port = Annotated[int | None, typer.Option(help="Port of the endpoints; the engine's own when not said.")]
ZoneList = Annotated[str | None, typer.Option(metavar="A,B,C", help="Zone of each node in turn, by letter or by name.")]


@app.command("group")
@remote
def create_group(
    session: Session,
    name: Annotated[str, typer.Argument(help="Id of the new group.")],
    replicas: Annotated[int | None, typer.Option(min=0, help="How many replicas (of each shard); 2 when not said.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes with the primary; instead of --replicas.")] = None,
    shards: Annotated[int | None, typer.Option(min=1, help="How many shards; makes it a group in cluster mode.")] = None,
    engine: Annotated[str, typer.Option(help="valkey or redis.")] = "valkey",
    engine_version: Version = None,
    node_type: NodeType = None,
    zones: ZoneList = None,
    multi_az: Annotated[bool, typer.Option("--multi-az", help="Promise nodes in several zones; needs --auto-failover.")] = False,
    auto_failover: Annotated[bool, typer.Option("--auto-failover", help="Let a replica replace a failed primary.")] = False,
    port: Port = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Create a replication group: a primary and its replicas, spread over zones; or several such shards, in cluster mode."""
    if replicas is not None and nodes is not None:
        raise typer.BadParameter("Give --replicas or --nodes, not both.")
    if shards is not None and zones:
        raise typer.BadParameter("--zones is for a group without shards; the primaries of shards are put into each zone in turn.")
    number = nodes or (2 if replicas is None else replicas) + 1
    size: dict[str, Any] = {"num_cache_clusters": number}
    if shards is not None:
        size = {"num_node_groups": shards, "replicas_per_node_group": number - 1, "cluster_mode": "enabled"}
    body = {
        "replication_group_id": name,
        "replication_group_description": description or name,
        **size,
        "engine": engine,
        "engine_version": engine_version,
        "cache_node_type": node_type,
        "preferred_cache_cluster_azs": zone_names(session.server, zones),
        "multi_az_enabled": multi_az or None,
        "automatic_failover_enabled": auto_failover or None,
        "port": port,
        "tags": parsed_tags(tag),
    }
    _create(session, GROUP, body, wait)


@app.command("cache")
@remote
def create_cache(
    session: Session,
    name: Annotated[str, typer.Argument(help="Id of the new cache.")],
    engine: Annotated[str, typer.Option(help="redis (one node) or memcached.")],
    nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes; 1 when not said.")] = None,
    engine_version: Version = None,
    node_type: NodeType = None,
    zones: ZoneList = None,
    cross_az: Annotated[bool, typer.Option("--cross-az", help="Spread Memcached nodes over zones.")] = False,
    port: Port = None,
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Create a cache that is no replication group: a Redis node, or a Memcached cluster."""
    named = zone_names(session.server, zones)
    body = {
        "cache_cluster_id": name,
        "engine": engine,
        "num_cache_nodes": nodes,
        "engine_version": engine_version,
        "cache_node_type": node_type,
        "preferred_availability_zones": named,
        "az_mode": "cross-az" if cross_az or len(set(named)) > 1 else None,
        "port": port,
        "tags": parsed_tags(tag),
    }
    _create(session, CACHE, body, wait)


@remote
def add_replica(
    session: Session,
    group: Annotated[str, typer.Argument(help="The replication group.")],
    name: Annotated[str, typer.Argument(help="Id of the new replica.")],
    zone: Annotated[str | None, typer.Option(help="Its zone, by letter or by name.")] = None,
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Add a replica to a replication group."""
    one = zone_names(session.server, zone, "--zone")
    body = {
        "cache_cluster_id": name,
        "replication_group_id": group,
        "preferred_availability_zone": one[0] if one else None,
        "tags": parsed_tags(tag),
    }
    _create(session, CACHE, body, wait)


def parsed_tags(given: list[str] | None) -> list[dict[str, str]]:
    """Tags as the API takes them. A usage error for what is not KEY=VALUE."""
    tags = []
    for one in given or []:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{one!r} is not a tag; they look like team=payments.", param_hint="--tag")
        tags.append({"key": key, "value": value})
    return tags


def _create(session: Session, kind: Kind, body: dict[str, Any], wait: bool) -> None:
    made = Found(kind, session.server.post(kind.path, body=body)[kind.member])
    show_when_settled(session, made, "creating", wait)
