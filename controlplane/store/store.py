"""The store: what is desired and reported, held in memory as read and written through to the database at every commit.

A writer holds the one lock and one database transaction; what it changes becomes visible to readers after the commit. Readers take
no lock, for every value is frozen. One process owns the database; the lock on its data directory sees to that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from controlplane.domain.events import Event
from controlplane.store.enrolment import Authorities, CertifiedAgents, JoinTokens
from controlplane.store.faults import InjectedFaults
from controlplane.store.fleet import Addresses, Agents, Heartbeats
from controlplane.store.records import Events, Facts, ParameterGroups, SubnetGroups, Tags
from controlplane.store.reports import Reports, load_reports
from controlplane.store.session import open_database
from controlplane.store.topologies import Topologies, load_topologies


@dataclass(frozen=True)
class Committed:
    """What a commit touched: topologies by uid, the events it said, and whether any injected fault changed."""

    topologies: frozenset[str] = field(default_factory=frozenset)
    events: tuple[Event, ...] = ()
    faults: bool = False


class Unit:
    """One unit of work: every repository over the same moment, and over one database transaction where one is needed."""

    def __init__(self, store: Store, connection: Connection | None, connect: Callable[[], Connection]) -> None:
        self.topologies = Topologies(store.topologies, connection)
        self.reports = Reports(store.reports, connection)
        self.agents = Agents(store.agents, connection, store.heartbeats)
        self.addresses = Addresses(store.addresses, connection)
        self.events = Events(connect)
        self.tags = Tags(connect)
        self.subnet_groups = SubnetGroups(connect)
        self.parameter_groups = ParameterGroups(connect)
        self.faults = InjectedFaults(connect)
        self.facts = Facts(connect)
        self.authorities = Authorities(connect)
        self.join_tokens = JoinTokens(connect)
        self.certified_agents = CertifiedAgents(connect)
        self.woken: set[str] = set()

    def settle(self) -> Committed:
        """Make what was written visible to everybody; answers what was touched."""
        for repository in (self.topologies, self.reports, self.agents, self.addresses):
            repository.settle()
        return Committed(self.topologies.touched | self.woken, tuple(self.events.said), self.faults.touched)


class Store:
    """Opens the database at ``url`` (an SQLAlchemy URL) and reads what it holds."""

    def __init__(self, url: str) -> None:
        self._database = open_database(url)
        self._writing = threading.Lock()
        self._listeners: list[Callable[[Committed], None]] = []
        with self._database.begin() as connection:
            self.topologies = load_topologies(connection)
            self.reports = load_reports(connection)
            self.agents = Agents.load(connection)
            self.addresses = Addresses.load(connection)
        self.heartbeats = Heartbeats()
        for hello in self.agents.values():
            self.heartbeats.hear(hello.agent)  # nobody is silent before there was time to speak

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Call ``listener`` after every commit, in the thread that committed."""
        self._listeners.append(listener)

    @contextmanager
    def transaction(self) -> Iterator[Unit]:
        """A unit of work that writes: committed whole when the block ends, undone whole when it raises."""
        with self._writing:
            with self._database.begin() as connection:
                unit = Unit(self, connection, lambda: connection)
                yield unit
            committed = unit.settle()
        for listener in self._listeners:
            listener(committed)

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        """A unit of work that only reads; it opens a database transaction only when it needs one."""
        opened: list[Connection] = []

        def connect() -> Connection:
            if not opened:
                opened.append(self._database.connect().execution_options(reads=True))
            return opened[0]

        try:
            yield Unit(self, None, connect)
        finally:
            for connection in opened:
                connection.close()

    def close(self) -> None:
        """Close the database."""
        self._database.dispose()
