"""The store: what is desired and reported, held in memory as read and written through to the database at every commit.

A writer holds the one lock and one database transaction; what it changes becomes visible to readers after the commit. Readers take
no lock, for every value is frozen. SQLite is owned by one process; on PostgreSQL there may be several, and each takes in what the others
have written before it writes itself (see ``sharing``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from api_schemas.agent.agent import AgentHello
from controlplane.domain.events import Event
from controlplane.store.access_keys import AccessKeys
from controlplane.store.enrolment import Authorities, CertifiedAgents, JoinTokens
from controlplane.store.faults import InjectedFaults
from controlplane.store.fleet import Addresses, AgentMemory, Agents, Heartbeats
from controlplane.store.leadership import Elected, Leadership, Sole
from controlplane.store.log_cursors import LogCursors
from controlplane.store.memory import Memory
from controlplane.store.outbox import Outbox
from controlplane.store.records import Events, Facts, ParameterGroups, SubnetGroups, Tags, UserGroups, Users
from controlplane.store.reports import ReportMemory, Reports
from controlplane.store.session import open_database
from controlplane.store.sharing import Alone, Change, News, Shared, Sharing, Touch, lock
from controlplane.store.snapshots import Snapshots
from controlplane.store.topologies import Topologies, TopologyMemory

_SILENT = "silent-agents"


class StoreAwayError(Exception):
    """The database does not answer, or broke off; what was to be written is not, unless only the answer to a commit was lost."""


@contextmanager
def _telling_who_is_away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as away:  # the last when the server ends a session that stood still
        raise StoreAwayError(str(away.orig).strip().partition("\n")[0]) from away


@dataclass(frozen=True)
class Committed:
    """What a commit touched: topologies and snapshots by uid, the events it said, and whether any injected fault changed."""

    topologies: frozenset[str] = field(default_factory=frozenset)
    events: tuple[Event, ...] = ()
    faults: bool = False
    snapshots: frozenset[str] = field(default_factory=frozenset)


class Unit:
    """One unit of work: every repository over the same moment, and over one database transaction where one is needed."""

    def __init__(self, store: Store, connection: Connection | None, connect: Callable[[], Connection]) -> None:
        self.topologies = Topologies(store.topologies, connection)
        self.reports = Reports(store.reports, connection)
        self.agents = Agents(store.fleet, connection, store.heartbeats)
        self.addresses = Addresses(store.addresses, connection)
        self.outbox = Outbox(connect, self.topologies)
        self.events = Events(connect, self.outbox.add)
        self.tags = Tags(connect)
        self.subnet_groups = SubnetGroups(connect)
        self.parameter_groups = ParameterGroups(connect)
        self.snapshots = Snapshots(connect)
        self.users = Users(connect)
        self.user_groups = UserGroups(connect)
        self.faults = InjectedFaults(connect)
        self.facts = Facts(connect)
        self.log_cursors = LogCursors(connect)
        self.authorities = Authorities(connect)
        self.join_tokens = JoinTokens(connect)
        self.access_keys = AccessKeys(connect)
        self.certified_agents = CertifiedAgents(connect)
        self.woken: set[str] = set()

    def settle(self) -> Committed:
        """Make what was written visible to everybody; answers what was touched."""
        for repository in (self.topologies, self.reports, self.agents, self.addresses):
            repository.settle()
        touched = self.topologies.touched | self.woken
        return Committed(touched, tuple(self.events.said), self.faults.touched, frozenset(self.snapshots.touched))

    def changes(self) -> list[Change]:
        """What other control planes must hear of: all that they hold in memory or wait for."""
        touched: tuple[tuple[Touch, frozenset[str] | set[str]], ...] = (
            (Touch.TOPOLOGY, self.topologies.touched | self.woken),
            (Touch.REPORT, self.reports.written),
            (Touch.AGENT, self.agents.touched),
            (Touch.ADDRESS, self.addresses.touched),
            (Touch.EVENT, {str(number) for number in self.events.numbers}),
            (Touch.SNAPSHOT, self.snapshots.touched),
            (Touch.FAULT, {"any"} if self.faults.touched else set()),
            (Touch.SILENCE, {"any"} if _SILENT in self.facts.touched else set()),
        )
        return [(kind, key) for kind, keys in touched for key in sorted(keys)]


class Store:
    """Opens the database at ``url`` (an SQLAlchemy URL) and reads what it holds.

    ``plane`` tells this control plane from others that ever use the same database, and ``agents_url`` is where agents reach it.
    Raises as ``open_database``.
    """

    def __init__(self, url: str, plane: str = "this", agents_url: Callable[[], str] = lambda: "") -> None:
        self._database = open_database(url)
        self._writing = threading.Lock()
        self._listeners: list[Callable[[Committed], None]] = []
        self.heartbeats = Heartbeats()
        self._sharing: Sharing = Alone()
        self.leadership: Leadership = Sole()
        with self._database.begin() as connection:
            if self._database.dialect.name == "postgresql":
                lock(connection)
                self._sharing = Shared(connection)
                self.leadership = Elected(self._database, plane, agents_url)
            self._memory = Memory.load(connection)
            self._hear_of_silence(connection)
        if not self.is_shared:
            self.heartbeats.listen(self.agents)
        self._sharing.follow(self._database, self.catch_up)

    @property
    def topologies(self) -> TopologyMemory:
        """The committed topologies."""
        return self._memory.topologies

    @property
    def reports(self) -> ReportMemory:
        """The newest reports."""
        return self._memory.reports

    @property
    def agents(self) -> dict[str, AgentHello]:
        """The agents that have introduced themselves, by name."""
        return self._memory.agents.known

    @property
    def fleet(self) -> AgentMemory:
        """The agents, and whose hosts shall be emptied."""
        return self._memory.agents

    @property
    def addresses(self) -> dict[str, str]:
        """For whom each address is drawn."""
        return self._memory.addresses

    @property
    def is_shared(self) -> bool:
        """Whether other control planes may use the same database."""
        return self._sharing.is_shared

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Call ``listener`` after every commit, in the thread that committed, or in one that has read what others committed."""
        self._listeners.append(listener)

    @contextmanager
    def transaction(self, *, leading: bool = False) -> Iterator[Unit]:
        """A unit of work that writes: committed whole when the block ends, undone whole when it raises.

        With ``leading``, only the control plane that decides may do it: raises NotLeadingError in any other. Raises StoreAwayError.
        """
        told: list[Committed] = []
        try:
            with _telling_who_is_away(), self._writing:
                with self._database.begin() as connection:
                    told.append(self._take_in(connection, self._sharing.enter(connection)))
                    if leading:
                        self.leadership.check(connection)
                    unit = Unit(self, connection, lambda: connection)
                    yield unit
                    self._sharing.tell(connection, unit.changes() if self.is_shared else ())
                self._sharing.settle()
                told.append(unit.settle())
        finally:
            self._tell(told)

    @contextmanager
    def reading(self, *, fresh: bool = False) -> Iterator[Unit]:
        """A unit of work that only reads; it opens a database transaction only when it needs one.

        With ``fresh``, it knows what any control plane had committed before. Raises StoreAwayError.
        """
        opened: list[Connection] = []

        def connect() -> Connection:
            if not opened:
                opened.append(self._database.connect().execution_options(reads=True))
            return opened[0]

        with _telling_who_is_away():
            if fresh and self.is_shared:
                self.catch_up()
            try:
                yield Unit(self, None, connect)
            finally:
                for connection in opened:
                    connection.close()

    def catch_up(self) -> None:
        """Take in what other control planes have written."""
        if not self.is_shared:
            return
        with self._writing, self._database.connect() as connection:
            committed = self._take_in(connection, self._sharing.news(connection))
        self._tell([committed])

    def lead(self) -> None:
        """This control plane listens to the agents from now on."""
        self.heartbeats.listen(self.agents)

    def follow(self) -> None:
        """Another control plane listens to the agents from now on. Until it says whom it does not hear, that is as we knew it."""
        self.heartbeats.follow(frozenset(agent for agent in self.agents if not self.heartbeats.is_heard(agent)))

    def say_who_is_silent(self, silent: frozenset[str]) -> None:
        """Have other control planes know whom we do not hear. Raises NotLeadingError."""
        if self.is_shared:
            with self.transaction(leading=True) as unit:
                unit.facts.put(_SILENT, json.dumps(sorted(silent)))

    def close(self) -> None:
        """Close the database."""
        self._sharing.close()
        self.leadership.close()
        self._database.dispose()

    def _take_in(self, connection: Connection, news: News) -> Committed:
        """Have the memory know what others have written."""
        if not news.changes:
            return Committed()
        if news.gap:
            self._memory.load_anew(connection)
        for uid in news.keys(Touch.TOPOLOGY):
            self._memory.take_topology(connection, uid)
        for key in news.keys(Touch.REPORT):
            self._memory.take_report(connection, key)
        for agent in news.keys(Touch.AGENT):
            self._memory.take_agent(connection, agent)
        for address in news.keys(Touch.ADDRESS):
            self._memory.take_address(connection, address)
        if news.keys(Touch.SILENCE) and not self.leadership.leads:
            self._hear_of_silence(connection)
        numbers = [int(number) for number in news.keys(Touch.EVENT)]
        events = Events(lambda: connection).numbered(numbers) if numbers else []
        self._sharing.taken(news)
        touched = frozenset(self.topologies.by_uid) if news.gap else news.keys(Touch.TOPOLOGY)
        return Committed(touched, tuple(events), bool(news.keys(Touch.FAULT)) or news.gap, news.keys(Touch.SNAPSHOT))

    def _hear_of_silence(self, connection: Connection) -> None:
        self.heartbeats.follow(frozenset(json.loads(Facts(lambda: connection).get(_SILENT) or "[]")))

    def _tell(self, told: list[Committed]) -> None:
        for committed in told:
            if committed != Committed():
                for listener in self._listeners:
                    listener(committed)
