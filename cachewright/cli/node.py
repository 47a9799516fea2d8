"""A node as commands show it: what is desired of it beside what its agent saw."""

from __future__ import annotations

from collections.abc import Sequence

from cachewright.cli.paper import Paper
from cachewright.cli.resource import endpoint
from cachewright.cli.server import Json

HEADINGS = ("node", "role", "zone", "address", "phase", "sync", "offset", "process", "binary")


def node_name(node: Json) -> str:
    """The node's id; the id of a Memcached node is unique in its cache only, so that goes before it."""
    name, owner = str(node["node"]), str(node["cache_cluster_id"])
    return name if name == owner else f"{owner}/{name}"


def role(node: Json) -> str | None:
    """The role that was reported, and the desired one where that is another."""
    desired, reported = node["desired_role"], node.get("role")
    if desired == "none":
        return None
    if reported is None or reported == desired:
        return str(reported or desired)
    return f"{reported}, to be {desired}"


def address(node: Json) -> str | None:
    """Where the node listens, once it has a place."""
    return endpoint(node) if node.get("address") else None


def state(node: Json) -> str:
    """How far the node is, in a word or two."""
    phase = node.get("phase") or "planned"
    if phase == "starting" and not node.get("process_id") and node.get("problem"):
        return f"starting, {node['problem']}"  # such as how much of its image has arrived
    if phase != "running":
        return str(phase)
    if node["desired_role"] == "none":
        return "running" if node["in_sync"] else "restarting"
    return "in sync" if node["in_sync"] else "syncing"


def binary(node: Json) -> str | None:
    """The server program behind the node."""
    found = node.get("engine_binary")
    if not found:
        return None
    where = f" in {found['image']}" if found.get("image") else ""
    return f"{found['engine']} {found['version']}{where}"


def show_nodes(paper: Paper, nodes: Sequence[Json]) -> None:
    """A table of nodes, and below it what is wrong with any."""
    paper.table(HEADINGS, [_row(node) for node in nodes])
    for node in nodes:
        if node.get("problem"):
            paper.line(f"{node_name(node)}: {node['problem']}")


def _row(node: Json) -> list[object]:
    return [
        node_name(node), role(node), node["zone"], address(node), node.get("phase") or "planned",
        node["in_sync"], node.get("offset"), node.get("process_id"), binary(node),
    ]  # fmt: skip
