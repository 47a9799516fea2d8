"""Which of several control planes decides: a lease in the database, counted on clocks that never jump.

The leader writes a beat and relies on it from when it *sent* it. The others take over when they have seen the same beat for longer, counted
from when they *received* it. So nobody leads while another still believes to, and neither looks at a calendar.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from sqlalchemy import Connection, Engine, Table, inspect, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from controlplane.store.sharing import lock
from controlplane.store.tables import LeaderRow

log = logging.getLogger("cachewright.store")

BEAT = 0.4
"""Seconds between two beats of the leader, and between two looks of the others."""

LEASE = 1.5
"""Seconds for which the leader relies on a beat, from when it sent it."""

PATIENCE = 2.0
"""Seconds for which the others let the same beat stand, from when they saw it first: longer than the lease."""

_NOBODY = ""
_LEADER = cast(Table, inspect(LeaderRow).local_table)


class NotLeadingError(Exception):
    """Another control plane decides by now; what was to be written is not."""


class Leadership(Protocol):
    """Whether this control plane decides, and which term of leading it is."""

    @property
    def leads(self) -> bool:
        """Whether it may rely on leading at this moment."""

    @property
    def leader_url(self) -> str | None:
        """Where agents find the one that was last seen to lead; None where nobody is known to."""

    def check(self, connection: Connection) -> None:
        """Called as the only writer. Raises NotLeadingError when another leads, who then knows what we have written before."""

    def start(self, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        """Call ``gained`` whenever this control plane begins to lead, and ``lost`` when it no longer does."""

    def close(self) -> None:
        """Lead no more, and let another do it at once."""


class Sole:
    """The one control plane of its database."""

    leads = True
    leader_url: str | None = None

    def check(self, connection: Connection) -> None:
        """Nobody else could lead."""

    def start(self, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        """It leads from now on."""
        gained()

    def close(self) -> None:
        """Nobody is waiting."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The leader's row, as it was read."""

    plane: str
    url: str
    term: int
    beat: int


class Elected:
    """One of several. ``plane`` is its id, ``url`` where agents reach it."""

    def __init__(self, database: Engine, plane: str, url: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._plane = plane
        self._url = url
        self._clock = clock
        self._term: int | None = None
        self._sent_at = 0.0
        self._seen: _Seen | None = None
        self._seen_at = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._gained: Callable[[], None] = lambda: None
        self._lost: Callable[[], None] = lambda: None

    @property
    def leads(self) -> bool:
        """Until so long after its last answered beat was sent."""
        return self._term is not None and self._clock() - self._sent_at < LEASE

    @property
    def leader_url(self) -> str | None:
        """That of the newest leader seen, if it beats."""
        seen = self._seen
        if self._term is not None or seen is None or self._clock() - self._seen_at > PATIENCE:
            return None
        return seen.url or None

    def check(self, connection: Connection) -> None:
        """Compare our term with the one in the database."""
        term = self._term
        if term is None or connection.execute(select(_LEADER.c.term)).scalar() != term:
            raise NotLeadingError("another control plane leads")

    def start(self, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        """Begin to look, in a thread of its own, after one look here."""
        self._gained, self._lost = gained, lost
        self.step()
        self._thread = threading.Thread(target=self._work, name="leadership", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, and say so in the database if we lead: another need not wait out the lease."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(5)
        if self._term is None:
            return
        term, self._term = self._term, None
        try:
            with self._database.begin() as connection:
                connection.execute(update(_LEADER).where(_LEADER.c.term == term).values(plane=_NOBODY, beat=_LEADER.c.beat + 1))
        except DBAPIError as failed:
            log.warning("could not say that we lead no more  because=%s", failed)

    def step(self) -> None:
        """One beat of a leader, or one look of somebody else.

        A leader whose lease ran out begins a new term even if nobody else has led: the agents were not listened to meanwhile.
        """
        if self._term is not None and not self.leads:
            self._lose("the database has not answered in time")
        try:
            if self._term is not None:
                self._beat(self._term)
            else:
                self._look()
        except DBAPIError as failed:
            log.warning("the database does not answer  because=%s", str(failed).splitlines()[0])

    def _work(self) -> None:
        while not self._closing.wait(BEAT):
            self.step()

    def _beat(self, term: int) -> None:
        sent_at = self._clock()
        with self._database.begin() as connection:
            mine = (_LEADER.c.plane == self._plane, _LEADER.c.term == term)
            beaten = connection.execute(update(_LEADER).where(*mine).values(beat=_LEADER.c.beat + 1)).rowcount == 1
        if beaten:
            self._sent_at = sent_at
        else:
            self._lose("another has taken over")

    def _look(self) -> None:
        """Take over from who has not beaten for too long, has said that it leads no more, or is a former self of ours."""
        with self._database.begin() as connection:
            connection.execute(insert(_LEADER).values(number=1, plane=_NOBODY, url="", term=0, beat=0).on_conflict_do_nothing())
            row = connection.execute(select(_LEADER.c.plane, _LEADER.c.url, _LEADER.c.term, _LEADER.c.beat)).one()
        seen, now = _Seen(*row), self._clock()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        if seen.plane in (_NOBODY, self._plane) or now - self._seen_at > PATIENCE:
            self._take_over(seen)

    def _take_over(self, former: _Seen) -> None:
        sent_at = self._clock()
        with self._database.begin() as connection:
            lock(connection)  # no writer of the former leader is halfway
            unchanged = (_LEADER.c.term == former.term, _LEADER.c.beat == former.beat)
            row = {"plane": self._plane, "url": self._url(), "term": former.term + 1, "beat": 0}
            if connection.execute(update(_LEADER).where(*unchanged).values(**row)).rowcount != 1:
                return
        self._term, self._sent_at = former.term + 1, sent_at
        log.warning("this control plane leads now  term=%d", self._term)
        self._gained()

    def _lose(self, why: str) -> None:
        log.warning("this control plane leads no more  term=%s because=%s", self._term, why)
        self._term, self._seen = None, None
        self._lost()
