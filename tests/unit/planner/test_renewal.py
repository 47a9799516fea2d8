"""How nodes are made anew: who is next, when nobody may be, and what becomes of it when it cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from situations import (
    AGENTS,
    FIRST,
    SECOND,
    THIRD,
    VALKEY,
    address_of,
    at_work,
    decided,
    desiring,
    grouped,
    memcached_at_work,
    noded,
    reason,
    routed,
    seeing,
    sharded_at_work,
)

from controlplane.domain.renewal import remade
from controlplane.domain.reported import FAILED, SeenRoute
from controlplane.domain.topology import ClusterMode, Handover, Remake, Renewal, Topology
from controlplane.planner import decisions as d
from controlplane.planner.lifecycle import close_modification
from controlplane.planner.placement import drain_hosts
from controlplane.planner.primaries import elect_primaries
from controlplane.planner.renewal import boot_unled_nodes, renew_nodes
from controlplane.planner.situation import Situation

TINY, LARGE = "cache.t4g.micro", "cache.m7g.large"
SPARE = f"{FIRST}--spare"


def anew(now: Situation, *, fits: bool = True, proven: bool = True, **make: Any) -> Situation:
    """The same, but its nodes are to be made of something else, which was found to fit and to work."""
    topology = remade(now.topology, Remake(replace(now.topology.make, **(make or {"node_type": LARGE}))))
    renewal = topology.renewal
    assert renewal is not None
    now = replace(now, topology=replace(topology, renewal=replace(renewal, fits=fits, proven=proven)))
    for node in now.reported.nodes:
        now = seeing(now, node, roll=1)
    return now


def unread(now: Situation) -> Situation:
    """The same, but no reader is led to a replica."""
    first = f"{address_of(now.topology, FIRST)}:6379"
    return routed(desiring(now, reader_backends=(first,)), SeenRoute(True, (first,)))


def made(now: Situation, *nodes: str) -> Situation:
    """The same, but these nodes have been made anew."""
    for node in nodes:
        now = noded(now, node, make=None)
    return now


def renewing(node: str, agent: str) -> d.RenewNode:
    return d.RenewNode(node, 2, agent, VALKEY, "")


# ---- whether it fits


def test_nothing_is_begun_with_before_every_primary_has_told_how_much_it_holds() -> None:
    now = anew(at_work(), fits=False, proven=False, node_type=TINY)
    assert decided(renew_nodes, seeing(now, FIRST, roll=0)) == []
    assert decided(renew_nodes, now) == [d.NoteFit("")]


@pytest.mark.parametrize(("used", "decision"), [(402653184, d.NoteFit("")), (402653185, d.GiveUpRenewal(""))])
def test_what_does_not_fit_is_given_up(used: int, decision: d.Decision) -> None:
    now = seeing(anew(at_work(), fits=False, proven=False, node_type=TINY), FIRST, used_memory=used)
    assert decided(renew_nodes, now) == [decision]
    assert reason(renew_nodes, now) == f"{FIRST} uses {used} bytes, and a node of type {TINY} can hold 402653184"


def test_keys_in_another_database_keep_a_group_out_of_cluster_mode() -> None:
    into = Remake(replace(at_work().topology.make, clustered=True), "default.valkey9.cluster.on", (), ClusterMode.COMPATIBLE)
    now = at_work()
    now = seeing(replace(now, topology=remade(now.topology, into)), FIRST, roll=1, databases=4)
    assert decided(renew_nodes, now) == [d.GiveUpRenewal("")]
    assert reason(renew_nodes, now).startswith(f"database 3 of {FIRST} holds keys")


# ---- who is next


def test_a_replica_that_readers_are_led_to_is_withdrawn_first() -> None:
    now = anew(at_work())
    assert decided(renew_nodes, now) == [d.WithdrawNode(SECOND, "")]
    withdrawn = noded(now, SECOND, withdrawn=True)
    assert decided(renew_nodes, withdrawn) == []
    led_away = desiring(withdrawn, reader_backends=withdrawn.topology.reader_backends[1:])
    assert decided(renew_nodes, led_away) == [], "the relay still leads readers there"
    assert decided(renew_nodes, routed(led_away, SeenRoute(True, led_away.topology.reader_backends))) == [renewing(SECOND, "agent-b")]


def test_replicas_are_made_anew_one_after_another_and_the_primary_hands_over_last() -> None:
    now = unread(anew(at_work()))
    assert decided(renew_nodes, now) == [renewing(SECOND, "agent-b")]
    now = made(now, SECOND)
    assert decided(renew_nodes, seeing(now, SECOND, link_up=False)) == [], "the one before does not do its duty yet"
    assert decided(renew_nodes, now) == [renewing(THIRD, "agent-c")]
    assert decided(renew_nodes, made(now, THIRD)) == [d.AskHandover("0001", FIRST, SECOND, "")]


@pytest.mark.parametrize(
    "change",
    [{"handover": Handover(FIRST, at_work().now)}, {"home": FIRST}, {"rebuild": THIRD}],
    ids=["a handover", "a stand-in for a lost primary", "a rebuild"],
)
def test_nothing_is_made_anew_while_something_else_goes_on(change: Any) -> None:
    assert decided(renew_nodes, grouped(unread(anew(at_work())), **change)) == []


def test_nobody_is_made_anew_while_an_agent_is_silent() -> None:
    agents = tuple(replace(agent, heard=agent.id != "agent-c") for agent in AGENTS)
    assert decided(renew_nodes, replace(unread(anew(at_work())), agents=agents)) == []


def test_a_dead_replica_is_next() -> None:
    now = seeing(unread(anew(at_work())), THIRD, phase="dead")
    assert decided(renew_nodes, now) == [renewing(THIRD, "agent-c")]


def test_a_replica_that_may_not_understand_a_newer_primary_is_not_waited_for() -> None:
    now = made(unread(anew(at_work(), engine_version="9.0")), FIRST)
    now = seeing(seeing(now, SECOND, link_up=False), THIRD, link_up=False)
    assert decided(renew_nodes, now) == [renewing(SECOND, "agent-b")]
    same = made(unread(anew(at_work())), FIRST)  # another node type keeps nobody from following
    assert decided(renew_nodes, seeing(seeing(same, SECOND, link_up=False), THIRD, link_up=False)) == []


def test_memcached_nodes_are_made_anew_one_after_another() -> None:
    now = anew(memcached_at_work(2))
    binary = now.topology.node("0001").placement.binary  # type: ignore[union-attr]
    assert decided(renew_nodes, now) == [d.RenewNode("0001", 2, "agent-a", binary, "")]
    assert decided(renew_nodes, seeing(made(now, "0001"), "0001", fronted=False)) == []
    assert decided(renew_nodes, made(now, "0001")) == [d.RenewNode("0002", 2, "agent-b", binary, "")]


def test_one_shard_at_a_time_has_the_bus() -> None:
    now = anew(sharded_at_work(2, 2))
    (decision,) = decided(renew_nodes, now)
    assert isinstance(decision, d.RenewNode) and decision.node.startswith("orders-0001")
    other = now.topology.node_groups[1]
    busy = grouped(now, 1, handover=Handover(other.primary or "", now.now))
    assert decided(renew_nodes, busy) == []


# ---- where


def test_a_node_moves_where_there_is_room_for_what_it_shall_be() -> None:
    full = tuple(replace(agent, memory=2**30, used=2**29) for agent in AGENTS)
    roomy = replace(AGENTS[1], id="agent-b2", memory=2**34)
    now = replace(unread(anew(at_work())), agents=(*full, roomy))
    assert decided(renew_nodes, now) == [renewing(SECOND, "agent-b2")]
    assert decided(renew_nodes, replace(now, agents=full)) == [d.LookAgain(now.now.replace(second=5), "")]


def test_what_a_node_takes_now_counts_as_free_for_what_it_shall_be() -> None:
    now = unread(anew(at_work(), node_type=TINY))
    agents = tuple(replace(agent, memory=1103269724, used=1103269724) for agent in AGENTS)
    assert decided(renew_nodes, replace(now, agents=agents)) == [renewing(SECOND, "agent-b")]


def test_hosts_are_not_drained_meanwhile() -> None:
    agents = tuple(replace(agent, draining=agent.id == "agent-b") for agent in AGENTS)
    elsewhere = (*agents, replace(AGENTS[1], id="agent-b2"))
    now = replace(unread(anew(at_work())), agents=elsewhere)
    assert decided(drain_hosts, now) == []
    assert decided(renew_nodes, now) == [renewing(SECOND, "agent-b2")]


# ---- spares


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_small_group_gets_a_spare_first(nodes: int) -> None:
    assert decided(renew_nodes, anew(at_work(nodes))) == [d.BringSpare("0001", "")]


def test_a_spare_leads_while_the_only_node_is_made_anew_and_leaves_when_that_one_leads_again() -> None:
    now = with_spare(anew(at_work(1)))
    assert decided(renew_nodes, now) == [d.AskHandover("0001", FIRST, SPARE, "")]
    led = spare_leads(now)
    assert decided(renew_nodes, led) == [renewing(FIRST, "agent-a")]
    back = made(led, FIRST)
    assert decided(renew_nodes, back) == [d.AskHandover("0001", SPARE, FIRST, "")]
    assert decided(renew_nodes, made(now, FIRST)) == [d.DismissSpare(SPARE, "")]


def test_a_modification_is_not_over_before_spares_have_left() -> None:
    now = made(with_spare(anew(at_work(1))), FIRST)
    assert decided(close_modification, now) == []
    assert decided(close_modification, grouped(now, nodes=now.topology.node_groups[0].nodes[:1])) == [d.CloseModification("")]


def test_nobody_is_rebuilt_in_the_place_of_a_spare() -> None:
    now = spare_leads(with_spare(anew(at_work(1))))
    now = grouped(seeing(now, SPARE, phase="dead"), roll=2, roll_for=f"{SPARE}/1", roll_at=now.now)
    (decision,) = decided(elect_primaries, seeing(now, FIRST, roll=2))
    assert isinstance(decision, d.ElectPrimary) and (decision.node, decision.home) == (FIRST, None)


def with_spare(now: Situation) -> Situation:
    """The same, with a spare in sync."""
    from controlplane.domain.renewal import with_spare as brought

    topology = brought(now.topology, now.topology.node_groups[0])
    first = topology.node(FIRST)
    assert first is not None and first.placement is not None
    spare = topology.node(SPARE)
    assert spare is not None
    place = replace(first.placement, address="127.101.0.9")
    topology = topology.with_node(replace(spare, placement=place, joined_at=now.now))
    now = replace(now, topology=topology)
    now = seeing(now, SPARE, role="replica", epoch=1, follows=f"{first.placement.address}:6379", link_up=True, offset=1000, roll=1)
    return seeing(now, FIRST, proven=frozenset({topology.key(SPARE)}))


def spare_leads(now: Situation) -> Situation:
    """The same, but the spare is primary and the only node follows it."""
    topology = now.topology
    now = grouped(now, primary=SPARE, epoch=2, holder=SPARE)
    address = topology.primary_address or ""
    now = seeing(now, SPARE, role="primary", epoch=2, follows=None, proven=frozenset({topology.key(FIRST)}), holds=frozenset({address}))
    now = seeing(now, FIRST, role="replica", epoch=2, follows="127.101.0.9:6379", link_up=True, holds=frozenset(), proven=frozenset())
    away = "127.101.0.9:6379"
    return routed(desiring(now, reader_backends=(away,)), SeenRoute(True, (away,)))


# ---- the trial


def test_until_the_first_has_proven_itself_no_other_is_touched() -> None:
    now = unread(anew(at_work(), proven=False))
    assert decided(renew_nodes, now) == [renewing(SECOND, "agent-b")]
    tried = on_trial(made(now, SECOND), SECOND, 2)
    tried = noded(tried, SECOND, boot=2)
    assert decided(renew_nodes, tried) == []
    assert decided(renew_nodes, seeing(tried, SECOND, boot=2)) == [d.NoteProof(SECOND, "")]


@pytest.mark.parametrize(("boot", "expected"), [(4, []), (5, [d.GiveUpRenewal("")])])
def test_what_does_not_come_up_four_times_is_given_up(boot: int, expected: list[d.Decision]) -> None:
    now = on_trial(made(unread(anew(at_work(), proven=False)), SECOND), SECOND, 2)
    now = seeing(noded(now, SECOND, boot=boot), SECOND, phase=FAILED, boot=boot, problem="it says no")
    assert decided(renew_nodes, now) == expected
    if expected:
        assert reason(renew_nodes, now) == f"{SECOND} could not be had in 4 tries: it says no"


def on_trial(now: Situation, node: str, boot: int) -> Situation:
    renewal = now.topology.renewal
    assert renewal is not None
    return desiring(now, renewal=replace(renewal, trial=node, trial_boot=boot))


# ---- into cluster mode


def into_cluster_mode(topology: Topology) -> Topology:
    remake = Remake(replace(topology.make, clustered=True), "default.valkey9.cluster.on", (), ClusterMode.COMPATIBLE)
    changed = remade(topology, remake)
    return replace(changed, renewal=Renewal(Remake(topology.make, cluster_mode=ClusterMode.DISABLED), fits=True, proven=True))


def test_a_node_in_cluster_mode_whose_primary_is_not_is_started_again_to_follow_another() -> None:
    now = at_work()
    now = made(replace(now, topology=into_cluster_mode(now.topology)), SECOND)
    assert decided(boot_unled_nodes, now) == []
    assert decided(boot_unled_nodes, seeing(now, SECOND, follows=None)) == []
    elsewhere = seeing(now, SECOND, follows="127.101.0.3:6379")
    assert decided(boot_unled_nodes, elsewhere) == [d.BootNode(SECOND, 2, "")]
    deposed = seeing(now, SECOND, follows=None, role="primary", epoch=1)
    assert decided(boot_unled_nodes, deposed) == [d.BootNode(SECOND, 2, "")]
    assert decided(boot_unled_nodes, seeing(now, THIRD, follows="127.101.0.9:6379")) == [], "that one can be told"
