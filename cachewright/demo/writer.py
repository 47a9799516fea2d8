"""A client that writes numbered keys to an endpoint for as long as it runs, and remembers who acknowledged what and when."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple, Self

from cachewright.demo.clock import now

_ONE_AFTER_ANOTHER = 0.001  # seconds between two writes, and between two attempts to connect
_PATIENCE = 1.0
_AT_ONCE = 1000


class Write(NamedTuple):
    """An acknowledged write: its number, when the word came, and the run id of the engine that gave it."""

    number: int
    at: datetime
    by: str


class Writer:
    """Writes ``order:1``, ``order:2`` … one after another, and connects anew whenever a write fails; that number is not tried again."""

    def __init__(self, address: str, port: int) -> None:
        self.acknowledged: list[Write] = []
        self._place = (address, port)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write, name="demo-writer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def acknowledged_by(self) -> str | None:
        """The run id of the engine that acknowledged last; None as long as none did."""
        return self.acknowledged[-1].by if self.acknowledged else None

    def missing(self) -> int | None:
        """How many acknowledged writes are not there any more; None when that cannot be found out."""
        import redis

        numbers = [write.number for write in self.acknowledged]
        with suppress(redis.RedisError), closing(self._connect()) as client:
            return sum(_missing(client, numbers[start : start + _AT_ONCE]) for start in range(0, len(numbers), _AT_ONCE))
        return None

    def _write(self) -> None:
        import redis

        numbers = count(1)
        while not self._done.wait(_ONE_AFTER_ANOTHER):
            with suppress(redis.RedisError), closing(self._connect()) as client:
                # One connection leads to one process, so whoever says its name here is who acknowledges what follows on it.
                by = client.info("server")["run_id"]
                for number in numbers:
                    client.set(f"order:{number}", number)
                    self.acknowledged.append(Write(number, now(), by))
                    if self._done.wait(_ONE_AFTER_ANOTHER):
                        return

    def _connect(self) -> Any:
        """A client with one connection that never tries again by itself, so that no time is spent where nobody sees it."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        address, port = self._place
        return redis.Redis(address, port, decode_responses=True, single_connection_client=True, retry=Retry(NoBackoff(), 0),
                           socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)  # fmt: skip


def _missing(client: Any, numbers: list[int]) -> int:
    values = client.mget([f"order:{number}" for number in numbers])
    return sum(value != str(number) for number, value in zip(numbers, values, strict=True))
