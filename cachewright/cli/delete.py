"""``cachewright delete``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.resource import GROUP, Found, Inventory, KindName, find
from cachewright.cli.settling import until_settled


@remote
def delete(
    session: Session,
    name: Annotated[str, typer.Argument(help="A replication group, a cache, or a replica of a group.")],
    retain_primary: Annotated[bool, typer.Option("--retain-primary", help="Keep a group's primary as a cache.")] = False,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is gone.")] = True,
) -> None:
    """Delete a replication group or a cache with its data."""
    inventory = Inventory.of(session.server)
    found = find(session.server, inventory, name, kind)
    if retain_primary and found.kind is not GROUP:
        raise typer.BadParameter(f"{found.name} is a cache; only a group has a primary to keep.", param_hint="--retain-primary")
    if not yes:
        _confirm(found, retain_primary)
    query = {"retain_primary_cluster": "true"} if retain_primary else {}
    begun = Found(found.kind, session.server.delete(found.kind.path, found.name, **query)[found.kind.member])
    if wait:
        begun = until_settled(session, begun, "deleting") or begun.with_status("deleted")
    else:
        session.paper.aside(f"{begun.name} is {begun.status}")
    session.paper.answer({begun.kind.member: begun.seen}, lambda: None)


def _confirm(found: Found, retain_primary: bool) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is nobody to ask whether {found.name} shall really go; say --yes.")
    what = "every node but its primary" if retain_primary else "its data"
    typer.confirm(f"Delete {found.kind.noun} {found.name} with {what}?", abort=True, err=True)
