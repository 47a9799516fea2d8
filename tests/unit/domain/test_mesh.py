"""The mesh of a group in cluster mode: who is on its bus, under which names, and that its digest tells one mesh from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from factories import a_cache_cluster, a_group, a_sharded_group
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.mesh import Mesh, MeshMember, bus_id, mesh_of
from controlplane.domain.renewal import remade
from controlplane.domain.slots import even_slots
from controlplane.domain.topology import Binary, ClusterMode, Node, Placement, Remake, Topology

VALKEY = Binary("valkey", "9.1.2", "/opt/valkey-server")
LEADER, FOLLOWER, OTHER = "orders-0001-001", "orders-0001-002", "orders-0002-001"


def placed(topology: Topology) -> Topology:
    for number, node in enumerate(topology.nodes, start=1):
        topology = at(topology, node.id, f"127.101.0.{number}")
    return topology


def at(topology: Topology, node_id: str, address: str) -> Topology:
    return noded(topology, node_id, placement=Placement("agent-a", address, VALKEY))


def noded(topology: Topology, node_id: str, **changes: object) -> Topology:
    node = topology.node(node_id)
    assert node is not None
    return topology.with_node(replace(node, **changes))  # type: ignore[arg-type]


def grouped(topology: Topology, place: int, **changes: object) -> Topology:
    return topology.with_group(replace(topology.node_groups[place], **changes))  # type: ignore[arg-type]


ORDERS = placed(a_sharded_group(shards=2, replicas=1))


def meshed(topology: Topology) -> Mesh:
    mesh = mesh_of(topology)
    assert mesh is not None
    return mesh


def ids_in(topology: Topology) -> list[str]:
    """The nodes that are on the bus, by their names outside."""
    names = {bus_id(topology.key(node.id)): node.id for node in topology.nodes}
    return [names[member.id] for member in meshed(topology).members]


# ---- who is in it


def test_every_node_is_a_member_and_a_primary_alone_owns_slots() -> None:
    first, second = bus_id(f"{ORDERS.uid}.0001"), bus_id(f"{ORDERS.uid}.0002")
    leader, follower, other, last = (bus_id(ORDERS.key(node.id)) for node in ORDERS.nodes)
    assert meshed(ORDERS).members == (
        MeshMember(leader, first, "127.101.0.1", 6379, None, "0-8191"),
        MeshMember(follower, first, "127.101.0.2", 6379, leader, ""),
        MeshMember(other, second, "127.101.0.3", 6379, None, "8192-16383"),
        MeshMember(last, second, "127.101.0.4", 6379, other, ""),
    )


def test_a_node_without_a_place_is_not_on_the_bus_yet() -> None:
    assert ids_in(noded(ORDERS, FOLLOWER, placement=None)) == [LEADER, OTHER, "orders-0002-002"]
    assert meshed(a_sharded_group()).members == ()


def test_a_leaving_node_is_not_on_the_bus_any_more() -> None:
    assert ids_in(ORDERS.with_departure_of([FOLLOWER])) == [LEADER, OTHER, "orders-0002-002"]


def test_a_replica_whose_primary_has_no_place_still_knows_whom_it_is_to_follow() -> None:
    (member, *_) = meshed(noded(ORDERS, LEADER, placement=None)).members
    assert member.follows == bus_id(ORDERS.key(LEADER))


@pytest.mark.parametrize(
    ("topology", "has_mesh"),
    [
        (a_sharded_group(), True),
        (a_sharded_group(cluster_mode=ClusterMode.COMPATIBLE), True),
        (a_group(), False),
        (a_cache_cluster(), False),
        (a_cache_cluster(engine="valkey"), False),
    ],
    ids=["enabled", "compatible", "disabled", "memcached", "alone"],
)
def test_who_has_a_mesh(topology: Topology, has_mesh: bool) -> None:
    assert (mesh_of(topology) is not None) is has_mesh


def test_the_epoch_of_a_mesh_rises_with_every_election_in_any_shard() -> None:
    assert meshed(ORDERS).epoch == 2
    assert meshed(grouped(ORDERS, 0, epoch=4)).epoch == 5
    assert meshed(grouped(grouped(ORDERS, 0, epoch=4), 1, epoch=2)).epoch == 6


# ---- names on the bus


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_a_bus_id_is_forty_hexadecimal_digits_always_the_same_and_nobody_elses(one: str, other: str) -> None:
    assert len(bus_id(one)) == 40
    assert set(bus_id(one)) <= set("0123456789abcdef")
    assert (bus_id(one) == bus_id(other)) is (one == other)


def test_bus_ids_do_not_change_from_one_release_to_the_next() -> None:
    assert bus_id("uid0000001.orders-0001-001") == "fd803e1db59c2a3eda6b600088d2b53bdaa0c7bb"


def test_nodes_and_shards_all_have_names_of_their_own() -> None:
    ninety = meshed(placed(a_sharded_group(shards=30, replicas=2)))
    names = [member.id for member in ninety.members] + sorted({member.shard for member in ninety.members})
    assert len(names) == len(set(names)) == 90 + 30


def test_a_group_made_anew_under_an_old_name_shares_no_name_with_it() -> None:
    before, after = meshed(ORDERS), meshed(replace(ORDERS, uid="another"))
    assert {m.id for m in before.members}.isdisjoint(m.id for m in after.members)
    assert {m.shard for m in before.members}.isdisjoint(m.shard for m in after.members)


# ---- the digest

CHANGES: dict[str, Callable[[Topology], Topology]] = {
    "an election": lambda was: grouped(was, 0, primary=FOLLOWER, epoch=2),
    "another address": lambda was: at(was, FOLLOWER, "127.101.0.99"),
    "slots that move": lambda was: grouped(grouped(was, 0, slots=even_slots(2)[1]), 1, slots=even_slots(2)[0]),
    "a departure": lambda was: was.with_departure_of([FOLLOWER]),
    "a node that has no place yet": lambda was: noded(was, FOLLOWER, placement=None),
    "a node that got its place": lambda was: at(
        grouped(was, 1, nodes=(*was.node_groups[1].nodes, Node("orders-0002-003", "us-east-1c"))), "orders-0002-003", "127.101.0.5"
    ),
    "the same name anew": lambda was: replace(was, uid="another"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_changes_with(what: str) -> None:
    assert meshed(CHANGES[what](ORDERS)).digest != meshed(ORDERS).digest


def test_the_digest_changes_with_an_election_in_a_shard_that_owns_no_slots() -> None:
    empty = grouped(ORDERS, 0, slots=())
    assert meshed(grouped(empty, 0, primary=FOLLOWER, epoch=2)).digest != meshed(empty).digest


UNSEEN: dict[str, Callable[[Topology], Topology]] = {
    "a restart": lambda was: was.with_reboot_of([FOLLOWER]),
    "a node that is desired but has no place": lambda was: grouped(
        was, 1, nodes=(*was.node_groups[1].nodes, Node("orders-0002-003", "us-east-1c"))
    ),
    "a new generation": lambda was: replace(was, version=was.version + 1),
    "the holder of the configuration endpoint": lambda was: replace(was, configuration_holder=FOLLOWER),
    "a roll": lambda was: grouped(was, 0, roll=1, roll_for=f"{LEADER}/1"),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_the_digest_stays_with_what_no_engine_sees_on_the_bus(what: str) -> None:
    before = meshed(ORDERS)
    assert meshed(UNSEEN[what](ORDERS)) is before
    assert meshed(ORDERS) is before


# ---- a group that is on its way into cluster mode


def test_a_group_on_its_way_has_those_in_cluster_mode_and_names_the_primary_outside() -> None:
    group = placed(a_group(nodes=3))
    first, second, third = (node.id for node in group.nodes)
    into = Remake(replace(group.make, clustered=True), "default.valkey9.cluster.on", (), ClusterMode.COMPATIBLE)
    begun = remade(group, into)
    assert meshed(begun).members == ()
    halfway = noded(begun, second, make=None)
    mesh = meshed(halfway)
    assert ids_in(halfway) == [second]
    assert mesh.outside is not None
    assert (mesh.outside.id, mesh.outside.address, mesh.outside.slots) == (bus_id(group.key(first)), "127.101.0.1", "0-16383")
    assert mesh.members[0].follows == mesh.outside.id
    led = grouped(halfway, 0, primary=second)
    assert (ids_in(led), meshed(led).outside, meshed(led).members[0].slots) == ([second], None, "0-16383")
    assert ids_in(noded(led, third, make=None)) == [second, third]
