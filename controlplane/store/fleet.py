"""Agents that have introduced themselves, and the addresses that were drawn."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, Executable, delete, insert, select, update

from api_schemas.agent.agent import LEASE, AgentHello
from controlplane.store.tables import AddressRow, AgentRow

_READ = select(AgentRow.agent, AgentRow.document, AgentRow.draining)  # type: ignore[call-overload]

NOBODY = "-"
"""The key of an address that must not be drawn: a foreign process holds it."""


class NoAddressLeftError(Exception):
    """Every address of the network is drawn; the text names the network."""


HEARD_WITHIN = LEASE + 1.0
"""Seconds after its last word for which an agent counts as heard: longer than its lease, so that it has stopped relying on us by then."""


class Heartbeats:
    """When each agent was heard last: only in memory, and on a clock that never jumps.

    Where another control plane leads, the agents speak to that one, and we know whom it counts as silent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard_at: dict[str, float] = {}
        self._silent: frozenset[str] | None = None

    def silent_for(self, agent: str) -> float:
        """Seconds since an agent's last word; 0 while it is heard, and where another control plane listens."""
        at = self._heard_at.get(agent)
        return 0.0 if at is None or self._silent is not None or self.is_heard(agent) else self._clock() - at

    def follow(self, silent: frozenset[str]) -> None:
        """Another control plane listens to the agents from now on; these it does not hear."""
        self._silent = silent

    def listen(self, agents: Iterable[str]) -> None:
        """We listen to the agents from now on. Nobody is silent before there was time to speak."""
        self._silent = None
        now = self._clock()
        self._heard_at = dict.fromkeys(agents, now)

    def hear(self, agent: str) -> bool:
        """The agent said something; answers whether it had been silent."""
        now = self._clock()
        before = self._heard_at.get(agent)
        self._heard_at[agent] = now
        return before is None or now - before > HEARD_WITHIN

    def is_heard(self, agent: str) -> bool:
        """Whether the agent spoke lately."""
        if self._silent is not None:
            return agent not in self._silent
        at = self._heard_at.get(agent)
        return at is not None and self._clock() - at <= HEARD_WITHIN

    def last_word(self, agent: str) -> str | None:
        """Names the moment of an agent's last word, so that one silence can be told from the next; None while it is heard."""
        at = self._heard_at.get(agent)
        return None if at is None or self.is_heard(agent) else f"{at:.3f}"

    def forgive(self, seconds: float) -> None:
        """Nobody could be heard for so long, because we did not listen: it counts for none of them."""
        for agent in list(self._heard_at):  # others may be heard meanwhile
            self._heard_at[agent] += seconds


@dataclass
class AgentMemory:
    """The agents that are known, by name, and the names of those whose hosts shall be emptied."""

    known: dict[str, AgentHello] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)

    def put(self, agent: str, hello: AgentHello | None, draining: bool) -> None:
        """Remember an agent as it is now, None meaning that it is not known any more."""
        if hello is None:
            self.known.pop(agent, None)
        else:
            self.known[agent] = hello
        if hello is not None and draining:
            self.draining.add(agent)
        else:
            self.draining.discard(agent)


def load_agents(connection: Connection) -> AgentMemory:
    """Everything the database holds."""
    memory = AgentMemory()
    for agent, document, draining in connection.execute(_READ):
        memory.put(agent, AgentHello.model_validate_json(document), draining)
    return memory


def load_agent(connection: Connection, agent: str, memory: AgentMemory) -> None:
    """Have the memory know what the database holds of one agent."""
    row = connection.execute(_READ.where(AgentRow.agent == agent)).one_or_none()
    memory.put(agent, AgentHello.model_validate_json(row[1]) if row else None, bool(row and row[2]))


