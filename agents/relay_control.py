"""The agent's side of its relay: hand over the routes, hear what became of them."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from agents.relay_route import control_path
from api_schemas.agent.route import RouteReport, RouteSpec
from api_schemas.agent.transit import TransitMode

PATIENCE = 2.0  # seconds for the relay to take a level, and again for its answer


class RelayUnreachableError(Exception):
    """The relay does not answer: it is not running, or not up yet."""


class RelayRefusedError(Exception):
    """The relay answered that the routes make no sense, and goes on with those it had."""


def files_of(key: str) -> str:
    """Where the certificate of a route that is no node's lies, as seen from the relay's folder."""
    return f"transit/{key}"


def _told(route: RouteSpec) -> dict[str, Any]:
    """A route as the relay is told of it, which reads certificate and key from files: what it is told it writes down."""
    told = route.model_dump(exclude={"transit", "trusted"})
    if (transit := route.transit) is not None:
        told["tls"] = {"folder": route.files or files_of(route.key), "digest": transit.digest,
                       "required": transit.mode is TransitMode.REQUIRED, "trusted": route.trusted}  # fmt: skip
    return told


class RelayControl:
    """The relay that serves in ``folder``, running or not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def launch_argv(self) -> tuple[str, ...]:
        """The command that runs the relay; it needs no environment, only that Python finds ``agents`` as it did for the agent."""
        return (sys.executable, "-m", "agents.relay", "--folder", str(self._folder))

    def push(self, routes: Collection[RouteSpec]) -> list[RouteReport]:
        """Make ``routes`` the whole set the relay serves, and hear about each. Repeating it changes nothing.

        Raises RelayUnreachableError when there is no answer (whether the routes arrived is not known then),
        and RelayRefusedError when the relay keeps to the routes it had.
        """
        asked = json.dumps({"routes": [_told(route) for route in routes]})
        try:
            answer = json.loads(self._ask(asked.encode() + b"\n"))
        except (OSError, ValueError) as silence:
            raise RelayUnreachableError(f"the relay in {self._folder} does not answer") from silence
        if "error" in answer:
            raise RelayRefusedError(answer["error"])
        return [RouteReport.model_validate(report) for report in answer["routes"]]

    def _ask(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            with control_path(self._folder) as path:
                connection.connect(path)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                return answers.readline()
