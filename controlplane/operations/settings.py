"""Settings that both replication groups and cache clusters take: windows, retention, security groups, parameter and subnet groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from api_schemas.faults import CacheSubnetGroupNotFound, InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import EngineVersion, engine_version
from controlplane.domain.node_types import takes_snapshots
from controlplane.domain.parameter_group import ParameterGroup, conditionals
from controlplane.domain.parameters import DefaultGroup, default_group_for
from controlplane.domain.settings import Settings
from controlplane.domain.topology import Kind, Topology
from controlplane.domain.windows import chosen_windows, maintenance_window, must_not_overlap, snapshot_window
from controlplane.operations.context import Context
from controlplane.operations.notifications import with_topic
from controlplane.operations.parameter_groups import parameter_group

MOST_SECURITY_GROUPS = 50
LONGEST_RETENTION = 35  # days


class AskedSettings(Protocol):
    """The fields of a create or modify request that become settings."""

    @property
    def preferred_maintenance_window(self) -> str | None: ...
    @property
    def snapshot_window(self) -> str | None: ...
    @property
    def snapshot_retention_limit(self) -> int | None: ...
    @property
    def auto_minor_version_upgrade(self) -> bool | None: ...
    @property
    def notification_topic_arn(self) -> str | None: ...
    @property
    def security_group_ids(self) -> list[str] | None: ...


def new_settings(ctx: Context, asked: AskedSettings, *, snapshots: bool = True) -> Settings:
    """The settings of something new: what was asked, and windows picked at random where none were. Raises InvalidParameterValue."""
    maintenance, snapshot = chosen_windows(ctx.clock.pick(56), asked.preferred_maintenance_window, asked.snapshot_window)
    picked = Settings(maintenance_window=maintenance, snapshot_window=snapshot)
    picked = with_topic(picked, ctx.world, asked.notification_topic_arn)
    return changed_settings(picked, asked, snapshots=snapshots)


def changed_settings(settings: Settings, asked: AskedSettings, *, snapshots: bool = True, of: Topology | None = None) -> Settings:
    """The settings with what was asked, of that topology if there is one yet. Raises InvalidParameterValue for what is not possible.

    Without ``snapshots`` there is no snapshot window that the maintenance window could overlap. Raises InvalidParameterCombination where
    automatic snapshots are asked for of nodes that have none.
    """
    changed = settings
    if asked.preferred_maintenance_window:
        changed = replace(changed, maintenance_window=maintenance_window(asked.preferred_maintenance_window))
    if asked.snapshot_window:
        changed = replace(changed, snapshot_window=snapshot_window(asked.snapshot_window))
    if asked.snapshot_retention_limit is not None:
        changed = replace(changed, snapshot_retention_limit=_retention(asked.snapshot_retention_limit, of))
    if asked.auto_minor_version_upgrade is not None:
        changed = replace(changed, auto_minor_version_upgrade=asked.auto_minor_version_upgrade)
    if asked.security_group_ids is not None:
        changed = replace(changed, security_group_ids=_checked_security_groups(asked.security_group_ids))
    if snapshots:
        must_not_overlap(changed.maintenance_window, changed.snapshot_window)
    return changed


@dataclass(frozen=True, slots=True)
class ChosenGroup:
    """The parameter group of a cache: whether it asks for cluster mode, and the values that are not the family's defaults."""

    name: str
    family: str
    cluster_mode: bool
    values: tuple[tuple[str, str], ...]


def parameter_group_for(ctx: Context, asked: str | None, version: EngineVersion, *, cluster_mode: bool = False) -> ChosenGroup:
    """The parameter group of that name; where none is named, the family's default, with or without cluster mode.

    Raises CacheParameterGroupNotFound, and InvalidParameterCombination for a group of another family.
    """
    found = _chosen(parameter_group(ctx, asked) if asked else default_group_for(version.family, cluster_mode=cluster_mode))
    if found.family != version.family:
        raise InvalidParameterCombination(
            f"Expected a parameter group of family {version.family} for {version.engine} {version.version}, "
            f"but {found.name} is of family {found.family}."
        )
    return found


