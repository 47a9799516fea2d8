"""Values of every kind and in every form that an engine has for them, put into one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import redis

LIBRARY = "#!lua name={0}\nredis.register_function('{0}_add', function(keys, args) return redis.call('RPUSH', keys[1], args[1]) end)\n"


def fill(client: redis.Redis, *, prefix: str = "", keys: int = 200, field_expiries: bool = False) -> None:
    """Put something of everything in, under keys that begin with the prefix."""
    luck = random.Random(prefix or "every kind")
    pipe = client.pipeline(transaction=False)
    for command in _commands(prefix, keys, luck):
        pipe.execute_command(*command)
    if field_expiries:
        pipe.execute_command("HSET", f"{prefix}hash:expiring", "a", "1", "b", "2", "c", "3")
        pipe.execute_command("HEXPIRE", f"{prefix}hash:expiring", 50_000, "FIELDS", 1, "b")
        for number in range(600):
            pipe.execute_command("HSET", f"{prefix}hash:expiring:large", f"field {number}", number)
        pipe.execute_command("HEXPIRE", f"{prefix}hash:expiring:large", 60_000, "FIELDS", 2, "field 7", "field 9")
    pipe.execute()
    _shrunk(client, prefix)


def _commands(prefix: str, keys: int, luck: random.Random) -> Iterator[tuple[Any, ...]]:
    for number in range(keys):
        yield "SET", f"{prefix}string:{number}", luck.choice((b"short", number, -number * 70_000, 1 << 40, luck.randbytes(100), b"x" * 3000, b""))
        yield "SET", f"{prefix}tagged:{{{number % 7}}}:{number}", number
        yield "SET", f"{prefix}expiring:{number}", number, "PX", 100_000_000 + number
    for number in (-1, 0, 7, -200, 40_000, -(1 << 31), 1 << 33) if not prefix else ():
        yield "SET", str(number), "a key that is a number"
    yield "SET", f"{prefix}{'long key ' * 50}", "compressed"
    yield "SET", f"{prefix}large", luck.randbytes(1 << 20) + bytes(3 << 20)
    yield "SET", f"{prefix}\x00\xff\r\n", b"\x00\xff"
    yield "SETBIT", f"{prefix}bits", 100_000, 1
    yield "PFADD", f"{prefix}hll", *range(500)
    for size in (1, 3, 100, 2000):
        words = [f"{word}:{luck.random()}" * luck.choice((1, 1, 9)) for word in range(size)]
        yield "RPUSH", f"{prefix}list:{size}", *words, -5, 100, 4000, 30_000, 1 << 22, 1 << 30, 1 << 60
        yield "SADD", f"{prefix}set:{size}", *words
        yield "SADD", f"{prefix}numbers:{size}", *(number * luck.choice((1, 1000, 1 << 40)) for number in range(size))
        yield "HSET", f"{prefix}hash:{size}", *(part for place, word in enumerate(words) for part in (word, place))
        yield "ZADD", f"{prefix}zset:{size}", *(part for word in words for part in (luck.choice((luck.random(), 3, -1e300)), word))
    yield "ZADD", f"{prefix}endless", "-inf", "a", "+inf", "b", 0.1, "c"
    yield "RPUSH", f"{prefix}list:large", luck.randbytes(20_000), "x" * 20_000, "y"
    yield "PEXPIRE", f"{prefix}hash:3", 200_000_000
    for number in range(300):
        yield "XADD", f"{prefix}stream", f"{number + 1}-{number % 3 + 1}", "number", number, *(("more", "x" * 100) if number % 5 else ())
    yield "XDEL", f"{prefix}stream", "3-3", "7-1"
    for group in ("first", "second"):
        yield "XGROUP", "CREATE", f"{prefix}stream", group, "0"
        for consumer in ("alice", "bob"):
            yield "XREADGROUP", "GROUP", group, consumer, "COUNT", 20, "STREAMS", f"{prefix}stream", ">"
    yield "XACK", f"{prefix}stream", "first", "1-1", "2-2"
    yield "XGROUP", "CREATE", f"{prefix}stream:empty", "idle", "$", "MKSTREAM"
    yield "XGROUP", "CREATECONSUMER", f"{prefix}stream:empty", "idle", "nobody"


def _shrunk(client: redis.Redis, prefix: str) -> None:
    """Values that were large, and are kept in the form of large ones although they are small now."""
    pipe = client.pipeline(transaction=False)
    for number in range(600):
        pipe.sadd(f"{prefix}shrunk:set", f"word {number}")
        pipe.sadd(f"{prefix}shrunk:numbers", number)
        pipe.hset(f"{prefix}shrunk:hash", f"field {number}", number)
        pipe.zadd(f"{prefix}shrunk:zset", {f"word {number}": number / 3})
        pipe.rpush(f"{prefix}shrunk:list", "some words " * 20)
    for number in range(3, 600):
        pipe.srem(f"{prefix}shrunk:set", f"word {number}")
        pipe.srem(f"{prefix}shrunk:numbers", number)
        pipe.hdel(f"{prefix}shrunk:hash", f"field {number}")
        pipe.zrem(f"{prefix}shrunk:zset", f"word {number}")
    pipe.ltrim(f"{prefix}shrunk:list", 0, 2)
    pipe.execute()
