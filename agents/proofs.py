"""The proofs that replicas replicate, as their primary has them: who acknowledged a write of ours, in which boot."""

from __future__ import annotations

import time

from agents.engines.engine import Observation, Session
from api_schemas.agent.node import NodeSpec, Role


class Proofs:
    """Of one primary. ``patience`` is how long one proof waits, ``replaced_within`` how long a replica that starts anew may still be seen
    with its former process, in seconds."""

    def __init__(self, patience: float, replaced_within: float) -> None:
        self.keys: frozenset[str] = frozenset()
        self._patience = patience
        self._replaced_within = replaced_within
        self._proven_boots: dict[str, int] = {}
        self._peer_boots: dict[str, int] = {}
        self._being_replaced: dict[str, float] = {}
        self._nudged: set[tuple[str, int]] = set()

    def forget(self) -> None:
        """Nothing is proven of a process that starts."""
        self.keys = frozenset()

    def keep(self, session: Session, spec: NodeSpec, seen: Observation, *, ask: bool) -> None:
        """Keep the proofs of the replicas that still stream in the same boot, and ``ask`` the others for one. Raises as a session."""
        peers = {peer.key: peer for peer in spec.replicas}
        online = self._in_this_boot({key for key, peer in peers.items() if f"{peer.address}:{peer.port}" in seen.online}, spec)
        same_boot = {key for key in self.keys if key in peers and self._proven_boots.get(key) == peers[key].boot}
        self.keys = frozenset(same_boot & online)
        if spec.role is Role.PRIMARY and online - self.keys and ask:
            self.keys |= session.prove(spec, len(online), self._patience) - self._being_replaced.keys()
            self._proven_boots = {key: peers[key].boot for key in self.keys}
            self._nudge(session, spec, {(key, peers[key].boot) for key in online - self.keys})

    def _in_this_boot(self, online: set[str], spec: NodeSpec) -> set[str]:
        """Without those whose boot was raised and whose former process may still be the one that streams.

        The former one is killed at once; it counts as gone when it was seen to be away, or after ``replaced_within``.
        """
        now = time.monotonic()
        for peer in spec.replicas:
            if self._peer_boots.setdefault(peer.key, peer.boot) != peer.boot:
                self._peer_boots[peer.key] = peer.boot
                self._being_replaced[peer.key] = now
        self._being_replaced = {
            key: since for key, since in self._being_replaced.items() if key in online and now - since < self._replaced_within
        }
        return online - self._being_replaced.keys()

    def _nudge(self, session: Session, spec: NodeSpec, silent: set[tuple[str, int]]) -> None:
        """Once for each boot of a replica that streams but acknowledges nothing."""
        fresh = silent - self._nudged
        if fresh:
            self._nudged |= fresh
            session.nudge(spec, frozenset(key for key, _ in fresh))
