"""Clients of cluster mode behind one form: two that are published, and one that hides nothing of what it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import redis
from glide import ClusterBatch, GlideClusterClient, GlideClusterClientConfiguration, NodeAddress, ProtocolVersion
from redis.cluster import RedisCluster
from redis.crc import key_slot
from waiting import let_pass

from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import Reach
from agents.engines.talk import Talk

Place = tuple[str, int]
Words = tuple[str | bytes | int, ...]

_NAMED_AFTER_A_COUNT = ("EVAL", "FCALL")
_MOST_REDIRECTIONS = 200
_AT_ONCE = 5  # redirections that are followed at once: until both ends of a move know of it they may send a client to and fro
_LOOK_AGAIN = 0.5  # seconds


class Client(Protocol):
    """What a load asks of a client. Raises whatever the client raises."""

    def say(self, *words: str | bytes | int) -> Any:
        """The answer to one command."""

    def together(self, commands: Sequence[Words]) -> None:
        """Do all of it in one transaction, or nothing."""

    def close(self) -> None:
        """Close its connections."""


Connect = Callable[[Place], Client]


class RedisPy:
    """redis-py as it is published, with what it retries by default."""

    def __init__(self, seed: Place) -> None:
        self._client = RedisCluster(host=seed[0], port=seed[1], socket_timeout=60)  # longer than a BLPOP waits

    def say(self, *words: str | bytes | int) -> Any:
        """The answer to one command."""
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def together(self, commands: Sequence[Words]) -> None:
        """Do all of it in one transaction."""
        with self._client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class Glide:
    """valkey-glide as it is published, on an event loop of its own."""

    def __init__(self, seed: Place) -> None:
        self._loop = asyncio.new_event_loop()
        told = GlideClusterClientConfiguration([NodeAddress(*seed)], request_timeout=60_000, protocol=ProtocolVersion.RESP2)
        self._client = self._loop.run_until_complete(GlideClusterClient.create(told))

    def say(self, *words: str | bytes | int) -> Any:
        """The answer to one command."""
        return self._loop.run_until_complete(self._client.custom_command([_text(word) for word in words]))

    def together(self, commands: Sequence[Words]) -> None:
        """Do all of it in one transaction."""
        batch = ClusterBatch(is_atomic=True)
        for command in commands:
            batch.custom_command([_text(word) for word in command])
        self._loop.run_until_complete(self._client.exec(batch, raise_on_error=True))

    def close(self) -> None:
        """Close its connections."""
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


class NotEverywhereError(Exception):
    """A write was acknowledged, and not by as many replicas as it was to have."""


class Strict:
    """Follows redirections and nothing else: whatever else it is answered it raises, and it never says anything twice.

    With ``replicas`` a write is done once so many replicas have it, on the very connection that it was said on.
    """

    def __init__(self, seed: Place, replicas: int = 0) -> None:
        self._seed = seed
        self._replicas = replicas
        self._talks: dict[Place, Talk] = {}
        self._places: dict[int, Place] = {}
        self._looked_at = -math.inf
        self._look()

    def say(self, *words: str | bytes | int) -> Any:
        """The answer to one command. Raises what it is refused with."""
        return self._told(key_slot(_bytes(_key_in(words))), [words])[0]

    def together(self, commands: Sequence[Words]) -> None:
        """Do all of it in one transaction."""
        self._told(key_slot(_bytes(_key_in(commands[0]))), [("MULTI",), *commands, ("EXEC",)])

    def at(self, place: Place, commands: Sequence[Words]) -> list[Any]:
        """The answers of one node, refusals among them."""
        if place not in self._talks:
            self._talks[place] = Talk(Reach(*place), patience=10.0)
        return self._talks[place].each(commands)

    def primaries(self) -> list[Place]:
        """Who is seen to own slots now."""
        self._look()
        return sorted(set(self._places.values()))

    def owned_by(self, place: Place) -> set[int]:
        """The slots that this node was seen to own at the last look."""
        return {slot for slot, owner in self._places.items() if owner == place}

    def close(self) -> None:
        """Close its connections."""
        for talk in self._talks.values():
            talk.close()

    def _told(self, slot: int, commands: list[Words]) -> list[Any]:
        place, is_asked = self._place_of(slot), False
        for redirections in range(_MOST_REDIRECTIONS):
            if redirections > _AT_ONCE:
                let_pass(0.001)
            sent = [*([("ASKING",)] if is_asked else []), *commands, *([("WAIT", self._replicas, 200)] if self._replicas else [])]
            try:
                answers = self.at(place, sent)
            except EngineUnreachableError:
                self._look()
                raise
            told = answers[is_asked : is_asked + len(commands)]
            refused = [answer for answer in told if isinstance(answer, redis.ResponseError)]
            if not refused:
                if self._replicas and answers[-1] < self._replicas:
                    raise NotEverywhereError(f"{commands[0][:2]} at {place[0]}")
                return told
            is_asked = False
            match refused[0]:
                case redis.exceptions.MovedError() as moved:
                    self._look_anew()
                    place = self._places[slot] = (moved.host, moved.port)
                case redis.exceptions.AskError() as ask:
                    place, is_asked = (ask.host, ask.port), True
                case redis.exceptions.TryAgainError():  # some of its keys have gone, and the others go within milliseconds
                    place = self._places[slot]
                    let_pass(0.002)
                case other:
                    self._look()
                    raise other
        raise AssertionError(f"slot {slot} was sent to and fro {_MOST_REDIRECTIONS} times")

    def _place_of(self, slot: int) -> Place:
        if slot not in self._places:
            self._look()
        if slot not in self._places:
            raise EngineUnreachableError(f"nobody is known to own slot {slot}")
        return self._places[slot]

    def _look_anew(self) -> None:
        """Who is sent on has learned that something moves, and asks where everything is by now: not at every slot of hundreds."""
        if time.monotonic() - self._looked_at > _LOOK_AGAIN:
            self._look()

    def _look(self) -> None:
        """Ask whoever answers who owns what."""
        self._looked_at = time.monotonic()
        for place in [*self._talks, self._seed]:
            with contextlib.suppress(EngineUnreachableError):
                (listed,) = self.at(place, [("CLUSTER", "SLOTS")])
                if isinstance(listed, list) and listed:
                    self._places |= {
                        slot: (primary[0].decode(), primary[1]) for first, last, primary, *_ in listed for slot in range(first, last + 1)
                    }
                    return


def _key_in(words: Words) -> str | bytes | int:
    if words[0] in _NAMED_AFTER_A_COUNT:
        return words[3]
    return words[2] if words[0] == "XINFO" else words[1]


def _bytes(word: str | bytes | int) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _text(word: str | bytes | int) -> str | bytes:
    return word if isinstance(word, bytes) else str(word)
