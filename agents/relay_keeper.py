"""Keeps this agent's relay process running while there is anything for it to serve, and hands it the routes it shall serve."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from agents.engines.transit_files import write_transit
from agents.journal import Journal
from agents.launch import Launch
from agents.relay_control import RelayControl, RelayRefusedError, RelayUnreachableError, files_of
from agents.runtimes.runtime import Handle, Runtime
from api_schemas.agent.route import RouteReport, RouteSpec

log = logging.getLogger("cachewright.agent")

_KEY = "relay"


def part_key(key: str, address: str) -> str:
    """The key of the part of a node's front that holds an endpoint."""
    return f"{key}@{address}"


def node_of(key: str) -> str:
    """The key of the node that a part of a front stands before."""
    return key.partition("@")[0]


@dataclass(frozen=True)
class Visit:
    """What changed: reports on routes, keys of routes that are gone, and the nodes whose front was seen to be another."""

    routes: list[RouteReport]
    gone: list[str]
    nodes: list[str]


class RelayKeeper:
    """The routes of one agent, and the process that serves them. The process outlives the agent, as engines do.

    Routes are ordered by the control plane, and written down. Fronts are the agent's own: one before each of its Memcached nodes
    that runs and shall have one, under the node's key.
    """

    def __init__(self, folder: Path, runtime: Runtime, journal: Journal) -> None:
        self._folder = folder
        self._runtime = runtime
        self._journal = journal
        self._control = RelayControl(folder)
        self._lock = threading.Lock()
        self._routes = journal.routes()
        self._fronts: dict[str, tuple[RouteSpec, ...]] = {}
        self._gone: list[str] = []
        self._reported: dict[str, RouteReport] = {}
        self._wanted = bool(self._routes)
        self._watched: Handle | None = None
        self._handle = self._read_handle()

    def handles(self) -> list[Handle]:
        """The relay process that was started last, if any."""
        return [self._handle] if self._handle else []

    def is_wanted(self) -> bool:
        """Whether a relay shall run."""
        return self._wanted

    def want(self) -> None:
        """Have the relay run before the first route comes, so that the first reader endpoint need not wait for it."""
        self._wanted = True

    def take(self, routes: list[RouteSpec], dropped: list[str]) -> None:
        """Write the routes down; the next visit hands them over."""
        with self._lock:
            for route in routes:
                known = self._routes.get(route.key)
                if known is None or route.generation >= known.generation:
                    self._journal.write_route(route)
                    self._write_files(route)
                    self._routes[route.key] = route
            for key in dropped:
                self._routes.pop(key, None)
                shutil.rmtree(self._folder / files_of(key), ignore_errors=True)
                self._journal.forget_route(key)
                self._gone.append(key)
            self._wanted = self._wanted or bool(self._routes)

    def front(self, key: str, front: tuple[RouteSpec, ...]) -> bool:
        """Have this front, or none, before the node of that key from the next visit on; answers whether that is news.

        The first part of it is at the node's own address, under its key; another at each endpoint that it holds.
        """
        with self._lock:
            if self._fronts.get(key, ()) == front:
                return False
            self._fronts.pop(key, None)
            if front:
                self._fronts[key] = front
            self._wanted = self._wanted or bool(front)
            return True

    def still_fronts(self, key: str) -> bool:
        """Whether the relay was last seen to listen for the node of that key: its address is not free before."""
        with self._lock:
            return any(node_of(route) == key for route in self._reported)

    def front_reports(self, key: str) -> list[RouteReport]:
        """What the relay was last seen to do for the node of that key, by parts of its front."""
        with self._lock:
            return [self._reported[part.key] for part in self._fronts.get(key, ()) if part.key in self._reported]

    def report_again(self, gone: list[str] | None = None) -> None:
        """Tell everything anew at the next visit, and again that these routes are gone."""
        with self._lock:
            self._reported.clear()
            self._gone.extend(gone or [])

    def visit(self, ended: Callable[[], None]) -> Visit:
        """See that the relay runs and serves routes and fronts; answers what changed."""
        fronts_lost = self._see_that_it_runs(ended) if self._wanted else []
        with self._lock:
            routes, fronts, gone = dict(self._routes), self._parts(), list(self._gone)
        try:
            reports = self._control.push([*routes.values(), *fronts]) if self._wanted else []
        except (RelayUnreachableError, RelayRefusedError) as failed:
            log.debug("relay does not answer yet  because=%s", failed)
            return Visit([], [], fronts_lost)
        with self._lock:
            changed = [report for report in reports if self._reported.get(report.key) != report]
            let_go = [node_of(key) for key in self._reported.keys() - {report.key for report in reports}]
            self._reported = {report.key: report for report in reports}
            self._gone = [key for key in self._gone if key not in gone]
        return Visit([report for report in changed if report.key in routes], gone,
                     [*fronts_lost, *let_go, *(node_of(report.key) for report in changed if report.key not in routes)])  # fmt: skip

    def reports(self) -> list[RouteReport]:
        """The newest report of every route."""
        with self._lock:
            return [report for report in self._reported.values() if report.key in self._routes]

    def settled(self) -> bool:
        """Whether the relay serves every route and every front as it shall."""
        with self._lock:
            return all(self._serves(route) for route in (*self._routes.values(), *self._parts()))

    def stop(self) -> None:
        """End the relay; the routes stay written down."""
        if self._handle is not None:
            self._runtime.stop(self._handle, timedelta(seconds=5))

    def _parts(self) -> list[RouteSpec]:
        return [part for front in self._fronts.values() for part in front]

    def _write_files(self, route: RouteSpec) -> None:
        if route.transit is not None:
            folder = self._folder / files_of(route.key)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_transit(route.transit, folder)

    def _serves(self, route: RouteSpec) -> bool:
        report = self._reported.get(route.key)
        listed = route.discovery.version if route.discovery else 0
        served = report is not None and report.listening and report.generation >= route.generation
        served = served and report is not None and report.transit == (route.transit.digest if route.transit else "")
        return served and report is not None and report.discovery == listed

    def _see_that_it_runs(self, ended: Callable[[], None]) -> list[str]:
        """Start the relay if it does not run; answers the nodes that have been without their front since."""
        handle, lost = self._handle, []
        if handle is None or not self._runtime.alive(handle):
            with self._lock:
                lost = [node_of(part.key) for part in self._parts() if self._reported.pop(part.key, None) is not None]
            boot = (handle.boot if handle else 0) + 1
            launch = Launch(_KEY, boot, self._control.launch_argv(), self._folder, self._folder / "relay.log")
            handle = self._runtime.start(launch)
            self._write_handle(handle)
        if self._watched != handle:
            self._watched = handle
            self._runtime.watch(handle, lambda _: ended())
        return lost

    def _read_handle(self) -> Handle | None:
        path = self._folder / "relay-process.json"
        return Handle(**json.loads(path.read_text())) if path.exists() else None

    def _write_handle(self, handle: Handle) -> None:
        fresh = self._folder / "relay-process.json.new"
        fresh.write_text(json.dumps(asdict(handle)))
        fresh.replace(self._folder / "relay-process.json")
        self._handle = handle
