"""More node groups, fewer, or as many with the slots shared out evenly: new owners of slots are desired, and slots move by and by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api_schemas.agent.transit import TransitMode
from api_schemas.faults import (
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupsPerReplicationGroupQuotaExceeded,
    NodeQuotaForClusterExceeded,
)
from api_schemas.replication_group import (
    MODIFY_SHARD_CONFIGURATION,
    ModifyReplicationGroupShardConfiguration,
    ReplicationGroupResult,
    ReshardingConfiguration,
)
from controlplane.domain import status as s
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.mesh import moves_atomically
from controlplane.domain.naming import node_group_id, shard_member_id
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.slots import even_transfers, number_of_slots
from controlplane.domain.topology import ClusterMode, Kind, Node, NodeGroup, Topology
from controlplane.operations import describe, layout
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.operations.settings import say_parameter_group
from controlplane.operations.shards import MOST_NODES, MOST_SHARDS
from controlplane.operations.tagging import copy_to_members

_FIRST_RESHARDABLE = (3, 2, 10)


@performs(MODIFY_SHARD_CONFIGURATION)
def modify_shard_configuration(ctx: Context, asked: ModifyReplicationGroupShardConfiguration) -> ReplicationGroupResult:
    """Write down which node groups there shall be and which slots shall move; engines move them while clients go on."""
    topology = ctx.replication_group(asked.replication_group_id)
    _must_be_reshardable(topology, asked)
    if ctx.status(topology) != s.AVAILABLE:
        raise InvalidReplicationGroupState("Replication group must be in available state to modify.")
    wanted = asked.node_group_count
    present = len(topology.node_groups)
    if wanted > present:
        changed = _with_more(ctx, topology, asked)
    elif wanted < present:
        changed = _with_fewer(ctx, topology, asked)
    else:
        _must_name_nothing(asked, "the number of node groups stays the same")
        changed = topology
    changed = _resharded(changed)
    if changed.resharding is None and changed == topology:
        raise InvalidParameterCombination("No modifications were requested: the slots are shared out evenly already.")
    saved = ctx.unit.topologies.save(replace(changed, modifying=True))
    fresh = [node.id for node in saved.nodes if topology.node(node.id) is None]
    copy_to_members(ctx, saved, fresh)
    say_parameter_group(ctx, fresh, saved.parameter_group)
    moved = saved.resharding.slots if saved.resharding else 0
    said = f"Resharding from {present} to {wanted} node groups started: {moved} slots are to move"
    ctx.say(Kind.REPLICATION_GROUP.value, saved.name, said)
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, saved))


def _must_be_reshardable(topology: Topology, asked: ModifyReplicationGroupShardConfiguration) -> None:
    if not asked.apply_immediately:
        raise InvalidParameterValue("ApplyImmediately must be true: node groups change at once, not in a maintenance window.")
    if topology.cluster_mode is not ClusterMode.ENABLED:
        raise InvalidParameterCombination(
            f"The node groups of {topology.name} cannot be changed: its cluster mode is {topology.cluster_mode.value}, and must be enabled."
        )
    if engine_version(topology.engine, topology.engine_version).numbers < _FIRST_RESHARDABLE:
        raise InvalidParameterCombination(f"Resharding needs version 3.2.10 or later, not {topology.engine} {topology.engine_version}.")
    if asked.node_group_count < 1:
        raise InvalidParameterValue(f"Invalid value {asked.node_group_count} for NodeGroupCount. Must be at least 1")
    if asked.node_group_count > MOST_SHARDS:
        raise NodeGroupsPerReplicationGroupQuotaExceeded(MOST_SHARDS)
    if topology.transit is TransitMode.REQUIRED and any(_moves_in_clear(group.primary_node) for group in topology.node_groups):
        raise InvalidParameterCombination(
            "Slots cannot be moved with TransitEncryptionMode required: these engines speak no TLS themselves, and move keys in clear. "
            "Upgrade the group to Valkey 9.0 or later, which moves slots as a replica would, or create one with mode preferred."
        )


def _moves_in_clear(primary: Node | None) -> bool:
    """Whether a primary would knock in clear, from another address than its own, at others' fronts, which refuse that."""
    return primary is not None and primary.placement is not None and not primary.placement.binary.tls and not moves_atomically(primary)


def _must_name_nothing(asked: ModifyReplicationGroupShardConfiguration, why: str) -> None:
    lists = {
        "NodeGroupsToRemove": asked.node_groups_to_remove,
        "NodeGroupsToRetain": asked.node_groups_to_retain,
        "ReshardingConfiguration": asked.resharding_configuration,
    }
    for name, named in lists.items():
        if named:
            raise InvalidParameterCombination(f"{name} cannot be given: {why}.")


