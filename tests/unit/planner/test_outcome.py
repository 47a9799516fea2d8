"""What each decision changes, and that it changes nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from factories import NOW
from situations import FIRST, PRIMARY_ADDRESS, SECOND, THIRD, VALKEY, at_work, memcached_at_work, sharded_at_work

from api_schemas.agent.transit import Certified
from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile, Seed
from controlplane.domain.certificate import Issued
from controlplane.domain.elections import Candidate, Election
from controlplane.domain.renewal import remade
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.resizing import Discovery, Resizing
from controlplane.domain.slots import parsed_slots
from controlplane.domain.topology import (
    ClusterMode,
    Handover,
    Kind,
    Leftover,
    Node,
    Placement,
    Remake,
    Renewal,
    Restart,
    Settings,
    Topology,
)
from controlplane.planner import decisions as d
from controlplane.planner.outcome import MOST_ELECTIONS, Addresses, after

BEFORE = at_work().topology
GROUP = BEFORE.node_groups[0]
THEN = NOW + timedelta(minutes=1)
ISSUED = Issued(Certified("certificate", "key", "authority"), ("127.102.0.1",), NOW + timedelta(days=90))
ARCHIVE = ArchivePlace("file:///archive", "one")
DRAWN = Addresses(node="127.102.0.77", primary="127.100.0.77", reader="127.100.0.78", configuration="127.100.0.79", snapshot="snap",
                  archive=ARCHIVE, issued=ISSUED)  # fmt: skip
SHARDED = replace(BEFORE, cluster_mode=ClusterMode.ENABLED, primary_address=None, reader_address=None, reader_agent=None)
COMPATIBLE = replace(SHARDED, cluster_mode=ClusterMode.COMPATIBLE)
ALL_ADDRESSES = {"primary_address": "127.100.0.77", "reader_address": "127.100.0.78", "reader_agent": "agent-b"}
PLACE = d.PlaceNode(SECOND, "agent-c", VALKEY, "fewest nodes")


def outcome(decision: d.Decision, before: Topology = BEFORE) -> Topology:
    changed = after(before, decision, THEN, DRAWN)
    assert changed is not None
    return changed


def grouped(**changes: Any) -> Topology:
    return BEFORE.with_group(replace(GROUP, **changes))


def noded(node_id: str, before: Topology = BEFORE, **changes: Any) -> Topology:
    node = before.node(node_id)
    assert node is not None
    return before.with_node(replace(node, **changes))


def told(former: str, elected: str, because: str, among: tuple[Candidate, ...] = (), before: Topology = BEFORE,
         **changes: Any) -> Topology:  # fmt: skip
    """The group changed like that, and the election remembered."""
    changed = before.with_group(replace(GROUP, **changes))
    return replace(changed, elections=(Election(THEN, "0001", changes["epoch"], former, elected, because, among),))


AMONG = (Candidate(SECOND, answered=True, proven=True, offset=1000), Candidate(THIRD, answered=True, proven=False, offset=900))
SESSIONS = memcached_at_work(2).topology
UNADDRESSED = replace(SESSIONS, configuration_address=None, reader_agent=None)
LEAVING = noded("0002", SESSIONS, leaving=True)
GROWN = replace(SESSIONS.with_group(replace(SESSIONS.node_groups[0], nodes=(*SESSIONS.nodes, Node("0003", "us-east-1c")))),
                modifying=True, grown_from=2)  # fmt: skip
TWO = sharded_at_work(shards=2).topology
GIVEN = TWO.node_groups[0].slots
RESHARDING = replace(TWO, resharding=Resharding((SlotMove("0001", "0002", GIVEN),), 8192))
LARGE = replace(BEFORE.make, node_type="cache.m7g.large")
ANEW = remade(BEFORE, Remake(LARGE))
"""The group, of which every node is to move to another node type."""
FITS = replace(ANEW, renewal=Renewal(Remake(BEFORE.make), fits=True))
WITH_SPARE = FITS.with_group(
    replace(FITS.node_groups[0], nodes=(*FITS.nodes, Node(f"{FIRST}--spare", "us-east-1a", temporary=True)))
)
UNSEEN = replace(RESHARDING, resharding=replace(RESHARDING.resharding, fits=False))
FILE = SavedFile("snap/0001-1-x.rdb", 512, "abc", "VALKEY080", NOW)


def saving(cause: Cause = Cause.MANUAL, *, boot: int = 1, **part: Any) -> Topology:
    """The group while a snapshot is taken of it, which is so far."""
    changed = noded(SECOND, boot=boot)
    return replace(changed, backup=Backup("snap", cause, (BackupPart("0001", **part),), NOW, ARCHIVE))


SAVED_BY_SECOND = replace(saving(boot=3), backup=Backup("snap", Cause.MANUAL, (BackupPart("0001", SECOND, 1, 3, THEN),), NOW, ARCHIVE))
NEW_PLACE = Placement("agent-c", "127.102.0.77", VALKEY)

OUTCOMES: list[tuple[d.Decision, Topology, Topology | None]] = [
    (PLACE, noded(SECOND, placement=None), noded(SECOND, placement=NEW_PLACE)),
    (PLACE, BEFORE, noded(SECOND, placement=NEW_PLACE, boot=2)),  # a new address asks for a new start
    (
        d.MoveNode(SECOND, "agent-c", VALKEY, "lost"),
        BEFORE,
        replace(noded(SECOND, placement=NEW_PLACE, boot=2, restart=Restart.RECOVERY), leftovers=(Leftover(SECOND, "agent-b", "127.101.0.2"),)),
    ),
    (
        d.MoveNode(SECOND, "agent-c", VALKEY, "lost"),
        noded(SECOND, joined_at=None),
        replace(noded(SECOND, joined_at=None, placement=NEW_PLACE, boot=2), leftovers=(Leftover(SECOND, "agent-b", "127.101.0.2"),)),
    ),
    (d.AskHandover("0001", FIRST, SECOND, "drained"), BEFORE, grouped(handover=Handover(FIRST, THEN, SECOND, because="drained"))),
    (d.WithdrawNode(SECOND, "anew"), ANEW, noded(SECOND, ANEW, withdrawn=True)),
    (
        d.RenewNode(SECOND, 2, "agent-b", VALKEY, "anew"),
        noded(SECOND, FITS, withdrawn=True),
        replace(noded(SECOND, FITS, make=None, boot=2, restart=Restart.RENEWAL),
                renewal=Renewal(Remake(BEFORE.make), fits=True, trial=SECOND, trial_boot=2)),
    ),
    (
        d.RenewNode(SECOND, 2, "agent-c", VALKEY, "anew"),
        noded(SECOND, FITS, restart=Restart.RECOVERY),
        replace(noded(SECOND, FITS, make=None, boot=2, restart=Restart.RECOVERY, placement=NEW_PLACE),
                renewal=Renewal(Remake(BEFORE.make), fits=True, trial=SECOND, trial_boot=2),
                leftovers=(Leftover(SECOND, "agent-b", "127.101.0.2"),)),
    ),
    (
        d.BringSpare("0001", "alone"),
        FITS,
        replace(WITH_SPARE, renewal=Renewal(Remake(BEFORE.make), fits=True, trial=f"{FIRST}--spare", trial_boot=1)),
    ),
    (d.DismissSpare(f"{FIRST}--spare", "leads"), WITH_SPARE, noded(f"{FIRST}--spare", WITH_SPARE, leaving=True)),
    (d.NoteFit("little"), ANEW, FITS),
    (d.NoteProof(SECOND, "duty"), FITS, replace(FITS, renewal=Renewal(Remake(BEFORE.make), fits=True, proven=True))),
    (
        d.GiveUpRenewal("full"),
        ANEW,
        replace(grouped(roll=1), modifying=True, renewal=Renewal(Remake(BEFORE.make), fits=True, proven=True, given_up=True)),
    ),
    (d.ApplyPending("open"), replace(BEFORE, remake=Remake(LARGE)), ANEW),
    (d.CloseModification("match"), replace(BEFORE, modifying=True, renewal=Renewal(Remake(LARGE))), BEFORE),
    (
        d.GiveBackAddresses("enabled"),
        replace(BEFORE, cluster_mode=ClusterMode.ENABLED),
        replace(SHARDED, reader_backends=()).with_group(replace(GROUP, holder=None)),
    ),
    (
        d.GiveEndpoints("agent-b", "first"),
        replace(BEFORE, primary_address=None, reader_address=None, reader_agent=None),
        replace(BEFORE, primary_address="127.100.0.77", reader_address="127.100.0.78", reader_agent="agent-b"),
    ),
    (d.IssueCertificate(("127.102.0.1",), "none yet"), BEFORE, replace(BEFORE, certified=ISSUED)),
    (d.GiveEndpoints(None, "one"), SHARDED, replace(SHARDED, configuration_address="127.100.0.79")),
    (
        d.GiveEndpoints("agent-b", "first"),
        COMPATIBLE,
        replace(COMPATIBLE, configuration_address="127.100.0.79", **ALL_ADDRESSES),
    ),
    (d.PublishConfiguration(SECOND, "answers"), SHARDED, replace(SHARDED, configuration_holder=SECOND)),
    (d.BootNode(SECOND, 2, "dead"), BEFORE, noded(SECOND, boot=2, restart=Restart.RECOVERY)),
    (d.BootNode(SECOND, 2, "dead"), noded(SECOND, joined_at=None), noded(SECOND, joined_at=None, boot=2)),
    (d.BootNode(SECOND, 2, "dead"), noded(SECOND, restart=Restart.ASKED), noded(SECOND, boot=2, restart=Restart.ASKED)),
    (d.CallRoll("0001", f"{FIRST}/1", "lost"), grouped(roll=4), grouped(roll=5, roll_for=f"{FIRST}/1", roll_at=THEN)),
    (d.ElectPrimary("0001", SECOND, 2, None, "best", AMONG), BEFORE,
     told(FIRST, SECOND, "best", AMONG, primary=SECOND, epoch=2, holder=SECOND)),  # the endpoint goes with the election
    (d.ElectPrimary("0001", SECOND, 2, FIRST, "best"), BEFORE,
     told(FIRST, SECOND, "best", primary=SECOND, epoch=2, holder=None, home=FIRST)),  # but not to who only stands in
    (d.ElectPrimary("0001", FIRST, 3, None, "back"), grouped(primary=SECOND, home=FIRST, holder=None),
     told(SECOND, FIRST, "back", epoch=3, holder=FIRST)),
    (d.ElectPrimary("0001", SECOND, 2, None, "best"), SHARDED,
     told(FIRST, SECOND, "best", before=SHARDED, primary=SECOND, epoch=2, holder=None)),  # there is no primary endpoint
    (d.ElectPrimary("0001", SECOND, 2, None, "asked"), grouped(handover=Handover(FIRST, NOW, SECOND)),
     told(FIRST, SECOND, "asked", primary=SECOND, epoch=2, holder=SECOND)),
    (d.ElectPrimary("0001", SECOND, 2, None, "asked"), grouped(handover=Handover(FIRST, NOW, SECOND, rebuild=True)),
     told(FIRST, SECOND, "asked", primary=SECOND, epoch=2, holder=SECOND, rebuild=FIRST)),
    (d.ElectPrimary("0001", FIRST, 3, None, "lost"), grouped(primary=SECOND, rebuild=FIRST),
     told(SECOND, FIRST, "lost", epoch=3, holder=FIRST)),  # a primary is not rebuilt
    (d.ChooseHeir("0001", SECOND, "most"), grouped(handover=Handover(FIRST, NOW)), grouped(handover=Handover(FIRST, NOW, SECOND))),
    (d.ChooseHeir("0001", SECOND, "most"), BEFORE, BEFORE),
    (d.DropHandover("0001", "nobody"), grouped(handover=Handover(FIRST, NOW)), BEFORE),
    (d.RebuildFormer("0001", SECOND, 2, "tested"), grouped(rebuild=SECOND), noded(SECOND, boot=2, restart=Restart.RECOVERY)),
    (d.RebuildFormer("0001", SECOND, 2, "tested"), noded(SECOND, restart=Restart.ASKED), noded(SECOND, boot=2, restart=Restart.ASKED)),
    (d.PublishPrimary("0001", FIRST, "reports it"), grouped(holder=None), BEFORE),
    (d.SpreadReaders(("127.101.0.9:6379",), "in sync"), BEFORE, replace(BEFORE, reader_backends=("127.101.0.9:6379",))),
    (d.GiveEndpoints("agent-b", "first"), UNADDRESSED, replace(UNADDRESSED, configuration_address="127.100.0.79", reader_agent="agent-b")),
    (d.PublishDiscovery(("0001",), "left"), SESSIONS, replace(SESSIONS, discovery=Discovery(4, ("0001",)))),
    (d.PublishDiscovery(("0001",), "first"), replace(SESSIONS, discovery=None), replace(SESSIONS, discovery=Discovery(1, ("0001",)))),
    (d.StopNode("0002", "unlisted"), LEAVING, noded("0002", LEAVING, stopping=True)),
    (d.ApplyPending("open"), replace(SESSIONS, pending=Resizing(removed=("0002",))), replace(LEAVING, modifying=True)),
    (d.ApplyPending("open"), replace(SESSIONS, pending=Resizing(added=(("0003", "us-east-1c"),))), GROWN),
    (d.CloseModification("match"), replace(SESSIONS, modifying=True, grown_from=1), SESSIONS),
    (d.WelcomeNode(SECOND, "up"), noded(SECOND, joined_at=None), noded(SECOND, joined_at=THEN)),
    (d.CloseRestart(SECOND, "back"), noded(SECOND, restart=Restart.ASKED), BEFORE),
    (d.NoteOutOfMemory(SECOND, 3, "limit"), BEFORE, noded(SECOND, told_out_of_memory=3)),
    (d.Announce("works"), replace(BEFORE, announced_at=None, modifying=True), replace(BEFORE, announced_at=THEN)),
    (d.CloseModification("match"), replace(BEFORE, modifying=True), BEFORE),
    (d.RemoveNode(SECOND, "gone"), BEFORE, grouped(nodes=(GROUP.nodes[0], GROUP.nodes[2]))),
    (d.LandSlots("0001", "0002", GIVEN, "gone"), RESHARDING, replace(RESHARDING, resharding=None, node_groups=(
        replace(TWO.node_groups[0], slots=(), emptied_at=THEN), replace(TWO.node_groups[1], slots=parsed_slots("0-16383"))))),
    (d.BeginResharding("fits"), UNSEEN, RESHARDING),
    (d.DropResharding("too much"), UNSEEN.with_group(replace(UNSEEN.node_groups[0], leaving=True)), TWO),
    (d.DismissGroup("0001", "empty"), TWO, TWO.with_departure_of(["orders-0001-001", "orders-0001-002"])),
    (d.Bury("nothing left"), BEFORE, None),
    (d.Announce("works"), replace(BEFORE, announced_at=None, seed=Seed("old", ARCHIVE, files=())), replace(BEFORE, announced_at=THEN)),
    (
        d.BeginBackup("automatic", THIRD, "open"),
        BEFORE,
        replace(BEFORE, automated_at=THEN, backup=Backup("snap", Cause.AUTOMATED, (BackupPart("0001"),), THEN, ARCHIVE, THIRD)),
    ),
    (d.SaveFrom("0001", SECOND, 1, (), "in sync"), saving(boot=3), SAVED_BY_SECOND),
    (d.AwaitSaver("0001", (SECOND,), "lost"), SAVED_BY_SECOND, saving(boot=3, attempt=1, since=THEN, failed=(SECOND,))),
    (d.KeepFile("0001", FILE, "done"), saving(node=SECOND, attempt=1), saving(node=SECOND, attempt=1, file=FILE)),
    (d.CloseBackup("whole"), saving(file=FILE), BEFORE),
    (d.GiveUpBackup("in vain", "in vain"), saving(), BEFORE),
    (d.GiveUpBackup("in vain", "in vain"), saving(Cause.FINAL), BEFORE),
    (d.LookAgain(THEN, "later"), BEFORE, BEFORE),
]


@pytest.mark.parametrize(("decision", "before", "expected"), OUTCOMES, ids=lambda value: type(value).__name__)
def test_what_a_decision_changes(decision: d.Decision, before: Topology, expected: Topology | None) -> None:
    assert after(before, decision, THEN, DRAWN) == expected


def test_the_table_has_every_decision_but_release_which_has_a_test_of_its_own() -> None:
    assert {type(decision) for decision, _, _ in OUTCOMES} == {*get_args(d.Decision)} - {d.Release}


def test_what_was_to_be_deleted_after_a_last_snapshot_is_deleted_once_that_is_taken() -> None:
    deleted = outcome(d.CloseBackup("whole"), saving(Cause.FINAL, file=FILE))
    assert deleted == BEFORE.with_deletion()
    assert deleted.deleting
    assert deleted.backup is None


def test_decisions_about_a_backup_that_is_given_up_change_nothing() -> None:
    for decision in (d.SaveFrom("0001", SECOND, 1, (), "so"), d.AwaitSaver("0001", (), "so"), d.KeepFile("0001", FILE, "so"),
                     d.CloseBackup("so"), d.GiveUpBackup("so", "so")):  # fmt: skip
        assert outcome(decision) == BEFORE


def test_every_decision_says_why() -> None:
    assert all("because" in {field.name for field in fields(decision)} for decision in get_args(d.Decision))


def test_a_released_node_is_a_cache_cluster_with_the_same_process_and_address() -> None:
    settings = Settings(
        description="our orders", maintenance_window="mon:01:00-mon:02:00", snapshot_retention_limit=3, automatic_failover=True,
        multi_az=True, auto_minor_version_upgrade=False, security_group_ids=("sg-1",),
    )  # fmt: skip
    before = replace(BEFORE, settings=settings, deleting=True, retained=FIRST)
    released = outcome(d.Release(FIRST, "its group is gone"), before)
    assert (released.kind, released.name, released.uid) == (Kind.CACHE_CLUSTER, FIRST, BEFORE.uid)
    assert released.node(FIRST) == before.node(FIRST)
    assert (released.primary_address, released.reader_address, released.reader_agent, released.reader_backends) == (None, None, None, ())
    assert (released.deleting, released.retained) == (False, None)
    assert released.settings == Settings(
        maintenance_window="mon:01:00-mon:02:00", snapshot_retention_limit=3, auto_minor_version_upgrade=False, security_group_ids=("sg-1",)
    )


def test_the_endpoint_that_is_bound_is_no_part_of_a_released_node() -> None:
    released = outcome(d.Release(FIRST, "its group is gone"), replace(BEFORE, deleting=True, retained=FIRST))
    assert PRIMARY_ADDRESS not in repr(released.node(FIRST))
    assert not released.has_endpoints


def test_deciding_twice_is_no_different_from_once() -> None:
    for decision, _, expected in OUTCOMES:
        if expected is not None and not isinstance(decision, d.CallRoll | d.PlaceNode | d.MoveNode | d.RemoveNode):
            again = after(expected, decision, THEN, DRAWN)
            assert again is not None
            assert replace(again, elections=again.elections[:1]) == expected, decision
            if isinstance(decision, d.ElectPrimary):
                assert [election.elected for election in again.elections] == [decision.node] * 2  # each election is told


def test_the_newest_elections_are_remembered() -> None:
    topology = BEFORE
    for epoch in range(2, MOST_ELECTIONS + 5):
        topology = outcome(d.ElectPrimary("0001", SECOND if epoch % 2 == 0 else FIRST, epoch, None, "again"), topology)
    assert [election.epoch for election in topology.elections] == list(range(5, MOST_ELECTIONS + 5))


def test_the_third_node_is_nobody_elses_business() -> None:
    for decision, before, expected in OUTCOMES:
        if expected is not None:
            third, former = expected.node(THIRD), before.node(THIRD)
            makes = (d.ApplyPending, d.GiveUpRenewal)  # what all nodes shall be is everybody's business
            if isinstance(decision, makes) and third and former:
                third, former = replace(third, make=None), replace(former, make=None)
            assert third == former, decision
