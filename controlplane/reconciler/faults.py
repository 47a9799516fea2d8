"""Injected faults become orders for agents, and end when their time is up. An agent is sent all its faults whenever these change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from api_schemas.agent.agent import AgentHello, Orders
from api_schemas.agent.fault import FaultSpec, FaultyNode
from api_schemas.fault_kind import BY_FILTER
from controlplane.clock import Clock
from controlplane.domain.events import Event
from controlplane.domain.fault import DONE, TIME_IS_UP, InjectedFault, end
from controlplane.reconciler.fleet import AgentUnreachableError, Fleet
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Committed, Store

log = logging.getLogger("cachewright.reconciler")

KEPT = timedelta(hours=1)
"""How long a fault is remembered after its end."""

_RETRY = 0.5
_LONGEST_WAIT = 300.0


class FaultPusher:
    """Tells each agent which faults it shall have, in a thread of its own; ends those whose time is up.

    An agent that was told of a fault undoes it by itself. So one that cannot be reached delays only an end before the time.
    """

    def __init__(self, store: Store, fleet: Fleet, clock: Clock) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._taken: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="faults", daemon=True)
        store.listen(self._on_commit)

    def start(self) -> None:
        """Begin, as soon as this control plane leads."""
        self._thread.start()

    def lead(self) -> None:
        """Everybody is told once what goes on, or that nothing does. Where something does, that comes before all else."""
        with self._lock:
            self._taken.clear()
        with self._store.reading() as unit:
            goes_on = bool(unit.faults.active())
        if goes_on:
            self.converge_once()
        self._due.set()

    def welcome(self, agent: str) -> None:
        """The agent has joined, perhaps without what it knew: it is told again."""
        with self._lock:
            self._taken.pop(agent, None)
        self._due.set()

    def is_involved(self, agent: str) -> bool:
        """Whether the agent has a fault that it was told of. Then its silence may be our doing, and it still hears of faults."""
        return bool(self._taken.get(agent))

    def close(self) -> None:
        """End after the round that is under way."""
        self._closing = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def converge_once(self) -> float:
        """One round: what is over ends, and agents are told. Answers in how many seconds to look again."""
        now = self._clock.now()
        self._end_due(now)
        with self._store.reading() as unit:
            active, agents = unit.faults.active(), unit.agents.all()
        told = {hello.agent: self._tell(hello, active, agents, now) for hello in agents}
        done = [fault for fault in active if fault.is_momentary and all(told[node.agent] for node in fault.nodes if node.agent in told)]
        self._end(done, self._clock.now(), DONE)
        left = [(fault.ends_at - now).total_seconds() for fault in active]
        return max(0.0, min([*left, _LONGEST_WAIT if all(told.values()) else _RETRY]))

    def _end_due(self, now: datetime) -> None:
        with self._store.reading() as unit:
            due = [fault for fault in unit.faults.active() if fault.ends_at <= now]
        self._end(due, now, TIME_IS_UP)

    def _end(self, faults: Iterable[InjectedFault], now: datetime, because: str) -> None:
        ids = [fault.id for fault in faults]
        if not ids:
            return
        with self._store.transaction(leading=True) as unit:
            for found in map(unit.faults.get, ids):
                if found is None or not found.is_active:
                    continue
                over = found.ended(now, because)
                unit.faults.save(over)
                for source_type, source in over.sources:
                    unit.events.say(Event(over.world, source_type, source, end(over), now))
            unit.faults.forget_ended(now - KEPT)

    def _tell(self, hello: AgentHello, active: list[InjectedFault], agents: list[AgentHello], now: datetime) -> bool:
        """Whether the agent knows its faults."""
        specs = [fault_spec(fault, hello, agents, now) for fault in active if fault.concerns(hello.agent, hello.zone[-1:])]
        ids = frozenset(spec.id for spec in specs)
        with self._lock:
            if self._taken.get(hello.agent) == ids:
                return True
        try:
            self._fleet.push(hello.agent, Orders(faults=specs))
        except AgentUnreachableError as unreachable:
            log.debug("agent was not told of faults  agent=%s because=%s", hello.agent, unreachable)
            return not specs and hello.agent not in self._taken  # one that never had any will be told when it joins
        with self._lock:
            self._taken[hello.agent] = ids
        return True

    def _on_commit(self, committed: Committed) -> None:
        if committed.faults:
            self._due.set()

    def _work(self) -> None:
        wait = 0.0
        while not self._closing:
            self._due.wait(wait)
            self._due.clear()
            if self._closing:
                return
            if not self._store.leadership.leads:
                wait = _RETRY
                continue
            try:
                wait = self.converge_once()
            except NotLeadingError:
                wait = _RETRY
            except Exception:  # a round that fails must not end the work
                log.exception("telling agents of faults failed")
                wait = _RETRY


def fault_spec(fault: InjectedFault, hello: AgentHello, agents: Iterable[AgentHello], now: datetime) -> FaultSpec:
    """What one agent shall have of a fault."""
    letter = hello.zone[-1:]
    mine = [FaultyNode(key=node.key, boot=node.boot) for node in fault.nodes if node.agent == hello.agent]
    parted = {other.network for other in agents if fault.parts(letter, other.zone[-1:])} if fault.kind in BY_FILTER else set()
    return FaultSpec(
        id=fault.id,
        kind=fault.kind,
        seconds=max(0.0, (fault.ends_at - now).total_seconds()),
        nodes=mine if fault.nodes_only else [],
        whole=not fault.nodes_only,
        slowness=fault.slowness,
        apart_from=sorted(parted),
    )
