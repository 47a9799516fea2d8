"""``cachewright access-key``: who may ask a guarded server, and for what."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from api_schemas.credentials import Credentials
from cachewright.cli.agent import seconds
from cachewright.cli.command import REFUSED, Session, fail, remote
from cachewright.cli.paper import Paper, time
from cachewright.cli.server import Json
from cachewright.credentials import CredentialsError, keep

app = typer.Typer(no_args_is_help=True, help="Access keys: who may ask, and for what, where the server is guarded.")


class RoleName(str, Enum):  # noqa: UP042 - as older typer knows it
    """What a key allows."""

    ADMIN = "admin"
    OPERATOR = "operator"
    READ_ONLY = "read-only"


@app.command("create")
@remote
def create(
    session: Session,
    role: Annotated[RoleName | None, typer.Option(help="What it allows.", show_default="admin with --data-dir")] = None,
    name: Annotated[str | None, typer.Option(help="Whose it is, as in ci; the audit has it.", show_default="its id")] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Its account.", show_default="that of who asks")] = None,
    expires: Annotated[str | None, typer.Option(metavar="24h", help="For how long (s, m, h, d).", show_default="until revoked")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Make it in this data folder, without a server.")] = None,
    write_to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there, in AWS's form, for your eyes only.")] = None,
) -> None:
    """Make a key. Its secret is told this once."""
    if role is None and data_dir is None:
        raise typer.BadParameter("say which: admin, operator or read-only.", param_hint="--role")
    if write_to is not None and write_to.exists():
        fail(f"cachewright: {write_to} exists already; no key was made.", REFUSED)
    body = {"role": (role or RoleName.ADMIN).value, "name": name, "account_id": account, "expires_in_seconds": seconds(expires)}
    if data_dir is not None:
        from cachewright.first_key import NoKeyMadeError, make

        try:
            made = make(data_dir, str(body["role"]), name, account, seconds(expires))
        except NoKeyMadeError as why:
            fail(f"cachewright: {why}", REFUSED)
        _tell(session.paper, made, {"access_key_id": made.id, "secret_access_key": made.secret}, write_to)
    else:
        answer = session.server.post("access-keys", body=body)
        _tell(session.paper, Credentials(answer["access_key"]["access_key_id"], answer["secret_access_key"]), answer, write_to)


@app.command("list")
@remote
def list_keys(session: Session) -> None:
    """Show the keys of every account, without their secrets."""
    answer = session.server.get("access-keys")
    session.paper.answer(answer, lambda: _show(session, answer["access_keys"]))


@app.command("revoke")
@remote
def revoke(session: Session, key: Annotated[str, typer.Argument(metavar="ID", help="The key, as list shows it.")]) -> None:
    """Let nobody in with a key any more."""
    answer = session.server.delete("access-keys", key)
    session.paper.answer(answer, lambda: _show(session, [answer["access_key"]]))


def _tell(paper: Paper, made: Credentials, answer: Json, write_to: Path | None) -> None:
    if write_to is None:
        paper.answer(answer, lambda: _print(paper, made))
        return
    try:
        keep(made, write_to)
    except CredentialsError as why:
        fail(f"cachewright: {why}. Revoke {made.id}, whose secret nobody knows.", REFUSED)
    shown = {name: value for name, value in answer.items() if name != "secret_access_key"}
    paper.answer(shown, lambda: paper.line(made.id))
    paper.aside(f"The key is in {write_to}. Use it with --access-key-file, or as AWS_SHARED_CREDENTIALS_FILE with AWS's tools.")


def _print(paper: Paper, made: Credentials) -> None:
    for line in made.file.splitlines():
        paper.line(line)


def _show(session: Session, shown: list[Json]) -> None:
    rows = [[key["access_key_id"], key["name"], key["role"], key["account_id"], key["status"], time(key["created_at"]),
             time(key.get("expires_at")), time(key.get("last_used_at"))] for key in shown]  # fmt: skip
    session.paper.table(("key", "name", "role", "account", "status", "created", "expires", "used"), rows)
