"""What a Memcached cluster does not have, refused in the service's way; and how its number of nodes is asked to change."""

from __future__ import annotations

from collections.abc import Mapping

from api_schemas.cache_cluster import ModifyCacheCluster
from api_schemas.faults import (
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeQuotaForClusterExceeded,
)
from api_schemas.shape import Shape
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.resizing import Resizing
from controlplane.domain.topology import Topology
from controlplane.operations import layout
from controlplane.operations.context import Context

MOST_NODES = 40
_ALL = 100  # per cent

_SNAPSHOTS = "Memcached takes no snapshots"
_LACKS: Mapping[str, str] = {
    "snapshot_arns": _SNAPSHOTS,
    "snapshot_name": _SNAPSHOTS,
    "snapshot_retention_limit": _SNAPSHOTS,
    "snapshot_window": _SNAPSHOTS,
    "snapshotting_cluster_id": _SNAPSHOTS,
    "final_snapshot_identifier": _SNAPSHOTS,
    "auth_token": "Memcached knows no AUTH tokens",
    "auth_token_update_strategy": "Memcached knows no AUTH tokens",
    "log_delivery_configurations": "Memcached delivers no logs",
}


def refuse_what_memcached_lacks(asked: Shape) -> None:
    """Raises InvalidParameterCombination."""
    names = asked.aws_names()
    for name, why in _LACKS.items():
        if name in names and getattr(asked, name):
            raise InvalidParameterCombination(f"{why}: leave out {names[name]}.")


def must_not_resize(asked: ModifyCacheCluster) -> None:
    """Raises what the service does when a Redis node is asked to become several."""
    if asked.num_cache_nodes not in (None, 1):
        raise InvalidParameterValue(
            f"Invalid value {asked.num_cache_nodes} for NumCacheNodes: a stand-alone redis cache cluster has exactly 1 node."
        )
    if asked.az_mode == "cross-az":
        raise InvalidParameterCombination("AZMode cross-az needs Memcached.")
    _must_name_nothing(asked, "only the nodes of a Memcached cluster can be added or removed")


def must_scale_as_is_possible(topology: Topology, asked: ModifyCacheCluster) -> None:
    """Raises InvalidParameterCombination for a ScaleConfig without another node type of Memcached, InvalidParameterValue for a wrong one.

    Nodes are made anew one at a time, each when the one before it serves, which is the smallest part that can be asked for; an interval
    between them is not built.
    """
    config = asked.scale_config
    if config is None or (config.scale_percentage is None and config.scale_interval_minutes is None):
        return
    if not topology.is_memcached or asked.cache_node_type in (None, "", topology.node_type):
        raise InvalidParameterCombination("ScaleConfig is for a Memcached cluster that moves to another CacheNodeType.")
    if config.scale_percentage is not None and not 1 <= config.scale_percentage <= _ALL:
        raise InvalidParameterValue(f"Invalid value {config.scale_percentage} for ScalePercentage. Must be between 1 and {_ALL}")
    if config.scale_interval_minutes:
        raise InvalidParameterValue("ScaleIntervalMinutes can only be 0: a pause between nodes is not built yet. Nothing was changed.")


def cross_az(topology: Topology, asked: ModifyCacheCluster) -> bool:
    """Whether nodes may be in several zones from now on. Raises InvalidParameterCombination when they already are and should not be."""
    if asked.az_mode not in (None, "", "single-az", "cross-az"):
        raise InvalidParameterValue(f"Invalid value {asked.az_mode[:40]!r} for AZMode: it is single-az or cross-az.")
    zones = {node.zone for node in topology.nodes if not node.leaving}
    if asked.az_mode == "single-az" and len(zones) > 1:
        raise InvalidParameterCombination("AZMode cannot be single-az: there are nodes in several availability zones already.")
    if asked.az_mode == "cross-az" and _number(topology, asked) < 2:
        raise InvalidParameterCombination("AZMode cross-az needs Memcached with at least 2 nodes.")
    return asked.az_mode == "cross-az" or (topology.settings.cross_az and asked.az_mode != "single-az")


