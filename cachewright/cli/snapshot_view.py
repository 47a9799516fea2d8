"""A snapshot on the command line: how it is waited for, and how it is shown."""

from __future__ import annotations

from time import monotonic

import typer

from cachewright.cli.command import INTERRUPTED, REFUSED, Session, fail
from cachewright.cli.paper import Paper, time
from cachewright.cli.server import Json, RefusedError
from cachewright.cli.watching import Bar, watch

PATH, MEMBER = "snapshots", "snapshot"

_HEADINGS = ("part", "slots", "node", "phase", "keys", "expire", "functions", "size", "taken")
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def until_available(session: Session, name: str, doing: str) -> Json:
    """The snapshot once it is available. Ends the command when it failed."""
    start = monotonic()
    try:
        seen = watch(session, lambda: progress_of(session, name), bars, lambda seen: seen["status"] in ("available", "failed"))
    except KeyboardInterrupt:
        how = f"`cachewright snapshot describe {name}` shows how it stands."
        session.paper.aside(f"Stopped waiting. The server goes on {doing} {name}; {how}")
        raise typer.Exit(INTERRUPTED) from None
    taken = f"{monotonic() - start:.1f} s"
    if seen["status"] == "failed":
        fail(f"Snapshot {name} failed after {taken}: {seen.get('problem', 'nobody said why')}", REFUSED)
    session.paper.aside(f"{name} is available after {taken}")
    return described(session, name)


def until_gone(session: Session, name: str) -> None:
    """Return when there is no such snapshot any more."""

    def look() -> Json:
        try:
            return described(session, name)
        except RefusedError as refused:
            if refused.code != "SnapshotNotFoundFault":
                raise
            return {"snapshot_status": "gone"}

    watch(session, look, lambda seen: [Bar(name, seen["snapshot_status"])], lambda seen: seen["snapshot_status"] == "gone")


def described(session: Session, name: str) -> Json:
    """The snapshot as the REST API shows it, at this moment."""
    return dict(session.server.get(PATH, name, at_once=True)[MEMBER])


def progress_of(session: Session, name: str) -> Json:
    """How far it is, part by part."""
    return session.server.get(PATH, name, "progress")


def bars(progress: Json) -> list[Bar]:
    """One for each node group."""
    return [_bar(part) for part in progress["parts"]]


def _bar(part: Json) -> Bar:
    node = f" on {part['node']}" if part.get("node") and part["phase"] in ("waiting", "saving", "storing") else ""
    doing = f"{part['phase']}{node}"
    if part.get("file"):
        doing = f"{size(part['file']['size'])} kept"
    elif part.get("problem"):
        doing = f"{doing}: {part['problem']}"
    return Bar(part["node_group_id"], doing, part["done"], part["total"])


def show_one(session: Session, snapshot: Json) -> None:
    """One snapshot in detail: as JSON the REST API's snapshot and its progress, with every file."""
    progress = progress_of(session, snapshot["snapshot_name"])
    answer = {MEMBER: snapshot, "progress": progress}
    session.paper.answer(answer, lambda: _show_one(session.paper, snapshot, progress))


def show_all(paper: Paper, snapshots: list[Json]) -> None:
    """A line for each."""
    if not snapshots:
        paper.aside("There are no snapshots. `cachewright snapshot create SOURCE` takes one.")
        return
    paper.table(("name", "source", "engine", "shards", "how", "taken", "status"), [_row(snapshot) for snapshot in snapshots])


def _row(snapshot: Json) -> list[object]:
    parts = snapshot["node_snapshots"]
    return [
        snapshot["snapshot_name"], source_of(snapshot), f"{snapshot['engine']} {snapshot['engine_version']}", len(parts),
        snapshot["snapshot_source"], time(max((part.get("snapshot_create_time") or "" for part in parts), default="") or None),
        snapshot["snapshot_status"],
    ]  # fmt: skip


def source_of(snapshot: Json) -> str:
    """The name of the group, or else of the cache, that it was taken of."""
    return str(snapshot.get("replication_group_id") or snapshot.get("cache_cluster_id") or "")


def _show_one(paper: Paper, snapshot: Json, progress: Json) -> None:
    paper.facts({
        "snapshot": snapshot["snapshot_name"],
        "status": snapshot["snapshot_status"] + (f", {progress['percent']} %" if progress["percent"] < 100 else ""),
        "problem": progress.get("problem"),
        "source": source_of(snapshot),
        "how": snapshot["snapshot_source"],
        "engine": f"{snapshot['engine']} {snapshot['engine_version']}",
        "node type": snapshot["cache_node_type"],
        "keys": progress.get("keys"),
        "size": size(progress["bytes"]) if progress["bytes"] else None,
        "manifest SHA-256": progress.get("manifest"),
        "ARN": snapshot["arn"],
    })  # fmt: skip
    paper.line()
    paper.table(_HEADINGS, [_part_row(part) for part in progress["parts"]])
    for part in progress["parts"]:
        if part.get("file"):
            paper.line(f"{part['file']['name']}  {part['file']['rdb_version']}  SHA-256 {part['file']['sha256']}")
        elif part.get("problem"):
            paper.line(f"{part['node_group_id']}: {part['problem']}")


def _part_row(part: Json) -> list[object]:
    file = part.get("file") or {}
    return [
        part["node_group_id"], part["slots"], part.get("node"), part["phase"], file.get("keys"), file.get("expires"), file.get("functions"),
        size(file["size"]) if file else None, time(file.get("taken_at")),
    ]  # fmt: skip


def size(number: int) -> str:
    """A number of bytes as people read it."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"
