"""What a snapshot remembers of its source, and what it is once its files are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import NOW, WORLD, a_cache_cluster, a_group, a_sharded_group

from controlplane.domain.backup import ArchivePlace, BackupPart, Cause, SavedFile, Seed, SeedFile, key_of
from controlplane.domain.slots import even_slots
from controlplane.domain.snapshot import Snapshot, SnapshotState, begun
from controlplane.domain.topology import Topology

PLACE = ArchivePlace("file:///archive", "one")
FILE = SavedFile("snap/0001-1-x.rdb", 512, "abc", "VALKEY080", NOW, keys=10)
GROUP, SHARDS = a_group(), a_sharded_group()


def taken(topology: Topology, cause: Cause = Cause.MANUAL, member: str | None = None, *, whole: bool = True) -> Snapshot:
    return begun(topology, "monday", cause, PLACE, NOW, "snap", member, whole)[1]


# ---- begun


def test_a_snapshot_remembers_what_its_source_was() -> None:
    snapshot = taken(replace(GROUP, announced_at=NOW - timedelta(days=2)))
    assert (snapshot.uid, snapshot.world, snapshot.name, snapshot.archive) == ("snap", WORLD, "monday", PLACE)
    assert (snapshot.state, snapshot.requested_at, snapshot.gathered, snapshot.is_clustered) == (SnapshotState.CREATING, NOW, False, False)
    origin = snapshot.origin
    assert (origin.uid, origin.name, origin.node_type, origin.port) == (GROUP.uid, "orders", "cache.t4g.small", 6379)
    assert origin.created_at == NOW - timedelta(days=2)
    assert origin.settings == GROUP.settings


def test_its_source_is_being_saved_from_then_on() -> None:
    saving, snapshot = begun(SHARDS, "monday", Cause.MANUAL, PLACE, NOW, "snap")
    assert saving.backup is not None
    assert (saving.backup.snapshot, saving.backup.cause, saving.backup.asked_at) == (snapshot.uid, Cause.MANUAL, NOW)
    assert saving.backup.parts == (BackupPart("0001"), BackupPart("0002"))
    assert replace(saving, backup=None) == SHARDS


def test_only_an_automatic_one_counts_for_the_day() -> None:
    for cause in Cause:
        saving, snapshot = begun(GROUP, "monday", cause, PLACE, NOW, "snap")
        assert saving.automated_at == (NOW if cause is Cause.AUTOMATED else None)
        assert snapshot.automated is (cause is Cause.AUTOMATED)


def test_only_a_final_one_has_its_source_go() -> None:
    assert [cause for cause in Cause if begun(GROUP, "monday", cause, PLACE, NOW, "snap")[0].is_going] == [Cause.FINAL]


def test_a_part_remembers_slots_replicas_and_zones_with_the_primarys_first() -> None:
    first, second = taken(SHARDS).parts
    assert (first.group, first.slots, first.replicas, first.zones) == ("0001", even_slots(2)[0], 1, ("us-east-1a", "us-east-1b"))
    assert (first.node, second.node) == ("orders-0001-001", "orders-0002-001")
    led = GROUP.with_group(replace(GROUP.node_groups[0], primary="orders-002"))
    (part,) = taken(led).parts
    assert (part.slots, part.replicas, part.zones) == ((), 2, ("us-east-1b", "us-east-1a", "us-east-1c"))
    assert part.node == "orders-002"


def test_a_part_leaves_out_who_leaves() -> None:
    (part,) = taken(GROUP.with_departure_of(["orders-003"])).parts
    assert (part.replicas, part.zones) == (1, ("us-east-1a", "us-east-1b"))


@pytest.mark.parametrize(
    ("topology", "member", "whole", "cache_cluster", "node"),
    [
        (GROUP, None, True, None, "orders-001"),
        (GROUP, "orders-003", True, None, "orders-003"),
        (GROUP, "orders-003", False, "orders-003", "orders-003"),
        (a_cache_cluster("alone", engine="valkey"), None, False, "alone", "alone"),
    ],
)
def test_a_snapshot_is_of_a_group_or_of_one_cache_cluster(
    topology: Topology, member: str | None, whole: bool, cache_cluster: str | None, node: str
) -> None:
    snapshot = taken(topology, member=member, whole=whole)
    assert (snapshot.cache_cluster, snapshot.parts[0].node) == (cache_cluster, node)


# ---- with its files


def test_files_come_with_the_nodes_that_saved_them() -> None:
    saving, snapshot = begun(SHARDS, "monday", Cause.MANUAL, PLACE, NOW, "snap")
    assert (snapshot.size, snapshot.keys) == (0, None)
    backup = saving.backup
    assert backup is not None
    first, second = (replace(part, node=f"orders-{part.group}-002", file=FILE) for part in backup.parts)
    whole = snapshot.with_files_of(backup.with_part(first).with_part(second))
    assert (whole.gathered, whole.size, whole.keys) == (True, 1024, 20)
    assert [part.node for part in whole.parts] == ["orders-0001-002", "orders-0002-002"]
    uncounted = snapshot.with_files_of(backup.with_part(first).with_part(replace(second, file=replace(FILE, keys=None))))
    assert uncounted.keys is None


def test_automatic_ones_expire_after_the_days_that_are_kept() -> None:
    assert taken(GROUP, Cause.AUTOMATED).expires_at(3) == NOW + timedelta(days=3)
    assert taken(GROUP, Cause.AUTOMATED).expires_at(0) is None
    assert taken(GROUP).expires_at(3) is None


# ---- backups and seeds


def test_a_backup_has_its_open_parts() -> None:
    backup = begun(SHARDS, "monday", Cause.MANUAL, PLACE, NOW, "snap")[0].backup
    assert backup is not None
    half = backup.with_part(replace(backup.part("0001"), file=FILE))
    assert half.open_parts == (BackupPart("0002"),)
    with pytest.raises(KeyError):
        backup.part("0009")


def test_each_attempt_has_a_key_of_its_own() -> None:
    assert key_of("snap", BackupPart("0001", attempt=2)) == "snap/0001-2"


def test_nodes_may_begin_once_files_are_checked_and_none_is_refused() -> None:
    seed = Seed("old", PLACE)
    begins = SeedFile("0001", FILE, PLACE)
    assert not seed.is_ready
    assert replace(seed, files=()).is_ready
    assert not replace(seed, files=(begins,), refusal="too large").is_ready
    assert (seed.file_of("0001"), replace(seed, files=(begins,)).file_of("0001")) == (None, begins)
