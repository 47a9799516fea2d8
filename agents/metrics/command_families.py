"""Which family of commands a command is counted in: a table, by the groups and flags that the engines themselves give (COMMAND DOCS).

Bitmaps are strings; commands that wait for replicas are no commands about keys. Reading and writing is what the engine flags so among
commands of a data type.
"""

from __future__ import annotations

from collections.abc import Mapping

_GROUPS = {
    "ClusterBased": """
    asking cluster clusterscan readonly readwrite
    """,
    "EvalBased": """
    eval eval_ro evalsha evalsha_ro fcall fcall_ro function script
    """,
    "GeoSpatialBased": """
    geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore
    """,
    "HashBased": """
    hdel hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys hlen hmget hmset hpersist
    hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex hsetnx hstrlen httl hvals
    """,
    "HyperLogLogBased": """
    pfadd pfcount pfdebug pfmerge pfselftest
    """,
    "KeyBased": """
    copy del dump exists expire expireat expiretime keys migrate move object persist pexpire pexpireat pexpiretime pttl randomkey
    rename renamenx restore scan sort sort_ro touch ttl type unlink
    """,
    "ListBased": """
    blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim rpop
    rpoplpush rpush rpushx
    """,
    "NonKeyType": """
    acl auth bgrewriteaof bgsave client command commandlog config dbsize debug discard echo exec failover flushall flushdb hello
    info lastsave latency lolwut memory module monitor multi ping psync quit replconf replicaof reset restore-asking role save
    select shutdown slaveof slowlog swapdb sync time unwatch wait waitaof watch
    """,
    "PubSubBased": """
    psubscribe publish pubsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe
    """,
    "SetBased": """
    sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop srandmember srem sscan sunion
    sunionstore
    """,
    "SortedSetBased": """
    bzmpop bzpopmax bzpopmin zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore
    zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank
    zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore
    """,
    "StreamBased": """
    xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim
    """,
    "StringBased": """
    append bitcount bitfield bitfield_ro bitop bitpos decr decrby delifeq get getbit getdel getex getrange getset incr incrby
    incrbyfloat lcs mget mset msetex msetnx psetex set setbit setex setnx setrange strlen substr
    """,
}

_READS = """
    bitcount bitfield_ro bitpos geodist geohash geopos georadius_ro georadiusbymember_ro geosearch get getbit getrange hexists
    hexpiretime hget hgetall hkeys hlen hmget hpexpiretime hpttl hrandfield hscan hstrlen httl hvals lcs lindex llen lpos lrange
    mget pfcount scard sdiff sinter sintercard sismember smembers smismember srandmember sscan strlen substr sunion xinfo|consumers
    xinfo|groups xinfo|stream xlen xpending xrange xread xrevrange zcard zcount zdiff zinter zintercard zlexcount zmscore
    zrandmember zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion
"""

_WRITES = """
    append bitfield bitop blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin decr decrby delifeq geoadd georadius
    georadiusbymember geosearchstore getdel getex getset hdel hexpire hexpireat hgetdel hgetex hincrby hincrbyfloat hmset hpersist
    hpexpire hpexpireat hset hsetex hsetnx incr incrby incrbyfloat linsert lmove lmpop lpop lpush lpushx lrem lset ltrim mset msetex
    msetnx pfadd pfdebug pfmerge psetex rpop rpoplpush rpush rpushx sadd sdiffstore set setbit setex setnx setrange sinterstore
    smove spop srem sunionstore xack xadd xautoclaim xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer
    xgroup|destroy xgroup|setid xreadgroup xsetid xtrim zadd zdiffstore zincrby zinterstore zmpop zpopmax zpopmin zrangestore zrem
    zremrangebylex zremrangebyrank zremrangebyscore zunionstore
"""


def _table() -> dict[str, tuple[str, ...]]:
    groups = {command: family for family, commands in _GROUPS.items() for command in commands.split()}
    kinds = dict.fromkeys(_READS.split(), "GetType") | dict.fromkeys(_WRITES.split(), "SetType")
    everything = groups.keys() | kinds.keys()
    return {command: _families(groups[command.partition("|")[0]], kinds.get(command)) for command in everything}


def _families(group: str, kind: str | None) -> tuple[str, ...]:
    return (group,) if kind is None else (group, kind)


TABLE: Mapping[str, tuple[str, ...]] = _table()
"""A command, or ``command|subcommand`` where that reads or writes, to the families that count it."""


def families_of(command: str) -> tuple[str, ...]:
    """The families that count a command as INFO names it; none for one that nobody has told us of, such as a module's."""
    found = TABLE.get(command)
    return found if found is not None else TABLE.get(command.partition("|")[0], ())
