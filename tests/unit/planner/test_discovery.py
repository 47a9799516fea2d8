"""Which nodes of a Memcached cluster clients are told of, and in which order its number changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from situations import at_work, decided, desiring, memcached_at_work, noded, reason, routed, seeing, silent

from controlplane.domain.reported import DEAD, STARTING, SeenRoute
from controlplane.domain.resizing import Discovery, Resizing
from controlplane.domain.topology import Restart
from controlplane.planner.decisions import ApplyPending, LookAgain, PublishDiscovery, StopNode
from controlplane.planner.departures import stop_leaving_nodes
from controlplane.planner.discovery import apply_pending, publish_discovery
from controlplane.planner.lifecycle import close_modification
from controlplane.planner.rules import plan
from controlplane.planner.situation import Situation

THREE = memcached_at_work(3)
SHRINKING = desiring(noded(THREE, "0003", leaving=True), discovery=Discovery(3, ("0001", "0002")))

# ---- the list


def test_a_node_is_listed_once_it_has_joined() -> None:
    growing = noded(desiring(THREE, discovery=Discovery(3, ("0001", "0002"))), "0003", joined_at=None)
    assert decided(publish_discovery, growing) == []
    joined = noded(growing, "0003", joined_at=THREE.now)
    assert decided(publish_discovery, joined) == [PublishDiscovery(("0001", "0002", "0003"), "")]
    assert reason(publish_discovery, joined) == "3 nodes have joined and stay"


def test_a_node_leaves_the_list_the_moment_it_is_leaving() -> None:
    assert decided(publish_discovery, noded(THREE, "0002", leaving=True)) == [PublishDiscovery(("0001", "0003"), "")]


@pytest.mark.parametrize(
    "now",
    [
        seeing(THREE, "0002", phase=DEAD),
        noded(seeing(THREE, "0002", phase=STARTING, boot=2), "0002", boot=2, restart=Restart.RECOVERY),
        noded(THREE, "0002", boot=2, restart=Restart.ASKED),
        silent(THREE, "0001", "0002", "0003"),
        seeing(THREE, "0002", fronted=False, discovery=0),
    ],
    ids=["dead", "rebuilt", "rebooted", "silent", "without its front"],
)
def test_the_list_stays_while_a_node_is_started_again(now: Situation) -> None:
    assert decided(publish_discovery, now) == []


def test_the_first_list_is_complete() -> None:
    new = desiring(THREE, discovery=None, announced_at=None)
    assert decided(publish_discovery, noded(new, "0002", joined_at=None)) == []
    assert decided(publish_discovery, new) == [PublishDiscovery(("0001", "0002", "0003"), "")]


@pytest.mark.parametrize("now", [at_work(), desiring(THREE, deleting=True, discovery=None)])
def test_who_has_no_list(now: Situation) -> None:
    assert decided(publish_discovery, now) == []


# ---- first the list, then the end


def served(now: Situation, version: int, *nodes: str) -> Situation:
    for node in nodes:
        now = seeing(now, node, discovery=version)
    return routed(now, replace(now.reported.route or SeenRoute(True), discovery=version))


UNLISTED = desiring(SHRINKING, discovery=Discovery(4, ("0001", "0002")))


def test_a_leaving_node_ends_once_everybody_tells_of_the_list_without_it() -> None:
    now = served(UNLISTED, 4, "0001", "0002")
    assert decided(stop_leaving_nodes, now) == [StopNode("0003", "")]
    assert reason(stop_leaving_nodes, now) == "version 4 of the list is served everywhere, without it"
    assert decided(stop_leaving_nodes, noded(now, "0003", stopping=True)) == []


@pytest.mark.parametrize(
    "now",
    [
        served(UNLISTED, 4, "0001"),
        seeing(served(UNLISTED, 4, "0001", "0002"), "0002", discovery=0),
        silent(served(UNLISTED, 4, "0001", "0002"), "0002"),
        routed(served(UNLISTED, 4, "0001", "0002"), SeenRoute(True, discovery=3)),
        routed(served(UNLISTED, 4, "0001", "0002"), SeenRoute(False, discovery=4)),
        routed(served(UNLISTED, 4, "0001", "0002"), None),
        desiring(served(UNLISTED, 4, "0001", "0002"), discovery=Discovery(4, ("0001", "0002", "0003"))),
        desiring(served(UNLISTED, 4, "0001", "0002"), discovery=None),
    ],
    ids=["one tells of the former", "one was flushed", "one is silent", "the endpoint tells of the former", "the endpoint is closed",
         "the endpoint was not heard", "it is listed", "nothing is listed"],
)  # fmt: skip
def test_it_runs_on_while(now: Situation) -> None:
    assert decided(stop_leaving_nodes, now) == []


def test_a_change_is_over_when_leaving_nodes_are_gone_and_new_ones_have_joined() -> None:
    changing = desiring(THREE, modifying=True)
    assert decided(close_modification, noded(changing, "0003", leaving=True, stopping=True)) == []
    assert decided(close_modification, noded(changing, "0003", joined_at=None)) == []
    assert len(decided(close_modification, changing)) == 1
    assert decided(close_modification, seeing(changing, "0003", discovery=2)) == []
    assert decided(close_modification, seeing(changing, "0003", fronted=False)) == []


def test_a_direct_node_needs_no_front() -> None:
    direct = desiring(THREE, modifying=True, settings=replace(THREE.topology.settings, fronted=False))
    assert len(decided(close_modification, seeing(direct, "0003", fronted=False))) == 1


# ---- what waits for the window

SUNDAY = datetime(2026, 7, 5, 5, 30, tzinfo=UTC)
WAITING = desiring(THREE, pending=Resizing(removed=("0003",)))  # on a Wednesday, the window being on Sunday from 5 to 6


def test_what_is_pending_waits_for_the_window_and_is_done_when_it_opens() -> None:
    assert decided(apply_pending, WAITING) == [LookAgain(SUNDAY - timedelta(minutes=30), "")]
    assert decided(apply_pending, replace(WAITING, now=SUNDAY)) == [ApplyPending("")]
    assert reason(apply_pending, replace(WAITING, now=SUNDAY)) == "the maintenance window sun:05:00-sun:06:00 is open"


@pytest.mark.parametrize("changes", [{"pending": None}, {"deleting": True}])
def test_nothing_waits(changes: dict[str, object]) -> None:
    assert decided(apply_pending, desiring(replace(WAITING, now=SUNDAY), **changes)) == []


def test_nothing_else_is_decided_while_something_waits() -> None:
    assert [type(decision) for decision in plan(WAITING)] == [LookAgain]
