"""Gathers what agents measure: asks all of them at once, waits a moment, and says who did not answer.

Nothing of it is written down, so every control plane can do it, whether it leads or not.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from api_schemas.agent.metrics import AgentMetrics, MetricsWanted, NodeMetrics
from api_schemas.faults import CacheClusterNotFound, ReplicationGroupNotFound
from controlplane.domain.topology import Kind, Node, NodeGroup, Topology, World
from controlplane.reconciler.fleet import AgentUnreachableError, Fleet
from controlplane.store.store import Store, Unit

DEADLINE = 2.5  # seconds for all agents together
_MOST_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Place:
    """A node that can be measured: whose it is, and what was last seen of it."""

    topology: Topology
    group: NodeGroup
    node: Node
    phase: str | None

    @property
    def key(self) -> str:
        """What its agent calls it."""
        return self.topology.key(self.node.id)

    @property
    def agent(self) -> str | None:
        """Who runs it; None before it has a place."""
        return self.node.placement.agent if self.node.placement else None

    @property
    def cache_cluster_id(self) -> str:
        """The cache cluster it is in, which for Valkey and Redis is the node itself."""
        return self.topology.name if self.topology.is_memcached else self.node.id

    @property
    def cache_node_id(self) -> str:
        """Its id in that."""
        return self.node.id if self.topology.is_memcached else "0001"

    @property
    def replication_group_id(self) -> str | None:
        """The replication group it is in, if any."""
        return self.topology.name if self.topology.kind is Kind.REPLICATION_GROUP else None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the agents said, by the keys of nodes; and which did not, and why."""

    nodes: Mapping[str, NodeMetrics] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class Gatherer:
    """Asks agents what their nodes measure."""

    def __init__(self, store: Store, fleet: Fleet, deadline: float = DEADLINE) -> None:
        self._store = store
        self._fleet = fleet
        self._deadline = deadline
        self._making = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def everywhere(self) -> list[Place]:
        """Every node of everybody. Raises StoreAwayError."""
        with self._store.reading(fresh=True) as unit:
            return [place for topology in unit.topologies.all() for place in _places(unit, topology)]

    def of(self, world: World, group: str | None, cache_cluster: str | None) -> list[Place]:
        """The nodes of one resource of that world, or of all. Raises ReplicationGroupNotFound, CacheClusterNotFound, StoreAwayError."""
        with self._store.reading(fresh=True) as unit:
            topologies = list(_chosen(unit, world, group, cache_cluster))
            found = [place for topology in topologies for place in _places(unit, topology)]
        only = cache_cluster.lower() if cache_cluster else None
        return [place for place in found if only in (None, place.node.id, place.topology.name)]

    def agents(self) -> dict[str, str]:
        """The zone of every agent that has joined."""
        with self._store.reading() as unit:
            return {hello.agent: hello.zone for hello in unit.agents.all()}

    def gather(self, keys: Mapping[str, Collection[str] | None], wanted: MetricsWanted) -> Gathered:
        """Ask each agent about these of its nodes, None for all."""
        questions = {agent: wanted.model_copy(update={"keys": None if of is None else sorted(of)}) for agent, of in keys.items()}
        pool = self._opened()
        asked = {agent: pool.submit(self._fleet.measure, agent, question) for agent, question in questions.items()}
        wait(asked.values(), self._deadline)
        nodes: dict[str, NodeMetrics] = {}
        missing: dict[str, str] = {}
        for agent, answer in asked.items():
            why = _why_missing(agent, answer, self._deadline)
            if why is None:
                nodes |= {node.key: node for node in answer.result().nodes}
            else:
                missing[agent] = why
        return Gathered(nodes, missing)

    def close(self) -> None:
        """Ask nobody any more."""
        with self._making:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _opened(self) -> ThreadPoolExecutor:
        with self._making:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="metrics")
            return self._pool


def _chosen(unit: Unit, world: World, group: str | None, cache_cluster: str | None) -> Iterable[Topology]:
    if group:
        found = unit.topologies.named(world, Kind.REPLICATION_GROUP, group.lower())
        if found is None:
            raise ReplicationGroupNotFound(group)
        return [found]
    if cache_cluster:
        found = unit.topologies.owner_of(world, cache_cluster.lower())
        if found is None:
            raise CacheClusterNotFound(cache_cluster)
        return [found]
    return unit.topologies.of(world)


def _places(unit: Unit, topology: Topology) -> Iterator[Place]:
    reported = unit.reports.of(topology)
    for group in topology.node_groups:
        for node in group.nodes:
            seen = reported.of(node)
            yield Place(topology, group, node, seen.phase if seen else None)


def _why_missing(agent: str, answer: Future[AgentMetrics], deadline: float) -> str | None:
    if not answer.done():
        answer.cancel()
        return f"agent {agent} did not answer within {deadline:g} s"
    failed = answer.exception()
    if isinstance(failed, AgentUnreachableError):
        return str(failed)
    if failed is not None:
        raise failed
    return None
