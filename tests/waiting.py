"""Waiting for a condition with a deadline, in place of sleeping for a guessed time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], within: float = 10.0, every: float = 0.005, first: float = 0.0) -> T:
    """The first truthy value of ``condition``, asked every so many seconds. AssertionError when none came ``within`` seconds.

    ``first`` is for who plays a client that lets some time pass before it asks at all.
    """
    time.sleep(first)
    deadline = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within:g} s: {_described(condition)}; last seen: {value!r}")
        time.sleep(every)
    return value


def let_pass(seconds: float) -> None:
    """Let so much time pass where the moment or the length is the point, and no condition marks it."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, within=seconds + 5, every=min(0.01, max(seconds / 10, 0.0005)))


def _described(condition: Callable[[], object]) -> str:
    """The condition as it is written in the test, or its name."""
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return getattr(condition, "__qualname__", repr(condition))
