"""What a decision changes in the desired topology. Pure, so that storms and the recorder share it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from controlplane.domain.backup import ArchivePlace, Cause
from controlplane.domain.certificate import Issued
from controlplane.domain.elections import Election
from controlplane.domain.renewal import gone_back, on_trial, remade, renewed, with_spare
from controlplane.domain.resizing import Discovery
from controlplane.domain.settings import Settings
from controlplane.domain.snapshot import begun
from controlplane.domain.topology import Handover, Kind, Leftover, Node, NodeGroup, Placement, Restart, Topology
from controlplane.planner import decisions as d

MOST_ELECTIONS = 50
"""How many elections of a topology are remembered."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What was drawn for a decision that needs it: addresses of a node or of endpoints, a snapshot's uid and archive, a certificate."""

    node: str = ""
    primary: str = ""
    reader: str = ""
    configuration: str = ""
    snapshot: str = ""
    archive: ArchivePlace = field(default_factory=lambda: ArchivePlace(""))
    issued: Issued | None = None


def after(topology: Topology, decision: d.Decision, now: datetime, drawn: Addresses) -> Topology | None:
    """The topology as it is desired after the decision; None when it is forgotten."""
    match decision:
        case d.PlaceNode():
            return _placed(topology, decision, drawn.node)
        case d.MoveNode():
            return _moved(topology, decision, drawn.node)
        case d.AskHandover():
            group = topology.group_of(decision.node)
            handover = Handover(decision.node, now, heir=decision.heir, because=decision.because)
            return topology.with_group(replace(group, handover=handover))
        case d.WithdrawNode():
            return topology.with_node(replace(_node(topology, decision.node), withdrawn=True))
        case d.RenewNode():
            return _renewed(topology, decision, drawn.node)
        case d.BringSpare():
            return with_spare(topology, next(group for group in topology.node_groups if group.id == decision.group))
        case d.DismissSpare():
            return topology.with_node(replace(_node(topology, decision.node), leaving=True))
        case d.NoteFit():
            return replace(topology, renewal=replace(topology.renewal, fits=True) if topology.renewal else None)
        case d.NoteProof():
            return replace(topology, renewal=replace(topology.renewal, proven=True) if topology.renewal else None)
        case d.GiveUpRenewal():
            return gone_back(topology)
        case d.IssueCertificate():
            return replace(topology, certified=drawn.issued)
        case d.GiveEndpoints():
            return _addressed(topology, decision, drawn)
        case d.GiveBackAddresses():
            return _without_surplus(topology)
        case d.BootNode():
            node = _node(topology, decision.node)
            restart = node.restart or (Restart.RECOVERY if node.joined_at else None)
            return topology.with_node(replace(node, boot=decision.boot, restart=restart))
        case d.CallRoll():
            group = next(group for group in topology.node_groups if group.id == decision.group)
            return topology.with_group(replace(group, roll=group.roll + 1, roll_for=decision.loss, roll_at=now))
        case d.ElectPrimary():
            return _elected(topology, decision, now)
        case d.ChooseHeir():
            group = topology.group_of(decision.node)
            chosen = replace(group.handover, heir=decision.node) if group.handover else None
            return topology.with_group(replace(group, handover=chosen))
        case d.DropHandover():
            group = next(group for group in topology.node_groups if group.id == decision.group)
            return topology.with_group(replace(group, handover=None))
        case d.RebuildFormer():
            node = _node(topology, decision.node)
            topology = topology.with_node(replace(node, boot=decision.boot, restart=node.restart or Restart.RECOVERY))
            return topology.with_group(replace(topology.group_of(decision.node), rebuild=None))
        case d.PublishPrimary():
            return topology.with_group(replace(topology.group_of(decision.node), holder=decision.node))
        case d.PublishConfiguration():
            return replace(topology, configuration_holder=decision.node)
        case d.SpreadReaders():
            return replace(topology, reader_backends=decision.backends)
        case d.PublishDiscovery():
            return replace(topology, discovery=_listing(topology.discovery, decision.nodes))
        case d.StopNode():
            return topology.with_node(replace(_node(topology, decision.node), stopping=True))
        case d.ApplyPending():
            changed = remade(topology, topology.remake) if topology.remake else topology
            return changed.resized(changed.pending) if changed.pending else changed  # who is added need not be made anew
        case d.WelcomeNode():
            return topology.with_node(replace(_node(topology, decision.node), joined_at=now))
        case d.CloseRestart():
            return topology.with_node(replace(_node(topology, decision.node), restart=None))
        case d.NoteOutOfMemory():
            return topology.with_node(replace(_node(topology, decision.node), told_out_of_memory=decision.boot))
        case d.Announce():
            return replace(topology, announced_at=now, modifying=False, seed=None)
        case d.CloseModification():
            return replace(renewed(topology), modifying=False, grown_from=None, replicas_from=None)
        case d.RemoveNode():
            group = topology.group_of(decision.node)
            left = tuple(node for node in group.nodes if node.id != decision.node)
            if group.leaving and not left:
                return replace(topology, node_groups=tuple(other for other in topology.node_groups if other.id != group.id))
            return topology.with_group(replace(group, nodes=left, rebuild=None if group.rebuild == decision.node else group.rebuild))
        case d.Bury():
            return None
        case d.Release():
            return _released(topology, decision.node)
        case d.BeginResharding():
            resharding = topology.resharding
            return replace(topology, resharding=replace(resharding, fits=True) if resharding else None)
        case d.DropResharding():
            groups = tuple(replace(group, leaving=False, emptied_at=None) for group in topology.node_groups)
            return replace(topology, node_groups=groups, resharding=None)
        case d.LandSlots():
            return topology.with_landed(decision.source, decision.target, decision.slots, now)
        case d.DismissGroup():
            group = next(group for group in topology.node_groups if group.id == decision.group)
            return topology.with_departure_of([node.id for node in group.nodes])
        case d.BeginBackup():
            place, uid = drawn.archive, drawn.snapshot
            return begun(topology, decision.name, Cause.AUTOMATED, place, now, uid, decision.member, decision.member is None)[0]
        case d.SaveFrom() | d.AwaitSaver() | d.KeepFile() | d.CloseBackup() | d.GiveUpBackup():
            return _backed_up(topology, decision, now)
        case d.LookAgain():
            return topology
        case _:
            assert_never(decision)


