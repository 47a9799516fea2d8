"""Failover that a caller asks for, and what became of every one: who was elected, among whom and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from api_schemas.faults import (
    APICallRateForCustomerExceeded,
    FailoverTestNotAvailable,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupNotFound,
)
from api_schemas.replication_group import (
    DESCRIBE_HISTORY,
    TEST_FAILOVER,
    Candidate,
    DescribeHistory,
    Election,
    FailoverTest,
    History,
    ReplicationGroupResult,
)
from controlplane.domain import status as s
from controlplane.domain.topology import ClusterMode, Handover, Kind, NodeGroup, Topology
from controlplane.operations import describe
from controlplane.operations.context import Context
from controlplane.operations.performs import performs

_CALLED = "Test Failover API called for node group {id}"
_ROLLING = timedelta(hours=24)
_PROMOTE = "Cannot manually promote a new master cache cluster while autofailover is enabled"


@performs(TEST_FAILOVER)
def request_failover(ctx: Context, asked: FailoverTest) -> ReplicationGroupResult:
    """Ask the primary of one node group to abdicate; it is rebuilt as a replica afterwards. The answer shows the group as it is now."""
    topology = ctx.replication_group(asked.replication_group_id)
    group = _node_group(topology, asked.node_group_id)
    if ctx.status(topology) != s.AVAILABLE:
        raise InvalidReplicationGroupState("Replication group must be in available state to test its failover.")
    if not topology.settings.automatic_failover:
        raise InvalidParameterCombination("Automatic failover must be enabled to test it; it is disabled.")
    if not group.replicas or group.primary is None:
        raise FailoverTestNotAvailable(f"Node group {group.id} has no replica that could take over.")
    if any(node.restart is not None for node in topology.nodes) or any(part.handover or part.rebuild for part in topology.node_groups):
        raise InvalidReplicationGroupState("A node of the replication group is still being replaced; wait until that is done.")
    _must_be_within_the_limit(ctx, topology, group)
    leaving = replace(group, handover=Handover(group.primary, ctx.now, rebuild=True))
    saved = ctx.unit.topologies.save(topology.with_group(leaving))
    ctx.say(Kind.REPLICATION_GROUP.value, topology.name, _CALLED.format(id=group.id))
    return ReplicationGroupResult(replication_group=describe.replication_group(ctx, saved))


@performs(DESCRIBE_HISTORY)
def describe_history(ctx: Context, asked: DescribeHistory) -> History:
    """Every election that is remembered, the newest first."""
    topology = ctx.replication_group(asked.replication_group_id)
    return History(
        elections=[
            Election(
                at=each.at, node_group_id=each.group, epoch=each.epoch, former=each.former, elected=each.elected, because=each.because,
                candidates=[
                    Candidate(cache_cluster_id=one.node, answered=one.answered, proven=one.proven, offset=one.offset)
                    for one in each.candidates
                ],
            )
            for each in reversed(topology.elections)
        ]
    )  # fmt: skip


def with_promotion_of(ctx: Context, topology: Topology, cache_cluster: str) -> Topology:
    """The same group, whose primary shall hand over to the named replica; unchanged where that one is primary already.

    Raises InvalidReplicationGroupState while automatic failover is on, InvalidParameterCombination with cluster mode enabled and
    InvalidParameterValue for what is no replica of the group.
    """
    if topology.cluster_mode is ClusterMode.ENABLED:
        raise InvalidParameterCombination("PrimaryClusterId cannot be given with cluster mode enabled; TestFailover is for that.")
    if topology.settings.automatic_failover:
        raise InvalidReplicationGroupState(_PROMOTE)
    group, heir = topology.node_groups[0], cache_cluster.lower()
    if heir == group.primary or group.primary is None:
        return topology
    if heir not in {node.id for node in group.replicas}:
        raise InvalidParameterValue(f"{cache_cluster[:60]} is not a cache cluster of replication group {topology.name}.")
    return topology.with_group(replace(group, handover=Handover(group.primary, ctx.now, heir=heir)))


def _node_group(topology: Topology, node_group: str) -> NodeGroup:
    for group in topology.node_groups:
        if group.id == node_group:
            return group
    raise NodeGroupNotFound(node_group)


def _must_be_within_the_limit(ctx: Context, topology: Topology, group: NodeGroup) -> None:
    """As many node groups of an account in 24 hours as the policy allows; 0 allows any number."""
    most = ctx.policy.most_failover_tests
    if not most:
        return
    told = ctx.unit.events.between(ctx.world, ctx.now - _ROLLING, ctx.now, Kind.REPLICATION_GROUP.value, None)
    tested = {(event.source, event.message) for event in told if event.message.startswith(_CALLED.partition("{")[0])}
    if len(tested | {(topology.name, _CALLED.format(id=group.id))}) > most:
        raise APICallRateForCustomerExceeded(f"Failover was tested for {len(tested)} node groups in the last 24 hours; {most} are allowed.")
