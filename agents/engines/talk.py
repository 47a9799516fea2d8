"""A connection to an engine over which several commands are sent at once, with their answers as they come, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from agents.engines.engine import EngineUnreachableError


class Talk:
    """Connects when it is first used. Not for two threads at once."""

    def __init__(self, address: str, port: int, patience: float = 60.0) -> None:
        self._connection = Connection(
            host=address, port=port, socket_timeout=patience, socket_connect_timeout=1.0, protocol=2, retry=Retry(NoBackoff(), 0)
        )

    def each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send the commands at once; their answers, refusals among them. Raises EngineUnreachableError."""
        try:
            self._connection.connect()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            return [self._answer() for _ in commands]
        except (redis.RedisError, OSError) as failed:
            self.close()
            raise EngineUnreachableError(str(failed)) from failed

    def say(self, *command: Any) -> Any:
        """Send one command; its answer. Raises EngineUnreachableError also for a refusal."""
        answer = self.each([command])[0]
        if isinstance(answer, Exception):
            raise EngineUnreachableError(str(answer)) from answer
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as refused:
            return refused
