"""``cachewright user``: who may come in to caches. Passwords come from a prompt, a file or standard input, never from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.create import Tags, parsed_tags
from cachewright.cli.paper import Paper
from cachewright.cli.server import Json
from cachewright.cli.settling import LONGEST_WAIT

PATH = "users"
_HEADINGS = ("user", "name", "engine", "status", "groups", "proof", "access")

app = typer.Typer(no_args_is_help=True, help="Create, show, change and delete users, who may come in to caches.")

UserId = Annotated[str, typer.Argument(help="Id of the user.")]
PasswordFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with one or two passwords, a line each; - is standard input.", allow_dash=True)
]
NoPassword = Annotated[bool, typer.Option("--no-password", help="Let in whoever says the name.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every node enforces it.")]


@app.command("create")
@remote
def create(
    session: Session,
    user_id: UserId,
    access: Annotated[str, typer.Option(help="What it may do, such as 'on ~app:* +@read'.")],
    name: Annotated[str | None, typer.Option(help="The name that it comes in by; its id when not said.")] = None,
    engine: Annotated[str, typer.Option(help="redis, for user groups of both, or valkey.")] = "redis",
    password_file: PasswordFile = None,
    no_password: NoPassword = False,
    tag: Tags = None,
) -> None:
    """Create a user. Without --password-file or --no-password its password is asked for."""
    passwords = [] if no_password else passwords_from(password_file)
    body = {
        "user_id": user_id, "user_name": name or user_id, "engine": engine, "access_string": access, "passwords": passwords or None,
        "no_password_required": no_password or None, "tags": parsed_tags(tag),
    }  # fmt: skip
    _show(session, session.server.post(PATH, body=body))


@app.command("list")
@remote
def list_users(session: Session) -> None:
    """Show all users."""
    found = session.server.all(PATH, "users")
    session.paper.answer({"users": found}, lambda: session.paper.table(_HEADINGS, [_row(user) for user in found]))


@app.command("describe")
@remote
def describe(session: Session, user_id: UserId) -> None:
    """Show one user."""
    _show(session, session.server.get(PATH, user_id, at_once=True))


@app.command("modify")
@remote
def modify(
    session: Session,
    user_id: UserId,
    access: Annotated[str | None, typer.Option(help="What it may do from now on.")] = None,
    append_access: Annotated[str | None, typer.Option(help="Rules that come after what it may do now.")] = None,
    new_password: Annotated[bool, typer.Option("--new-password", help="Ask for a password in place of those it has.")] = False,
    password_file: PasswordFile = None,
    no_password: NoPassword = False,
    wait: Wait = True,
) -> None:
    """Change what a user may do or how it proves who it is, on every cache that it may come in to."""
    passwords = passwords_from(password_file) if new_password or password_file else []
    body: dict[str, Any] = {
        "access_string": access, "append_access_string": append_access, "passwords": passwords or None,
        "no_password_required": no_password or None,
    }  # fmt: skip
    if all(value is None for value in body.values()):
        raise typer.BadParameter("Say what shall change; --help shows what can.")
    changed = session.server.patch(PATH, user_id, body=body)
    _show(session, session.server.get(PATH, user_id, wait=LONGEST_WAIT) if wait else changed)


@app.command("delete")
@remote
def delete(session: Session, user_id: UserId, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete a user, and keep it out of every cache."""
    confirm(yes, f"user {user_id}")
    gone = session.server.delete(PATH, user_id)
    session.paper.answer(gone, lambda: None)


def passwords_from(file: Path | None) -> list[str]:
    """One or two passwords: the lines of the file, or what is typed twice. A usage error where there is nobody to ask."""
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.expanduser().read_text()
        return [line for line in text.splitlines() if line]
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is nobody to ask for a password; say --password-file FILE, which may be -.")
    return [typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)]


def confirm(yes: bool, what: str) -> None:
    """Ask whether something shall really go. A usage error where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is nobody to ask whether {what} shall really go; say --yes.")
    typer.confirm(f"Delete {what}?", abort=True, err=True)


def _row(user: Json) -> list[object]:
    groups = ", ".join(user["user_group_ids"])
    return [user["user_id"], user["user_name"], user["engine"], user["status"], groups, _proof(user), user["access_string"]]


def _proof(user: Json) -> str:
    how, number = user["authentication"]["type"], user["authentication"].get("password_count")
    return f"{number} {how}s" if number and number > 1 else str(how)


def _show(session: Session, user: Json) -> None:
    session.paper.answer(user, lambda: _show_one(session.paper, user))


def _show_one(paper: Paper, user: Json) -> None:
    paper.facts({
        "user": user["user_id"], "name": user["user_name"], "status": user["status"], "engine": user["engine"],
        "access": user["access_string"], "proof": _proof(user), "user groups": ", ".join(user["user_group_ids"]) or None,
        "ARN": user["arn"],
    })  # fmt: skip