def without_cluster_mode(group: ChosenGroup) -> ChosenGroup:
    """The same group. Raises InvalidParameterCombination when it asks for cluster mode."""
    if group.cluster_mode:
        raise InvalidParameterCombination(f"{group.name} is for replication groups in cluster mode. Use default.{group.family}.")
    return group


def switched(ctx: Context, topology: Topology, asked: str | None) -> Topology:
    """The topology with the parameter group that is asked for, effective at once whatever ApplyImmediately says.

    Raises InvalidParameterCombination where the groups differ in what cannot be changed of a cache.
    """
    if not asked or asked.lower() == topology.parameter_group:
        return topology
    chosen = parameter_group_for(ctx, asked, engine_version(topology.engine, topology.engine_version))
    must_agree_on_conditionals(topology, chosen)
    return replace(topology, parameter_group=chosen.name, parameters=chosen.values)


def must_agree_on_conditionals(topology: Topology, chosen: ChosenGroup) -> None:
    """Raises InvalidParameterCombination where the topology's parameter group and that one differ in what cannot be changed of a cache."""
    own = (*topology.parameters, ("cluster-enabled", "yes")) if topology.has_bus else topology.parameters
    present, wanted = (conditionals(chosen.family, values) for values in (own, chosen.values))
    if differing := sorted(name for name in wanted if wanted[name] != present[name]):
        raise InvalidParameterCombination(
            f"{differing[0]} is {present[differing[0]]} in {topology.parameter_group} and {wanted[differing[0]]} in {chosen.name}. "
            "It cannot be changed of a cache that exists, so both groups must have the same value."
        )


def say_parameter_group(ctx: Context, cache_clusters: Iterable[str], group: str) -> None:
    """Write down that these cache clusters use the parameter group."""
    for name in cache_clusters:
        ctx.say(Kind.CACHE_CLUSTER.value, name, f"Updated to use a CacheParameterGroup {group}")


def _chosen(group: DefaultGroup | ParameterGroup) -> ChosenGroup:
    if isinstance(group, ParameterGroup):
        return ChosenGroup(group.name, group.family, group.cluster_mode, group.differing)
    return ChosenGroup(group.name, group.family, group.cluster_mode, (("cluster-enabled", "yes"),) if group.cluster_mode else ())


def subnet_group(ctx: Context, asked: str | None) -> str:
    """The name of the subnet group that applies. Raises CacheSubnetGroupNotFound."""
    name = (asked or "default").lower()
    if name != "default" and ctx.unit.subnet_groups.get(ctx.world, name) is None:
        raise CacheSubnetGroupNotFound(asked or name)
    return name


def _retention(days: int, of: Topology | None) -> int:
    if not 0 <= days <= LONGEST_RETENTION:
        raise InvalidParameterValue(f"Invalid value {days} for SnapshotRetentionLimit. Must be between 0 and {LONGEST_RETENTION}")
    if days and of is not None and not takes_snapshots(of.node_type):
        raise InvalidParameterCombination(f"SnapshotRetentionLimit can only be 0 on {of.node_type}, of which no snapshots can be taken.")
    return days


def _checked_security_groups(asked: list[str]) -> tuple[str, ...]:
    for group in asked:
        if not (group.startswith("sg-") and 4 <= len(group) <= 64 and group[3:].replace("-", "").isalnum() and group.isascii()):
            raise InvalidParameterValue(f"{group[:60]!r} is not a security group id; they look like sg-0123456789abcdef0.")
    if len(asked) > MOST_SECURITY_GROUPS:
        raise InvalidParameterValue(f"{len(asked)} security groups were given; there can be {MOST_SECURITY_GROUPS} at most.")
    return tuple(asked)
