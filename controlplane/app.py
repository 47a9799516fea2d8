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
from controlplane.api.audit import ANYBODY, NOBODY, Audited, AuditLog
from controlplane.api.authority import AuthorityDoor
from controlplane.api.caller import Callers
from controlplane.api.gate import Gate
from controlplane.api.guarded import STREAMED, Guarded
from controlplane.api.holding import Holding
from controlplane.api.late import Late
from controlplane.api.listening import CannotServeError, is_loopback, listen, url_of
from controlplane.api.query import QueryDoor
from controlplane.api.strangers import NoStrangers
from controlplane.clock import Clock, SystemClock
from controlplane.delivery.log_outlets import outlet_at
from controlplane.delivery.notifiers import notifier_at
from controlplane.dns.listening import Listeners, listen_for_queries
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.topology import World
from controlplane.operations import keepers
from controlplane.operations.fleet import Registry
from controlplane.operations.performs import Operations
from controlplane.pki.sealing import Sealer
from controlplane.reconciler.archivist import Archivist
from controlplane.reconciler.courier import Courier
from controlplane.reconciler.examining import Examiner
from controlplane.reconciler.exporting import Exporter
from controlplane.reconciler.faults import FaultPusher
from controlplane.reconciler.fleet import Fleet
from controlplane.reconciler.gathering import Gatherer
from controlplane.reconciler.importing import Importer
from controlplane.reconciler.log_collector import LogCollector
from controlplane.reconciler.push import Pusher
from controlplane.reconciler.record import Recorder
from controlplane.reconciler.seeding import SeedMaker
from controlplane.reconciler.uploads import Uploads
from controlplane.reconciler.verifying import Verifier
from controlplane.reconciler.watchdog import Watchdog
from controlplane.reconciler.worker import Reconciler
from controlplane.settings import Authentication, Settings
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
    courier: Courier
    logs: LogCollector
    names: NameServer | None = None
    audit: AuditLog | None = None

    def start(self) -> None:
        """Begin to plan, and to notice who falls silent, as soon as this control plane leads."""
        self.faults.start()
        self.reconciler.start()
        self.watchdog.start()
        self.archivist.start()
        self.courier.start()
        self.logs.start()
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
        self.courier.lead()
        self.logs.lead()

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
        self.courier.close()
        self.logs.close()
        self.store.close()
        if self.audit is not None:
            self.audit.close()


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
    courier = Courier(store, clock, notifier_at(settings.notified(), settings.data_dir))
    logs = LogCollector(store, fleet, clock, outlet_at(settings.logged(), settings.data_dir))
    sealer = Sealer(settings.secrets_file())
    operations = Operations(store, clock, policy, settings.memcached_discovery, settings.style(), archive, buckets,
                            sealer, access_without_tls=settings.access_without_tls)  # fmt: skip
    holding = Holding(store, policy)
    gate = _gate(settings, store, clock, sealer)
    callers = Callers(World(settings.account_id, settings.region), gate)
    gatherer = Gatherer(store, fleet)
    query = QueryDoor(operations, callers, holding, settings.describe_hold, settings.largest_body, gate)

    @functools.cache
    def metrics() -> MetricsDoor:
        from controlplane.api.metrics import MetricsDoor  # start-up need not wait for what nobody may ask for

        return MetricsDoor(gatherer, clock, callers.only_account)

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
    audit = _audit(settings, clock)
    app = Starlette(routes=routes, lifespan=lifespan, middleware=_around(settings, gate, audit))
    app.router.default = late_rest  # a path with a line break in it fits no mount
    names = _name_server(queries, store, settings)
    return ControlPlane(app, store, registry, reconciler, pusher, watchdog, faults, clock, gatherer, archivist, importer, courier, logs,
                        names, audit)  # fmt: skip


def _gate(settings: Settings, store: Store, clock: Clock, sealer: Sealer) -> Gate | None:
    """What lets callers in, where they must show access keys. Raises CannotServeError where nobody could."""
    is_guarded = settings.authentication is Authentication.REQUIRED or not is_loopback(settings.host)
    if not is_guarded:
        return None
    from controlplane.api.access_key_file import AccessKeyFileError, have_access_key  # an open server need not wait for its libraries
    from controlplane.operations.keyring import Keyring, UnusableKeysError

    keyring = Keyring(store, clock, sealer)
    try:
        if settings.access_key_file is not None:
            have_access_key(settings.access_key_file.expanduser(), keyring, settings.account_id)
        keyring.must_let_somebody_in()
    except (AccessKeyFileError, UnusableKeysError) as why:
        store.close()
        raise CannotServeError(f"callers must show access keys where {_where_guarded(settings)}, and {why}. Make a key with `cachewright "
                               f"access-key create --data-dir {settings.data_dir} --write-to FILE`, or name a file for one with "
                               "--access-key-file FILE.") from why  # fmt: skip
    return Gate(keyring, clock)


def _where_guarded(settings: Settings) -> str:
    return "--authentication is required" if is_loopback(settings.host) else f"others than this machine's users reach {settings.host}"


def _audit(settings: Settings, clock: Clock) -> AuditLog | None:
    """Raises CannotServeError."""
    file = settings.audit_file()
    try:
        return None if file is None else AuditLog(file, clock)
    except OSError as failed:
        raise CannotServeError(f"the audit cannot be written to {file}: {failed.strerror}. Choose another file with CACHEWRIGHT_AUDIT_LOG, "
                               "or turn it off") from failed  # fmt: skip


def _around(settings: Settings, gate: Gate | None, audit: AuditLog | None) -> list[Middleware]:
    """What a request goes through before it reaches a door, the first first."""
    origins = settings.origins()
    around = [Middleware(Audited, audit, ANYBODY if gate is None else NOBODY), Middleware(NoStrangers, origins)]
    if origins:
        from starlette.middleware.cors import CORSMiddleware

        headers = ["Authorization", "Content-Type", "Prefer", "X-Account-Id", "X-Region", "X-Amz-Date", "X-Amz-Content-Sha256"]
        around.append(Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                                 allow_headers=headers, expose_headers=["x-amzn-RequestId"], max_age=600))  # fmt: skip
    if gate is not None:
        around.append(Middleware(Guarded, gate, settings.largest_body, STREAMED))
    return around


def archive_place(settings: Settings) -> ArchivePlace:
    """Where new snapshots go. A folder gets an identity, by which agents know that they see the very same one. Raises ArchiveError."""
    archive = open_archive(settings.archive_url())
    is_folder = archive.url.startswith("file:")
    return ArchivePlace(archive.url, identity(archive) if is_folder else "")


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")
