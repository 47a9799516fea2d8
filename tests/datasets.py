"""A data set with values of every type, expiries and functions; and everything that is in a group, as its engines tell it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import redis
from groups import Group
from redis.crc import key_slot

LIBRARY = "#!lua name=counting\nredis.register_function('counted', function(keys) return redis.call('INCR', keys[1]) end)"
FUNCTION = "counted"
_AT_ONCE = 500


class Value(NamedTuple):
    """What a key holds: its type, its value in an order that does not depend on the engine, and when it expires (-1 for never)."""

    type: str
    value: Any
    expires_at: int


def fill(client: Any, keys: int, expires_at: int) -> None:
    """Write so many keys of six types, a third of which expire at that time (milliseconds since 1970). Big values are among them."""
    for first in range(0, keys, _AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for number in range(first, min(first + _AT_ONCE, keys)):
            _write(pipe, number)
            if number % 3 == 0:
                pipe.pexpireat(_key(number), expires_at)
        pipe.execute()


def _key(number: int) -> str:
    return f"{('string', 'number', 'list', 'set', 'zset', 'hash', 'stream', 'big')[number % 8]}:{number}"


def _write(pipe: Any, number: int) -> None:
    key, some = _key(number), range(1 + number % 7)
    match number % 8:
        case 0:
            pipe.set(key, f"value of {number} " * (number % 5))
        case 1:
            pipe.set(key, number * 1_000_003)
        case 2:
            pipe.rpush(key, *(f"item {at}" for at in some))
        case 3:
            pipe.sadd(key, *(f"member {at}" if number % 2 else at for at in some))
        case 4:
            pipe.zadd(key, {f"member {at}": at / 3 for at in some})
        case 5:
            pipe.hset(key, mapping={f"field {at}": f"{number} {at}" for at in some})
        case 6:
            for at in some:
                pipe.xadd(key, {"n": str(at)}, id=f"{number + 1}-{at}")
        case _:
            pipe.rpush(key, *(f"{number} {at} " * 20 for at in range(200 if number % 400 == 7 else 3)))


def contents(group: Group) -> dict[str, Value]:
    """Every key of a group by its name, as the primaries hold them. A key in the wrong shard, or in two, raises AssertionError."""
    found: dict[str, Value] = {}
    for part in group.seen()["NodeGroups"]:
        slots = _slots(part.get("Slots"))
        with _at(group.primary(part["NodeGroupId"])) as engine:
            for key, value in values_of(engine):
                assert key not in found, f"{key} is in two shards"
                assert slots is None or key_slot(key.encode()) in slots, f"{key} is not in the shard that owns its slot"
                found[key] = value
    return found


def replicas_have_the_same(group: Group) -> None:
    """Every replica of a group holds what its primary does."""
    for part in group.seen()["NodeGroups"]:
        nodes = [node for node in group.nodes() if node["node_group_id"] == part["NodeGroupId"]]
        held = []
        for node in nodes:
            with _at(node) as engine:
                if node["desired_role"] != "primary" and part.get("Slots"):
                    engine.readonly()
                held.append(dict(values_of(engine)))
        assert all(each == held[0] for each in held), part["NodeGroupId"]


def load_functions(group: Group) -> None:
    """Every primary has the function ``counted``."""
    for part in group.seen()["NodeGroups"]:
        with _at(group.primary(part["NodeGroupId"])) as engine:
            engine.function_load(LIBRARY)


def _at(node: dict[str, Any]) -> redis.Redis:
    return redis.Redis(host=node["address"], port=node["port"], decode_responses=True, socket_timeout=10)


def _slots(shown: str | None) -> set[int] | None:
    if shown is None:
        return None
    bounds = [tuple(map(int, part.split("-"))) for part in shown.split(",")]
    return {slot for first, last in bounds for slot in range(first, last + 1)}


def values_of(engine: redis.Redis) -> Iterator[tuple[str, Value]]:
    """Every key of an engine with what it holds, in the order of names."""
    keys = sorted(engine.scan_iter(count=1000))
    for first in range(0, len(keys), _AT_ONCE):
        batch = keys[first : first + _AT_ONCE]
        pipe = engine.pipeline(transaction=False)
        for key in batch:
            pipe.type(key)
            pipe.pexpiretime(key)
        told = pipe.execute()
        types, times = told[::2], told[1::2]
        for key, kind in zip(batch, types, strict=True):
            _read(pipe, key, kind)
        for key, kind, when, value in zip(batch, types, times, pipe.execute(), strict=True):
            yield key, Value(kind, sorted(value) if kind == "set" else value, when)


def _read(pipe: Any, key: str, kind: str) -> None:
    match kind:
        case "string":
            pipe.get(key)
        case "list":
            pipe.lrange(key, 0, -1)
        case "set":
            pipe.smembers(key)
        case "zset":
            pipe.zrange(key, 0, -1, withscores=True)
        case "hash":
            pipe.hgetall(key)
        case _:
            pipe.xrange(key)
