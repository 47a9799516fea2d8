"""The composition root: builds everything, in dependency order, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from controlplane.api.caller import Callers
from controlplane.api.holding import Holding
from controlplane.api.query import QueryDoor
from controlplane.api.rest import RestDoor
from controlplane.clock import Clock, SystemClock
from controlplane.domain.topology import World
from controlplane.operations import keepers
from controlplane.operations.fleet import Registry
from controlplane.operations.performs import Operations
from controlplane.reconciler.fleet import Fleet
from controlplane.reconciler.push import Pusher
from controlplane.reconciler.record import Recorder
from controlplane.reconciler.worker import Reconciler
from controlplane.settings import Settings
from controlplane.store.store import Store


@dataclass(frozen=True)
class ControlPlane:
    """A whole control plane: what it serves, and the parts that a program starts and stops."""

    app: Starlette
    store: Store
    registry: Registry
    reconciler: Reconciler
    pusher: Pusher

    def close(self) -> None:
        """Stop working and close the database; agents and engines go on."""
        self.reconciler.close()
        self.store.close()


def build(settings: Settings, fleet: Fleet, clock: Clock | None = None) -> ControlPlane:
    """A control plane over the database that the settings name, giving its orders through ``fleet``."""
    keepers.load()
    clock = clock or SystemClock()
    policy = settings.policy()
    store = Store(settings.url())
    registry = Registry(store, clock)
    pusher = Pusher(fleet)
    reconciler = Reconciler(store, pusher, Recorder(settings.endpoint_network), clock, policy)
    operations = Operations(store, clock, policy)
    holding = Holding(store, policy)
    callers = Callers(World(settings.account_id, settings.region))
    query = QueryDoor(operations, callers, holding, settings.describe_hold, settings.largest_body)
    rest = RestDoor(operations, callers, holding, store, hold=settings.describe_hold, longest_wait=settings.longest_wait,
                    largest_body=settings.largest_body)  # fmt: skip

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        holding.attach(asyncio.get_running_loop())
        yield

    routes = [
        Route("/", query.answer, methods=["GET", "POST"]),
        Route("/healthz", _health, methods=["GET"]),
        Mount("/", app=rest),
    ]
    return ControlPlane(Starlette(routes=routes, lifespan=lifespan), store, registry, reconciler, pusher)


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")
