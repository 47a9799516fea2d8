"""Snapshots: read from the database as they are asked for, and written there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import Table, delete, insert, inspect, select

from controlplane.domain.snapshot import Snapshot
from controlplane.domain.topology import World
from controlplane.store.records import Connect
from controlplane.store.tables import SnapshotRow

_TABLE = cast(Table, inspect(SnapshotRow).local_table)
_DOCUMENT = TypeAdapter(Snapshot)


class Snapshots:
    """Snapshots by name in their world, and by uid. ``touched`` are the uids of those that this unit of work has written."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self.touched: set[str] = set()

    def all(self) -> Sequence[Snapshot]:
        """Every snapshot of everybody, the oldest first."""
        return self._read()

    def of(self, world: World) -> Sequence[Snapshot]:
        """Every snapshot of a world, the oldest first."""
        return self._read(*self._in(world))

    def of_source(self, uid: str) -> Sequence[Snapshot]:
        """Every snapshot that was taken of the topology of that uid, the oldest first."""
        return self._read(_TABLE.c.source == uid)

    def named(self, world: World, name: str) -> Snapshot | None:
        """The snapshot of that name."""
        return next(iter(self._read(*self._in(world), _TABLE.c.name == name)), None)

    def get(self, uid: str) -> Snapshot | None:
        """The snapshot of that uid."""
        return next(iter(self._read(_TABLE.c.uid == uid)), None)

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot down in place of its former value."""
        self.forget(snapshot)
        row = {"uid": snapshot.uid, "account": snapshot.world.account, "region": snapshot.world.region, "name": snapshot.name,
               "source": snapshot.origin.uid, "document": _DOCUMENT.dump_json(snapshot).decode()}  # fmt: skip
        self._connect().execute(insert(_TABLE).values(**row))

    def forget(self, snapshot: Snapshot) -> None:
        """Remove a snapshot."""
        self.touched.add(snapshot.uid)
        self._connect().execute(delete(_TABLE).where(_TABLE.c.uid == snapshot.uid))

    def _read(self, *where: Any) -> list[Snapshot]:
        documents = self._connect().execute(select(_TABLE.c.document).where(*where)).scalars()
        found = [_DOCUMENT.validate_json(document) for document in documents]
        return sorted(found, key=lambda snapshot: (snapshot.requested_at, snapshot.name))

    def _in(self, world: World) -> tuple[Any, Any]:
        return (_TABLE.c.account == world.account, _TABLE.c.region == world.region)
