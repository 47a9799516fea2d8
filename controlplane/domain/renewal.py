"""How a topology becomes something else: what is desired of its nodes changes, and each stays what it is until it is made anew."""

from __future__ import annotations

from dataclasses import replace

from controlplane.domain.slots import even_slots
from controlplane.domain.topology import Make, Node, NodeGroup, Remake, Renewal, Topology

Values = tuple[tuple[str, str], ...]


def spare_id(node_id: str) -> str:
    """The id of the node that is there while that one is made anew. No cache cluster can have it: it has two hyphens in a row."""
    return f"{node_id}--spare"


def remade(topology: Topology, wanted: Remake) -> Topology:
    """Its nodes shall be made of something else from now on; until each is, it stays what it is. Nothing of that is pending any more.

    Every node is to tell its state anew, for how much it holds counts.
    """
    former = Remake(topology.make, cluster_mode=topology.cluster_mode if wanted.cluster_mode else None)
    if wanted.parameter_group is not None:
        former = replace(former, parameter_group=topology.parameter_group, parameters=topology.parameters)
    turned = _turned_into(topology, wanted)
    called = tuple(replace(group, roll=group.roll + 1, roll_for=None) for group in turned.node_groups)
    return replace(turned, node_groups=called, remake=None, renewal=Renewal(former, fits=topology.is_memcached), modifying=True)


def gone_back(topology: Topology) -> Topology:
    """Its nodes shall be again what they were before the renewal that goes on."""
    if topology.renewal is None:
        return topology
    renewal = Renewal(topology.renewal.former, fits=True, proven=True, given_up=True)
    turned = replace(_turned_into(topology, renewal.former), renewal=renewal)
    for group in turned.node_groups:
        if (spare := group.spare) is not None and spare.id != group.primary:
            turned = turned.with_node(replace(spare, leaving=True))
    return turned


def renewed(topology: Topology) -> Topology:
    """Every node is what it shall be."""
    groups = tuple(
        replace(group, nodes=tuple(replace(node, make=None, withdrawn=False) for node in group.nodes)) for group in topology.node_groups
    )
    return replace(topology, node_groups=groups, renewal=None)


def with_spare(topology: Topology, group: NodeGroup) -> Topology:
    """One more node in the node group, beside its primary, that no caller sees; one is enough."""
    primary = group.primary_node
    if primary is None or group.spare is not None:
        return topology
    node = Node(spare_id(primary.id), primary.zone, temporary=True, born=topology.version)
    return on_trial(topology.with_group(replace(group, nodes=(*group.nodes, node))), node)


def on_trial(topology: Topology, node: Node) -> Topology:
    """The node is the first that is made anew, unless one was already and is still there."""
    renewal = topology.renewal
    if renewal is None or renewal.proven or (renewal.trial is not None and topology.node(renewal.trial) is not None):
        return topology
    return replace(topology, renewal=replace(renewal, trial=node.id, trial_boot=node.boot))


def with_values_of(topology: Topology, parameter_group: str, values: Values) -> Topology:
    """The same topology after that parameter group was changed, which it uses, did use or is about to."""
    changed = replace(topology, parameters=values) if topology.parameter_group == parameter_group else topology
    if changed.remake is not None and changed.remake.parameter_group == parameter_group:
        changed = replace(changed, remake=replace(changed.remake, parameters=values))
    if changed.renewal is not None and changed.renewal.former.parameter_group == parameter_group:
        changed = replace(changed, renewal=replace(changed.renewal, former=replace(changed.renewal.former, parameters=values)))
    return changed


def _turned_into(topology: Topology, wanted: Remake) -> Topology:
    """Another make is desired; every node is pinned to that which it has."""
    make, turned = topology.make, topology
    if wanted.parameter_group is not None:
        make = replace(make, parameters=topology.parameters)  # those of the other group may mean nothing to it
        turned = replace(turned, parameter_group=wanted.parameter_group, parameters=wanted.parameters)
    for node in topology.nodes:
        turned = turned.with_node(replace(node, make=_none_if(node.make or make, wanted.make)))
    if wanted.cluster_mode is not None:
        groups = tuple(_with_slots(group, has_bus=wanted.make.clustered) for group in turned.node_groups)
        turned = replace(turned, cluster_mode=wanted.cluster_mode, node_groups=groups)
    made = wanted.make
    return replace(turned, engine=made.engine, engine_version=made.engine_version, node_type=made.node_type, transit=made.transit)


def _with_slots(group: NodeGroup, *, has_bus: bool) -> NodeGroup:
    """Outside cluster mode there are none; a group that comes from there owns all."""
    if not has_bus:
        return replace(group, slots=())
    return group if group.slots else replace(group, slots=even_slots(1)[0])


def _none_if(make: Make, wanted: Make) -> Make | None:
    """None for one that is what is wanted anyway, but for parameters."""
    return None if replace(make, parameters=None) == wanted else make
