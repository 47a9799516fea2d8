"""``cachewright agents``, ``zones``, ``nodes`` and ``engines``: what the caches run on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.node import show_nodes
from cachewright.cli.resource import Inventory, KindName, find
from cachewright.cli.server import Json


@remote
def agents(session: Session) -> None:
    """Show the agents: their zones, how many nodes they run, and the programs they found."""
    answer = session.server.get("agents")
    shown = ("agent", "zone", "host", "runtime", "network", "heard", "nodes")
    rows = [[*(agent.get(name) for name in shown), _programs(agent)] for agent in answer["agents"]]
    session.paper.answer(answer, lambda: session.paper.table((*shown, "programs"), rows))


@remote
def zones(session: Session) -> None:
    """Show the availability zones of the region."""
    answer = session.server.get("zones")
    rows = [[zone["zone"], zone["agents"], zone["nodes"]] for zone in answer["zones"]]
    session.paper.answer(answer, lambda: session.paper.table(("zone", "agents", "nodes"), rows))


@remote
def nodes(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only those of this replication group or cache.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
) -> None:
    """Show nodes and the processes behind them."""
    query: dict[str, Any] = {}
    if name is not None:
        found = find(session.server, Inventory.of(session.server), name, kind)
        query = {found.kind.id_field: found.name}
    answer = session.server.get("nodes", **query)
    session.paper.answer(answer, lambda: _show_nodes(session, answer["nodes"]))


@remote
def engines(
    session: Session,
    engine: Annotated[str | None, typer.Option(help="Only valkey, redis or memcached.")] = None,
) -> None:
    """Show the engine versions on offer, and the programs that serve them here."""
    versions = session.server.all("engine-versions", "cache_engine_versions", engine=engine)
    session.paper.answer({"cache_engine_versions": versions}, lambda: _show_engines(session, versions))


def _show_nodes(session: Session, shown: list[Json]) -> None:
    if shown:
        show_nodes(session.paper, shown)
    else:
        session.paper.aside("There are no nodes.")


def _show_engines(session: Session, versions: list[Json]) -> None:
    families: dict[tuple[str, str], list[str]] = {}
    for version in versions:
        families.setdefault((version["engine"], version["cache_parameter_group_family"]), []).append(version["engine_version"])
    session.paper.table(("engine", "parameter family", "versions"), [[*family, offered] for family, offered in families.items()])
    agents = session.server.get("agents")["agents"]
    found = ", ".join(dict.fromkeys(program for agent in agents for program in _programs(agent)))
    session.paper.line()
    session.paper.line(f"Programs found: {found or 'none'}.")
    session.paper.line("The closest one serves a version that is asked for; `cachewright nodes` shows which.")


def _programs(agent: Json) -> list[str]:
    return [_program(engine) for engine in agent["engines"]]


def _program(engine: Json) -> str:
    return f"any {engine['engine']}" if engine["version"] == "*" else f"{engine['engine']} {engine['version']}"
