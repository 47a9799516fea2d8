"""Moves the slots that a primary shall give to others, in a thread beside the visits to its node, which take milliseconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agents.engines.cluster_moves import leader_of, mine
from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import Reach, own_reach
from agents.engines.slot_transfer import SlotOrder, SlotTransfer
from agents.engines.talk import CommandRefusedError
from api_schemas.agent.node import Mesh, NodeSpec, Role

log = logging.getLogger("cachewright.agent")

_SAY_AGAIN = 0.25  # seconds between two words of progress while slots move one by one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds before another attempt

_Known = tuple[SlotOrder, Reach]


class SlotMover:
    """A level: while it is wanted, what is to be moved is moved; wanted no more, it stops after what is under way.

    ``moved`` is called whenever slots have gone, so that this is looked at and told.
    """

    def __init__(self, moved: Callable[[], None]) -> None:
        self._moved = moved
        self._changed = threading.Condition()
        self._spec: NodeSpec | None = None
        self._orders: list[SlotOrder] = []
        self._thread: threading.Thread | None = None
        self._complaint = ""

    def want(self, spec: NodeSpec | None) -> None:
        """Have this primary give away what its spec says; with None, nothing."""
        orders = orders_in(spec) if spec is not None else []
        with self._changed:
            if not orders and not self._orders:
                return
            self._spec, self._orders = spec, orders
            self._changed.notify_all()
            if orders and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._work, name="slot-mover", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        transfers: dict[_Known, SlotTransfer] = {}
        pause, told_at = 0.0, 0.0
        try:
            while orders := self._awaited(pause):
                has_moved = False
                try:
                    for transfer in self._transfers(transfers, orders):
                        has_moved = transfer.step() or has_moved
                    pause = 0.0 if has_moved else _LONGEST_PAUSE
                    self._complaint = ""
                except (EngineUnreachableError, CommandRefusedError) as failed:
                    self._complain(str(failed))
                    pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                if not has_moved or time.monotonic() - told_at > _SAY_AGAIN:
                    told_at = time.monotonic()
                    self._moved()
        finally:
            for transfer in transfers.values():
                transfer.close()

    def _awaited(self, pause: float) -> list[tuple[NodeSpec, SlotOrder]]:
        """What is to be moved, after a pause that a change of it ends; nothing when the thread is to end."""
        with self._changed:
            if pause and self._orders:
                before = self._orders
                self._changed.wait_for(lambda: self._orders != before, pause)
            spec = self._spec
            if not self._orders or spec is None:
                self._thread = None
                return []
            return [(spec, order) for order in self._orders]

    def _transfers(self, known: dict[_Known, SlotTransfer], orders: list[tuple[NodeSpec, SlotOrder]]) -> list[SlotTransfer]:
        wanted = {(order, own_reach(spec)): spec for spec, order in orders}
        for gone in known.keys() - wanted.keys():
            known.pop(gone).close()
        for (order, reach), spec in wanted.items():
            if (order, reach) not in known:
                transfer = SlotTransfer(spec, order, goes_on=lambda order=order: order in self._orders)  # type: ignore[misc]
                known[order, reach] = transfer
        return [known[each] for each in wanted]

    def _complain(self, why: str) -> None:
        """Once for each reason in a row."""
        if why != self._complaint and self._spec is not None:
            self._complaint = why
            log.warning("slots were not moved, trying again  node=%s because=%s", self._spec.key, why)


def is_moving(mesh: Mesh) -> bool:
    """Whether slots are on their way from or to the primary that this is the mesh of."""
    me = mine(mesh)
    return me is not None and me.follows is None and any(move.open and me.shard in (move.source, move.target) for move in mesh.moves)


def orders_in(spec: NodeSpec) -> list[SlotOrder]:
    """What a spec asks its node to give away now: each open move from its shard, with the primary of the target."""
    mesh = spec.mesh
    if mesh is None or spec.role is not Role.PRIMARY:
        return []
    me = mine(mesh)
    return [
        SlotOrder(move.slots, move.atomic, mesh.me, leader.id, leader.address, leader.port)
        for move in mesh.moves
        if move.open and me is not None and move.source == me.shard and (leader := leader_of(mesh, move.target)) is not None
    ]
