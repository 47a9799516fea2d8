"""A node as an agent shall run it (desired, with generation and epoch) and as the agent saw it (reported)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from api_schemas.agent.access import Access
from api_schemas.agent.backup import SaveOrder, SaveState, SeedOrder
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.transit import Transit
from api_schemas.shape import Shape


class Role(StrEnum):
    """What a node is in its node group. Memcached nodes are ``NONE``: none of them replicates another."""

    PRIMARY = "primary"
    REPLICA = "replica"
    NONE = "none"


class Phase(StrEnum):
    """How far a node's present boot has come, as its agent saw it."""

    STARTING = "starting"
    RUNNING = "running"
    DEAD = "dead"        # the process ended without being asked to
    FAILED = "failed"    # it could not be started; ``problem`` says why
    GONE = "gone"        # it was dropped, runs no more and has left nothing behind


class Peer(Shape):
    """Another node of the same node group: where it serves, in which zone, and which boot is meant (a proof ends with the boot).

    ``tls`` says that it speaks TLS there, whether or not to everybody.
    """

    key: str
    address: str
    port: int
    boot: int
    zone: str = ""
    tls: bool = False


class MeshMember(Shape):
    """A node on the cluster bus under its ``id`` there. ``follows`` is its primary's id, None for a primary, which owns ``slots``."""

    id: str
    shard: str
    address: str
    port: int
    follows: str | None = None
    slots: str = ""


class MeshMove(Shape):
    """Slots that go from one shard to another, by the shards' ids. Until all have landed they are not among any member's ``slots``.

    Of those that have not ``landed`` either shard may own each; which one is for their engines to say. They move while this is ``open``,
    with ``atomic`` many at once by the engines themselves. To nodes of other shards nothing is told of what has landed.
    """

    source: str
    target: str
    slots: str
    landed: str = ""
    open: bool = False
    atomic: bool = False


class Mesh(Shape):
    """Everybody who shall be on the cluster bus; ``me`` is the id of the node that the spec is for.

    ``digest`` names this very mesh; ``epoch`` is what a starting engine's own epochs shall at least begin with. ``outside`` is the primary
    of members that replicate from one which is not in cluster mode itself, and so is not on the bus.
    """

    me: str
    epoch: int
    digest: str
    members: list[MeshMember] = Field(default_factory=list)
    moves: list[MeshMove] = Field(default_factory=list)
    outside: MeshMember | None = None


ANY_VERSION = "*"
"""The version of a program of which an agent can have any, by an ``image`` with ``{version}`` in its name."""


class EngineBinary(Shape):
    """A server program an agent can run: ``engine`` is ``valkey``, ``redis`` or ``memcached``; ``version`` as it prints it.

    With an ``image`` it runs in a container, and ``path`` is the program's name inside.
    """

    engine: str
    version: str
    path: str
    tls: bool = False
    image: str | None = None


