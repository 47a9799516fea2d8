"""When engines get a certificate, and when another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from situations import NOW, at_work

from api_schemas.agent.transit import Certified, TransitMode
from controlplane.domain.certificate import Issued
from controlplane.domain.transit import LASTS, covers, names_of
from controlplane.planner.decisions import IssueCertificate, LookAgain
from controlplane.planner.situation import Situation
from controlplane.planner.transit import issue_certificates

PROOF = Certified("certificate", "key", "authority")


def encrypted(**changes: object) -> Situation:
    now = at_work()
    return replace(now, topology=replace(now.topology, transit=TransitMode.REQUIRED, **changes))  # type: ignore[arg-type]


def certified(now: Situation, until: object = NOW + LASTS) -> Situation:
    issued = Issued(PROOF, names_of(now.topology, now.policy.style), until)  # type: ignore[arg-type]
    return replace(now, topology=replace(now.topology, certified=issued))


def test_what_is_not_encrypted_needs_no_certificate() -> None:
    assert not list(issue_certificates(at_work()))


def test_the_first_names_every_node_and_every_endpoint() -> None:
    now = encrypted()
    (decided,) = issue_certificates(now)
    assert isinstance(decided, IssueCertificate)
    addresses = {node.placement.address for node in now.topology.nodes if node.placement}
    assert {*addresses, now.topology.primary_address, now.topology.reader_address, "localhost"} <= set(decided.names)


def test_it_waits_until_every_node_has_a_place() -> None:
    now = encrypted()
    first = next(iter(now.topology.nodes))
    waiting = replace(now, topology=now.topology.with_node(replace(first, placement=None)))
    assert not list(issue_certificates(waiting))


def test_a_good_one_is_looked_at_again_when_a_third_of_its_time_is_left() -> None:
    (decided,) = issue_certificates(certified(encrypted()))
    assert isinstance(decided, LookAgain)
    assert decided.at == NOW + LASTS * 2 / 3


@pytest.mark.parametrize(("left", "reason"), [(LASTS / 3, "a third of its time is left"), (timedelta(days=-1), "a third")])
def test_one_that_ends_soon_is_renewed(left: timedelta, reason: str) -> None:
    (decided,) = issue_certificates(certified(encrypted(), NOW + left))
    assert isinstance(decided, IssueCertificate)
    assert reason in decided.because


def test_a_node_at_another_address_asks_for_another() -> None:
    now = certified(encrypted())
    first = next(iter(now.topology.nodes))
    assert first.placement is not None
    moved = replace(first, placement=replace(first.placement, address="127.102.9.9"))
    (decided,) = issue_certificates(replace(now, topology=now.topology.with_node(moved)))
    assert isinstance(decided, IssueCertificate)
    assert "127.102.9.9" in decided.names
    assert first.placement.address not in decided.names


def test_a_certificate_covers_a_node_only_with_the_endpoints_that_it_may_hold() -> None:
    topology = encrypted().topology
    address = next(node.placement.address for node in topology.nodes if node.placement)
    assert not covers((address,), topology, address)
    assert covers((address, *filter(None, (topology.primary_address, topology.reader_address))), topology, address)


def test_a_deleted_topology_needs_none() -> None:
    assert not list(issue_certificates(encrypted(deleting=True)))
