"""A topology that begins with data: nothing starts before that was checked, nobody takes over, and it is announced once all is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, a_group
from situations import FIRST, SECOND, at_work, decided, desiring, grouped, noded, seeing, sharded_at_work, silent, unplaced

from controlplane.domain.backup import ArchivePlace, SavedFile, Seed, SeedFile
from controlplane.domain.reported import DEAD, STARTING
from controlplane.planner.decisions import Announce, BootNode, PlaceNode
from controlplane.planner.lifecycle import announce
from controlplane.planner.nodes import start_dead_nodes
from controlplane.planner.placement import place_missing_nodes
from controlplane.planner.primaries import call_roll, elect_primaries
from controlplane.planner.situation import Situation

PLACE = ArchivePlace("file:///archive", "one")


def file_of(group: str) -> SeedFile:
    return SeedFile(group, SavedFile(f"old/{group}.rdb", 512, f"sha-{group}", "VALKEY080", NOW), PLACE)


WAITING = Seed("old", PLACE, "old")
READY = replace(WAITING, files=(file_of("0001"),))
REFUSED = replace(READY, refusal="it does not fit")
BEGINNING = desiring(at_work(), announced_at=None, seed=READY)
LOADED = seeing(BEGINNING, FIRST, seeded="sha-0001")


# ---- who may start


@pytest.mark.parametrize(("seed", "starts"), [(None, True), (WAITING, False), (REFUSED, False), (READY, True)])
def test_nothing_is_placed_before_its_data_was_checked(seed: Seed | None, starts: bool) -> None:
    placed = decided(place_missing_nodes, unplaced(replace(a_group(created=False), seed=seed)))
    assert [type(each) for each in placed] == [PlaceNode] * 3 * starts


# ---- nobody takes over


def lost(now: Situation) -> Situation:
    """The primary is dead, and everybody has answered the roll."""
    called = grouped(seeing(now, FIRST, phase=DEAD), roll=1, roll_for=f"{FIRST}/1", roll_at=NOW - timedelta(minutes=1))
    for replica in (node.id for node in called.topology.node_groups[0].replicas):
        called = seeing(called, replica, roll=1)
    return called


def test_before_it_is_announced_nobody_takes_over() -> None:
    assert decided(call_roll, seeing(BEGINNING, FIRST, phase=DEAD)) == []
    assert decided(elect_primaries, lost(BEGINNING)) == []
    assert len(decided(elect_primaries, lost(desiring(BEGINNING, seed=None)))) == 1


def test_its_primary_begins_again_although_replicas_have_its_data() -> None:
    assert decided(start_dead_nodes, seeing(BEGINNING, FIRST, phase=DEAD)) == [BootNode(FIRST, 2, "")]
    assert decided(start_dead_nodes, seeing(desiring(BEGINNING, seed=None), FIRST, phase=DEAD)) == []


# ---- when it is announced


def test_it_is_announced_once_its_primary_has_loaded_its_file() -> None:
    assert decided(announce, LOADED) == [Announce("")]


NOT_YET = {
    "nothing was loaded": BEGINNING,
    "another file was loaded": seeing(BEGINNING, FIRST, seeded="sha-0009"),
    "only a replica has loaded it": seeing(BEGINNING, SECOND, seeded="sha-0001"),
    "the primary is starting": seeing(LOADED, FIRST, phase=STARTING),
    "the primary shall begin again": noded(LOADED, FIRST, boot=2),
    "the primary was not heard": silent(LOADED, FIRST),
}


@pytest.mark.parametrize("why", NOT_YET)
def test_it_is_not_announced_while(why: str) -> None:
    assert decided(announce, NOT_YET[why]) == []


def test_it_is_announced_once_every_shard_has_loaded_its_own_file() -> None:
    shards = desiring(sharded_at_work(), announced_at=None, seed=replace(READY, files=(file_of("0001"), file_of("0002"))))
    one = seeing(shards, "orders-0001-001", seeded="sha-0001")
    assert decided(announce, one) == []
    assert decided(announce, seeing(one, "orders-0002-001", seeded="sha-0001")) == []
    assert decided(announce, seeing(one, "orders-0002-001", seeded="sha-0002")) == [Announce("")]


def test_a_shard_that_begins_with_nothing_is_not_waited_for() -> None:
    shards = desiring(sharded_at_work(), announced_at=None, seed=READY)
    assert decided(announce, seeing(shards, "orders-0001-001", seeded="sha-0001")) == [Announce("")]
