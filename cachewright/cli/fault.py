"""``cachewright fault``: do something to nodes and zones on purpose, see what goes on, end it early."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.paper import time
from cachewright.cli.resource import GROUP, Inventory, KindName, find
from cachewright.cli.server import Json
from cachewright.cli.zone import zone_names

app = typer.Typer(no_args_is_help=True, help="Inject a fault into nodes or zones; it is undone by itself.")

Name = Annotated[str, typer.Argument(help="A replication group, a cache, or a member of a group.")]
InZone = Annotated[str | None, typer.Option(metavar="a", help="Of a group, only its nodes in this zone.")]
Node = Annotated[str | None, typer.Option(metavar="0001", help="Of a Memcached cluster, only this node.")]
Which = Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")]
For = Annotated[int, typer.Option("--for", min=1, max=3600, metavar="SECONDS", help="How long.")]
Zone = Annotated[str, typer.Argument(metavar="ZONE", help="A zone, as in a or us-east-1a.")]


@app.command("crash")
@remote
def crash(session: Session, name: Name, zone: InZone = None, node: Node = None, kind: Which = None) -> None:
    """Kill the processes of nodes, once."""
    _inject(session, "node-crash", _nodes(session, name, zone, node, kind))


@app.command("hang")
@remote
def hang(session: Session, name: Name, zone: InZone = None, node: Node = None, kind: Which = None, seconds: For = 60) -> None:
    """Stop the processes of nodes; they hold what they have and answer nothing until they go on."""
    _inject(session, "node-hang", _nodes(session, name, zone, node, kind), seconds)


@app.command("slow")
@remote
def slow(
    session: Session,
    name: Name,
    zone: InZone = None,
    node: Node = None,
    kind: Which = None,
    slowness: Annotated[float, typer.Option(min=0, max=0.95, help="Share of the time for which they stand still.")] = 0.8,
    seconds: For = 60,
) -> None:
    """Make nodes slow."""
    _inject(session, "node-slow", {**_nodes(session, name, zone, node, kind), "slowness": slowness}, seconds)


@app.command("power-loss")
@remote
def power_loss(
    session: Session,
    zone: Zone,
    group: Annotated[str | None, typer.Option(help="Only the nodes of this replication group.")] = None,
    seconds: For = 60,
) -> None:
    """Kill everything in a zone and let nothing start there; without --group, its agent falls silent as well."""
    _inject(session, "zone-power-loss", {"zone": _one_zone(session, zone), "replication_group_id": group}, seconds)


@app.command("isolate")
@remote
def isolate(session: Session, zone: Zone, seconds: For = 60) -> None:
    """Let no packet pass between a zone and the others, nor a word of its agent."""
    _inject(session, "zone-isolation", {"zone": _one_zone(session, zone)}, seconds)


@app.command("cut")
@remote
def cut(session: Session, zone: Zone, other: Annotated[str, typer.Argument(metavar="ZONE", help="The other zone.")],
        seconds: For = 60) -> None:  # fmt: skip
    """Let no packet pass between two zones."""
    _inject(session, "link-cut", {"zones": [_one_zone(session, zone), _one_zone(session, other)]}, seconds)


@app.command("silence")
@remote
def silence(session: Session, zone: Zone, seconds: For = 60) -> None:
    """Have the agent of a zone neither report nor take orders; its engines go on."""
    _inject(session, "agent-silence", {"zone": _one_zone(session, zone)}, seconds)


@app.command("list")
@remote
def list_faults(session: Session, active: Annotated[bool, typer.Option("--active", help="Only those under way.")] = False) -> None:
    """Show the faults under way, and those that ended lately."""
    answer = session.server.get("faults", status="active" if active else None)
    session.paper.answer(answer, lambda: _show(session, answer["faults"]))


@app.command("end")
@remote
def end(session: Session, fault_id: Annotated[str, typer.Argument(metavar="ID", help="The fault, as list shows it.")]) -> None:
    """End a fault before its time."""
    answer = session.server.delete("faults", fault_id)
    session.paper.answer(answer, lambda: _show(session, [answer["fault"]]))


def _nodes(session: Session, name: str, zone: str | None, node: str | None, kind: KindName | None) -> Json:
    """The target that a name means."""
    found = find(session.server, Inventory.of(session.server), name, kind)
    if zone is not None and found.kind is not GROUP:
        raise typer.BadParameter(f"{found.name} is a cache; only the nodes of a group can be chosen by zone.", param_hint="--zone")
    return {found.kind.id_field: found.name, "zone": _one_zone(session, zone) if zone else None, "cache_node_id": node}


def _one_zone(session: Session, given: str) -> str:
    names = zone_names(session.server, given, "ZONE")
    if len(names) != 1:
        raise typer.BadParameter(f"{given} is not one zone.", param_hint="ZONE")
    return names[0]


def _inject(session: Session, kind: str, target: Json, seconds: int | None = None) -> None:
    answer = session.server.post("faults", body={"kind": kind, "duration_seconds": seconds, **target})
    session.paper.answer(answer, lambda: _show(session, [answer["fault"]]))


def _show(session: Session, faults: list[Json]) -> None:
    session.paper.table(("fault", "kind", "target", "status", "until", "nodes"), [_row(fault) for fault in faults])
    for fault in faults:
        for problem in fault["problems"]:
            session.paper.line(f"{fault['fault_id']}: {problem}")


def _row(fault: Json) -> list[Any]:
    until = fault.get("ended_at") or fault["ends_at"]
    return [fault["fault_id"], fault["kind"], _target(fault["target"]), fault["status"], time(until), fault["nodes"]]


def _target(target: Json) -> str:
    named = [target.get("replication_group_id"), target.get("cache_cluster_id"), target.get("cache_node_id"), target.get("zone")]
    return " ".join([*(str(one) for one in named if one), *target["zones"]])
