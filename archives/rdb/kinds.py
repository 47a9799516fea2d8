"""What the byte in front of a record says: the type of a value, or an opcode."""

from __future__ import annotations

STRING, LIST, SET, ZSET, HASH, ZSET_2, MODULE_1, MODULE_2 = range(8)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST = range(9, 14)
LIST_QUICKLIST, STREAM_1, HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2, STREAM_2, SET_LISTPACK, STREAM_3 = range(14, 22)
HASH_2 = 22  # Valkey 9: each field with an expiry

SLOT_IMPORT = 243  # Valkey 9: a slot is being moved here
SLOT_INFO = 244
FUNCTION_2 = 245
FUNCTION_1 = 246  # of release candidates only
MODULE_AUX = 247
IDLE = 248
FREQ = 249
AUX = 250
RESIZE_DB = 251
EXPIRE_MS = 252
EXPIRE_S = 253
SELECT_DB = 254
EOF = 255

LEAST_OPCODE = SLOT_IMPORT

FAMILIES = {
    "string": (STRING,),
    "list": (LIST, LIST_ZIPLIST, LIST_QUICKLIST, LIST_QUICKLIST_2),
    "set": (SET, SET_INTSET, SET_LISTPACK),
    "zset": (ZSET, ZSET_2, ZSET_ZIPLIST, ZSET_LISTPACK),
    "hash": (HASH, HASH_ZIPMAP, HASH_ZIPLIST, HASH_LISTPACK, HASH_2),
    "stream": (STREAM_1, STREAM_2, STREAM_3),
    "module": (MODULE_2,),
}
"""What TYPE answers, and the types by which such values are written."""

FAMILY = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}
