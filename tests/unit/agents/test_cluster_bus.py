"""What an engine says of the cluster bus, in what that differs from what is desired, and the file that a node starts with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.cluster_bus import (
    BusNode,
    BusView,
    Difference,
    differences,
    lacking,
    mark_of,
    mine,
    nodes_file,
    not_online,
    parsed_ranges,
    place_of,
    stand_in_of,
    strangers,
    view_of,
)
from agents.engines.valkey_config import directives
from api_schemas.agent.node import EngineBinary, Mesh, MeshMember, NodeSpec, Role

A, B, C, D = (letter * 40 for letter in "abcd")
FIRST_SHARD, SECOND_SHARD = "1" * 40, "2" * 40
OK = {"cluster_state": "ok"}


def member(name: str, number: int, follows: str | None = None, slots: str = "") -> MeshMember:
    shard = FIRST_SHARD if name in (A, B) else SECOND_SHARD
    return MeshMember(id=name, shard=shard, address=f"127.0.1.{number}", port=6379, follows=follows, slots=slots)


MEMBERS = [member(A, 1, None, "0-8191"), member(B, 2, A), member(C, 3, None, "8192-16383"), member(D, 4, C)]
"""Two shards of a primary and a replica."""


def mesh(me: str = A, members: list[MeshMember] = MEMBERS, epoch: int = 7) -> Mesh:
    return Mesh(me=me, epoch=epoch, digest="0123456789abcdef", members=members)


def node(each: MeshMember, **changes: Any) -> BusNode:
    """A member seen just as it should be, but for the changes."""
    usual: dict[str, Any] = {
        "id": each.id, "place": place_of(each), "flags": frozenset({"slave" if each.follows else "master"}),
        "follows": each.follows, "linked": True, "slots": parsed_ranges(each.slots),
    }  # fmt: skip
    return BusNode(**{**usual, **changes})


def seen(*nodes: BusNode, state: str = "ok") -> BusView:
    """All as desired, but for these nodes."""
    return BusView({**{each.id: node(each) for each in MEMBERS}, **{each.id: each for each in nodes}}, state, ())


def without(view: BusView, name: str) -> BusView:
    return BusView({each: seen for each, seen in view.nodes.items() if each != name}, view.state, view.mark)


# ---- what an engine says

REDIS_7 = f"""\
{A} 127.0.1.1:6379@16379 myself,master - 0 0 4 connected 0-5460 10923
{B} 127.0.1.2:6379@16379 slave {A} 0 1690000000000 4 connected
{C} 127.0.1.3:6379@16379 master,fail? - 1690000000000 1690000000000 2 disconnected 5461-10922
"""
VALKEY_8 = f"""\
{A} 127.0.1.1:6379@16379,,shard-id={FIRST_SHARD} myself,master - 0 0 4 connected 0-99 [5->-{C}] [77-<-{C}]
{B} 127.0.1.2:6379@16379,,shard-id={FIRST_SHARD} slave {A} 0 1690000000000 4 connected
{C} :0@0,,shard-id={SECOND_SHARD} master,noaddr - 1690000000000 1690000000000 2 disconnected
"""
VALKEY_9 = f"""\
{D} 127.0.1.4:6379@16379,host-d.example,availability-zone=us-east-1a,shard-id={SECOND_SHARD} slave,nofailover {C} 0 17 4 connected
{C} 127.0.1.3:6379@16379,host-c.example,shard-id={SECOND_SHARD} myself,master - 0 0 9 connected 0 2-4 16383

