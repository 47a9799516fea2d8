"""``cachewright failover``, ``promote`` and ``history``: another primary, and how each one came to be it."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Annotated

import typer

from cachewright.cli.command import REFUSED, Session, fail, remote
from cachewright.cli.describe import show, show_when_settled
from cachewright.cli.node import state
from cachewright.cli.paper import time
from cachewright.cli.resource import GROUP, Found
from cachewright.cli.server import Json

_LONGEST_WAIT = 120.0
_LOOK_EVERY = 0.05

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and show how it comes along.")]


@remote
def failover(
    session: Session,
    name: Annotated[str, typer.Argument(help="The replication group.")],
    node_group: Annotated[str, typer.Option(metavar="0001", help="Which of its node groups.")] = "0001",
    wait: Wait = True,
) -> None:
    """Test failover: a replica takes over without losing a write, and the former primary is rebuilt as a replica."""
    former = _primary(_members(session, name, node_group))
    answer = session.server.post(GROUP.path, name, "failover", body={"node_group_id": node_group})
    begun = Found(GROUP, answer[GROUP.member])
    if wait and former is not None:
        _until_over(session, begun, node_group, former)
        begun = Found(GROUP, session.server.get(GROUP.path, begun.name)[GROUP.member])
    show(session, begun)


@remote
def promote(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="GROUP", help="The replication group; its automatic failover must be off.")],
    member: Annotated[str, typer.Argument(help="The replica that shall be primary.")],
    wait: Wait = True,
) -> None:
    """Make a replica the primary of its group without losing a write; the former primary becomes a replica."""
    body = {"primary_cluster_id": member, "apply_immediately": True}
    changed = Found(GROUP, session.server.patch(GROUP.path, name, body=body)[GROUP.member])
    show_when_settled(session, changed, "modifying", wait)


@remote
def history(session: Session, name: Annotated[str, typer.Argument(help="The replication group.")]) -> None:
    """Show every election of a group, oldest first: who was elected instead of whom, why, and among whom."""
    answer = session.server.get(GROUP.path, name, "history")
    session.paper.answer(answer, lambda: _show(session, answer["elections"]))


def _show(session: Session, elections: list[Json]) -> None:
    if not elections:
        session.paper.aside("Every primary is the first one; nobody was ever elected.")
        return
    headings = ("time (UTC)", "node group", "epoch", "former", "elected", "because", "candidates")
    session.paper.table(headings, [_row(election) for election in reversed(elections)])


def _row(election: Json) -> list[object]:
    candidates = ", ".join(_candidate(candidate) for candidate in election["candidates"])
    return [time(election["at"], milliseconds=True), election["node_group_id"], election["epoch"], election.get("former"),
            election["elected"], election["because"], candidates or None]  # fmt: skip


def _candidate(candidate: Json) -> str:
    """A candidate with its offset, and what spoke against it."""
    against = [word for word, is_so in (("silent", not candidate["answered"]), ("unproven", not candidate["proven"])) if is_so]
    return " ".join([f"{candidate['cache_cluster_id']}@{candidate['offset']}", *against])


def _members(session: Session, name: str, node_group: str) -> list[Json]:
    return [node for node in session.server.nodes(GROUP.id_field, name) if node["node_group_id"] == node_group]


def _primary(nodes: list[Json]) -> Json | None:
    return next((node for node in nodes if node["desired_role"] == "primary"), None)


def _until_over(session: Session, begun: Found, node_group: str, former: Json) -> None:
    """Return once another node leads and the former primary is back in sync, in a new process. Ends the command if that takes too long."""
    start = monotonic()
    said: dict[str, str] = {}
    while monotonic() - start < _LONGEST_WAIT:
        nodes = _members(session, begun.name, node_group)
        for node in nodes:
            if said.get(node["node"]) != (now := state(node)):
                session.paper.aside(f"{node['node']}: {now}")
                said[node["node"]] = now
        primary = _primary(nodes)
        if primary is not None and primary["node"] != former["node"] and all(_is_back(node, former) for node in nodes):
            session.paper.aside(f"{primary['node']} is primary, and all is in sync after {monotonic() - start:.1f} s")
            return
        sleep(_LOOK_EVERY)
    fail(f"{former['node']} is not replaced after {_LONGEST_WAIT:g} s; `cachewright events --source {begun.name}` tells why.", REFUSED)


def _is_back(node: Json, former: Json) -> bool:
    is_new = node["node"] != former["node"] or node.get("process_id") != former.get("process_id")
    return is_new and bool(node["in_sync"])
