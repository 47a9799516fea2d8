"""Waiting until a resource has settled, and showing meanwhile how its nodes come along."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

import typer

from cachewright.cli.command import INTERRUPTED, REFUSED, Session, fail
from cachewright.cli.node import address, node_name, state
from cachewright.cli.resource import Found, Kind
from cachewright.cli.server import Json, RefusedError, Server, UnreachableError

LONGEST_WAIT = 600.0
_LOOK_EVERY = 0.05  # seconds between two looks at the nodes; the end is noticed at once
_SETTLED = frozenset({"available", "create-failed", "incompatible-network", "restore-failed"})


def until_settled(session: Session, begun: Found, doing: str) -> Found | None:
    """The resource when it has settled, or None when it is gone. Ends the command when it failed, or takes too long.

    ``doing`` says what is waited for: creating, deleting.
    """
    start = monotonic()
    try:
        held = _Held(session.server, begun.kind, begun.name)
        _watch(session, begun, doing, held, start)
    except KeyboardInterrupt:
        session.paper.aside(f"Stopped waiting. The server goes on {doing} {begun.name}; {_see(begun)}")
        raise typer.Exit(INTERRUPTED) from None
    seen = held.result()
    taken = f"{monotonic() - start:.1f} s"
    if seen is None:
        session.paper.aside(f"{begun.name} is gone after {taken}")
        return None
    return _checked(session, Found(begun.kind, seen), taken)


class _Held(threading.Thread):
    """Asks for a resource, with an answer that is held until it has settled."""

    def __init__(self, server: Server, kind: Kind, name: str) -> None:
        super().__init__(daemon=True)  # after Ctrl-C nobody waits for it
        self._asked = (server, kind, name)
        self._seen: Json | None = None
        self._problem: Exception | None = None
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        """Ask, and keep the answer or what went wrong."""
        server, kind, name = self._asked
        try:
            self._seen = server.get(kind.path, name, wait=LONGEST_WAIT)[kind.member]
        except RefusedError as refused:
            self._problem = None if "NotFound" in refused.code else refused
        except UnreachableError as gone:
            self._problem = gone
        finally:
            self.over.set()

    def result(self) -> Json | None:
        """The resource, or None when it is gone. Raises what went wrong."""
        if self._problem is not None:
            raise self._problem
        return self._seen


def _watch(session: Session, begun: Found, doing: str, held: _Held, start: float) -> None:
    if session.paper.is_watched:
        _watch_live(session, begun, doing, held, start)
        return
    session.paper.aside(f"{begun.name}: {begun.status}")
    said = {} if doing == "creating" else _states(session, begun)
    over = False
    while not over:
        over = held.over.wait(_LOOK_EVERY)
        states = _states(session, begun)
        for name in states:
            if states[name] != said.get(name):
                session.paper.aside(f"{name}: {states[name]}")
        said |= states


def _watch_live(session: Session, begun: Found, doing: str, held: _Held, start: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    from cachewright.cli.paper import grid

    spinner = Spinner("dots")
    nodes: list[Json] = []

    def view() -> Any:
        spinner.update(text=Text(f"{doing} {begun.name}  {monotonic() - start:.1f} s"))
        rows = [[f"  {node_name(node)}", node["zone"], address(node) or "", state(node)] for node in nodes]
        return Group(spinner, grid(None, rows)) if rows else spinner

    with Live(get_renderable=view, console=Console(stderr=True), transient=True, refresh_per_second=12):
        while not held.over.wait(_LOOK_EVERY):
            nodes = _nodes(session, begun) or nodes


def _nodes(session: Session, begun: Found) -> list[Json]:
    """The nodes of the resource; none when it is gone, or when the server is busy with going away."""
    try:
        answer = session.server.nodes(begun.kind.id_field, begun.name)
    except (RefusedError, UnreachableError):
        return []
    return answer


def _states(session: Session, begun: Found) -> dict[str, str]:
    return {node_name(node): state(node) for node in _nodes(session, begun)}


def _see(found: Found) -> str:
    return f"`cachewright describe {found.name}` shows how it stands."


def _checked(session: Session, found: Found, taken: str) -> Found:
    if found.status not in _SETTLED:
        fail(f"{found.name} is still {found.status} after {taken}; {_see(found)}", REFUSED)
    if found.status != "available":
        problems = [f"\n{node_name(node)}: {node['problem']}" for node in _nodes(session, found) if node.get("problem")]
        fail(f"{found.name} is {found.status} after {taken}" + "".join(problems), REFUSED)
    session.paper.aside(f"{found.name} is available after {taken}")
    return found
