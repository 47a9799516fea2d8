"""The part of the demo in which the primary is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachewright.demo.crash import DEADLINE, Crash, Node, crash
from cachewright.demo.time_line import gap, moments, since, strip

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"kill": "red", "process": "red", "write": "green", "node": "green"}


def show_failover(console: Console, nodes: list[Node], endpoint: dict[str, Any], elasticache: Any, lab: Any) -> None:
    """Crash the primary among these nodes under a writing client and print what came of it."""
    primary = next(node for node in nodes if node.get("Role") == "primary")
    console.print("\nA client writes order:1, order:2 … to the primary endpoint, and the process of the primary is killed by")
    console.print(f"client('lab').create_fault(Kind='node-crash', CacheClusterId='{primary['Node']}')\n", markup=False)
    known = crash(primary, endpoint, elasticache, lab)
    show_crash(console, known)
    if known.back is None:
        show_where_to_look(console, known, lab.meta.endpoint_url)
    console.print()


def show_crash(console: Console, known: Crash) -> None:
    """Print what is known of a crash: what happened when, and how the writes went."""
    console.print("  [dim]milliseconds since the server took the order to kill, all by the clock of this machine[/]")
    for moment in moments(known):
        console.print(f"{since(known, moment.at):6d} ms  [{_STYLES.get(moment.kind, 'bold')}]{moment.kind:8}[/]  ", end="")
        console.print(moment.says, markup=False)
    writes, between = strip(known), gap(known)
    longest = f": {between:.1f} ms between the two writes above" if between is not None else ""
    console.print(f"\n  [green]{writes.signs}[/]\n  writes over time, {writes.milliseconds} ms a sign, a dot is without one{longest}")
    missing = "which cannot be read back now" if known.missing is None else f"{known.missing} of them missing"
    console.print(f"  [bold]{len(known.writes)} writes acknowledged, {missing}[/]")
    if known.missing:
        console.print("  (replication is asynchronous; for a write that must not be lost, WAIT for the word of a replica)")


def show_where_to_look(console: Console, known: Crash, url: str) -> None:
    """Print that the crash was not got over in time, and where it is told how far things are."""
    what = f"{known.former['Node']} was not seen back in sync" if known.first_after else "no other node took a write"
    console.print(f"\n  [red]Within {DEADLINE:g} s {what}.[/] What the server knows of it:")
    for path in (f"replication-groups/{known.former['ReplicationGroupId']}/history", "nodes", "events"):
        console.print(f"    curl {url}/v1/{path}", markup=False)
