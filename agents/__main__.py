"""``python -m agents``: one agent for this host, in one zone, that takes its orders over HTTP and TLS."""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agents import clock
from agents.address_block import NoBlockLeftError, block_of
from agents.folder import AgentFolder, FolderRefusedError, network_of
from agents.host_facts import why_unusable
from agents.settings import Settings, TokenError
from agents.this_process import set_up
from api_schemas.agent.join_token import JoinToken
from api_schemas.agent.joining import CertificateWanted

if TYPE_CHECKING:
    from agents.credentials import Credentials

log = logging.getLogger("cachewright.agent")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to join

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
    except KeyboardInterrupt:  # before there was anything to save
        return 0
    return 0


def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; engines then save and stop. Raises CannotStartError and what folder and token raise."""
    listener = _listen(settings)
    folder = AgentFolder(settings.data_dir.expanduser())
    name = folder.name_for(settings.zone, settings.name)
    network = _network(settings, folder)
    set_up()

    from agents.api import OrderDoor, Server
    from agents.credentials import Credentials
    from agents.engines.catalogue import engines_in
    from agents.faulting.packet_filter import find_filter
    from agents.ground import GroundRefusedError, prepare
    from agents.renewal import Renewal
    from agents.reporter import Reporter
    from agents.runtimes.process import ProcessRuntime
    from agents.supervisor import Host, Supervisor
    from agents.tls import AgentTls

    credentials = Credentials(folder.path)
    _have_certificate(settings, credentials, name)
    tls = AgentTls(credentials)
    try:
        ground = prepare(settings, settings.engines_dir)
    except GroundRefusedError as why:
        raise CannotStartError(str(why)) from why
    url = settings.url or _url_of(listener)
    host = Host(agent=name, zone=settings.zone, network=network, folder=folder.path, host=settings.host, binaries=ground.binaries,
                url=url, packet_filter=find_filter(), memory=settings.memory, cores=settings.cores)  # fmt: skip
    reporter = Reporter(settings.control_planes, tls.client)
    renewal = Renewal(lambda: reporter.url, name, settings.zone, credentials, tls)
    supervisor = Supervisor(host, ground.runtime(folder.path), engines_in(folder.path), reporter.report, own=ProcessRuntime(folder.path))
    reporter.on_taken = supervisor.lease.renew
    supervisor.lease.keep(None)
    supervisor.start()
    renewal.keep(clock.now)

    def ready() -> None:
        threading.Thread(target=reporter.stay_in_touch, args=(supervisor,), name="reporter", daemon=True).start()
        where = f"  runtime: {ground.about}" if ground.about else ""
        about = f"zone: {host.zone}  data: {folder.path}  engines: {ground.programs}{where}"
        sys.stdout.write(f"Cachewright agent {name} is ready at {url}  {about}\n")
        sys.stdout.flush()

    try:
        Server(OrderDoor(supervisor).app(), tls.server, ready).run(sockets=[listener])
    finally:
        renewal.close()
        reporter.close()
        supervisor.suspend()
        folder.close()


def _have_certificate(settings: Settings, credentials: Credentials, name: str) -> None:
    """Join, unless we have and our certificate holds. A control plane that does not answer is waited for.

    Raises CannotStartError, TokenError.
    """
    try:
        until = credentials.lasts_until()
    except (OSError, ValueError) as wrong:
        told = f"the certificate in {credentials.folder} cannot be read: {wrong}. Delete that folder and join anew with --token-file"
        raise CannotStartError(told) from wrong
    if until is not None and until > clock.now():
        _must_fit(settings, credentials)
        return
    token = settings.token()
    if token is None:
        lack = f"the certificate of agent {name} ended at {until:%Y-%m-%d %H:%M} UTC" if until else f"agent {name} has not joined yet"
        raise CannotStartError(f"{lack}; give a join token with --token-file, made by cachewright agent token create")
    _join(settings, token, credentials, name)


def _must_fit(settings: Settings, credentials: Credentials) -> None:
    """Who moves an agent to another control plane shall know it: what it runs is known to the one before."""
    try:
        token = settings.token()
    except TokenError:  # not needed any more
        return
    if token is not None and token.pin != credentials.pin:
        raise CannotStartError(f"the join token in {settings.token_file} is for another control plane than the one that this agent has "
                               "joined; give that one's, or another --data-dir. To leave the control plane that it has joined for good, "
                               f"delete {credentials.folder}")  # fmt: skip


def _join(settings: Settings, token: JoinToken, credentials: Credentials, name: str) -> None:
    from agents.joining import CannotJoinError, NoAnswerError, fetch_authority, join

    wanted = CertificateWanted(agent=name, zone=settings.zone, signing_request=credentials.request(name))
    pause, complaint = _FIRST_PAUSE, ""
    for url in itertools.cycle(settings.control_planes):
        try:
            authority = fetch_authority(url, token)
            credentials.keep(join(url, token, authority, wanted), authority)
            return
        except (CannotJoinError, ValueError) as why:
            raise CannotStartError(f"agent {name} cannot join: {why}") from why
        except NoAnswerError as why:
            if str(why) != complaint:
                complaint = str(why)
                log.warning("cannot join yet, trying again  agent=%s because=%s", name, why)
        threading.Event().wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _given() -> dict[str, Any]:
    """What the command line says; the rest is the environment's or the default."""
    parser = argparse.ArgumentParser(prog="python -m agents", argument_default=argparse.SUPPRESS,
                                     description="One agent: runs the nodes of this host, in one availability zone.")  # fmt: skip
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=(field.description or "").replace("%", "%%"))
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
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _network(settings: Settings, folder: AgentFolder) -> str:
    if settings.network is None:
        return network_of(settings.zone, block_of(folder.path))
    try:
        network = str(ipaddress.IPv4Network(settings.network))
    except ValueError as wrong:
        raise CannotStartError(f"--network {settings.network}: {wrong}. Give a network such as 127.102.9.0/24.") from wrong
    if why := why_unusable(network):
        raise CannotStartError(f"--network {network}: {why}")
    return network


def _fail(why: str) -> int:
    sys.stderr.write(f"cachewright agent: {why}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
