"""Where names lead: bound endpoints to their address, named ones to the nodes that do what the name is for, and to no others."""

from __future__ import annotations

import pytest
from situations import (
    CONFIGURATION_ADDRESS,
    FIRST,
    PRIMARY_ADDRESS,
    READER_ADDRESS,
    SECOND,
    THIRD,
    address_of,
    agreeing,
    at_work,
    desiring,
    grouped,
    memcached_at_work,
    named,
    noded,
    seeing,
    sharded_at_work,
    silent,
)

from controlplane.domain.endpoint_names import EndpointName, Purpose
from controlplane.domain.reported import DEAD, STARTING
from controlplane.domain.resolution import addresses
from controlplane.planner.situation import Situation

PLACE = ("7abc2d", "use1")


def led(now: Situation, purpose: Purpose, *, unheard: str = "") -> set[str] | None:
    """The nodes that a name leads to, by id."""
    name = EndpointName(purpose, now.topology.name, *PLACE)
    found = addresses(now.topology, name, now.reported, lambda agent: agent != unheard)
    by_address = {address_of(now.topology, node.id): node.id for node in now.topology.nodes if node.placement}
    return None if found is None else {by_address[address] for address in found}


def to_node(now: Situation, owner: str, number: str = "0001", **how: object) -> tuple[str, ...] | None:
    name = EndpointName(Purpose.NODE, owner, *PLACE, number, **how)  # type: ignore[arg-type]
    return addresses(now.topology, name, now.reported, lambda agent: True)


GROUP, SHARDS, SESSIONS = named(at_work()), named(agreeing(sharded_at_work())), named(memcached_at_work())


# ---- bound


def test_bound_endpoints_lead_to_their_addresses() -> None:
    def found(now: Situation, purpose: Purpose) -> tuple[str, ...] | None:
        return addresses(now.topology, EndpointName(purpose, now.topology.name, *PLACE), now.reported, lambda agent: True)

    assert found(at_work(), Purpose.PRIMARY) == (PRIMARY_ADDRESS,)
    assert found(at_work(), Purpose.READER) == (READER_ADDRESS,)
    assert found(sharded_at_work(), Purpose.CONFIGURATION) == (CONFIGURATION_ADDRESS,)
    assert found(memcached_at_work(), Purpose.DISCOVERY) == (CONFIGURATION_ADDRESS,)
    assert found(desiring(at_work(), primary_address=None), Purpose.PRIMARY) == ()
    assert found(desiring(at_work(), deleting=True), Purpose.PRIMARY) == ()


@pytest.mark.parametrize(
    ("now", "there"),
    [
        (GROUP, {Purpose.PRIMARY, Purpose.READER}),
        (SHARDS, {Purpose.CONFIGURATION}),
        (SESSIONS, {Purpose.DISCOVERY}),
        (at_work(), {Purpose.PRIMARY, Purpose.READER}),
    ],
)
def test_a_topology_has_no_names_but_of_its_own_kind(now: Situation, there: set[Purpose]) -> None:
    found = {purpose for purpose in Purpose if addresses(now.topology, EndpointName(purpose, now.topology.name, *PLACE), now.reported, bool)}
    assert found - {Purpose.NODE} == there


# ---- the primary


def test_the_primary_is_the_node_that_reports_it() -> None:
    assert led(GROUP, Purpose.PRIMARY) == {FIRST}


@pytest.mark.parametrize(
    "now",
    [
        seeing(GROUP, FIRST, phase=DEAD, role=None),
        seeing(GROUP, FIRST, phase=DEAD),
        seeing(GROUP, FIRST, phase=STARTING, role=None),
        seeing(GROUP, FIRST, boot=0),
        seeing(GROUP, FIRST, role="replica"),
        silent(GROUP, FIRST),
        grouped(GROUP, epoch=2),
        grouped(GROUP, primary=SECOND, epoch=2),
        grouped(GROUP, primary=SECOND, epoch=2, holder=SECOND),
        grouped(GROUP, holder=None),
        grouped(GROUP, holder=SECOND),
        desiring(GROUP, deleting=True),
    ],
)
def test_no_primary_is_no_address(now: Situation) -> None:
    assert led(now, Purpose.PRIMARY) == set()


def test_the_name_follows_an_election_once_the_elected_reports() -> None:
    elected = grouped(GROUP, primary=SECOND, epoch=2, holder=SECOND)
    assert led(elected, Purpose.PRIMARY) == set()
    assert led(seeing(elected, SECOND, role="primary", epoch=1), Purpose.PRIMARY) == set()
    assert led(seeing(elected, SECOND, role="primary", epoch=2), Purpose.PRIMARY) == {SECOND}


