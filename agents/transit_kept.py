"""Which certificate the engine of a node was told to serve, over the present connection."""

from __future__ import annotations

from pathlib import Path

from agents.engines.engine import Session
from agents.engines.transit_files import write_transit
from api_schemas.agent.node import NodeSpec


class TransitKept:
    """Told once over each connection, and whenever another certificate is desired. Connections that are open keep theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digest = ""
        """Of what is served; "" where nobody knows."""

    def forget(self) -> None:
        """The connection is closed."""
        self.digest = ""

    def keep(self, session: Session, spec: NodeSpec) -> None:
        """Have the engine, and the front that may stand before it, serve the certificate of the spec."""
        if spec.transit is None or self.digest == spec.transit.digest:
            return
        write_transit(spec.transit, self._folder)
        session.certify(spec)
        self.digest = spec.transit.digest
