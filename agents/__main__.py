"""``python -m agents``: one agent for this host, in one zone, that takes its orders over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import socket
import sys
import threading
from typing import Any

from pydantic import ValidationError

from agents.address_block import NoBlockLeftError, block_of
from agents.folder import AgentFolder, FolderRefusedError, network_of
from agents.settings import Settings, TokenError
from agents.this_process import set_up


class CannotStartError(Exception):
    """The agent cannot start; the text says why and what to do."""


def main() -> int:
    """0 after SIGINT or SIGTERM, 1 when the agent could not start."""
    try:
        settings = Settings(**_given())
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every heartbeat
        run(settings)
    except ValidationError as wrong:
        return _fail("; ".join(_told(error) for error in wrong.errors()))
    except (CannotStartError, FolderRefusedError, NoBlockLeftError, TokenError) as why:
        return _fail(str(why))
    return 0


def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; engines then save and stop. Raises CannotStartError and what folder and token raise."""
    token = settings.token()
    listener = _listen(settings)
    folder = AgentFolder(settings.data_dir)
    name = folder.name_for(settings.zone, settings.name)
    network = _network(settings, folder)
    set_up()

    from agents.api import OrderDoor, Server
    from agents.engines.catalogue import engines_in
    from agents.faulting.packet_filter import find_filter
    from agents.ground import GroundRefusedError, prepare
    from agents.reporter import Reporter
    from agents.runtimes.process import ProcessRuntime
    from agents.supervisor import Host, Supervisor

    try:
        ground = prepare(settings, settings.engines_dir)
    except GroundRefusedError as why:
        raise CannotStartError(str(why)) from why
    url = settings.url or _url_of(listener)
    host = Host(agent=name, zone=settings.zone, network=network, folder=folder.path, host=settings.host,
                binaries=ground.binaries, url=url, packet_filter=find_filter())  # fmt: skip
    reporter = Reporter(settings.join, token)
    supervisor = Supervisor(host, ground.runtime(folder.path), engines_in(folder.path), reporter.report, own=ProcessRuntime(folder.path))
    reporter.on_taken = supervisor.lease.renew
    supervisor.lease.keep(None)
    supervisor.start()

    def ready() -> None:
        threading.Thread(target=reporter.stay_in_touch, args=(supervisor,), name="reporter", daemon=True).start()
        where = f"  runtime: {ground.about}" if ground.about else ""
        about = f"zone: {host.zone}  data: {folder.path}  engines: {ground.programs}{where}"
        sys.stdout.write(f"Cachewright agent {name} is ready at {url}  {about}\n")
        sys.stdout.flush()

    try:
        Server(OrderDoor(supervisor, token).app(), ready).run(sockets=[listener])
    finally:
        reporter.close()
        supervisor.suspend()
        folder.close()


def _given() -> dict[str, Any]:
    """What the command line says; the rest is the environment's or the default."""
    parser = argparse.ArgumentParser(prog="python -m agents", argument_default=argparse.SUPPRESS,
                                     description="One agent: runs the nodes of this host, in one availability zone.")  # fmt: skip
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=field.description)
    return vars(parser.parse_args())


def _told(error: Any) -> str:
    option = f"--{'-'.join(str(step) for step in error['loc']).replace('_', '-')}"
    return f"{option} is required" if error["type"] == "missing" else f"{option}: {error['msg']}"


def _listen(settings: Settings) -> socket.socket:
    try:
        host, port = settings.address
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, ValueError, OverflowError) as failed:
        raise CannotStartError(f"cannot listen on {settings.listen}: {failed}. Choose another with --listen.") from failed
    if settings.url is None and ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        listener.close()
        raise CannotStartError(f"--listen {settings.listen} is no address that the control plane can reach; give one with --url.")
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _network(settings: Settings, folder: AgentFolder) -> str:
    if settings.network is None:
        return network_of(settings.zone, block_of(folder.path))
    try:
        return str(ipaddress.IPv4Network(settings.network))
    except ValueError as wrong:
        raise CannotStartError(f"--network {settings.network}: {wrong}. Give a network such as 127.102.9.0/24.") from wrong


def _fail(why: str) -> int:
    sys.stderr.write(f"cachewright agent: {why}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