"""


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        (
            REDIS_7,
            [
                BusNode(A, "127.0.1.1:6379@16379", frozenset({"myself", "master"}), None, True, ((0, 5460), (10923, 10923))),
                BusNode(B, "127.0.1.2:6379@16379", frozenset({"slave"}), A, True, ()),
                BusNode(C, "127.0.1.3:6379@16379", frozenset({"master", "fail?"}), None, False, ((5461, 10922),)),
            ],
        ),
        (
            VALKEY_8,  # slots that move are in brackets: they are not owned any the less
            [
                BusNode(A, "127.0.1.1:6379@16379", frozenset({"myself", "master"}), None, True, ((0, 99),)),
                BusNode(B, "127.0.1.2:6379@16379", frozenset({"slave"}), A, True, ()),
                BusNode(C, ":0@0", frozenset({"master", "noaddr"}), None, False, ()),
            ],
        ),
        (
            VALKEY_9,
            [
                BusNode(D, "127.0.1.4:6379@16379", frozenset({"slave", "nofailover"}), C, True, ()),
                BusNode(C, "127.0.1.3:6379@16379", frozenset({"myself", "master"}), None, True, ((0, 0), (2, 4), (16383, 16383))),
            ],
        ),
        ("", []),
    ],
    ids=["redis 7.0", "valkey 8", "valkey 9", "nothing"],
)
def test_what_an_engine_says_of_everybody(said: str, nodes: list[BusNode]) -> None:
    assert view_of(said, OK).nodes == {each.id: each for each in nodes}


def test_what_it_says_of_the_whole() -> None:
    info = {"cluster_state": "fail", "cluster_known_nodes": "3", "cluster_my_epoch": "4", "cluster_stats_messages_sent": "100"}
    view = view_of(REDIS_7, info)
    assert view.state == "fail"
    assert view.mark == mark_of(info)
    assert view_of("", {}).state == ""


@pytest.mark.parametrize(
    ("name", "is_marked"),
    [
        ("cluster_state", True),
        ("cluster_slots_assigned", True),
        ("cluster_slots_pfail", True),
        ("cluster_known_nodes", True),
        ("cluster_size", True),
        ("cluster_current_epoch", True),
        ("cluster_my_epoch", True),
        ("cluster_stats_messages_sent", False),  # this changes all the time
    ],
)
def test_what_makes_a_whole_look_due(name: str, is_marked: bool) -> None:
    assert (mark_of({**OK, name: "1"}) != mark_of({**OK, name: "2"})) is is_marked


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", ()),
        ("5", ((5, 5),)),
        ("0-99", ((0, 99),)),
        ("0-99,100-199", ((0, 199),)),
        ("200-300,0-99", ((0, 99), (200, 300))),
        ("3,2,1", ((1, 3),)),
    ],
)
def test_ranges(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parsed_ranges(text) == ranges


# ---- in what it differs


def test_nothing_differs_where_all_is_as_desired() -> None:
    for me in (A, B, C, D):
        assert differences(mesh(me), seen()) == {}


@pytest.mark.parametrize(
    ("who", "changes", "why", "stale"),
    [
        (B, {"flags": frozenset({"slave", "fail?"})}, "is flagged fail?", False),
        (B, {"flags": frozenset({"slave", "fail"})}, "is flagged fail", False),
        (B, {"flags": frozenset({"handshake"})}, "is flagged handshake", False),
        (B, {"flags": frozenset({"slave", "noaddr", "fail"})}, "is flagged fail, noaddr", False),
        (B, {"linked": False}, "is not connected", False),
        (B, {"place": "127.0.9.9:6379@16379"}, "is known at 127.0.9.9:6379@16379", True),
        (B, {"place": "127.0.1.2:6379@16380"}, "is known at 127.0.1.2:6379@16380", True),
        (B, {"flags": frozenset({"master"}), "follows": None}, "is a primary there", True),
        (A, {"flags": frozenset({"slave"}), "follows": B, "slots": ()}, "is a replica there", True),
        (B, {"follows": C}, f"follows {C} there instead of {A}", True),
        (B, {"follows": None}, f"follows nobody there instead of {A}", True),
        (A, {"slots": ()}, "owns other slots there", True),
        (A, {"slots": ((0, 8190),)}, "owns other slots there", True),
        (A, {"slots": ((0, 8191), (9000, 9000))}, "owns other slots there", True),
        (B, {"slots": ((5, 5),)}, "owns other slots there", True),
    ],
)
def test_a_member_that_is_seen_otherwise(who: str, changes: dict[str, Any], why: str, stale: bool) -> None:
    wanted = next(each for each in MEMBERS if each.id == who)
    assert differences(mesh(D), seen(node(wanted, **changes))) == {who: Difference(f"{wanted.address} {why}", stale)}


def test_a_member_that_is_not_known() -> None:
    assert differences(mesh(A), without(seen(), B)) == {B: Difference("127.0.1.2 is not known", stale=True)}


def test_an_engine_is_never_connected_to_itself() -> None:
    alone = seen(node(MEMBERS[0], linked=False))
    assert differences(mesh(A), alone) == {}
    assert differences(mesh(B), alone) == {A: Difference("127.0.1.1 is not connected")}


def test_flags_that_do_not_matter() -> None:
    assert differences(mesh(A), seen(node(MEMBERS[0], flags=frozenset({"myself", "master", "nofailover"})))) == {}


@pytest.mark.parametrize("state", ["fail", ""])
def test_a_bus_that_does_not_serve(state: str) -> None:
    says = f"the state of the bus is {state or 'unknown'}"
    assert differences(mesh(A), seen(state=state)) == {A: Difference(says)}
    lost = seen(node(MEMBERS[0], slots=()), state=state)
    assert differences(mesh(A), lost)[A].why == "127.0.1.1 owns other slots there"  # which says more


STRANGER = BusNode("e" * 40, "127.0.1.9:6379@16379", frozenset({"master"}), None, True, ())


def test_who_is_known_but_should_not_be() -> None:
    assert strangers(mesh(), seen(STRANGER)) == [STRANGER]
    assert differences(mesh(), seen(STRANGER)) == {STRANGER.id: Difference("127.0.1.9:6379@16379 is known but should not be")}


@pytest.mark.parametrize(
    ("place", "flags", "is_stranger"),
    [
        (place_of(MEMBERS[1]), {"handshake"}, False),  # a member that it is just being introduced to, under a name for the time being
        (place_of(MEMBERS[1]), {"master"}, True),  # who was at that address before
        ("127.0.1.9:6379@16379", {"handshake"}, True),
        ("127.0.1.2:6380@16380", {"handshake"}, True),
    ],
)
def test_whom_it_is_being_introduced_to_is_no_stranger(place: str, flags: set[str], is_stranger: bool) -> None:
    met = BusNode("e" * 40, place, frozenset(flags), None, True, ())
    assert bool(strangers(mesh(), seen(met))) is is_stranger


def test_the_stand_in_is_a_stranger_once_it_has_served() -> None:
    left = BusNode(stand_in_of(A), "127.0.1.1:7@10007", frozenset({"master", "handshake"}), None, False, ())
    assert strangers(mesh(A), seen(left)) == [left]


# ---- slots that a primary shall own


@pytest.mark.parametrize(
    ("mine_now", "others", "free", "held"),
    [
        (((0, 8191),), (), (), ()),
        ((), (), ((0, 8191),), ()),
        (((0, 99), (200, 8191)), (), ((100, 199),), ()),
        ((), ((0, 8191),), (), ((0, 8191),)),
        ((), ((0, 99), (8000, 8191)), ((100, 7999),), ((0, 99), (8000, 8191))),
        (((0, 8191), (9000, 9000)), (), (), ()),  # one too many is not one too few
    ],
)
def test_slots_that_nobody_owns_are_free_and_others_are_held(mine_now: Any, others: Any, free: Any, held: Any) -> None:
    view = seen(node(MEMBERS[0], slots=mine_now), node(MEMBERS[1], slots=others))
    assert lacking(mesh(A), view) == (free, held)


def test_a_replica_lacks_no_slots() -> None:
    assert lacking(mesh(B), without(seen(), B)) == ((), ())


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(0, 8191), max_size=40), st.sets(st.integers(0, 8191), max_size=40))
def test_free_and_held_slots_are_all_that_is_missing(gone: set[int], taken: set[int]) -> None:
    def ranges(slots: set[int]) -> Any:
        return parsed_ranges(",".join(map(str, slots)))

    view = seen(node(MEMBERS[0], slots=ranges(set(range(8192)) - gone - taken)), node(MEMBERS[1], slots=ranges(taken)))
    assert lacking(mesh(A), view) == (ranges(gone - taken), ranges(taken))


# ---- what clients are shown


def a_shard(*health: str) -> list[Any]:
    nodes = [["id", name, "port", 6379, "ip", f"127.0.1.{n}", "role", "x", "health", each] for n, (name, each) in enumerate(zip("ab", health, strict=False))]
    return ["slots", [0, 8191], "nodes", nodes]


@pytest.mark.parametrize(
    ("shards", "found"),
    [
        ([], {}),
        ([a_shard("online", "online")], {}),
        ([a_shard("online", "loading")], {"b": "127.0.1.1 is loading there"}),
        ([a_shard("fail"), a_shard("online", "loading")], {"a": "127.0.1.0 is fail there", "b": "127.0.1.1 is loading there"}),
    ],
)
def test_who_is_not_shown_to_clients(shards: list[Any], found: dict[str, str]) -> None:
    assert not_online(shards) == {name: Difference(why, stale=True) for name, why in found.items()}


# ---- the file that a node starts with


def a_spec(me: str, binary: str = "valkey 9.1.2", members: list[MeshMember] = MEMBERS) -> NodeSpec:
    engine, version = binary.split()
    wanted = next((each for each in members if each.id == me), MEMBERS[0])
    return NodeSpec(
        key=f"uid.{me[:1]}", generation=1, binary=EngineBinary(engine=engine, version=version, path="/opt/server"), zone="us-east-1a",
        address=wanted.address, port=6379, role=Role.REPLICA if wanted.follows else Role.PRIMARY, epoch=3, memory=2**26,
        mesh=mesh(me, members),
    )  # fmt: skip


def test_the_file_of_a_primary_has_a_stand_in_own_its_slots() -> None:
    assert nodes_file(a_spec(A, "redis 7.0.15")) == (
        f"{stand_in_of(A)} 127.0.1.1:7@10007 master,handshake - 0 0 1 disconnected 0-8191\n"
        f"{A} 127.0.1.1:6379@16379 myself,slave {stand_in_of(A)} 0 0 0 connected\n"
        f"{B} 127.0.1.2:6379@16379 slave {A} 0 0 0 disconnected\n"
        f"{C} 127.0.1.3:6379@16379 master - 0 0 1 disconnected 8192-16383\n"
        f"{D} 127.0.1.4:6379@16379 slave {C} 0 0 0 disconnected\n"
        "vars currentEpoch 7 lastVoteEpoch 0\n"
    )


def test_the_file_of_a_replica_has_one_that_owns_nothing() -> None:
    of_first, of_second = f",,shard-id={FIRST_SHARD}", f",,shard-id={SECOND_SHARD}"
    assert nodes_file(a_spec(D)) == (
        f"{stand_in_of(D)} 127.0.1.4:7@10007{of_second} master,handshake - 0 0 1 disconnected\n"
        f"{A} 127.0.1.1:6379@16379{of_first} master - 0 0 1 disconnected 0-8191\n"
        f"{B} 127.0.1.2:6379@16379{of_first} slave {A} 0 0 0 disconnected\n"
        f"{C} 127.0.1.3:6379@16379{of_second} master - 0 0 1 disconnected 8192-16383\n"
        f"{D} 127.0.1.4:6379@16379{of_second} myself,slave {stand_in_of(D)} 0 0 0 connected\n"
        "vars currentEpoch 10 lastVoteEpoch 0\n"
    )


def test_the_stand_in_of_a_replica_is_where_its_primary_is_that_is_not_on_the_bus() -> None:
    outside = member(C, 3, None, "0-16383")
    members = [member(A, 1, C), member(B, 2, C)]
    spec = a_spec(A, "redis 7.0.15", members)
    assert spec.mesh is not None
    assert nodes_file(spec.model_copy(update={"mesh": spec.mesh.model_copy(update={"outside": outside})})) == (
        f"{stand_in_of(A)} 127.0.1.3:6379@16379 master,handshake - 0 0 1 disconnected 0-16383\n"
        f"{A} 127.0.1.1:6379@16379 myself,slave {stand_in_of(A)} 0 0 0 connected\n"
        f"{B} 127.0.1.2:6379@16379 slave {stand_in_of(A)} 0 0 0 disconnected\n"
        "vars currentEpoch 7 lastVoteEpoch 0\n"
    )


@pytest.mark.parametrize(
    ("binary", "knows_shards"),
    [("redis 7.0.15", False), ("redis 6.2.14", False), ("valkey 7.2.9", True), ("redis 7.2.4", True), ("valkey 8.1.8", True), ("valkey 10.0.1", True)],
)
def test_shard_ids_are_for_engines_that_know_them(binary: str, knows_shards: bool) -> None:
    assert ("shard-id=" in nodes_file(a_spec(A, binary))) is knows_shards


def test_several_ranges_of_slots_have_blanks_between_them() -> None:
    members = [member(A, 1, None, "0-99,200-300,16383-16383"), member(C, 3, None, "100-199,301-16382")]
    text = nodes_file(a_spec(C, members=members))
    assert "disconnected 0-99 200-300 16383-16383\n" in text
    assert view_of(text.rpartition("vars")[0], OK).nodes[A].slots == ((0, 99), (200, 300), (16383, 16383))


def test_every_node_begins_at_an_epoch_of_its_own() -> None:
    begun = [nodes_file(a_spec(me)).rpartition("currentEpoch ")[2].split()[0] for me in (A, B, C, D)]
    assert begun == ["7", "8", "9", "10"]


@pytest.mark.parametrize("me", [A, B, C, D])
def test_the_file_read_back_is_the_mesh_but_for_the_node_itself(me: str) -> None:
    spec = a_spec(me)
    assert spec.mesh is not None
    view = view_of(nodes_file(spec).rpartition("vars")[0], OK)
    others = [each for each in MEMBERS if each.id != me]
    told = {name for name, each in differences(spec.mesh, view).items() if each.why.endswith("is not connected")}
    assert told == {each.id for each in others}  # nobody is yet; and in nothing else do they differ
    assert view.nodes[me].follows == stand_in_of(me)
    assert view.nodes[stand_in_of(me)].slots == parsed_ranges(mine(spec.mesh).slots)  # type: ignore[union-attr]


def test_a_stand_in_is_the_same_at_every_start_and_nobody_elses() -> None:
    assert stand_in_of(A) == stand_in_of(A)
    names = {stand_in_of(each) for each in (A, B, C, D)} | {A, B, C, D}
    assert len(names) == 8
    assert {len(name) for name in names} == {40}


def test_a_node_that_is_not_in_its_own_mesh_is_not_started() -> None:
    with pytest.raises(ValueError, match="is not in its own mesh"):
        nodes_file(a_spec("f" * 40))
    with pytest.raises(ValueError, match="is not in its own mesh"):
        nodes_file(a_spec(A).model_copy(update={"mesh": None}))
    assert mine(mesh("f" * 40)) is None


# ---- the configuration beside it


def test_cluster_mode_leaves_every_decision_to_the_control_plane(tmp_path: Any) -> None:
    said = dict(directives(a_spec(A).model_copy(update={"parameters": {"databases": "16", "cluster-enabled": "yes"}}), tmp_path))
    assert said["cluster-enabled"] == "yes"
    assert said["cluster-replica-no-failover"] == "yes"
    assert said["cluster-allow-replica-migration"] == "no"
    assert said["cluster-announce-ip"] == "127.0.1.1"
    assert int(said["cluster-node-timeout"]) > 600_000  # nobody is called failing before the node has its role
    assert "databases" not in said


def test_outside_of_cluster_mode_nothing_is_said_of_it(tmp_path: Any) -> None:
    alone = a_spec(A).model_copy(update={"mesh": None, "parameters": {"databases": "16"}})
    said = dict(directives(alone, tmp_path))
    assert not [name for name in said if name.startswith("cluster-")]
    assert said["databases"] == "16"
