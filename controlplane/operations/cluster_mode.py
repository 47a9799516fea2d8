"""Whether a replication group is in cluster mode, and with which parameter group: of a new one several members of a request decide it."""

from __future__ import annotations

from dataclasses import replace

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import CreateReplicationGroup, ModifyReplicationGroup
from controlplane.domain.engine_versions import EngineVersion, engine_version
from controlplane.domain.renewal import remade
from controlplane.domain.topology import ClusterMode, Remake, Topology
from controlplane.operations import layout
from controlplane.operations.context import Context
from controlplane.operations.settings import ChosenGroup, parameter_group_for

_FIRST_COMPATIBLE = (7, 0)


def mode_asked(ctx: Context, asked: CreateReplicationGroup, version: EngineVersion) -> tuple[ClusterMode, ChosenGroup]:
    """The cluster mode and the parameter group.

    A group is in cluster mode when its parameter group says cluster-enabled, when ClusterMode says so, or when it has several node
    groups; one node group alone does not make it. Raises InvalidParameterCombination where these contradict one another.
    """
    several = max(asked.num_node_groups or 0, len(asked.node_group_configuration)) > 1
    named = parameter_group_for(ctx, asked.cache_parameter_group_name, version) if asked.cache_parameter_group_name else None
    said = _mode_said(asked.cluster_mode)
    mode = said or (ClusterMode.ENABLED if several or (named is not None and named.cluster_mode) else ClusterMode.DISABLED)
    group = named or parameter_group_for(ctx, None, version, cluster_mode=mode is not ClusterMode.DISABLED)
    if several and mode is not ClusterMode.ENABLED:
        raise InvalidParameterCombination(f"More than one node group needs ClusterMode enabled, not {mode.value}.")
    if group.cluster_mode != (mode is not ClusterMode.DISABLED):
        wanted = "yes" if mode is not ClusterMode.DISABLED else "no"
        why = "with more than one node group" if several else f"with ClusterMode {mode.value}"
        raise InvalidParameterCombination(f"{group.name} cannot be used {why}: that needs a parameter group with cluster-enabled={wanted}.")
    if mode is ClusterMode.COMPATIBLE and version.numbers < _FIRST_COMPATIBLE:
        raise InvalidParameterCombination(f"ClusterMode compatible needs version 7.0 or later, not {version.engine} {version.version}.")
    return mode, group


def with_cluster_mode(ctx: Context, group: Topology, asked: ModifyReplicationGroup) -> Topology:
    """The group with another cluster mode, at once or when the maintenance window opens: from compatible it is one step either way.

    Nothing but the parameter group can be changed beside it. Raises InvalidParameterCombination where it cannot be.
    """
    wanted = _mode_said(asked.cluster_mode) or group.cluster_mode
    _must_be_alone(asked)
    step = (group.cluster_mode, wanted)
    if wanted is group.cluster_mode:
        return replace(group, remake=None if group.remake and group.remake.cluster_mode else group.remake)
    if step == (ClusterMode.DISABLED, ClusterMode.COMPATIBLE):
        remake = _into_cluster_mode(ctx, group, asked)
    elif step == (ClusterMode.COMPATIBLE, ClusterMode.ENABLED):
        remake = _out_of_compatible(group, asked)
    elif step == (ClusterMode.DISABLED, ClusterMode.ENABLED):
        raise InvalidParameterCombination("ClusterMode cannot go from disabled to enabled at once. Change it to compatible first.")
    elif step == (ClusterMode.COMPATIBLE, ClusterMode.DISABLED):
        remake = _out_of_cluster_mode(ctx, group, asked)
    else:
        raise InvalidParameterCombination(f"ClusterMode enabled is final: it cannot become {wanted}.")
    return remade(group, remake) if asked.apply_immediately else replace(group, remake=remake)


def _must_be_alone(asked: ModifyReplicationGroup) -> None:
    names = asked.aws_names()
    beside = {"replication_group_id", "cluster_mode", "cache_parameter_group_name", "apply_immediately"}
    given = [name for name in type(asked).model_fields if name not in beside and getattr(asked, name) not in (None, [], "")]
    if given:
        raise InvalidParameterCombination(
            f"ClusterMode must be changed alone, with CacheParameterGroupName at most: leave out {names[given[0]]}."
        )


def _into_cluster_mode(ctx: Context, group: Topology, asked: ModifyReplicationGroup) -> Remake:
    version = engine_version(group.engine, group.engine_version)
    if version.numbers < _FIRST_COMPATIBLE:
        raise InvalidParameterCombination(f"ClusterMode compatible needs version 7.0 or later, not {version.engine} {version.version}.")
    if group.remake is not None:
        raise InvalidParameterCombination(
            "Another node type or version waits for the maintenance window. Cancel it by asking for the present one, or have it done first."
        )
    layout.checked_port(group.port, group.port, bus=True)
    if not asked.cache_parameter_group_name and not group.parameter_group.startswith("default."):
        raise InvalidParameterCombination(
            f"{group.parameter_group} has cluster-enabled=no. Give a parameter group with cluster-enabled=yes as CacheParameterGroupName."
        )
    chosen = parameter_group_for(ctx, asked.cache_parameter_group_name or None, version, cluster_mode=True)
    if not chosen.cluster_mode:
        raise InvalidParameterCombination(f"{chosen.name} cannot be used: ClusterMode compatible needs cluster-enabled=yes.")
    _must_use_one_database(ctx, group)
    return Remake(replace(group.make, clustered=True), chosen.name, chosen.values, ClusterMode.COMPATIBLE)


def _out_of_cluster_mode(ctx: Context, group: Topology, asked: ModifyReplicationGroup) -> Remake:
    if not asked.cache_parameter_group_name and not group.parameter_group.startswith("default."):
        raise InvalidParameterCombination(
            f"{group.parameter_group} has cluster-enabled=yes. Give a parameter group with cluster-enabled=no as CacheParameterGroupName."
        )
    version = engine_version(group.engine, group.engine_version)
    chosen = parameter_group_for(ctx, asked.cache_parameter_group_name or None, version, cluster_mode=False)
    if chosen.cluster_mode:
        raise InvalidParameterCombination(f"{chosen.name} cannot be used: ClusterMode disabled needs cluster-enabled=no.")
    return Remake(replace(group.make, clustered=False), chosen.name, chosen.values, ClusterMode.DISABLED)


def _must_use_one_database(ctx: Context, group: Topology) -> None:
    for part in group.node_groups:
        seen = ctx.reported(group).nodes.get(part.primary or "")
        if seen is not None and seen.databases > 1:
            raise InvalidParameterCombination(
                f"Database {seen.databases - 1} of {part.primary} holds keys, and in cluster mode there is database 0 alone. "
                "Nothing was changed; move those keys or flush that database first."
            )


def _out_of_compatible(group: Topology, asked: ModifyReplicationGroup) -> Remake:
    if not group.settings.automatic_failover:
        raise InvalidParameterCombination("ClusterMode enabled needs automatic failover: set AutomaticFailoverEnabled to true first.")
    if (asked.cache_parameter_group_name or group.parameter_group).lower() != group.parameter_group:
        raise InvalidParameterCombination("The parameter group stays what it is when ClusterMode becomes enabled: leave it out.")
    return Remake(group.make, cluster_mode=ClusterMode.ENABLED)


def _mode_said(asked: str | None) -> ClusterMode | None:
    if not asked:
        return None
    try:
        return ClusterMode(asked.lower())
    except ValueError:
        known = ", ".join(ClusterMode)
        raise InvalidParameterValue(f"Invalid value {asked[:40]!r} for ClusterMode. Must be one of: {known}") from None
