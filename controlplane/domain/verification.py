"""A verification of a snapshot: every file of it is restored aside by a real engine, and what that holds is compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from controlplane.domain.topology import Binary


class Verdict(StrEnum):
    """How far a verification is, or a part of it."""

    WAITING = "waiting"  # for a program, or until others are done
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"  # ``problem`` says why


@dataclass(frozen=True, slots=True)
class PartVerification:
    """Of one node group's file: which agent examines it with which program, at which attempt, how far that is, and what it found.

    ``step`` is in words, ``done`` of ``total`` are bytes of it. ``refused`` are agents that could not be had for it.
    """

    group: str
    verdict: Verdict = Verdict.WAITING
    agent: str | None = None
    binary: Binary | None = None
    attempt: int = 0
    refused: tuple[str, ...] = ()
    step: str = ""
    done: int = 0
    total: int = 0
    problem: str | None = None
    keys: int | None = None
    expires: int | None = None
    functions: int | None = None
    digest: str | None = None
    digest_after: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict in (Verdict.PASSED, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class Verification:
    """Asked for at that moment, under an ``id`` that no other has. ``problem`` is one of the snapshot as a whole."""

    id: str
    asked_at: datetime
    parts: tuple[PartVerification, ...]
    verdict: Verdict = Verdict.RUNNING
    ended_at: datetime | None = None
    problem: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is no verdict yet."""
        return self.verdict is Verdict.RUNNING

    def with_part(self, changed: PartVerification) -> Self:
        """The same with the part of that node group replaced."""
        return replace(self, parts=tuple(changed if part.group == changed.group else part for part in self.parts))

    def failed(self, problem: str, now: datetime) -> Self:
        """The same, over, as the snapshot as a whole is not what it should be."""
        return replace(self, verdict=Verdict.FAILED, problem=problem, ended_at=now)

    def settled(self, now: datetime) -> Self:
        """The same, over if each of its parts is: passed only if all of them did."""
        if not self.is_running or not all(part.is_over for part in self.parts):
            return self
        passed = all(part.verdict is Verdict.PASSED for part in self.parts)
        return replace(self, verdict=Verdict.PASSED if passed else Verdict.FAILED, ended_at=now)
