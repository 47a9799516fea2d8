"""Injected faults, read from the database as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from pydantic import TypeAdapter
from sqlalchemy import Connection, Table, delete, insert, inspect, select

from controlplane.domain.fault import InjectedFault
from controlplane.domain.topology import World
from controlplane.store.tables import InjectedFaultRow

_FORM = TypeAdapter(InjectedFault)
_TABLE = cast(Table, inspect(InjectedFaultRow).local_table)


class InjectedFaults:
    """Faults by id, in the world that asked for them; ``touched`` once this unit of work has changed any."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self.touched = False

    def of(self, world: World) -> list[InjectedFault]:
        """Every fault that the world has asked for, the newest first."""
        mine = (_TABLE.c.account == world.account, _TABLE.c.region == world.region)
        return self._read(select(_TABLE.c.document).where(*mine).order_by(_TABLE.c.started_at.desc(), _TABLE.c.fault.desc()))

    def active(self) -> list[InjectedFault]:
        """Every fault of any world that has not ended, the oldest first."""
        return self._read(select(_TABLE.c.document).where(_TABLE.c.active).order_by(_TABLE.c.started_at, _TABLE.c.fault))

    def get(self, fault: str) -> InjectedFault | None:
        """The fault of that id, whoever has asked for it."""
        return next(iter(self._read(select(_TABLE.c.document).where(_TABLE.c.fault == fault))), None)

    def save(self, fault: InjectedFault) -> None:
        """Write a fault down in place of its former value."""
        self.touched = True
        self._connect().execute(delete(_TABLE).where(_TABLE.c.fault == fault.id))
        row = {"fault": fault.id, "account": fault.world.account, "region": fault.world.region, "active": fault.is_active}
        document = _FORM.dump_json(fault).decode()
        self._connect().execute(insert(_TABLE).values(**row, started_at=fault.started_at, document=document))

    def forget_ended(self, before: datetime) -> None:
        """Forget the faults that ended before that."""
        every = self._read(select(_TABLE.c.document).where(~_TABLE.c.active))
        old = [fault.id for fault in every if fault.ended_at is not None and fault.ended_at < before]
        if old:
            self._connect().execute(delete(_TABLE).where(_TABLE.c.fault.in_(old)))

    def _read(self, asked: object) -> list[InjectedFault]:
        return [_FORM.validate_json(document) for document in self._connect().execute(asked).scalars()]  # type: ignore[call-overload]
