"""``cachewright user-group``: users that may come in to the same caches."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.create import Tags, parsed_tags
from cachewright.cli.paper import Paper
from cachewright.cli.server import Json
from cachewright.cli.settling import LONGEST_WAIT
from cachewright.cli.user import Wait, confirm

PATH = "user-groups"
_HEADINGS = ("user group", "engine", "status", "users", "guards")

app = typer.Typer(no_args_is_help=True, help="Create, show, change and delete user groups, which guard replication groups.")

GroupId = Annotated[str, typer.Argument(help="Id of the user group.")]
Users = Annotated[list[str] | None, typer.Argument(metavar="[USER]...", help="Ids of its users.")]


@app.command("create")
@remote
def create(
    session: Session,
    group: GroupId,
    users: Users = None,
    engine: Annotated[str, typer.Option(help="redis, which needs a user named default, or valkey.")] = "valkey",
    tag: Tags = None,
) -> None:
    """Create a user group."""
    body = {"user_group_id": group, "engine": engine, "user_ids": users or [], "tags": parsed_tags(tag)}
    _show(session, session.server.post(PATH, body=body))


@app.command("list")
@remote
def list_groups(session: Session) -> None:
    """Show all user groups."""
    found = session.server.all(PATH, "user_groups")
    session.paper.answer({"user_groups": found}, lambda: session.paper.table(_HEADINGS, [_row(group) for group in found]))


@app.command("describe")
@remote
def describe(session: Session, group: GroupId) -> None:
    """Show one user group."""
    _show(session, session.server.get(PATH, group, at_once=True))


@app.command("modify")
@remote
def modify(
    session: Session,
    group: GroupId,
    add: Annotated[list[str] | None, typer.Option(help="Id of a user that shall come; may be given several times.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Id of a user that shall go; may be given several times.")] = None,
    wait: Wait = True,
) -> None:
    """Add users to a user group and remove others, on every cache that it guards."""
    if not add and not remove:
        raise typer.BadParameter("Say who shall --add or --remove.")
    body: dict[str, Any] = {"user_ids_to_add": add or [], "user_ids_to_remove": remove or []}
    changed = session.server.patch(PATH, group, body=body)
    _show(session, session.server.get(PATH, group, wait=LONGEST_WAIT) if wait else changed)


@app.command("delete")
@remote
def delete(session: Session, group: GroupId, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete a user group that guards nothing. Its users stay."""
    confirm(yes, f"user group {group}")
    gone = session.server.delete(PATH, group)
    session.paper.answer(gone, lambda: None)


def _row(group: Json) -> list[object]:
    return [
        group["user_group_id"], group["engine"], group["status"], ", ".join(group["user_ids"]), ", ".join(group["replication_groups"]),
    ]  # fmt: skip


def _show(session: Session, group: Json) -> None:
    session.paper.answer(group, lambda: _show_one(session.paper, group))


def _show_one(paper: Paper, group: Json) -> None:
    pending = group.get("pending_changes") or {}
    paper.facts({
        "user group": group["user_group_id"], "status": group["status"], "engine": group["engine"],
        "users": ", ".join(group["user_ids"]) or None, "coming": ", ".join(pending.get("user_ids_to_add", ())) or None,
        "going": ", ".join(pending.get("user_ids_to_remove", ())) or None, "guards": ", ".join(group["replication_groups"]) or None,
        "ARN": group["arn"],
    })  # fmt: skip
