"""Several control planes on one database: writers come one after another, and each learns what the others have written.

What a control plane holds in memory is the truth only as of the newest change it knows. So a writer first takes a lock that the database
has once, then reads what was changed since, and only then begins its work; a reader asks whether there is anything to be read.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Engine, Table, delete, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from controlplane.store.tables import ChangeRow

log = logging.getLogger("cachewright.store")

_CHANGES = cast(Table, inspect(ChangeRow).local_table)
_LOCK = 0x0CAC4E
"""The key of the database's one lock for writers."""

_CHANNEL = "cachewright"
_KEPT = 10_000
"""How many changes are kept for those who have not read them; who missed more reads everything anew."""

_POLL = 1.0  # seconds after which changes are asked for although nobody has told of any


class Touch(StrEnum):
    """What kind of thing a change is about."""

    TOPOLOGY = "topology"
    REPORT = "report"
    AGENT = "agent"
    ADDRESS = "address"
    EVENT = "event"
    SNAPSHOT = "snapshot"
    FAULT = "fault"
    SILENCE = "silence"


Change = tuple[Touch, str]


@dataclass(frozen=True, slots=True)
class News:
    """What others have written since we last looked. ``gap``: more than is kept, so that everything must be read anew.

    It counts as read only when ``taken`` was called with it: whoever is interrupted while reading what was changed begins anew.
    """

    changes: tuple[Change, ...] = ()
    gap: bool = False
    newest: int = 0

    def keys(self, kind: Touch) -> frozenset[str]:
        """The keys of the changes of that kind."""
        return frozenset(key for each, key in self.changes if each is kind)


class Sharing(Protocol):
    """How the writers of a database live together."""

    is_shared: bool
    """Whether other control planes may write."""

    def enter(self, connection: Connection) -> News:
        """Be the only writer until the transaction ends; answers what others have written since."""

    def tell(self, connection: Connection, changes: Iterable[Change]) -> None:
        """Write down for the others what this transaction has changed. They hear of it when it is committed."""

    def settle(self) -> None:
        """The transaction was committed: what it told is no news to us."""

    def news(self, connection: Connection) -> News:
        """What others have written since we last looked."""

    def taken(self, news: News) -> None:
        """What these have changed was read."""

    def follow(self, database: Engine, heard: Callable[[], None]) -> None:
        """Call ``heard`` soon after others have written, and now and then anyway, from another thread."""

    def close(self) -> None:
        """Follow no more."""


class Alone:
    """One process owns the database; the lock on its data directory sees to that."""

    is_shared = False

    def enter(self, connection: Connection) -> News:
        """Nobody else writes."""
        return News()

    def tell(self, connection: Connection, changes: Iterable[Change]) -> None:
        """Nobody is there to be told."""

    def settle(self) -> None:
        """Nothing was told."""

    def news(self, connection: Connection) -> News:
        """There is none."""
        return News()

    def taken(self, news: News) -> None:
        """There was none."""

    def follow(self, database: Engine, heard: Callable[[], None]) -> None:
        """There is nothing to be heard."""

    def close(self) -> None:
        """Nothing was followed."""


class Shared:
    """PostgreSQL with any number of control planes. Changes are numbered in the order of commits, for writers hold the lock till then."""

    is_shared = True

    def __init__(self, connection: Connection) -> None:
        """``connection`` is a writer's, which holds the lock. There is always one change at least, so that a gap can be told."""
        self._known = _newest(connection) or _first(connection)
        self._told = self._known
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._database: Engine | None = None

    def enter(self, connection: Connection) -> News:
        """Waits for the writer before us. A writer that stands still loses its session to the server's own limit of idle transactions."""
        lock(connection)
        return self.news(connection)

    def tell(self, connection: Connection, changes: Iterable[Change]) -> None:
        """In the same transaction as what was changed."""
        rows = [{"kind": kind.value, "key": key} for kind, key in changes]
        self._told = self._known
        if not rows:
            return
        connection.execute(insert(_CHANGES), rows)
        self._told = _newest(connection)
        connection.execute(delete(_CHANGES).where(_CHANGES.c.number <= self._told - _KEPT))
        connection.execute(text(f"NOTIFY {_CHANNEL}"))

    def settle(self) -> None:
        """Called after the commit, before another transaction of ours begins."""
        self._known = max(self._known, self._told)

    def news(self, connection: Connection) -> News:
        """One question when there is none."""
        asked = select(_CHANGES.c.number, _CHANGES.c.kind, _CHANGES.c.key).where(_CHANGES.c.number >= self._known)
        rows = connection.execute(asked.order_by(_CHANGES.c.number)).all()
        newer = [row for row in rows if row[0] > self._known]
        gap = bool(newer) and rows[0][0] != self._known  # the one we knew is not kept any more: there may have been others after it
        newest = max([self._known, *(row[0] for row in newer)])
        return News(tuple((Touch(kind), key) for _, kind, key in newer), gap, newest)

    def taken(self, news: News) -> None:
        """All of it is known from now on."""
        self._known = max(self._known, news.newest)

    def follow(self, database: Engine, heard: Callable[[], None]) -> None:
        """Over a connection of its own, made anew whenever it is lost."""
        self._database = database
        self._thread = threading.Thread(target=self._listen, args=(database, heard), name="changes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread is None or self._database is None:
            return
        with contextlib.suppress(DBAPIError), self._database.begin() as connection:
            connection.execute(text(f"NOTIFY {_CHANNEL}"))  # it may be waiting for word
        self._thread.join(3 * _POLL)

    def _listen(self, database: Engine, heard: Callable[[], None]) -> None:
        while not self._closing.is_set():
            try:
                self._listen_once(database, heard)
            except (DBAPIError, OSError) as lost:
                log.warning("the database does not tell us of changes, trying again  because=%s", _first_line(lost))
                self._closing.wait(_POLL)

    def _listen_once(self, database: Engine, heard: Callable[[], None]) -> None:
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"LISTEN {_CHANNEL}")
            driver: Any = connection.connection.driver_connection
            try:
                while not self._closing.is_set():
                    heard()
                    for _ in driver.notifies(timeout=_POLL, stop_after=1):
                        pass
            except driver_errors() as lost:
                connection.invalidate()
                raise OSError(str(lost)) from lost
            connection.invalidate()  # it listens, which nobody else who is given it wants


def driver_errors() -> tuple[type[Exception], ...]:
    """What PostgreSQL's driver raises; loaded only where it is used."""
    from psycopg import Error

    return (Error,)


def lock(connection: Connection) -> None:
    """Be the only writer of the database until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(_CHANGES.c.number), 0))).scalar_one())


def _first(connection: Connection) -> int:
    connection.execute(insert(_CHANGES), [{"kind": Touch.SILENCE.value, "key": ""}])
    return _newest(connection)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
