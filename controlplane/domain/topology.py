"""A topology: one replication group or one stand-alone cache cluster, as it is desired. Frozen values with ``with_…`` methods."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from api_schemas.agent.access import Access
from api_schemas.agent.transit import TransitMode
from controlplane.domain.backup import Backup, Cause, ManualBackup, Seed
from controlplane.domain.certificate import Issued
from controlplane.domain.elections import Election
from controlplane.domain.guard import Guard
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.resizing import Discovery, Resizing
from controlplane.domain.settings import Settings
from controlplane.domain.slots import Slots, among, merged, without


class Kind(StrEnum):
    """What a topology is to its callers."""

    REPLICATION_GROUP = "replication-group"
    CACHE_CLUSTER = "cache-cluster"


class ClusterMode(StrEnum):
    """Whether a replication group is one of several shards.

    Outside cluster mode there is one primary behind one address. A compatible group has the endpoints of both: its engines speak
    the cluster protocol, and all slots are in its one node group.
    """

    DISABLED = "disabled"
    COMPATIBLE = "compatible"
    ENABLED = "enabled"


class MemcachedDiscovery(StrEnum):
    """Who answers ``config get cluster`` for a Memcached cluster, besides the item that every node keeps for older clients."""

    EVERY_NODE = "every-node"
    CONFIGURATION_ENDPOINT = "configuration-endpoint"


class Endpoints(StrEnum):
    """How the endpoints of a topology follow its nodes.

    A bound one is an address of its own, which the node it leads to binds, or a relay serves: one host can move it at once. A named one is
    a name that leads to the addresses of the nodes themselves, wherever their hosts are.
    """

    BOUND = "bound"
    NAMED = "named"


class Restart(StrEnum):
    """Why a node that had joined is being started again."""

    ASKED = "asked"        # a caller reboots it
    RECOVERY = "recovery"  # its process died, or never came up
    RENEWAL = "renewal"    # it is made anew as its topology was modified


@dataclass(frozen=True, slots=True)
class World:
    """An account in a region. Worlds know nothing of each other."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program of an agent: which engine it is, the version it prints, where it lies: on its host, or in an image."""

    engine: str
    version: str
    path: str
    tls: bool = False
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a node lives: the agent that runs it, its own address, and the program that was chosen for it."""

    agent: str
    address: str
    binary: Binary


@dataclass(frozen=True, slots=True)
class Make:
    """What a node is made of: which engine in which version, on which node type, in cluster mode or not, encrypted how.

    ``parameters`` are the values that differ from its family's defaults where they are not the topology's: a parameter group of another
    family says nothing about it.
    """

    engine: str
    engine_version: str
    node_type: str
    clustered: bool = False
    parameters: tuple[tuple[str, str], ...] | None = None
    transit: TransitMode | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a node that moved may have left behind: with which agent, under which address; ``born`` is the node's."""

    node: str
    agent: str
    address: str
    born: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One engine. For Redis and Valkey its id is that of its cache cluster; for Memcached ``0001`` and on.

    ``boot`` counts the starts that are desired. ``joined_at`` is when it first did its full duty; ``leaving`` nodes are on their
    way out, since ``left_at``. Where an endpoint leads clients to it, a leaving node runs on until ``stopping``: they are led away first.
    ``told_out_of_memory`` is the last boot of which it was said that it ended for want of memory. ``born`` tells a node that was added
    later from an earlier one of the same id: it is the version of the topology then.
    ``make`` is what it runs as while that is not yet, or no longer, what the topology desires; None is the topology's. One that is
    ``withdrawn`` gets no more readers, for it is about to be made anew. A ``temporary`` one stands in where there are only one or
    two while those are; no caller sees it.
    """

    id: str
    zone: str
    placement: Placement | None = None
    boot: int = 1
    restart: Restart | None = None
    joined_at: datetime | None = None
    leaving: bool = False
    left_at: datetime | None = None
    stopping: bool = False
    told_out_of_memory: int = 0
    born: int = 0
    make: Make | None = None
    withdrawn: bool = False
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class Handover:
    """Another primary is wanted. ``leaver`` is the one that shall abdicate, ``heir`` who follows, None until one is chosen.

    With ``rebuild`` the leaver is started again afterwards, emptied, as a failed node would be. ``because`` says who wants it.
    """

    leaver: str
    asked_at: datetime
    heir: str | None = None
    rebuild: bool = False
    because: str = "a caller asked for it"


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A primary with its replicas, or all nodes of a Memcached cluster (which has no primary).

    ``epoch`` rises with every election. ``holder`` is the node which the primary endpoint was published to, if any.
    ``home`` is set while a replica stands in for a primary that is rebuilt in place (automatic failover is off): the node
    that becomes primary again. ``roll`` is raised once for each loss of a primary (``roll_for``, at ``roll_at``), so that all
    others tell how far they came after it. ``slots`` are those it owns in cluster mode. ``handover`` is set while a caller wants
    another primary; ``rebuild`` is the former primary that shall be started again once its heir leads. A ``leaving`` group is to go
    once it owns no slot; ``emptied_at`` is since when it owns none.
    """

    id: str
    nodes: tuple[Node, ...]
    primary: str | None
    slots: Slots = ()
    epoch: int = 1
    holder: str | None = None
    home: str | None = None
    roll: int = 0
    roll_for: str | None = None
    roll_at: datetime | None = None
    handover: Handover | None = None
    rebuild: str | None = None
    leaving: bool = False
    emptied_at: datetime | None = None

    def node(self, node_id: str) -> Node | None:
        """The node of that id, if it is one of ours."""
        return next((node for node in self.nodes if node.id == node_id), None)

    @property
    def primary_node(self) -> Node | None:
        """The node that is desired to be primary."""
        return self.node(self.primary) if self.primary else None

    @property
    def staying(self) -> tuple[Node, ...]:
        """The nodes that are not on their way out."""
        return tuple(node for node in self.nodes if not node.leaving)

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes that callers know of."""
        return tuple(node for node in self.nodes if not node.temporary)

    @property
    def spare(self) -> Node | None:
        """The node that is there only while others are made anew."""
        return next((node for node in self.staying if node.temporary), None)

    @property
    def replicas(self) -> tuple[Node, ...]:
        """Every staying node but the primary."""
        return tuple(node for node in self.staying if node.id != self.primary)

    @property
    def departing(self) -> tuple[Node, ...]:
        """The nodes that are on their way out. Until they have ended, they may still replicate."""
        return tuple(node for node in self.nodes if node.leaving)

    @property
    def dispensable(self) -> tuple[Node, ...]:
        """The replicas that may leave: not one that is about to be primary, as heir, or because a replica stands in for it."""
        heir = self.handover.heir if self.handover else None
        return tuple(node for node in self.replicas if node.id not in (self.home, heir))

    def with_node(self, changed: Node) -> Self:
        """The same group with the node of that id replaced."""
        return replace(self, nodes=tuple(changed if node.id == changed.id else node for node in self.nodes))


@dataclass(frozen=True, slots=True)
class Remake:
    """What the nodes of a topology shall be made of, and its cluster mode if that changes.

    Where the family changes, or what engines speak, a parameter group for that goes with it.
    """

    make: Make
    parameter_group: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    cluster_mode: ClusterMode | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """The nodes of a topology are made anew, one after another. ``former`` is what they were, and are again should it not work.

    ``fits`` once no primary holds more than the new nodes can. ``trial`` is the first that is made anew, since its boot ``trial_boot``:
    until it is ``proven``, which is when it does its duty, no other is touched. ``given_up`` when that one could not be had, and
    everything becomes what it was.
    """

    former: Remake
    fits: bool = False
    proven: bool = False
    trial: str | None = None
    trial_boot: int = 0
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """The aggregate that operations change and the planner works on; stored and versioned as a whole.

    ``uid`` tells it from an earlier one of the same name. ``version`` is the stored version this value was read at.
    ``announced_at`` is when everything first worked (it is then no longer ``creating``); ``modifying`` is set by a change
    and cleared once the engines were seen to match. ``retained`` is the node that outlives the group's deletion.
    ``configuration_holder`` is the node of a group in cluster mode which the configuration endpoint was published to. ``elections`` are
    the newest, oldest first.
    ``parameters`` are the values of its parameter group that differ from the family's defaults, by name. ``resharding`` is set while slots
    move from one of its node groups to another. ``leftovers`` are what nodes that moved may have left with agents not heard of since.
    ``discovery`` is a Memcached cluster's; ``pending`` waits for its maintenance window, and ``grown_from`` is the number of nodes it
    had before those that are being added. ``replicas_from`` is the number of replicas that a group had before it is being changed.
    ``backup`` is the snapshot that is being taken of it, ``automated_at`` when the last automatic one began, ``manual_backups`` those of
    the last 24 hours that callers asked for, whatever became of them, and ``seed`` what its nodes shall begin with until it is announced.
    ``access`` is who may do what on its engines, as ``guard`` says, ``transit`` how they are encrypted, with what ``certified`` says.
    ``remake`` waits for the window as well; ``renewal`` goes on. ``reader_agent`` is the agent whose relay serves the reader endpoint, or
    the configuration endpoint of Memcached. With named ``endpoints`` there are no addresses but those of the nodes, and no relay.
    """

    uid: str
    kind: Kind
    world: World
    name: str
    engine: str
    engine_version: str
    node_type: str
    port: int
    parameter_group: str
    subnet_group: str | None
    node_groups: tuple[NodeGroup, ...]
    requested_at: datetime
    cluster_mode: ClusterMode = ClusterMode.DISABLED
    endpoints: Endpoints = Endpoints.BOUND
    settings: Settings = field(default_factory=Settings)
    primary_address: str | None = None
    reader_address: str | None = None
    reader_agent: str | None = None
    reader_backends: tuple[str, ...] = ()
    configuration_address: str | None = None
    configuration_holder: str | None = None
    discovery: Discovery | None = None
    pending: Resizing | None = None
    remake: Remake | None = None
    renewal: Renewal | None = None
    grown_from: int | None = None
    replicas_from: int | None = None
    elections: tuple[Election, ...] = ()
    announced_at: datetime | None = None
    modifying: bool = False
    deleting: bool = False
    retained: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    resharding: Resharding | None = None
    backup: Backup | None = None
    automated_at: datetime | None = None
    manual_backups: tuple[ManualBackup, ...] = ()
    seed: Seed | None = None
    access: Access | None = None
    guard: Guard = field(default_factory=Guard)
    transit: TransitMode | None = None
    certified: Issued | None = None
    version: int = 0

    @property
    def nodes(self) -> Iterator[Node]:
        """Every node of every node group, in order."""
        return (node for group in self.node_groups for node in group.nodes)

    @property
    def members(self) -> Iterator[Node]:
        """Every node that callers know of, in order."""
        return (node for node in self.nodes if not node.temporary)

    @property
    def make(self) -> Make:
        """What its nodes shall be made of."""
        return Make(self.engine, self.engine_version, self.node_type, self.has_bus, transit=self.transit)

    @property
    def speaks_tls(self) -> bool:
        """Whether any of its nodes does, or will: also while they are being made anew without."""
        return self.transit is not None or any(node.make is not None and node.make.transit is not None for node in self.nodes)

    @property
    def shown(self) -> Make:
        """What it is to its callers: what it was, until all of it is something else."""
        return self.renewal.former.make if self.renewal else self.make

    @property
    def shown_mode(self) -> ClusterMode:
        """Its cluster mode to its callers."""
        return (self.renewal.former.cluster_mode if self.renewal else None) or self.cluster_mode

    @property
    def parameter_groups(self) -> frozenset[str]:
        """Its parameter group, and the one that it had, or will have with what is pending."""
        remakes = (self.remake, self.renewal.former if self.renewal else None)
        return frozenset({self.parameter_group, *(remake.parameter_group for remake in remakes if remake and remake.parameter_group)})

    def make_of(self, node: Node) -> Make:
        """What a node is made of, or will be with its next boot."""
        return node.make or self.make

    def is_clustered(self, node: Node) -> bool:
        """Whether the node's engine is in cluster mode, or will be with its next boot."""
        return self.has_bus if node.make is None else node.make.clustered

    def is_old(self, node: Node) -> bool:
        """Whether a node is still to be made anew."""
        return node.make is not None and node.make != self.make

    @property
    def is_going(self) -> bool:
        """Whether it is deleted, or will be as soon as its final snapshot is taken."""
        return self.deleting or (self.backup is not None and self.backup.cause is Cause.FINAL)

    @property
    def is_memcached(self) -> bool:
        """Whether its nodes share nothing and replicate nothing."""
        return self.engine == "memcached"

    @property
    def has_bus(self) -> bool:
        """Whether its engines are in cluster mode and meet on a cluster bus."""
        return self.cluster_mode is not ClusterMode.DISABLED

    @property
    def has_endpoints(self) -> bool:
        """Whether it has a primary and a reader endpoint besides the addresses of its nodes."""
        return self.kind is Kind.REPLICATION_GROUP and self.cluster_mode is not ClusterMode.ENABLED

    @property
    def has_too_many_addresses(self) -> bool:
        """Whether it still has an address of an endpoint that it shall have no more."""
        return (self.primary_address is not None and not self.has_endpoints) or (
            self.configuration_address is not None and not self.has_configuration_endpoint
        )

    @property
    def has_configuration_endpoint(self) -> bool:
        """Whether it has an endpoint that any of its nodes may answer at."""
        return self.has_bus or self.is_memcached

    @property
    def is_named(self) -> bool:
        """Whether its endpoints are names of its nodes, which nobody binds."""
        return self.endpoints is Endpoints.NAMED

    @property
    def is_spread(self) -> bool:
        """Whether one of its endpoints is spread over nodes by an agent's relay."""
        return not self.is_named and (self.has_endpoints or self.is_memcached)

    @property
    def is_addressed(self) -> bool:
        """Whether it has every address that it needs besides those of its nodes."""
        primary = self.can_publish or not self.has_endpoints
        return primary and (self.is_named or self.configuration_address is not None or not self.has_configuration_endpoint)

    @property
    def can_publish(self) -> bool:
        """Whether its primary and its reader endpoint can lead somewhere: it has them, and their addresses if they need any."""
        return self.has_endpoints and (self.is_named or self.primary_address is not None)

    @property
    def number_of_replicas(self) -> int:
        """How many replicas it shall have in all."""
        return sum(len(group.replicas) for group in self.node_groups)

    def shall_end(self, node: Node) -> bool:
        """Whether a node shall run no more: it is leaving, and no clients have to be led away from it before it ends."""
        leads_away = (self.is_memcached or self.has_endpoints) and not self.deleting
        return node.leaving and (node.stopping or not leads_away)

    def key(self, node: Node | Leftover | str) -> str:
        """A node's key towards agents: unique over time and safe as a file name. Where only its id is said, it is looked up."""
        found = self.node(node) if isinstance(node, str) else node
        if found is None:
            return f"{self.uid}.{node}"
        name = found.node if isinstance(found, Leftover) else found.id
        return f"{self.uid}.{name}.{found.born}" if found.born else f"{self.uid}.{name}"

    def node_of(self, key: str) -> Node | None:
        """The node that has this key towards agents."""
        return next((node for node in self.nodes if key.startswith(f"{self.uid}.{node.id}") and self.key(node) == key), None)

    @property
    def route_key(self) -> str:
        """The key towards agents of the route that a relay serves: the reader endpoint's, or a Memcached cluster's configuration."""
        return f"{self.uid}.configuration" if self.is_memcached else f"{self.uid}.reader"

    @property
    def route_address(self) -> str | None:
        """Where that route listens, once it has an address."""
        return self.configuration_address if self.is_memcached else self.reader_address

    def node(self, node_id: str) -> Node | None:
        """The node of that id, if it is one of ours."""
        return next((node for node in self.nodes if node.id == node_id), None)

    def group_of(self, node_id: str) -> NodeGroup:
        """The node group that holds the node. Raises KeyError where none does."""
        for group in self.node_groups:
            if group.node(node_id):
                return group
        raise KeyError(node_id)

    def with_landed(self, source: str, target: str, slots: Slots, now: datetime) -> Self:
        """The same topology, in which those slots of a move have arrived and are owned by its target."""
        if self.resharding is None:
            return self
        moves: list[SlotMove] = []
        changed = self
        for move in self.resharding.moves:
            if (move.source, move.target) != (source, target):
                moves.append(move)
                continue
            arrived = among(slots, move.under_way)
            after = replace(move, landed=merged([*move.landed, *arrived]))
            changed = changed._with_slots_moved(move.source, move.target, arrived, now)
            if after.under_way:
                moves.append(after)
        return replace(changed, resharding=replace(self.resharding, moves=tuple(moves)) if moves else None)

    def _with_slots_moved(self, source: str, target: str, slots: Slots, now: datetime) -> Self:
        groups = []
        for group in self.node_groups:
            if group.id == source:
                left = without(group.slots, slots)
                group = replace(group, slots=left, emptied_at=now if not left and group.slots else group.emptied_at)
            elif group.id == target:
                group = replace(group, slots=merged([*group.slots, *slots]))
            groups.append(group)
        return replace(self, node_groups=tuple(groups))

    def without_leftover(self, gone: Leftover) -> Self:
        """The same topology, of which nothing is left there any more."""
        return replace(self, leftovers=tuple(leftover for leftover in self.leftovers if leftover != gone))

    def with_group(self, changed: NodeGroup) -> Self:
        """The same topology with the node group of that id replaced."""
        return replace(self, node_groups=tuple(changed if group.id == changed.id else group for group in self.node_groups))

    def with_node(self, changed: Node) -> Self:
        """The same topology with the node of that id replaced."""
        return self.with_group(self.group_of(changed.id).with_node(changed))

    def with_reboot_of(self, node_ids: Collection[str]) -> Self:
        """Each named node shall be started once more, emptied, as its caller asked."""
        changed = self
        for node in self.nodes:
            if node.id in node_ids:
                changed = changed.with_node(replace(node, boot=node.boot + 1, restart=Restart.ASKED))
        return changed

    def with_departure_of(self, node_ids: Collection[str], at: datetime | None = None) -> Self:
        """Each named node is on its way out, since that moment. How long clients are led away from it is counted from there.

        Automatic snapshots are no longer taken from it.
        """
        changed = self
        if self.settings.snapshotting_cluster in node_ids:
            changed = replace(self, settings=replace(self.settings, snapshotting_cluster=None))
        for node in self.nodes:
            if node.id in node_ids:
                changed = changed.with_node(replace(node, leaving=True, left_at=at))
        return changed

    def resized(self, change: Resizing) -> Self:
        """A Memcached cluster to which nodes are being added, and which others are leaving. Nothing is pending any more."""
        changed = self.with_departure_of(change.removed)
        (group,) = changed.node_groups
        added = tuple(Node(node_id, zone, born=self.version) for node_id, zone in change.added)
        grown_from = len(self.node_groups[0].staying) if added else self.grown_from
        changed = changed.with_group(replace(group, nodes=(*group.nodes, *added)))
        return replace(changed, pending=None, grown_from=grown_from, modifying=True)

    def with_deletion(self, retained: str | None = None) -> Self:
        """All nodes are on their way out, but the one that is retained."""
        leaving = [node.id for node in self.nodes if node.id != retained]
        groups = tuple(replace(group, home=None, handover=None, rebuild=None) for group in self.with_departure_of(leaving).node_groups)
        return replace(self, node_groups=groups, deleting=True, retained=retained, resharding=None, backup=None)