def _with_more(ctx: Context, topology: Topology, asked: ModifyReplicationGroupShardConfiguration) -> Topology:
    """With new node groups, which own nothing yet and have as many nodes as the smallest that there is."""
    if asked.node_groups_to_remove or asked.node_groups_to_retain:
        raise InvalidParameterCombination("NodeGroupsToRemove and NodeGroupsToRetain are for fewer node groups, not for more.")
    number = asked.node_group_count - len(topology.node_groups)
    size = min(len(group.staying) for group in topology.node_groups)
    if len(list(topology.nodes)) + number * size > MOST_NODES:
        raise NodeQuotaForClusterExceeded(MOST_NODES)
    parts = _parts(topology, asked, number)
    ids = _new_ids(topology, parts)
    zones = [_zones(ctx, part, size, len(topology.node_groups) + place) for place, part in enumerate(parts)]
    layout.must_be_servable(ctx, engine_version(topology.engine, topology.engine_version), [zone for each in zones for zone in each])
    layout.must_have_room(ctx, number * size)
    fresh = tuple(_new_group(ctx, topology, name, each) for name, each in zip(ids, zones, strict=True))
    grown = replace(topology, node_groups=tuple(sorted((*topology.node_groups, *fresh), key=lambda group: group.id)))
    layout.must_fit(ctx, grown)
    return grown


def _parts(topology: Topology, asked: ModifyReplicationGroupShardConfiguration, number: int) -> list[ReshardingConfiguration]:
    """What is said of each new node group: of these alone, or of all there will be, the present ones first or by their ids."""
    said = asked.resharding_configuration
    if not said:
        return [ReshardingConfiguration() for _ in range(number)]
    if len(said) == number:
        return said
    if len(said) != asked.node_group_count:
        raise InvalidParameterValue(
            f"ReshardingConfiguration describes {len(said)} node groups; it can describe the {number} new ones, "
            f"or all {asked.node_group_count}."
        )
    present = {group.id for group in topology.node_groups}
    named = [part for part in said if part.node_group_id and node_group_id(part.node_group_id) in present]
    rest = [part for part in said if part not in named]
    return rest if named and len(rest) == number else said[-number:]


def _new_ids(topology: Topology, parts: Sequence[ReshardingConfiguration]) -> list[str]:
    """The ids that were asked for, else the numbers after the highest that is taken."""
    taken = {group.id for group in topology.node_groups}
    asked = [node_group_id(part.node_group_id) for part in parts if part.node_group_id]
    if asked and len(asked) != len(parts):
        raise InvalidParameterCombination("Give a NodeGroupId to every new node group, or to none.")
    if len(set(asked)) != len(asked) or taken & set(asked):
        raise InvalidParameterValue("Two node groups would have the same NodeGroupId.")
    highest = max(map(int, taken))
    names = asked or [f"{highest + step:04d}" for step in range(1, len(parts) + 1)]
    if any(len(name) > 4 for name in names):
        raise InvalidParameterValue("There is no NodeGroupId of four digits left; give one for each new node group.")
    return names


def _zones(ctx: Context, part: ReshardingConfiguration, size: int, place: int) -> list[str]:
    zones = part.preferred_availability_zones
    if zones and len(zones) != size:
        raise InvalidParameterValue(f"{len(zones)} PreferredAvailabilityZones were given for {size} nodes; give one for each.")
    return layout.spread(ctx, size, zones, start=place)


def _new_group(ctx: Context, topology: Topology, name: str, zones: Sequence[str]) -> NodeGroup:
    ids = [layout.free_member(ctx, shard_member_id(topology.name, name, number)) for number in range(1, len(zones) + 1)]
    nodes = tuple(Node(node_id, zone, born=topology.version) for node_id, zone in zip(ids, zones, strict=True))
    return NodeGroup(name, nodes, primary=nodes[0].id)


def _with_fewer(ctx: Context, topology: Topology, asked: ModifyReplicationGroupShardConfiguration) -> Topology:
    """With the node groups that are to go marked as leaving: they stay until they own nothing."""
    if asked.resharding_configuration:
        raise InvalidParameterCombination("ReshardingConfiguration is for new node groups; there shall be fewer.")
    if bool(asked.node_groups_to_remove) == bool(asked.node_groups_to_retain):
        raise InvalidParameterCombination("Give either NodeGroupsToRemove or NodeGroupsToRetain when there shall be fewer node groups.")
    present = [group.id for group in topology.node_groups]
    named = [node_group_id(name) for name in asked.node_groups_to_remove or asked.node_groups_to_retain]
    if unknown := [name for name in named if name not in present]:
        raise InvalidParameterValue(f"Node group {unknown[0]} is not one of {topology.name}, which has {', '.join(present)}.")
    going = named if asked.node_groups_to_remove else [name for name in present if name not in named]
    if len(set(named)) != len(named) or len(present) - len(going) != asked.node_group_count:
        raise InvalidParameterCombination(
            f"From {len(present)} to {asked.node_group_count} node groups there are {len(present) - asked.node_group_count} to remove "
            f"and {asked.node_group_count} to retain, but {len(set(named))} are named."
        )
    groups = tuple(
        replace(group, roll=group.roll + 1, roll_for=None, leaving=group.id in going, emptied_at=None if group.slots else ctx.now)
        for group in topology.node_groups
    )  # the roll is called so that all tell anew what they hold
    return replace(topology, node_groups=groups)


def _resharded(topology: Topology) -> Topology:
    """With the fewest slots to move until those who stay own as many each."""
    owned = {group.id: group.slots for group in topology.node_groups}
    moves = even_transfers(owned, [group.id for group in topology.node_groups if not group.leaving])
    if not moves:
        return topology
    under_way = tuple(SlotMove(move.source, move.target, move.slots) for move in moves)
    fits = not any(group.leaving for group in topology.node_groups)  # else that is seen first
    return replace(topology, resharding=Resharding(under_way, sum(number_of_slots(move.slots) for move in moves), fits))
