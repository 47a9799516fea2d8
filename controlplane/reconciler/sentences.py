"""What a decision is said as, in the words that the real service's events use."""

from __future__ import annotations

from collections.abc import Iterator

from api_schemas.container_memory import container_memory
from controlplane.domain.binaries import stands_in
from controlplane.domain.node_types import MIB
from controlplane.domain.resizing import replica_count_message, resizing_messages
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import Kind, Make, Restart, Topology
from controlplane.planner import decisions as d

Sentence = tuple[str, str, str]
"""Source type, source id, message."""


def sentences(topology: Topology, decision: d.Decision) -> Iterator[Sentence]:
    """The events of one decision, in the order the service emits them."""
    if _is_hidden(topology, decision):
        return
    match decision:
        case d.MoveNode(node=node):
            yield _of_node(topology, node, f"Recovering cache nodes {cache_node_id(topology, node)}")
        case d.PlaceNode(node=node, binary=binary):
            found = topology.node(node)
            made = topology.make_of(found) if found is not None else topology.make
            if said := stands_in(made.engine, made.engine_version, binary):
                yield _of_node(topology, node, f"{said}, a wire compatible program, on this host")
        case d.RenewNode(node=node, binary=binary):
            said = stands_in(topology.engine, topology.engine_version, binary)
            if said and (topology.engine, topology.engine_version) != (topology.shown.engine, topology.shown.engine_version):
                yield _of_node(topology, node, f"{said}, a wire compatible program, on this host")
        case d.IssueCertificate(because=because):
            if topology.certified is not None:
                yield topology.kind.value, topology.name, f"The certificate of {topology.name} is renewed: {because}"
        case d.GiveUpRenewal():
            yield from _renewal("Failed", topology, topology.make)
        case d.WelcomeNode(node=node):
            yield from _welcome(topology, node)
        case d.Announce():
            if topology.kind is Kind.REPLICATION_GROUP:
                yield topology.kind.value, topology.name, f"Replication group {topology.name} created"
        case d.ApplyPending():
            if topology.pending is not None:
                for message in resizing_messages(topology.pending):
                    yield topology.kind.value, topology.name, message
        case d.CloseModification():
            if topology.grown_from is not None:
                number = len(list(topology.nodes))
                message = f"Finished modifying number of nodes from {topology.grown_from} to {number}"
                yield topology.kind.value, topology.name, message
            if topology.replicas_from is not None:
                message = replica_count_message(topology.replicas_from, topology.number_of_replicas, finished=True)
                yield topology.kind.value, topology.name, message
            if topology.renewal is not None and not topology.renewal.given_up:
                yield from _renewal("Succeeded", topology, topology.make)
        case d.BootNode(node=node):
            found = topology.node(node)
            if found is not None and found.joined_at is not None and found.restart not in (Restart.ASKED, Restart.RENEWAL):
                yield _of_node(topology, node, f"Recovering cache nodes {cache_node_id(topology, node)}")
        case d.RebuildFormer(node=node):
            yield _of_node(topology, node, f"Recovering cache nodes {cache_node_id(topology, node)}")
        case d.DropHandover(group=group_id, because=because):
            yield Kind.REPLICATION_GROUP.value, topology.name, f"The primary of node group {group_id} stays: {because}"
        case d.LandSlots(source=source, target=target, slots=slots):
            before = topology.resharding
            if before is not None and topology.with_landed(source, target, slots, topology.requested_at).resharding is None:
                yield topology.kind.value, topology.name, f"Resharding finished: {before.slots} slots have moved"
        case d.DropResharding(because=because):
            yield topology.kind.value, topology.name, f"Resharding was given up and all slots stay where they are: {because}"
        case d.NoteOutOfMemory(node=node):
            yield _of_node(topology, node, _out_of_memory(topology, node))
        case d.CloseRestart(node=node):
            restarted = topology.node(node)
            if restarted is not None and restarted.restart is not Restart.RENEWAL:
                yield _of_node(topology, node, _restarted(topology, node))
        case d.ElectPrimary(node=node, home=home):
            group = topology.group_of(node)
            if home is None and group.home is None:
                message = f"Failover from primary node {group.primary} to replica node {node} completed"
                yield Kind.CACHE_CLUSTER.value, node, message
                yield Kind.REPLICATION_GROUP.value, topology.name, message
        case d.RemoveNode(node=node):
            if topology.is_memcached and not topology.deleting:
                yield _of_node(topology, node, f"Removed cache nodes {node}")
            elif not topology.is_memcached:
                yield _of_node(topology, node, "Cache cluster deleted")
        case d.Bury():
            if topology.kind is Kind.REPLICATION_GROUP:
                yield topology.kind.value, topology.name, f"Replication group {topology.name} deleted"
            elif topology.is_memcached:
                yield topology.kind.value, topology.name, "Cache cluster deleted"
        case d.Release():
            yield Kind.REPLICATION_GROUP.value, topology.name, f"Replication group {topology.name} deleted"


