"""``cachewright top``: what nodes do at this moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.paper import grid, text
from cachewright.cli.resource import Inventory, KindName, find
from cachewright.cli.server import Json

HEADINGS = ("node", "role", "zone", "ops/s", "hits", "cpu", "memory", "items", "conns", "lag", "evicted/min")
_PERIOD = 10  # seconds that rates are about: a minute would be slow to watch
_MEMCACHED_COMMANDS = ("CmdGet", "CmdSet", "CmdTouch", "DeleteHits", "DeleteMisses", "IncrHits", "IncrMisses", "DecrHits", "DecrMisses")
_COMMANDS = {"memcached": _MEMCACHED_COMMANDS}


@remote
def top(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only the nodes of this replication group or cache.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    interval: Annotated[float, typer.Option(min=1, max=60, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Watch what nodes do, until Ctrl-C: commands, hit rate, processor, memory, items, connections, lag."""
    query: dict[str, Any] = {"period": _PERIOD}
    if name is not None:
        found = find(session.server, Inventory.of(session.server), name, kind)
        query[found.kind.id_field] = found.name
    if once or session.paper.as_json or not sys.stdout.isatty():
        answer = session.server.get("metrics", **query)
        session.paper.answer(answer, lambda: _show(session, answer))
    else:
        _watch(session, query, interval)


def _show(session: Session, answer: Json) -> None:
    if answer["nodes"]:
        session.paper.table(HEADINGS, [row(node) for node in answer["nodes"]])
    else:
        session.paper.aside("There are no nodes.")
    for problem in problems(answer):
        session.paper.line(problem)


def _watch(session: Session, query: Json, interval: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    pause = threading.Event()
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            answer = session.server.get("metrics", **query)
            cells = [[text(value) for value in row(node)] for node in answer["nodes"]]
            shown = grid(HEADINGS, cells) if cells else Text("There are no nodes.")
            said = [Text(line, "yellow") for line in problems(answer)]
            said.append(Text(f"every {interval:g} s, rates of the last {_PERIOD} s; Ctrl-C ends it", "dim"))
            live.update(Group(shown, *said), refresh=True)
            pause.wait(interval)


def row(node: Json) -> Sequence[object]:
    """A node's line. What is not known has no figure."""
    values: Json = (node.get("now") or {}).get("values", {})
    memcached = node["engine"] == "memcached"
    role = None if node.get("role") == "none" else node.get("role")
    name = f"{node['cache_cluster_id']}/{node['cache_node_id']}" if memcached else node["cache_cluster_id"]
    cpu = values.get("CPUUtilization" if memcached else "EngineCPUUtilization")
    connections, evicted = values.get("CurrConnections"), values.get("Evictions")
    return (name, role, node["zone"], _number(_operations(node["engine"], values)), _percent(_hit_rate(memcached, values)), _percent(cpu),
            _percent(_memory(memcached, values)), _number(values.get("CurrItems")), _number(connections),
            _seconds(values.get("ReplicationLag")), _number(evicted))  # fmt: skip


def problems(answer: Json) -> list[str]:
    """Why figures are missing, a line for each agent, and for each node with a problem of its own."""
    agents = {agent["agent"]: agent for agent in answer["missing_agents"]}
    nodes = [node for node in answer["nodes"] if node.get("problem") and node.get("agent") not in agents]
    lines = [f"{agent['agent']} ({agent['zone']}): {agent['because']}" for agent in agents.values()]
    return lines + [f"{row(node)[0]}: {node['problem']}" for node in nodes]


def _operations(engine: str, values: Json) -> float | None:
    """Commands a second that read or write data."""
    names = _COMMANDS.get(engine, ("GetTypeCmds", "SetTypeCmds"))
    found = [values[name] for name in names if name in values]
    return sum(found) / 60 if found else None


def _hit_rate(memcached: bool, values: Json) -> float | None:
    if not memcached:
        return values.get("CacheHitRate")
    hits, asked = values.get("GetHits", 0.0), values.get("GetHits", 0.0) + values.get("GetMisses", 0.0)
    return hits / asked * 100 if asked else None


def _memory(memcached: bool, values: Json) -> float | None:
    if not memcached:
        return values.get("DatabaseMemoryUsagePercentage")
    used = values.get("BytesUsedForCacheItems")
    return None if used is None else used / (used + values["UnusedMemory"]) * 100


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} s"