_OfABackup = d.SaveFrom | d.AwaitSaver | d.KeepFile | d.CloseBackup | d.GiveUpBackup


def _backed_up(topology: Topology, decision: _OfABackup, now: datetime) -> Topology:
    backup = topology.backup
    if backup is None:
        return topology
    match decision:
        case d.SaveFrom(group=group, node=node, attempt=attempt, failed=failed):
            boot = _node(topology, node).boot
            part = replace(backup.part(group), node=node, attempt=attempt, boot=boot, failed=failed, since=now)
            return replace(topology, backup=backup.with_part(part))
        case d.AwaitSaver(group=group, failed=failed):
            part = replace(backup.part(group), node=None, boot=0, failed=failed, since=now)
            return replace(topology, backup=backup.with_part(part))
        case d.KeepFile(group=group, file=file):
            return replace(topology, backup=backup.with_part(replace(backup.part(group), file=file)))
        case d.CloseBackup():
            return topology.with_deletion() if backup.cause is Cause.FINAL else replace(topology, backup=None)
        case d.GiveUpBackup():
            return replace(topology, backup=None)


def _listing(former: Discovery | None, nodes: tuple[str, ...]) -> Discovery:
    if former is not None and former.nodes == nodes:
        return former
    return Discovery((former.version if former else 0) + 1, nodes)


def _elected(topology: Topology, decision: d.ElectPrimary, now: datetime) -> Topology:
    group = topology.group_of(decision.node)
    handover = group.handover
    rebuild = handover.leaver if handover is not None and handover.rebuild and handover.leaver == group.primary else group.rebuild
    holder = decision.node if decision.home is None and topology.can_publish else None
    led = replace(
        group, primary=decision.node, epoch=decision.epoch, holder=holder, home=decision.home, handover=None,
        rebuild=rebuild if rebuild != decision.node else None,
    )  # fmt: skip
    if handover is not None:
        led = _without_deaf_leaver(topology, led, handover.leaver)
    told = Election(now, group.id, decision.epoch, group.primary, decision.node, decision.because, decision.candidates)
    return replace(topology.with_group(led), elections=(*topology.elections, told)[-MOST_ELECTIONS:])


