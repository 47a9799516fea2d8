"""Injected faults: begin one, show them, end one. Agents are told by the fault pusher; here it is only written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from api_schemas.agent.agent import AgentHello
from api_schemas.fault import (
    CREATE_FAULT,
    DELETE_FAULT,
    DESCRIBE_FAULTS,
    CreateFault,
    DeleteFault,
    DescribeFaults,
    FaultResult,
    Faults,
    FaultTarget,
)
from api_schemas.fault import InjectedFault as ShownFault
from api_schemas.fault_kind import ON_NODES, FaultKind
from api_schemas.faults import CacheClusterNotFound, FaultNotFound, InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.fault import CANCELLED, InjectedFault, StruckNode, Target, beginning, end, lacking
from controlplane.domain.topology import Kind, Node, Topology
from controlplane.operations.context import Context
from controlplane.operations.layout import checked_zone
from controlplane.operations.performs import performs

_NODES = "cache_cluster_id or replication_group_id"
_WANTS = {
    FaultKind.CRASH: _NODES,
    FaultKind.HANG: _NODES,
    FaultKind.SLOW: _NODES,
    FaultKind.POWER_LOSS: "zone, alone or with replication_group_id",
    FaultKind.ISOLATION: "zone",
    FaultKind.CUT: "zones, two of them",
    FaultKind.SILENCE: "zone",
}


@performs(CREATE_FAULT)
def create_fault(ctx: Context, asked: CreateFault) -> FaultResult:
    """Write down that a fault begins now, where every agent that it takes is able to do it."""
    kind = FaultKind(asked.kind)
    target = _target(ctx, kind, asked)
    struck = list(_struck(ctx, target))
    nodes = tuple(
        StruckNode(_name(topology, node), topology.key(node), node.placement.agent, node.boot)
        for topology, node in struck
        if node.placement is not None
    )
    fault = InjectedFault(
        id=f"fault-{ctx.clock.uid()}", world=ctx.world, kind=kind, target=target, started_at=ctx.now,
        ends_at=ctx.now + timedelta(seconds=asked.duration_seconds), nodes=nodes, sources=_sources(ctx, target, struck),
        slowness=asked.slowness if kind is FaultKind.SLOW else 0.0, problems=tuple(_problems(ctx, struck)),
    )  # fmt: skip
    _must_be_possible(fault, _agents(ctx, fault))
    ctx.unit.faults.save(fault)
    for source_type, source in fault.sources:
        ctx.say(source_type, source, beginning(fault))
    return FaultResult(fault=_shown(ctx, fault))


@performs(DESCRIBE_FAULTS)
def describe_faults(ctx: Context, asked: DescribeFaults) -> Faults:
    """Show the faults of the caller's world."""
    found = [fault for fault in ctx.unit.faults.of(ctx.world) if asked.status in (None, _status(fault))]
    return Faults(faults=[_shown(ctx, fault) for fault in found])


@performs(DELETE_FAULT)
def delete_fault(ctx: Context, asked: DeleteFault) -> FaultResult:
    """End a fault now; one that has ended already stays as it is."""
    found = ctx.unit.faults.get(asked.fault_id)
    if found is None or found.world != ctx.world:
        raise FaultNotFound(asked.fault_id)
    if found.is_active:
        found = found.ended(ctx.now, CANCELLED)
        ctx.unit.faults.save(found)
        for source_type, source in found.sources:
            ctx.say(source_type, source, end(found))
    return FaultResult(fault=_shown(ctx, found))


def _target(ctx: Context, kind: FaultKind, asked: CreateFault) -> Target:
    """What the caller named. Raises InvalidParameterCombination for a target that the kind cannot have, or a NotFound."""
    named = Target(asked.cache_cluster_id, asked.cache_node_id, asked.replication_group_id, asked.zone, tuple(asked.zones))
    if not _fits(kind, named):
        raise InvalidParameterCombination(f"A {kind.value} takes as its target {_WANTS[kind]}, and nothing else.")
    for zone in (*named.zones, *([named.zone] if named.zone else [])):
        checked_zone(ctx, zone)
    return named


