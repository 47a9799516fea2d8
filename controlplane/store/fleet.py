"""Agents that have introduced themselves, and the addresses that were drawn."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, delete, insert, select, update

from api_schemas.agent.agent import LEASE, AgentHello
from controlplane.store.tables import AddressRow, AgentRow

NOBODY = "-"
"""The key of an address that must not be drawn: a foreign process holds it."""


class NoAddressLeftError(Exception):
    """Every address of the network is drawn; the text names the network."""


HEARD_WITHIN = LEASE + 1.0
"""Seconds after its last word for which an agent counts as heard: longer than its lease, so that it has stopped relying on us by then."""


class Heartbeats:
    """When each agent was heard last: only in memory, and on a clock that never jumps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard_at: dict[str, float] = {}

    def hear(self, agent: str) -> bool:
        """The agent said something; answers whether it had been silent."""
        now = self._clock()
        before = self._heard_at.get(agent)
        self._heard_at[agent] = now
        return before is None or now - before > HEARD_WITHIN

    def is_heard(self, agent: str) -> bool:
        """Whether the agent spoke lately."""
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


class Agents:
    """Who has introduced itself, by agent name."""

    def __init__(self, memory: dict[str, AgentHello], connection: Connection | None, heartbeats: Heartbeats) -> None:
        self._memory = memory
        self._connection = connection
        self._heartbeats = heartbeats
        self._changed: dict[str, AgentHello | None] = {}

    @staticmethod
    def load(connection: Connection) -> dict[str, AgentHello]:
        """Everything the database holds."""
        documents = connection.execute(select(AgentRow.document)).scalars()  # type: ignore[call-overload]
        return {hello.agent: hello for hello in map(AgentHello.model_validate_json, documents)}

    def all(self) -> list[AgentHello]:
        """Every agent, by name."""
        both = {**self._memory, **self._changed}
        return [hello for _, hello in sorted(both.items()) if hello is not None]

    def get(self, agent: str) -> AgentHello | None:
        """What the agent said of itself."""
        return self._changed.get(agent, self._memory.get(agent))

    def is_heard(self, agent: str) -> bool:
        """Whether the agent is known and spoke lately."""
        hello = self.get(agent)
        return hello is not None and self._heartbeats.is_heard(agent)

    def last_word(self, agent: str) -> str | None:
        """Names the moment of a silent agent's last word; None while it is heard, or was never."""
        return self._heartbeats.last_word(agent)

    def put(self, hello: AgentHello) -> None:
        """Remember an agent as it introduced itself last."""
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        document = hello.model_dump_json()
        if self.get(hello.agent) is not None:
            self._connection.execute(update(AgentRow).where(AgentRow.agent == hello.agent).values(document=document))  # type: ignore[arg-type]
        else:
            self._connection.execute(insert(AgentRow).values(agent=hello.agent, document=document))
        self._changed[hello.agent] = hello

    def forget(self, agent: str) -> None:
        """Know the agent no more."""
        if self._connection is None:
            raise RuntimeError("a reading unit of work cannot write")
        self._connection.execute(delete(AgentRow).where(AgentRow.agent == agent))  # type: ignore[arg-type]
        self._changed[agent] = None

    def settle(self) -> None:
        """Make this unit's changes visible to everybody; called after the commit."""
        for name, hello in self._changed.items():
            if hello is None:
                self._memory.pop(name, None)
            else:
                self._memory[name] = hello


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
