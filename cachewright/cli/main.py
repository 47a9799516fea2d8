"""The ``cachewright`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cachewright.cli import (
    access_key,
    agent,
    create,
    events,
    failover,
    fault,
    fleet,
    modify,
    operations,
    scale,
    snapshot,
    user,
    user_group,
)
from cachewright.cli.command import Output
from cachewright.cli.delete import delete
from cachewright.cli.describe import describe
from cachewright.cli.reboot import reboot
from cachewright.cli.top import top

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)

_DNS = "127.0.0.1:8353"
_LOCAL = ("serve", "demo", "reap", "version")
_CACHES, _GROUND, _SERVER = "Caches", "What they run on", "The server"


def main() -> None:
    """The entry point."""
    app()


@app.callback()
def common(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="As of every command that talks to a server.", hidden=True)] = None,
    region: Annotated[str | None, typer.Option(help="As of every command that talks to a server.", hidden=True)] = None,
    account_id: Annotated[str | None, typer.Option(help="As of every command that talks to a server.", hidden=True)] = None,
    access_key_file: Annotated[Path | None, typer.Option(help="As of every command that talks to a server.", hidden=True)] = None,
    output: Annotated[Output | None, typer.Option(help="As of every command that talks to a server.", hidden=True)] = None,
) -> None:
    """A managed cache on your own machines: ElastiCache's control plane with real engines behind it."""
    given = {"url": url, "region": region, "account_id": account_id, "access_key_file": access_key_file, "output": output}
    context.obj = {name: value for name, value in given.items() if value is not None}
    if context.obj and context.invoked_subcommand in _LOCAL:
        raise typer.BadParameter(f"give the options of {context.invoked_subcommand} after its name.")


