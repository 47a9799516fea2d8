"""``python -m controlplane``: the control plane alone, for agents that are programs of their own."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from pydantic import ValidationError

from controlplane.settings import Settings


def main() -> int:
    """0 after SIGINT or SIGTERM, 1 when the control plane could not start."""
    from controlplane.api.join_token_file import JoinTokenError
    from controlplane.api.listening import CannotServeError
    from controlplane.dns.listening import CannotListenError
    from controlplane.store.folder import FolderInUseError

    given = _given()
    level = str(given.pop("log_level", "warning")).upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        return _fail("--log-level can be debug, info, warning or error")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every request
    try:
        run(Settings(**given))
    except ValidationError as wrong:
        return _fail("; ".join(_told(error) for error in wrong.errors()))
    except (CannotServeError, CannotListenError, FolderInUseError, JoinTokenError) as why:
        return _fail(str(why))
    return 0


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; agents and engines go on.

    Raises CannotServeError, CannotListenError, FolderInUseError, JoinTokenError.
    """
    from controlplane.api import listening
    from controlplane.app import ControlPlane, Outside, build, outside_of, query_listeners
    from controlplane.reconciler.http_fleet import HttpFleet
    from controlplane.store.folder import lock_folder

    listening.is_loopback(settings.host)
    folder = settings.data_dir.expanduser().resolve()
    settings = settings.model_copy(update={"data_dir": folder})
    listener = listening.listen(settings.host, settings.port)
    queries = query_listeners(settings)
    lock = lock_folder(folder)
    sys.setswitchinterval(0.001)  # workers and the event loop hand over often, and none of them computes for long
    plane: ControlPlane
    outside: Outside
    fleet = HttpFleet(lambda: outside.tls.client, lambda agent: plane.url_of(agent))
    plane = build(settings, fleet, agents_url=lambda: outside.url or "", queries=queries)
    outside = outside_of(plane, settings)
    plane.start()
    if outside.door is not None:
        outside.door.start()

    def ready() -> None:
        names = f"  {plane.names.invitation}" if plane.names else ""
        line = f"Cachewright control plane is ready at {listening.url_of(listener)}  data: {folder}  {_joining(settings, outside.url)}"
        sys.stdout.write(f"{line}{names}\n")
        sys.stdout.flush()

    try:
        listening.run(plane.app, listener, ready, settings.trusted_proxies)
    finally:
        if outside.door is not None:
            outside.door.close()
        plane.close()
        fleet.close()
        lock.close()


def _joining(settings: Settings, url: str | None) -> str:
    if url is None:
        return "agents: none can join; see --join-token-file and --agents-listen"
    return f"agents: {url}  join token: {settings.join_token_file or 'see cachewright agent token create'}"


def _given() -> dict[str, Any]:
    """What the command line says; the rest is the environment's or the default."""
    about = "The control plane alone; start an agent for each zone with python -m agents."
    parser = argparse.ArgumentParser(prog="python -m controlplane", argument_default=argparse.SUPPRESS, description=about)
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=(field.description or "").replace("%", "%%"))
    parser.add_argument("--log-level", help="debug, info, warning or error.")
    return vars(parser.parse_args())


def _told(error: Any) -> str:
    option = f"--{'-'.join(map(str, error['loc'])).replace('_', '-')}: " if error["loc"] else ""  # else it is about several
    return option + str(error["msg"])


def _fail(why: str) -> int:
    sys.stderr.write(f"cachewright control plane: {why}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
