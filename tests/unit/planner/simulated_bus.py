"""The cluster bus of a simulated fleet: what each engine believes of the others, and what becomes of that when one hears another.

As on the real one, a claim of slots wins over another by its epoch, what an engine says of itself is believed at once, and everything
takes its time to come round: an engine hears a few others a step. A takeover alone is told to everybody alive.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api_schemas.agent.node import Mesh, MeshMember, Role
from controlplane.domain.reported import RUNNING

if TYPE_CHECKING:
    from simulation import Engine

STAND_IN = "stand-in"
"""Whom an engine follows that has just started; only itself knows that one."""

HEARD_A_STEP = 2


@dataclass
class Belief:
    """The bus as one engine sees it: whom each node follows, and who owns each range of slots, since which epoch."""

    me: str
    epoch: int
    follows: dict[str, str | None] = field(default_factory=dict)
    owners: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    in_role: bool = False
    """Whether it has ever had the role that was desired of it."""
    obeyed: str | None = ""
    """Whom the engine followed when it last looked at this."""
    stand_in_at: str = "127.0.0.1:7"
    """Where its stand-in is: nowhere, but where the primary is not on the bus."""

    @classmethod
    def at_start(cls, mesh: Mesh) -> Belief:
        """What the file says that an engine starts with: all as desired, but that it is the replica of its stand-in."""
        place = next(place for place, member in enumerate(mesh.members) if member.id == mesh.me)
        follows = {member.id: member.follows for member in mesh.members}
        owners = {m.slots: (STAND_IN if m.id == mesh.me else m.id, 1) for m in mesh.members if m.slots}
        belief = cls(mesh.me, mesh.epoch + place, {**follows, mesh.me: STAND_IN}, owners)
        if (outside := mesh.outside) is not None:
            belief.owners[outside.slots] = (STAND_IN, 1)
            belief.follows |= {member.id: STAND_IN for member in mesh.members if member.follows == outside.id}
            belief.stand_in_at = f"{outside.address}:{outside.port}"
        return belief

    @property
    def owned(self) -> list[str]:
        """The ranges that this engine sees itself own."""
        return [slots for slots, (owner, _) in self.owners.items() if owner == self.me]

    def claim(self, slots: str) -> None:
        """Own the slots, at an epoch above every one it has heard of, and follow nobody."""
        self.epoch += 1
        self.follows[self.me] = None
        self.owners[slots] = (self.me, self.epoch)

    def hear(self, other: Belief) -> list[str]:
        """Take in what another says of itself. Answers the slots that nobody is seen to own any more because of it."""
        self.epoch = max(self.epoch, other.epoch)
        self.follows[other.me] = other.follows[other.me]
        orphaned = []
        for slots, (owner, epoch) in list(self.owners.items()):
            if owner == other.me and other.follows[other.me] is not None:
                self.owners[slots] = (None, epoch)
                orphaned.append(slots)
        for slots in other.owned:
            self._weigh(slots, other)
        return [slots for slots in orphaned if self.owners[slots][0] is None]

    def _weigh(self, slots: str, other: Belief) -> None:
        """A claim of nobody's slots is believed, and one of a higher epoch than the present owner's; who makes a lower one is told."""
        owner, epoch = self.owners.get(slots, (None, 0))
        claimed = other.owners[slots][1]
        if owner == other.me:
            self.owners[slots] = (owner, max(epoch, claimed))
        elif owner is None or claimed > epoch:
            self._take_in(slots, other.me, claimed)
        elif claimed < epoch and owner != STAND_IN:
            other._take_in(slots, owner, epoch)

    def _take_in(self, slots: str, owner: str, epoch: int) -> None:
        """A primary that loses its slots to another follows that one."""
        loses = self.owners.get(slots, (None, 0))[0] == self.me != owner
        self.owners[slots] = (owner, epoch)
        if loses and not self.owned:
            self.follows[self.me] = owner

    def is_as_desired(self, mesh: Mesh, connected: set[str]) -> bool:
        """Whether it sees exactly the members of the mesh, all connected, each in its role, with the slots of each primary."""
        if {member.id for member in mesh.members} != set(self.follows) or not connected >= set(self.follows):
            return False
        return all(not self.differs_in(member) for member in mesh.members)

    def differs_in(self, member: MeshMember) -> bool:
        """Whether it sees the member otherwise than desired."""
        owns_other = member.slots and self.owners.get(member.slots, (None, 0))[0] != member.id
        return bool(member.id not in self.follows or self.follows[member.id] != member.follows or owns_other)

    def forget_strangers(self, mesh: Mesh) -> None:
        """Those that are in the mesh no more."""
        wanted = {member.id for member in mesh.members}
        self.follows = {node: leader for node, leader in self.follows.items() if node in wanted}


class Bus:
    """All engines of a fleet that are in cluster mode."""

    def __init__(self, engines: dict[str, Engine], chance: random.Random) -> None:
        self._engines = engines
        self._random = chance
        self.orphaned: list[str] = []
        """Each time that a former primary made others see its slots owned by nobody before they had heard of its heir."""

    def assume(self, engine: Engine) -> bool:
        """One visit: bring the engine's role and slots towards its spec, hear a few others; answers whether it has its role."""
        belief, mesh, spec = engine.belief, engine.spec.mesh, engine.spec
        assert belief is not None
        assert mesh is not None
        me = next(member for member in mesh.members if member.id == mesh.me)
        belief.forget_strangers(mesh)
        if spec.role is Role.PRIMARY:
            if belief.follows[belief.me] is not None or belief.owners.get(me.slots, (None, 0))[0] != belief.me:
                belief.claim(me.slots)
                self._tell_everybody(engine)
        elif not belief.owned and self._answers(me.follows) and belief.follows.get(me.follows or "", STAND_IN) is None:
            belief.follows[belief.me] = me.follows  # refused until it has heard that that one is a primary
        self._gossip(engine, mesh)
        if (outside := mesh.outside) is not None and me.follows == outside.id:
            return belief.follows[belief.me] == STAND_IN and belief.stand_in_at == f"{outside.address}:{outside.port}"
        has_role = belief.follows[belief.me] == me.follows
        belief.in_role = belief.in_role or has_role
        return has_role

    def hear_leader(self, engine: Engine, leader: Engine) -> None:
        """A replica hears its primary at least as often as it copies from it."""
        self._hear(engine, leader)

    def agreement(self, engine: Engine) -> str | None:
        """The digest of the engine's mesh, if that is what it sees."""
        belief, mesh = engine.belief, engine.spec.mesh
        if belief is None or mesh is None:
            return None
        connected = {other.belief.me for other in self._alive() if other.belief is not None}
        return mesh.digest if belief.is_as_desired(mesh, connected) else None

    def owners_of(self, slots: str) -> list[Engine]:
        """Who would take a write to these slots: each running engine that sees itself own them."""
        return [engine for engine in self._alive() if engine.phase == RUNNING and engine.belief and slots in engine.belief.owned]

    def _gossip(self, engine: Engine, mesh: Mesh) -> None:
        others = [other for other in self._alive() if other is not engine]
        belief = engine.belief
        assert belief is not None
        stale = {member.id for member in mesh.members if belief.differs_in(member)}
        for other in self._random.sample(others, min(HEARD_A_STEP, len(others))):
            self._hear(engine, other)
        for other in others:
            if other.belief is not None and other.belief.me in stale and self._random.random() < 0.5:
                self._hear(engine, other)  # it was introduced anew

    def _tell_everybody(self, engine: Engine) -> None:
        for other in self._alive():
            if other is not engine:
                self._hear(other, engine)

    def _hear(self, engine: Engine, other: Engine) -> None:
        if engine.belief is None or other.belief is None or engine.spec.mesh is None:
            return
        if other.belief.me not in engine.belief.follows and other.belief.me not in {member.id for member in engine.spec.mesh.members}:
            return
        orphaned = engine.belief.hear(other.belief)
        if other.spec.role is Role.REPLICA and engine.belief.in_role:
            self.orphaned += orphaned

    def _answers(self, node: str | None) -> bool:
        return any(engine.belief and engine.belief.me == node and engine.phase == RUNNING for engine in self._alive())

    def _alive(self) -> Iterator[Engine]:
        return (engine for engine in self._engines.values() if engine.alive and engine.boot > 0)
