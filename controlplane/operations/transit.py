"""Encryption in transit as callers ask for it: at a creation, and in the service's two steps for a group that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from api_schemas.agent.transit import TransitMode
from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import ModifyReplicationGroup
from controlplane.domain.binaries import best_binary
from controlplane.domain.engine_versions import EngineVersion
from controlplane.domain.renewal import remade
from controlplane.domain.topology import Endpoints, Remake, Topology
from controlplane.domain.transit import why_not, why_not_switched
from controlplane.operations.context import Context
from controlplane.operations.renewal import engine_version_of, must_have_room
from controlplane.store.hosts import seen_agents

_STEPS: dict[TransitMode | None, tuple[TransitMode | None, ...]] = {
    None: (TransitMode.PREFERRED,),
    TransitMode.PREFERRED: (TransitMode.REQUIRED, None),
    TransitMode.REQUIRED: (TransitMode.PREFERRED,),
}


class AskedTransit(Protocol):
    """The fields of a request that say how something is encrypted."""

    @property
    def transit_encryption_enabled(self) -> bool | None: ...


def new_transit(ctx: Context, asked: AskedTransit, version: EngineVersion, zones: Sequence[str]) -> TransitMode | None:
    """How something new is encrypted. Raises InvalidParameterCombination where it cannot be as asked, InvalidParameterValue for no mode."""
    mode = _mode_said(getattr(asked, "transit_encryption_mode", None))
    if not asked.transit_encryption_enabled:
        if mode is not None:
            raise InvalidParameterCombination("TransitEncryptionMode needs TransitEncryptionEnabled: set that to true.")
        return None
    chosen = mode or TransitMode.REQUIRED
    if (because := why_not(version)) is not None:
        raise InvalidParameterCombination(f"TransitEncryptionEnabled cannot be true: {because}.")
    _must_be_served(ctx, version, ctx.style.new, chosen, zones)
    return chosen


def with_transit(ctx: Context, group: Topology, asked: ModifyReplicationGroup) -> Topology:
    """The group as it is while its nodes are made anew, one after another, for the next of the two steps.

    Raises InvalidParameterCombination for two steps at once, and for what is not to be had.
    """
    wanted = _wanted(group, asked)
    if wanted == group.transit:
        return group
    _must_be_alone(asked)
    if not asked.apply_immediately:
        raise InvalidParameterCombination("Encryption in transit is switched at once: set ApplyImmediately to true.")
    if wanted not in _STEPS[group.transit]:
        raise InvalidParameterCombination(
            f"TransitEncryptionMode cannot go from {group.transit or 'off'} to {wanted or 'off'} in one step: clients "
            "would be cut off. Change it to preferred first, then have every client follow."
        )
    if wanted is None and not group.guard.is_open and not ctx.access_without_tls:
        raise InvalidParameterCombination(
            f"TransitEncryptionEnabled cannot be false: {group.name} has a user group or an AuthToken, whose passwords would go in clear. "
            "Remove the user group first; an AuthToken by way of a user group."
        )
    version = engine_version_of(group)
    if (because := why_not_switched(version)) is not None:
        raise InvalidParameterCombination(f"TransitEncryptionEnabled cannot be changed: {because}.")
    if group.has_bus:
        raise InvalidParameterCombination(
            "Encryption in transit cannot be switched in cluster mode yet: while only some nodes are encrypted, they would not understand "
            "one another on the cluster bus. Create another group from a snapshot of this one, with TransitEncryptionEnabled as wanted."
        )
    if group.remake is not None:
        raise InvalidParameterCombination(
            "Another node type or version waits for the maintenance window. Cancel it by asking for the present one, or have it done first."
        )
    if wanted is not None:
        _must_be_served(ctx, version, group.endpoints, wanted, [node.zone for node in group.members])
    remake = Remake(replace(group.make, transit=wanted))
    must_have_room(ctx, group, remake)
    return remade(group, remake)


def _wanted(group: Topology, asked: ModifyReplicationGroup) -> TransitMode | None:
    mode = _mode_said(asked.transit_encryption_mode)
    if asked.transit_encryption_enabled is False:
        if mode is not None:
            raise InvalidParameterCombination("TransitEncryptionMode cannot be given to switch encryption off: leave it out.")
        return None
    if mode is None and asked.transit_encryption_enabled and group.transit is None:
        raise InvalidParameterCombination(
            "To switch encryption in transit on, give TransitEncryptionMode preferred as well; required is the next step."
        )
    if mode is not None and group.transit is None and not asked.transit_encryption_enabled:
        raise InvalidParameterCombination("TransitEncryptionMode needs TransitEncryptionEnabled: set it to true as well.")
    return mode or group.transit


def _must_be_alone(asked: ModifyReplicationGroup) -> None:
    names = asked.aws_names()
    beside = {"replication_group_id", "transit_encryption_enabled", "transit_encryption_mode", "apply_immediately"}
    of_make = ("cache_node_type", "engine", "engine_version", "cache_parameter_group_name", "cluster_mode", "primary_cluster_id")
    given = [name for name in of_make if name not in beside and getattr(asked, name)]
    if given:
        raise InvalidParameterCombination(f"Encryption in transit must be switched alone: leave out {names[given[0]]}.")


def _must_be_served(ctx: Context, version: EngineVersion, endpoints: Endpoints, mode: TransitMode, zones: Sequence[str]) -> None:
    """Over several hosts only by engines that speak TLS: before another, a relay would leave what goes between nodes in clear.

    Between nodes of Memcached nothing goes.
    """
    if endpoints is not Endpoints.NAMED or version.engine == "memcached":
        return
    if mode is TransitMode.PREFERRED:
        raise InvalidParameterCombination(
            "TransitEncryptionMode preferred cannot be had with named endpoints: where clients may come in clear, so do replicas, from "
            "other hosts. Use required."
        )
    agents = seen_agents(ctx.unit)
    for zone in sorted(set(zones)):
        offered = [binary for agent in agents if agent.zone == zone[-1:] for binary in agent.binaries]
        best = best_binary(version.engine, version.version, offered, tls=True)
        if best is None or not best.tls:
            told = f"{best.engine} {best.version}" if best else "nothing"
            raise InvalidParameterCombination(
                f"{version.engine} {version.version} is served in {zone} by {told}, which speaks no TLS, and with named endpoints replicas "
                "come from other hosts. Install a program that does: redis-server of Debian or Ubuntu (Redis 7.0), or a valkey-server on "
                "PATH that was built with BUILD_TLS=yes; then start the agents again."
            )


def _mode_said(asked: str | None) -> TransitMode | None:
    if not asked:
        return None
    try:
        return TransitMode(asked.lower())
    except ValueError:
        known = ", ".join(TransitMode)
        raise InvalidParameterValue(f"Invalid value {asked[:40]!r} for TransitEncryptionMode. Must be one of: {known}") from None