def resizing(ctx: Context, topology: Topology, asked: ModifyCacheCluster, *, across: bool) -> Resizing | None:
    """What is asked to become of the nodes, together with what is pending already; None for nothing. Raises faults.

    ``across``: new nodes may be in another zone than those there are.
    """
    pending = topology.pending or Resizing()
    if asked.num_cache_nodes is None:
        _must_name_nothing(asked, "it needs NumCacheNodes beside it")
        return topology.pending
    number = _checked_number(asked.num_cache_nodes)
    present = {node.id: node.zone for node in topology.nodes if not node.leaving}
    future = {**present, **dict(pending.added)}
    if number == len(present) or number == len(future):
        _must_name_nothing(asked, f"there are {number} nodes, so none is added or removed")
        return Resizing(added=pending.added) if number > len(present) else None
    if number > len(future):
        zones = _zones_of_new(ctx, future, number, asked, across=across)
        layout.must_be_servable(ctx, engine_version(topology.engine, topology.engine_version), zones)
        return Resizing(added=(*pending.added, *zip(_next_ids(future, len(zones)), zones, strict=True)))
    removed = _removed(future, number, asked)
    added = tuple((node_id, zone) for node_id, zone in pending.added if node_id not in removed)
    return Resizing(added, tuple(node_id for node_id in present if node_id in removed))


def _number(topology: Topology, asked: ModifyCacheCluster) -> int:
    return asked.num_cache_nodes or sum(not node.leaving for node in topology.nodes)


def _checked_number(number: int) -> int:
    if number < 1:
        raise InvalidParameterValue(f"Invalid value {number} for NumCacheNodes. Must be between 1 and {MOST_NODES}")
    if number > MOST_NODES:
        raise NodeQuotaForClusterExceeded(MOST_NODES)
    return number


def _must_name_nothing(asked: ModifyCacheCluster, why: str) -> None:
    for name, named in (("CacheNodeIdsToRemove", asked.cache_node_ids_to_remove), ("NewAvailabilityZones", asked.new_availability_zones)):
        if named:
            raise InvalidParameterCombination(f"{name} cannot be given: {why}.")


def _zones_of_new(ctx: Context, future: dict[str, str], number: int, asked: ModifyCacheCluster, *, across: bool) -> list[str]:
    if asked.cache_node_ids_to_remove:
        raise InvalidParameterCombination(f"CacheNodeIdsToRemove cannot be given when nodes come: {number} is more than {len(future)}.")
    more, named, there = number - len(future), asked.new_availability_zones, list(future.values())
    if named and len(named) != more:
        raise InvalidParameterValue(f"{len(named)} availability zones were given for {more} new nodes; give one for each, or none.")
    if named:
        zones = [layout.checked_zone(ctx, zone) for zone in named]
        if not across and len({*zones, *there}) > 1:
            raise InvalidParameterCombination("Nodes in several zones need AZMode cross-az.")
    else:
        zones = layout.emptiest_zones(ctx, there, more) if across else there[:1] * more
    layout.must_have_room(ctx, more)
    return zones


def _next_ids(taken: dict[str, str], more: int) -> list[str]:
    """The numbers after the highest that is taken."""
    highest = max(map(int, taken))
    return [f"{highest + step:04d}" for step in range(1, more + 1)]


def _removed(future: dict[str, str], number: int, asked: ModifyCacheCluster) -> set[str]:
    named, fewer = asked.cache_node_ids_to_remove, len(future) - number
    if asked.new_availability_zones:
        raise InvalidParameterCombination(f"NewAvailabilityZones cannot be given when nodes go: {number} is less than {len(future)}.")
    if not named:
        raise InvalidParameterCombination(f"CacheNodeIdsToRemove must name the {fewer} nodes to remove.")
    unknown = [node_id for node_id in named if node_id not in future]
    if unknown:
        raise InvalidParameterValue(f"Cache node {unknown[0][:20]} cannot be removed, for there is none. There are {', '.join(future)}.")
    if len(set(named)) != len(named) or len(named) != fewer:
        raise InvalidParameterCombination(
            f"CacheNodeIdsToRemove names {len(set(named))} nodes, but from {len(future)} to {number} there are {fewer} to remove."
        )
    return set(named)