def test_who_stands_in_for_a_primary_is_not_led_to() -> None:
    standing_in = grouped(seeing(GROUP, SECOND, role="primary", epoch=2), primary=SECOND, epoch=2, holder=None, home=FIRST)
    assert led(standing_in, Purpose.PRIMARY) == set()


def test_a_silent_agent_does_not_move_the_name_before_an_election() -> None:
    assert led(GROUP, Purpose.PRIMARY, unheard="agent-a") == {FIRST}


# ---- readers


def test_readers_are_led_to_those_among_whom_they_are_spread() -> None:
    assert led(GROUP, Purpose.READER) == {SECOND, THIRD}
    assert led(desiring(GROUP, reader_backends=(f"{address_of(GROUP.topology, THIRD)}:6379",)), Purpose.READER) == {THIRD}


def test_a_reader_that_ended_is_left_out_before_anything_is_decided() -> None:
    assert led(seeing(GROUP, SECOND, phase=DEAD), Purpose.READER) == {THIRD}
    assert led(seeing(seeing(GROUP, SECOND, phase=DEAD), THIRD, phase=DEAD), Purpose.READER) == set()


def test_without_a_replica_readers_are_led_to_the_primary() -> None:
    alone = named(at_work(nodes=1))
    assert led(alone, Purpose.READER) == {FIRST}


# ---- cluster mode, Memcached


def test_a_configuration_name_leads_to_every_node_that_does_its_duty() -> None:
    everybody = {node.id for node in SHARDS.topology.nodes}
    assert led(SHARDS, Purpose.CONFIGURATION) == everybody
    away = seeing(SHARDS, "orders-0001-001", phase=DEAD)
    assert led(away, Purpose.CONFIGURATION) == everybody - {"orders-0001-001"}
    lagging = seeing(SHARDS, "orders-0002-002", agrees=None)
    assert led(lagging, Purpose.CONFIGURATION) == everybody - {"orders-0002-002"}
    leaving = noded(SHARDS, "orders-0002-002", leaving=True)
    assert "orders-0002-002" not in (led(agreeing(leaving), Purpose.CONFIGURATION) or set())


def test_a_configuration_name_leads_to_whoever_runs_while_nobody_does_its_duty() -> None:
    now = SHARDS
    for node in SHARDS.topology.nodes:
        now = seeing(now, node.id, agrees=None)
    assert led(now, Purpose.CONFIGURATION) == {node.id for node in SHARDS.topology.nodes}


def test_nodes_of_an_agent_that_is_not_heard_come_last() -> None:
    heard = {node.id for node in SHARDS.topology.nodes if node.placement and node.placement.agent != "agent-a"}
    assert led(SHARDS, Purpose.CONFIGURATION, unheard="agent-a") == heard
    assert led(SESSIONS, Purpose.DISCOVERY, unheard="agent-a") == {"0002"}
    one = named(memcached_at_work(nodes=1))
    assert led(one, Purpose.DISCOVERY, unheard="agent-a") == {"0001"}


def test_discovery_is_asked_of_nodes_that_tell() -> None:
    assert led(SESSIONS, Purpose.DISCOVERY) == {"0001", "0002"}
    assert led(seeing(SESSIONS, "0001", discovery=0), Purpose.DISCOVERY) == {"0002"}
    assert led(seeing(SESSIONS, "0001", phase=DEAD), Purpose.DISCOVERY) == {"0002"}
    assert led(desiring(SESSIONS, discovery=None), Purpose.DISCOVERY) == set()


# ---- nodes


@pytest.mark.parametrize("now", [GROUP, at_work(), desiring(GROUP, deleting=True), seeing(GROUP, SECOND, phase=DEAD)])
def test_a_node_keeps_its_name_whatever_becomes_of_it(now: Situation) -> None:
    assert to_node(now, SECOND) == (address_of(now.topology, SECOND),)


def test_names_of_nodes_that_there_are_not() -> None:
    assert to_node(GROUP, "orders-009") is None
    assert to_node(GROUP, SECOND, "0002") is None
    assert to_node(GROUP, SECOND, tls=True, group="orders") == (address_of(GROUP.topology, SECOND),)
    assert to_node(GROUP, SECOND, tls=True, group="others") is None
    assert to_node(SESSIONS, "sessions", "0002") == (address_of(SESSIONS.topology, "0002"),)
    assert to_node(SESSIONS, "sessions", "0003") is None
    assert to_node(SESSIONS, "0001") is None
    assert to_node(noded(GROUP, SECOND, placement=None), SECOND) == ()
