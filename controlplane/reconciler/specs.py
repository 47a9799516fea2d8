"""What each agent shall be told of a topology, derived from what is desired and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache

from api_schemas.agent.backup import SaveOrder, SeedOrder
from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.node import EngineBinary, Mesh, MeshMember, MeshMove, NodeSpec, Peer, Role
from api_schemas.agent.route import RouteSpec
from api_schemas.agent.transit import Transit
from controlplane.domain import mesh as bus
from controlplane.domain.access_control import access_for
from controlplane.domain.backup import key_of
from controlplane.domain.resources import Resources, resources_of
from controlplane.domain.topology import Node, NodeGroup, Topology
from controlplane.domain.transit import covers, is_native


def node_specs(topology: Topology) -> Iterator[tuple[str, NodeSpec]]:
    """Agent and spec of every node that has a place and shall run. The generation is the topology's version."""
    for group in topology.node_groups:
        for node in group.nodes:
            if node.placement is not None and not topology.shall_end(node) and _is_certified(topology, node):
                yield node.placement.agent, _spec(topology, group, node, resources_of(topology, node.make))


def _is_certified(topology: Topology, node: Node) -> bool:
    """Whether a node that speaks TLS, or did so a boot ago, can prove who it is: it is not told of before."""
    if topology.make_of(node).transit is None or node.placement is None:
        return True
    return topology.certified is not None and covers(topology.certified.names, topology, node.placement.address)


def dropped_nodes(topology: Topology) -> Iterator[tuple[str, str]]:
    """Agent and key of every node that shall be no more, there at least."""
    for node in topology.nodes:
        if node.placement is not None and topology.shall_end(node):
            yield node.placement.agent, topology.key(node)
    for leftover in topology.leftovers:
        yield leftover.agent, topology.key(leftover)


def reader_route(topology: Topology) -> tuple[str, RouteSpec] | None:
    """Agent and route of the reader endpoint, or of a Memcached cluster's configuration endpoint, while the topology lives."""
    if topology.reader_agent is None or topology.route_address is None or topology.deleting or not topology.is_spread:
        return None
    route = RouteSpec(key=topology.route_key, generation=topology.version, address=topology.route_address, port=topology.port,
                      backends=_backends(topology), discovery=discovery_list(topology))  # fmt: skip
    if topology.is_memcached and topology.transit is not None:
        if topology.certified is None or topology.route_address not in topology.certified.names:
            return None
        transit = Transit(topology.transit, native=False, certified=topology.certified.certified)
        route = route.model_copy(update={"transit": transit, "source": topology.route_address})
    return topology.reader_agent, route


def discovery_list(topology: Topology) -> DiscoveryList | None:
    """What clients of a Memcached cluster are told of its nodes: sorted by address, which here is the host name as well."""
    if topology.discovery is None:
        return None
    addresses = sorted(node.placement.address for node in _listed(topology) if node.placement is not None)
    nodes = " ".join(f"{address}|{address}|{topology.port}" for address in addresses)
    return DiscoveryList(version=topology.discovery.version, nodes=nodes)


def _backends(topology: Topology) -> list[str]:
    if not topology.is_memcached:
        return list(topology.reader_backends)
    return [f"{node.placement.address}:{topology.port}" for node in _listed(topology) if node.placement is not None]


def _listed(topology: Topology) -> list[Node]:
    listed = topology.discovery.nodes if topology.discovery else ()
    return [node for node in topology.nodes if node.id in listed]


def _spec(topology: Topology, group: NodeGroup, node: Node, resources: Resources) -> NodeSpec:
    place = node.placement
    if place is None:
        raise ValueError(f"{node.id} has no place")
    role = Role.NONE if topology.is_memcached else Role.PRIMARY if node.id == group.primary else Role.REPLICA
    primary = group.primary_node
    return NodeSpec(
        key=topology.key(node),
        generation=topology.version,
        binary=EngineBinary(**asdict(place.binary)),
        zone=node.zone,
        address=place.address,
        port=topology.port,
        boot=node.boot,
        was_up=node.joined_at is not None and node.restart is None,
        role=role,
        epoch=group.epoch,
        roll=group.roll,
        follows=_peer(topology, primary) if role is Role.REPLICA and primary else None,
        replicas=_peers(topology, group.replicas) if role is Role.PRIMARY else [],
        departing=_peers(topology, group.departing) if role is Role.PRIMARY else [],
        fenced=role is Role.PRIMARY and topology.settings.automatic_failover,
        yields_to=_yields_to(topology, group, node),
        holds=list(_holds(topology, group, node)),
        named=topology.is_named and topology.has_endpoints,
        memory=resources.memory,
        threads=resources.threads,
        parameters=resources.parameters,
        mesh=_mesh(topology, node),
        access=access_for(topology, node),
        transit=_transit(topology, node),
        trusted=_trusted(topology, node),
        front=topology.is_memcached and (topology.settings.fronted or topology.transit is not None),
        discovery=discovery_list(topology),
        saves=_saves(topology, group, node),
        seed=_seed(topology, group, node),
    )


