"""The clients whom a name leads to a primary's own address: closed when it no longer does, so that they ask for the name anew.

An address that a node lets go takes its clients with it. A name has no such hold on them: a connection stays where it is.
"""

from __future__ import annotations

from agents.engines.engine import Observation, Session
from api_schemas.agent.node import NodeSpec, Role


class LedClients:
    """Whether a name has led clients here. ``are_here`` is None while nobody knows: the engine was adopted from a former agent."""

    def __init__(self, *, are_here: bool | None = None) -> None:
        self._are_here = are_here

    def look(self, session: Session, spec: NodeSpec, seen: Observation, *, gives_up: bool, settled: bool) -> None:
        """Close them once they should be elsewhere: the node is to be primary no longer, or ``gives_up`` and refuses all writes.

        Until the engine has ``settled`` in its role it takes writes of whoever comes back, so that they are closed at each look.
        """
        leads = spec.named and spec.role is Role.PRIMARY and not gives_up
        led = spec.named and seen.role is Role.PRIMARY if self._are_here is None else self._are_here
        if led and not leads:
            session.send_away()
        self._are_here = leads or (led and not settled)