def _fits(kind: FaultKind, named: Target) -> bool:
    given = {
        "cache_cluster": named.cache_cluster is not None,
        "cache_node": named.cache_node is not None,
        "replication_group": named.replication_group is not None,
        "zone": named.zone is not None,
        "zones": bool(named.zones),
    }
    names = {name for name, is_given in given.items() if is_given}
    if kind in ON_NODES:
        return names in ({"cache_cluster"}, {"cache_cluster", "cache_node"}, {"replication_group"}, {"replication_group", "zone"})
    if kind is FaultKind.POWER_LOSS:
        return names in ({"zone"}, {"replication_group", "zone"})
    if kind is FaultKind.CUT:
        return names == {"zones"} and len(named.zones) == len(set(named.zones)) == 2
    return names == {"zone"}


def _struck(ctx: Context, target: Target) -> Iterator[tuple[Topology, Node]]:
    """The caller's nodes that the target means. Raises CacheClusterNotFound, ReplicationGroupNotFound or InvalidParameterValue."""
    if target.cache_cluster is not None:
        yield from _of_cache_cluster(ctx, target.cache_cluster, target.cache_node)
        return
    zones = set(target.zones or ([target.zone] if target.zone else []))
    topologies = [ctx.replication_group(target.replication_group)] if target.replication_group else ctx.unit.topologies.of(ctx.world)
    for topology in topologies:
        for node in topology.nodes:
            if not zones or node.zone in zones:
                yield topology, node


def _of_cache_cluster(ctx: Context, name: str, node_id: str | None) -> Iterator[tuple[Topology, Node]]:
    topology, member = ctx.cache_cluster(name)
    nodes = [member] if member is not None else list(topology.nodes)
    if node_id is not None:
        shown = {node.id if topology.is_memcached else "0001": node for node in nodes}
        if node_id not in shown:
            raise InvalidParameterValue(f"{node_id[:60]} is not a node of cache cluster {topology.name if member is None else member.id}.")
        nodes = [shown[node_id]]
    if not nodes:
        raise CacheClusterNotFound(name)
    yield from ((topology, node) for node in nodes)


def _sources(ctx: Context, target: Target, struck: Iterable[tuple[Topology, Node]]) -> tuple[tuple[str, str], ...]:
    """The resources that events are about: a member where it was named itself, else every topology that has a node in it."""
    if target.cache_cluster is not None:
        return ((Kind.CACHE_CLUSTER.value, target.cache_cluster.lower()),)
    return tuple(dict.fromkeys((topology.kind.value, topology.name) for topology, _ in struck))


def _problems(ctx: Context, struck: Iterable[tuple[Topology, Node]]) -> Iterator[str]:
    """What cannot be done, as far as can be known now: a node without a process is not struck."""
    for topology, node in struck:
        seen = ctx.reported(topology).of(node)
        if node.placement is None or seen is None or seen.phase not in ("starting", "running"):
            yield f"{_name(topology, node)} has no process now"


def _must_be_possible(fault: InjectedFault, agents: list[AgentHello]) -> None:
    """Raises InvalidParameterCombination where an agent cannot do it, or where there is nothing that it could be done to."""
    if not agents:
        raise InvalidParameterCombination(f"Nothing runs at {fault.target} yet, so no {fault.kind.value} can be injected there.")
    for hello in agents:
        if fault.kind.value not in hello.faults:
            why = lacking(fault.kind, hello.faults)
            raise InvalidParameterCombination(f"A {fault.kind.value} cannot be injected at {hello.agent}: {why}")


def _agents(ctx: Context, fault: InjectedFault) -> list[AgentHello]:
    return [hello for hello in ctx.unit.agents.all() if fault.concerns(hello.agent, hello.zone[-1:])]


def _name(topology: Topology, node: Node) -> str:
    return f"{topology.name}/{node.id}" if topology.is_memcached else node.id


def _status(fault: InjectedFault) -> str:
    return "active" if fault.is_active else "ended"


def _shown(ctx: Context, fault: InjectedFault) -> ShownFault:
    target = fault.target
    return ShownFault(
        fault_id=fault.id,
        kind=fault.kind.value,
        target=FaultTarget(cache_cluster_id=target.cache_cluster, cache_node_id=target.cache_node,
                           replication_group_id=target.replication_group, zone=target.zone, zones=list(target.zones)),
        status=_status(fault),
        started_at=fault.started_at,
        ends_at=fault.ends_at,
        ended_at=fault.ended_at,
        ended_because=fault.ended_because,
        slowness=fault.slowness if fault.kind is FaultKind.SLOW else None,
        nodes=[node.name for node in fault.nodes],
        agents=[hello.agent for hello in _agents(ctx, fault)],
        problems=list(fault.problems),
    )  # fmt: skip
