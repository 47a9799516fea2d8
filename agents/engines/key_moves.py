"""Slots whose keys go over in ``MIGRATE`` commands, for engines that cannot hand over a slot as a whole.

A key that exists at the source is served there, so a copy at the target is replaced. What takes the time are round trips, so commands are
sent several at once; what takes clients' patience are long commands, so as much is sent at once as takes some milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import Reach, own_reach
from agents.engines.talk import CommandRefusedError, Talk, Talks
from api_schemas.agent.node import NodeSpec

Command = tuple[Any, ...]

_MOST_KEYS = 1000  # of a slot that are looked at in one go
_PATIENCE = 60_000  # milliseconds for one MIGRATE
_CONNECTIONS = 8  # for commands that wait for replicas


_EMPTYING = """
local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], 512)
if #keys > 0 then redis.call('MIGRATE', ARGV[2], ARGV[3], '', '0', ARGV[4], 'REPLACE', 'KEYS', unpack(keys)) end
"""
"""Moves the keys of a small slot without their names coming to us, of which there may be millions: that took longer than to move them.

It does not say who we are: what a script is given can be read in the slow log and by who monitors. The engine keeps its connection to a
target for some seconds, so a command of its own that moves one key, whose password is shown to nobody, says so for all that follow.
"""


class _KeyMover:
    """MIGRATE commands, with as many keys each as take some milliseconds."""

    _BOUNDS = (16, 512)  # keys, at least and at most
    _QUICK, _SLOW = 0.002, 0.006  # seconds below which one gets more keys, and above which fewer
    _AHEAD = 4  # commands under way at a time

    def __init__(self, source: Talk, to: Reach, goes_on: Callable[[], bool]) -> None:
        self._source = source
        self.to = (to.address, str(to.port))
        who = to.credentials
        self._as = ("AUTH2", who.username, who.password) if who is not None else ()
        self._goes_on = goes_on
        self._keys = 64

    def keys_in(self, slots: list[int]) -> list[list[bytes]]:
        """The keys of each slot, a thousand at most."""
        return self._source.obey([("CLUSTER", "GETKEYSINSLOT", str(slot), str(_MOST_KEYS)) for slot in slots])

    @property
    def is_somebody(self) -> bool:
        """Whether the target is to be told who we are."""
        return bool(self._as)

    def command(self, keys: list[bytes]) -> Command:
        """Move these keys of one slot, in place of copies that an attempt which ended in the middle may have left."""
        return ("MIGRATE", *self.to, "", "0", str(_PATIENCE), "REPLACE", *self._as, "KEYS", *keys)

    def move(self, lots: list[list[bytes]]) -> None:
        """Move the keys of several open slots."""
        commands = (self.command(part) for keys in lots for part in self._parts(keys))
        while self._goes_on() and (ahead := [command for _, command in zip(range(self._AHEAD), commands, strict=False)]):
            began = time.monotonic()
            self._source.obey(ahead)
            took = (time.monotonic() - began) / len(ahead)
            least, most = self._BOUNDS
            if took > self._SLOW:
                self._keys = max(least, self._keys // 2)
            elif took < self._QUICK:
                self._keys = min(most, self._keys * 2)

    def drain(self, slots: list[int]) -> None:
        """Move the keys of open slots until there are none: in an open slot none can come up again."""
        full = slots
        while full and self._goes_on():
            found = self.keys_in(full)
            self.move([keys for keys in found if keys])
            full = [slot for slot, keys in zip(full, found, strict=True) if len(keys) == _MOST_KEYS]

    def _parts(self, keys: list[bytes]) -> Iterator[list[bytes]]:
        start = 0
        while start < len(keys):
            part = keys[start : start + self._keys]
            start += len(part)
            yield part


class WholeSlotsTransfer:
    """The keys of a slot and the slot itself leave the source in one transaction, so that no client meets a slot that is half there.

    Until the target owns it as well, a fraction of a millisecond, both send clients to each other. No slot is ever open, but one with so
    many keys that a transaction would take long: its clients are sent on key by key while most of them go.
    """

    _SMALL = 256  # keys that go in one transaction
    _LONG = 0.004  # seconds that clients may be sent to and fro: some give up after 16 times
    _FEWEST_SLOTS, _MOST_SLOTS = 4, 16  # on a busy machine a round trip takes its milliseconds however few go with it
    _BATCH = 64

    def __init__(self, source: Talk, other: Talk, me: str, target: str, to: Reach, goes_on: Callable[[], bool]) -> None:
        self._source, self._other = source, other
        self._me, self._target = me, target
        self._goes_on = goes_on
        self._mover = _KeyMover(source, to, goes_on)
        self._slots = self._FEWEST_SLOTS

    def move(self, left: list[int], owned: int) -> None:
        """Prepare a batch of slots and move it, a few slots at a time, more of them the quicker that is. Raises CommandRefusedError."""
        batch = left[: self._BATCH]
        self._other.obey([("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self._me) for slot in batch])
        sizes = self._source.obey([("CLUSTER", "COUNTKEYSINSLOT", str(slot)) for slot in batch])
        for slot, size in zip(batch, sizes, strict=True):
            if size > self._SMALL:
                self._source.obey([("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self._target)])
                self._mover.drain([slot])
        gone = 0
        while batch and self._goes_on():
            few, batch = batch[: self._slots], batch[self._slots :]
            gone += self._give_up(few)
        if not gone and self._goes_on():  # a slot of which keys are left stays, open now, and goes the next time
            raise CommandRefusedError(f"slots {left[0]} and following were not given up by the source")

    def _give_up(self, few: list[int]) -> int:
        """Move a few slots; answers how many went."""
        began = time.monotonic()
        transactions = [self._transaction(slot, key) for slot, key in zip(few, self._introducing(few), strict=True)]
        self._source.send([command for transaction in transactions for command in transaction])
        owned: list[Command] = []
        try:
            for slot, transaction in zip(few, transactions, strict=True):
                outcome = self._source.answers(len(transaction))[-1]
                if isinstance(outcome, list) and outcome[-1] == b"OK":
                    owned.append(("CLUSTER", "SETSLOT", str(slot), "NODE", self._target))
                    self._other.send(owned[-1:])  # at once, for until then clients are sent to and fro
        except EngineUnreachableError:
            self._other.close()  # with answers that nobody has read
            raise
        self._other.obeyed(owned)
        took = time.monotonic() - began
        self._slots = max(self._FEWEST_SLOTS, self._slots // 2) if took > self._LONG else min(self._MOST_SLOTS, self._slots + 1)
        return len(owned)

    def close(self) -> None:
        """It has no connection of its own."""

    def _introducing(self, few: list[int]) -> list[list[bytes]]:
        """A key of each slot, where there is any, with which we say who we are: it goes by a command of its own."""
        if not self._mover.is_somebody:
            return [[] for _ in few]
        keys: list[list[bytes]] = self._source.obey([("CLUSTER", "GETKEYSINSLOT", str(slot), "1") for slot in few])
        return keys

    def _transaction(self, slot: int, introducing: list[bytes]) -> list[Command]:
        """Refused by the engine as far as keys are left in the slot."""
        opened = ("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self._target)
        emptied = ("EVAL", _EMPTYING, "0", str(slot), *self._mover.to, str(_PATIENCE))
        closed = ("CLUSTER", "SETSLOT", str(slot), "NODE", self._target)
        introduced = [self._mover.command(introducing)] if introducing else []
        return [("MULTI",), opened, *introduced, emptied, closed, ("EXEC",)]


class OpenSlotsTransfer:
    """Slots are opened at both ends, emptied, and closed at the target, which owns them from then on, and then at the source.

    For Valkey 8, whose SETSLOT has every replica know first: one after the other they take milliseconds each, over several connections
    together no longer than one. In a transaction it ends the process, so what is open is seen by clients, who are asked to look at both
    ends. Some know only nodes that own slots, so a new shard gets its first slots one by one.
    """

    _FIRST_ALONE = 16
    _MOST_SLOTS = 64

    def __init__(self, spec: NodeSpec, me: str, target: str, to: Reach, goes_on: Callable[[], bool]) -> None:
        self._source = Talks(own_reach(spec), _CONNECTIONS)
        self._other = Talks(to, _CONNECTIONS)
        self._keys = Talk(own_reach(spec))
        self._me, self._target = me, target
        self._goes_on = goes_on
        self._mover = _KeyMover(self._keys, to, goes_on)
        self._steps = 0

    def move(self, left: list[int], owned: int) -> None:
        """Move a batch of slots. Raises CommandRefusedError."""
        self._steps += 1
        slots = left[: 1 if self._steps <= self._FIRST_ALONE else min(self._MOST_SLOTS, 4 * (self._steps - self._FIRST_ALONE))]
        self._set(self._other, slots, "IMPORTING", self._me)
        self._set(self._source, slots, "MIGRATING", self._target)
        self._mover.drain(slots)
        if self._goes_on():
            self._set(self._other, slots, "NODE", self._target)
            self._set(self._source, slots, "NODE", self._target)

    def close(self) -> None:
        """Close its connections."""
        for talk in (self._source, self._other, self._keys):
            talk.close()

    @staticmethod
    def _set(end: Talks, slots: list[int], state: str, node: str) -> None:
        end.obey([("CLUSTER", "SETSLOT", str(slot), state, node) for slot in slots])
