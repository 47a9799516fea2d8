"""Topologies: read from memory, written through. Each save is checked against the version that was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from controlplane.domain.topology import Kind, Topology, World
from controlplane.store.tables import MemberRow, TopologyRow

# Made once: to make a statement takes longer than to carry it out.
_INSERT = insert(TopologyRow)
_UPDATE = update(TopologyRow).where(TopologyRow.uid == bindparam("of"), TopologyRow.version == bindparam("read"))  # type: ignore[arg-type]

_DOCUMENT = TypeAdapter(Topology)


class StaleTopologyError(Exception):
    """The topology was changed by somebody else since it was read; read it again and decide again."""


@dataclass
class TopologyMemory:
    """The committed topologies, by uid, by name and by the cache clusters they hold."""

    by_uid: dict[str, Topology] = field(default_factory=dict)
    by_name: dict[tuple[World, Kind, str], str] = field(default_factory=dict)
    by_member: dict[tuple[World, str], str] = field(default_factory=dict)

    def put(self, topology: Topology) -> None:
        """Remember the topology in place of its former value. At no moment is it unknown: readers take no lock."""
        former = self.by_uid.get(topology.uid)
        self.by_uid[topology.uid] = topology
        self.by_name[_name_of(topology)] = topology.uid
        for member in members_of(topology):
            self.by_member[topology.world, member] = topology.uid
        if former is not None and _name_of(former) != _name_of(topology):
            self.by_name.pop(_name_of(former), None)
        for left in members_of(former) - members_of(topology) if former is not None else ():
            self.by_member.pop((topology.world, left), None)

    def drop(self, uid: str) -> None:
        """Forget the topology."""
        former = self.by_uid.pop(uid, None)
        if former is None:
            return
        self.by_name.pop(_name_of(former), None)
        for member in members_of(former):
            self.by_member.pop((former.world, member), None)


def _name_of(topology: Topology) -> tuple[World, Kind, str]:
    return topology.world, topology.kind, topology.name


def members_of(topology: Topology) -> frozenset[str]:
    """The cache cluster ids that a topology takes."""
    if topology.kind is Kind.CACHE_CLUSTER:
        return frozenset({topology.name})
    return frozenset(node.id for node in topology.members)


def load_topologies(connection: Connection) -> TopologyMemory:
    """Everything the database holds."""
    memory = TopologyMemory()
    for document in connection.execute(select(TopologyRow.document)).scalars():  # type: ignore[call-overload]
        memory.put(_DOCUMENT.validate_json(document))
    return memory


def load_topology(connection: Connection, uid: str) -> Topology | None:
    """The topology of that uid as the database holds it, unless it is gone."""
    document = connection.execute(select(TopologyRow.document).where(TopologyRow.uid == uid)).scalar()  # type: ignore[call-overload]
    return None if document is None else _DOCUMENT.validate_json(document)


class Topologies:
    """The topologies as one unit of work sees them: its own changes over what is committed."""

    def __init__(self, memory: TopologyMemory, connection: Connection | None) -> None:
        self._memory = memory
        self._connection = connection
        self._changed: dict[str, Topology | None] = {}

    @property
    def touched(self) -> frozenset[str]:
        """The uids this unit of work has saved or forgotten."""
        return frozenset(self._changed)

    def get(self, uid: str) -> Topology | None:
        """The topology of that uid, unless it is gone."""
        if uid in self._changed:
            return self._changed[uid]
        return self._memory.by_uid.get(uid)

    def named(self, world: World, kind: Kind, name: str) -> Topology | None:
        """The topology of that kind and name in that world."""
        for topology in self._own_changes():
            if (topology.world, topology.kind, topology.name) == (world, kind, name):
                return topology
        return self._committed(self._memory.by_name.get((world, kind, name)))

    def owner_of(self, world: World, cache_cluster: str) -> Topology | None:
        """The topology that holds the cache cluster: the cluster itself, or the replication group it is a member of."""
        for topology in self._own_changes():
            if topology.world == world and cache_cluster in members_of(topology):
                return topology
        return self._committed(self._memory.by_member.get((world, cache_cluster)))

    def of(self, world: World) -> list[Topology]:
        """Every topology of a world, by name."""
        return sorted((topology for topology in self.all() if topology.world == world), key=lambda topology: topology.name)

    def all(self) -> Iterable[Topology]:
        """Every topology of every world."""
        committed = [topology for uid, topology in list(self._memory.by_uid.items()) if uid not in self._changed]
        return [*committed, *self._own_changes()]

    def save(self, topology: Topology) -> Topology:
        """Write the topology down; answers it with its new version. Raises StaleTopologyError."""
        former = self.get(topology.uid)
        if (former.version if former else 0) != topology.version:
            raise StaleTopologyError(topology.name)
        saved = replace(topology, version=topology.version + 1)
        self._write(saved, former)
        self._changed[topology.uid] = saved
        return saved

    def forget(self, topology: Topology) -> None:
        """Remove the topology and the names it took."""
        self._execute(delete(TopologyRow).where(TopologyRow.uid == topology.uid))  # type: ignore[arg-type]
        self._execute(delete(MemberRow).where(MemberRow.uid == topology.uid))  # type: ignore[arg-type]
        self._changed[topology.uid] = None

    def settle(self) -> None:
        """Make this unit's changes visible to everybody; called after the commit."""
        for uid, topology in self._changed.items():
            if topology is None:
                self._memory.drop(uid)
            else:
                self._memory.put(topology)

    def _own_changes(self) -> Iterator[Topology]:
        return (topology for topology in self._changed.values() if topology is not None)

    def _committed(self, uid: str | None) -> Topology | None:
        return None if uid is None or uid in self._changed else self._memory.by_uid.get(uid)

    def _write(self, saved: Topology, former: Topology | None) -> None:
        columns = {"kind": saved.kind.value, "name": saved.name, "version": saved.version}
        document = _DOCUMENT.dump_json(saved).decode()
        where = {"account": saved.world.account, "region": saved.world.region}
        if former is None:
            self._execute(_INSERT, {"uid": saved.uid, **where, **columns, "document": document})
        elif self._execute(_UPDATE, {"of": saved.uid, "read": former.version, **columns, "document": document}) != 1:
            raise StaleTopologyError(saved.name)
        has, had = members_of(saved), members_of(former) if former else frozenset()
        for member in had - has:
            gone = (MemberRow.uid == saved.uid, MemberRow.cache_cluster == member)
            self._execute(delete(MemberRow).where(*gone))  # type: ignore[arg-type]
        for member in has - had:
            self._execute(insert(MemberRow).values(uid=saved.uid, **where, cache_cluster=member))

    def _execute(self, statement: object, values: dict[str, object] | None = None) -> int:
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        return self._connection.execute(statement, values).rowcount  # type: ignore[call-overload, no-any-return]
