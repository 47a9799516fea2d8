"""What agents are told of a group in cluster mode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import NOW, a_context, a_sharded_group, an_agent, have
from situations import CONFIGURATION_ADDRESS, PRIMARY_ADDRESS, at_work, failover, sharded_at_work

from api_schemas.agent.node import NodeSpec, Role
from controlplane.domain.mesh import bus_id, mesh_of
from controlplane.domain.topology import ClusterMode, Topology
from controlplane.planner.decisions import GiveEndpoints
from controlplane.reconciler.record import Recorder
from controlplane.reconciler.specs import dropped_nodes, node_specs, reader_route, resources_of

ORDERS = sharded_at_work().topology
LEADER, FOLLOWER, OTHER, LAST = (node.id for node in ORDERS.nodes)


def specs(topology: Topology) -> dict[str, NodeSpec]:
    return {spec.key.partition(".")[2]: spec for _, spec in node_specs(topology)}


def test_every_node_is_told_who_it_is_among_all() -> None:
    wanted = mesh_of(ORDERS)
    assert wanted is not None
    for node, spec in specs(ORDERS).items():
        assert spec.mesh is not None
        assert (spec.mesh.me, spec.mesh.digest, spec.mesh.epoch) == (bus_id(ORDERS.key(node)), wanted.digest, 2)
        assert [each.id for each in spec.mesh.members] == [each.id for each in wanted.members]
        assert [(each.shard, each.address, each.port, each.follows, each.slots) for each in spec.mesh.members] == [
            (each.shard, each.address, each.port, each.follows, each.slots) for each in wanted.members
        ]


def test_a_leaving_node_is_told_nothing_and_others_not_of_it() -> None:
    left = specs(ORDERS.with_departure_of([FOLLOWER]))
    assert set(left) == {LEADER, OTHER, LAST}
    assert all(spec.mesh is not None and len(spec.mesh.members) == 3 for spec in left.values())


def test_where_readers_are_led_to_it_a_leaving_node_runs_on_until_it_is_stopped() -> None:
    compatible = sharded_at_work(shards=1, replicas=2, cluster_mode=ClusterMode.COMPATIBLE, primary_address=PRIMARY_ADDRESS).topology
    for topology in (at_work().topology, compatible):
        first, second, third = (node.id for node in topology.nodes)
        leaving = topology.with_departure_of([second], NOW)
        told = specs(leaving)
        assert set(told) == {first, second, third}
        assert [peer.key for peer in told[first].replicas] == [topology.key(third)]
        assert [peer.key for peer in told[first].departing] == [topology.key(second)]
        assert told[third].departing == []
        assert told[second].follows is not None
        members = [{member.id for member in spec.mesh.members} for spec in told.values() if spec.mesh]
        assert all(bus_id(topology.key(second)) in ids for ids in members)
        stopping = leaving.with_node(replace(next(node for node in leaving.nodes if node.leaving), stopping=True))
        assert set(specs(stopping)) == {first, third}
        assert [key for _, key in dropped_nodes(stopping)] == [topology.key(second)]
        assert [peer.key for peer in specs(stopping)[first].departing] == [topology.key(second)], "it may stream to its last moment"
        assert all(len(spec.mesh.members) == 2 for spec in specs(stopping).values() if spec.mesh)
        assert set(specs(replace(leaving, deleting=True))) == {first, third}, "of a group that is deleted nothing runs on"


def test_a_replica_follows_the_primary_of_its_own_shard() -> None:
    told = specs(ORDERS)
    assert [(spec.role, spec.follows and spec.follows.key) for spec in told.values()] == [
        (Role.PRIMARY, None), (Role.REPLICA, ORDERS.key(LEADER)), (Role.PRIMARY, None), (Role.REPLICA, ORDERS.key(OTHER)),
    ]  # fmt: skip
    assert [peer.key for peer in told[OTHER].replicas] == [ORDERS.key(LAST)]


def test_outside_of_cluster_mode_there_is_no_mesh() -> None:
    assert all(spec.mesh is None for spec in specs(at_work().topology).values())


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, {LEADER: [CONFIGURATION_ADDRESS]}),
        ({"configuration_holder": LAST}, {LAST: [CONFIGURATION_ADDRESS]}),  # any node may
        ({"configuration_holder": None}, {}),
        ({"deleting": True}, {}),
    ],
)
def test_the_configuration_endpoint_is_held_by_its_holder_alone(changes: dict[str, object], holds: dict[str, list[str]]) -> None:
    told = specs(replace(ORDERS, **changes))  # type: ignore[arg-type]
    assert {node: spec.holds for node, spec in told.items() if spec.holds} == holds


def test_a_compatible_primary_may_hold_both_endpoints() -> None:
    group = sharded_at_work(shards=1, cluster_mode=ClusterMode.COMPATIBLE, primary_address=PRIMARY_ADDRESS).topology
    group = group.with_group(replace(group.node_groups[0], holder=LEADER))
    assert specs(group)[LEADER].holds == [PRIMARY_ADDRESS, CONFIGURATION_ADDRESS]


def test_engines_get_the_parameters_of_cluster_mode() -> None:
    assert resources_of(ORDERS).parameters["cluster-enabled"] == "yes"
    assert resources_of(at_work().topology).parameters["cluster-enabled"] == "no"
    assert reader_route(ORDERS) is None


@pytest.mark.parametrize(
    ("mode", "has"), [(ClusterMode.ENABLED, (False, False, True)), (ClusterMode.COMPATIBLE, (True, True, True)), (ClusterMode.DISABLED, (True, True, False))]
)
def test_each_endpoint_that_a_group_has_draws_an_address_of_its_own(tmp_path, mode: ClusterMode, has: tuple[bool, ...]) -> None:  # type: ignore[no-untyped-def]
    with a_context(tmp_path) as ctx:
        ctx.unit.agents.put(an_agent("agent-a", "us-east-1a"))
        have(ctx, a_sharded_group(shards=1, created=False, cluster_mode=mode))
        recorder = Recorder("127.100.7.0/24")
        for _ in range(2):  # a second time changes nothing
            group = ctx.replication_group("orders")
            recorder.record(ctx.unit, group, [GiveEndpoints("agent-a", "because")], ctx.now)
        found = ctx.replication_group("orders")
        drawn = [found.primary_address, found.reader_address, found.configuration_address]
        assert tuple(address is not None for address in drawn) == has
        assert len({address for address in drawn if address}) == sum(has)
        assert all(address.startswith("127.100.7.") for address in drawn if address)
        assert found.is_addressed


@pytest.mark.parametrize("automatic", [True, False])
def test_a_primary_is_fenced_where_somebody_may_take_over(automatic: bool) -> None:
    told = specs(failover(at_work(), automatic=automatic).topology)
    assert [spec.fenced for spec in told.values()] == [automatic, False, False]
    assert [peer.zone for peer in next(iter(told.values())).replicas] == ["us-east-1b", "us-east-1c"]
