"""A conversation with one Valkey or Redis in cluster mode: its role by takeover instead of by command, and its view of the bus."""

from __future__ import annotations

import binascii
import math
import time
from dataclasses import replace
from functools import lru_cache

import redis

from agents.engines.cluster_bus import (
    BusView,
    arrived_slots,
    deposed,
    differences,
    lacking,
    mark_of,
    not_online,
    stand_in_of,
    strangers,
    view_of,
)
from agents.engines.cluster_moves import Route, around_a_takeover, ends_to_ask, expected, mine, said_in, settled_slots
from agents.engines.engine import Observation
from agents.engines.ping import answers_ping, bus_seen_at
from agents.engines.reach import peer_reach
from agents.engines.slot_ranges import Ranges, bounds, ranges_of, shown_ranges
from agents.engines.valkey_session import REPLICATION, ValkeySession, fields_of, keys_at
from api_schemas.agent.node import Mesh, NodeSpec, Role

NODE_TIMEOUT = 8000
"""Milliseconds after which nodes call a silent one failing. Who takes over is decided by the control plane alone; but a primary that
reaches no majority of primaries refuses writes, for 5 s more when it reaches one again. So this is longer than a cut-off primary waits
for its heir (6 s): else the loss of one of two shards takes the other along.
"""

_NODES, _INFO = ("CLUSTER", "NODES"), ("CLUSTER", "INFO")
_SLOTS = 16384
_ASK_AGAIN = 0.1  # seconds; the engine connects to whom it was introduced ten times a second
_TELL_AGAIN = 0.25  # seconds between two words of slots that have arrived; each has every node told, and looked at
_SETTLED = 0.25
"""Seconds after an introduction in which the one that was asked may break its link to the asker and connect anew, each on a 10 Hz cron."""


