"""From what a create request says about node groups to shards, each with its id, its slots and a zone for each of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api_schemas.faults import (
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeGroupsPerReplicationGroupQuotaExceeded,
    NodeQuotaForClusterExceeded,
)
from api_schemas.parts import NodeGroupConfiguration
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.naming import node_group_id
from controlplane.domain.slots import Slots, even_slots, must_cover_all, parsed_slots
from controlplane.domain.topology import ClusterMode
from controlplane.operations import layout
from controlplane.operations.context import Context

MOST_NODES, MOST_SHARDS = 90, 90
"""The service's quotas for a replication group in cluster mode."""

ONLY = "0001"
"""The id of the one node group outside cluster mode."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A node group to be: the zone of its primary, then those of its replicas, and the slots it owns in cluster mode."""

    id: str
    zones: tuple[str, ...]
    slots: Slots = ()


def shards_asked(ctx: Context, asked: CreateReplicationGroup, mode: ClusterMode) -> list[Shard]:
    """The node groups of a new replication group.

    Raises InvalidParameterCombination or InvalidParameterValue when the request contradicts itself, and the service's quota faults.
    """
    if mode is ClusterMode.ENABLED:
        return _sharded(ctx, asked)
    number, zones = layout.nodes_asked(ctx, asked)
    slots = even_slots(1)[0] if mode is ClusterMode.COMPATIBLE else ()
    return [Shard(ONLY, tuple(layout.spread(ctx, number, zones)), slots)]


def _sharded(ctx: Context, asked: CreateReplicationGroup) -> list[Shard]:
    configurations = asked.node_group_configuration or _plain(asked)
    _must_not_contradict(asked, len(configurations))
    ids = _ids(configurations)
    slots = _slots(configurations)
    shards = []
    for place, part in enumerate(configurations):
        zones = _zones(ctx, part, asked, place, len(configurations))
        shards.append(Shard(ids[place], tuple(zones), slots[place]))
    if sum(len(shard.zones) for shard in shards) > MOST_NODES:
        raise NodeQuotaForClusterExceeded(MOST_NODES)
    return sorted(shards, key=lambda shard: shard.id)


def _plain(asked: CreateReplicationGroup) -> list[NodeGroupConfiguration]:
    number = 1 if asked.num_node_groups is None else asked.num_node_groups
    if number < 1:
        raise InvalidParameterValue(f"Invalid value {number} for NumNodeGroups. Must be at least 1")
    if number > MOST_SHARDS:
        raise NodeGroupsPerReplicationGroupQuotaExceeded(MOST_SHARDS)
    return [NodeGroupConfiguration() for _ in range(number)]


def _must_not_contradict(asked: CreateReplicationGroup, shards: int) -> None:
    if asked.num_node_groups not in (None, shards):
        raise InvalidParameterCombination(
            f"NumNodeGroups is {asked.num_node_groups}, but NodeGroupConfiguration describes {shards} node groups."
        )
    if asked.num_cache_clusters is not None and (asked.num_node_groups is not None or asked.node_group_configuration):
        raise InvalidParameterCombination("NumCacheClusters cannot be given together with NumNodeGroups or NodeGroupConfiguration.")
    if asked.num_cache_clusters is not None and asked.replicas_per_node_group not in (None, asked.num_cache_clusters - 1):
        raise InvalidParameterCombination("NumCacheClusters and ReplicasPerNodeGroup contradict each other; give one of them.")
    if asked.preferred_cache_cluster_azs and (shards > 1 or asked.node_group_configuration):
        raise InvalidParameterCombination("PreferredCacheClusterAZs is for one node group; give zones in NodeGroupConfiguration.")
    if shards > MOST_SHARDS:
        raise NodeGroupsPerReplicationGroupQuotaExceeded(MOST_SHARDS)


def _ids(configurations: Sequence[NodeGroupConfiguration]) -> list[str]:
    given = [node_group_id(part.node_group_id) for part in configurations if part.node_group_id]
    if given and len(given) != len(configurations):
        raise InvalidParameterCombination("Give a NodeGroupId to every node group, or to none.")
    if len(set(given)) != len(given):
        raise InvalidParameterValue("Two node groups have the same NodeGroupId.")
    return given or [f"{place + 1:04d}" for place in range(len(configurations))]


def _slots(configurations: Sequence[NodeGroupConfiguration]) -> list[Slots]:
    given = [parsed_slots(part.slots) for part in configurations if part.slots]
    if not given:
        return even_slots(len(configurations))
    if len(given) != len(configurations):
        raise InvalidParameterValue("Give Slots to every node group, or to none.")
    must_cover_all(given)
    return given


def _zones(ctx: Context, part: NodeGroupConfiguration, asked: CreateReplicationGroup, place: int, shards: int) -> list[str]:
    """As asked; else the primaries of the shards in each zone in turn, and each one's replicas in the zones that follow."""
    if part.primary_outpost_arn or part.replica_outpost_arns:
        raise InvalidParameterValue("PrimaryOutpostArn and ReplicaOutpostArns cannot be given: there are no outposts here.")
    number = 1 + layout.checked_replicas(_replicas(part, asked))
    if asked.preferred_cache_cluster_azs:
        return layout.spread(ctx, number, asked.preferred_cache_cluster_azs)
    if part.replica_availability_zones and len(part.replica_availability_zones) != number - 1:
        given = len(part.replica_availability_zones)
        raise InvalidParameterValue(f"{given} ReplicaAvailabilityZones were given for {number - 1} replicas; give one for each, or none.")
    usual = layout.spread(ctx, number, [], start=place)
    primary = layout.checked_zone(ctx, part.primary_availability_zone) if part.primary_availability_zone else usual[0]
    if part.replica_availability_zones:
        return [primary, *(layout.checked_zone(ctx, zone) for zone in part.replica_availability_zones)]
    return [primary, *layout.emptiest_zones(ctx, [primary], number - 1)] if primary != usual[0] else usual


def _replicas(part: NodeGroupConfiguration, asked: CreateReplicationGroup) -> int:
    if part.replica_count is not None:
        return part.replica_count
    if part.replica_availability_zones:
        return len(part.replica_availability_zones)
    if asked.replicas_per_node_group is not None:
        return asked.replicas_per_node_group
    return 0 if asked.num_cache_clusters is None else asked.num_cache_clusters - 1
