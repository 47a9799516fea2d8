"""The parameters of every family as tables; nothing here but data. ``parameters`` reads them.

Source: Amazon ElastiCache User Guide, "Engine specific parameters", and what DescribeEngineDefaultParameters answers.
The descriptions are our own.

A row is ``name | value | allowed | type | changes | families | since`` and, indented below it, what the parameter is for.

* ``value`` is what a default group has: empty when it has none, "" when it has an empty one.
* ``allowed`` is a list of words, numbers and ranges: ``yes,no``, ``0-100``, ``16384-`` (no upper end), ``-`` (any number).
  Empty means that no set is published.
* ``changes`` says who may change it and when that takes effect: ``live`` at once, ``launch`` when the engine next starts,
  ``unused`` only while no cache uses the group, ``fixed`` never, ``built`` never and set when the engine starts.
* ``families`` are the first and last that have it, by the family's version: ``2.6..6.x``, ``5.0..`` (to the newest), ``4.0``.
  redis7 and valkey7 are both ``7``. A parameter whose value or range once changed has one row for each.
* ``since`` is the first version that has it, where that is not the first of the family.
"""

from __future__ import annotations

# name, engine, its mark in the ``families`` column, its first version
FAMILY_TABLE = """
redis2.6      redis      2.6  2.6.13
redis2.8      redis      2.8  2.8.6
redis3.2      redis      3.2  3.2.4
redis4.0      redis      4.0  4.0.10
redis5.0      redis      5.0  5.0.0
redis6.x      redis      6.x  6.0.0
redis7        redis      7    7.0.0
valkey7       valkey     7    7.2.0
valkey8       valkey     8    8.0.0
valkey9       valkey     9    9.0.0
memcached1.4  memcached  1.4  1.4.5
memcached1.5  memcached  1.5  1.5.10
memcached1.6  memcached  1.6  1.6.6
"""

_EVICTION = "volatile-lru,allkeys-lru,volatile-random,allkeys-random,volatile-ttl,noeviction"
_EVICTION_LFU = "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction"