@app.command(rich_help_panel=_SERVER)
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond loopback, callers need access keys.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.", show_default="8379")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where definitions and data live.", show_default="~/.local/share/cachewright")
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Use a temporary folder and leave nothing behind.")] = False,
    zones: Annotated[int, typer.Option(help="How many availability zones to simulate.")] = 3,
    runtime: Annotated[str | None, typer.Option(help="Where engines live: process or docker.", show_default="process")] = None,
    images: Annotated[str | None, typer.Option(help="Of containers: engine[:version]=image,… or local for those that are here.")] = None,
    registry: Annotated[str | None, typer.Option(help="Of containers: put before the names of images.")] = None,
    container_user: Annotated[str | None, typer.Option(help="Of containers: uid:gid that engines run as.")] = None,
    snapshot_archive: Annotated[
        str | None, typer.Option(help="Where snapshots are kept: a folder, or s3://bucket/prefix.", show_default="in the data folder")
    ] = None,
    buckets: Annotated[
        str | None,
        typer.Option(help="Where callers' buckets are: a folder with a folder for each, or s3://.", show_default="in the data folder"),
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of requests that name none.", show_default="us-east-1")] = None,
    account_id: Annotated[
        str | None, typer.Option(help="Account of requests whose access key is no account id.", show_default="000000000000")
    ] = None,
    authentication: Annotated[
        str | None, typer.Option(help="Whether callers need access keys on loopback too: auto or required.", show_default="auto")
    ] = None,
    access_key_file: Annotated[
        Path | None, typer.Option(help="File with an admin's access key; written if there is none.", show_default="none")
    ] = None,
    join_token_file: Annotated[
        Path | None, typer.Option(help="File with the token that agents of other hosts join with; written if there is none.")
    ] = None,
    agents_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where agents of other hosts join, over TLS.", show_default="127.0.0.1:8380")
    ] = None,
    agents_url: Annotated[str | None, typer.Option(help="Where they reach that, if it is not where it listens.")] = None,
    memcached_discovery: Annotated[
        str | None,
        typer.Option(help="Where new Memcached clusters answer: every-node or configuration-endpoint.", show_default="every-node"),
    ] = None,
    dns: Annotated[bool, typer.Option("--dns", help="Serve the names of endpoints at 127.0.0.1:8353, and show them.")] = False,
    dns_listen: Annotated[
        str | None, typer.Option(help="Serve them there instead, as HOST:PORT; port 0 picks a free one.", show_default="nowhere")
    ] = None,
    dns_suffix: Annotated[
        str | None, typer.Option(help="Domain below which names are.", show_default="cache.cachewright.internal")
    ] = None,
    dns_ttl: Annotated[int | None, typer.Option(help="Seconds for which a client may remember an answer.", show_default="1")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Serve the control plane, with an agent for each zone, until SIGINT or SIGTERM. Engines then save and stop."""
    import gc
    import logging

    gc.disable()  # until all is loaded: nothing of it is garbage, and looking costs a tenth of the start-up
    from pydantic import ValidationError

    from agents.runtime_settings import RuntimeSettings
    from cachewright.serve import CannotServeError, Wanted
    from cachewright.serve import serve as run
    from controlplane.settings import Settings

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every request to an agent
    options = {"host": host, "port": port, "region": region, "account_id": account_id, "agents_listen": agents_listen,
               "agents_url": agents_url, "memcached_discovery": memcached_discovery, "dns_listen": dns_listen or (_DNS if dns else None),
               "dns_suffix": dns_suffix, "dns_ttl": dns_ttl, "snapshot_archive": snapshot_archive, "buckets": buckets,
               "authentication": authentication}  # fmt: skip
    containers: dict[str, Any] = {"runtime": runtime, "images": images, "registry": registry, "container_user": container_user}
    folders = {"data_dir": data_dir, "join_token_file": join_token_file, "access_key_file": access_key_file}
    given: dict[str, Any] = {name: value for name, value in {**options, **folders}.items() if value is not None}
    try:
        where = RuntimeSettings(**{name: value for name, value in containers.items() if value is not None})
        run(Wanted(Settings(**given), zones, where, ephemeral), lambda line: print(line, flush=True))
    except ValidationError as wrong:
        _fail("; ".join(_told(error) for error in wrong.errors()))
    except CannotServeError as why:
        _fail(str(why))


@app.command(rich_help_panel=_SERVER)
def demo(port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8379) -> None:
    """A server of its own, the main job and a failover before your eyes; it stays up until Ctrl-C and leaves nothing behind."""
    from cachewright.demo.main import main as run

    raise typer.Exit(run(port))


app.add_typer(create.app, name="create", rich_help_panel=_CACHES)
app.add_typer(modify.app, name="modify", rich_help_panel=_CACHES)
caches = (
    create.add_replica, scale.scale, describe, delete, reboot, failover.failover, failover.promote, failover.history, events.events, top,
)  # fmt: skip
for command in caches:
    app.command(rich_help_panel=_CACHES)(command)
app.add_typer(snapshot.app, name="snapshot", rich_help_panel=_CACHES)
app.add_typer(user.app, name="user", rich_help_panel=_CACHES)
app.add_typer(user_group.app, name="user-group", rich_help_panel=_CACHES)
app.add_typer(agent.app, name="agent", rich_help_panel=_GROUND)
app.add_typer(access_key.app, name="access-key", rich_help_panel=_SERVER)
app.add_typer(fault.app, name="fault", rich_help_panel=_GROUND)
for command in (fleet.nodes, fleet.zones, fleet.agents, fleet.engines, operations.operations):
    app.command(rich_help_panel=_GROUND)(command)


@app.command(rich_help_panel=_SERVER)
def reap() -> None:
    """End the engines and remove the data of ephemeral servers that were killed."""
    from cachewright.data_folder import reap as run

    reaped = run()
    for path in reaped:
        print(f"removed {path}")
    if not reaped:
        print("nothing to reap")


@app.command(rich_help_panel=_SERVER)
def version() -> None:
    """Show the version of Cachewright."""
    from cachewright import __version__

    print(f"cachewright {__version__}")


def _told(error: Any) -> str:
    option = f"--{'-'.join(map(str, error['loc'])).replace('_', '-')}: " if error["loc"] else ""  # else it is about several
    return option + str(error["msg"])


def _fail(why: str) -> None:
    print(f"cachewright: {why}", file=sys.stderr)
    raise typer.Exit(1)
