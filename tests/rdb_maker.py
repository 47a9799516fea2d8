"""RDB files put together byte by byte: right ones with every type that there is, and whatever wrong ones a test wants."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from archives.rdb import checksum, kinds
from archives.rdb.writing import as_length, as_string


def rdb(*records: bytes, header: bytes = b"VALKEY080") -> bytes:
    """A file of these records, with a right end."""
    content = header + b"".join(records) + bytes((kinds.EOF,))
    return content + checksum.to_footer(checksum.crc64(content))


def record(kind: int, key: bytes, value: bytes) -> bytes:
    return bytes((kind,)) + as_string(key) + value


def string(key: bytes, value: bytes = b"value") -> bytes:
    return record(kinds.STRING, key, as_string(value))


def expiring(at_ms: int, whole: bytes) -> bytes:
    return bytes((kinds.EXPIRE_MS,)) + struct.pack("<q", at_ms) + whole


def select(db: int, keys: int | None = None) -> bytes:
    hint = b"" if keys is None else bytes((kinds.RESIZE_DB,)) + as_length(keys) + as_length(0)
    return bytes((kinds.SELECT_DB,)) + as_length(db) + hint


def aux(name: bytes, value: bytes) -> bytes:
    return bytes((kinds.AUX,)) + as_string(name) + as_string(value)


def function(code: bytes) -> bytes:
    return bytes((kinds.FUNCTION_2,)) + as_string(code)


def counted(elements: Iterable[bytes], each: int = 1) -> bytes:
    found = list(elements)
    return as_length(len(found) // each) + b"".join(map(as_string, found))


def listpack(*elements: bytes) -> bytes:
    """One of strings of up to 63 bytes."""
    body = b"".join(bytes((0x80 | len(element),)) + element + bytes((len(element) + 1,)) for element in elements)
    return struct.pack("<IH", len(body) + 7, len(elements)) + body + b"\xff"


def ziplist(*elements: bytes) -> bytes:
    body, before = b"", 0
    for element in elements:
        entry = bytes((before, len(element))) + element
        before = len(entry)
        body += entry
    tail = 10 + len(body) - before
    return struct.pack("<IIH", len(body) + 11, tail, len(elements)) + body + b"\xff"


def zipmap(*elements: bytes) -> bytes:
    fields = b"".join(
        bytes((len(name),)) + name + bytes((len(value), 0)) + value for name, value in zip(elements[::2], elements[1::2], strict=True)
    )
    return bytes((len(elements) // 2,)) + fields + b"\xff"


def intset(*numbers: int) -> bytes:
    return struct.pack("<II", 2, len(numbers)) + b"".join(struct.pack("<h", number) for number in numbers)


def stream(version: int) -> bytes:
    """One entry, in a group with a consumer who has it."""
    entry_id = struct.pack(">QQ", 1, 1)
    entries = listpack(b"1", b"0", b"1", b"f", b"0", b"2", b"0", b"0", b"v", b"4")
    numbers = [1, 1, 1] if version == 1 else [1, 1, 1, 1, 1, 0, 0, 1]
    group = as_string(b"group") + as_length(1) + as_length(1) + (b"" if version == 1 else as_length(1))
    pending = as_length(1) + entry_id + struct.pack("<q", 1000) + as_length(1)
    consumer = as_string(b"alice") + struct.pack("<q", 1000) + (struct.pack("<q", 1000) if version == 3 else b"") + as_length(1) + entry_id
    listpacks = as_length(1) + as_string(entry_id) + as_string(entries)
    return listpacks + b"".join(map(as_length, numbers)) + as_length(1) + group + pending + as_length(1) + consumer


def module() -> bytes:
    number = as_length(0x1234567890ABCDEF)
    return number + as_length(1) + as_length(5) + as_length(4) + bytes(8) + as_length(5) + as_string(b"text") + as_length(0)


def lzf(packed: bytes, length: int) -> bytes:
    return b"\xc3" + as_length(len(packed)) + as_length(length) + packed


ONE_SCORE = struct.pack("<d", 1.5)

VALUES: dict[str, tuple[int, bytes]] = {
    "string": (kinds.STRING, as_string(b"value")),
    "int8": (kinds.STRING, b"\xc0\xff"),
    "int16": (kinds.STRING, b"\xc1\x00\x80"),
    "int32": (kinds.STRING, b"\xc2\x01\x00\x00\x80"),
    "compressed": (kinds.STRING, lzf(b"\x00a\xe0\x5b\x00", 101)),
    "list": (kinds.LIST, counted([b"a", b"b"])),
    "list of ziplist": (kinds.LIST_ZIPLIST, as_string(ziplist(b"a", b"b"))),
    "quicklist": (kinds.LIST_QUICKLIST, counted([ziplist(b"a"), ziplist(b"b")])),
    "quicklist 2": (kinds.LIST_QUICKLIST_2, as_length(2) + b"\x02" + as_string(listpack(b"a")) + b"\x01" + as_string(b"b")),
    "set": (kinds.SET, counted([b"b", b"a"])),
    "intset": (kinds.SET_INTSET, as_string(intset(-5, 1, 300))),
    "set of listpack": (kinds.SET_LISTPACK, as_string(listpack(b"a", b"b"))),
    "zset": (kinds.ZSET, as_length(2) + as_string(b"m") + b"\x031.5" + as_string(b"n") + b"\xfe"),
    "zset 2": (kinds.ZSET_2, as_length(1) + as_string(b"m") + ONE_SCORE),
    "zset of ziplist": (kinds.ZSET_ZIPLIST, as_string(ziplist(b"m", b"1.5"))),
    "zset of listpack": (kinds.ZSET_LISTPACK, as_string(listpack(b"m", b"1.5"))),
    "hash": (kinds.HASH, counted([b"f", b"v"], each=2)),
    "hash of zipmap": (kinds.HASH_ZIPMAP, as_string(zipmap(b"f", b"v"))),
    "hash of ziplist": (kinds.HASH_ZIPLIST, as_string(ziplist(b"f", b"v"))),
    "hash of listpack": (kinds.HASH_LISTPACK, as_string(listpack(b"f", b"v"))),
    "hash 2": (kinds.HASH_2, as_length(1) + as_string(b"f") + as_string(b"v") + b"\xff" * 8),
    "stream 1": (kinds.STREAM_1, stream(1)),
    "stream 2": (kinds.STREAM_2, stream(2)),
    "stream 3": (kinds.STREAM_3, stream(3)),
    "module": (kinds.MODULE_2, module()),
}
"""A value of every type, by a name for it."""

FIRST_LIBRARY = b"#!lua name=first\nredis.register_function('first', function() end)"


def every_type() -> bytes:
    """A file that has every type and every opcode in it."""
    return rdb(
        aux(b"valkey-ver", b"9.1.2"),
        aux(b"used-mem", b"1000000"),
        aux(b"ctime", b"1700000000"),
        function(FIRST_LIBRARY),
        bytes((kinds.MODULE_AUX,)) + as_length(0x1234567890ABCDEF) + as_length(2) + as_length(1) + as_length(0),
        bytes((kinds.SLOT_IMPORT,)) + as_string(b"n" * 40) + as_length(1) + as_length(5) + as_length(6),
        select(0, 30),
        aux(b"slot-info", b"7,1,0"),
        bytes((kinds.SLOT_INFO,)) + as_length(300) + as_length(1) + as_length(0),
        *(record(kind, name.encode(), value) for name, (kind, value) in VALUES.items()),
        expiring(1_900_000_000_000, string(b"expiring")),
        bytes((kinds.EXPIRE_S,)) + struct.pack("<i", 1_900_000_000) + string(b"expiring by seconds"),
        bytes((kinds.FREQ, 5)) + string(b"frequent"),
        bytes((kinds.IDLE,)) + as_length(500) + string(b"idle"),
        bytes((kinds.STRING,)) + b"\xc0\x7b" + as_string(b"the key is 123"),
        bytes((kinds.STRING,)) + lzf(b"\x00k\xe0\x21\x00", 43) + as_string(b"the key is compressed"),
        select(4, 1),
        string(b"elsewhere"),
    )