KEY_VALUE_TABLE = f"""
acl-pubsub-default | allchannels | resetchannels,allchannels | string | live | 6.x.. | 6.2.0
    Which channels a user may use when its access string names none.
acllog-max-len | 128 | 0- | integer | live | 6.x.. |
    How many refused commands the access log remembers.
active-defrag-cycle-max | 75 | 1-75 | integer | live | 4.0.. |
    The most CPU time, in percent, that defragmentation may take.
active-defrag-cycle-min | 25 | 1-75 | integer | live | 4.0 |
    The least CPU time, in percent, that defragmentation takes once it has begun.
active-defrag-cycle-min | 5 | 1-75 | integer | live | 5.0.. |
    The least CPU time, in percent, that defragmentation takes once it has begun.
active-defrag-ignore-bytes | 104857600 | 10485760-104857600 | integer | live | 4.0 |
    How many bytes fragmentation must waste before defragmentation begins.
active-defrag-ignore-bytes | 104857600 | 1048576- | integer | live | 5.0.. |
    How many bytes fragmentation must waste before defragmentation begins.
active-defrag-max-scan-fields | 1000 | 1-1000000 | integer | live | 5.0.. |
    How many members of one set, hash, list or sorted set defragmentation handles before it puts the key aside for later.
active-defrag-threshold-lower | 10 | 1-100 | integer | live | 4.0.. |
    The fragmentation, in percent, at which defragmentation begins.
active-defrag-threshold-upper | 100 | 1-100 | integer | live | 4.0.. |
    The fragmentation, in percent, at which defragmentation works as hard as it may.
active-expire-effort | 1 | 1-10 | integer | live | 6.x.. |
    How hard the engine looks for expired keys in the background; more frees memory sooner and takes more CPU.
activedefrag | no | yes,no | string | live | 4.0.. |
    Whether memory is defragmented while the engine serves.
activerehashing | yes | yes,no | string | unused | 2.6..6.x |
    Whether idle time is spent on moving keys to a hash table of the right size.
appendfsync | everysec | always,everysec,no | string | live | 2.6..2.8 |
    How often the append only file is forced to disk.
appendfsync | everysec | always,everysec,no | string | fixed | 3.2.. |
    How often the append only file would be forced to disk.
appendonly | no | yes,no | string | live | 2.6..2.8 |
    Whether changes are written to an append only file; has no effect from 2.8.22.
appendonly | no | yes,no | string | fixed | 3.2.. |
    Whether changes are written to an append only file.
client-output-buffer-limit-normal-hard-limit | 0 | 0- | integer | live | 2.6.. |
    Bytes waiting to be sent at which an ordinary client is disconnected; 0 for no limit.
client-output-buffer-limit-normal-soft-limit | 0 | 0- | integer | live | 2.6.. |
    Bytes waiting to be sent at which an ordinary client is disconnected when that lasts; 0 for no limit.
client-output-buffer-limit-normal-soft-seconds | 0 | 0- | integer | live | 2.6.. |
    How many seconds an ordinary client may stay above its soft limit.
client-output-buffer-limit-pubsub-hard-limit | 33554432 | 0- | integer | live | 2.6.. |
    Bytes waiting to be sent at which a subscriber is disconnected; 0 for no limit.
client-output-buffer-limit-pubsub-soft-limit | 8388608 | 0- | integer | live | 2.6.. |
    Bytes waiting to be sent at which a subscriber is disconnected when that lasts; 0 for no limit.
client-output-buffer-limit-pubsub-soft-seconds | 60 | 0- | integer | live | 2.6.. |
    How many seconds a subscriber may stay above its soft limit.
client-output-buffer-limit-replica-soft-seconds | 60 | 0- | integer | fixed | 5.0.. |
    How many seconds a replica may stay above its soft limit.
client-output-buffer-limit-slave-soft-seconds | 60 | 0- | integer | fixed | 2.6..4.0 |
    How many seconds a replica may stay above its soft limit.
client-query-buffer-limit | 1073741824 | 1048576-1073741824 | integer | live | 4.0.. |
    The most bytes a client's unread command may take.
close-on-replica-write | yes | yes,no | string | live | 5.0.. |
    Whether a client that writes to a read-only replica is disconnected.
close-on-slave-write | yes | yes,no | string | live | 2.8..4.0 | 2.8.23
    Whether a client that writes to a read-only replica is disconnected.
cluster-allow-pubsubshard-when-down | yes | yes,no | string | live | 7.. |
    Whether sharded publish and subscribe goes on for the slots a node owns while part of the slots is not served.
cluster-allow-reads-when-down | no | yes,no | string | live | 6.x.. |
    Whether a node answers reads for the slots it owns while part of the slots is not served.
cluster-databases | 0 | 1-10000 | integer | unused | 9.. |
    How many databases there are in cluster mode; 0 leaves it to the engine, which has one.
cluster-enabled | no | yes,no | string | unused | 3.2.. |
    Whether caches that use the group run in cluster mode.
cluster-preferred-endpoint-type | tls-dynamic | ip,tls-dynamic | string | live | 7.. |
    What redirections and CLUSTER SLOTS name: the address, or the host name where connections are encrypted.
cluster-require-full-coverage | no | yes,no | string | live | 3.2.. |
    Whether all slots stop being served while one of them is not.
commandlog-large-reply-max-len | 128 | 0-1024 | integer | live | 8.. | 8.1.0
    How many commands with large replies the command log remembers.
commandlog-large-request-max-len | 128 | 0-1024 | integer | live | 8.. | 8.1.0
    How many large commands the command log remembers.
commandlog-reply-larger-than | 1048576 | - | integer | live | 8.. | 8.1.0
    From how many bytes a reply counts as large; a negative number turns that log off.
commandlog-request-larger-than | 1048576 | - | integer | live | 8.. | 8.1.0
    From how many bytes a command counts as large; a negative number turns that log off.
databases | 16 | 1-1200000 | integer | unused | 2.6.. |
    How many databases there are outside cluster mode.
extended-redis-compatibility | yes | yes,no | string | live | 8.. |
    Whether HELLO and LOLWUT answer as Redis 7.2 would, for clients that check.
hash-max-listpack-entries | 512 | 0- | integer | live | 7.. |
    Hashes with no more fields than this are stored compactly.
hash-max-listpack-value | 64 | 0- | integer | live | 7.. |
    Hashes with no field or value longer than this are stored compactly.
hash-max-ziplist-entries | 512 | 0- | integer | live | 2.6..6.x |
    Hashes with no more fields than this are stored compactly.
hash-max-ziplist-value | 64 | 0- | integer | live | 2.6..6.x |
    Hashes with no field or value longer than this are stored compactly.
hll-sparse-max-bytes | 3000 | 1-16000 | integer | live | 3.2.. |
    The most bytes a HyperLogLog takes before it is stored densely.
latency-tracking | no | yes,no | string | live | 7.. |
    Whether the latencies of each command are recorded, for INFO and LATENCY HISTOGRAM.
lazyfree-lazy-eviction | no | yes,no | string | live | 4.0..7 |
    Whether evicted keys are freed in the background.
lazyfree-lazy-expire | no | yes,no | string | live | 4.0..7 |
    Whether expired keys are freed in the background.
lazyfree-lazy-server-del | no | yes,no | string | live | 4.0..7 |
    Whether values that a command replaces are freed in the background.
lazyfree-lazy-user-del | no | yes,no | string | live | 6.x..7 |
    Whether DEL frees in the background, as UNLINK does.
lfu-decay-time | 1 | 0- | integer | live | 4.0.. |
    After how many minutes without use a key counts as less frequently used.
lfu-log-factor | 10 | 1- | integer | live | 4.0.. |
    How slowly the counter of uses of a key approaches its end.
list-compress-depth | 0 | 0- | integer | live | 3.2.. |
    How many nodes at either end of a list stay uncompressed; 0 compresses none.
list-max-ziplist-entries | 512 | 0- | integer | live | 2.6..2.8 |
    Lists with no more elements than this are stored compactly.
list-max-ziplist-size | -2 | -5,-4,-3,-2,-1,1- | integer | fixed | 3.2..5.0 |
    How much one node of a list holds: a number of elements, or a size from -1 (4 KB) to -5 (64 KB).
list-max-ziplist-size | -2 | -5,-4,-3,-2,-1,1- | integer | live | 6.x |
    How much one node of a list holds: a number of elements, or a size from -1 (4 KB) to -5 (64 KB).
list-max-ziplist-value | 64 | 0- | integer | live | 2.6..2.8 |
    Lists with no element longer than this are stored compactly.
lua-replicate-commands | yes | yes,no | string | live | 5.0 |
    Whether replicas are sent the effects of a script instead of the script.
lua-time-limit | 5000 | 5000 | integer | fixed | 2.6.. |
    After how many milliseconds a script counts as slow and may be killed.
maxclients | 65000 | 1-65000 | integer | built | 2.6.. |
    How many clients may be connected at once; small burstable nodes allow fewer.
maxmemory-policy | volatile-lru | {_EVICTION} | string | live | 2.6..3.2 |
    Which keys make room for others when memory is full.
maxmemory-policy | volatile-lru | {_EVICTION_LFU} | string | live | 4.0.. |
    Which keys make room for others when memory is full.
maxmemory-samples | 3 | 1- | integer | live | 2.6..7 |
    How many keys are looked at to find one to evict.
maxmemory-samples | 3 | 1-64 | integer | live | 8.. |
    How many keys are looked at to find one to evict.
min-replicas-max-lag | 10 | 0- | integer | live | 5.0.. |
    After how many silent seconds a replica no longer counts for min-replicas-to-write.
min-replicas-to-write | 0 | 0- | integer | live | 5.0.. |
    How many replicas must keep up for the primary to accept writes; 0 accepts them always.
min-slaves-max-lag | 10 | 0- | integer | live | 2.8..4.0 |
    After how many silent seconds a replica no longer counts for min-slaves-to-write.
min-slaves-to-write | 0 | 0- | integer | live | 2.8..4.0 |
    How many replicas must keep up for the primary to accept writes; 0 accepts them always.
notify-keyspace-events | | | string | live | 2.8.. |
    Which changes of keys are published, a letter for each kind; empty publishes none.
proto-max-bulk-len | 536870912 | 1048576-536870912 | integer | live | 4.0.. |
    The most bytes a single value in a command may take.
rename-commands | "" | | string | live | 5.0.. | 5.0.3
    Commands and the names they are given, in pairs separated by blanks.
repl-backlog-size | 1048576 | 16384- | integer | live | 2.8..7 |
    Bytes of changes a primary keeps for replicas that come back.
repl-backlog-size | 10485760 | 16384- | integer | live | 8.. |
    Bytes of changes a primary keeps for replicas that come back.
repl-backlog-ttl | 3600 | 0- | integer | live | 2.8.. |
    After how many seconds without replicas a primary gives up its backlog; 0 for never.
repl-timeout | 60 | 1- | integer | live | 2.8 |
    After how many silent seconds primary and replica give each other up; has no effect from 2.8.22.
repl-timeout | 60 | 1- | integer | fixed | 3.2..4.0 |
    After how many silent seconds primary and replica give each other up.
replica-allow-chaining | no | yes,no | string | fixed | 5.0.. |
    Whether a replica may have replicas of its own.
replica-ignore-maxmemory | yes | yes,no | string | fixed | 5.0.. |
    Whether replicas leave eviction to the primary.
replica-lazy-flush | no | yes,no | string | fixed | 5.0 |
    Whether a replica empties itself in the background before it is filled anew.
replica-lazy-flush | yes | yes,no | string | fixed | 6.x.. |
    Whether a replica empties itself in the background before it is filled anew.
reserved-memory | 0 | 0- | integer | live | 2.6..2.8 |
    Bytes of the node's memory kept free of data.
reserved-memory-percent | 25 | 0-100 | integer | live | 3.2.. |
    Percent of the node's memory kept free of data.
search-default-timeout-ms | 50000 | 1-60000 | integer | live | 8.. | 8.2.0
    After how many milliseconds a search is given up.
search-enable-partial-results | yes | yes,no | string | live | 8.. | 8.2.0
    Whether a search answers with what it found when part of the shards did not answer in time.
search-fanout-target-mode | client | client,throughput | string | live | 8.. | 8.2.0
    Which nodes a search over several shards asks: those of the kind the client chose, or any for throughput.
set-max-intset-entries | 512 | 0- | integer | live | 2.6.. |
    Sets of integers with no more members than this are stored compactly.
slave-allow-chaining | no | yes,no | string | fixed | 2.6..4.0 |
    Whether a replica may have replicas of its own.
slave-lazy-flush | no | yes,no | string | fixed | 4.0 |
    Whether a replica empties itself in the background before it is filled anew.
slowlog-log-slower-than | 10000 | - | integer | live | 2.6.. |
    From how many microseconds a command is logged as slow; 0 logs all, a negative number none.
slowlog-max-len | 128 | 0- | integer | live | 2.6.. |
    How many slow commands the log remembers.
stream-node-max-bytes | 4096 | 0- | integer | live | 5.0.. |
    The most bytes one node of a stream takes; 0 for no limit.
stream-node-max-entries | 100 | 0- | integer | live | 5.0.. |
    The most entries one node of a stream holds; 0 for no limit.
tcp-keepalive | 0 | 0- | integer | live | 2.6..2.8 |
    Every how many seconds a silent connection is probed; 0 for never.
tcp-keepalive | 300 | 0- | integer | live | 3.2.. |
    Every how many seconds a silent connection is probed; 0 for never.
timeout | 0 | 0,20- | integer | live | 2.6.. |
    After how many idle seconds a client is disconnected; 0 for never.
tracking-table-max-keys | 1000000 | 1-100000000 | integer | live | 6.x.. |
    For how many keys the engine remembers which clients cache them.
zset-max-listpack-entries | 128 | 0- | integer | live | 7.. |
    Sorted sets with no more members than this are stored compactly.
zset-max-listpack-value | 64 | 0- | integer | live | 7.. |
    Sorted sets with no member longer than this are stored compactly.
zset-max-ziplist-entries | 128 | 0- | integer | live | 2.6..6.x |
    Sorted sets with no more members than this are stored compactly.
zset-max-ziplist-value | 64 | 0- | integer | live | 2.6..6.x |
    Sorted sets with no member longer than this are stored compactly.
"""

