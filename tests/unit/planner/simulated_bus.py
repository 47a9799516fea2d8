"""The cluster bus of a simulated fleet: what each engine believes of the others, and what becomes of that when one hears another.

As on the real one, a claim of slots wins over another by its epoch, what an engine says of itself is believed at once, and everything
takes its time to come round: an engine hears a few others a step. A takeover alone is told to everybody alive. Slots come in twelve parts,
so that one to four shards share them out evenly; an agent moves a part at a time, and only the two ends know of it at first.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from agents.engines.cluster_moves import ends_to_ask, known_slots, leader_of, members_of, settled_slots, under_way
from agents.engines.slot_ranges import parsed_ranges, ranges_of, set_of, shown_ranges
from agents.slot_mover import orders_in
from api_schemas.agent.node import Mesh, MeshMember, Role
from controlplane.domain.reported import RUNNING
from controlplane.domain.slots import even_slots

if TYPE_CHECKING:
    from simulation import Engine

STAND_IN = "stand-in"
"""Whom an engine follows that has just started; only itself knows that one."""

HEARD_A_STEP = 2

_PARTS = [set_of(((slots[0].first, slots[0].last),)) for slots in even_slots(12)]
_FIRSTS = [min(part) for part in _PARTS]


def parts_in(slots: Collection[int]) -> list[int]:
    """The parts that these slots are, by their numbers: the first slot of each tells."""
    return [number for number, first in enumerate(_FIRSTS) if first in slots]


@lru_cache(maxsize=4096)
def parts_of(text: str) -> list[int]:
    """The parts that a text such as ``0-8191`` names."""
    return parts_in(set_of(parsed_ranges(text)))


def shown_parts(parts: Iterable[int]) -> str:
    """The slots of these parts as a text."""
    return _shown(tuple(parts))


@lru_cache(maxsize=4096)
def _shown(parts: tuple[int, ...]) -> str:
    return shown_ranges(ranges_of(slot for part in parts for slot in _PARTS[part]))


_BANNED_FOR = 60.0  # seconds, as engines have it


@dataclass
class Belief:
    """The bus as one engine sees it: whom each node follows, and who owns each part of the slots, since which epoch.

    ``gone`` are parts under way that were seen with their target.
    """

    me: str
    epoch: int
    follows: dict[str, str | None] = field(default_factory=dict)
    owners: dict[int, tuple[str | None, int]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    in_role: bool = False
    """Whether it has ever had the role that was desired of it."""
    banned: dict[str, float] = field(default_factory=dict)
    """Whom the engine was told to forget: for so many seconds it takes nobody of that id in again."""
    obeyed: str | None = ""
    """Whom the engine followed when it last looked at this."""
    stand_in_at: str = "127.0.0.1:7"
    """Where its stand-in is: nowhere, but where the primary is not on the bus."""

    @classmethod
    def at_start(cls, mesh: Mesh) -> Belief:
        """What the file says that an engine starts with: all as desired, but that it is the replica of its stand-in."""
        place = next(place for place, member in enumerate(mesh.members) if member.id == mesh.me)
        follows = {member.id: member.follows for member in mesh.members}
        owners: dict[int, tuple[str | None, int]] = {}
        for member in mesh.members:
            owner = STAND_IN if member.id == mesh.me else member.id
            owners |= dict.fromkeys(parts_of(known_slots(mesh, member)), (owner, 1))
        belief = cls(mesh.me, mesh.epoch + place, {**follows, mesh.me: STAND_IN}, owners)
        if (outside := mesh.outside) is not None:
            belief.owners |= dict.fromkeys(parts_of(outside.slots), (STAND_IN, 1))
            belief.follows |= {member.id: STAND_IN for member in mesh.members if member.follows == outside.id}
            belief.stand_in_at = f"{outside.address}:{outside.port}"
        return belief

    @property
    def owned(self) -> list[int]:
        """The parts that this engine sees itself own."""
        return [part for part, (owner, _) in self.owners.items() if owner == self.me]

    def owner(self, part: int) -> str | None:
        """Who is seen to own a part."""
        return self.owners.get(part, (None, 0))[0]

    def claim(self, parts: Iterable[int]) -> None:
        """Own these parts, at an epoch above every one it has heard of, and follow nobody."""
        self.epoch += 1
        self.follows[self.me] = None
        for part in (*self.owned, *parts):
            self.owners[part] = (self.me, self.epoch)

    def hear(self, other: Belief) -> list[int]:
        """Take in what another says of itself. Answers the parts that nobody is seen to own any more because of it."""
        if other.me in self.banned:
            return []
        self.epoch = max(self.epoch, other.epoch)
        self.follows[other.me] = other.follows[other.me]
        orphaned = []
        for part, (owner, epoch) in list(self.owners.items()):
            if owner == other.me and other.follows[other.me] is not None:
                self.owners[part] = (None, epoch)
                orphaned.append(part)
        mine = set(self.owned)
        for part in other.owned:
            self._weigh(part, other)
        lost = mine - set(self.owned)
        if lost and not self.owned and lost == set(other.owned):
            self.follows[self.me] = other.me  # who loses everything to one that has nothing else has been replaced by it
        return [part for part in orphaned if self.owner(part) is None]

    def _weigh(self, part: int, other: Belief) -> None:
        """A claim of nobody's slots is believed, and one of a higher epoch than the present owner's; who makes a lower one is told."""
        owner, epoch = self.owners.get(part, (None, 0))
        claimed = other.owners[part][1]
        if owner == other.me:
            self.owners[part] = (owner, max(epoch, claimed))
        elif owner is None or claimed > epoch:
            self.owners[part] = (other.me, claimed)
        elif claimed < epoch and owner != STAND_IN:
            other.owners[part] = (owner, epoch)
            if not other.owned and owner == self.me:
                other.follows[other.me] = owner

    def is_as_desired(self, mesh: Mesh, connected: set[str]) -> bool:
        """Whether it sees exactly the members of the mesh, all connected, each in its role, with the slots of each primary."""
        if {member.id for member in mesh.members} != set(self.follows) or not connected >= set(self.follows):
            return False
        for move in mesh.moves:
            ends = {leader.id for shard in (move.source, move.target) if (leader := leader_of(mesh, shard))}
            if any(self.owner(part) not in ends for part in parts_of(move.slots)):
                return False
        return all(not self.differs_in(member) for member in mesh.members)

    def differs_in(self, member: MeshMember) -> bool:
        """Whether it sees the member otherwise than desired."""
        owns_other = any(self.owner(part) != member.id for part in parts_of(member.slots))
        return bool(member.id not in self.follows or self.follows[member.id] != member.follows or owns_other)

    def forget_strangers(self, mesh: Mesh) -> None:
        """Those that are in the mesh no more."""
        wanted = {member.id for member in mesh.members}
        self.banned |= dict.fromkeys(self.follows.keys() - wanted, _BANNED_FOR)
        self.follows = {node: leader for node, leader in self.follows.items() if node in wanted}

    def notice_what_has_gone(self, mesh: Mesh, me: MeshMember) -> None:
        """What is seen with its target once stays there."""
        moving: set[int] = set()
        for move in mesh.moves:
            if me.shard in (move.source, move.target) and me.follows is None:
                there = members_of(mesh, move.target) if move.source == me.shard else {self.me}
                parts = parts_of(move.slots)
                moving |= set(parts)
                self.gone |= {part for part in parts if self.owner(part) in there}
        self.gone &= moving

    def lacking(self, mesh: Mesh, me: MeshMember, connected: set[str]) -> list[int]:
        """The parts that a primary shall own and does not."""
        wanted = set(parts_in(settled_slots(mesh, me)))
        for move in mesh.moves:
            if move.source == me.shard:
                target, leader = members_of(mesh, move.target), leader_of(mesh, move.target)
                for part in set(parts_in(under_way(move))) - self.gone:
                    owner = self.owner(part)
                    if owner not in target and (owner is not None or (leader is not None and leader.id in connected)):
                        wanted.add(part)
        return sorted(wanted - set(self.owned))


class Bus:
    """All engines of a fleet that are in cluster mode."""

    def __init__(self, engines: dict[str, Engine], chance: random.Random) -> None:
        self._engines = engines
        self._random = chance
        self.orphaned: list[int] = []
        """Each time that a former primary made others see its slots owned by nobody before they had heard of its heir."""

    def assume(self, engine: Engine) -> bool:
        """One visit: bring the engine's role and slots towards its spec, hear a few others; answers whether it has its role."""
        belief, mesh, spec = engine.belief, engine.spec.mesh, engine.spec
        assert belief is not None
        assert mesh is not None
        me = next(member for member in mesh.members if member.id == mesh.me)
        belief.forget_strangers(mesh)
        belief.notice_what_has_gone(mesh, me)
        if spec.role is Role.PRIMARY:
            inherited: set[int] = set()
            if belief.follows[belief.me] is not None:
                inherited = self._ask_other_ends(engine, mesh, me)
                inherited |= {part for part, (owner, _) in belief.owners.items() if owner in members_of(mesh, me.shard)}
            lacking = [*belief.lacking(mesh, me, self._connected()), *inherited]
            if belief.follows[belief.me] is not None or lacking:
                belief.claim(lacking)
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
        return mesh.digest if belief.is_as_desired(mesh, self._connected()) else None

    def owners_of(self, slots: str) -> list[Engine]:
        """Who would take a write to these slots: each running engine that sees itself own them."""
        parts = set(parts_of(slots))
        running = [engine for engine in self._alive() if engine.phase == RUNNING and engine.belief and parts]
        return [engine for engine in running if engine.belief and parts <= set(engine.belief.owned)]

    def move_slots(self, engine: Engine) -> None:
        """What an agent's mover does: one part goes to the primary it is for, which both ends then know."""
        belief, spec = engine.belief, engine.spec
        if belief is None or belief.follows[belief.me] is not None or engine.phase != RUNNING:
            return
        for order in orders_in(spec):
            left = sorted(set(parts_of(order.slots)) & set(belief.owned))
            target = next((other for other in self._alive() if other.belief and other.belief.me == order.target), None)
            if left and target is not None and target.phase == RUNNING and target.belief and target.belief.follows[order.target] is None:
                target.belief.epoch = max(target.belief.epoch, belief.epoch)
                target.belief.claim([left[0]])
                belief.hear(target.belief)
                return

    def let_pass(self, seconds: float) -> None:
        """Whom an engine was told to forget long ago may come again."""
        for engine in self._alive():
            if engine.belief is not None:
                left = ((node, rest - seconds) for node, rest in engine.belief.banned.items())
                engine.belief.banned = {node: rest for node, rest in left if rest > 0}

    def arrived(self, engine: Engine) -> str:
        """The slots under way that the engine has seen with their target."""
        return shown_parts(sorted(engine.belief.gone)) if engine.belief else ""

    def _connected(self) -> set[str]:
        return {other.belief.me for other in self._alive() if other.belief is not None}

    def _ask_other_ends(self, engine: Engine, mesh: Mesh, me: MeshMember) -> set[int]:
        """Who takes over in the middle of a move hears first what the other ends have by now, and what they had given to its shard."""
        asked = {end.id for end in ends_to_ask(mesh)}
        moving = {part for move in mesh.moves if move.target == me.shard for part in parts_in(under_way(move))}
        given: set[int] = set()
        for other in self._alive():
            if other.belief is not None and other.belief.me in asked and other.phase == RUNNING:
                self._hear(engine, other)
                given |= {part for part in moving if other.belief.owner(part) in members_of(mesh, me.shard)}
        return given

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
