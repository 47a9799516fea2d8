"""Keeps this agent's relay process running while there are reader routes, and hands it the routes it shall serve."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from agents.journal import Journal
from agents.launch import Launch
from agents.relay_control import RelayControl, RelayRefusedError, RelayUnreachableError
from agents.runtimes.runtime import Handle, Runtime
from api_schemas.agent.route import RouteReport, RouteSpec

log = logging.getLogger("cachewright.agent")

_KEY = "relay"


class RelayKeeper:
    """The routes of one agent, and the process that serves them. The process outlives the agent, as engines do."""

    def __init__(self, folder: Path, runtime: Runtime, journal: Journal) -> None:
        self._folder = folder
        self._runtime = runtime
        self._journal = journal
        self._control = RelayControl(folder)
        self._lock = threading.Lock()
        self._routes = journal.routes()
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
                    self._routes[route.key] = route
            for key in dropped:
                self._routes.pop(key, None)
                self._journal.forget_route(key)
                self._gone.append(key)
            self._wanted = self._wanted or bool(self._routes)

    def report_again(self, gone: list[str] | None = None) -> None:
        """Tell everything anew at the next visit, and again that these routes are gone."""
        with self._lock:
            self._reported.clear()
            self._gone.extend(gone or [])

    def visit(self, ended: Callable[[], None]) -> tuple[list[RouteReport], list[str]]:
        """See that the relay runs and serves the routes; answers the reports that changed and the routes that are gone."""
        if self._wanted:
            self._see_that_it_runs(ended)
        with self._lock:
            routes, gone = dict(self._routes), list(self._gone)
        try:
            reports = self._control.push(list(routes.values())) if self._wanted else []
        except (RelayUnreachableError, RelayRefusedError) as failed:
            log.debug("relay does not answer yet  because=%s", failed)
            return [], []
        with self._lock:
            changed = [report for report in reports if self._reported.get(report.key) != report]
            self._reported = {report.key: report for report in reports}
            self._gone = [key for key in self._gone if key not in gone]
        return changed, gone

    def reports(self) -> list[RouteReport]:
        """The newest report of every route."""
        with self._lock:
            return list(self._reported.values())

    def settled(self) -> bool:
        """Whether the relay serves every route as ordered."""
        with self._lock:
            return all(self._serves(route) for route in self._routes.values())

    def stop(self) -> None:
        """End the relay; the routes stay written down."""
        if self._handle is not None:
            self._runtime.stop(self._handle, timedelta(seconds=5))

    def _serves(self, route: RouteSpec) -> bool:
        report = self._reported.get(route.key)
        return report is not None and report.listening and report.generation >= route.generation

    def _see_that_it_runs(self, ended: Callable[[], None]) -> None:
        handle = self._handle
        if handle is None or not self._runtime.alive(handle):
            boot = (handle.boot if handle else 0) + 1
            launch = Launch(_KEY, boot, self._control.launch_argv(), self._folder, self._folder / "relay.log")
            handle = self._runtime.start(launch)
            self._write_handle(handle)
        if self._watched != handle:
            self._watched = handle
            self._runtime.watch(handle, lambda _: ended())

    def _read_handle(self) -> Handle | None:
        path = self._folder / "relay-process.json"
        return Handle(**json.loads(path.read_text())) if path.exists() else None

    def _write_handle(self, handle: Handle) -> None:
        fresh = self._folder / "relay-process.json.new"
        fresh.write_text(json.dumps(asdict(handle)))
        fresh.replace(self._folder / "relay-process.json")
        self._handle = handle
