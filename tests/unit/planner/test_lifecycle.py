"""When a topology is announced, when a change is over, when nothing of it is left."""

from __future__ import annotations

import pytest
from situations import (
    FIRST,
    SECOND,
    at_work,
    decided,
    desiring,
    grouped,
    memcached_at_work,
    noded,
    routed,
    seeing,
    silent,
)

from controlplane.domain.reported import DEAD, GONE, STARTING, SeenNode, SeenRoute
from controlplane.domain.resizing import Discovery
from controlplane.planner.decisions import Announce, Bury, CloseModification, Decision, Release
from controlplane.planner.lifecycle import announce, bury, close_modification
from controlplane.planner.rules import RULES, plan
from controlplane.planner.situation import Situation

READY = desiring(at_work(), announced_at=None)
CHANGING = desiring(at_work(), modifying=True)
BACKENDS = at_work().topology.reader_backends

NOT_YET = {
    "a node is starting": lambda now: seeing(now, SECOND, phase=STARTING),
    "a node is dead": lambda now: seeing(now, FIRST, phase=DEAD),
    "a node is silent": lambda now: silent(now, SECOND),
    "a node runs an earlier boot": lambda now: noded(now, SECOND, boot=2),
    "a replica has not acknowledged": lambda now: seeing(now, FIRST, proven=frozenset()),
    "a link is down": lambda now: seeing(now, SECOND, link_up=False),
    "the primary is at an earlier epoch": lambda now: grouped(now, epoch=2),
    "the endpoint is not published": lambda now: grouped(now, holder=None),
    "the endpoint is not bound": lambda now: seeing(now, FIRST, holds=frozenset()),
    "the endpoint is bound at another address": lambda now: seeing(now, FIRST, holds=frozenset({"127.100.0.9"})),
    "the relay was not heard": lambda now: routed(now, None),
    "the relay does not listen": lambda now: routed(now, SeenRoute(False, BACKENDS)),
    "the relay spreads over too few": lambda now: routed(now, SeenRoute(True, BACKENDS[:1])),
}


# ---- announced


def test_what_works_for_the_first_time_is_announced() -> None:
    assert decided(announce, READY) == [Announce("")]


def test_the_relay_may_name_its_backends_in_any_order() -> None:
    assert decided(announce, routed(READY, SeenRoute(True, BACKENDS[::-1]))) == [Announce("")]


@pytest.mark.parametrize("what", NOT_YET)
def test_nothing_is_announced_while(what: str) -> None:
    assert decided(announce, NOT_YET[what](READY)) == []


def test_nothing_is_announced_before_every_node_has_joined() -> None:
    assert decided(announce, noded(READY, SECOND, joined_at=None)) == []


def test_a_topology_is_announced_once_and_not_on_its_way_out() -> None:
    assert decided(announce, at_work()) == []
    assert decided(announce, desiring(READY, deleting=True)) == []


def test_memcached_is_announced_once_everybody_tells_of_its_nodes() -> None:
    ready = desiring(memcached_at_work(), announced_at=None)
    assert decided(announce, ready) == [Announce("")]
    assert decided(announce, seeing(ready, "0002", phase=STARTING)) == []
    assert decided(announce, seeing(ready, "0002", discovery=2)) == []
    assert decided(announce, desiring(ready, discovery=None)) == []
    assert decided(announce, desiring(ready, discovery=Discovery(3, ("0001",)))) == []  # another list is about to be published
    assert decided(announce, routed(ready, None)) == []
    assert decided(announce, routed(ready, SeenRoute(False, discovery=3))) == []
    assert decided(announce, routed(ready, SeenRoute(True, discovery=2))) == []


# ---- a change is over


def test_a_change_is_over_once_the_engines_match() -> None:
    assert decided(close_modification, CHANGING) == [CloseModification("")]


@pytest.mark.parametrize("what", NOT_YET)
def test_a_change_goes_on_while(what: str) -> None:
    assert decided(close_modification, NOT_YET[what](CHANGING)) == []


@pytest.mark.parametrize("changes", [{"modifying": False}, {"deleting": True}, {"announced_at": None}])
def test_no_change_to_close(changes: dict[str, object]) -> None:
    assert decided(close_modification, desiring(CHANGING, **changes)) == []


# ---- buried, or released


def emptied(*, retained: str | None = None, route: SeenRoute | None = None) -> Situation:
    """A deleted group of which only the retained node is left."""
    now = at_work()
    nodes = tuple(node for node in now.topology.nodes if node.id == retained)
    now = desiring(grouped(now, nodes=nodes), deleting=True, retained=retained)
    return routed(now, route or SeenRoute(False, gone=True))


def ends(decisions: list[Decision]) -> bool:
    """Whether the topology, as it was known, is over after these decisions."""
    return any(isinstance(decision, Bury | Release) for decision in decisions)


def test_nothing_is_left() -> None:
    assert decided(bury, emptied()) == [Bury("")]
    assert decided(bury, routed(emptied(), None)) == [Bury("")]  # the relay was never told of it
    assert ends(plan(emptied()))


def test_a_topology_nobody_deleted_is_not_buried() -> None:
    assert decided(bury, at_work()) == []
    assert decided(bury, desiring(emptied(), deleting=False)) == []


def test_a_node_is_left() -> None:
    assert decided(bury, desiring(at_work(), deleting=True)) == []
    still = desiring(routed(seeing(at_work(1), FIRST, phase=GONE), SeenRoute(False, gone=True)), deleting=True)
    assert decided(bury, still) == []  # it is gone but not yet forgotten


def test_the_reader_endpoint_is_left() -> None:
    assert decided(bury, routed(emptied(), SeenRoute(True, BACKENDS))) == []
    assert decided(bury, desiring(routed(emptied(), SeenRoute(True)), reader_address=None)) == [Bury("")]


def test_the_retained_node_is_released_once_it_let_the_endpoint_go() -> None:
    holding = emptied(retained=FIRST)
    assert decided(bury, holding) == []
    assert decided(bury, seeing(holding, FIRST, holds=frozenset())) == [Release(FIRST, "")]
    assert decided(bury, silent(holding, FIRST)) == []
    assert ends(plan(seeing(holding, FIRST, holds=frozenset())))


# ---- all rules together


def test_nothing_is_decided_where_all_is_as_desired() -> None:
    assert plan(at_work()) == []
    assert plan(memcached_at_work()) == []
    assert not ends(plan(at_work()))


def test_every_rule_says_what_it_keeps_true() -> None:
    assert all(rule.__doc__ for rule in RULES)
    assert len(set(RULES)) == len(RULES)


def test_a_report_of_another_node_changes_nothing() -> None:
    assert plan(seeing(at_work(), "strangers-001", **{name: getattr(SeenNode(DEAD, 1), name) for name in ("phase", "boot")})) == []
