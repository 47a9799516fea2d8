"""What a caller may ask of a primary, and what is written down then: the group as it is, and a wish."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, FixedClock, a_group, have

from api_schemas.faults import (
    APICallRateForCustomerExceeded,
    FailoverTestNotAvailable,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NodeGroupNotFound,
    ReplicationGroupNotFound,
)
from api_schemas.replication_group import DescribeHistory, FailoverTest, ModifyReplicationGroup
from controlplane.domain.elections import Candidate, Election
from controlplane.domain.settings import Settings
from controlplane.domain.topology import ClusterMode, Handover, NodeGroup, Restart, Topology
from controlplane.operations.context import Context
from controlplane.operations.failover import describe_history, request_failover
from controlplane.operations.replication_groups import modify_replication_group

ON, OFF = Settings(automatic_failover=True), Settings()
ASKED = FailoverTest(replication_group_id="orders", node_group_id="0001")


def limited(ctx: Context, most: int) -> Context:
    return replace(ctx, policy=replace(ctx.policy, most_failover_tests=most))


def group_of(ctx: Context, name: str = "orders") -> NodeGroup:
    return ctx.replication_group(name).node_groups[0]


def calmed(ctx: Context, name: str = "orders") -> None:
    """The failover that was asked for is over."""
    topology = ctx.replication_group(name)
    ctx.unit.topologies.save(topology.with_group(replace(topology.node_groups[0], handover=None)))


def events(ctx: Context) -> list[tuple[str, str]]:
    told = ctx.unit.events.between(ctx.world, NOW - timedelta(days=2), ctx.now, None, None)
    return [(event.source, event.message) for event in told]


def test_a_failover_that_is_tested_is_a_wish_of_the_node_group(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    answer = request_failover(ctx, ASKED).replication_group
    assert answer.status == "available"
    assert group_of(ctx).handover == Handover("orders-001", NOW, rebuild=True)
    assert events(ctx) == [("orders", "Test Failover API called for node group 0001")]


def a_group_that(**changes: object) -> Topology:
    topology = a_group(settings=ON)
    return topology.with_group(replace(topology.node_groups[0], **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topology", "fault"),
    [
        (a_group("others", settings=ON), ReplicationGroupNotFound),
        (a_group(settings=OFF), InvalidParameterCombination),
        (a_group(nodes=1, settings=ON), FailoverTestNotAvailable),
        (a_group(settings=ON, created=False), InvalidReplicationGroupState),
        (a_group(settings=ON, modifying=True), InvalidReplicationGroupState),
        (a_group(settings=ON, deleting=True), InvalidReplicationGroupState),
        (a_group(settings=ON).with_departure_of(["orders-003"]), InvalidReplicationGroupState),
        (a_group(settings=ON).with_reboot_of(["orders-002"]), InvalidReplicationGroupState),
        (a_group_that(handover=Handover("orders-001", NOW)), InvalidReplicationGroupState),
        (a_group_that(rebuild="orders-002"), InvalidReplicationGroupState),
    ],
    ids=["missing", "off", "alone", "creating", "modifying", "deleting", "shrinking", "rebooting", "running", "rebuilding"],
)
def test_what_cannot_be_tested_is_refused_and_nothing_is_wished(ctx: Context, topology: Topology, fault: type[Exception]) -> None:
    have(ctx, topology)
    with pytest.raises(fault):
        request_failover(ctx, ASKED)
    assert events(ctx) == []
    assert group_of(ctx, topology.name).handover == topology.node_groups[0].handover


def test_a_node_that_recovers_is_waited_for(ctx: Context) -> None:
    topology = a_group(settings=ON)
    have(ctx, topology.with_node(replace(topology.node_groups[0].nodes[2], restart=Restart.RECOVERY)))
    with pytest.raises(InvalidReplicationGroupState, match="still being replaced"):
        request_failover(ctx, ASKED)


def test_a_node_group_that_is_not_there(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    with pytest.raises(NodeGroupNotFound):
        request_failover(ctx, FailoverTest(replication_group_id="orders", node_group_id="0002"))


def test_so_many_node_groups_of_an_account_in_24_hours_and_no_more(ctx: Context, clock: FixedClock) -> None:
    ctx = limited(ctx, 2)
    have(ctx, *(a_group(name, settings=ON) for name in ("orders", "users", "carts")))
    for name in ("orders", "orders", "users", "orders"):  # one that was tested before counts once
        request_failover(ctx, FailoverTest(replication_group_id=name, node_group_id="0001"))
        calmed(ctx, name)
    third = FailoverTest(replication_group_id="carts", node_group_id="0001")
    with pytest.raises(APICallRateForCustomerExceeded, match="2 are allowed"):
        request_failover(ctx, third)
    clock.advance(hours=24, seconds=1)
    request_failover(ctx, third)
    assert group_of(ctx, "carts").handover is not None


def test_without_a_limit_any_number_may_be_tested(ctx: Context) -> None:
    for number in range(20):
        have(ctx, a_group(f"g{number}", settings=ON))
        request_failover(ctx, FailoverTest(replication_group_id=f"g{number}", node_group_id="0001"))


# ---- promotion


def promote(ctx: Context, member: str, **more: object) -> str:
    asked = ModifyReplicationGroup(replication_group_id="orders", primary_cluster_id=member, **more)  # type: ignore[arg-type]
    return str(modify_replication_group(ctx, asked).replication_group.status)


def test_a_promotion_names_the_heir_and_rebuilds_nobody(ctx: Context) -> None:
    have(ctx, a_group(settings=OFF))
    assert promote(ctx, "Orders-003") == "modifying"
    assert group_of(ctx).handover == Handover("orders-001", NOW, heir="orders-003")


def test_failover_may_be_turned_off_in_the_same_call(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    assert promote(ctx, "orders-002", automatic_failover_enabled=False) == "modifying"


@pytest.mark.parametrize(
    ("topology", "member", "fault", "text"),
    [
        (a_group(settings=ON), "orders-002", InvalidReplicationGroupState,
         "Cannot manually promote a new master cache cluster while autofailover is enabled"),
        (a_group(settings=OFF), "orders-009", InvalidParameterValue, "orders-009 is not a cache cluster of replication group orders"),
        (a_group(settings=OFF), "orders-001", InvalidParameterCombination, "No modifications were requested"),
        (a_group(settings=OFF, cluster_mode=ClusterMode.ENABLED), "orders-002", InvalidParameterCombination, "cluster mode enabled"),
    ],
    ids=["automatic", "unknown", "primary", "cluster mode"],
)  # fmt: skip
def test_a_promotion_that_cannot_be(ctx: Context, topology: Topology, member: str, fault: type[Exception], text: str) -> None:
    have(ctx, topology)
    with pytest.raises(fault, match=text):
        promote(ctx, member)
    assert group_of(ctx).handover is None


# ---- history


def test_history_tells_the_newest_first(ctx: Context) -> None:
    among = (Candidate("orders-002", answered=True, proven=False, offset=77),)
    older = Election(NOW, "0001", 2, "orders-001", "orders-002", "orders-001 is lost", among)
    have(ctx, a_group(elections=(older, replace(older, epoch=3, former="orders-002", elected="orders-001", candidates=()))))
    newest, oldest = describe_history(ctx, DescribeHistory(replication_group_id="Orders")).elections
    assert (newest.epoch, newest.former, newest.elected, newest.candidates) == (3, "orders-002", "orders-001", [])
    assert (oldest.at, oldest.node_group_id, oldest.because) == (NOW, "0001", "orders-001 is lost")
    (candidate,) = oldest.candidates
    assert (candidate.cache_cluster_id, candidate.answered, candidate.proven, candidate.offset) == ("orders-002", True, False, 77)
