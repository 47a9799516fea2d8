"""@performs binds a function to the promise it keeps; ``Operations`` runs what a door asks for, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from api_schemas.faults import OperationNotBuilt, ServiceUnavailable
from api_schemas.operation import Operation
from api_schemas.shape import Shape
from archives.buckets import Buckets
from controlplane.clock import Clock
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.endpoint_names import EndpointStyle
from controlplane.domain.topology import MemcachedDiscovery, World
from controlplane.operations.context import Context
from controlplane.pki.sealing import Sealer
from controlplane.planner.situation import Policy
from controlplane.store.store import Store, StoreAwayError, Unit

log = logging.getLogger("cachewright")

Asked = TypeVar("Asked", bound=Shape)
Answer = TypeVar("Answer", bound=Shape)
Keeper = Callable[[Context, Asked], Answer]
Beforehand = Callable[[Context, Asked], "Callable[[], None] | None"]
"""Looks, in a unit of work that only reads, and answers what is to be made sure of outside of any. Either may raise a Fault."""

_AWAY = "The database of the control plane does not answer, so nothing was read or changed. The caches go on. Try again."


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise, who keeps it, and what is done before its transaction begins."""

    promise: Operation[Any, Any]
    keeper: Callable[[Context, Any], Shape]
    beforehand: Beforehand[Any] | None = None


_KEEPERS: dict[str, Kept] = {}


def performs(
    promise: Operation[Asked, Answer], beforehand: Beforehand[Asked] | None = None
) -> Callable[[Keeper[Asked, Answer]], Keeper[Asked, Answer]]:
    """Bind the function to the promise. A promise is kept by one function.

    Whatever takes its time, or may not answer, such as a bucket, is asked ``beforehand``: nobody else waits for it then.
    """

    def bind(keeper: Keeper[Asked, Answer]) -> Keeper[Asked, Answer]:
        if promise.name in _KEEPERS:
            raise ValueError(f"{promise.name} is kept twice")
        _KEEPERS[promise.name] = Kept(promise, keeper, beforehand)
        return keeper

    return bind


def kept_promises() -> dict[str, Operation[Any, Any]]:
    """Every operation that can be asked for, by name."""
    return {name: kept.promise for name, kept in _KEEPERS.items()}


class Operations:
    """Runs operations. None of them talks to an agent or waits for one."""

    def __init__(self, store: Store, clock: Clock, policy: Policy,
                 memcached_discovery: MemcachedDiscovery = MemcachedDiscovery.EVERY_NODE,
                 style: EndpointStyle | None = None, archive: ArchivePlace | None = None,
                 buckets: Buckets | None = None, sealer: Sealer | None = None, *, access_without_tls: bool = False) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._policy = policy
        self._memcached_discovery = memcached_discovery
        self._style = style or EndpointStyle()
        self._archive = archive or ArchivePlace("")
        self._buckets = buckets
        self._sealer = sealer
        self._access_without_tls = access_without_tls

    def run(self, name: str, world: World, asked: Shape) -> Shape:
        """The answer of the operation of that name. Raises a Fault, in which case nothing has changed."""
        if name not in _KEEPERS:
            raise OperationNotBuilt(name)
        try:
            return self._run(_KEEPERS[name], world, asked)
        except StoreAwayError as away:
            log.warning("the database is away  operation=%s because=%s", name, away)
            raise ServiceUnavailable(_AWAY) from away

    def _run(self, kept: Kept, world: World, asked: Shape) -> Shape:
        if kept.beforehand is not None:
            with self._store.reading(fresh=True) as unit:
                make_sure = kept.beforehand(self._context(world, unit), asked)
            if make_sure is not None:
                make_sure()
        unit_of_work = self._store.reading(fresh=True) if kept.promise.reads else self._store.transaction()
        with unit_of_work as unit:
            return kept.keeper(self._context(world, unit), asked)

    def _context(self, world: World, unit: Unit) -> Context:
        return Context(world, unit, self._clock, self._policy, self._memcached_discovery, self._style, self._archive, self._buckets,
                       self._sealer, self._access_without_tls)  # fmt: skip
