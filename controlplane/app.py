"""The composition root: builds everything, in dependency order, once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from api_schemas.agent.agent import AgentHello, Welcome
from archives.identity import identity
from archives.opening import open_archive, open_buckets
from controlplane.api.authority import AuthorityDoor
from controlplane.api.caller import Callers
from controlplane.api.holding import Holding
from controlplane.api.late import Late
from controlplane.api.listening import CannotServeError, listen, url_of
from controlplane.api.query import QueryDoor
from controlplane.api.strangers import NoStrangers
from controlplane.clock import Clock, SystemClock
from controlplane.dns.listening import Listeners, listen_for_queries
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.topology import World
from controlplane.operations import keepers
from controlplane.operations.fleet import Registry
from controlplane.operations.performs import Operations
from controlplane.reconciler.archivist import Archivist
from controlplane.reconciler.examining import Examiner
from controlplane.reconciler.exporting import Exporter
from controlplane.reconciler.faults import FaultPusher
from controlplane.reconciler.fleet import Fleet
from controlplane.reconciler.gathering import Gatherer
from controlplane.reconciler.importing import Importer
from controlplane.reconciler.push import Pusher
from controlplane.reconciler.record import Recorder
from controlplane.reconciler.seeding import SeedMaker
from controlplane.reconciler.uploads import Uploads
from controlplane.reconciler.verifying import Verifier
from controlplane.reconciler.watchdog import Watchdog
from controlplane.reconciler.worker import Reconciler
from controlplane.settings import Settings
from controlplane.store.store import Store

if TYPE_CHECKING:
    from controlplane.api.agents_door import AgentsDoor
    from controlplane.api.metrics import MetricsDoor
    from controlplane.dns.server import NameServer
    from controlplane.pki.tls import PlaneTls


@dataclass(frozen=True)
class ControlPlane:
    """A whole control plane: what it serves, and the parts that a program starts and stops."""

    app: Starlette
    store: Store
    registry: Registry
    reconciler: Reconciler
    pusher: Pusher
    watchdog: Watchdog
    faults: FaultPusher
    clock: Clock
    gatherer: Gatherer
    archivist: Archivist
    importer: Importer
    names: NameServer | None = None

    def start(self) -> None:
        """Begin to plan, and to notice who falls silent, as soon as this control plane leads."""
        self.faults.start()
        self.reconciler.start()
        self.watchdog.start()
        self.archivist.start()
        self.store.leadership.start(self._lead, self.store.follow)
        if self.names is not None:
            self.names.start()

    def _lead(self) -> None:
        """Listen to the agents and decide. They are told of faults before anything is decided."""
        self.store.lead()
        self.pusher.forget_all()
        if not self.store.is_shared:
            self._decide()
        else:  # the lease goes on while agents that may not answer are told
            threading.Thread(target=self._decide, name="lead", daemon=True).start()

    def _decide(self) -> None:
        self.faults.lead()
        self.reconciler.lead()
        self.archivist.lead()

    def welcome(self, hello: AgentHello) -> Welcome:
        """An agent has introduced itself: it may have forgotten what it was told. Raises InvalidParameterValue, NotLeadingError."""
        self.pusher.forget(hello.agent)
        welcomed = self.registry.welcome(hello)
        self.faults.welcome(hello.agent)
        return welcomed

    def url_of(self, agent: str) -> str | None:
        """Where the agent takes orders; None while it is unknown, or silent for another reason than a fault of ours."""
        with self.store.reading() as unit:
            hello = unit.agents.get(agent)
            return hello.url if hello is not None and (unit.agents.is_heard(agent) or self.faults.is_involved(agent)) else None

    def close(self) -> None:
        """Stop working and close the database; agents and engines go on."""
        if self.names is not None:
            self.names.close()
        self.gatherer.close()
        self.watchdog.close()
        self.importer.close()
        self.archivist.close()
        self.faults.close()
        self.reconciler.close()
        self.store.close()


@dataclass(frozen=True)
class Outside:
    """What agents of other processes have to do with: the TLS that they are spoken to with, and their door, if it is to be open."""

    tls: PlaneTls
    door: AgentsDoor | None
    url: str | None


def outside_of(plane: ControlPlane, settings: Settings) -> Outside:
    """The door is still closed; a join token is in the file that the settings name. Raises CannotServeError, JoinTokenError."""
    from controlplane.api.agents_door import AgentsDoor, agents_app  # who has no agents outside need not wait for its libraries
    from controlplane.api.join_token_file import have_join_token
    from controlplane.operations.enrolment import Enrolment
    from controlplane.pki.tls import PlaneTls

    listener = _listen_for_agents(settings)
    url = None if listener is None else (settings.agents_url or url_of(listener, "https")).rstrip("/")
    enrolment = Enrolment(plane.store, plane.clock)
    if settings.join_token_file is not None:
        have_join_token(settings.join_token_file, enrolment)
    tls = PlaneTls(enrolment.authority, plane.clock.now())
    app = agents_app(enrolment, plane.welcome, plane.registry.take, settings.largest_body)
    return Outside(tls, None if listener is None else AgentsDoor(app, tls, plane.clock, listener), url)


def _listen_for_agents(settings: Settings) -> socket.socket | None:
    if settings.agents_address is None:
        return None
    listener = listen(*settings.agents_address, option="--agents-listen")
    if settings.agents_url is None and ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        listener.close()
        raise CannotServeError(f"--agents-listen {settings.agents_listen} is no address that agents can reach; say with --agents-url "
                               f"where they can, as in https://cache.example.com:{settings.agents_address[1]}")  # fmt: skip
    return listener


def query_listeners(settings: Settings) -> Listeners | None:
    """Sockets for DNS where the settings say, None when they say nowhere. Raises CannotListenError."""
    return listen_for_queries(settings.dns_listen) if settings.dns_listen else None


def _name_server(listeners: Listeners | None, store: Store, settings: Settings) -> NameServer | None:
    if listeners is None:
        return None
    from controlplane.dns.server import NameServer  # who serves no names need not wait for a DNS library
    from controlplane.dns.zone import Authority, Zone

    host, _ = listeners.place
    own = None if ipaddress.ip_address(host).is_unspecified else host
    return NameServer(listeners, Zone(store, Authority(settings.dns_suffix, settings.dns_ttl, own)))


def build(settings: Settings, fleet: Fleet, clock: Clock | None = None, agents_url: Callable[[], str] = lambda: "",
          queries: Listeners | None = None) -> ControlPlane:  # fmt: skip
    """A control plane over the database that the settings name, giving its orders through ``fleet`` and names to who ``queries``.

    ``agents_url`` answers where agents reach it, once it listens.
    """
    keepers.load()
    clock = clock or SystemClock()
    policy = settings.policy()
    store = Store(settings.url(), clock.uid(), agents_url)
    registry = Registry(store, clock)
    pusher = Pusher(fleet)
    archive = archive_place(settings)
    faults = FaultPusher(store, fleet, clock)
    buckets = open_buckets(settings.buckets_url())
    scratch = settings.data_dir / "scratch"
    seeds = SeedMaker(store, clock, archive, buckets, Examiner(store, fleet), scratch / "seeds")
    uploads = Uploads(scratch / "imports", settings.largest_import)
    importer = Importer(store, clock, uploads, Examiner(store, fleet), archive)
    archivist = Archivist(store, clock, seeds, Exporter(buckets, scratch / "exports"), Verifier(store, fleet, clock), importer.is_at_it)
    reconciler = Reconciler(store, pusher, Recorder(settings.endpoint_network, archive), clock, policy)
    watchdog = Watchdog(store, reconciler)
    operations = Operations(store, clock, policy, settings.memcached_discovery, settings.style(), archive, buckets)
    holding = Holding(store, policy)
    callers = Callers(World(settings.account_id, settings.region))
    gatherer = Gatherer(store, fleet)
    query = QueryDoor(operations, callers, holding, settings.describe_hold, settings.largest_body)

    @functools.cache
    def metrics() -> MetricsDoor:
        from controlplane.api.metrics import MetricsDoor  # start-up need not wait for what nobody may ask for

        return MetricsDoor(gatherer, clock)

    async def scrape(request: Request) -> Response:
        return await (await run_in_threadpool(metrics)).scrape(request)

    def rest() -> ASGIApp:
        from controlplane.api.imports import ImportsDoor
        from controlplane.api.rest import RestDoor  # FastAPI and its pages cost half a second and 30 MB

        imports = ImportsDoor(importer, callers)
        return RestDoor(operations, callers, holding, store, metrics(), imports, hold=settings.describe_hold,
                        longest_wait=settings.longest_wait, largest_body=settings.largest_body)  # fmt: skip

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        holding.attach(asyncio.get_running_loop())
        yield

    late_rest = Late(rest)
    routes = [
        Route("/", query.answer, methods=["GET", "POST"]),
        Route("/healthz", _health, methods=["GET"]),
        Route("/metrics", scrape, methods=["GET"]),
        Route("/v1/ca.pem", AuthorityDoor(store, clock).show, methods=["GET"]),
        Mount("/", app=late_rest),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(NoStrangers)])
    app.router.default = late_rest  # a path with a line break in it fits no mount
    names = _name_server(queries, store, settings)
    return ControlPlane(app, store, registry, reconciler, pusher, watchdog, faults, clock, gatherer, archivist, importer, names)


def archive_place(settings: Settings) -> ArchivePlace:
    """Where new snapshots go. A folder gets an identity, by which agents know that they see the very same one. Raises ArchiveError."""
    archive = open_archive(settings.archive_url())
    is_folder = archive.url.startswith("file:")
    return ArchivePlace(archive.url, identity(archive) if is_folder else "")


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")
