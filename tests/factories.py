"""Values and worlds that tests begin with: short to ask for, complete in themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from api_schemas.agent.agent import AgentHello
from controlplane.domain.engine_versions import default_version
from controlplane.domain.naming import member_id, shard_member_id
from controlplane.domain.parameters import default_group_for
from controlplane.domain.settings import Settings
from controlplane.domain.slots import Slots, even_slots
from controlplane.domain.topology import ClusterMode, Kind, Node, NodeGroup, Topology, World
from controlplane.operations.context import Context
from controlplane.planner.situation import Policy
from controlplane.store.store import Store

WORLD = World("000000000000", "us-east-1")
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@dataclass
class FixedClock:
    """A clock that stands still until it is told otherwise, and whose draws are known beforehand."""

    moment: datetime = NOW
    drawn: int = 0

    def now(self) -> datetime:
        return self.moment

    def uid(self) -> str:
        self.drawn += 1
        return f"uid{self.drawn:07d}"

    def pick(self, among: int) -> int:
        return 0

    def secret(self) -> str:
        self.drawn += 1
        return f"secret{self.drawn:037d}"

    def advance(self, **by: float) -> None:
        """Let time pass: ``advance(minutes=5)``."""
        self.moment += timedelta(**by)


def a_group(name: str = "orders", nodes: int = 3, *, engine: str = "valkey", created: bool = True, **fields: Any) -> Topology:
    """A replication group, its first node primary, its nodes in each zone in turn. It is available unless not ``created``."""
    members = tuple(_a_node(member_id(name, number), number, created) for number in range(1, nodes + 1))
    group = NodeGroup("0001", members, primary=members[0].id)
    return _a_topology(Kind.REPLICATION_GROUP, name, group, engine, created, fields)


def a_sharded_group(name: str = "orders", shards: int = 2, replicas: int = 1, *, created: bool = True, **fields: Any) -> Topology:
    """A Valkey group with cluster mode enabled, slots cut evenly, the first node of each shard primary."""
    groups = tuple(
        _a_shard(name, f"{number:04d}", slots, 1 + replicas, created) for number, slots in enumerate(even_slots(shards), start=1)
    )
    usual = {"cluster_mode": ClusterMode.ENABLED, "parameter_group": "default.valkey9.cluster.on"}
    settings = Settings(automatic_failover=True)
    topology = _a_topology(Kind.REPLICATION_GROUP, name, groups[0], "valkey", created, {"settings": settings, **usual, **fields})
    return replace(topology, node_groups=groups)


def a_cache_cluster(
    name: str = "sessions", nodes: int = 1, *, engine: str = "memcached", created: bool = True, **fields: Any
) -> Topology:
    """A stand-alone cache cluster. It is available unless not ``created``."""
    alone = engine != "memcached"
    members = tuple(_a_node(name if alone else f"{number:04d}", number, created) for number in range(1, nodes + 1))
    group = NodeGroup("0001", members, primary=name if alone else None)
    return _a_topology(Kind.CACHE_CLUSTER, name, group, engine, created, fields)


def _a_shard(name: str, shard: str, slots: Slots, nodes: int, created: bool) -> NodeGroup:
    members = tuple(_a_node(shard_member_id(name, shard, number), number, created) for number in range(1, nodes + 1))
    return NodeGroup(shard, members, primary=members[0].id, slots=slots)


def _a_node(node_id: str, number: int, created: bool) -> Node:
    return Node(node_id, zone=f"{WORLD.region}{'abc'[(number - 1) % 3]}", joined_at=NOW if created else None)


def _a_topology(kind: Kind, name: str, group: NodeGroup, engine: str, created: bool, fields: dict[str, Any]) -> Topology:
    version = default_version(engine)
    usual = {
        "uid": f"uid-{kind}-{name}",
        "world": WORLD,
        "engine_version": version.version,
        "node_type": "cache.t4g.small",
        "port": 11211 if engine == "memcached" else 6379,
        "parameter_group": default_group_for(version.family, cluster_mode=False).name,
        "subnet_group": None,
        "requested_at": NOW,
        "announced_at": NOW if created else None,
    }
    return Topology(kind=kind, name=name, engine=engine, node_groups=(group,), **{**usual, **fields})


def an_agent(name: str, zone: str) -> AgentHello:
    """An agent that has introduced itself, in the zone of that letter."""
    return AgentHello(agent=name, zone=zone, host=name, runtime="fake", network="127.64.0.0/24")


@contextmanager
def a_context(folder: Path, *, world: World = WORLD, clock: FixedClock | None = None) -> Iterator[Context]:
    """One unit of work over a new database in the folder, in which operations can be called one after the other."""
    store = Store(f"sqlite:///{folder / 'plane.db'}")
    try:
        with store.transaction() as unit:
            yield Context(world, unit, clock or FixedClock(), Policy())
    finally:
        store.close()


def have(ctx: Context, *topologies: Topology) -> None:
    """Each topology exists as it is given."""
    for topology in topologies:
        ctx.unit.topologies.save(topology)
