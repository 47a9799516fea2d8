"""What the nodes of a cache shall be made of: node type, engine and version, asked for together, done at once or in the window."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from api_schemas.faults import InsufficientCacheClusterCapacity, InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import EngineVersion, engine_version, normalised_engine
from controlplane.domain.hosts import Room, demand_of
from controlplane.domain.node_types import MIB, must_support, node_type
from controlplane.domain.renewal import remade
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import ClusterMode, Make, Node, NodeGroup, Remake, Topology
from controlplane.operations import layout
from controlplane.operations.context import Context
from controlplane.operations.node_types import allowed_node_types
from controlplane.operations.parameter_groups import parameter_group
from controlplane.operations.settings import ChosenGroup, must_agree_on_conditionals, parameter_group_for, switched
from controlplane.store.hosts import seen_agents


class AskedMake(Protocol):
    """The fields of a modify request that say what nodes shall be made of, and when."""

    @property
    def cache_node_type(self) -> str | None: ...
    @property
    def engine(self) -> str | None: ...
    @property
    def engine_version(self) -> str | None: ...
    @property
    def cache_parameter_group_name(self) -> str | None: ...
    @property
    def apply_immediately(self) -> bool | None: ...


def with_make(ctx: Context, topology: Topology, asked: AskedMake) -> Topology:
    """The topology with the node type, engine, version and parameter group that are asked for: begun with, or waiting for the window.

    An immediate call does what was pending as well. Raises faults for what cannot be.
    """
    if topology.remake is not None and topology.remake.cluster_mode is not None:
        return _beside_a_cluster_mode(ctx, topology, asked, topology.remake)
    version = _version(topology, asked)
    pending = topology.remake.make if topology.remake else topology.make
    must_change = (version.engine, version.version) != (topology.engine, topology.engine_version)
    size = _node_type(topology, version, asked) if asked.cache_node_type else pending.node_type
    _must_not_wait_for_an_upgrade(topology, asked, size)
    wanted = Make(version.engine, version.version, size, topology.has_bus, transit=pending.transit)
    family = engine_version(topology.engine, topology.engine_version).family
    if version.family == family:
        changed, remake = switched(ctx, topology, asked.cache_parameter_group_name), Remake(wanted)
    else:
        group = _group_of_the_family(ctx, topology, version, family, asked.cache_parameter_group_name)
        changed, remake = topology, Remake(wanted, group.name, group.values)
    if wanted == topology.make:
        return replace(changed, remake=None)
    _must_be_possible(ctx, changed, version, remake, is_upgrade=must_change)
    if not asked.apply_immediately:
        return replace(changed, remake=remake)
    must_have_room(ctx, changed, remake)
    return remade(changed, remake)


def _beside_a_cluster_mode(ctx: Context, topology: Topology, asked: AskedMake, pending: Remake) -> Topology:
    """While a change of the cluster mode waits, nothing that must be changed alone goes beside it; an immediate call does it."""
    if asked.cache_node_type or asked.engine or asked.engine_version or asked.cache_parameter_group_name:
        raise InvalidParameterCombination(
            f"A change of ClusterMode to {pending.cluster_mode} waits for the maintenance window. Cancel it by asking for the present one."
        )
    return remade(topology, pending) if asked.apply_immediately else topology


def _version(topology: Topology, asked: AskedMake) -> EngineVersion:
    """The engine and version that are asked for, else those that are pending, else those that there are. Up only."""
    base = topology.remake.make if topology.remake else topology.make
    engine = normalised_engine(asked.engine) if asked.engine else base.engine if not asked.engine_version else topology.engine
    present = engine_version_of(topology)
    if engine != topology.engine and (topology.engine, engine) != ("redis", "valkey"):
        raise InvalidParameterCombination(f"{topology.engine} cannot become {engine}; only redis can become valkey.")
    if asked.engine and engine != topology.engine and not asked.engine_version:
        if engine == base.engine:
            return engine_version(base.engine, base.engine_version)
        raise InvalidParameterCombination(f"To become {engine} needs an EngineVersion beside Engine.")
    if not asked.engine_version:
        return engine_version(base.engine, base.engine_version) if engine == base.engine else present
    if engine == topology.engine and asked.engine_version in (present.version, present.full):
        return present
    version = engine_version(engine, asked.engine_version)
    if engine == topology.engine and version.numbers < present.numbers:
        raise InvalidParameterCombination(
            f"{engine} {present.version} cannot become the earlier {version.version}: an engine can only be upgraded."
        )
    return version


def engine_version_of(topology: Topology) -> EngineVersion:
    """The version that the topology has."""
    return engine_version(topology.engine, topology.engine_version)


def _node_type(topology: Topology, version: EngineVersion, asked: AskedMake) -> str:
    name = asked.cache_node_type or ""
    if name == topology.node_type:
        return name
    if not any(name in allowed for allowed in allowed_node_types(topology, version)):
        node_type(name)  # says so if there is none
        raise InvalidParameterValue(
            f"The cache node type {name} is not one that {topology.node_type} can become with {version.engine} {version.version}. "
            "ListAllowedNodeTypeModifications lists those."
        )
    return name


def _must_not_wait_for_an_upgrade(topology: Topology, asked: AskedMake, size: str) -> None:
    """A node type cannot change while an upgrade is pending, unless both are asked for in one immediate call."""
    pending = topology.remake.make if topology.remake else topology.make
    if (pending.engine, pending.engine_version) == (topology.engine, topology.engine_version):
        return
    both_at_once = bool(asked.apply_immediately) and bool(asked.engine_version)
    if asked.cache_node_type and size not in (topology.node_type, pending.node_type) and not both_at_once:
        raise InvalidParameterCombination(
            f"The node type cannot be changed while the upgrade to {pending.engine} {pending.engine_version} waits for the maintenance "
            "window. Ask for both in one call with ApplyImmediately, or cancel the upgrade by asking for the present version."
        )


def _group_of_the_family(ctx: Context, topology: Topology, version: EngineVersion, family: str, asked: str | None) -> ChosenGroup:
    """The parameter group that goes with another family: the one that is named, or its default where the present one is the default."""
    pending = topology.remake.parameter_group if topology.remake else None
    if asked:
        chosen = parameter_group_for(ctx, asked, version)
    elif pending and parameter_group_family(ctx, pending) == version.family:
        chosen = parameter_group_for(ctx, pending, version)
    elif topology.parameter_group.startswith("default."):
        return parameter_group_for(ctx, None, version, cluster_mode=topology.has_bus)
    else:
        raise InvalidParameterCombination(
            f"{topology.parameter_group} is of family {family}, and {version.engine} {version.version} needs a parameter group of family "
            f"{version.family}: give one in the same call as CacheParameterGroupName."
        )
    must_agree_on_conditionals(topology, chosen)
    return chosen


def parameter_group_family(ctx: Context, name: str) -> str:
    """The family of a parameter group that there is."""
    return parameter_group(ctx, name).family


def _must_be_possible(ctx: Context, topology: Topology, version: EngineVersion, remake: Remake, *, is_upgrade: bool) -> None:
    if topology.cluster_mode is ClusterMode.COMPATIBLE:
        raise InvalidParameterCombination(
            "Neither the node type nor the engine can be changed with ClusterMode compatible. Change ClusterMode to enabled first."
        )
    must_support(node_type(remake.make.node_type), version)
    if is_upgrade:
        layout.must_be_servable(ctx, version, [node.zone for node in topology.members])
    if not topology.is_memcached:
        _must_hold_its_data(ctx, topology, remake)


def _must_hold_its_data(ctx: Context, topology: Topology, remake: Remake) -> None:
    """Raises InvalidParameterCombination where a primary holds more than a new node could, as far as was told."""
    most, reported = _resources_memory(topology, remake), ctx.reported(topology)
    for group in topology.node_groups:
        seen = reported.nodes.get(group.primary or "")
        if seen is not None and seen.used_memory > most:
            raise InvalidParameterCombination(
                f"The data of {group.primary} does not fit: it uses {seen.used_memory / MIB:.0f} MiB, and a node of type "
                f"{remake.make.node_type} can hold {most / MIB:.0f} MiB. Nothing was changed; choose a larger type or delete data first."
            )


def _resources_memory(topology: Topology, remake: Remake) -> int:
    parameters = None if remake.parameter_group is None else remake.parameters
    return resources_of(topology, replace(remake.make, parameters=parameters)).memory


def must_have_room(ctx: Context, topology: Topology, remake: Remake) -> None:
    """Raises InsufficientCacheClusterCapacity when a host of no zone has room for a node as it shall be, where it is or elsewhere."""
    room = Room(seen_agents(ctx.unit))
    for group in topology.node_groups:
        for node in group.staying:
            _take_room(room, topology, remake, group, node)
        if len(group.replicas) <= 1 and (primary := group.primary_node) is not None:
            _must_find(room, topology, remake, group, primary, but=())  # for the one that stands in meanwhile


def _take_room(room: Room, topology: Topology, remake: Remake, group: NodeGroup, node: Node) -> None:
    if node.placement is None:
        return
    had, wanted = demand_of(topology, node.make), demand_of(topology, remake.make)
    if room.stay(node.placement.agent, node.zone, wanted, instead_of=had) is None:
        _must_find(room, topology, remake, group, node, but=(node.placement.agent,))
    else:
        room.exchange(node.placement.agent, had, wanted)


def _must_find(room: Room, topology: Topology, remake: Remake, group: NodeGroup, node: Node, but: tuple[str, ...]) -> None:
    wanted = demand_of(topology, remake.make)
    beside = [room.host_of(other.placement.agent) for other in group.staying if other.placement is not None and other is not node]
    place = room.find(node.zone, wanted, beside, but)
    if place is not None:
        room.take(place, wanted)
    elif room.is_full(node.zone, wanted):
        raise InsufficientCacheClusterCapacity(
            f"No host in {node.zone} has {wanted.memory / 2**30:.2f} GiB left to make {node.id} anew as {remake.make.node_type}. "
            "Nothing was changed; choose a smaller node type, or have another agent join."
        )
