"""Snapshots that a test has, and the caches that operations make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from factories import NOW, WORLD, a_group, a_sharded_group, an_agent

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.backup import ArchivePlace, Cause, SavedFile
from controlplane.domain.node_types import MIB
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.seeding import cuts
from controlplane.domain.settings import Settings
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotState, begun
from controlplane.domain.topology import Kind, Topology
from controlplane.operations.cache_clusters import create_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.replication_groups import create_replication_group

ARCHIVE = ArchivePlace("file:///archive", "a1")
SETTINGS = Settings(
    description="of old", maintenance_window="mon:01:00-mon:02:00", snapshot_window="05:00-06:00", auto_minor_version_upgrade=False,
    security_group_ids=("sg-0123456789abcdef0",), automatic_failover=True, multi_az=True, snapshot_retention_limit=7,
)  # fmt: skip
BINARIES = [("redis", "6.2.6"), ("redis", "7.0.15"), ("redis", "7.1.0"), ("valkey", "7.2.6"), ("valkey", "8.1.0"), ("valkey", "9.1.0")]


def with_agents(ctx: Context) -> Context:
    """An agent in each of three zones that has every engine, and an archive."""
    engines = [EngineBinary(engine=engine, version=version, path=f"/{engine}-{version}") for engine, version in BINARIES]
    for letter in "abc":
        hello = an_agent(f"agent-{letter}", f"{WORLD.region}{letter}")
        ctx.unit.agents.put(hello.model_copy(update={"engines": engines}))
    return replace(ctx, archive=ARCHIVE)


def saved(ctx: Context, topology: Topology, *, used: int = MIB, databases: int = 1, version: str = "REDIS0009",
          member: str | None = None, **fields: Any) -> Snapshot:  # fmt: skip
    """A snapshot of the topology that is available, with so many bytes in each of its node groups."""
    _, snapshot = begun(topology, "monday", Cause.MANUAL, ARCHIVE, NOW, "snap-1", member, whole=member is None)
    file = SavedFile("snap-1/0001-1.rdb", 1000, "ab" * 32, version, NOW, keys=10, databases=databases, used_memory=used)
    parts = tuple(replace(part, file=file) for part in snapshot.parts)
    snapshot = replace(snapshot, parts=parts, gathered=True, state=SnapshotState.AVAILABLE, **fields)
    ctx.unit.snapshots.save(snapshot)
    return snapshot


def plain(nodes: int = 3, **fields: Any) -> Topology:
    """A group outside cluster mode, with settings of its own."""
    usual = {"engine": "redis", "engine_version": "7.0", "parameter_group": "default.redis7", "settings": SETTINGS, "port": 7000}
    return a_group(nodes=nodes, **{**usual, "node_type": "cache.m6g.large", **fields})


def sharded(shards: int = 3, replicas: int = 1, **fields: Any) -> Topology:
    """A group with cluster mode enabled."""
    usual = {"engine_version": "8.1", "parameter_group": "default.valkey8.cluster.on", "settings": SETTINGS, "port": 7000}
    return a_sharded_group(shards=shards, replicas=replicas, **{**usual, **fields})


def restored(ctx: Context, **fields: Any) -> Topology:
    """The replication group that a request makes."""
    usual = {"replication_group_id": "new", "replication_group_description": "d", "snapshot_name": "monday"}
    create_replication_group(ctx, CreateReplicationGroup(**{**usual, **fields}))
    found = ctx.unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "new")
    assert found is not None
    return found


def restored_alone(ctx: Context, **fields: Any) -> Topology:
    """The cache cluster that a request makes."""
    create_cache_cluster(ctx, CreateCacheCluster(**{"cache_cluster_id": "new", "snapshot_name": "monday", **fields}))
    found = ctx.unit.topologies.named(WORLD, Kind.CACHE_CLUSTER, "new")
    assert found is not None
    return found


def shape(topology: Topology) -> list[tuple[str, str, str]]:
    """Each node group: its id, its slots, the zones of its nodes by their letters."""
    return [(group.id, shown_slots(group.slots), "".join(node.zone[-1] for node in group.nodes)) for group in topology.node_groups]


def as_they_are(snapshot: Snapshot, topology: Topology) -> list[bool]:
    """Of each node group, whether it begins with the very file of one of the snapshot's."""
    return [cut.as_it_is for cut in cuts(snapshot.parts, topology.node_groups)]


def own_group(ctx: Context, family: str = "redis7", **values: str) -> str:
    """A parameter group of the caller's own."""
    differing = tuple((name.replace("_", "-"), value) for name, value in values.items())
    ctx.unit.parameter_groups.save(ParameterGroup(WORLD, "own", family, "", differing))
    return "own"
