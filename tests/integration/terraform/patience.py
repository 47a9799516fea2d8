"""How the provider waits for a state, and how it tries again: its rules, with its waiting times divided by one factor."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from waiting import wait_until

T = TypeVar("T")

HURRY = 200
"""What every delay and every poll interval is divided by."""

DELAY, POLL = 30 / HURRY, 10 / HURRY

DEADLINE, MINUTE = 60.0, 2.0
"""Seconds for a wait as a whole, and for each minute that the provider goes on trying: where it gives up is no rule that a service
could notice, and a busy machine needs the time."""

GONE = "(gone)"
"""What a refresh function says of a resource that is not there."""


class UnexpectedState(Exception):
    """The service showed a state that is neither pending nor the target."""


@dataclass(frozen=True)
class StateChange:
    """A wait until a refresh function shows a target state, while it shows nothing but pending ones. No target: until it is gone."""

    pending: Collection[str]
    target: Collection[str] = ()
    delay: float = DELAY

    def wait(self, refresh: Callable[[], str]) -> None:
        """Returns when the target is reached. Raises UnexpectedState at the first text that is not foreseen."""
        wait_until(lambda: self._reached(refresh()), within=DEADLINE, every=POLL, first=self.delay)

    def _reached(self, state: str) -> bool:
        if state == GONE:
            return not self.target
        if state not in self.target and state not in self.pending:
            raise UnexpectedState(f"unexpected state '{state}', wanted target '{', '.join(self.target)}'; pending are {self.pending}")
        return state in self.target


def code_of(error: ClientError) -> str:
    """The code that the service sent with an error."""
    return str(error.response["Error"]["Code"])


def says(error: ClientError, code: str, fragment: str = "") -> bool:
    """True when the error has this code and the fragment in its message: how the provider classifies errors."""
    return code_of(error) == code and fragment in error.response["Error"]["Message"]


def retried(call: Callable[[], T], minutes: float, when: Callable[[ClientError], bool]) -> T:
    """The call's result, tried again for so many of the provider's minutes while it fails with an error that may pass."""
    failures: list[ClientError] = []

    def attempt() -> list[Any]:
        try:
            return [call()]
        except ClientError as error:
            if not when(error):
                raise
            failures[:] = [error]
            return []

    try:
        return wait_until(attempt, within=minutes * MINUTE, every=0.05)[0]  # type: ignore[no-any-return]
    except AssertionError:
        raise failures[0] from None
