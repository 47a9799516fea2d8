"""Decisions become changes of the stored topology, and events. Nothing acts before this is committed."""

from __future__ import annotations

import logging
from datetime import datetime

from controlplane.domain.backup import ArchivePlace
from controlplane.domain.events import Event
from controlplane.domain.naming import arn
from controlplane.domain.topology import Kind, Topology
from controlplane.planner import decisions as d
from controlplane.planner.outcome import Addresses, after
from controlplane.reconciler.backups import note_snapshots
from controlplane.reconciler.certifying import issued
from controlplane.reconciler.sentences import sentences
from controlplane.store.store import Unit

_ARN_KINDS = {Kind.REPLICATION_GROUP: "replicationgroup", Kind.CACHE_CLUSTER: "cluster"}

log = logging.getLogger("cachewright.reconciler")


class Recorder:
    """Writes decisions down. ``endpoints`` is the network (CIDR) that endpoint addresses are drawn from, ``archive`` where snapshots go."""

    def __init__(self, endpoints: str, archive: ArchivePlace | None = None) -> None:
        self._endpoints = endpoints
        self._archive = archive or ArchivePlace("")

    def record(self, unit: Unit, topology: Topology, decisions: list[d.Decision], now: datetime) -> None:
        """Apply every decision in order, say its events, and save or forget the topology."""
        changed: Topology | None = topology
        for decision in decisions:
            if changed is None:
                return
            before = changed
            drawn = self._draw(unit, before, decision, now)
            changed = after(before, decision, now, drawn)
            for source_type, source, message in sentences(before, decision):
                unit.events.say(Event(topology.world, source_type, source, message, now, decision.because))
            self._clean_up(unit, before, decision)
            note_snapshots(unit, before, decision, now, drawn)
            if not isinstance(decision, d.LookAgain):
                _log(before, decision)
        if changed is None:
            unit.topologies.forget(topology)
        elif changed != topology:
            unit.topologies.save(changed)

    def _draw(self, unit: Unit, topology: Topology, decision: d.Decision, now: datetime) -> Addresses:
        if isinstance(decision, d.PlaceNode):
            key = topology.key(decision.node)
            node = topology.node(decision.node)
            if node is not None and node.placement is not None:
                unit.addresses.block(node.placement.address)  # a foreign process has it
            return self._draw_node(unit, decision.agent, key)
        if isinstance(decision, d.MoveNode) or (isinstance(decision, d.RenewNode) and not _stays(topology, decision)):
            return self._draw_node(unit, decision.agent, topology.key(decision.node))
        if isinstance(decision, d.BeginBackup):
            return Addresses(snapshot=f"{topology.uid}-{topology.version}", archive=self._archive)
        if isinstance(decision, d.GiveEndpoints):
            return self._draw_endpoints(unit, topology)
        if isinstance(decision, d.IssueCertificate):
            return Addresses(issued=issued(unit, topology.name, decision.names, now))
        return Addresses()

    def _draw_node(self, unit: Unit, agent: str, key: str) -> Addresses:
        """An address of the agent's own network for a node."""
        hello = unit.agents.get(agent)
        return Addresses(node=unit.addresses.draw(hello.network, key) if hello else "")

    def _draw_endpoints(self, unit: Unit, topology: Topology) -> Addresses:
        """An address for each endpoint that the topology lacks."""
        names = ["primary", "reader"] if topology.has_endpoints and topology.primary_address is None else []
        if topology.has_configuration_endpoint and topology.configuration_address is None:
            names.append("configuration")
        drawn = {name: unit.addresses.draw(self._endpoints, topology.route_key) for name in names}
        return Addresses(primary=drawn.get("primary", ""), reader=drawn.get("reader", ""), configuration=drawn.get("configuration", ""))

    def _clean_up(self, unit: Unit, topology: Topology, decision: d.Decision) -> None:
        """What is no longer anybody's is free again: addresses, reports, tags."""
        if isinstance(decision, d.RemoveNode):
            _forget(unit, topology.key(decision.node))
            unit.tags.put(arn(topology.world, "cluster", decision.node), {})
        elif isinstance(decision, d.GiveBackAddresses):
            _release_surplus(unit, topology)
        elif isinstance(decision, d.Bury | d.Release):
            _forget(unit, topology.route_key)
            unit.tags.put(arn(topology.world, _ARN_KINDS[topology.kind], topology.name), {})


def _stays(topology: Topology, decision: d.RenewNode) -> bool:
    """Whether a node that is made anew keeps its place."""
    node = topology.node(decision.node)
    return node is not None and node.placement is not None and node.placement.agent == decision.agent


def _release_surplus(unit: Unit, topology: Topology) -> None:
    if not topology.has_endpoints:
        for address in filter(None, (topology.primary_address, topology.reader_address)):
            unit.addresses.release(address)
        unit.reports.forget(topology.route_key)
    if not topology.has_configuration_endpoint and topology.configuration_address is not None:
        unit.addresses.release(topology.configuration_address)


def _forget(unit: Unit, key: str) -> None:
    unit.addresses.give_back(key)
    unit.reports.forget(key)


def _log(topology: Topology, decision: d.Decision) -> None:
    """One sentence a decision, at the place that acts."""
    told = ("node", "group", "epoch", "boot", "agent")
    fields = " ".join(f"{name}={getattr(decision, name)}" for name in told if hasattr(decision, name))
    word = "group" if topology.kind is Kind.REPLICATION_GROUP else "cache_cluster"
    log.info('%s  %s=%s %s because="%s"', type(decision).__name__, word, topology.name, fields, decision.because)