MEMCACHED_TABLE = """
backlog_queue_limit | 1024 | 1-10000 | integer | built | 1.4.. |
    How many connections may wait to be accepted.
binding_protocol | auto | auto,ascii | string | launch | 1.4.. |
    Which protocol clients speak: told from their first byte, or text only.
cas_disabled | 0 | 0,1 | boolean | launch | 1.4.. |
    Whether items do without the number that check-and-set needs, which saves 8 bytes each.
chunk_size | 48 | 1-1024 | integer | launch | 1.4.. |
    The least bytes set aside for an item's key, value and flags.
chunk_size_growth_factor | 1.25 | 1.0-10.0 | float | launch | 1.4.. |
    How much larger each class of chunks is than the one before.
config_max | 16 | 16 | integer | built | 1.4.. | 1.4.14
    How many configuration entries a node holds for auto discovery.
config_size_max | 65536 | 65536 | integer | built | 1.4.. | 1.4.14
    The most bytes a configuration entry for auto discovery takes.
disable_flush_all | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.24
    Whether flush_all is refused.
error_on_memory_exhausted | 0 | 0,1 | boolean | launch | 1.4.. |
    Whether a full cache refuses new items instead of evicting old ones.
expirezero_does_not_evict | 0 | 0,1 | boolean | launch | 1.4 | 1.4.24
    Whether items that never expire are never evicted either.
hash_algorithm | jenkins | jenkins,murmur3 | string | launch | 1.4.. | 1.4.24
    How keys are hashed.
hashpower_init | 16 | 16 | integer | built | 1.4.. | 1.4.14
    The size the hash table begins with, as a power of two.
idle_timeout | 0 | 0-86400 | integer | launch | 1.4.. | 1.4.33
    After how many idle seconds a client is disconnected; 0 for never.
inline_ascii_resp | 0 | 0,1 | boolean | launch | 1.5 |
    Whether the numbers of a VALUE line are stored with the item.
large_memory_pages | 0 | 0,1 | boolean | built | 1.4.. |
    Whether memory is taken in large pages.
lock_down_paged_memory | 0 | 0,1 | boolean | built | 1.4.. |
    Whether memory is kept from being swapped out.
lru_crawler | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.24
    Whether a background thread looks for expired items.
lru_maintainer | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.24
    Whether a background thread moves items between the segments of the eviction order.
max_item_size | 1048576 | 1024-134217728 | integer | launch | 1.4.. |
    The most bytes an item takes.
max_simultaneous_connections | 65000 | 3-65000 | integer | built | 1.4.. |
    How many clients may be connected at once.
maximize_core_file_limit | 0 | 0,1 | boolean | built | 1.4.. |
    Whether core files may be as large as the system lets them.
maxconns_fast | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.14
    Whether connections over the limit are closed with an error instead of waiting.
memcached_connections_overhead | 100 | 0- | integer | launch | 1.4.. |
    MiB of the node's memory kept for connections and other overhead; 13 on cache.t1.micro.
modern | 1 | 0,1 | boolean | launch | 1.4 | 1.4.33
    Whether slab_reassign, slab_automove, lru_crawler, lru_maintainer, maxconns_fast and murmur3 are on together.
no_modern | 1 | 0,1 | boolean | launch | 1.5.. |
    Whether slab_reassign, lru_maintainer, lru_segmented and maxconns_fast are off together.
requests_per_event | 20 | 20 | integer | built | 1.4.. |
    How many commands of one connection are served before the next has its turn.
slab_automove | 0 | 0-2 | integer | launch | 1.4.. | 1.4.14
    Whether memory moves between classes of chunks by itself: 0 never, 1 slowly, 2 at every eviction.
slab_chunk_max | 524288 | 1- | integer | launch | 1.4.. | 1.4.33
    The most bytes a chunk takes; longer items are kept in several.
slab_reassign | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.14
    Whether memory can be moved between classes of chunks.
track_sizes | 0 | 0,1 | boolean | launch | 1.4.. | 1.4.33
    Whether item sizes are counted from the start, for stats sizes.
watcher_logbuf_size | 256 | 1- | integer | launch | 1.4.. | 1.4.33
    KiB of log lines kept for each client that watches.
worker_logbuf_size | 64 | 1- | integer | launch | 1.4.. | 1.4.33
    KiB of log lines each thread keeps before they are handed to those who watch.
"""

# Parameters whose value is the node type's. The second column says which figure of it; no value, no ``since``.
NODE_TYPE_TABLE = """
maxmemory | maxmemory | 2.6..9
    Bytes of the node's memory for data and for what is reserved.
client-output-buffer-limit-slave-hard-limit | replica buffer | 2.6..4.0
    Bytes waiting to be sent at which a replica is disconnected.
client-output-buffer-limit-slave-soft-limit | replica buffer | 2.6..4.0
    Bytes waiting to be sent at which a replica is disconnected when that lasts.
client-output-buffer-limit-replica-hard-limit | replica buffer | 5.0..9
    Bytes waiting to be sent at which a replica is disconnected.
client-output-buffer-limit-replica-soft-limit | replica buffer | 5.0..9
    Bytes waiting to be sent at which a replica is disconnected when that lasts.
max_cache_memory | memcached megabytes | 1.4..1.6
    MiB of the node's memory for items and for connections.
num_threads | threads | 1.4..1.6
    How many threads serve clients.
"""
