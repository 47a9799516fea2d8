"""A connection to an engine over which several commands are sent at once, with their answers as they come, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, UnixDomainSocketConnection
from redis.retry import Retry

from agents.engines.engine import EngineUnreachableError
from agents.engines.engine_connection import engine_connection
from agents.engines.reach import Reach


class CommandRefusedError(Exception):
    """An engine refused what it was told; the text says what, and what it said."""


class Talk:
    """Connects when it is first used. Not for two threads at once."""

    def __init__(self, reach: Reach, patience: float = 60.0) -> None:
        self._connection: AbstractConnection = engine_connection(reach, patience)

    def each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send the commands at once; their answers, refusals among them. Raises EngineUnreachableError."""
        self.send(commands)
        return self.answers(len(commands))

    def obey(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As ``each``. Raises CommandRefusedError for the first refusal."""
        return _obeyed(commands, self.each(commands))

    def obeyed(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to commands that were sent. Raises CommandRefusedError for the first refusal."""
        return _obeyed(commands, self.answers(len(commands)))

    def send(self, commands: Sequence[tuple[Any, ...]]) -> None:
        """Send the commands at once, without waiting for the answers. Raises EngineUnreachableError."""
        try:
            self._connection.connect()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except (redis.RedisError, OSError) as failed:
            self.close()
            raise EngineUnreachableError(str(failed)) from failed

    def answers(self, number: int) -> list[Any]:
        """The next answers to what was sent. Raises EngineUnreachableError."""
        try:
            return [self._answer() for _ in range(number)]
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


class SocketTalk(Talk):
    """As Talk, over a Unix socket. An answer may be awaited without taking it."""

    def __init__(self, socket: str, patience: float = 60.0) -> None:
        self._connection = UnixDomainSocketConnection(  # type: ignore[abstract]  # the library's own class, whose host is there
            path=socket, socket_timeout=patience, protocol=2, retry=Retry(NoBackoff(), 0)
        )

    def connect(self) -> None:
        """Connect now, so that the path of the socket need not stay. Raises EngineUnreachableError."""
        try:
            self._connection.connect()
        except (redis.RedisError, OSError) as failed:
            self.close()
            raise EngineUnreachableError(str(failed)) from failed

    def hears(self, within: float) -> bool:
        """Whether an answer, or the end of the connection, comes within so many seconds."""
        try:
            return bool(self._connection.can_read(timeout=within))
        except (redis.RedisError, OSError):
            return True  # to read it says what happened


class Talks:
    """Several connections to one engine, for commands that each have it wait for its replicas: they then wait together."""

    def __init__(self, reach: Reach, number: int) -> None:
        self._talks = [Talk(reach) for _ in range(number)]

    def each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send the commands in no particular order; their answers in order, refusals among them. Raises EngineUnreachableError."""
        number = len(self._talks)
        shares = [list(commands[place::number]) for place in range(number)]
        for talk, share in zip(self._talks, shares, strict=True):
            if share:
                talk.send(share)
        told: list[Any] = [None] * len(commands)
        for place, (talk, share) in enumerate(zip(self._talks, shares, strict=True)):
            told[place::number] = talk.answers(len(share))
        return told

    def obey(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As ``each``. Raises CommandRefusedError for the first refusal."""
        return _obeyed(commands, self.each(commands))

    def close(self) -> None:
        """Close them all."""
        for talk in self._talks:
            talk.close()


def _obeyed(commands: Sequence[tuple[Any, ...]], answers: list[Any]) -> list[Any]:
    for command, answer in zip(commands, answers, strict=True):
        if isinstance(answer, Exception):
            raise CommandRefusedError(f"{' '.join(map(str, command[:4]))} was refused: {answer}")
    return answers
