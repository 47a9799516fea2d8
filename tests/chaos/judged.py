"""The judge with a writer that has done its work, for tests of what it notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chaos.clients import Lane, Written
from chaos.storm import Judge, Round
from chaos.troubles import Trouble

LANE = Lane("orders", "0001", ("127.0.0.1", 6379), "x", sharded=False)
PRIMARY = {"node": "orders-001", "zone": "us-east-1a", "agent": "a1"}
HEIR = {"node": "orders-002", "zone": "us-east-1b", "agent": "b1"}
BEGAN = 100.0


class Ledger:
    """A writer that has done its work."""

    def __init__(self, lost: tuple[float, ...] = (), failed: tuple[float, ...] = ()) -> None:
        self.ledger = [Written(number, at, at) for number, at in enumerate((BEGAN - 1, *lost, BEGAN + 9))]
        self.failures = [(at, "ConnectionError: refused") for at in failed]
        self._lost = lost

    def lost(self) -> list[Written]:
        return [written for written in self.ledger if written.acknowledged_at in self._lost]

    def longest_gap(self, since: float) -> tuple[float, float]:
        return 0.01, since + 0.01


def wrong(*troubles: Trouble, elected: bool = False, two_at_once: float = 0.0, ballast: int = 0, over_after: float = 9.0,
          **happened: Any) -> list[str]:  # fmt: skip
    """What the judge says of these troubles, after which that happened."""
    told = Round(1, list(troubles))
    primaries: list[dict[str, Any]] = [PRIMARY, HEIR] if elected else [PRIMARY]
    Judge(told, LANE, primaries, BEGAN, BEGAN + over_after).of(Ledger(**happened), two_at_once, int(elected), ballast)  # type: ignore[arg-type]
    return told.wrong


def refused(*troubles: Trouble, why: str) -> list[str]:
    """What the judge says of one refused write in a lane of a cluster."""
    told, ledger = Round(1, list(troubles)), Ledger()
    ledger.failures = [(BEGAN + 1, why)]
    Judge(told, replace(LANE, sharded=True), [PRIMARY], BEGAN, BEGAN + 9).of(ledger, 0.0, 0, 0)  # type: ignore[arg-type]
    return told.wrong
