"""From what a create request says about numbers and zones to nodes with zones; and the settings all creates share."""

from __future__ import annotations

from collections.abc import Sequence

from api_schemas.faults import (
    CacheClusterAlreadyExists,
    InsufficientCacheClusterCapacity,
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeQuotaForCustomerExceeded,
)
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.binaries import best_binary, why_none_fits
from controlplane.domain.engine_versions import EngineVersion
from controlplane.domain.hosts import Room, demand_of
from controlplane.domain.topology import Binary, Endpoints, Kind, Topology
from controlplane.operations.context import Context
from controlplane.store.hosts import seen_agents

MOST_NODES_IN_A_GROUP = 6
NODES_PER_REGION = 300
LOWEST_PORT, HIGHEST_PORT, BUS_OFFSET = 1024, 65535, 10000


def zones_here(ctx: Context) -> list[str]:
    """The zones of the caller's region: one for each letter that an agent serves."""
    letters = sorted({hello.zone[-1:] for hello in ctx.unit.agents.all()})
    return [f"{ctx.world.region}{letter}" for letter in letters]


def checked_zone(ctx: Context, zone: str) -> str:
    """The zone, if the region has it. Raises InvalidParameterValue."""
    zones = zones_here(ctx)
    if zone not in zones:
        here = f"The zones of {ctx.world.region} here are {', '.join(zones)}."
        raise InvalidParameterValue(f"{zone} is not a valid availability zone. {here}")
    return zone


def spread(ctx: Context, number: int, asked: Sequence[str], start: int = 0) -> list[str]:
    """A zone for each of ``number`` nodes: as asked, else the region's zones in turn. Raises InvalidParameterValue."""
    if asked and len(asked) != number:
        raise InvalidParameterValue(f"{len(asked)} availability zones were given for {number} nodes; give one for each node, or none.")
    if asked:
        return [checked_zone(ctx, zone) for zone in asked]
    zones = _zones_with_agents(ctx)
    return [zones[(start + number) % len(zones)] for number in range(number)]


def emptiest_zones(ctx: Context, taken: Sequence[str], more: int) -> list[str]:
    """A zone for each of ``more`` nodes beside those whose zones are taken: always one that has fewest of them so far."""
    zones = list(taken)
    for _ in range(more):
        zones.append(min(_zones_with_agents(ctx), key=zones.count))
    return zones[len(taken) :]


def _zones_with_agents(ctx: Context) -> list[str]:
    zones = zones_here(ctx)
    if not zones:
        raise InsufficientCacheClusterCapacity("No agent has joined, so no availability zone has room for a node. Start an agent.")
    return zones


def must_be_servable(ctx: Context, version: EngineVersion, zones: Sequence[str]) -> None:
    """Raises InvalidParameterValue, saying what to install, when no agent of a zone has a program for the engine."""
    for zone in set(zones):
        hosts = [hello for hello in ctx.unit.agents.all() if hello.zone[-1:] == zone[-1:]]
        offered = [Binary(**engine.model_dump()) for hello in hosts for engine in hello.engines]
        if best_binary(version.engine, version.version, offered) is None:
            raise InvalidParameterValue(why_none_fits(version.engine, version.version))


def must_fit(ctx: Context, topology: Topology) -> None:
    """Raises InsufficientCacheClusterCapacity when no host of a zone has room for a node that has no place yet."""
    room, demand = Room(seen_agents(ctx.unit)), demand_of(topology)
    for group in topology.node_groups:
        beside = [room.host_of(node.placement.agent) for node in group.staying if node.placement is not None]
        for node in group.staying:
            if node.placement is not None:
                continue
            place = room.find(node.zone, demand, beside)
            if place is None and room.is_full(node.zone, demand):
                raise InsufficientCacheClusterCapacity(
                    f"No host in {node.zone} has {demand.memory / 2**30:.2f} GiB left for a node of type {topology.node_type}. "
                    "Choose a smaller node type or another zone, or have another agent join."
                )
            if place is not None:
                room.take(place, demand)
                beside.append(room.host_of(place.agent.id))


def must_have_room(ctx: Context, more: int) -> None:
    """Raises NodeQuotaForCustomerExceeded beyond the service's number of nodes in a region."""
    there = sum(len(list(topology.members)) for topology in ctx.unit.topologies.of(ctx.world))
    if there + more > NODES_PER_REGION:
        raise NodeQuotaForCustomerExceeded(NODES_PER_REGION)


def free_member(ctx: Context, name: str) -> str:
    """The name, for a member to be. Raises CacheClusterAlreadyExists."""
    if ctx.unit.topologies.owner_of(ctx.world, name):
        raise CacheClusterAlreadyExists(name)
    return name


