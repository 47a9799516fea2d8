"""Which users the engine of a node was told over the present connection, and what it had against them."""

from __future__ import annotations

import logging

from agents.engines.engine import Enforced, Session
from api_schemas.agent.node import NodeSpec

log = logging.getLogger("cachewright.agent")


class UsersKept:
    """Told once over each connection, for somebody else may have been there meanwhile; and whenever others are desired."""

    def __init__(self) -> None:
        self._enforced = Enforced()

    @property
    def digest(self) -> str:
        """Of the users that the engine has; "" where nobody knows, or where it has others than are desired."""
        return self._enforced.digest

    @property
    def refused(self) -> str | None:
        """What the engine refused, in a sentence."""
        return self._enforced.refused

    def forget(self) -> None:
        """The connection is closed."""
        self._enforced = Enforced()

    def keep(self, session: Session, spec: NodeSpec) -> None:
        """Have the engine know the users of the spec, if it may have others."""
        if spec.access is None or self.digest == spec.access.digest:
            return
        former, self._enforced = self.refused, session.enforce(spec)
        if self.refused and self.refused != former:
            log.warning("engine refused users  node=%s because=%s", spec.key, self.refused)
