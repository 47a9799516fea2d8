"""Holding an answer until a resource's status changes: waiters of SDKs poll every 15 seconds or more, so we answer them late instead."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from api_schemas.cache_cluster import CACHE_CLUSTER
from api_schemas.operation import Subject
from api_schemas.replication_group import GROUP
from api_schemas.shape import Shape
from controlplane.domain.status import SETTLED, member_status, topology_status
from controlplane.domain.topology import Kind, Topology, World
from controlplane.planner.situation import Policy
from controlplane.store.store import Committed, Store


class Holding:
    """Wakes those who wait for a topology whenever a commit touched it."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        store.listen(self._on_commit)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waiters live in this loop."""
        self._loop = loop

    def status(self, world: World, subject: Subject, asked: Shape) -> tuple[str | None, str | None]:
        """The uid and the status of the one resource that a request is about; None and None where it names none or it is gone."""
        name = getattr(asked, subject.id_field, None)
        topology = self._find(world, subject.kind, name.lower()) if name else None
        if topology is None or name is None:
            return None, None
        with self._store.reading() as unit:
            reported = unit.reports.of(topology)
            node = topology.node(name.lower()) if topology.kind is Kind.REPLICATION_GROUP else None
            if subject.kind == CACHE_CLUSTER and node is not None:
                return topology.uid, member_status(topology, node, reported, self._policy.most_boots)
            return topology.uid, topology_status(topology, reported, self._policy.most_boots)

    async def until_changed(self, world: World, subject: Subject, asked: Shape, within: float) -> None:
        """Return when the resource's status is not the transitional one it is now, or after ``within`` seconds."""
        _, before = self.status(world, subject, asked)
        if before is not None and before not in SETTLED:
            await self._until(world, subject, asked, within, lambda status: status != before)

    async def until_settled(self, world: World, subject: Subject, asked: Shape, within: float) -> bool:
        """Return when the resource is settled or gone, or after ``within`` seconds; answers whether it is."""
        return await self._until(world, subject, asked, within, lambda status: status is None or status in SETTLED)

    async def _until(self, world: World, subject: Subject, asked: Shape, within: float, done: Callable[[str | None], bool]) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            changed = asyncio.Event()
            uid, status = self.status(world, subject, asked)
            if uid is None or done(status):
                return done(status)
            self._waiting[uid].add(changed)
            try:
                if done(self.status(world, subject, asked)[1]):  # it may have changed before we listened
                    return True
                await asyncio.wait_for(changed.wait(), max(0.0, deadline - loop.time()))
            except TimeoutError:
                return done(self.status(world, subject, asked)[1])
            finally:
                self._forget(uid, changed)

    def _find(self, world: World, kind: str, name: str) -> Topology | None:
        with self._store.reading() as unit:
            if kind == GROUP:
                return unit.topologies.named(world, Kind.REPLICATION_GROUP, name)
            return unit.topologies.owner_of(world, name)

    def _on_commit(self, committed: Committed) -> None:
        if self._loop is not None and self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, committed.topologies)

    def _wake(self, uids: frozenset[str]) -> None:
        for uid in uids:
            for changed in self._waiting.get(uid, ()):
                changed.set()

    def _forget(self, uid: str, changed: asyncio.Event) -> None:
        self._waiting[uid].discard(changed)
        if not self._waiting[uid]:
            del self._waiting[uid]


