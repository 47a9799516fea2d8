"""A short storm, and proof that it would notice what it looks for. ``make chaos`` runs a long one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from cachewright import local_server
from chaos.clients import Probes, Reign, longest_together, reigns_of
from chaos.judged import BEGAN, LANE, wrong
from chaos.storm import APART, LOST_BEFORE, REPLACED_WITHIN, TWO_AT_MOST, Round, Told, report, storm
from chaos.troubles import KINDS, Crash, HandOver, Isolation, Silence, Trouble

ROUNDS = 4
CRASH = Crash(node="orders-001")
ISOLATION = Isolation(struck=frozenset({"us-east-1a"}), zone="us-east-1a")
SILENCE, HAND_OVER = Silence(zone="us-east-1a"), HandOver(node="orders-001")


@pytest.mark.parametrize("seed", [4])
def test_a_short_storm_ends_well(tmp_path: Path, seed: int) -> None:
    rounds = storm(tmp_path, seed, ROUNDS)
    print(report(rounds, seed))
    assert [each.wrong for each in rounds] == [[]] * ROUNDS
    assert sum(lane.acknowledged for each in rounds for lane in each.lanes) > 1000
    assert any(lane.struck and lane.elections for each in rounds for lane in each.lanes)


def test_a_short_storm_over_what_is_being_scaled_ends_well(tmp_path: Path) -> None:
    kinds = ["more shards", "other nodes", "crashed primary", "killed control plane"]
    rounds = storm(tmp_path, 5, ROUNDS, kinds=kinds, sharded_version="9.1")
    print(report(rounds, 5))
    assert [each.wrong for each in rounds] == [[]] * ROUNDS


# ---- what the judge notices


def test_what_a_trouble_may_cost_is_not_wrong() -> None:
    assert wrong(CRASH, elected=True, lost=(BEGAN - 0.01,), failed=(BEGAN + 0.01,)) == []
    assert wrong(ISOLATION, elected=True, lost=(BEGAN + 3,), failed=(BEGAN + 3.5,), two_at_once=0.8) == []
    assert wrong(HAND_OVER, elected=True, failed=(BEGAN + 0.1,)) == []
    assert wrong(SILENCE) == []
    assert wrong(ISOLATION, over_after=REPLACED_WITHIN - 0.1) == []  # it was back before it had to be


@pytest.mark.parametrize(
    ("troubles", "happened", "said"),
    [
        ((HAND_OVER,), {"elected": True, "lost": (BEGAN,)}, "1 acknowledged writes are lost although nothing befell"),
        ((SILENCE,), {"lost": (BEGAN,)}, "1 acknowledged writes are lost although"),
        ((CRASH,), {"elected": True, "lost": (BEGAN - LOST_BEFORE - 0.1,)}, "were acknowledged 1.1 s before"),
        ((ISOLATION,), {"elected": True, "lost": (BEGAN + TWO_AT_MOST + 1,)}, "6.0 s after, the trouble began"),
        ((CRASH,), {"elected": True, "ballast": 3}, "3 keys are lost that were written long before"),
        ((CRASH,), {"elected": True, "two_at_once": 0.5}, "two nodes took writes for 0.50 s"),
        ((ISOLATION,), {"elected": True, "two_at_once": 5.5}, "two nodes took writes for 5.50 s"),
        ((SILENCE,), {"elected": True}, "its primary was replaced 1 times although nothing befell it"),
        ((CRASH,), {}, "its primary was not replaced"),
        ((ISOLATION,), {}, "its primary was not replaced"),
        ((SILENCE,), {"failed": (BEGAN + 1,)}, "1 writes failed although nothing befell its primary"),
    ],
)
def test_what_it_may_not_cost_is(troubles: tuple[Trouble, ...], happened: dict[str, Any], said: str) -> None:
    found = wrong(*troubles, **happened)
    assert any(said in each for each in found), found


def test_failures_from_before_the_trouble_are_none_of_its_doing() -> None:
    assert wrong(SILENCE, failed=(BEGAN - 1,)) == []


# ---- how long two nodes take writes


def test_two_reigns_are_together_for_as_long_as_both_took_all() -> None:
    one = reigns_of("one", [(at / 20, at / 20 + 0.001) for at in range(100)])  # from 0 to 5 s, every 50 ms
    other = reigns_of("other", [(at / 20, at / 20 + 0.001) for at in range(60, 140)])
    assert [(reign.node, round(reign.since, 2), round(reign.until, 2)) for reign in (*one, *other)] == [("one", 0.0, 4.95), ("other", 3.0, 6.95)]
    assert longest_together([*one, *other]) == pytest.approx(1.95, abs=0.01)


def test_a_pause_ends_a_reign() -> None:
    assert len(reigns_of("one", [(0.0, 0.01), (0.05, 0.06), (1.0, 1.01)])) == 2


def test_one_after_the_other_is_not_together() -> None:
    assert longest_together([Reign("one", 0, 3), Reign("other", 3.2, 5), Reign("one", 6, 7)]) == 0


def test_two_engines_that_both_take_writes_are_seen_to() -> None:
    with local_server() as server:
        elasticache, places = server.client(), {}
        for name in ("one", "other"):
            elasticache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1")
            elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
            (group,) = elasticache.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
            places[name] = (group["NodeGroups"][0]["PrimaryEndpoint"]["Address"], 6379)
        probes = Probes(LANE, places)
        try:
            wait_until(lambda: probes.two_at_once() > APART)
        finally:
            probes.close()


# ---- the report


def test_the_report_tells_each_kind_and_all() -> None:
    one = Round(1, [CRASH], [Told(LANE, True, 0.05, 900, 3, 1, 0.0, 1), Told(LANE, False, 0.01, 800, 0, 0, 0.0, 0)])
    other = Round(2, [ISOLATION], [Told(LANE, True, 3.0, 700, 5, 20, 0.4, 1)], ["bad"])
    said = report([one, other], 7)
    assert "2 rounds, seed 7: 1 ended wrong; 2400 acknowledged writes were checked." in said
    assert "| crash | 1 | 50 | 50 | 1 | 0.00 |" in said
    assert "| isolation | 1 | 3000 | 3000 | 20 | 0.40 |" in said
    assert "| all | 2 | 1525 | 3000 | 21 | 0.40 |" in said
    assert "Shards that nothing befell, 1 times: 0 acknowledged writes lost, 0 failed." in said


def test_every_kind_of_trouble_has_a_name() -> None:
    assert len(KINDS) == 16