def must_have_names_of_its_own(ctx: Context, name: str) -> None:
    """Raises InvalidParameterValue for a replication group whose endpoints would have a name that another's have.

    ``orders-ro`` is what the reader endpoint of ``orders`` is called.
    """
    if not ctx.style.served and ctx.style.new is not Endpoints.NAMED:
        return
    for reader, other in ((name, name.removesuffix("-ro")), (f"{name}-ro", f"{name}-ro")):
        if other != name and ctx.unit.topologies.named(ctx.world, Kind.REPLICATION_GROUP, other):
            raise InvalidParameterValue(
                f"{name} cannot be the ReplicationGroupId beside {other}: {reader} would be the name of a primary and of a reader endpoint."
            )


def checked_port(asked: int | None, default: int, *, bus: bool = False) -> int:
    """The port. Raises InvalidParameterValue outside 1024 to 65535; where a cluster bus listens 10,000 above it, outside 1024 to 55535."""
    port = default if asked is None else asked
    highest = HIGHEST_PORT - BUS_OFFSET if bus else HIGHEST_PORT
    if not LOWEST_PORT <= port <= highest:
        raise InvalidParameterValue(f"Invalid value {port} for Port. Must be between {LOWEST_PORT} and {highest}")
    return port


def nodes_asked(ctx: Context, asked: CreateReplicationGroup) -> tuple[int, list[str]]:
    """How many nodes the one node group shall have, and the zones given for them, the primary's first.

    Raises InvalidParameterCombination or InvalidParameterValue when the request contradicts itself.
    """
    configurations = asked.node_group_configuration
    if asked.num_cache_clusters is not None and (asked.num_node_groups is not None or configurations):
        raise InvalidParameterCombination("NumCacheClusters cannot be given together with NumNodeGroups or NodeGroupConfiguration.")
    if asked.num_node_groups is not None and asked.num_node_groups < 1:
        raise InvalidParameterValue(f"Invalid value {asked.num_node_groups} for NumNodeGroups. Must be at least 1")
    if configurations:
        return _from_configuration(ctx, asked)
    return _from_numbers(asked), list(asked.preferred_cache_cluster_azs)


def _from_configuration(ctx: Context, asked: CreateReplicationGroup) -> tuple[int, list[str]]:
    part = asked.node_group_configuration[0]
    if part.slots:
        raise InvalidParameterCombination("Slots can only be given with cluster mode enabled: they are for several node groups to share.")
    if part.node_group_id not in (None, "0001", "1"):
        raise InvalidParameterValue("With cluster mode disabled the only node group is 0001.")
    if part.primary_outpost_arn or part.replica_outpost_arns:
        raise InvalidParameterValue("PrimaryOutpostArn and ReplicaOutpostArns cannot be given: there are no outposts here.")
    if asked.preferred_cache_cluster_azs:
        raise InvalidParameterCombination("PreferredCacheClusterAZs cannot be given together with NodeGroupConfiguration.")
    zones = ([part.primary_availability_zone] if part.primary_availability_zone else []) + part.replica_availability_zones
    replicas = part.replica_count if part.replica_count is not None else asked.replicas_per_node_group
    if replicas is None:
        replicas = len(part.replica_availability_zones)
    if part.replica_availability_zones and not part.primary_availability_zone:
        raise InvalidParameterCombination("ReplicaAvailabilityZones need a PrimaryAvailabilityZone beside them.")
    number = 1 + checked_replicas(replicas)
    if len(zones) == 1:  # only the primary's was said
        zones += emptiest_zones(ctx, zones, number - 1)
    return number, zones


def _from_numbers(asked: CreateReplicationGroup) -> int:
    if asked.replicas_per_node_group is not None:
        number = 1 + checked_replicas(asked.replicas_per_node_group)
        if asked.num_cache_clusters not in (None, number):
            raise InvalidParameterCombination("NumCacheClusters and ReplicasPerNodeGroup contradict each other; give one of them.")
        return number
    number = 1 if asked.num_cache_clusters is None else asked.num_cache_clusters
    if not 1 <= number <= MOST_NODES_IN_A_GROUP:
        raise InvalidParameterValue(f"Invalid value {number} for NumCacheClusters. Must be between 1 and {MOST_NODES_IN_A_GROUP}")
    return number


def checked_replicas(number: int) -> int:
    """The number of replicas of one node group. Raises InvalidParameterValue outside 0 to 5."""
    if not 0 <= number < MOST_NODES_IN_A_GROUP:
        raise InvalidParameterValue(f"Invalid number of replicas {number}. Must be between 0 and {MOST_NODES_IN_A_GROUP - 1}")
    return number
