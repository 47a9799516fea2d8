"""Who saves a node group for a snapshot, what becomes of attempts, and when the snapshot window has one taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from factories import NOW
from situations import (
    FIRST,
    SECOND,
    THIRD,
    at_work,
    decided,
    desiring,
    failover,
    later,
    memcached_at_work,
    noded,
    reason,
    seeing,
    sharded_at_work,
    silent,
)

from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile
from controlplane.domain.reported import DEAD, STARTING, Saved
from controlplane.domain.topology import Remake
from controlplane.planner.backups import begin_automatic_backups, close_backups, take_backups
from controlplane.planner.decisions import AwaitSaver, BeginBackup, CloseBackup, Decision, GiveUpBackup, KeepFile, LookAgain, SaveFrom
from controlplane.planner.discovery import apply_pending
from controlplane.planner.situation import Situation

PLACE = ArchivePlace("file:///archive", "one")
FILE = SavedFile("snap/0001-1-x.rdb", 512, "abc", "VALKEY080", NOW)
DONE = Saved("snap", 1, "done", file=FILE)
FAILED = Saved("snap", 1, "failed", problem="the disk is full")


def saving(now: Situation, *, cause: Cause = Cause.MANUAL, member: str | None = None, asked_at: datetime = NOW, **part: Any) -> Situation:
    """The same, while a snapshot is taken of it; ``part`` says how far that is with its first node group."""
    parts = tuple(BackupPart(group.id) for group in now.topology.node_groups)
    if "node" in part:
        node = now.topology.node(part["node"])
        part = {"attempt": 1, "since": NOW, "boot": node.boot if node else 1, **part}
    return desiring(now, backup=Backup("snap", cause, (replace(parts[0], **part), *parts[1:]), asked_at, PLACE, member))


def chosen(now: Situation) -> str | None:
    """Who is to save the first node group, None where nobody is for now."""
    (decision, *_) = decided(take_backups, now)
    return decision.node if isinstance(decision, SaveFrom) else None


def unheard(now: Situation, agent: str) -> Situation:
    agents = (replace(each, heard=False, last_word="then") if each.id == agent else each for each in now.agents)
    return replace(now, agents=tuple(agents))


def out_of_sync(now: Situation, *nodes: str) -> Situation:
    for node in nodes:
        now = seeing(now, node, link_up=False)
    return now


# ---- who saves

WORKING = at_work()
AHEAD = seeing(WORKING, THIRD, offset=2000)
UNLINKED = out_of_sync(WORKING, SECOND, THIRD)


@pytest.mark.parametrize(
    ("now", "node"),
    [
        (saving(WORKING), SECOND),  # of equals the first
        (saving(AHEAD), THIRD),
        (saving(out_of_sync(AHEAD, THIRD)), SECOND),
        (saving(noded(AHEAD, THIRD, leaving=True)), SECOND),
        (saving(noded(AHEAD, THIRD, temporary=True)), SECOND),
        (saving(noded(AHEAD, THIRD, boot=2)), SECOND),  # it is about to be started again, emptied
        (saving(seeing(AHEAD, THIRD, phase=DEAD)), SECOND),
        (saving(unheard(AHEAD, "agent-c")), SECOND),
        (saving(seeing(WORKING, FIRST, proven=frozenset())), None),
        (saving(at_work(1)), FIRST),
        (saving(at_work(1), cause=Cause.FINAL), FIRST),
        (saving(WORKING, cause=Cause.FINAL), FIRST),
        (saving(AHEAD, cause=Cause.AUTOMATED, member=SECOND), SECOND),
        (saving(WORKING, member=FIRST), FIRST),
        (saving(WORKING, member=THIRD), THIRD),
        (saving(out_of_sync(WORKING, THIRD), member=THIRD), SECOND),
        (saving(noded(WORKING, THIRD, leaving=True), member=THIRD), SECOND),
        (saving(unheard(WORKING, "agent-c"), member=THIRD), SECOND),
        (saving(WORKING, cause=Cause.FINAL, member=THIRD), FIRST),
        (saving(UNLINKED), None),
        (later(saving(UNLINKED), seconds=4.9), None),
        (later(saving(UNLINKED), seconds=5), FIRST),
        (later(saving(WORKING), seconds=5), SECOND),
        (later(saving(seeing(UNLINKED, FIRST, role="replica")), seconds=5), None),
        (later(saving(unheard(failover(UNLINKED, automatic=False), "agent-a")), seconds=5), None),
        (saving(seeing(at_work(1), FIRST, epoch=0), cause=Cause.FINAL), None),
    ],
)  # fmt: skip
def test_who_saves(now: Situation, node: str | None) -> None:
    assert chosen(now) == node


def test_who_saves_is_said_with_its_merit() -> None:
    assert reason(take_backups, saving(AHEAD)) == f"nobody saves yet; {THIRD} is in sync, 2000 bytes replicated"
    assert reason(take_backups, saving(at_work(1))) == f"nobody saves yet; {FIRST} is the primary"


def test_every_node_group_has_somebody_who_saves() -> None:
    decisions = decided(take_backups, saving(sharded_at_work()))
    assert decisions == [SaveFrom("0001", "orders-0001-002", 1, (), ""), SaveFrom("0002", "orders-0002-002", 1, (), "")]


def test_nothing_is_saved_of_what_is_deleted_or_of_what_nobody_asked_for() -> None:
    assert decided(take_backups, desiring(saving(WORKING), deleting=True)) == []
    assert decided(take_backups, WORKING) == []


# ---- how an attempt ends

BY_SECOND = saving(WORKING, node=SECOND)


def test_what_is_saved_is_kept() -> None:
    assert decided(take_backups, seeing(BY_SECOND, SECOND, saved=DONE)) == [KeepFile("0001", FILE, "")]


def test_what_is_saved_counts_although_its_node_ended_right_after() -> None:
    for gone in ({"phase": DEAD}, {"phase": STARTING, "boot": 2}):
        assert decided(take_backups, seeing(BY_SECOND, SECOND, saved=DONE, **gone)) == [KeepFile("0001", FILE, "")]


def test_what_is_kept_is_not_saved_again() -> None:
    assert decided(take_backups, saving(WORKING, node=SECOND, file=FILE)) == []


@pytest.mark.parametrize("said", [None, Saved("snap", 1, "waiting"), Saved("snap", 1, "saving"), Saved("snap", 1, "storing")])
def test_who_saves_is_left_alone(said: Saved | None) -> None:
    assert decided(take_backups, later(seeing(BY_SECOND, SECOND, saved=said), minutes=20)) == []


@pytest.mark.parametrize("said", [replace(DONE, snapshot="former"), replace(DONE, attempt=2), replace(FAILED, attempt=0)])
def test_what_is_said_of_another_attempt_does_not_count(said: Saved) -> None:
    assert decided(take_backups, seeing(BY_SECOND, SECOND, saved=said)) == []


LOST = {
    "it is dead": lambda now: seeing(now, SECOND, phase=DEAD),
    "it is silent since it was placed": lambda now: silent(now, SECOND),
    "its agent is silent": lambda now: unheard(now, "agent-b"),
    "it leaves": lambda now: noded(now, SECOND, leaving=True),
    "it is to be started again": lambda now: noded(now, SECOND, boot=2),
    "it was started again, emptied": lambda now: seeing(noded(now, SECOND, boot=2), SECOND, boot=2),
}


@pytest.mark.parametrize("what", LOST)
def test_another_saves_once(what: str) -> None:
    assert decided(take_backups, LOST[what](BY_SECOND)) == [SaveFrom("0001", THIRD, 2, (SECOND,), "")]
    assert "is lost" in reason(take_backups, LOST[what](BY_SECOND))


def test_another_saves_once_the_node_is_forgotten() -> None:
    assert decided(take_backups, saving(WORKING, node="orders-009", attempt=3)) == [SaveFrom("0001", SECOND, 4, (), "")]


def test_who_has_failed_comes_last() -> None:
    failed = seeing(BY_SECOND, SECOND, saved=FAILED)
    assert decided(take_backups, failed) == [SaveFrom("0001", THIRD, 2, (SECOND,), "")]
    assert reason(take_backups, failed).startswith(f"{SECOND}: the disk is full; ")
    by_third = saving(WORKING, node=THIRD, attempt=2, failed=(SECOND,))
    assert decided(take_backups, seeing(by_third, THIRD, saved=replace(FAILED, attempt=2))) == [
        SaveFrom("0001", FIRST, 3, (SECOND, THIRD), "")  # the primary has not failed yet
    ]
    by_first = saving(WORKING, node=FIRST, attempt=3, failed=(SECOND, THIRD))
    assert decided(take_backups, seeing(by_first, FIRST, saved=replace(FAILED, attempt=3))) == [
        SaveFrom("0001", SECOND, 4, (SECOND, THIRD, FIRST), "")
    ]


def test_whom_a_caller_named_is_tried_once() -> None:
    named = saving(WORKING, member=THIRD, node=THIRD)
    assert chosen(seeing(named, THIRD, saved=FAILED)) == SECOND


def test_the_primary_alone_is_tried_again_for_a_final_snapshot() -> None:
    final = saving(WORKING, cause=Cause.FINAL, node=FIRST)
    assert decided(take_backups, seeing(final, FIRST, saved=FAILED)) == [SaveFrom("0001", FIRST, 2, (FIRST,), "")]


# ---- when it is given up


def test_it_is_given_up_after_so_many_attempts() -> None:
    third = saving(WORKING, node=SECOND, attempt=4, failed=(SECOND, THIRD, FIRST))
    (given_up,) = decided(take_backups, seeing(third, SECOND, saved=replace(FAILED, attempt=4)))
    assert isinstance(given_up, GiveUpBackup)
    assert given_up.problem == f"node group 0001 could not be saved in 4 attempts; the last: {SECOND}: the disk is full"


@pytest.mark.parametrize(
    ("waited", "expected"),
    [
        (0, LookAgain(NOW + timedelta(seconds=5), "")),
        (3, LookAgain(NOW + timedelta(seconds=5), "")),
        (297, LookAgain(NOW + timedelta(seconds=300), "")),
        (300, GiveUpBackup("no node of node group 0001 was fit to be saved within 300 s", "")),
    ],
)
def test_nobody_is_waited_for_without_end(waited: float, expected: Decision) -> None:
    unfit = saving(seeing(UNLINKED, FIRST, phase=DEAD))
    assert decided(take_backups, later(unfit, seconds=waited)) == [expected]


def test_after_a_long_attempt_another_is_waited_for_as_long() -> None:
    """A primary that is lost after minutes of saving has an heir seconds later, not at once."""
    by_first = later(saving(seeing(UNLINKED, FIRST, phase=DEAD), node=FIRST), minutes=20)
    assert decided(take_backups, by_first) == [AwaitSaver("0001", (FIRST,), "")]
    awaited = later(saving(UNLINKED, failed=(FIRST,), attempt=1, since=by_first.now), minutes=20)
    assert decided(take_backups, awaited) == [LookAgain(awaited.now + timedelta(seconds=5), "")]
    assert decided(take_backups, later(awaited, seconds=5)) == [SaveFrom("0001", FIRST, 2, (FIRST,), "")]
    unfit = seeing(awaited, FIRST, phase=DEAD)
    assert decided(take_backups, later(unfit, seconds=6)) == [LookAgain(awaited.now + timedelta(seconds=300), "")]


def test_it_is_given_up_when_a_node_group_is_gone() -> None:
    now = saving(WORKING)
    gone = desiring(now, backup=replace(now.topology.backup, parts=(BackupPart("0009"),)))  # type: ignore[type-var]
    assert decided(take_backups, gone) == [GiveUpBackup("node group 0009 is gone", "")]


# ---- when it is over


def test_it_is_over_once_every_node_group_has_its_file() -> None:
    two = saving(sharded_at_work(), node="orders-0001-002", file=FILE)
    assert decided(close_backups, two) == []
    backup = two.topology.backup
    assert backup is not None
    whole = desiring(two, backup=backup.with_part(replace(backup.part("0002"), file=FILE)))
    assert decided(close_backups, whole) == [CloseBackup("")]
    assert decided(close_backups, desiring(whole, deleting=True)) == []
    assert decided(close_backups, WORKING) == []


# ---- the snapshot window


def windowed(window: str, at: str, now: Situation = WORKING, *, retention: int = 1, **settings: Any) -> Situation:
    """The same at that time of the first of July, in UTC, with that window."""
    moment = datetime(2026, 7, 1, int(at[:2]), int(at[3:]), tzinfo=UTC)
    changed = replace(now.topology.settings, snapshot_window=window, snapshot_retention_limit=retention, **settings)
    return replace(desiring(now, settings=changed), now=moment)


def opening(day: int, hour: int, minute: int = 0) -> list[Decision]:
    return [LookAgain(datetime(2026, 7, day, hour, minute, tzinfo=UTC), "")]


BEGUN = [BeginBackup(f"automatic.{THIRD}-2026-07-01-03-00", THIRD, "")]


@pytest.mark.parametrize(
    ("window", "at", "expected"),
    [
        ("03:00-04:00", "02:59", opening(1, 3)),
        ("03:00-04:00", "03:00", BEGUN),
        ("03:00-04:00", "04:00", opening(2, 3)),
        ("23:30-00:30", "00:30", opening(1, 23, 30)),
        ("02:30-01:30", "02:00", opening(1, 2, 30)),
    ],
)
def test_a_snapshot_is_taken_when_the_window_opens(window: str, at: str, expected: list[Decision]) -> None:
    assert decided(begin_automatic_backups, windowed(window, at)) == expected


@pytest.mark.parametrize(("window", "at"), [("03:00-04:00", "03:59"), ("23:30-00:30", "23:30"), ("23:30-00:30", "00:29")])
def test_a_snapshot_is_taken_while_the_window_is_open_also_over_midnight(window: str, at: str) -> None:
    (begun,) = decided(begin_automatic_backups, windowed(window, at))
    assert isinstance(begun, BeginBackup)


@pytest.mark.parametrize(
    ("window", "at", "former", "expected"),
    [
        ("03:00-04:00", "03:20", datetime(2026, 7, 1, 3, 1, tzinfo=UTC), opening(2, 3)),
        ("03:00-04:00", "03:20", datetime(2026, 7, 1, 3, 0, tzinfo=UTC), opening(2, 3)),
        ("23:30-00:30", "00:10", datetime(2026, 6, 30, 23, 31, tzinfo=UTC), opening(1, 23, 30)),
        ("03:00-04:00", "03:00", datetime(2026, 6, 30, 3, 59, tzinfo=UTC), BEGUN),
    ],
)
def test_one_is_taken_in_each_window(window: str, at: str, former: datetime, expected: list[Decision]) -> None:
    assert decided(begin_automatic_backups, desiring(windowed(window, at), automated_at=former)) == expected


def test_summer_time_changes_nothing() -> None:
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        now = windowed("01:30-02:30", "00:00")
        assert decided(begin_automatic_backups, replace(now, now=day)) == [LookAgain(day + timedelta(minutes=90), "")]
        (begun,) = decided(begin_automatic_backups, replace(now, now=day + timedelta(minutes=149)))
        assert isinstance(begun, BeginBackup)


NONE_IS_TAKEN = {
    "none is kept": windowed("03:00-04:00", "03:00", retention=0),
    "it has nothing to keep": windowed("03:00-04:00", "03:00", memcached_at_work()),
    "it is created": desiring(windowed("03:00-04:00", "03:00"), announced_at=None),
    "it is deleted": desiring(windowed("03:00-04:00", "03:00"), deleting=True),
    "it is deleted after a last one": saving(windowed("03:00-04:00", "03:00"), cause=Cause.FINAL),
    "it is modified": desiring(windowed("03:00-04:00", "03:00"), modifying=True),
    "another is taken": saving(windowed("03:00-04:00", "03:00")),
}


@pytest.mark.parametrize("why", NONE_IS_TAKEN)
def test_no_snapshot_begins_while(why: str) -> None:
    assert decided(begin_automatic_backups, NONE_IS_TAKEN[why]) == []


@pytest.mark.parametrize(
    ("now", "name", "member"),
    [
        (WORKING, THIRD, THIRD),
        (noded(WORKING, THIRD, leaving=True, joined_at=NOW), None, None),
        (sharded_at_work(), "orders", None),
    ],
)
def test_automatic_snapshots_are_taken_from_the_last_member_or_of_all_shards(now: Situation, name: str | None, member: str | None) -> None:
    begun = decided(begin_automatic_backups, windowed("03:00-04:00", "03:00", now))
    assert begun == ([BeginBackup(f"automatic.{name}-2026-07-01-03-00", member, "")] if name else [])


def test_automatic_snapshots_are_taken_from_the_snapshotting_cluster_as_long_as_it_is_there() -> None:
    for chosen_member, member in ((SECOND, SECOND), (FIRST, FIRST), ("orders-009", THIRD)):
        now = windowed("03:00-04:00", "03:00", snapshotting_cluster=chosen_member)
        assert [each.member for each in decided(begin_automatic_backups, now) if isinstance(each, BeginBackup)] == [member]


# ---- what waits for it


def test_pending_maintenance_waits_for_a_backup() -> None:
    remake = Remake(replace(WORKING.topology.make, node_type="cache.m7g.large"))
    now = desiring(WORKING, remake=remake, settings=replace(WORKING.topology.settings, maintenance_window="wed:11:30-wed:13:00"))
    assert [type(each).__name__ for each in decided(apply_pending, now)] == ["ApplyPending"]
    assert decided(apply_pending, saving(now)) == []
