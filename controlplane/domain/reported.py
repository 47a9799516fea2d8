"""What agents saw, as the planner and the status rules read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from api_schemas.agent.transit import TransitMode
from controlplane.domain.backup import SavedFile
from controlplane.domain.mesh import mesh_of
from controlplane.domain.topology import Binary, Node, NodeGroup, Topology

STARTING, RUNNING, DEAD, FAILED, GONE = "starting", "running", "dead", "failed", "gone"


@dataclass(frozen=True, slots=True)
class Saved:
    """How far a node is with what it saves for a snapshot: ``phase`` in the words of ``api_schemas.agent.backup``.

    ``done`` of ``total`` are keys, or bytes once it stores. ``file`` is there once it is done.
    """

    snapshot: str
    attempt: int
    phase: str
    done: int = 0
    total: int = 0
    problem: str | None = None
    file: SavedFile | None = None

    @property
    def failed(self) -> bool:
        """Whether it could not be done."""
        return self.phase == "failed"


@dataclass(frozen=True, slots=True)
class SeenNode:
    """The newest report on one node; see ``api_schemas.agent.node.NodeReport`` for the fields' meaning."""

    phase: str
    boot: int
    role: str | None = None
    epoch: int = 0
    roll: int = 0
    follows: str | None = None
    link_up: bool = False
    offset: int = 0
    proven: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    problem: str | None = None
    address_taken: bool = False
    agrees: str | None = None
    arrived: str = ""
    yielded_to: str | None = None
    pid: int | None = None
    run_id: str | None = None
    parameters: str = ""
    access: str = ""
    fronted: bool = False
    discovery: int = 0
    out_of_memory: int = 0
    used_memory: int = 0
    databases: int = 0
    saved: Saved | None = None
    seeded: str = ""


@dataclass(frozen=True, slots=True)
class SeenRoute:
    """The newest report on a route: whether the relay listens, over which backends it spreads, which discovery list it serves."""

    listening: bool
    backends: tuple[str, ...] = ()
    gone: bool = False
    problem: str | None = None
    discovery: int = 0


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """An agent that has introduced itself: its zone's letter, what it can run, how many nodes it has, whether it is heard.

    ``last_word`` names the moment since when it is silent, ``silent_for`` says how long that is. ``memory`` is what its host has for
    nodes, in bytes, None where that is no limit, and ``used`` what the nodes there are promised; ``cores`` and ``threads`` are the same
    of processors. One that is ``draining`` gets no more nodes and gives away those it has; one that was ``removed`` is only remembered
    by what lived there.
    """

    id: str
    zone: str
    binaries: tuple[Binary, ...] = ()
    nodes: int = 0
    heard: bool = True
    last_word: str | None = None
    silent_for: timedelta = timedelta(0)
    host: str = ""
    memory: int | None = None
    used: int = 0
    cores: int | None = None
    threads: int = 0
    draining: bool = False
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """All that was seen of one topology: its nodes by id, and its reader route."""

    nodes: dict[str, SeenNode] = field(default_factory=dict)
    route: SeenRoute | None = None

    def of(self, node: Node) -> SeenNode | None:
        """What was last seen of the node, if anything."""
        return self.nodes.get(node.id)


def is_up(node: Node, seen: SeenNode | None) -> bool:
    """Whether the boot that is desired runs."""
    return seen is not None and seen.phase == RUNNING and seen.boot == node.boot


def is_down(node: Node, seen: SeenNode | None) -> bool:
    """Whether the boot that is desired has ended, or could not be started."""
    return seen is not None and seen.phase in (DEAD, FAILED) and seen.boot >= node.boot


def is_given_up(node: Node, seen: SeenNode | None, most_boots: int) -> bool:
    """Whether a node that has never joined failed to start so often that it is not tried again."""
    return node.joined_at is None and node.boot >= most_boots and is_down(node, seen)


def does_duty(topology: Topology, group: NodeGroup, node: Node, reported: Reported) -> bool:
    """Whether a node does all that is desired of it.

    It runs, has its role at this epoch and, as a replica, has proven to replicate; in cluster mode its view of the cluster bus is the
    desired one as well; of Memcached, it serves, by its front if it shall have one.
    """
    seen = reported.of(node)
    if seen is None or not does_its_part(topology, group, node, reported):
        return False
    return topology.is_memcached or not topology.is_clustered(node) or sees_the_mesh(topology, seen)


def does_its_part(topology: Topology, group: NodeGroup, node: Node, reported: Reported) -> bool:
    """Whether a node does its duty in its node group, however it sees the rest of the cluster bus, where somebody else may be away."""
    seen = reported.of(node)
    if seen is None or not is_up(node, seen):
        return False
    if topology.is_memcached:
        return seen.fronted or not (topology.settings.fronted or topology.transit is not None)
    if _has_front(topology, node) and not seen.fronted:
        return False
    if seen.epoch != group.epoch:
        return False
    if node.id == group.primary:
        return seen.role == "primary"
    return seen.role == "replica" and replicates(topology, group, node, reported)


def _has_front(topology: Topology, node: Node) -> bool:
    """Whether a relay speaks TLS for the node: clients are led to it once it does."""
    mode = topology.make_of(node).transit
    return mode is not None and node.placement is not None and not (mode is TransitMode.REQUIRED and node.placement.binary.tls)


def sees_the_mesh(topology: Topology, seen: SeenNode) -> bool:
    """Whether the node sees on the cluster bus exactly who shall be there, with all slots; true without cluster mode.

    While the primary is not in cluster mode yet, there is nobody on the bus whom its replicas could agree about.
    """
    mesh = mesh_of(topology)
    return mesh is None or mesh.outside is not None or seen.agrees == mesh.digest


def replicates(topology: Topology, group: NodeGroup, node: Node, reported: Reported) -> bool:
    """Whether a replica follows the present primary, with its link up and a write of ours acknowledged."""
    primary = group.primary_node
    seen, seen_primary = reported.of(node), reported.of(primary) if primary else None
    if seen is None or seen_primary is None or primary is None or primary.placement is None:
        return False
    follows = seen.follows == f"{primary.placement.address}:{topology.port}"
    return follows and seen.link_up and seen_primary.epoch == group.epoch and topology.key(node) in seen_primary.proven


def holds_endpoint(topology: Topology, group: NodeGroup, reported: Reported) -> bool:
    """Whether the primary endpoint leads to the present primary at the present epoch: by its name, or bound by the engine itself."""
    primary = group.primary_node
    seen = reported.of(primary) if primary else None
    return (
        seen is not None
        and group.holder == group.primary
        and seen.epoch == group.epoch
        and seen.role == "primary"
        and (topology.is_named or topology.primary_address in seen.holds)
    )


def holds_configuration(topology: Topology, reported: Reported) -> bool:
    """Whether the configuration endpoint of a group in cluster mode leads to a node: by its name to any that runs, else to whom it was
    published to, once it is bound there."""
    if topology.is_named:
        return any(is_up(node, reported.of(node)) for node in topology.nodes if topology.is_clustered(node))
    seen = reported.nodes.get(topology.configuration_holder or "")
    return seen is not None and topology.configuration_address in seen.holds


def serves_discovery(topology: Topology, reported: Reported) -> bool:
    """Whether every listed node, and the configuration endpoint, tells clients of the present list."""
    discovery, route = topology.discovery, reported.route
    if discovery is None:
        return False
    if topology.is_spread and (route is None or not route.listening or route.discovery != discovery.version):
        return False
    seen = (reported.nodes.get(node_id) for node_id in discovery.nodes)
    return all(node is not None and node.discovery == discovery.version for node in seen)
