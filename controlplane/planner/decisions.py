"""Everything that can be decided. Each decision is a value that says why; :mod:`controlplane.planner.outcome` says what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.domain.backup import SavedFile
from controlplane.domain.elections import Candidate
from controlplane.domain.slots import Slots
from controlplane.domain.topology import Binary


@dataclass(frozen=True, slots=True)
class PlaceNode:
    """Give a node an agent, a program and an address of its own."""

    node: str
    agent: str
    binary: Binary
    because: str


@dataclass(frozen=True, slots=True)
class MoveNode:
    """Have a node live on another host from now on, started there emptied; the former one shall keep nothing of it."""

    node: str
    agent: str
    binary: Binary
    because: str


@dataclass(frozen=True, slots=True)
class AskHandover:
    """Have the primary of a node group replaced by this replica as if a caller had asked for it."""

    group: str
    node: str
    heir: str
    because: str


@dataclass(frozen=True, slots=True)
class WithdrawNode:
    """Lead no more readers to a node, for it is about to be made anew."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class RenewNode:
    """Start a node once more, emptied, as what its topology desires: with this program, with its agent or another."""

    node: str
    boot: int
    agent: str
    binary: Binary
    because: str


@dataclass(frozen=True, slots=True)
class BringSpare:
    """Have one more node in a node group of one or two while they are made anew: it can lead, and has what the primary has."""

    group: str
    because: str


@dataclass(frozen=True, slots=True)
class DismissSpare:
    """Have a node that stood in leave."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class NoteFit:
    """Remember that the new nodes can hold what the present ones do."""

    because: str


@dataclass(frozen=True, slots=True)
class NoteProof:
    """Remember that a node does its duty as what is desired now."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class GiveUpRenewal:
    """Desire again what the nodes of the topology were before."""

    because: str


@dataclass(frozen=True, slots=True)
class IssueCertificate:
    """Have the engines prove with another certificate, for these names and addresses, who they are."""

    names: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class GiveEndpoints:
    """Give the topology the stable addresses it lacks, and the agent whose relay serves the one that is spread, if any is."""

    reader_agent: str | None
    because: str


@dataclass(frozen=True, slots=True)
class GiveBackAddresses:
    """Forget the addresses of the endpoints that the topology shall have no more."""

    because: str


@dataclass(frozen=True, slots=True)
class BootNode:
    """Start a node once more, emptied."""

    node: str
    boot: int
    because: str


@dataclass(frozen=True, slots=True)
class CallRoll:
    """Have every node of a node group tell its state anew, after the loss (a node and its boot) that is named."""

    group: str
    loss: str
    because: str


@dataclass(frozen=True, slots=True)
class ElectPrimary:
    """Make another node the primary of its node group at a higher epoch. The endpoint follows it: the engine binds it in its role only.

    ``home`` names the node it only stands in for, if any: the endpoint then stays closed until that one is primary again.
    ``candidates`` are those it was chosen from, the best first.
    """

    group: str
    node: str
    epoch: int
    home: str | None
    because: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class ChooseHeir:
    """Have the primary, whom a caller wants replaced, make this replica ready to take over."""

    group: str
    node: str
    because: str


@dataclass(frozen=True, slots=True)
class DropHandover:
    """Leave the primary as it is, although a caller wanted another: it cannot be done."""

    group: str
    because: str


@dataclass(frozen=True, slots=True)
class RebuildFormer:
    """Start a former primary once more, emptied, for its failover was only tested."""

    group: str
    node: str
    boot: int
    because: str


@dataclass(frozen=True, slots=True)
class PublishPrimary:
    """Lead the primary endpoint to the node that reports the role at the present epoch."""

    group: str
    node: str
    because: str


@dataclass(frozen=True, slots=True)
class PublishConfiguration:
    """Lead the configuration endpoint of a group in cluster mode to a node that can answer there."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class SpreadReaders:
    """Spread the reader endpoint over these backends, ``address:port`` each."""

    backends: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class PublishDiscovery:
    """Name these nodes to clients that discover, from now on."""

    nodes: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class StopNode:
    """End a leaving node that no client is led to any more."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class ApplyPending:
    """Do now what a caller put off to the maintenance window."""

    because: str


@dataclass(frozen=True, slots=True)
class WelcomeNode:
    """Count a node as joined: for the first time it does all that is desired of it."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class CloseRestart:
    """A node that was started again does its duty again."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class NoteOutOfMemory:
    """Say, once for each boot, that a node's process was ended because it needed more memory than it may have."""

    node: str
    boot: int
    because: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Everything works for the first time: the topology is no longer being created."""

    because: str


@dataclass(frozen=True, slots=True)
class CloseModification:
    """The engines were seen to match what a caller changed."""

    because: str


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """Forget a node that was on its way out and has left nothing behind."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class Bury:
    """Forget the whole topology: none of it runs any more."""

    because: str


@dataclass(frozen=True, slots=True)
class Release:
    """The group is gone; its retained node lives on as a cache cluster of its own."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class LandSlots:
    """Slots have arrived at the node group they were to go to, which owns them from now on."""

    source: str
    target: str
    slots: Slots
    because: str


@dataclass(frozen=True, slots=True)
class BeginResharding:
    """Have slots move: what the node groups that stay will hold fits into them."""

    because: str


@dataclass(frozen=True, slots=True)
class DropResharding:
    """Leave all slots where they are: those that stay could not hold what they would get."""

    because: str


@dataclass(frozen=True, slots=True)
class DismissGroup:
    """A node group that was to leave owns nothing any more: its nodes go."""

    group: str
    because: str


@dataclass(frozen=True, slots=True)
class BeginBackup:
    """Take an automatic snapshot of that name, from this member where one cache cluster of several is saved."""

    name: str
    member: str | None
    because: str


@dataclass(frozen=True, slots=True)
class SaveFrom:
    """Have this node write its node group's data to the archive; ``failed`` are those that tried in vain."""

    group: str
    node: str
    attempt: int
    failed: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class AwaitSaver:
    """Have nobody save this node group for now: who did is lost, and no other is fit. ``failed`` are those that tried in vain."""

    group: str
    failed: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class KeepFile:
    """The data of a node group is in the archive, as that file."""

    group: str
    file: SavedFile
    because: str


@dataclass(frozen=True, slots=True)
class CloseBackup:
    """Every node group's data is in the archive. What was to be deleted then goes now."""

    because: str


@dataclass(frozen=True, slots=True)
class GiveUpBackup:
    """Take no snapshot any more, and delete nothing that was to be deleted after it; ``problem`` says why."""

    problem: str
    because: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nothing can be decided before that time; plan again then."""

    at: datetime
    because: str


Decision = (
    PlaceNode
    | MoveNode
    | AskHandover
    | WithdrawNode
    | RenewNode
    | BringSpare
    | DismissSpare
    | NoteFit
    | NoteProof
    | GiveUpRenewal
    | IssueCertificate
    | GiveEndpoints
    | GiveBackAddresses
    | BootNode
    | CallRoll
    | ElectPrimary
    | ChooseHeir
    | DropHandover
    | RebuildFormer
    | PublishPrimary
    | PublishConfiguration
    | SpreadReaders
    | PublishDiscovery
    | StopNode
    | ApplyPending
    | WelcomeNode
    | CloseRestart
    | NoteOutOfMemory
    | Announce
    | CloseModification
    | RemoveNode
    | Bury
    | Release
    | BeginResharding
    | DropResharding
    | LandSlots
    | DismissGroup
    | BeginBackup
    | SaveFrom
    | AwaitSaver
    | KeepFile
    | CloseBackup
    | GiveUpBackup
    | LookAgain
)