class ClusterSession(ValkeySession):
    """One connection to one engine in cluster mode. Not for two threads at once."""

    def __init__(self, spec: NodeSpec) -> None:
        super().__init__(spec)
        self._is_timed = False
        self._touch: list[tuple[str, ...]] = []
        self._asked_at = -math.inf
        self._seen_online: tuple[str | None, ...] = ()
        self._arrived: dict[Route, set[int]] = {}
        self._told_arrived = ""
        self._told_at = -math.inf

    def observe(self) -> Observation:
        """As outside cluster mode, and the bus as this engine sees it. A node that came back within one summary is looked for as well."""
        self._seen_online = ()
        seen = super().observe()
        with self._talk():
            nodes, info = self._all(_NODES, _INFO)
        return replace(seen, bus=view_of(nodes, fields_of(info)))

    def glance(self, former: Observation) -> Observation:
        """The bus is looked at whole only when its summary has changed."""
        seen = super().glance(former)
        info = fields_of(self._say(*_INFO))
        if former.bus is None or mark_of(info) != former.bus.mark:
            return replace(seen, bus=view_of(self._say(*_NODES), info))
        return replace(seen, bus=former.bus)

    def is_deposed(self, spec: NodeSpec, seen: Observation) -> bool:
        """Whether another node than our stand-in owns slots that this primary shall own."""
        return spec.role is Role.PRIMARY and spec.mesh is not None and seen.bus is not None and deposed(spec.mesh, seen.bus)

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """A primary takes over and owns its slots; a replica is told whom to follow; both forget whom they should not know."""
        mesh, view = spec.mesh, seen.bus
        if mesh is None or view is None:
            return False
        self._touch = _touching(mesh)
        has_role = self._lead(spec, mesh, seen) if spec.role is Role.PRIMARY else self._follow(spec, mesh, seen)
        for stranger in strangers(mesh, view):
            self._try("CLUSTER", "FORGET", stranger.id)  # refused while it is still our primary
        if has_role and stand_in_of(mesh.me) not in view.nodes and not self._is_timed:
            self._say("CONFIG", "SET", "cluster-node-timeout", str(NODE_TIMEOUT))
            self._is_timed = True
        return has_role

    def arrived(self, spec: NodeSpec, seen: Observation) -> str:
        """As the bus shows it. What was with its target once stays there, even if it is seen with nobody while that one fails over.

        While slots go one by one there are new ones at every look, and telling leads to the next look: so not at each; the last at once.
        """
        if spec.mesh is None or seen.bus is None:
            return ""
        now = arrived_slots(spec.mesh, seen.bus)
        is_new = now.keys() != self._arrived.keys()
        self._arrived = {route: slots | self._arrived.get(route, set()) for route, slots in now.items()}
        there = set().union(*self._arrived.values())
        if is_new or there >= expected(spec.mesh) or time.monotonic() - self._told_at > _TELL_AGAIN:
            self._told_arrived, self._told_at = shown_ranges(ranges_of(there)), time.monotonic()
        return self._told_arrived

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        """In what this engine's view of the bus differs from the mesh: also which replica it does not show to its clients yet.

        It is introduced to those that it does not know, or has not heard of for too long. Until that is over nobody is agreed with,
        for it is the other one that would see a broken link.
        """
        if spec.mesh is None or seen.bus is None:
            return "the bus was not looked at"
        if spec.mesh.outside is not None:
            return "its primary is not on the bus"
        looked_at = (spec.mesh.digest, *seen.bus.mark)
        found = differences(spec.mesh, seen.bus)
        if not found and looked_at != self._seen_online:
            with self._talk():
                found = not_online(self._all(("CLUSTER", "SHARDS"))[0])
        self._seen_online = () if found else looked_at
        self._ask(spec.mesh, {node for node, difference in found.items() if difference.stale})
        if not found and time.monotonic() - self._asked_at < _SETTLED:
            return "it has just asked others what they are"
        return next((difference.why for difference in found.values()), None)

    def _ask(self, mesh: Mesh, stale: set[str]) -> None:
        """Have those of whom the engine has not heard for too long say what they are.

        It would hear it with their next ping, seconds later. To introduce it to a node that it knows is to ping that one. Not done for
        who is not connected: the engine sees to that itself, and an introduction breaks the other's link for a moment.
        """
        if not stale or time.monotonic() - self._asked_at < _ASK_AGAIN:
            return
        self._asked_at = time.monotonic()
        for member in mesh.members:
            if member.id in stale and member.id != mesh.me:
                self._try("CLUSTER", "MEET", member.address, str(member.port))

    def prove(self, spec: NodeSpec, streaming: int, patience: float) -> frozenset[str]:
        """Send something down the replication stream, wait for acknowledgements, and see who has come that far.

        A PUBLISH goes over the bus in cluster mode and not down the stream, so a key of ours is set and deleted in one step. Where
        that is refused (the memory is full, slots are not served yet) the engine is made to ask for acknowledgements, which is sent
        down the stream as well but can take it a tenth of a second. Twice: a replica acknowledges what came before it was asked.
        """
        wait = ("WAIT", str(streaming), str(int(patience * 1000)))
        ask = ("WAIT", str(streaming + 1), "1")
        touched = self._touches()
        with self._talk():
            if touched:
                sent, _, acknowledged = self._all(REPLICATION, wait, REPLICATION)
            else:
                _, sent, _, acknowledged = self._all(ask, REPLICATION, ask, REPLICATION)
        reached = int(fields_of(sent)["master_repl_offset"])
        return keys_at(reached, spec.replicas, fields_of(acknowledged))

    def relink(self, spec: NodeSpec) -> None:
        """CLUSTER REPLICATE anew, where ROLE says that the last attempt failed and the next one waits for the 1 Hz cron."""
        role = self._say("ROLE")
        me = mine(spec.mesh) if spec.mesh else None
        if me is not None and me.follows and role[0] == "slave" and role[3] == "connect":
            self._try("CLUSTER", "REPLICATE", me.follows)

    def _lead(self, spec: NodeSpec, mesh: Mesh, seen: Observation) -> bool:
        if seen.bus is None:
            return False
        if seen.role is not Role.PRIMARY:
            self._take_over(spec, mesh, seen.bus)
            return False
        free, held = lacking(mesh, seen.bus, set().union(*self._arrived.values()))
        if free:
            self._try("CLUSTER", "ADDSLOTSRANGE", *bounds(free))
        if held:
            self._try("CLUSTER", "DELSLOTSRANGE", *bounds(held))
            self._try("CLUSTER", "ADDSLOTSRANGE", *bounds(held))
            self._try("CLUSTER", "BUMPEPOCH")
        return not free and not held

    def _take_over(self, spec: NodeSpec, mesh: Mesh, view: BusView) -> None:
        """CLUSTER FAILOVER TAKEOVER, which claims every slot that this engine has last seen with its primary.

        While slots are under way, the other ends are asked what they have by now, and everything is said in one breath, so that no client
        comes between. Who does not answer is dead as well; nothing better is known then.
        """
        said = {end.id: bus_seen_at(peer_reach(spec, end)) for end in ends_to_ask(mesh)}
        before, behind = around_a_takeover(mesh, view.owners, {name: said_in(text) for name, text in said.items() if text})
        with self._talk():
            self._each([*before, ("CLUSTER", "FAILOVER", "TAKEOVER"), *behind])

    def _follow(self, spec: NodeSpec, mesh: Mesh, seen: Observation) -> bool:
        """Told once the primary answers: a replica told earlier would retry on its 1 Hz cron only."""
        leader, me = spec.follows, mine(mesh)
        if leader is None or me is None or me.follows is None:
            return False
        if seen.role is Role.REPLICA and seen.follows == f"{leader.address}:{leader.port}":
            return True
        if answers_ping(peer_reach(spec, leader)):
            self._speak_to(spec, leader)
            self._try("CLUSTER", "REPLICATE", me.follows)  # refused until this engine has heard that it is a primary
        return False

    def _touches(self) -> bool:
        with self._talk():
            answers = self._each(self._touch)
        return bool(answers) and not any(isinstance(answer, Exception) for answer in answers)

    def _try(self, *command: str) -> bool:
        """Say something that the engine may have reason to refuse for now; answers whether it did not."""
        with self._talk():
            try:
                self._all(command)
            except redis.ResponseError:
                return False
        return True


def _touching(mesh: Mesh) -> list[tuple[str, ...]]:
    """Commands that set a key in a slot of this node's and delete it in one step: replicated, and nobody sees it."""
    me = mine(mesh)
    slots = ranges_of(settled_slots(mesh, me)) if me is not None else ()
    if not slots:
        return []
    key = f"__cachewright__:{{{_tag_in(slots)}}}"
    return [("MULTI",), ("SET", key, "1"), ("DEL", key), ("EXEC",)]


@lru_cache(maxsize=1024)
def _tag_in(ranges: Ranges) -> str:
    """A hash tag whose slot is one of these."""
    first, last = ranges[0]
    return next(str(n) for n in range(1_000_000) if first <= binascii.crc_hqx(str(n).encode(), 0) % _SLOTS <= last)
