"""``cachewright snapshot``: take, show, copy, delete, restore and verify snapshots; files go out and come in by ``snapshot_files``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cachewright.cli import snapshot_files
from cachewright.cli.command import INTERRUPTED, REFUSED, Session, fail, remote
from cachewright.cli.create import NodeType, Port, Tags, Version, Wait, parsed_tags
from cachewright.cli.describe import show_when_settled
from cachewright.cli.resource import CACHE, GROUP, Found, Inventory, Kind, KindName, find
from cachewright.cli.server import Json
from cachewright.cli.snapshot_view import MEMBER, PATH, described, show_all, show_one, until_available, until_gone
from cachewright.cli.watching import Bar, watch

app = typer.Typer(no_args_is_help=True, help="Take, show, copy, verify and restore snapshots; carry their files out and in.")

Name = Annotated[str, typer.Argument(help="The snapshot.")]
_LONGEST_SOURCE = 30  # letters of it in a name that is made up


@app.command("create")
@remote
def create(
    session: Session,
    source: Annotated[str, typer.Argument(help="A replication group, one of its members, or a cache.")],
    name: Annotated[str | None, typer.Argument(help="Name of the snapshot; one with the present time when not said.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Take a snapshot."""
    found = find(session.server, Inventory.of(session.server), source, kind)
    name = name or made_up(found.name, datetime.now(UTC))
    body = {found.kind.id_field: found.name, "snapshot_name": name, "tags": parsed_tags(tag)}
    made = session.server.post(PATH, body=body)[MEMBER]
    show_one(session, until_available(session, made["snapshot_name"], "taking") if wait else made)


def made_up(source: str, now: datetime) -> str:
    """A name for a snapshot of that source."""
    return f"{source[:_LONGEST_SOURCE].rstrip('-')}-{now:%Y%m%d-%H%M%S}"


@app.command("list")
@remote
def list_snapshots(
    session: Session,
    source: Annotated[str | None, typer.Argument(help="Only those of this replication group or cache.")] = None,
) -> None:
    """Show all snapshots, the oldest first."""
    found = session.server.all(PATH, "snapshots")
    if source is not None:
        wanted = source.lower()
        found = [each for each in found if wanted in (each.get("replication_group_id"), each.get("cache_cluster_id"))]
    session.paper.answer({"snapshots": found}, lambda: show_all(session.paper, found))


@app.command("describe")
@remote
def describe(session: Session, name: Name) -> None:
    """Show one snapshot with its parts: how far each is, or how large, with how many keys and which SHA-256."""
    show_one(session, described(session, name))


