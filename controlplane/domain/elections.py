"""Primaries that were elected, and among whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica at an election: whether it had answered the roll and was proven, and how many bytes it had replicated."""

    node: str
    answered: bool
    proven: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Election:
    """A primary that was elected: where, when, at which epoch, instead of whom, why, and among whom, the best first."""

    at: datetime
    group: str
    epoch: int
    former: str | None
    elected: str
    because: str
    candidates: tuple[Candidate, ...] = ()
