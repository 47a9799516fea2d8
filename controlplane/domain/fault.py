"""An injected fault: what a caller does to nodes, to a zone or to the link between two zones, for a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from api_schemas.fault_kind import BY_FILTER, FaultKind
from controlplane.domain.topology import World

TIME_IS_UP, CANCELLED, DONE = "its time is up", "it was ended by its caller", "it is done"


@dataclass(frozen=True, slots=True)
class Target:
    """What the caller named."""

    cache_cluster: str | None = None
    cache_node: str | None = None
    replication_group: str | None = None
    zone: str | None = None
    zones: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.cache_cluster is not None:
            node = f" node {self.cache_node}" if self.cache_node else ""
            return f"cache cluster {self.cache_cluster}{node}"
        if self.replication_group is not None:
            return f"replication group {self.replication_group}" + (f" in {self.zone}" if self.zone else "")
        return f"zone {self.zone}" if self.zone else f"the link between {' and '.join(self.zones)}"


@dataclass(frozen=True, slots=True)
class StruckNode:
    """A node of the caller's that a fault is done to: its name, its key towards agents, its agent, and its boot at that time."""

    name: str
    key: str
    agent: str
    boot: int


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault from its beginning until some time after its end; it is active while ``ended_at`` is None.

    The world that asked for it owns it. What is done to a zone is done to the zone's letter, for every world. ``sources`` are the
    resources that its events are about, each with its type. ``problems`` say what could not be done.
    """

    id: str
    world: World
    kind: FaultKind
    target: Target
    started_at: datetime
    ends_at: datetime
    nodes: tuple[StruckNode, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    slowness: float = 0.0
    problems: tuple[str, ...] = ()
    ended_at: datetime | None = None
    ended_because: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended yet."""
        return self.ended_at is None

    @property
    def is_momentary(self) -> bool:
        """Whether it is over as soon as it was done: nothing of it lasts."""
        return self.kind is FaultKind.CRASH

    @property
    def letters(self) -> frozenset[str]:
        """The letters of the zones that it is done to as a whole; none where single nodes are meant."""
        if self.nodes_only:
            return frozenset()
        zones = self.target.zones or ((self.target.zone,) if self.target.zone else ())
        return frozenset(zone[-1:] for zone in zones)

    @property
    def nodes_only(self) -> bool:
        """Whether it is done to nodes that the caller named and to nothing else."""
        return self.target.cache_cluster is not None or self.target.replication_group is not None

    def concerns(self, agent: str, letter: str) -> bool:
        """Whether the agent of that name, in the zone of that letter, has to do something about it."""
        return letter in self.letters or any(node.agent == agent for node in self.nodes if self.nodes_only)

    def parts(self, letter: str, other: str) -> bool:
        """Whether no packet passes between the zones of the two letters."""
        if self.kind not in BY_FILTER or letter == other:
            return False
        within = {letter, other} & self.letters
        return bool(within) if self.kind is FaultKind.ISOLATION else len(within) == 2

    def ended(self, at: datetime, because: str) -> Self:
        """The same fault, over."""
        return replace(self, ended_at=at, ended_because=because) if self.is_active else self

    def with_problem(self, problem: str) -> Self:
        """The same fault, of which this could not be done."""
        return self if problem in self.problems else replace(self, problems=(*self.problems, problem))


def beginning(fault: InjectedFault) -> str:
    """What its events say when it begins."""
    lasts = "" if fault.is_momentary else f" for {(fault.ends_at - fault.started_at).total_seconds():.0f} seconds"
    return f"Fault {fault.id} ({fault.kind.value}) injected into {fault.target}{lasts}"


def end(fault: InjectedFault) -> str:
    """What they say when it is over."""
    return f"Fault {fault.id} ({fault.kind.value}) ended: {fault.ended_because}"


def lacking(kind: FaultKind, able: Collection[str]) -> str:
    """What to say where a host that is able to do these kinds cannot do that one."""
    needs = "it needs the right to filter packets (root, and nft or iptables)" if kind in BY_FILTER else "its agent does not know it"
    works = ", ".join(sorted(able)) or "none"
    return f"{needs}. Kinds that work there: {works}."
