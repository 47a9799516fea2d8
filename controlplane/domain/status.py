"""The AWS status of everything, computed from what is desired and what was reported; never stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from controlplane.domain.log_delivery import LogState
from controlplane.domain.reported import Reported, is_given_up
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Node, Restart, Topology

AVAILABLE, CREATING, MODIFYING, DELETING = "available", "creating", "modifying", "deleting"
CREATE_FAILED = "create-failed"
ACTIVE = "active"  # of users and user groups
SNAPSHOTTING, RESTORE_FAILED = "snapshotting", "restore-failed"
REBOOTING = "rebooting cache cluster nodes"  # the text that clients of the real service match
IN_SYNC, APPLYING, PENDING_REBOOT = "in-sync", "applying", "pending-reboot"  # how far a node is with its parameter group
RESTORING, EXPORTING = "restoring", "exporting"  # of a snapshot that is available otherwise
SETTLED = frozenset({AVAILABLE, ACTIVE, CREATE_FAILED, "incompatible-network", RESTORE_FAILED, SnapshotState.FAILED.value})


def topology_status(topology: Topology, reported: Reported, most_boots: int) -> str:
    """The status of a replication group, or of a stand-alone cache cluster. ``most_boots`` failed starts mean ``create-failed``."""
    if topology.is_going:
        return DELETING
    if topology.seed is not None and topology.seed.refusal is not None:
        return RESTORE_FAILED if topology.kind == "cache-cluster" else CREATE_FAILED
    if topology.announced_at is None:
        return CREATE_FAILED if _has_given_up(topology, reported, most_boots) else CREATING
    if topology.kind == "cache-cluster" and any(node.restart is Restart.ASKED for node in topology.nodes):
        return REBOOTING
    changing = topology.modifying or any(node.leaving or node.joined_at is None for node in topology.nodes)
    changing = changing or topology.resharding is not None or any(group.leaving for group in topology.node_groups)
    changing = changing or any(each.state is LogState.DISABLING for each in topology.settings.log_deliveries)
    return MODIFYING if changing else SNAPSHOTTING if topology.backup else AVAILABLE


def member_status(topology: Topology, node: Node, reported: Reported, most_boots: int) -> str:
    """The status of the cache cluster that one node of a replication group is."""
    if topology.is_going and node.id != topology.retained:
        return DELETING
    if node.leaving:
        return DELETING
    if node.joined_at is None:
        return topology_status(topology, reported, most_boots) if topology.announced_at is None else CREATING
    if node.restart is Restart.ASKED:
        return REBOOTING
    return MODIFYING if topology.modifying else SNAPSHOTTING if _is_being_saved(topology, node) else AVAILABLE


def _is_being_saved(topology: Topology, node: Node) -> bool:
    """Whether a snapshot is taken of the cache cluster that the node is: of the one that is saved, or will be."""
    if topology.backup is None:
        return False
    return any(node.id in (part.node, None if part.node else topology.backup.member) for part in topology.backup.open_parts)


def node_status(topology: Topology, node: Node, reported: Reported) -> str:
    """The status of one cache node inside its cache cluster."""
    if node.leaving or topology.is_going:
        return DELETING
    if node.joined_at is None:
        return CREATING
    if node.restart is Restart.ASKED:
        return REBOOTING
    return MODIFYING if node.restart is Restart.RENEWAL else AVAILABLE


def snapshot_status(snapshot: Snapshot, topologies: Iterable[Topology]) -> str:
    """The status of a snapshot. While one of the topologies is being made from it, it is restoring."""
    if snapshot.state is not SnapshotState.AVAILABLE:
        return snapshot.state.value
    if any(begins_with(topology, snapshot) for topology in topologies):
        return RESTORING
    return EXPORTING if snapshot.exports else AVAILABLE


def begins_with(topology: Topology, snapshot: Snapshot) -> bool:
    """Whether a topology is being made from the snapshot."""
    seed = topology.seed
    is_new = topology.announced_at is None and not topology.is_going
    return seed is not None and seed.snapshot == snapshot.uid and seed.refusal is None and is_new


def parameter_status(topology: Topology, node: Node, reported: Reported, digest: str) -> str:
    """Whether one node runs with the configuration of that digest, is to take it, or will at its next reboot.

    Of a node that has said nothing yet there is nothing to wait for: it starts with what is desired.
    """
    seen = reported.of(node)
    if seen is None or seen.parameters in ("", digest):
        return IN_SYNC
    return PENDING_REBOOT if topology.is_memcached else APPLYING


def parameter_status_of_all(statuses: Collection[str]) -> str:
    """The status of a cache cluster from those of its nodes: what is going on comes first."""
    return next((status for status in (APPLYING, PENDING_REBOOT) if status in statuses), IN_SYNC)


def _has_given_up(topology: Topology, reported: Reported, most_boots: int) -> bool:
    return any(is_given_up(node, reported.of(node), most_boots) for node in topology.nodes)