class NodeSpec(Shape):
    """What one node shall be. An agent keeps the newest generation it was given and makes the engine match.

    ``key`` is unique over time (a node made anew under an old name has another) and safe as a file name.
    ``boot`` counts the starts that were asked for: an agent starts the engine, emptied, when its own count is lower,
    and never starts a dead one by itself. ``epoch`` rises with every election in the node group; a lower one is refused.
    ``was_up`` says that this boot has done its duty before: an agent that knows nothing of it has lost its memory, and must say
    that the node is dead instead of starting it empty. ``roll`` is raised to have every node tell its state anew: a report that
    repeats it was made after the call.
    ``departing`` are replicas that are on their way out: nobody waits for them, but until they have ended they may acknowledge writes.
    ``fenced`` says that somebody may take over from this primary when its agent is out of touch, so that it must then take no write which
    nobody outside its zone acknowledges.
    ``yields_to`` is the replica that a primary shall make ready to take over from it: it stops taking writes until that one has
    all of them, says so, and goes on if nothing comes of it.
    ``holds`` are endpoint addresses the engine binds, at the node's port, besides its own. ``named`` says that a name leads the clients of
    the primary to its own address instead: when it is none any more they are closed, so that they ask for the name anew.
    ``memory`` is the engine's limit in bytes; ``parameters`` are the parameter group's values under the service's names.
    ``mesh`` is set in cluster mode.
    ``saves`` is what a node shall write to an archive, ``seed`` what a primary begins with at each boot while that is said.
    ``trusted`` are the addresses from which a front takes what is not encrypted although it is to be: of the other nodes, on this host.
    ``home`` is the folder of the node's files, which its agent fills in for itself.
    ``access`` is who may do what, None for engines that know no users, or began before there were any; ``transit`` is set where TLS is
    spoken.
    ``discovery`` is what clients of a Memcached cluster are told of its nodes; with ``front``, the agent's relay listens at the node's
    address in the engine's stead, answers ``config get cluster`` with it and passes everything else on.
    """

    key: str
    generation: int
    binary: EngineBinary
    zone: str
    address: str
    port: int
    boot: int = 1
    was_up: bool = False
    role: Role
    epoch: int
    roll: int = 0
    follows: Peer | None = None
    replicas: list[Peer] = Field(default_factory=list)
    departing: list[Peer] = Field(default_factory=list)
    fenced: bool = False
    yields_to: Peer | None = None
    holds: list[str] = Field(default_factory=list)
    named: bool = False
    memory: int
    threads: int = 1
    parameters: dict[str, str] = Field(default_factory=dict)
    mesh: Mesh | None = None
    front: bool = False
    access: Access | None = None
    transit: Transit | None = None
    discovery: DiscoveryList | None = None
    saves: SaveOrder | None = None
    seed: SeedOrder | None = None
    home: str = ""
    trusted: list[str] = Field(default_factory=list)

    @property
    def configuration(self) -> Configuration:
        """The memory limit and the parameter values as one."""
        return Configuration(self.memory, self.parameters)


class NodeReport(Shape):
    """What one node is, as its agent saw it. ``generation`` is that of the newest spec the agent has accepted.

    ``offset`` is the replication offset in bytes when it was last read; ``proven`` holds the keys of the replicas which have acknowledged a
    write of ours to this primary at this epoch; ``follows`` is the ``address:port`` a replica replicates from. ``address_taken`` says that
    a foreign process listens where the engine should: it needs another address. ``agrees`` is the digest of the mesh that this node, in
    cluster mode, sees on the bus just as it shall be, with its state ok; None while it sees another. ``arrived`` are slots under way, from
    or to this primary, that it has seen with their target. ``yielded_to`` is the key of the replica that has every write of this primary,
    which takes no more for now. ``parameters`` is the digest of the configuration that the engine runs with; of what it refused,
    ``problem`` speaks. ``fronted`` says that a front listens there for the engine. ``discovery`` is the version of the list that clients
    are told, 0 for none. ``out_of_memory`` is the last boot that was seen to end for want of memory, 0 if none was. ``used_memory`` are the
    bytes that the engine counts against its limit, ``databases`` is how many databases there are up to the last that has keys. ``saved`` is
    how far it is with what it saves, ``seeded`` the SHA-256 of the file that this boot began with. ``access`` and ``transit`` are
    the digests of what the engine enforces, and of what it, or the front before it, serves TLS with; "" for none.
    """

    key: str
    generation: int
    phase: Phase
    boot: int
    problem: str | None = None
    address_taken: bool = False
    pid: int | None = None
    run_id: str | None = None
    role: Role | None = None
    epoch: int = 0
    roll: int = 0
    follows: str | None = None
    link_up: bool = False
    offset: int = 0
    proven: list[str] = Field(default_factory=list)
    holds: list[str] = Field(default_factory=list)
    agrees: str | None = None
    arrived: str = ""
    yielded_to: str | None = None
    parameters: str = ""
    access: str = ""
    transit: str = ""
    fronted: bool = False
    discovery: int = 0
    out_of_memory: int = 0
    used_memory: int = 0
    databases: int = 0
    saved: SaveState | None = None
    seeded: str = ""