@app.command("copy")
@remote
def copy(
    session: Session,
    name: Name,
    target: Annotated[str, typer.Argument(help="Name of the copy.")],
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Copy a snapshot under another name; an automatic one that is copied stays."""
    body = {"target_snapshot_name": target, "tags": parsed_tags(tag)}
    made = session.server.call("CopySnapshot", {"source_snapshot_name": name}, body)[MEMBER]
    show_one(session, until_available(session, made["snapshot_name"], "copying") if wait else made)


@app.command("delete")
@remote
def delete(
    session: Session,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is gone.")] = True,
) -> None:
    """Delete a snapshot with its files."""
    if not yes:
        _confirm(name)
    begun = session.server.delete(PATH, name)[MEMBER]
    if wait:
        until_gone(session, begun["snapshot_name"])
        begun = {**begun, "snapshot_status": "deleted"}
    session.paper.answer({MEMBER: begun}, lambda: None)


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is nobody to ask whether {name} shall really go; say --yes.")
    typer.confirm(f"Delete snapshot {name} with its files?", abort=True, err=True)


@app.command("restore")
@remote
def restore(
    session: Session,
    name: Name,
    new: Annotated[str, typer.Argument(help="Id of the new group or cache.")],
    shards: Annotated[int | None, typer.Option(min=1, help="How many shards; as many as there were when not said.")] = None,
    replicas: Annotated[int | None, typer.Option(min=0, help="How many replicas (of each shard); as many as there were.")] = None,
    node_type: NodeType = None,
    engine: Annotated[str | None, typer.Option(help="valkey or redis; as it was when not said.")] = None,
    engine_version: Version = None,
    auto_failover: Annotated[bool, typer.Option("--auto-failover", help="Let a replica replace a failed primary.")] = False,
    port: Port = None,
    kind: Annotated[KindName | None, typer.Option(help="What to make; as it was, or a group where there are shards or replicas.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tag: Tags = None,
    wait: Wait = True,
) -> None:
    """Make a new group or cache that begins with what a snapshot holds."""
    wants_group = shards is not None or replicas is not None or auto_failover
    made = _kind_of(described(session, name), engine, wants_group) if kind is None else GROUP if kind is KindName.GROUP else CACHE
    if made is CACHE and wants_group:
        raise typer.BadParameter("A cache has no shards, replicas or failover; leave out --kind cache.")
    body: dict[str, Any] = {
        made.id_field: new, "snapshot_name": name, "cache_node_type": node_type, "engine": engine, "engine_version": engine_version,
        "port": port, "tags": parsed_tags(tag),
    }  # fmt: skip
    if made is GROUP:
        body |= {
            "replication_group_description": description or f"from snapshot {name}", "replicas_per_node_group": replicas,
            "num_node_groups": shards, "automatic_failover_enabled": auto_failover or None,
        }  # fmt: skip
    begun = Found(made, session.server.post(made.path, body=body)[made.member])
    show_when_settled(session, begun, "restoring", wait)


def _kind_of(snapshot: Json, engine: str | None, wants_group: bool) -> Kind:
    """A cache alone becomes one again, where nobody asks for what only groups have."""
    is_alone = not snapshot.get("replication_group_id") and (engine or snapshot["engine"]) == "redis"
    return CACHE if is_alone and not wants_group else GROUP


@app.command("verify")
@remote
def verify(session: Session, name: Name, wait: Wait = True) -> None:
    """Restore every file aside, by a real engine, and compare it with what that holds then. Exits with 1 unless all is as it should be."""
    begun = session.server.post(PATH, name, "verify", body={})
    found = _verification(session, name) if wait else begun
    session.paper.answer(found, lambda: _show_verification(session, found))
    if found["state"] == "failed":
        fail(f"Snapshot {found['snapshot_name']} is not what it should be: {_why(found)}", REFUSED)


def _verification(session: Session, name: str) -> Json:
    """The newest, once it is over."""
    try:
        return watch(session, lambda: session.server.get(PATH, name, "verification"), _verified_bars, _is_verified)
    except KeyboardInterrupt:
        session.paper.aside(f"Stopped waiting. The server goes on verifying {name}; the same command shows how it stands.")
        raise typer.Exit(INTERRUPTED) from None


def _is_verified(seen: Json) -> bool:
    return seen["state"] not in ("waiting", "running")


def _verified_bars(seen: Json) -> list[Bar]:
    return [Bar(part["node_group_id"], _verified(part), part["done"], part["total"]) for part in seen["parts"]]


def _verified(part: Json) -> str:
    if part["state"] == "running":
        return part.get("step") or "running"
    return f"failed: {part['problem']}" if part["state"] == "failed" else str(part["state"])


def _show_verification(session: Session, seen: Json) -> None:
    rows = [[part["node_group_id"], part["state"], part.get("keys"), part.get("expires"), part.get("functions"), _program(part),
             (part.get("digest_after") or "")[:16] or None] for part in seen["parts"]]  # fmt: skip
    session.paper.table(("part", "verdict", "keys", "expire", "functions", "restored with", "digest"), rows)
    if seen["state"] == "passed":
        session.paper.line(f"{seen['snapshot_name']} holds what it should: {len(rows)} of {len(rows)} files were restored and compared.")


def _program(part: Json) -> str | None:
    return f"{part['engine']} {part['engine_version']}" if part.get("engine") else None


def _why(seen: Json) -> str:
    said = [f"{part['node_group_id']}: {part['problem']}" for part in seen["parts"] if part["state"] == "failed"]
    return seen.get("problem") or "; ".join(said)


app.command("export")(snapshot_files.export)
app.command("import")(snapshot_files.import_files)
