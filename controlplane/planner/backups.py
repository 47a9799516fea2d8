"""Rules about snapshots: each node group has a node that saves, a file that is kept; the window opens; and the end of what is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.backup import Backup, BackupPart, Cause
from controlplane.domain.reported import Saved, is_up, replicates
from controlplane.domain.status import AVAILABLE, topology_status
from controlplane.domain.topology import Kind, Node, NodeGroup
from controlplane.domain.windows import snapshot_opening
from controlplane.planner.decisions import (
    AwaitSaver,
    BeginBackup,
    CloseBackup,
    Decision,
    GiveUpBackup,
    KeepFile,
    LookAgain,
    SaveFrom,
)
from controlplane.planner.primaries import leads
from controlplane.planner.situation import Situation


def begin_automatic_backups(now: Situation) -> Iterator[Decision]:
    """Once a day, while the snapshot window is open and the topology is available, a snapshot is taken if any are to be kept."""
    topology = now.topology
    settings = topology.settings
    if not settings.snapshot_retention_limit or topology.is_memcached or topology.is_going or topology.announced_at is None:
        return
    opened, closes = snapshot_opening(settings.snapshot_window, now.now)
    if not opened <= now.now < closes or (topology.automated_at is not None and topology.automated_at >= opened):
        begins = opened if now.now < opened else snapshot_opening(settings.snapshot_window, closes)[0]
        yield LookAgain(begins, because="the snapshot window opens then")
    elif topology_status(topology, now.reported, now.policy.most_boots) == AVAILABLE:
        member = automatic_member(now)
        name = f"automatic.{member or topology.name}-{now.now:%Y-%m-%d-%H-%M}"
        yield BeginBackup(name, member, because=f"the snapshot window {settings.snapshot_window} is open")


def automatic_member(now: Situation) -> str | None:
    """Whom automatic snapshots of a group outside cluster mode are taken from: its snapshotting cluster, by default the last member."""
    topology = now.topology
    if topology.kind is Kind.CACHE_CLUSTER or topology.has_bus:
        return None
    ids = [node.id for node in topology.members if not node.leaving]
    chosen = topology.settings.snapshotting_cluster
    return chosen if chosen in ids else ids[-1] if ids else None


def take_backups(now: Situation) -> Iterator[Decision]:
    """Every node group of which a snapshot is taken has a node that saves. One that fails, or is lost meanwhile, is replaced by another."""
    backup = now.topology.backup
    if backup is None or now.topology.deleting:
        return
    for part in backup.open_parts:
        yield from _advance(now, backup, part)


def close_backups(now: Situation) -> Iterator[Decision]:
    """A backup is over once every node group has its file. What was to be deleted then is."""
    backup = now.topology.backup
    if backup is not None and not backup.open_parts and not now.topology.deleting:
        yield CloseBackup(because="every node group has its file")


def _advance(now: Situation, backup: Backup, part: BackupPart) -> Iterator[Decision]:
    group = next((group for group in now.topology.node_groups if group.id == part.group), None)
    if group is None:
        yield GiveUpBackup(f"node group {part.group} is gone", because=f"node group {part.group} is gone")
        return
    node, saved = group.node(part.node or ""), _said(now, backup, part)
    if saved is not None and saved.file is not None:
        yield KeepFile(part.group, saved.file, because=f"{part.node} has saved {saved.file.size} bytes")
    elif node is None:
        yield from _choose(now, backup, part, group, "nobody saves yet")
    elif saved is not None and saved.failed:
        yield from _choose(now, backup, part, group, f"{node.id}: {saved.problem or 'it could not save'}", failed=node)
    elif node.leaving or node.boot != part.boot or not _is_well(now, node):
        yield from _choose(now, backup, part, group, f"{node.id} is lost", failed=node)


def _said(now: Situation, backup: Backup, part: BackupPart) -> Saved | None:
    """What the node that saves said of this very attempt."""
    seen = now.reported.nodes.get(part.node or "")
    saved = seen.saved if seen is not None else None
    return saved if saved is not None and (saved.snapshot, saved.attempt) == (backup.snapshot, part.attempt) else None


def _choose(now: Situation, backup: Backup, part: BackupPart, group: NodeGroup, why: str, failed: Node | None = None) -> Iterator[Decision]:
    tried = (*part.failed, failed.id) if failed is not None else part.failed
    if len(tried) >= now.policy.most_saves:
        yield GiveUpBackup(f"node group {group.id} could not be saved in {len(tried)} attempts; the last: {why}", because=why)
        return
    since = part.since or backup.asked_at
    best = _best(now, backup, group, tried, waited=now.now - since >= now.policy.replica_awaited)
    if best is not None:
        yield SaveFrom(group.id, best.id, part.attempt + 1, tried, because=f"{why}; {_merit(now, group, best)}")
        return
    if part.node is not None:
        yield AwaitSaver(group.id, tried, because=f"{why}; no other is fit to be saved")  # from now on, however long that one took
        return
    until = since + now.policy.saved_within
    if until <= now.now:
        told = f"no node of node group {group.id} was fit to be saved within {now.policy.saved_within.seconds} s"
        yield GiveUpBackup(told, because=told)
    else:
        stands_in = since + now.policy.replica_awaited
        yield LookAgain(stands_in if stands_in > now.now else until, because=f"no node of {group.id} is fit to be saved")


def _best(now: Situation, backup: Backup, group: NodeGroup, tried: tuple[str, ...], *, waited: bool) -> Node | None:
    """Who saves: the primary for a final snapshot; whom a caller named, until that one fails; else the replica in sync with most bytes.

    The primary stands in where there is no replica, and after a while where none is in sync. Who has failed comes last.
    """
    primary = group.primary_node
    if primary is not None and (not leads(now, group) or not _is_well(now, primary) or primary.leaving):
        primary = None
    if backup.cause is Cause.FINAL:
        return primary
    named = group.node(backup.member or "")
    in_sync = [node for node in group.replicas if _is_well(now, node) and replicates(now.topology, group, node, now.reported)]
    if named is not None and named.id not in tried and (named is primary or named in in_sync):
        return named
    fit = [node for node in in_sync if not node.temporary]
    ranked = sorted(fit, key=lambda node: (tried.count(node.id), -now.reported.nodes[node.id].offset, node.id))
    if ranked and (primary is None or tried.count(ranked[0].id) <= tried.count(primary.id)):
        return ranked[0]
    return primary if primary is not None and (not group.replicas or waited or ranked) else None


def _is_well(now: Situation, node: Node) -> bool:
    """Whether the boot that is desired runs, and its agent is heard."""
    return is_up(node, now.reported.of(node)) and now.silent_since(node) is None


def _merit(now: Situation, group: NodeGroup, node: Node) -> str:
    if node.id == group.primary:
        return f"{node.id} is the primary"
    return f"{node.id} is in sync, {now.reported.nodes[node.id].offset} bytes replicated"
