"""What an operation may touch: the store's repositories in one unit of work, the clock, the caller, and a way to say events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from api_schemas.faults import CacheClusterNotFound, ReplicationGroupNotFound
from archives.buckets import Buckets
from controlplane.clock import Clock
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.endpoint_names import EndpointStyle
from controlplane.domain.events import Event
from controlplane.domain.reported import Reported
from controlplane.domain.status import topology_status
from controlplane.domain.topology import Kind, MemcachedDiscovery, Node, Topology, World
from controlplane.pki.sealing import Sealer
from controlplane.planner.situation import Policy
from controlplane.store.store import Unit


@dataclass(frozen=True)
class Context:
    """One call of one operation.

    ``memcached_discovery`` is for clusters that it creates, ``style`` says how endpoints are shown, ``archive`` is where new snapshots go,
    ``buckets`` are those of callers, which are asked outside of any unit of work, ``sealer`` seals secrets that must be known again.
    ``access_without_tls`` lets users and tokens guard what is not encrypted.
    """

    world: World
    unit: Unit
    clock: Clock
    policy: Policy
    memcached_discovery: MemcachedDiscovery = MemcachedDiscovery.EVERY_NODE
    style: EndpointStyle = field(default_factory=EndpointStyle)
    archive: ArchivePlace = field(default_factory=lambda: ArchivePlace(""))
    buckets: Buckets | None = None
    sealer: Sealer | None = None
    access_without_tls: bool = False

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.clock.now()

    def replication_group(self, name: str) -> Topology:
        """The replication group of that id. Raises ReplicationGroupNotFound."""
        found = self.unit.topologies.named(self.world, Kind.REPLICATION_GROUP, name.lower())
        if found is None:
            raise ReplicationGroupNotFound(name)
        return found

    def cache_cluster(self, name: str) -> tuple[Topology, Node | None]:
        """The topology that holds the cache cluster, and the node it is in it (None for a stand-alone one as a whole).

        Raises CacheClusterNotFound.
        """
        found = self.unit.topologies.owner_of(self.world, name.lower())
        if found is None:
            raise CacheClusterNotFound(name)
        return found, found.node(name.lower()) if found.kind is Kind.REPLICATION_GROUP else None

    def reported(self, topology: Topology) -> Reported:
        """All that was seen of a topology."""
        return self.unit.reports.of(topology)

    def status(self, topology: Topology) -> str:
        """The status of a topology at this moment."""
        return topology_status(topology, self.reported(topology), self.policy.most_boots)

    def say(self, source_type: str, source: str, message: str) -> None:
        """Write an event down."""
        self.unit.events.say(Event(self.world, source_type, source, message, self.now))
