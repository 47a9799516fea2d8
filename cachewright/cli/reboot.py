"""``cachewright reboot``."""

from __future__ import annotations

from typing import Annotated

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.describe import show_when_settled
from cachewright.cli.resource import CACHE, GROUP, Found, Inventory, KindName, find


@remote
def reboot(
    session: Session,
    name: Annotated[str, typer.Argument(help="A cache, or a member of a replication group.")],
    node: Annotated[list[str] | None, typer.Option(metavar="0001", help="Which of its nodes; all when not said.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is available again.")] = True,
) -> None:  # fmt: skip
    """Start the nodes of a cache again; they come back empty, at their addresses."""
    found = _cache(session, name)
    nodes = node or [one["cache_node_id"] for one in found.seen.get("cache_nodes") or []]
    answer = session.server.post(CACHE.path, found.name, "reboot", body={"cache_node_ids_to_reboot": nodes})
    show_when_settled(session, Found(CACHE, answer[CACHE.member]), "rebooting", wait)


def _cache(session: Session, name: str) -> Found:
    """The cache of that name. A usage error that names the members where it is a group's name only."""
    inventory = Inventory.of(session.server)
    named = {found.kind: found for found in inventory.named(name)}
    if CACHE not in named and GROUP in named:
        members = ", ".join(named[GROUP].seen["member_clusters"])
        raise typer.BadParameter(f"{name} is a replication group; reboot its members: {members}.")
    return find(session.server, inventory, name, KindName.CACHE)