def cache_node_id(topology: Topology, node: str) -> str:
    """A node's id inside its cache cluster: always ``0001`` for Redis and Valkey."""
    return node if topology.is_memcached else "0001"


def _of_node(topology: Topology, node: str, message: str) -> Sentence:
    return Kind.CACHE_CLUSTER.value, topology.name if topology.is_memcached else node, message


def _is_hidden(topology: Topology, decision: d.Decision) -> bool:
    """Whether it is about a node that no caller sees, or about who stood in for whom."""
    named = {getattr(decision, "node", None)}
    if isinstance(decision, d.ElectPrimary):
        named.add(topology.group_of(decision.node).primary)
    return any(node.id in named and node.temporary for node in topology.nodes)


def _renewal(word: str, topology: Topology, wanted: Make) -> Iterator[Sentence]:
    """What became of a modification of what the nodes are made of, said of each member and of the group."""
    former = topology.shown
    changes = []
    if wanted.node_type != former.node_type:
        changes.append(f"cache node type to {wanted.node_type}")
    if (wanted.engine, wanted.engine_version) != (former.engine, former.engine_version):
        changes.append(f"engine version to {wanted.engine} {wanted.engine_version}")
    if topology.cluster_mode is not topology.shown_mode:
        changes.append(f"cluster mode to {topology.cluster_mode}")
    members = [] if topology.kind is Kind.CACHE_CLUSTER else [(Kind.CACHE_CLUSTER.value, node.id) for node in topology.members]
    for change in changes:
        for kind, name in [*members, (topology.kind.value, topology.name)]:
            yield kind, name, f"{word} applying modification to {change}."


def _welcome(topology: Topology, node: str) -> Iterator[Sentence]:
    found = topology.node(node)
    first = not any(other.joined_at for other in topology.nodes) or not topology.is_memcached
    if first and (topology.announced_at is None or not topology.is_memcached):
        yield _of_node(topology, node, "Cache cluster created")
    zone = found.zone if found else ""
    yield _of_node(topology, node, f"Added cache node {cache_node_id(topology, node)} in availability zone {zone}")


def _out_of_memory(topology: Topology, node: str) -> str:
    found = topology.node(node)
    made = topology.make_of(found) if found is not None else topology.make
    limit = container_memory(topology.engine, resources_of(topology, made).memory) / MIB
    return (
        f"Cache node {cache_node_id(topology, node)} ran out of memory: its process needed more than the {limit:.0f} MiB that a node of "
        f"type {made.node_type} may use, and was ended. Choose a larger node type, or have clients send and ask for less at once"
    )


def _restarted(topology: Topology, node: str) -> str:
    found = topology.node(node)
    name = cache_node_id(topology, node)
    if found is not None and found.restart is Restart.ASKED:
        return f"Cache node {name} restarted"
    return f"Finished recovery for cache nodes {name}"
