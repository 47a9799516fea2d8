"""Endpoints lead to what reports the role."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import a_cache_cluster, a_group
from situations import (
    AGENTS,
    FIRST,
    SECOND,
    THIRD,
    at_work,
    decided,
    desiring,
    grouped,
    memcached_at_work,
    noded,
    reason,
    seeing,
    silent,
    unplaced,
)

from controlplane.domain.reported import DEAD, RUNNING, STARTING
from controlplane.planner.decisions import GiveEndpoints, PublishPrimary, SpreadReaders
from controlplane.planner.endpoints import give_endpoints, publish_primary, spread_readers

ONE, TWO, THREE = "127.101.0.1:6379", "127.101.0.2:6379", "127.101.0.3:6379"

# ---- addresses


def test_a_group_is_given_its_endpoints_once() -> None:
    assert decided(give_endpoints, unplaced(a_group(created=False))) == [GiveEndpoints("agent-a", "")]
    assert decided(give_endpoints, at_work()) == []


def test_readers_are_spread_by_the_first_agent_that_is_heard() -> None:
    deaf_a = replace(AGENTS[0], heard=False)
    assert decided(give_endpoints, unplaced(a_group(), AGENTS[2], deaf_a, AGENTS[1])) == [GiveEndpoints("agent-b", "")]
    assert decided(give_endpoints, unplaced(a_group(), deaf_a)) == []


def test_a_memcached_cluster_is_given_its_configuration_endpoint_once() -> None:
    assert decided(give_endpoints, unplaced(a_cache_cluster(created=False))) == [GiveEndpoints("agent-a", "")]
    assert decided(give_endpoints, memcached_at_work()) == []


@pytest.mark.parametrize("topology", [a_cache_cluster(deleting=True), a_cache_cluster(engine="valkey"), a_group(deleting=True)])
def test_who_gets_no_endpoints(topology) -> None:  # type: ignore[no-untyped-def]
    assert decided(give_endpoints, unplaced(topology)) == []


# ---- the primary endpoint


def test_the_primary_endpoint_is_published_to_who_reports_the_role() -> None:
    now = grouped(at_work(), holder=None)
    assert decided(publish_primary, now) == [PublishPrimary("0001", FIRST, "")]
    assert reason(publish_primary, now) == f"{FIRST} reports primary at epoch 1"


def test_what_is_published_is_not_published_again() -> None:
    assert decided(publish_primary, at_work()) == []


@pytest.mark.parametrize(
    "changes", [{"role": "replica"}, {"role": None}, {"epoch": 0}, {"epoch": 2}, {"phase": STARTING}, {"phase": DEAD}, {"boot": 2}]
)
def test_nothing_is_published_before_the_role_is_reported(changes: dict[str, object]) -> None:
    assert decided(publish_primary, seeing(grouped(at_work(), holder=None), FIRST, **changes)) == []


def test_nothing_is_published_to_the_silent() -> None:
    assert decided(publish_primary, silent(grouped(at_work(), holder=None), FIRST)) == []


def test_the_first_primary_of_a_new_group_need_not_report_first() -> None:
    new = silent(desiring(grouped(at_work(), holder=None), announced_at=None), FIRST)
    assert decided(publish_primary, new) == [PublishPrimary("0001", FIRST, "")]
    assert reason(publish_primary, new) == f"{FIRST} is the first primary of a new group"


def test_but_the_second_one_must() -> None:
    new = silent(desiring(grouped(at_work(), primary=SECOND, epoch=2, holder=None), announced_at=None), SECOND)
    assert decided(publish_primary, new) == []


def test_after_an_election_the_old_epoch_does_not_count() -> None:
    elected = grouped(at_work(), primary=SECOND, epoch=2, holder=None)
    assert decided(publish_primary, seeing(elected, SECOND, role="primary", epoch=1)) == []
    assert decided(publish_primary, seeing(elected, SECOND, role="primary", epoch=2)) == [PublishPrimary("0001", SECOND, "")]


def test_a_stand_in_is_not_published() -> None:
    stands_in = seeing(grouped(at_work(), primary=SECOND, epoch=2, holder=None, home=FIRST), SECOND, role="primary", epoch=2)
    assert decided(publish_primary, stands_in) == []


@pytest.mark.parametrize("changes", [{"primary_address": None}, {"deleting": True}])
def test_nothing_is_published_without_an_address_or_while_deleting(changes: dict[str, object]) -> None:
    assert decided(publish_primary, desiring(grouped(at_work(), holder=None), **changes)) == []


# ---- the reader endpoint


@pytest.mark.parametrize(
    ("second", "third", "backends"),
    [
        ({}, {}, (TWO, THREE)),
        ({"link_up": False}, {}, (THREE,)),
        ({}, {"phase": DEAD}, (TWO,)),
        ({}, {"boot": 0}, (TWO,)),
        ({}, {"follows": "127.101.0.9:6379"}, (TWO,)),
        ({"link_up": False}, {"link_up": False}, (ONE,)),
        ({"phase": STARTING}, {"phase": DEAD}, (ONE,)),
    ],
)
def test_readers_go_to_what_is_in_sync_or_else_to_the_primary(
    second: dict[str, object], third: dict[str, object], backends: tuple[str, ...]
) -> None:
    now = desiring(seeing(seeing(at_work(), SECOND, **second), THIRD, **third), reader_backends=())
    assert decided(spread_readers, now) == [SpreadReaders(backends, "")]


def test_a_replica_that_has_not_acknowledged_gets_no_readers() -> None:
    now = at_work()
    now = seeing(now, FIRST, proven=frozenset({now.topology.key(THIRD)}))
    assert decided(spread_readers, now) == [SpreadReaders((THREE,), "")]
    assert reason(spread_readers, now) == "1 in sync"


def test_a_leaving_replica_gets_no_readers() -> None:
    assert decided(spread_readers, noded(at_work(), SECOND, leaving=True)) == [SpreadReaders((THREE,), "")]


def test_a_group_of_one_reads_from_its_primary() -> None:
    assert decided(spread_readers, desiring(at_work(nodes=1), reader_backends=())) == [SpreadReaders((ONE,), "")]


def test_readers_stay_where_they_are_while_nobody_can_serve_them() -> None:
    now = at_work()
    for node in (FIRST, SECOND, THIRD):
        now = seeing(now, node, phase=DEAD)
    assert decided(spread_readers, now) == []


def test_readers_already_spread_are_left_alone() -> None:
    assert decided(spread_readers, at_work()) == []
    assert decided(spread_readers, seeing(at_work(), SECOND, phase=RUNNING, offset=2000)) == []


def test_no_readers_without_an_endpoint_or_while_deleting() -> None:
    assert decided(spread_readers, desiring(at_work(), reader_backends=(), deleting=True)) == []
    assert decided(spread_readers, desiring(at_work(), reader_backends=(), primary_address=None, reader_address=None)) == []
    assert decided(spread_readers, memcached_at_work()) == []