class Agents:
    """Who has introduced itself, by agent name."""

    def __init__(self, memory: AgentMemory, connection: Connection | None, heartbeats: Heartbeats) -> None:
        self._memory = memory
        self._connection = connection
        self._heartbeats = heartbeats
        self._changed: dict[str, AgentHello | None] = {}
        self._drained: dict[str, bool] = {}

    @property
    def touched(self) -> frozenset[str]:
        """The agents that this unit of work has written down or removed."""
        return frozenset(self._changed) | frozenset(self._drained)

    def all(self) -> list[AgentHello]:
        """Every agent, by name."""
        both = {**self._memory.known, **self._changed}
        return [hello for _, hello in sorted(both.items()) if hello is not None]

    def get(self, agent: str) -> AgentHello | None:
        """What the agent said of itself."""
        return self._changed.get(agent, self._memory.known.get(agent))

    def is_draining(self, agent: str) -> bool:
        """Whether its host shall be emptied."""
        return self._drained.get(agent, agent in self._memory.draining)

    def drain(self, agent: str, draining: bool) -> None:
        """Have the host of an agent emptied, or used again."""
        self._write(update(AgentRow).where(AgentRow.agent == agent).values(draining=draining))  # type: ignore[arg-type]
        self._drained[agent] = draining

    def remove(self, agent: str) -> None:
        """Know the agent no more."""
        self._write(delete(AgentRow).where(AgentRow.agent == agent))  # type: ignore[arg-type]
        self._changed[agent] = None
        self._drained[agent] = False

    def silent_for(self, agent: str) -> float:
        """Seconds since the agent's last word; 0 while it is heard."""
        return self._heartbeats.silent_for(agent)

    def is_heard(self, agent: str) -> bool:
        """Whether the agent is known and spoke lately."""
        hello = self.get(agent)
        return hello is not None and self._heartbeats.is_heard(agent)

    def last_word(self, agent: str) -> str | None:
        """Names the moment of a silent agent's last word; None while it is heard, or was never."""
        return self._heartbeats.last_word(agent)

    def put(self, hello: AgentHello) -> None:
        """Remember an agent as it introduced itself last."""
        document = hello.model_dump_json()
        if self.get(hello.agent) is not None:
            self._write(update(AgentRow).where(AgentRow.agent == hello.agent).values(document=document))  # type: ignore[arg-type]
        else:
            self._write(insert(AgentRow).values(agent=hello.agent, document=document, draining=False))
        self._changed[hello.agent] = hello

    def settle(self) -> None:
        """Make this unit's changes visible to everybody; called after the commit."""
        for name, hello in self._changed.items():
            self._memory.put(name, hello, name in self._memory.draining)
        for name, draining in self._drained.items():
            self._memory.put(name, self._memory.known.get(name), draining)

    def _write(self, statement: Executable) -> None:
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        self._connection.execute(statement)


class Addresses:
    """Which addresses are drawn, and for whom. No address is drawn twice."""

    def __init__(self, memory: dict[str, str], connection: Connection | None) -> None:
        self._memory = memory
        self._connection = connection
        self._changed: dict[str, str | None] = {}

    @staticmethod
    def load(connection: Connection) -> dict[str, str]:
        """Everything the database holds."""
        rows = connection.execute(select(AddressRow.address, AddressRow.key))  # type: ignore[call-overload]
        return dict(tuple(row) for row in rows)

    @staticmethod
    def load_one(connection: Connection, address: str) -> str | None:
        """For whom the database says that the address is drawn."""
        key: str | None = connection.execute(select(AddressRow.key).where(AddressRow.address == address)).scalar()  # type: ignore[call-overload]
        return key

    @property
    def touched(self) -> frozenset[str]:
        """The addresses that this unit of work has drawn or given back."""
        return frozenset(self._changed)

    def draw(self, network: str, key: str) -> str:
        """The lowest free address of the network (CIDR), now drawn for ``key``. Raises NoAddressLeftError."""
        for address in ipaddress.ip_network(network).hosts():
            if self._holder(str(address)) is None:
                self._set(str(address), key)
                return str(address)
        raise NoAddressLeftError(f"every address of {network} is in use")

    def give_back(self, key: str) -> None:
        """Every address drawn for ``key`` is free again."""
        for address in list(self._drawn_for(key)):
            self._set(address, None)

    def release(self, address: str) -> None:
        """The address is free again, whoever it was drawn for."""
        self._set(address, None)

    def block(self, address: str) -> None:
        """Keep an address from being drawn: a foreign process holds it."""
        self._set(address, None)
        self._set(address, NOBODY)

    def settle(self) -> None:
        """Make this unit's changes visible to everybody; called after the commit."""
        for address, key in self._changed.items():
            if key is None:
                self._memory.pop(address, None)
            else:
                self._memory[address] = key

    def _holder(self, address: str) -> str | None:
        return self._changed[address] if address in self._changed else self._memory.get(address)

    def _drawn_for(self, key: str) -> Iterator[str]:
        both = {**self._memory, **self._changed}
        return (address for address, holder in both.items() if holder == key)

    def _set(self, address: str, key: str | None) -> None:
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        if key is None:
            self._connection.execute(delete(AddressRow).where(AddressRow.address == address))  # type: ignore[arg-type]
        else:
            self._connection.execute(insert(AddressRow).values(address=address, key=key))
        self._changed[address] = key
