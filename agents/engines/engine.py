"""The engine protocol: what we say to an engine. An engine knows nothing of where its process lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agents.engines.cluster_bus import BusView
from agents.launch import Launch
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec, Peer, Role
from api_schemas.container_memory import container_memory


class EngineUnreachableError(Exception):
    """The engine did not answer, or answered with an error; the text says what."""


class AccessRefusedError(EngineUnreachableError):
    """The engine answers, but does not let us in."""


class AddressHeldError(Exception):
    """An endpoint address could not be bound: somebody else holds it. The session is as good as before."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What an engine says of itself. ``online`` are the ``address:port`` of replicas that stream from it; ``bus`` is for cluster mode.

    ``discovery`` is the version of the list of nodes that it keeps for its clients, 0 for none. ``refuses`` says that it takes no writes
    because too few replicas acknowledge. ``used_memory`` is in bytes; ``databases`` is how many there are up to the last that has keys.
    """

    role: Role
    run_id: str = ""
    follows: str | None = None
    link_up: bool = False
    offset: int = 0
    online: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    bus: BusView | None = None
    discovery: int = 0
    refuses: bool = False
    used_memory: int = 0
    databases: int = 0


@dataclass(frozen=True, slots=True)
class Configured:
    """What an engine runs with from now on, and, in a sentence, what it refused to take."""

    runs_with: Configuration
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Enforced:
    """The digest of the users that an engine has from now on, "" where it has others, and, in a sentence, what it refused."""

    digest: str = ""
    refused: str | None = None


class Session(Protocol):
    """A connection to one running engine. Every call raises EngineUnreachableError when the engine does not answer."""

    def observe(self) -> Observation:
        """What the engine is at this moment."""

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """Bring the engine's role towards its spec; answers whether it matches already. Call again until it does."""

    def is_deposed(self, spec: NodeSpec, seen: Observation) -> bool:
        """Whether the engine has heard of another node that does what this one, by its spec, shall do as a primary."""

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        """Bind exactly the endpoint addresses of the spec besides the node's own; clients of an address let go are closed.

        Raises AddressHeldError, with the node's own address still served, when another process holds one of them.
        """

    def send_away(self) -> None:
        """Close every client but replicas and ourselves: what they were led here for is elsewhere."""

    def prove(self, spec: NodeSpec, streaming: int, patience: float) -> frozenset[str]:
        """The keys of the spec's replicas that acknowledge a write of ours within ``patience`` seconds.

        ``streaming`` is how many are online: waiting for more would only pass the time.
        """

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        """In what the engine's view of the cluster bus differs from the spec's mesh; None when in nothing, or without cluster mode."""

    def arrived(self, spec: NodeSpec, seen: Observation) -> str:
        """The slots under way, from or to this primary, that the engine has seen with their target; "" without cluster mode."""

    def demand(self, acknowledgements: int, lag: int) -> None:
        """Take writes only while so many replicas have acknowledged something within the last ``lag`` seconds; 0 is no such demand."""

    def yield_to(self, spec: NodeSpec, heir: Peer) -> bool:
        """Keep writers waiting until ``go_on``; answers whether the heir has every write that was taken. Call again until it has."""

    def go_on(self) -> None:
        """Take writes again."""

    def glance(self, former: Observation) -> Observation:
        """What of the former observation may change unasked, looked at anew; cheaper than to observe."""

    def certify(self, spec: NodeSpec) -> None:
        """Serve from now on the certificate that lies in the node's folder; connections that are open keep theirs."""

    def configure(self, spec: NodeSpec, runs_with: Configuration) -> Configured:
        """Have the running engine take what differs from the spec, as far as it can without a start."""

    def enforce(self, spec: NodeSpec) -> Enforced:
        """Have the running engine know exactly the users of the spec. Who is connected stays so, but for users that are removed."""

    def nudge(self, spec: NodeSpec, keys: frozenset[str]) -> None:
        """Have these replicas link anew, where that costs next to nothing, because their stream has not begun."""

    def relink(self, spec: NodeSpec) -> None:
        """Have a replica without data try to link to its primary at once, if it waits for its next try."""

    def save(self) -> None:
        """Write the data to disk and end the process."""

    def close(self) -> None:
        """Close the connection; the engine goes on."""


def launch_of(spec: NodeSpec, argv: tuple[str, ...], folder: Path) -> Launch:
    """That program for the spec's node, with what its node type lets it use."""
    memory = container_memory(spec.binary.engine, spec.memory)
    return Launch(spec.key, spec.boot, argv, folder, folder / "launch.log", spec.binary.image, memory, spec.threads)


def last_words(log: Path) -> str | None:
    """The last two lines of a log, None if there is none. What is no file of its own is none: an engine could have laid a link."""
    if log.is_symlink() or not log.is_file():
        return None
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-2:])[-300:] or None


class Engine(Protocol):
    """How an engine is started and talked to."""

    keeps_data: bool
    """Whether its data can be saved, and loaded by a later start."""

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        """The process that serves this spec, its configuration written to ``folder``."""

    def starts_with(self, spec: NodeSpec) -> Configuration:
        """What the engine runs with once it was started for this spec."""

    def is_ready(self, spec: NodeSpec) -> bool:
        """Whether the engine answers at its own address; False while it loads."""

    def is_loading(self, spec: NodeSpec) -> bool:
        """Whether the engine answers that it still loads its data."""

    def open(self, spec: NodeSpec) -> Session:
        """A session with the running engine."""

    def why_it_ended(self, folder: Path) -> str | None:
        """The last thing the engine said, for people; None if it wrote nothing to its folder."""

    def wipe(self, folder: Path) -> None:
        """Remove the data of an earlier boot from the folder."""
