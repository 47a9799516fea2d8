"""The zone: every name of every topology, looked up in the store's memory, so that no answer is older than the last commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from controlplane.domain.endpoint_names import EndpointName, Purpose, account_hash, is_above_names, parsed, short_region
from controlplane.domain.resolution import addresses
from controlplane.domain.topology import Kind, Topology, World
from controlplane.store.store import Store, Unit

NAME_SERVER = "ns"
_MOST_TURNS = 10_000
Record = TypeVar("Record")


@dataclass(frozen=True)
class Authority:
    """What a zone says of itself: its suffix, for how many seconds an answer counts, the address of its server where it has just one."""

    suffix: str
    ttl: int
    server: str | None = None


class Zone:
    """Looks names up. For one thread."""

    def __init__(self, store: Store, authority: Authority) -> None:
        self.authority = authority
        self._store = store
        self._worlds: dict[tuple[str, str], World] = {}
        self._turns: Counter[tuple[str, ...]] = Counter()

    def lookup(self, labels: tuple[str, ...]) -> tuple[str, ...] | None:
        """The addresses that a name leads to now, its labels in lower case and without the suffix; None for a name that there is not."""
        if labels == (NAME_SERVER,):
            return (self.authority.server,) if self.authority.server else ()
        with self._store.reading() as unit:
            for name in parsed(labels):
                topology = self._owner(unit, name)
                if topology is not None:
                    found = addresses(topology, name, unit.reports.of(topology), unit.agents.is_heard)
                    if found is not None:
                        return found
            return () if any(is_above_names(labels, world) for world in self._known(unit).values()) else None

    def _owner(self, unit: Unit, name: EndpointName) -> Topology | None:
        place = (name.hash, name.region)
        world = self._worlds.get(place) or self._known(unit).get(place)
        if world is None:
            return None
        if name.purpose in (Purpose.NODE, Purpose.DISCOVERY):
            return unit.topologies.owner_of(world, name.owner)
        return unit.topologies.named(world, Kind.REPLICATION_GROUP, name.owner)

    def _known(self, unit: Unit) -> dict[tuple[str, str], World]:
        """Every world that has a topology, by how names tell it."""
        worlds = {topology.world for topology in unit.topologies.all()}
        self._worlds = {(account_hash(world), short_region(world.region)): world for world in worlds}
        return self._worlds

    def in_turn(self, labels: tuple[str, ...], found: Sequence[Record]) -> Sequence[Record]:
        """The same, another of them first each time that the name is answered, so that clients who take the first are spread."""
        if len(found) < 2:
            return found
        if len(self._turns) >= _MOST_TURNS:
            self._turns.clear()
        first = self._turns[labels] % len(found)
        self._turns[labels] += 1
        return [*found[first:], *found[:first]]