def _transit(topology: Topology, node: Node) -> Transit | None:
    """How the node is encrypted, with the certificate of its topology."""
    mode = topology.make_of(node).transit
    if mode is None or node.placement is None or topology.certified is None:
        return None
    return Transit(mode, is_native(mode, node.placement.binary), topology.certified.certified)


def _trusted(topology: Topology, node: Node) -> list[str]:
    """Where the node's front may hear what is not encrypted: from the other nodes and the configuration endpoint, all on one host."""
    if topology.make_of(node).transit is None or topology.is_named:
        return []
    addresses = {other.placement.address for other in topology.nodes if other.placement is not None}
    return sorted({*addresses, *filter(None, [topology.configuration_address if topology.is_memcached else None])})


def _saves(topology: Topology, group: NodeGroup, node: Node) -> SaveOrder | None:
    """What the node writes to the archive, until that is kept. One that was started again since is empty, and is not asked."""
    backup = topology.backup
    mine = (group.id, node.id, node.boot)
    part = next((part for part in backup.open_parts if (part.group, part.node, part.boot) == mine), None) if backup else None
    if backup is None or part is None or topology.deleting:
        return None
    place, key = backup.archive, key_of(backup.snapshot, part)
    return SaveOrder(snapshot=backup.snapshot, attempt=part.attempt, archive=place.url, archive_id=place.id, key=key)


def _seed(topology: Topology, group: NodeGroup, node: Node) -> SeedOrder | None:
    """What the primary begins with until the topology is announced."""
    begins = topology.seed.file_of(group.id) if topology.seed is not None and node.id == group.primary else None
    if begins is None:
        return None
    place, file = begins.archive, begins.file
    return SeedOrder(archive=place.url, archive_id=place.id, key=file.key, size=file.size, sha256=file.sha256, keys=file.keys)


def _yields_to(topology: Topology, group: NodeGroup, node: Node) -> Peer | None:
    """The heir that a primary shall make ready, once one is chosen."""
    handover = group.handover
    if handover is None or handover.heir is None or node.id != handover.leaver or node.id != group.primary:
        return None
    heir = group.node(handover.heir)
    return _peer(topology, heir) if heir else None


def _holds(topology: Topology, group: NodeGroup, node: Node) -> Iterator[str]:
    """The endpoint addresses that the node binds besides its own."""
    if topology.deleting:
        return
    if topology.primary_address is not None and group.holder == node.id and topology.has_endpoints:
        yield topology.primary_address
    if topology.configuration_address is not None and topology.configuration_holder == node.id and topology.has_bus:
        yield topology.configuration_address


def _mesh(topology: Topology, node: Node) -> Mesh | None:
    mesh = bus.mesh_of(topology) if topology.is_clustered(node) else None
    if mesh is None:
        return None
    me, shard = bus.bus_id(topology.key(node)), bus.shard_id(topology, topology.group_of(node.id).id)
    outside = _mesh_member(mesh.outside) if mesh.outside else None
    return Mesh(
        me=me, epoch=mesh.epoch, digest=mesh.digest, members=_members(mesh), moves=_moves(mesh, shard), outside=outside,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _members(mesh: bus.Mesh) -> list[MeshMember]:
    """One list for all specs of a topology: there are as many specs as members, and each is compared with what was sent before."""
    return [_mesh_member(each) for each in mesh.members]


def _mesh_member(each: bus.MeshMember) -> MeshMember:
    return MeshMember(id=each.id, shard=each.shard, address=each.address, port=each.port, follows=each.follows, slots=each.slots)


def _moves(mesh: bus.Mesh, shard: str) -> list[MeshMove]:
    """What has landed is told only to the two shards that it concerns: it changes all the time, and would be news to everybody."""
    return [
        MeshMove(
            source=each.source, target=each.target, slots=each.slots, open=each.open, atomic=each.atomic,
            landed=each.landed if shard in (each.source, each.target) else "",
        )
        for each in mesh.moves
    ]  # fmt: skip
def _peers(topology: Topology, nodes: Iterable[Node]) -> list[Peer]:
    return [peer for node in nodes if (peer := _peer(topology, node))]


def _peer(topology: Topology, node: Node) -> Peer | None:
    if node.placement is None:
        return None
    tls = topology.make_of(node).transit is not None
    return Peer(key=topology.key(node), address=node.placement.address, port=topology.port, boot=node.boot, zone=node.zone, tls=tls)
