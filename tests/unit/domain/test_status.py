"""Statuses as the service words them, computed from what is desired and what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, a_cache_cluster, a_group

from controlplane.domain.backup import ArchivePlace, Backup, BackupPart, Cause, SavedFile, Seed
from controlplane.domain.reported import DEAD, FAILED, RUNNING, Reported, SeenNode
from controlplane.domain.status import (
    SETTLED,
    member_status,
    node_status,
    parameter_status,
    parameter_status_of_all,
    topology_status,
)
from controlplane.domain.topology import Restart, Topology

REBOOTING = "rebooting cache cluster nodes"
SECOND = "orders-002"
NOTHING = Reported()


def noded(topology: Topology, node_id: str = SECOND, **changes: Any) -> Topology:
    node = topology.node(node_id)
    assert node is not None
    return topology.with_node(replace(node, **changes))


def failed(boot: int, phase: str = FAILED) -> Reported:
    return Reported({SECOND: SeenNode(phase, boot)})


NEW, OLD = a_group(created=False), a_group()
ASKED, RECOVERY = Restart.ASKED, Restart.RECOVERY


@pytest.mark.parametrize(
    ("topology", "reported", "status"),
    [
        (NEW, NOTHING, "creating"),
        (NEW, failed(1), "creating"),
        (noded(NEW, boot=3), failed(3), "creating"),
        (noded(NEW, boot=4), failed(4), "create-failed"),
        (noded(NEW, boot=4), failed(4, DEAD), "create-failed"),
        (noded(NEW, boot=4), failed(3), "creating"),  # the fourth start is still under way
        (noded(NEW, boot=4), failed(4, RUNNING), "creating"),
        (replace(NEW, modifying=True), NOTHING, "creating"),
        (OLD, NOTHING, "available"),
        (OLD, failed(9), "available"),  # a node that had joined and is down is an outage, not a status
        (noded(OLD, restart=RECOVERY, boot=2), NOTHING, "available"),
        (replace(OLD, modifying=True), NOTHING, "modifying"),
        (noded(OLD, joined_at=None), NOTHING, "modifying"),
        (noded(OLD, leaving=True), NOTHING, "modifying"),
        (noded(OLD, restart=ASKED), NOTHING, "available"),  # its member says that it reboots
        (noded(replace(OLD, modifying=True), restart=ASKED), NOTHING, "modifying"),
        (replace(OLD, deleting=True), NOTHING, "deleting"),
        (replace(NEW, deleting=True), NOTHING, "deleting"),
        (noded(noded(NEW, boot=4), restart=ASKED), failed(4), "create-failed"),
        (replace(OLD, deleting=True, modifying=True), NOTHING, "deleting"),
        (OLD.with_deletion(), NOTHING, "deleting"),
    ],
)
def test_a_replication_group(topology: Topology, reported: Reported, status: str) -> None:
    assert topology_status(topology, reported, most_boots=4) == status


CACHES = a_cache_cluster(nodes=2)


@pytest.mark.parametrize(
    ("topology", "status"),
    [
        (a_cache_cluster(created=False), "creating"),
        (CACHES, "available"),
        (noded(CACHES, "0001", restart=ASKED), REBOOTING),
        (noded(CACHES, "0001", restart=RECOVERY), "available"),
        (noded(CACHES, "0002", joined_at=None), "modifying"),
        (noded(CACHES, "0002", leaving=True), "modifying"),
        (replace(CACHES, deleting=True), "deleting"),
    ],
)
def test_a_stand_alone_cache_cluster(topology: Topology, status: str) -> None:
    assert topology_status(topology, NOTHING, most_boots=4) == status


@pytest.mark.parametrize(
    ("topology", "reported", "status"),
    [
        (NEW, NOTHING, "creating"),
        (noded(NEW, boot=4), failed(4), "create-failed"),
        (OLD, NOTHING, "available"),
        (noded(OLD, joined_at=None), NOTHING, "creating"),  # a replica added later
        (noded(noded(OLD, joined_at=None), boot=4), failed(4), "creating"),
        (noded(OLD, leaving=True), NOTHING, "deleting"),
        (noded(OLD, restart=ASKED), NOTHING, REBOOTING),
        (noded(OLD, restart=RECOVERY), NOTHING, "available"),
        (noded(OLD, "orders-001", restart=ASKED), NOTHING, "available"),  # another member reboots
        (replace(OLD, modifying=True), NOTHING, "modifying"),
        (OLD.with_deletion(), NOTHING, "deleting"),
        (OLD.with_deletion(retained="orders-001"), NOTHING, "deleting"),
        (OLD.with_deletion(retained=SECOND), NOTHING, "available"),
    ],
)
def test_a_member_of_a_replication_group(topology: Topology, reported: Reported, status: str) -> None:
    node = topology.node(SECOND)
    assert node is not None
    assert member_status(topology, node, reported, most_boots=4) == status


@pytest.mark.parametrize(
    ("topology", "status"),
    [
        (OLD, "available"),
        (noded(OLD, joined_at=None), "creating"),
        (noded(OLD, leaving=True), "deleting"),
        (noded(OLD, restart=ASKED), REBOOTING),
        (noded(OLD, restart=RECOVERY), "available"),
        (replace(OLD, deleting=True), "deleting"),
        (replace(OLD, modifying=True), "available"),
    ],
)
def test_a_cache_node(topology: Topology, status: str) -> None:
    node = topology.node(SECOND)
    assert node is not None
    assert node_status(topology, node, NOTHING) == status


def test_what_waits_are_over_for() -> None:
    assert {"available", "create-failed"} <= SETTLED
    assert SETTLED.isdisjoint({"creating", "modifying", "deleting", REBOOTING})


@pytest.mark.parametrize(
    ("topology", "runs_with", "status"),
    [
        (OLD, None, "in-sync"),  # it has said nothing and starts with what is desired
        (OLD, "", "in-sync"),  # its agent is older than digests
        (OLD, "desired", "in-sync"),
        (OLD, "another", "applying"),
        (a_cache_cluster(engine="redis"), "another", "applying"),
        (a_cache_cluster(), "another", "pending-reboot"),
        (a_cache_cluster(), "desired", "in-sync"),
    ],
)
def test_how_far_a_node_is_with_its_parameter_group(topology: Topology, runs_with: str | None, status: str) -> None:
    node = next(topology.nodes)
    reported = Reported() if runs_with is None else Reported({node.id: SeenNode(RUNNING, 1, parameters=runs_with)})
    assert parameter_status(topology, node, reported, "desired") == status


@pytest.mark.parametrize(
    ("statuses", "of_all"),
    [
        ([], "in-sync"),
        (["in-sync", "in-sync"], "in-sync"),
        (["in-sync", "pending-reboot"], "pending-reboot"),
        (["pending-reboot", "applying"], "applying"),
    ],
)
def test_how_far_a_cache_cluster_is(statuses: list[str], of_all: str) -> None:
    assert parameter_status_of_all(statuses) == of_all


# ---- while a snapshot is taken, and of what begins with one

PLACE = ArchivePlace("file:///archive")
FILE = SavedFile("snap/0001-1-x.rdb", 512, "abc", "VALKEY080", NOW)


def saving(topology: Topology, cause: Cause = Cause.MANUAL, member: str | None = None, **part: Any) -> Topology:
    return replace(topology, backup=Backup("snap", cause, (BackupPart("0001", **part),), NOW, PLACE, member))


@pytest.mark.parametrize(
    ("topology", "status"),
    [
        (saving(OLD), "snapshotting"),
        (saving(OLD, Cause.AUTOMATED), "snapshotting"),
        (saving(OLD, Cause.FINAL), "deleting"),
        (saving(replace(OLD, modifying=True)), "modifying"),
        (saving(a_cache_cluster("alone", engine="valkey")), "snapshotting"),
        (saving(a_cache_cluster("alone", engine="valkey"), Cause.FINAL), "deleting"),
    ],
)
def test_what_a_snapshot_is_taken_of(topology: Topology, status: str) -> None:
    assert topology_status(topology, NOTHING, most_boots=4) == status


@pytest.mark.parametrize(
    ("topology", "snapshotting"),
    [
        (saving(OLD), []),  # nobody saves yet
        (saving(OLD, member=SECOND), [SECOND]),
        (saving(OLD, node=SECOND), [SECOND]),
        (saving(OLD, member=SECOND, node="orders-003"), ["orders-003"]),
        (saving(OLD, node=SECOND, file=FILE), []),
        (OLD, []),
    ],
)
def test_only_the_member_that_is_saved_is_snapshotting(topology: Topology, snapshotting: list[str]) -> None:
    statuses = {node.id: member_status(topology, node, NOTHING, most_boots=4) for node in topology.nodes}
    assert [node for node, status in statuses.items() if status == "snapshotting"] == snapshotting
    assert set(statuses.values()) <= {"snapshotting", "available"}


def test_members_and_nodes_of_what_is_saved_to_be_deleted_are_deleting() -> None:
    final = saving(OLD, Cause.FINAL)
    assert {member_status(final, node, NOTHING, most_boots=4) for node in final.nodes} == {"deleting"}
    assert {node_status(final, node, NOTHING) for node in final.nodes} == {"deleting"}


@pytest.mark.parametrize(
    ("topology", "refusal", "status"),
    [
        (NEW, None, "creating"),
        (NEW, "too large", "create-failed"),
        (a_cache_cluster("alone", engine="valkey", created=False), None, "creating"),
        (a_cache_cluster("alone", engine="valkey", created=False), "too large", "restore-failed"),
        (NEW.with_deletion(), "too large", "deleting"),
    ],
)
def test_what_begins_with_a_snapshot(topology: Topology, refusal: str | None, status: str) -> None:
    begins = replace(topology, seed=Seed("old", PLACE, refusal=refusal))
    assert topology_status(begins, NOTHING, most_boots=4) == status
    if status != "creating":
        assert status in SETTLED or status == "deleting"
