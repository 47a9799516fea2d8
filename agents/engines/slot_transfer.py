"""Moves slots from one primary to another: by the engines themselves where both can, else key by key as the cluster tools do it.

Valkey 9 moves a slot with everything in it and hands it over in one step (``CLUSTER MIGRATESLOTS``). It is asked for as many slots at a
time as hold some tens of thousands of keys: one job for all is a fifth quicker, but stalls writers for 140 ms at its end instead of 40.

Otherwise a batch of slots is opened at both ends, its keys go over in ``MIGRATE`` commands, and it is closed at the target and then at the
source. A key that exists at the source is served there, so a copy at the target is replaced; one that does not is looked for at the target.
What takes the time are round trips, so commands are sent several at once; what takes clients' patience are long commands, so a MIGRATE
has as many keys as take some milliseconds. Anything may end in the middle: whoever goes on finds the open slots as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from agents.engines.cluster_moves import said_of_itself
from agents.engines.slot_ranges import bounds, parsed_ranges, ranges_of, set_of
from agents.engines.talk import Talk
from api_schemas.agent.node import NodeSpec

KEYS_A_JOB = 50_000
"""How many keys the engines are asked to move at a time, as far as whole slots allow."""

_FEWEST_SLOTS = 16
_POLL = (0.002, 0.05)  # seconds between two looks at a job: at first, and at most
_FINAL = frozenset({"success", "failed", "cancelled"})

SLOTS_A_BATCH = 32
_AHEAD = 4  # MIGRATE commands under way at a time
_KEYS = (16, 512)  # of one MIGRATE: at least and at most
_QUICK, _SLOW = 0.002, 0.006  # seconds that one may take before it gets fewer keys, and below which it gets more
_PATIENCE = 60_000  # milliseconds for one MIGRATE


class MoveRefusedError(Exception):
    """An engine refused to move slots; the text says what it said."""


@dataclass(frozen=True, slots=True)
class SlotOrder:
    """Slots that one primary shall give to another; ``source`` and ``target`` are their ids on the bus. Stays the same while they go."""

    slots: str
    atomic: bool
    source: str
    target: str
    address: str
    port: int


class SlotTransfer:
    """Carries out an order at the primary that a spec is for, as often as it takes. Not for two threads at once."""

    def __init__(self, spec: NodeSpec, order: SlotOrder, goes_on: Callable[[], bool]) -> None:
        self._order = order
        self._goes_on = goes_on
        self._source = Talk(spec.address, spec.port)
        self._other = Talk(order.address, order.port)
        self._keys = 64
        self._has_functions = False

    def step(self) -> bool:
        """Move some slots; answers whether any were left to be moved. Raises EngineUnreachableError and MoveRefusedError."""
        left = self._left()
        if not left:
            return False
        self._copy_functions()
        if self._order.atomic:
            self._hand_over(left)
        else:
            self._move_keys(left[:SLOTS_A_BATCH])
        return True

    def close(self) -> None:
        """Close the connections; what is open at the engines stays so."""
        self._source.close()
        self._other.close()

    def _left(self) -> list[int]:
        """The slots that the source still owns."""
        said = said_of_itself(self._source.say("CLUSTER", "NODES").decode())
        return sorted(set_of(parsed_ranges(self._order.slots)) & set_of(said.owned))

    def _copy_functions(self) -> None:
        """A new shard has no functions; clients call them wherever their keys are."""
        if self._has_functions:
            return
        listed, there = self._source.each([("FUNCTION", "LIST")])[0], self._other.each([("FUNCTION", "LIST")])[0]
        if isinstance(listed, list) and listed and there == []:
            self._other.say("FUNCTION", "RESTORE", self._source.say("FUNCTION", "DUMP"), "REPLACE")
        self._has_functions = True

    # ---- by the engines themselves

    def _hand_over(self, left: list[int]) -> None:
        """Have the engines move the next slots, or wait for the job that is already under way."""
        if not self._jobs_under_way():
            ranges = bounds(ranges_of(left[: self._slots_a_job(len(left))]))
            self._ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", self._order.target)
        pause, longest = _POLL
        while self._jobs_under_way() and self._goes_on():
            time.sleep(pause)
            pause = min(longest, pause * 1.5)
        newest = self._jobs()[0]
        if newest["state"] != "success" and self._goes_on():
            why = newest.get("message") or "no reason given"
            raise MoveRefusedError(f"slots {newest['slot_ranges']} were not moved: {newest['state']}, {why}")

    def _slots_a_job(self, left: int) -> int:
        keys, owned = int(self._source.say("DBSIZE")), max(left, 1)
        return max(_FEWEST_SLOTS, KEYS_A_JOB * owned // max(keys, 1))

    def _jobs_under_way(self) -> bool:
        return any(job["state"] not in _FINAL and job["operation"] == "EXPORT" for job in self._jobs())

    def _jobs(self) -> list[dict[str, str]]:
        """What GETSLOTMIGRATIONS tells, the newest first."""
        told = self._source.say("CLUSTER", "GETSLOTMIGRATIONS")
        return [{_text(name): _text(value) for name, value in _pairs(job)} for job in told]

    def _ask(self, *command: str) -> None:
        answer = self._source.each([command])[0]
        if isinstance(answer, Exception):
            raise MoveRefusedError(f"{' '.join(command[:3])} was refused: {answer}")

    # ---- key by key

    def _move_keys(self, slots: list[int]) -> None:
        """Open a batch of slots at both ends, move what is in them, and close them at the target first: from then on it owns them."""
        self._each(self._other, (("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self._order.source) for slot in slots))
        self._each(self._source, (("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self._order.target) for slot in slots))
        full = slots
        while full and self._goes_on():
            full = self._drain(full)
        if not self._goes_on():
            return
        for end in (self._other, self._source):
            self._each(end, (("CLUSTER", "SETSLOT", str(slot), "NODE", self._order.target) for slot in slots))

    def _drain(self, slots: list[int]) -> list[int]:
        """Move what these slots hold now; answers those in which anything was found."""
        found = self._source.each([("CLUSTER", "GETKEYSINSLOT", str(slot), "1000") for slot in slots])
        full = [slot for slot, keys in zip(slots, found, strict=True) if keys]
        lots = [keys for keys in found if keys]
        for answer in lots:
            if isinstance(answer, Exception):
                raise MoveRefusedError(str(answer))
        commands = (self._migrate(lot) for keys in lots for lot in _lots(keys, lambda: self._keys))
        for ahead in _batches(commands, _AHEAD):
            if not self._goes_on():
                break
            began = time.monotonic()
            self._each(self._source, ahead)
            self._adapt((time.monotonic() - began) / len(ahead))
        return full

    def _adapt(self, took: float) -> None:
        least, most = _KEYS
        if took > _SLOW:
            self._keys = max(least, self._keys // 2)
        elif took < _QUICK:
            self._keys = min(most, self._keys * 2)

    def _migrate(self, keys: list[bytes]) -> tuple[Any, ...]:
        return ("MIGRATE", self._order.address, str(self._order.port), "", "0", str(_PATIENCE), "REPLACE", "KEYS", *keys)

    @staticmethod
    def _each(end: Talk, commands: Iterable[tuple[Any, ...]]) -> None:
        asked = list(commands)
        for command, answer in zip(asked, end.each(asked), strict=True):
            if isinstance(answer, Exception):
                raise MoveRefusedError(f"{' '.join(map(str, command[:4]))} was refused: {answer}")


def _lots(keys: list[bytes], size: Callable[[], int]) -> Iterator[list[bytes]]:
    start = 0
    while start < len(keys):
        yield keys[start : start + (step := size())]
        start += step


def _batches(commands: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while batch := [command for _, command in zip(range(size), commands, strict=False)]:
        yield batch


def _pairs(flat: Any) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
