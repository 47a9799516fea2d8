"""What cluster mode adds to the rules: nodes must agree about the bus, one of them holds the configuration endpoint, heirs come first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from factories import NOW, a_sharded_group
from situations import (
    AGENTS,
    CONFIGURATION_ADDRESS,
    agreeing,
    at_work,
    decided,
    desiring,
    grouped,
    later,
    noded,
    reason,
    seeing,
    sharded_at_work,
    silent,
    unplaced,
)

from controlplane.domain.elections import Candidate
from controlplane.domain.mesh import mesh_of
from controlplane.domain.reported import DEAD, FAILED, GONE, RUNNING, STARTING, Reported, does_duty, holds_configuration, sees_the_mesh
from controlplane.domain.topology import ClusterMode, Node, Restart
from controlplane.planner.decisions import (
    Announce,
    BootNode,
    CallRoll,
    CloseModification,
    CloseRestart,
    ElectPrimary,
    GiveEndpoints,
    LookAgain,
    PublishConfiguration,
    WelcomeNode,
)
from controlplane.planner.endpoints import give_endpoints, publish_configuration, publish_primary, spread_readers
from controlplane.planner.lifecycle import announce, close_modification
from controlplane.planner.nodes import close_restarts, start_dead_nodes, welcome_nodes
from controlplane.planner.outcome import Addresses, after
from controlplane.planner.placement import place_missing_nodes
from controlplane.planner.primaries import call_roll, elect_primaries, leads
from controlplane.planner.rules import plan
from controlplane.planner.situation import Situation

LEADER, FOLLOWER = "orders-0001-001", "orders-0001-002"
OTHER, LAST = "orders-0002-001", "orders-0002-002"
NEW = sharded_at_work(announced_at=None)
UNHELD = desiring(sharded_at_work(), configuration_holder=None)
COMPATIBLE = desiring(sharded_at_work(shards=1), cluster_mode=ClusterMode.COMPATIBLE)


def published(now: Situation) -> list[str]:
    """Where the configuration endpoint is led to."""
    found = decided(publish_configuration, now)
    return [decision.node for decision in found if isinstance(decision, PublishConfiguration)]


def nobody_seen(now: Situation) -> Situation:
    return silent(now, LEADER, FOLLOWER, OTHER, LAST)


def all_of(now: Situation, **changes: object) -> Situation:
    for node in (LEADER, FOLLOWER, OTHER, LAST):
        now = seeing(now, node, **changes)
    return now


# ---- duty: to agree about the bus


def test_nothing_is_decided_where_all_is_as_desired() -> None:
    assert plan(sharded_at_work()) == []
    assert plan(sharded_at_work(shards=4, replicas=0)) == []
    assert plan(sharded_at_work(shards=1, replicas=3)) == []


@pytest.mark.parametrize("node", [LEADER, FOLLOWER, LAST])
@pytest.mark.parametrize("agrees", [None, "", "another"])
def test_a_node_that_sees_another_bus_does_not_do_its_duty(node: str, agrees: str | None) -> None:
    now = seeing(sharded_at_work(), node, agrees=agrees)
    group = now.topology.group_of(node)
    member = now.topology.node(node)
    assert member is not None
    assert not does_duty(now.topology, group, member, now.reported)
    assert does_duty(now.topology, group, member, sharded_at_work().reported)


def test_an_election_in_one_shard_is_for_all_to_see() -> None:
    elected = grouped(sharded_at_work(), primary=FOLLOWER, epoch=2)
    assert not any(sees_the_mesh(elected.topology, seen) for seen in elected.reported.nodes.values())
    assert all(sees_the_mesh(elected.topology, seen) for seen in agreeing(elected).reported.nodes.values())


def test_outside_of_cluster_mode_there_is_nothing_to_agree_about() -> None:
    now = at_work()
    assert mesh_of(now.topology) is None
    assert all(sees_the_mesh(now.topology, seen) for seen in now.reported.nodes.values())


def test_a_node_joins_once_it_agrees() -> None:
    now = noded(sharded_at_work(), LAST, joined_at=None)
    assert decided(welcome_nodes, now) == [WelcomeNode(LAST, "")]
    assert decided(welcome_nodes, seeing(now, LAST, agrees=None)) == []
    assert decided(welcome_nodes, seeing(now, LEADER, agrees=None)) == [WelcomeNode(LAST, "")]  # what others see is theirs


def test_a_restart_is_over_once_the_node_agrees() -> None:
    now = noded(sharded_at_work(), LAST, restart=Restart.RECOVERY)
    assert decided(close_restarts, now) == [CloseRestart(LAST, "")]
    assert decided(close_restarts, seeing(now, LAST, agrees="another")) == []


# ---- announced, and changes closed


@pytest.mark.parametrize(
    ("rule", "ready", "decision"),
    [
        (announce, NEW, Announce("")),
        (close_modification, desiring(sharded_at_work(), modifying=True), CloseModification("")),
    ],
    ids=["announce", "close_modification"],
)
def test_it_works_once_all_agree_and_the_configuration_endpoint_is_held(rule, ready: Situation, decision: object) -> None:  # type: ignore[no-untyped-def]
    assert decided(rule, ready) == [decision]
    assert decided(rule, seeing(ready, LAST, agrees=None)) == []
    assert decided(rule, seeing(ready, LEADER, holds=frozenset())) == []
    assert decided(rule, seeing(ready, LEADER, holds=frozenset({"127.100.0.9"}))) == []
    assert decided(rule, desiring(ready, configuration_holder=None)) == []
    assert decided(rule, desiring(ready, configuration_holder=FOLLOWER)) == []  # published there, still bound here
    assert decided(rule, silent(ready, LEADER)) == []


def test_a_sharded_group_needs_neither_primary_endpoint_nor_relay() -> None:
    assert NEW.reported.route is None
    assert decided(announce, NEW) == [Announce("")]
    assert decided(publish_primary, NEW) == decided(spread_readers, NEW) == []


def test_a_compatible_group_needs_the_endpoints_of_both() -> None:
    now = desiring(COMPATIBLE, announced_at=None, primary_address="127.100.0.1", reader_address="127.100.0.2")
    assert decided(announce, now) == []
    assert decided(publish_primary, now) != []
    assert decided(spread_readers, now) != []


def test_the_configuration_endpoint_is_held_by_whom_it_was_published_to() -> None:
    now = sharded_at_work()
    assert holds_configuration(now.topology, now.reported)
    assert not holds_configuration(replace(now.topology, configuration_holder=LAST), now.reported)
    assert not holds_configuration(replace(now.topology, configuration_holder=None), now.reported)
    assert not holds_configuration(now.topology, Reported())


# ---- addresses


@pytest.mark.parametrize(
    ("mode", "agents", "given"),
    [
        (ClusterMode.ENABLED, AGENTS, [GiveEndpoints(None, "")]),
        (ClusterMode.ENABLED, tuple(replace(agent, heard=False) for agent in AGENTS), [GiveEndpoints(None, "")]),  # no relay is needed
        (ClusterMode.COMPATIBLE, AGENTS, [GiveEndpoints("agent-a", "")]),
        (ClusterMode.COMPATIBLE, tuple(replace(agent, heard=False) for agent in AGENTS), []),
    ],
)
def test_which_addresses_a_group_is_given(mode: ClusterMode, agents, given) -> None:  # type: ignore[no-untyped-def]
    new = unplaced(a_sharded_group(shards=1, created=False, cluster_mode=mode), *agents)
    assert decided(give_endpoints, new) == given
    if given:
        drawn = Addresses(primary="1.1.1.1", reader="2.2.2.2", configuration="3.3.3.3")
        topology = after(new.topology, given[0], NOW, drawn)
        assert topology is not None
        both = (topology.primary_address, topology.reader_address)
        assert both == ((None, None) if mode is ClusterMode.ENABLED else ("1.1.1.1", "2.2.2.2"))
        assert topology.configuration_address == "3.3.3.3"
        assert decided(give_endpoints, replace(new, topology=topology)) == []


# ---- the configuration endpoint


def test_the_first_primary_of_a_new_group_holds_it_before_anybody_reports() -> None:
    new = nobody_seen(desiring(NEW, configuration_holder=None))
    assert published(new) == [LEADER]
    assert reason(publish_configuration, new) == f"{LEADER} is the first primary of a new group"
    assert published(noded(new, LEADER, placement=None)) == []
    assert published(desiring(new, announced_at=NOW)) == []  # later only who answers


def test_a_first_primary_that_is_known_to_be_dead_does_not_hold_it() -> None:
    new = nobody_seen(desiring(NEW, configuration_holder=None))
    assert published(seeing(new, LEADER, phase=FAILED)) == []
    assert published(seeing(new, LEADER, phase=STARTING)) == [LEADER]


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now,
        lambda now: seeing(now, LEADER, phase=STARTING),
        lambda now: silent(now, LEADER),
        lambda now: seeing(now, LEADER, agrees=None),
        lambda now: seeing(now, LEADER, role="replica", epoch=0),
        lambda now: grouped(now, primary=FOLLOWER, epoch=2),  # any node can answer there
        lambda now: seeing(now, LEADER, holds=frozenset()),
        lambda now: nobody_seen(now),
    ],
    ids=["at work", "starting", "silent", "disagrees", "another role", "no primary any more", "not bound yet", "nobody seen"],
)
def test_it_stays_while_its_node_may_answer(change: Callable[[Situation], Situation]) -> None:
    assert published(change(sharded_at_work())) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda now: seeing(now, LEADER, phase=DEAD),
        lambda now: seeing(now, LEADER, phase=FAILED),
        lambda now: noded(now, LEADER, leaving=True),
        lambda now: noded(now, LEADER, boot=2, restart=Restart.ASKED),  # it is still seen in the boot that is to end
        lambda now: noded(seeing(now, LEADER, phase=DEAD), LEADER, boot=2),
        lambda now: desiring(now, configuration_holder="orders-0001-009"),  # forgotten
    ],
    ids=["dead", "failed", "leaving", "restarts", "is started again", "gone"],
)
def test_it_moves_when_its_node_goes(change: Callable[[Situation], Situation]) -> None:
    moved = change(sharded_at_work())
    if moved.topology.configuration_holder == LEADER:
        assert published(moved) == [FOLLOWER]
        assert reason(publish_configuration, moved) == f"{FOLLOWER} answers"
    else:
        assert published(moved) == [LEADER]


def test_who_does_its_duty_comes_first_then_the_lowest_id() -> None:
    now = UNHELD
    assert published(now) == [LEADER]
    assert published(seeing(now, LEADER, agrees=None)) == [FOLLOWER]
    assert published(seeing(seeing(now, LEADER, agrees=None), FOLLOWER, link_up=False)) == [OTHER]
    assert published(all_of(now, agrees=None)) == [LEADER]  # better one that disagrees than none
    assert published(seeing(all_of(now, agrees=None), LEADER, phase=STARTING)) == [FOLLOWER]


@pytest.mark.parametrize("changes", [{"phase": DEAD}, {"phase": FAILED}, {"phase": STARTING}, {"phase": GONE}, {"boot": 0}, {"boot": 2}])
def test_it_never_leads_to_who_does_not_run(changes: dict[str, object]) -> None:
    only_last = seeing(all_of(UNHELD, **changes), LAST, phase=RUNNING, boot=1)
    assert published(only_last) == [LAST]
    assert published(seeing(only_last, LAST, **changes)) == []


def test_it_never_leads_to_who_leaves() -> None:
    assert published(noded(UNHELD, LEADER, leaving=True)) == [FOLLOWER]


@pytest.mark.parametrize("changes", [{"deleting": True}, {"configuration_address": None}, {"cluster_mode": ClusterMode.DISABLED}])
def test_it_leads_nowhere_while_deleting_or_where_there_is_none(changes: dict[str, object]) -> None:
    assert published(desiring(UNHELD, **changes)) == []
    assert published(desiring(nobody_seen(desiring(NEW, configuration_holder=None)), **changes)) == []


def test_what_is_published_is_the_holder() -> None:
    topology = after(UNHELD.topology, PublishConfiguration(OTHER, "because"), NOW, Addresses())
    assert topology is not None
    assert (topology.configuration_holder, topology.configuration_address) == (OTHER, CONFIGURATION_ADDRESS)


# ---- an heir leads before the others come back


def crashed(*nodes: str) -> Situation:
    now = sharded_at_work()
    for node in nodes:
        now = seeing(now, node, phase=DEAD, role=None, agrees=None)
    return now


def elected() -> Situation:
    """The first primary has died and its replica was elected, but has not taken over yet."""
    return grouped(crashed(LEADER), primary=FOLLOWER, epoch=2)


def taken_over(now: Situation) -> Situation:
    return seeing(now, FOLLOWER, role="primary", epoch=2, follows=None)


def test_a_former_primary_waits_until_its_heir_leads() -> None:
    assert decided(start_dead_nodes, elected()) == []
    assert decided(start_dead_nodes, seeing(elected(), FOLLOWER, role="primary", epoch=1)) == []
    assert decided(start_dead_nodes, seeing(elected(), FOLLOWER, epoch=2)) == []
    assert decided(start_dead_nodes, taken_over(elected())) == [BootNode(LEADER, 2, "")]


def test_a_dead_replica_waits_for_its_own_primary_and_no_other() -> None:
    assert decided(start_dead_nodes, crashed(FOLLOWER)) == [BootNode(FOLLOWER, 2, "")]
    assert decided(start_dead_nodes, seeing(crashed(FOLLOWER), LEADER, phase=STARTING)) == []
    assert decided(start_dead_nodes, silent(crashed(FOLLOWER), LEADER)) == []
    assert decided(start_dead_nodes, seeing(crashed(FOLLOWER), OTHER, phase=STARTING)) == [BootNode(FOLLOWER, 2, "")]


def test_who_was_expelled_from_its_address_waits_as_well() -> None:
    now = seeing(elected(), LEADER, phase=FAILED, address_taken=True)
    assert decided(place_missing_nodes, now) == []
    assert decided(place_missing_nodes, taken_over(now)) != []


def test_a_shard_whose_nodes_all_died_begins_with_its_primary() -> None:
    now = crashed(LEADER, FOLLOWER)
    now = grouped(now, roll=1, roll_for=f"{LEADER}/1", roll_at=NOW)
    assert decided(start_dead_nodes, now) == [BootNode(LEADER, 2, "")]
    started = noded(now, LEADER, boot=2)
    assert decided(start_dead_nodes, started) == []
    assert decided(start_dead_nodes, later(started, days=1)) == []  # there is nothing to look for again: the primary will be reported
    assert decided(start_dead_nodes, seeing(started, LEADER, phase=RUNNING, boot=2, role="primary")) == [BootNode(FOLLOWER, 2, "")]


def test_outside_of_cluster_mode_nobody_waits_for_long() -> None:
    now = seeing(grouped(at_work(), primary="orders-002", epoch=2), "orders-001", phase=DEAD)
    now = replace(now, seen_at={"orders-001": NOW})
    assert decided(start_dead_nodes, now) == [LookAgain(NOW + now.policy.settle, "")]
    assert decided(start_dead_nodes, later(now, seconds=now.policy.settle.total_seconds())) == [BootNode("orders-001", 2, "")]


def test_a_compatible_group_waits_too() -> None:
    now = grouped(seeing(COMPATIBLE, LEADER, phase=DEAD), primary=FOLLOWER, epoch=2)
    assert decided(start_dead_nodes, now) == []
    assert decided(start_dead_nodes, taken_over(now)) == [BootNode(LEADER, 2, "")]


@pytest.mark.parametrize(
    ("changes", "is_leading"),
    [({}, True), ({"role": "replica"}, False), ({"epoch": 2}, False), ({"boot": 0}, False), ({"phase": DEAD}, False)],
)
def test_who_leads(changes: dict[str, object], is_leading: bool) -> None:
    now = seeing(sharded_at_work(), LEADER, **changes)
    assert leads(now, now.topology.node_groups[0]) is is_leading
    assert leads(now, now.topology.node_groups[1])


# ---- each shard for itself


def test_the_roll_is_called_and_an_heir_elected_in_the_shard_that_lost_its_primary() -> None:
    assert decided(call_roll, crashed(OTHER)) == [CallRoll("0002", f"{OTHER}/1", "")]
    called = grouped(crashed(OTHER), 1, roll=1, roll_for=f"{OTHER}/1", roll_at=NOW)
    assert decided(elect_primaries, seeing(called, LAST, roll=1)) == [
        ElectPrimary("0002", LAST, 2, None, "", (Candidate(LAST, answered=True, proven=True, offset=1000),))
    ]


def test_two_shards_may_lose_their_primaries_at_once() -> None:
    assert decided(call_roll, crashed(LEADER, OTHER)) == [CallRoll("0001", f"{LEADER}/1", ""), CallRoll("0002", f"{OTHER}/1", "")]


def test_a_replica_that_is_added_changes_the_bus_for_all_once_it_has_a_place() -> None:
    now = sharded_at_work()
    grown = grouped(now, nodes=(*now.topology.node_groups[0].nodes, Node("orders-0001-003", "us-east-1c")))
    assert all(sees_the_mesh(grown.topology, seen) for seen in grown.reported.nodes.values())
    (place,) = place_missing_nodes(grown)
    topology = after(grown.topology, place, NOW, Addresses(node="127.101.0.9"))
    assert topology is not None
    assert not any(sees_the_mesh(topology, seen) for seen in grown.reported.nodes.values())
