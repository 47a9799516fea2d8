"""A short storm over several hosts, and proof that it would notice what it looks for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from network import Network, free_network, may_make_networks
from waiting import wait_until

from chaos.judged import BEGAN, refused, wrong
from chaos.several_hosts import SEVERAL_HOSTS
from chaos.storm import APART, LOST_BEFORE, REPLACED_WITHIN, TWO_AT_MOST, report, storm
from chaos.troubles import Trouble
from chaos.troubles_on_hosts import (
    ELECTED_BY_ANOTHER,
    KINDS_ON_HOSTS,
    DatabaseRestarted,
    EngineCrash,
    HostAgentKilled,
    HostCut,
    HostDrained,
    HostKilled,
    LeaderKilled,
    LinkSlowed,
    ZoneCut,
)

A = "us-east-1a"
CUT, ZONE_CUT, KILLED = HostCut(host="a1", zone=A), ZoneCut(zone=A), HostKilled(host="a1", zone=A)
CRASH, DRAINED, SLOW = EngineCrash(node="orders-001"), HostDrained(host="a1", zone=A), LinkSlowed(host="a1", zone=A)
AGENT, LEADER, DATABASE = HostAgentKilled(host="a1", zone=A), LeaderKilled(plane="p1"), DatabaseRestarted()
needs_networks = pytest.mark.skipif(not may_make_networks(), reason="needs network namespaces, which only root may make")


@needs_networks
@pytest.mark.xdist_group("several-hosts")
@pytest.mark.parametrize("seed", [9689])
def test_a_short_storm_over_hosts_ends_well(tmp_path: Path, seed: int) -> None:
    rounds = storm(tmp_path, seed, 4, world=SEVERAL_HOSTS)
    print(report(rounds, seed))
    assert [each.wrong for each in rounds] == [[]] * 4
    assert sum(lane.acknowledged for each in rounds for lane in each.lanes) > 1000
    assert any(lane.struck and lane.elections for each in rounds for lane in each.lanes)


# ---- what the judge notices


@pytest.mark.parametrize(
    ("troubles", "happened"),
    [
        ((CUT,), {"elected": True, "two_at_once": TWO_AT_MOST, "lost": (BEGAN - 0.1, BEGAN + 1)}),
        ((ZONE_CUT,), {"elected": True, "two_at_once": 1.0}),
        ((KILLED,), {"elected": True, "lost": (BEGAN - 0.1,)}),
        ((DRAINED,), {"elected": True, "failed": (BEGAN + 0.1,)}),
        ((DRAINED,), {}),  # whoever waits long enough for others to be whole does not leave in time
        ((SLOW,), {"failed": (BEGAN + 0.1,)}),
        ((CUT, LEADER), {"over_after": REPLACED_WITHIN + ELECTED_BY_ANOTHER - 0.1}),
        ((CUT, DATABASE), {"over_after": 60.0}),
    ],
)
def test_what_a_trouble_of_hosts_may_cost_is_not_wrong(troubles: tuple[Trouble, ...], happened: dict[str, Any]) -> None:
    assert wrong(*troubles, **happened) == []


@pytest.mark.parametrize(
    ("troubles", "happened", "said"),
    [
        ((DRAINED,), {"elected": True, "lost": (BEGAN,)}, "1 acknowledged writes are lost although nothing befell"),
        ((LEADER,), {"lost": (BEGAN,)}, "1 acknowledged writes are lost although"),
        ((SLOW,), {"lost": (BEGAN,)}, "1 acknowledged writes are lost although"),
        ((KILLED,), {"elected": True, "lost": (BEGAN - LOST_BEFORE - 0.1,)}, "were acknowledged 1.1 s before"),
        ((CUT,), {"elected": True, "lost": (BEGAN + TWO_AT_MOST + 1,)}, "6.0 s after, the trouble began"),
        ((CRASH,), {"elected": True, "ballast": 3}, "3 keys are lost that were written long before"),
        ((KILLED,), {"elected": True, "two_at_once": APART + 0.1}, "two nodes took writes for 0.45 s"),
        ((ZONE_CUT,), {"elected": True, "two_at_once": TWO_AT_MOST + 0.5}, "two nodes took writes for 5.50 s"),
        ((SLOW,), {"elected": True}, "its primary was replaced 1 times although nothing befell it"),
        ((AGENT,), {"elected": True}, "its primary was replaced 1 times although nothing befell it"),
        ((DATABASE,), {"elected": True}, "its primary was replaced 1 times although nothing befell it"),
        ((KILLED,), {}, "its primary was not replaced"),
        ((CRASH, DATABASE), {}, "its primary was not replaced"),
        ((CUT, LEADER), {"over_after": REPLACED_WITHIN + ELECTED_BY_ANOTHER + 0.1}, "its primary was not replaced"),
        ((LEADER,), {"failed": (BEGAN + 1,)}, "1 writes failed although nothing befell its primary"),
        ((DATABASE,), {"failed": (BEGAN + 1,)}, "1 writes failed although nothing befell its primary"),
    ],
)
def test_what_a_trouble_of_hosts_may_not_cost_is(troubles: tuple[Trouble, ...], happened: dict[str, Any], said: str) -> None:
    found = wrong(*troubles, **happened)
    assert any(said in each for each in found), found


def test_the_neighbours_of_a_lost_shard_may_be_down_while_nobody_can_elect() -> None:
    down = "ClusterDownError: The cluster is down"
    elsewhere = HostCut(host="c1", zone="us-east-1c")
    assert refused(elsewhere, LEADER, why=down) == []
    assert any("1 writes failed" in each for each in refused(elsewhere, why=down))
    assert any("1 writes failed" in each for each in refused(elsewhere, LEADER, why="TimeoutError: "))


def test_a_host_strikes_its_own_primary_and_a_zone_all_of_its_hosts() -> None:
    neighbour = {"node": "orders-003", "zone": A, "agent": "a2"}
    assert [trouble.strikes(neighbour) for trouble in (CUT, KILLED, DRAINED, SLOW, ZONE_CUT)] == [False, False, False, False, True]


def test_every_kind_of_trouble_of_hosts_has_a_name() -> None:
    assert len(KINDS_ON_HOSTS) == 12


# ---- a probe that is where its node is


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.clear()


@needs_networks
@pytest.mark.xdist_group("several-hosts")
def test_who_has_entered_a_host_reaches_it_also_when_it_is_cut_off(network: Network) -> None:
    net = free_network()
    network.add_this_machine(f"{net}.0.1/16")
    host = network.add("h", f"{net}.1.1/16")

    def reaches(place: tuple[str, int]) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(place, timeout=0.3):
            return True
        return False

    place = (host.address, 6379)
    with ThreadPoolExecutor(1, initializer=host.enter) as there, there.submit(socket.create_server, place).result():
        wait_until(lambda: reaches(place))  # once the switch passes frames
        assert there.submit(reaches, place).result()
        network.cut("h")
        assert not reaches(place) and there.submit(reaches, place).result()
