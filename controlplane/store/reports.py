"""Reports: the newest of every node and reader route in memory; in the database whenever more changed than is soon past anyway."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from controlplane.domain.reported import Reported, Saved, SeenNode, SeenRoute
from controlplane.domain.topology import Topology
from controlplane.store.tables import ReportRow

# Made once: to make a statement takes longer than to carry it out.
_READ = select(ReportRow.key, ReportRow.kind, ReportRow.document, ReportRow.seen_at)  # type: ignore[call-overload]
_SAY = insert(ReportRow)
_SAY_ANEW = update(ReportRow).where(ReportRow.key == bindparam("of"))  # type: ignore[arg-type]

_NODE, _ROUTE = TypeAdapter(SeenNode), TypeAdapter(SeenRoute)


@dataclass
class ReportMemory:
    """The newest reports and when they came, by key."""

    nodes: dict[str, SeenNode] = field(default_factory=dict)
    routes: dict[str, SeenRoute] = field(default_factory=dict)
    seen_at: dict[str, datetime] = field(default_factory=dict)

    def put(self, key: str, seen: SeenNode | SeenRoute | None, at: datetime | None) -> None:
        """Remember a report in place of the former one, None meaning that there is none; ``at`` unless that stays as it was."""
        if isinstance(seen, SeenNode):
            self.nodes[key] = seen
        elif isinstance(seen, SeenRoute):
            self.routes[key] = seen
        else:
            for known in (self.nodes, self.routes, self.seen_at):
                known.pop(key, None)
        if at is not None:
            self.seen_at[key] = at


def load_reports(connection: Connection) -> ReportMemory:
    """Everything the database holds, but that a primary had yielded: it has long gone on by itself, and says so anew if it has not."""
    memory = ReportMemory()
    for key, kind, document, seen_at in connection.execute(_READ):
        memory.put(key, _written(kind, document), seen_at if seen_at.tzinfo else seen_at.replace(tzinfo=UTC))
    return memory


def load_report(connection: Connection, key: str, memory: ReportMemory) -> None:
    """Have the memory know what the database holds under that key."""
    row = connection.execute(_READ.where(ReportRow.key == key)).one_or_none()
    if row is None:
        memory.put(key, None, None)
    else:
        memory.put(key, _written(row[1], row[2]), row[3])


def _written(kind: str, document: str) -> SeenNode | SeenRoute:
    if kind == "node":
        return replace(_NODE.validate_json(document), yielded_to=None)
    return _ROUTE.validate_json(document)


def _progressed(former: Saved | None, newest: Saved | None) -> Saved | None:
    """The former word on a save, with how far the newest says that it is."""
    if former is None or newest is None:
        return former
    return replace(former, done=newest.done, total=newest.total)


class Reports:
    """Reports as one unit of work sees them. ``written`` are the keys of those that it has written down or forgotten."""

    def __init__(self, memory: ReportMemory, connection: Connection | None) -> None:
        self._memory = memory
        self._connection = connection
        self._changed: dict[str, tuple[SeenNode | SeenRoute | None, datetime | None]] = {}
        self.written: set[str] = set()

    def of(self, topology: Topology) -> Reported:
        """All that was seen of a topology."""
        found = ((node.id, self._memory.nodes.get(topology.key(node))) for node in topology.nodes)
        nodes = {node_id: seen for node_id, seen in found if seen is not None}
        return Reported(nodes, self._memory.routes.get(topology.route_key))

    def times(self, topology: Topology) -> dict[str, datetime]:
        """When the newest report of each node came, by node id."""
        found = ((node.id, self._memory.seen_at.get(topology.key(node))) for node in topology.nodes)
        return {node_id: at for node_id, at in found if at is not None}

    def put_node(self, key: str, seen: SeenNode, at: datetime) -> bool:
        """Take the newest report on a node; answers whether it says anything new besides the offset.

        That a primary has yielded is news, and it is waited for, but is never written down: no later process may rely on it.
        """
        former = self._newest(key)
        if isinstance(former, SeenNode) and (former.offset > 0) == (seen.offset > 0):
            saved = _progressed(former.saved, seen.saved)
            passing = replace(former, offset=seen.offset, yielded_to=seen.yielded_to, used_memory=seen.used_memory, saved=saved)
            if passing == seen:
                is_news = former.yielded_to != seen.yielded_to
                _, since = self._changed.get(key, (None, None))
                self._changed[key] = (seen, at if is_news else since)
                return is_news
        self._write(key, "node", _NODE.dump_json(seen).decode(), at, known=former is not None)
        self._changed[key] = (seen, at)
        return True

    def put_route(self, key: str, seen: SeenRoute, at: datetime) -> bool:
        """Take the newest report on a reader route; answers whether it says anything new."""
        former = self._newest(key)
        if former == seen:
            return False
        self._write(key, "route", _ROUTE.dump_json(seen).decode(), at, known=former is not None)
        self._changed[key] = (seen, at)
        return True

    def forget(self, key: str) -> None:
        """Forget what was seen under that key."""
        if self._connection is not None:
            self._connection.execute(delete(ReportRow).where(ReportRow.key == key))  # type: ignore[arg-type]
        self._changed[key] = (None, None)
        self.written.add(key)

    def settle(self) -> None:
        """Make this unit's changes visible to everybody; called after the commit."""
        for key, (seen, at) in self._changed.items():
            self._memory.put(key, seen, at)

    def _newest(self, key: str) -> SeenNode | SeenRoute | None:
        """This unit's own word, else the committed one."""
        if key in self._changed:
            return self._changed[key][0]
        return self._memory.nodes.get(key) or self._memory.routes.get(key)

    def _write(self, key: str, kind: str, document: str, at: datetime, *, known: bool) -> None:
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        said = {"document": document, "seen_at": at}
        self.written.add(key)
        if known:
            self._connection.execute(_SAY_ANEW, {"of": key, **said})
        else:
            self._connection.execute(_SAY, {"key": key, "kind": kind, "uid": key.partition(".")[0], **said})
