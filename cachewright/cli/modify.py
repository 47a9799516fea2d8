"""``cachewright modify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.describe import show_when_settled
from cachewright.cli.resource import CACHE, GROUP, Found, Kind

app = typer.Typer(no_args_is_help=True, help="Change a replication group or a cache.")

Maintenance = Annotated[str | None, typer.Option(metavar="DAY:HH:MM-DAY:HH:MM", help="Weekly window, as in sun:05:00-sun:06:00.")]
Snapshot = Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="Daily snapshot window.")]
AutoMinor = Annotated[bool | None, typer.Option("--auto-minor-upgrade/--no-auto-minor-upgrade", help="Follow minor versions.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and show how it comes along.")]


@app.command("group")
@remote
def modify_group(
    session: Session,
    name: Annotated[str, typer.Argument(help="The replication group.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    auto_failover: Annotated[bool | None, typer.Option("--auto-failover/--no-auto-failover",
                                                       help="Let a replica replace a failed primary.")] = None,
    multi_az: Annotated[bool | None, typer.Option("--multi-az/--no-multi-az", help="Promise nodes in several zones.")] = None,
    maintenance_window: Maintenance = None,
    snapshot_window: Snapshot = None,
    auto_minor_upgrade: AutoMinor = None,
    wait: Wait = True,
) -> None:  # fmt: skip
    """Change a replication group's description, flags and windows; what is left out stays."""
    body = {
        "replication_group_description": description,
        "automatic_failover_enabled": auto_failover,
        "multi_az_enabled": multi_az,
        "preferred_maintenance_window": maintenance_window,
        "snapshot_window": snapshot_window,
        "auto_minor_version_upgrade": auto_minor_upgrade,
    }
    _modify(session, GROUP, name, body, wait)


@app.command("cache")
@remote
def modify_cache(
    session: Session,
    name: Annotated[str, typer.Argument(help="The cache.")],
    maintenance_window: Maintenance = None,
    snapshot_window: Snapshot = None,
    auto_minor_upgrade: AutoMinor = None,
    wait: Wait = True,
) -> None:
    """Change a cache's flags and windows; what is left out stays."""
    body = {
        "preferred_maintenance_window": maintenance_window,
        "snapshot_window": snapshot_window,
        "auto_minor_version_upgrade": auto_minor_upgrade,
    }
    _modify(session, CACHE, name, body, wait)


def _modify(session: Session, kind: Kind, name: str, body: dict[str, Any], wait: bool) -> None:
    if all(value is None for value in body.values()):
        raise typer.BadParameter("Say what shall change; --help shows what can.")
    changed = Found(kind, session.server.patch(kind.path, name, body=body)[kind.member])
    show_when_settled(session, changed, "modifying", wait)
