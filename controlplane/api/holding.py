"""Holding an answer until a resource's status changes: waiters of SDKs poll every 15 seconds or more, so we answer them late instead."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from api_schemas.cache_cluster import CACHE_CLUSTER
from api_schemas.operation import Subject
from api_schemas.replication_group import GROUP
from api_schemas.shape import Shape
from api_schemas.snapshot import SNAPSHOT
from api_schemas.user import USER
from api_schemas.user_group import USER_GROUP
from controlplane.domain.status import SETTLED, begins_with, member_status, snapshot_status, topology_status
from controlplane.domain.topology import Kind, Topology, World
from controlplane.operations.enforcement import status_of
from controlplane.planner.situation import Policy
from controlplane.store.store import Committed, Store

IN_DATABASE = frozenset({SNAPSHOT, USER, USER_GROUP})
"""Kinds of resources that are read from the database whenever they are asked for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The status of a resource, None when it is gone, and the uids of everything that may change it."""

    status: str | None = None
    uids: frozenset[str] = frozenset()


class Holding:
    """Wakes those who wait for a topology or a snapshot whenever a commit touched it."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        store.listen(self._on_commit)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waiters live in this loop."""
        self._loop = loop

    @property
    def waits(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def until_changed(self, world: World, subject: Subject, asked: Shape, within: float) -> None:
        """Return when the resource's status is not the transitional one it is now, or after ``within`` seconds."""
        before = (await self._look(world, subject, asked)).status
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
            seen = await self._look(world, subject, asked)
            if not seen.uids or done(seen.status):
                return done(seen.status)
            for uid in seen.uids:
                self._waiting[uid].add(changed)
            try:
                if done((await self._look(world, subject, asked)).status):  # it may have changed before we listened
                    return True
                await asyncio.wait_for(changed.wait(), max(0.0, deadline - loop.time()))
            except TimeoutError:
                return done((await self._look(world, subject, asked)).status)
            finally:
                for uid in seen.uids:
                    self._forget(uid, changed)

    async def _look(self, world: World, subject: Subject, asked: Shape) -> Seen:
        """The one resource that a request is about; nothing where it names none or that is gone."""
        name = subject.name(asked)
        if name is None:
            return Seen()
        if subject.kind in IN_DATABASE:  # for which the loop must not wait
            look = self._snapshot if subject.kind == SNAPSHOT else self._user if subject.kind == USER else self._user_group
            return await run_in_threadpool(look, world, name.lower())
        return self._topology(world, subject.kind, name.lower())

    def _snapshot(self, world: World, name: str) -> Seen:
        with self._store.reading() as unit:
            snapshot = unit.snapshots.named(world, name)
            topologies = unit.topologies.of(world)
        if snapshot is None:
            return Seen()
        restored = {topology.uid for topology in topologies if begins_with(topology, snapshot)}
        return Seen(snapshot_status(snapshot, topologies), frozenset({snapshot.uid, *restored}))

    def _user(self, world: World, name: str) -> Seen:
        with self._store.reading() as unit:
            user = unit.users.get(world, name)
            status = status_of(unit, user) if user is not None else None
        return Seen() if user is None or status is None else Seen(status, user.awaits)

    def _user_group(self, world: World, name: str) -> Seen:
        with self._store.reading() as unit:
            group = unit.user_groups.get(world, name)
            return Seen() if group is None else Seen(status_of(unit, group), group.awaits)

    def _topology(self, world: World, kind: str, name: str) -> Seen:
        topology = self._find(world, kind, name)
        if topology is None:
            return Seen()
        uids = frozenset({topology.uid})
        with self._store.reading() as unit:
            reported = unit.reports.of(topology)
        node = topology.node(name) if topology.kind is Kind.REPLICATION_GROUP else None
        if kind == CACHE_CLUSTER and node is not None:
            return Seen(member_status(topology, node, reported, self._policy.most_boots), uids)
        return Seen(topology_status(topology, reported, self._policy.most_boots), uids)

    def _find(self, world: World, kind: str, name: str) -> Topology | None:
        with self._store.reading() as unit:
            if kind == GROUP:
                return unit.topologies.named(world, Kind.REPLICATION_GROUP, name)
            return unit.topologies.owner_of(world, name)

    def _on_commit(self, committed: Committed) -> None:
        if self._loop is not None and self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, committed.topologies | committed.snapshots)

    def _wake(self, uids: frozenset[str]) -> None:
        for uid in uids:
            for changed in self._waiting.get(uid, ()):
                changed.set()

    def _forget(self, uid: str, changed: asyncio.Event) -> None:
        self._waiting[uid].discard(changed)
        if not self._waiting[uid]:
            del self._waiting[uid]


