"""Slots on their way, as one engine sees them: whose they are, what has arrived, and what a node says that takes over in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from agents.engines.cluster_bus import BusNode, BusView, arrived_slots, differences, lacking, nodes_file, place_of
from agents.engines.cluster_moves import around_a_takeover, ends_to_ask, said_in
from agents.engines.slot_ranges import parsed_ranges
from agents.slot_mover import orders_in
from api_schemas.agent.node import EngineBinary, Mesh, MeshMember, MeshMove, NodeSpec, Role

A, B, C, D = (letter * 40 for letter in "abcd")
ONE, TWO = "1" * 40, "2" * 40


def member(name: str, number: int, follows: str | None = None, slots: str = "") -> MeshMember:
    return MeshMember(id=name, shard=ONE if name in (A, B) else TWO, address=f"127.0.1.{number}", port=6379, follows=follows, slots=slots)


MEMBERS = [member(A, 1, None, "0-99"), member(B, 2, A), member(C, 3, None, "200-299"), member(D, 4, C)]
"""Of two shards the first gives 100 to 199 to the second."""


def mesh(me: str, **changes: Any) -> Mesh:
    move = MeshMove(**{"source": ONE, "target": TWO, "slots": "100-199", "open": True, "atomic": True, **changes})
    return Mesh(me=me, epoch=7, digest="0123456789abcdef", members=MEMBERS, moves=[move])


def view(*, unlinked: str = "", **owners: str) -> BusView:
    """The bus with these slots at each node, by its letter."""
    nodes = {}
    for each in MEMBERS:
        slots = parsed_ranges(owners.get(each.id[0], ""))
        flags = frozenset({"master" if each.follows is None else "slave"})
        nodes[each.id] = BusNode(each.id, place_of(each), flags, each.follows, each.id != unlinked, slots)
    return BusView(nodes, "ok", ())


HALFWAY = view(a="0-149", c="150-299")


# ---- whether it is as desired


@pytest.mark.parametrize(
    "seen",
    [
        view(a="0-199", c="200-299"),
        HALFWAY,
        view(a="0-99", c="100-299"),
        view(a="0-120,140-199", c="121-139,200-299"),
    ],
)
def test_slots_on_their_way_may_be_with_either_end(seen: BusView) -> None:
    assert differences(mesh(B), seen) == {}


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (view(a="0-98", c="100-299"), "owns other slots there"),  # one of its own is missing
        (view(a="0-200", c="201-299"), "owns other slots there"),  # one of the other's own
        (view(a="0-149", c="160-299"), "slots on their way are seen with neither end"),
    ],
)
def test_all_others_are_with_whom_they_should_be(seen: BusView, why: str) -> None:
    assert any(why in difference.why for difference in differences(mesh(B), seen).values())


# ---- what a primary claims


def test_a_source_does_not_claim_back_what_the_target_has() -> None:
    assert lacking(mesh(A), HALFWAY) == ((), ())


def test_a_source_claims_what_nobody_has_once_it_hears_the_target() -> None:
    seen = view(a="0-149", c="160-299")
    assert lacking(mesh(A), seen) == (((150, 159),), ())
    assert lacking(mesh(A), view(a="0-149", c="160-299", unlinked=C)) == ((), ()), "the target may have it"
    assert lacking(mesh(A), seen, gone={*range(150, 160)}) == ((), ()), "it was with the target before"


def test_what_a_dead_primary_of_the_target_had_is_the_targets() -> None:
    assert lacking(mesh(A), view(a="0-149", d="150-199", c="200-299")) == ((), ())


def test_a_source_that_took_over_claims_what_its_former_primary_had() -> None:
    assert lacking(mesh(A), view(b="0-149", c="150-299")) == ((), ((0, 149),))


def test_a_target_claims_what_has_landed_and_nothing_that_is_under_way() -> None:
    assert lacking(mesh(C), view(a="0-99", c="200-299")) == ((), ())
    assert lacking(mesh(C, landed="150-199"), view(a="0-149", c="200-299")) == (((150, 199),), ())
    assert lacking(mesh(C, landed="150-199"), view(a="0-199", c="200-299")) == ((), ((150, 199),))


# ---- what has arrived


@pytest.mark.parametrize("me", [A, C])
def test_both_primaries_see_what_has_arrived(me: str) -> None:
    assert arrived_slots(mesh(me), HALFWAY) == {(ONE, TWO, "100-199"): {*range(150, 200)}}
    assert arrived_slots(mesh(me, landed="150-189"), HALFWAY) == {(ONE, TWO, "100-199"): {*range(190, 200)}}


def test_the_source_counts_what_any_node_of_the_target_has() -> None:
    assert arrived_slots(mesh(A), view(a="0-149", d="150-199", c="200-299")) == {(ONE, TWO, "100-199"): {*range(150, 200)}}


def test_a_replica_tells_of_nothing() -> None:
    assert arrived_slots(mesh(B), HALFWAY) == {}


# ---- what a node starts with


def test_a_node_starts_knowing_what_is_under_way_with_its_source() -> None:
    lines = {line.split()[0]: line for line in nodes_file(spec(D, Role.REPLICA, landed="150-199")).splitlines()}
    assert lines[A].endswith("connected 0-149")
    assert lines[C].endswith("connected 150-299")


def test_a_source_that_starts_empty_claims_nothing_that_is_under_way() -> None:
    text = nodes_file(spec(A, Role.PRIMARY))
    assert [line.split()[-1] for line in text.splitlines() if " 127.0.1.1:7@" in line] == ["0-99"]


# ---- who moves what


def spec(me: str, role: Role, **changes: Any) -> NodeSpec:
    return NodeSpec(
        key="k", generation=1, binary=EngineBinary(engine="valkey", version="9.1.2", path="/v"), zone="us-east-1a", address="127.0.1.1",
        port=6379, role=role, epoch=1, memory=1, mesh=mesh(me, **changes),
    )  # fmt: skip


def test_the_primary_of_the_source_moves_while_it_may() -> None:
    (order,) = orders_in(spec(A, Role.PRIMARY))
    assert (order.slots, order.atomic, order.source, order.target, order.address) == ("100-199", True, A, C, "127.0.1.3")
    assert orders_in(spec(A, Role.PRIMARY, landed="100-150")) == [order], "it is the same order however far it has come"
    assert orders_in(spec(A, Role.PRIMARY, open=False)) == []
    assert orders_in(spec(C, Role.PRIMARY)) == []
    assert orders_in(spec(B, Role.REPLICA)) == []


# ---- a takeover in the middle: B takes over from A, or D from C

TAKEN_OVER = [member(A, 1, B), member(B, 2, None, "0-99"), member(C, 3, None, "200-299"), member(D, 4, C)]
TARGET_TAKEN_OVER = [*MEMBERS[:2], member(C, 3, D), member(D, 4, None, "200-299")]


def taking_over(me: str, members: list[MeshMember]) -> Mesh:
    return mesh(me).model_copy(update={"members": members})


def nodes_of(me: str, text: str, **others: str) -> str:
    """CLUSTER NODES of a node that has this, and says this of others."""
    lines = [f"{me} 127.0.1.9:6379@16379 myself,master - 0 0 9 connected {text}"]
    return "\n".join(lines + [f"{name[0] * 40} 127.0.1.8:6379@16379 master - 0 0 3 connected {slots}" for name, slots in others.items()])


def test_the_other_end_is_asked() -> None:
    assert [end.id for end in ends_to_ask(taking_over(B, TAKEN_OVER))] == [C]
    assert [end.id for end in ends_to_ask(taking_over(D, TARGET_TAKEN_OVER))] == [A]
    assert ends_to_ask(Mesh(me=B, epoch=1, digest="", members=TAKEN_OVER)) == []


def test_who_takes_over_from_a_source_leaves_the_target_what_it_has() -> None:
    said = {C: said_in(nodes_of(C, "150-299"))}
    before, after = around_a_takeover(taking_over(B, TAKEN_OVER), view(a="0-199", c="200-299").owners, said)
    assert before == [("CLUSTER", "DELSLOTSRANGE", "150", "199")]
    assert after == [("CLUSTER", "SETSLOT", str(slot), "NODE", C) for slot in range(150, 200)]


def test_what_it_has_heard_already_it_need_not_be_told_before() -> None:
    said = {C: said_in(nodes_of(C, "150-299"))}
    before, _ = around_a_takeover(taking_over(B, TAKEN_OVER), HALFWAY.owners, said)
    assert before == []


def test_slots_that_were_being_moved_key_by_key_stay_open() -> None:
    said = {C: said_in(nodes_of(C, f"200-299 [100-<-{A}] [101-<-{A}]"))}
    _, after = around_a_takeover(taking_over(B, TAKEN_OVER), view(a="0-199", c="200-299").owners, said)
    assert after == [("CLUSTER", "SETSLOT", "100", "MIGRATING", C), ("CLUSTER", "SETSLOT", "101", "MIGRATING", C)]
    exporting = {A: said_in(nodes_of(A, f"0-199 [100->-{C}]"))}
    _, after = around_a_takeover(taking_over(D, TARGET_TAKEN_OVER), view(a="0-199", c="200-299").owners, exporting)
    assert after == [("CLUSTER", "SETSLOT", "100", "IMPORTING", A)]


def test_who_takes_over_from_a_target_claims_what_the_source_had_given_to_that() -> None:
    said = {A: said_in(nodes_of(A, "0-149", c="150-299"))}
    before, after = around_a_takeover(taking_over(D, TARGET_TAKEN_OVER), view(a="0-199", c="200-299").owners, said)
    assert before == []
    assert after == [("CLUSTER", "DELSLOTSRANGE", "150", "199"), ("CLUSTER", "ADDSLOTSRANGE", "150", "199")]


def test_who_does_not_answer_changes_nothing() -> None:
    assert around_a_takeover(taking_over(B, TAKEN_OVER), HALFWAY.owners, {}) == ([], [])