def _without_deaf_leaver(topology: Topology, led: NodeGroup, leaver: str) -> NodeGroup:
    """A primary in cluster mode cannot be told to follow an heir that is not, and would take writes again: it is started anew at once."""
    former, heir = led.node(leaver), led.primary_node
    if former is None or heir is None or not topology.is_clustered(former) or topology.is_clustered(heir):
        return led
    return led.with_node(replace(former, boot=former.boot + 1, make=heir.make, restart=former.restart or Restart.RENEWAL))


def _node(topology: Topology, node_id: str) -> Node:
    return next(node for node in topology.nodes if node.id == node_id)


def _placed(topology: Topology, decision: d.PlaceNode, address: str) -> Topology:
    node = _node(topology, decision.node)
    boot = node.boot if node.placement is None else node.boot + 1  # a new address asks for a new start
    return topology.with_node(replace(node, placement=Placement(decision.agent, address, decision.binary), boot=boot))


def _moved(topology: Topology, decision: d.MoveNode, address: str) -> Topology:
    node = _node(topology, decision.node)
    former = node.placement
    if former is not None:
        topology = replace(topology, leftovers=(*topology.leftovers, Leftover(node.id, former.agent, former.address, node.born)))
    restart = node.restart or (Restart.RECOVERY if node.joined_at else None)
    place = Placement(decision.agent, address, decision.binary)
    return topology.with_node(replace(node, placement=place, boot=node.boot + 1, restart=restart))


def _renewed(topology: Topology, decision: d.RenewNode, address: str) -> Topology:
    node = _node(topology, decision.node)
    former = node.placement
    if former is not None and former.agent == decision.agent:
        place = replace(former, binary=decision.binary)
    else:
        place = Placement(decision.agent, address, decision.binary)
        if former is not None:
            topology = replace(topology, leftovers=(*topology.leftovers, Leftover(node.id, former.agent, former.address)))
    restart = node.restart or Restart.RENEWAL
    again = replace(node, make=None, placement=place, boot=decision.boot, restart=restart, withdrawn=False)
    return on_trial(topology.with_node(again), again)


def _addressed(topology: Topology, decision: d.GiveEndpoints, drawn: Addresses) -> Topology:
    if topology.reader_agent is None and topology.is_spread:
        topology = replace(topology, reader_agent=decision.reader_agent)
    if topology.has_endpoints and topology.primary_address is None:
        topology = replace(topology, primary_address=drawn.primary, reader_address=drawn.reader)
    if topology.has_configuration_endpoint and topology.configuration_address is None:
        topology = replace(topology, configuration_address=drawn.configuration)
    return topology


def _without_surplus(topology: Topology) -> Topology:
    if not topology.has_endpoints:
        groups = tuple(replace(group, holder=None) for group in topology.node_groups)
        topology = replace(topology, node_groups=groups, primary_address=None, reader_address=None, reader_agent=None, reader_backends=())
    if not topology.has_configuration_endpoint:
        topology = replace(topology, configuration_address=None, configuration_holder=None)
    return topology


def _released(topology: Topology, node_id: str) -> Topology:
    """The retained node as a stand-alone cache cluster: same process, same address, no endpoints of a group."""
    kept = topology.settings
    return replace(
        topology,
        kind=Kind.CACHE_CLUSTER,
        name=node_id,
        settings=replace(Settings(), **{name: getattr(kept, name) for name in _KEPT_BY_A_RELEASED_NODE}),
        primary_address=None,
        reader_address=None,
        reader_agent=None,
        reader_backends=(),
        deleting=False,
        retained=None,
    )


_KEPT_BY_A_RELEASED_NODE = (
    "maintenance_window",
    "snapshot_window",
    "snapshot_retention_limit",
    "auto_minor_version_upgrade",
    "security_group_ids",
    "notification_topic",
    "notification_active",
    "log_deliveries",
)
