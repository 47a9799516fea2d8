"""A client that writes for as long as a test lasts, and remembers what was acknowledged to it."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import redis
from redis.exceptions import RedisClusterException
from waiting import wait_until

ONE_AFTER_ANOTHER = 0.001  # seconds between two writes


class Writer:
    """Writes numbered keys through a client, which it makes anew whenever a write fails.

    ``acknowledged`` are the numbers that the cache said OK to, ``everywhere`` those of them that all replicas had when it was asked
    with them; ``longest`` is the longest time between two acknowledged writes.
    """

    def __init__(self, connect: Callable[[], Any], replicas: int) -> None:
        self.acknowledged: list[int] = []
        self.everywhere: list[int] = []
        self.longest = 0.0
        self._connect = connect
        self._replicas = replicas
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        self.go_on_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def go_on_for(self, writes: int) -> None:
        """Return once so many more writes were acknowledged."""
        reached = len(self.acknowledged) + writes
        wait_until(lambda: len(self.acknowledged) >= reached, within=30)

    def lost(self, numbers: list[int]) -> list[int]:
        """Which of these numbers are not there any more."""
        with contextlib.closing(self._connect()) as client:
            return [number for number in numbers if client.get(f"key:{number}") != str(number)]

    def _write(self) -> None:
        numbers = itertools.count(1)
        last = time.monotonic()
        while not self._done.is_set():
            with contextlib.suppress(redis.RedisError, RedisClusterException, OSError), contextlib.closing(self._connect()) as client:
                while not self._done.wait(ONE_AFTER_ANOTHER):
                    number = next(numbers)
                    is_everywhere = self._set(client, number)
                    now = time.monotonic()
                    self.longest, last = max(self.longest, now - last), now
                    self.acknowledged.append(number)
                    if is_everywhere:
                        self.everywhere.append(number)

    def _set(self, client: Any, number: int) -> bool:
        """Write, and now and then ask whether all replicas have it: on the same connection, for to a new one WAIT says so of nothing."""
        if not self._replicas or number % 5:
            client.set(f"key:{number}", number)
            return False
        both = client.pipeline(transaction=False).set(f"key:{number}", number).wait(self._replicas, 100)
        return bool(both.execute()[1] == self._replicas)
