"""Moves slots from one primary to another: by the engines themselves where both can, else key by key, as cluster tools do it.

There are three ways, from the best one. In each a slot has one owner at any moment, and anything may end in the middle: whoever goes on
finds the slots as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agents.engines.cluster_bus import view_of
from agents.engines.cluster_moves import said_in
from agents.engines.engine import EngineUnreachableError
from agents.engines.key_moves import OpenSlotsTransfer, WholeSlotsTransfer
from agents.engines.reach import own_reach, peer_reach
from agents.engines.slot_jobs import JobTransfer
from agents.engines.slot_ranges import parsed_ranges, set_of
from agents.engines.talk import CommandRefusedError, Talk
from agents.engines.valkey_config import version_of
from api_schemas.agent.node import NodeSpec


@dataclass(frozen=True, slots=True)
class SlotOrder:
    """Slots that one primary shall give to another; ``source`` and ``target`` are their ids on the bus. Stays the same while they go."""

    slots: str
    atomic: bool
    source: str
    target: str
    address: str
    port: int


class Way(Protocol):
    """How slots go."""

    def move(self, left: list[int], owned: int) -> None:
        """Move the first of these slots, as many as are good to move at once. ``owned`` is how many the source owns in all."""

    def close(self) -> None:
        """Close what connections it has of its own."""


class SlotTransfer:
    """Carries out an order at the primary that a spec is for, as often as it takes. Not for two threads at once."""

    def __init__(self, spec: NodeSpec, order: SlotOrder, goes_on: Callable[[], bool]) -> None:
        self._order = order
        self._source = Talk(own_reach(spec))
        self._other = Talk(peer_reach(spec, order))
        self._way = self._best_way(spec, goes_on)
        self._is_prepared = False

    def step(self) -> bool:
        """Move some slots; answers whether any were left to be moved. Raises EngineUnreachableError and CommandRefusedError."""
        said = said_in(self._source.say("CLUSTER", "NODES").decode())
        left = sorted(set_of(parsed_ranges(self._order.slots)) & set_of(said.owned))
        if not left:
            return False
        if self._order.atomic or not self._is_prepared:
            self._copy_functions()  # between two jobs nobody would notice that the target has come back empty
        try:
            if not self._is_prepared:
                self._name_the_owner(left)
                self._is_prepared = True
            self._way.move(left, len(set_of(said.owned)))
        except (EngineUnreachableError, CommandRefusedError):
            self._is_prepared = False  # another may lead there by now, and know less
            raise
        return True

    def close(self) -> None:
        """Close the connections; what is open at the engines stays so."""
        self._way.close()
        self._source.close()
        self._other.close()

    def _best_way(self, spec: NodeSpec, goes_on: Callable[[], bool]) -> Way:
        order = self._order
        if order.atomic:
            return JobTransfer(self._source, order.target, goes_on)
        if spec.binary.engine == "valkey" and version_of(spec.binary) >= (8, 0):
            return OpenSlotsTransfer(spec, order.source, order.target, peer_reach(spec, order), goes_on)
        return WholeSlotsTransfer(self._source, self._other, order.source, order.target, peer_reach(spec, order), goes_on)

    def _name_the_owner(self, left: list[int]) -> None:
        """Tell the target whose the slots are that it was importing when their owner crashed.

        Redis ignores what it hears on the bus of slots that it imports. So it never learns of the new owner, calls these slots
        served by nobody, and refuses their keys.
        """
        order = self._order
        nodes = self._other.say("CLUSTER", "NODES").decode()
        imported, owners = said_in(nodes).imports, view_of(nodes, {}).owners
        stale = [slot for slot in left if slot in imported and owners.get(slot) not in (order.source, order.target)]
        if stale:
            self._other.obey([("CLUSTER", "SETSLOT", str(slot), "NODE", order.source) for slot in stale])

    def _copy_functions(self) -> None:
        """A new shard has no functions, nor has one that came back empty; clients call them wherever their keys are."""
        listed, there = self._source.each([("FUNCTION", "LIST")])[0], self._other.each([("FUNCTION", "LIST")])[0]
        if isinstance(listed, list) and listed and there == []:
            self._other.say("FUNCTION", "RESTORE", self._source.say("FUNCTION", "DUMP"), "REPLACE")
