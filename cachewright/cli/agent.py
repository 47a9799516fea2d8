"""``cachewright agent``: who may join, who has, and whose certificate holds no more."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.fleet import agents
from cachewright.cli.paper import time
from cachewright.cli.server import Json

app = typer.Typer(no_args_is_help=True, help="Agents of other hosts: let them in with tokens, and remove them.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens with which agents of other hosts join.")
app.add_typer(tokens, name="token")
app.command("list")(agents)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command("drain")
@remote
def drain(session: Session, name: Annotated[str, typer.Argument(help="The agent, as list shows it.")]) -> None:
    """Empty an agent's host: its nodes move to others of their zone, primaries hand over first. It gets no more nodes."""
    _tell_of_draining(session, session.server.post("agents", name, "drain", body={}))


@app.command("undrain")
@remote
def undrain(session: Session, name: Annotated[str, typer.Argument(help="The agent, as list shows it.")]) -> None:
    """Use an agent's host again for new nodes. What has moved stays where it is."""
    _tell_of_draining(session, session.server.post("agents", name, "undrain", body={}))


@app.command("remove")
@remote
def remove(
    session: Session,
    name: Annotated[str, typer.Argument(help="The agent, as list shows it.")],
    lost: Annotated[bool, typer.Option("--lost", help="Its host will never come back: what only that host had is lost.")] = False,
) -> None:
    """Refuse an agent's certificate from now on, and give its name free. It must run no nodes, or be lost."""
    answer = session.server.delete("agents", name, lost=lost or None)
    told = f"Agent {name} is removed; its certificate is refused from now on."
    session.paper.answer(answer, lambda: session.paper.line(told))
    session.paper.aside("Whoever knows a valid join token can join anew: see cachewright agent token list.")


@tokens.command("create")
@remote
def create(
    session: Session,
    expires: Annotated[str | None, typer.Option(metavar="24h", help="For how long (s, m, h, d).", show_default="until revoked")] = None,
) -> None:
    """Make a token. It is told this once; only a hash of its secret is kept."""
    answer = session.server.post("join-tokens", body={"expires_in_seconds": seconds(expires)})
    session.paper.answer(answer, lambda: session.paper.line(answer["text"]))
    session.paper.aside("On the other host, with this in FILE: python -m agents --zone ZONE --join URL --token-file FILE --data-dir DIR")


@tokens.command("list")
@remote
def list_tokens(session: Session) -> None:
    """Show the tokens, without their secrets."""
    answer = session.server.get("join-tokens")
    session.paper.answer(answer, lambda: _show(session, answer["join_tokens"]))


@tokens.command("revoke")
@remote
def revoke(session: Session, token: Annotated[str, typer.Argument(metavar="ID", help="The token, as list shows it.")]) -> None:
    """Let nobody join with a token any more. Agents that did stay; see remove."""
    answer = session.server.delete("join-tokens", token)
    session.paper.answer(answer, lambda: _show(session, [answer["join_token"]]))


def _tell_of_draining(session: Session, answer: Json) -> None:
    agent = answer["agent"]
    told = f"Agent {agent['agent']} is being emptied: {agent['nodes']} nodes are still there." if agent["draining"] else (
        f"Agent {agent['agent']} takes nodes again; it has {agent['nodes']}."
    )
    session.paper.answer(answer, lambda: session.paper.line(told))
    for stays in answer["staying"]:
        session.paper.aside(f"It stays: {stays}")


def seconds(length: str | None) -> int | None:
    """The seconds in a length such as 90m or 24h. Raises BadParameter."""
    if length is None:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd])", length)
    if found is None or not int(found[1]):
        raise typer.BadParameter("say how long as in 90m, 24h or 7d.", param_hint="--expires")
    return int(found[1]) * _SECONDS[found[2]]


def _show(session: Session, shown: list[Json]) -> None:
    rows = [[each["join_token_id"], each["status"], time(each["created_at"]), time(each.get("expires_at"))] for each in shown]
    session.paper.table(("token", "status", "created", "expires"), rows)
