"""Log cursors: how far each log of each node was handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, delete, insert, inspect, select

from controlplane.store.tables import LogCursorRow

_TABLE = cast(Table, inspect(LogCursorRow).local_table)


@dataclass(frozen=True, slots=True)
class LogCursor:
    """A cursor as it is stored: of which node and log, of what topology, and a document that only its user reads."""

    node: str
    log_type: str
    topology: str
    document: str


class LogCursors:
    """The cursors of all nodes."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def all(self) -> list[LogCursor]:
        """Every one."""
        return [LogCursor(**row) for row in self._connect().execute(select(_TABLE)).mappings()]

    def put(self, cursor: LogCursor) -> None:
        """Write it down in place of its former value."""
        self.forget(cursor.node, cursor.log_type)
        row = {"node": cursor.node, "log_type": cursor.log_type, "topology": cursor.topology, "document": cursor.document}
        self._connect().execute(insert(_TABLE), row)

    def forget(self, node: str, log_type: str) -> None:
        """Remove it."""
        self._connect().execute(delete(_TABLE).where(_TABLE.c.node == node, _TABLE.c.log_type == log_type))
