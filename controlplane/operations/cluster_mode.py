"""Whether a new replication group is in cluster mode, and with which parameter group: several members of a request decide it together."""

from __future__ import annotations

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.engine_versions import EngineVersion
from controlplane.domain.topology import ClusterMode
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


def _mode_said(asked: str | None) -> ClusterMode | None:
    if not asked:
        return None
    try:
        return ClusterMode(asked.lower())
    except ValueError:
        known = ", ".join(ClusterMode)
        raise InvalidParameterValue(f"Invalid value {asked[:40]!r} for ClusterMode. Must be one of: {known}") from None
