"""Summaries of RDB files, the versions that engines read, and digests."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import pytest
from rdb_maker import (
    FIRST_LIBRARY,
    VALUES,
    aux,
    counted,
    every_type,
    expiring,
    function,
    intset,
    listpack,
    rdb,
    record,
    select,
    string,
    ziplist,
)

from archives.rdb import elements, kinds
from archives.rdb.checking import summarise
from archives.rdb.digest import digest
from archives.rdb.header import RdbRefusedError, RdbVersion, is_readable, read_version, why_unreadable
from archives.rdb.writing import as_length, as_string


def file(tmp_path: Path, content: bytes, name: str = "a.rdb") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_a_summary_tells_all_that_is_in_a_file(tmp_path: Path) -> None:
    content = every_type()
    summary = summarise(file(tmp_path, content), deep=True)
    assert (str(summary.version), summary.size, summary.checksum) == ("VALKEY080", len(content), True)
    assert summary.sha256 == hashlib.sha256(content).hexdigest()
    assert summary.keys == {0: len(VALUES) + 6, 4: 1}
    assert summary.total_keys == len(VALUES) + 7
    assert summary.expires == 2
    assert summary.engine == ("valkey", "9.1.2")
    assert (summary.used_memory, summary.created) == (1_000_000, 1_700_000_000)
    assert summary.functions == ("first",)
    assert len(summary.modules) == 1
    assert summary.importing == ((5, 6),)
    assert summary.families == {"hash": 5, "list": 4, "module": 1, "set": 3, "stream": 3, "string": 12, "zset": 4}


def test_a_file_without_a_checksum_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    path = file(tmp_path, rdb(string(b"key"))[:-8] + bytes(8))
    with pytest.raises(RdbRefusedError, match="no checksum at offset 21"):
        summarise(path)
    assert not summarise(path, unchecked=True).checksum


def test_a_wrong_checksum_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    path = file(tmp_path, rdb(string(b"key")).replace(b"value", b"valve"))
    for unchecked in (False, True):
        with pytest.raises(RdbRefusedError, match="checksum at offset 21 is"):
            summarise(path, unchecked=unchecked)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"REDIS", "has 5 bytes"),
        (b"PK\x03\x04 and so on", "no RDB file: it begins with b'PK"),
        (b"REDIS0012" + bytes(20), "REDIS0012, and what is in files of that version is not known"),
        (b"REDIS0000" + bytes(20), "not known"),
        (b"VALKEY081" + bytes(20), "not known"),
        (b"REDIS00\xb2\xb3" + bytes(20), "no RDB file"),
    ],
)
def test_what_is_no_file_of_a_known_version_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(RdbRefusedError, match=reason):
        summarise(file(tmp_path, content))


def test_a_file_that_is_not_there_is_not_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        summarise(tmp_path / "nothing.rdb")


STREAM = VALUES["stream 1"][1]
ENTRIES = b"\x814\x02\xff"  # how they end

DAMAGED = {
    "a listpack of another size": record(kinds.HASH_LISTPACK, b"k", as_string(listpack(b"f", b"v") + b"\xff")),
    "a listpack of another count": record(kinds.HASH_LISTPACK, b"k", as_string(listpack(b"f", b"v").replace(b"\x02\x00", b"\x04\x00", 1))),
    "an element past the end of its listpack": record(kinds.SET_LISTPACK, b"k", as_string(listpack(b"abc").replace(b"\x83", b"\xb3"))),
    "an odd number of parts of fields": record(kinds.HASH_LISTPACK, b"k", as_string(listpack(b"f", b"v", b"w"))),
    "a field that is there twice": record(kinds.HASH, b"k", counted([b"f", b"v", b"f", b"w"], each=2)),
    "a member that is there twice": record(kinds.SET, b"k", counted([b"m", b"m"])),
    "a score that is no number": record(kinds.ZSET_LISTPACK, b"k", as_string(listpack(b"m", b"much"))),
    "numbers without order": record(kinds.SET_INTSET, b"k", as_string(intset(5, 3))),
    "numbers of a strange width": record(kinds.SET_INTSET, b"k", as_string(struct.pack("<II", 3, 1) + bytes(3))),
    "a ziplist without an end": record(kinds.LIST_ZIPLIST, b"k", as_string(ziplist(b"a")[:-1])),
    "another length behind an element": record(kinds.SET_LISTPACK, b"k", as_string(listpack(b"abc").replace(b"abc\x04", b"abc\x05"))),
    "a score that is not one in binary": record(kinds.ZSET_2, b"k", as_length(1) + as_string(b"m") + struct.pack("<d", float("nan"))),
    "a field that expires before all time": record(kinds.HASH_2, b"k", as_length(1) + as_string(b"f") + as_string(b"v") + struct.pack("<q", -9)),
    "a stream of more entries than it has": record(kinds.STREAM_1, b"k", STREAM.replace(ENTRIES + b"\x01", ENTRIES + b"\x02")),
    "an entry of fewer parts than it says": record(kinds.STREAM_1, b"k", STREAM.replace(b"\x814\x02", b"\x815\x02")),
    "entries that are no numbers": record(kinds.STREAM_1, b"k", STREAM.replace(b"\x812\x02", b"\x81x\x02")),
    "a consumer who has what is not pending": record(kinds.STREAM_1, b"k", STREAM[:-1] + b"\x02"),
    "something pending that no consumer has": record(kinds.STREAM_1, b"k", STREAM[:-17] + b"\x00"),
    "a key that is there twice": string(b"k") + string(b"k"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_only_a_deep_look_finds_what_is_wrong_within_values(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, rdb(DAMAGED[name]))
    assert summarise(path).total_keys
    with pytest.raises(RdbRefusedError):
        summarise(path, deep=True)


def test_the_same_key_in_two_databases_is_no_repeat(tmp_path: Path) -> None:
    assert summarise(file(tmp_path, rdb(select(0), string(b"k"), select(1), string(b"k"))), deep=True).keys == {0: 1, 1: 1}


def test_two_libraries_of_one_name_are_refused(tmp_path: Path) -> None:
    other = FIRST_LIBRARY.replace(b"end)", b"return 1 end)")
    with pytest.raises(RdbRefusedError, match="another function library of the name first"):
        summarise(file(tmp_path, rdb(function(FIRST_LIBRARY), function(other))))
    with pytest.raises(RdbRefusedError, match="does not tell its name"):
        summarise(file(tmp_path, rdb(function(b"return 1"))))


def test_long_and_strange_notes_are_not_passed_on(tmp_path: Path) -> None:
    notes = [aux(b"long", b"x" * 5000), aux(b"used-mem", "²".encode()), aux(b"\xff", b"\xfe"), aux(b"lua", b"return 1")]
    summary = summarise(file(tmp_path, rdb(*notes, *(aux(b"n%d" % number, b"") for number in range(500)))))
    assert summary.used_memory is None
    assert "long" not in summary.aux and "lua" not in summary.aux
    assert len(summary.aux) == 100


READS = [
    ("REDIS0009", "redis", "5.0.6", True),
    ("REDIS0009", "redis", "6.2", True),
    ("REDIS0010", "redis", "6.2", False),
    ("REDIS0010", "redis", "7.0.15", True),
    ("REDIS0010", "redis", "7.1", True),
    ("REDIS0011", "redis", "7.1", False),
    ("REDIS0011", "redis", "7.2", True),
    ("REDIS0012", "redis", "7.4", True),
    ("VALKEY080", "redis", "8.4", False),
    ("REDIS0011", "valkey", "7.2", True),
    ("REDIS0011", "valkey", "8", True),
    ("REDIS0012", "valkey", "8.1", False),
    ("VALKEY080", "valkey", "8.1", False),
    ("VALKEY080", "valkey", "9.1.2", True),
    ("VALKEY081", "valkey", "9.1", False),
    ("VALKEY081", "valkey", "9.2", True),
    ("REDIS0012", "valkey", "9.1", False),
    ("REDIS0001", "valkey", "9.1", True),
    ("REDIS0009", "memcached", "1.6", False),
    ("REDIS0009", "redis", "3.2", False),
]


@pytest.mark.parametrize(("header", "engine", "version", "reads"), READS)
def test_engines_read_what_is_not_newer_than_they_are(header: str, engine: str, version: str, reads: bool) -> None:
    assert is_readable(read_version(header.encode()), engine, version) is reads
    assert (why_unreadable(read_version(header.encode()), engine, version) is None) is reads


def test_a_version_reads_as_it_is_written() -> None:
    assert [str(read_version(header)) for header in (b"REDIS0011", b"VALKEY080")] == ["REDIS0011", "VALKEY080"]
    assert read_version(b"VALKEY080 and more") == RdbVersion("VALKEY", 80)


def test_a_digest_knows_neither_order_nor_form(tmp_path: Path) -> None:
    fields = [b"a", b"1", b"b", b"2"]
    forms = [
        rdb(string(b"x"), record(kinds.HASH, b"h", counted(fields, each=2)), expiring(5, record(kinds.SET, b"s", counted([b"1", b"22"])))),
        rdb(expiring(5, record(kinds.SET_INTSET, b"s", as_string(intset(1, 22)))), record(kinds.HASH, b"h", counted(fields[2:] + fields[:2], each=2)), string(b"x")),
        rdb(aux(b"a", b"b"), record(kinds.HASH_LISTPACK, b"h", as_string(listpack(*fields))), string(b"x"), expiring(5, record(kinds.SET_LISTPACK, b"s", as_string(listpack(b"22", b"1"))))),
        rdb(string(b"x"), record(kinds.HASH_2, b"h", as_length(2) + b"".join(as_string(a) + as_string(b) + b"\xff" * 8 for a, b in ((b"b", b"2"), (b"a", b"1")))), expiring(5, record(kinds.SET, b"s", counted([b"22", b"1"])))),
    ]  # fmt: skip
    found = {digest(file(tmp_path, content)) for content in forms}
    assert len(found) == 1
    assert (found.pop().keys, digest(file(tmp_path, forms[0])).expires) == (3, 1)


def test_a_digest_knows_a_change_of_anything(tmp_path: Path) -> None:
    contents = [
        rdb(string(b"k", b"v")),
        rdb(string(b"k", b"w")),
        rdb(string(b"kv", b"")),
        rdb(string(b"", b"kv")),
        rdb(string(b"l", b"v")),
        rdb(select(1), string(b"k", b"v")),
        rdb(expiring(5, string(b"k", b"v"))),
        rdb(expiring(6, string(b"k", b"v"))),
        rdb(record(kinds.LIST, b"k", counted([b"v"]))),
        rdb(record(kinds.SET, b"k", counted([b"v"]))),
        rdb(record(kinds.LIST, b"k", counted([b"v", b"w"]))),
        rdb(record(kinds.LIST, b"k", counted([b"w", b"v"]))),
        rdb(string(b"k", b"v"), string(b"l", b"v")),
        rdb(string(b"k", b"v"), function(FIRST_LIBRARY)),
        rdb(record(kinds.HASH_2, b"k", as_length(1) + as_string(b"f") + as_string(b"v") + struct.pack("<q", 9))),
        rdb(record(kinds.HASH, b"k", counted([b"f", b"v"], each=2))),
        rdb(record(kinds.STREAM_3, b"k", VALUES["stream 3"][1])),
        rdb(record(kinds.STREAM_3, b"k", VALUES["stream 3"][1].replace(b"alice", b"alina"))),
        rdb(),
    ]
    assert len({digest(file(tmp_path, content)).hexdigest for content in contents}) == len(contents)


def test_packed_values_hold_the_same_as_plain_ones(tmp_path: Path) -> None:
    """Numbers in listpacks and ziplists have forms of their own."""
    packed = b"\x05\x01" + b"\xdf\xff\x02" + b"\xf1\x00\x80\x03" + b"\xf2\xff\xff\x7f\x04" + b"\xf3\x00\x00\x00\x80\x05" + b"\xf4" + b"\xff" * 8 + b"\x09"
    packed += b"\xe0\x50" + b"x" * 80 + b"\x52" + b"\xf0\x64\x00\x00\x00" + b"y" * 100 + b"\x69"
    content = struct.pack("<IH", len(packed) + 7, 8) + packed + b"\xff"
    plain = [b"5", b"-1", b"-32768", b"8388607", b"-2147483648", b"-1", b"x" * 80, b"y" * 100]
    numbers = b"\x00\xf6" + b"\x02\xc0\x00\x80" + b"\x04\xd0\x00\x00\x00\x80" + b"\x06\xe0" + b"\xff" * 8 + b"\x0a\xf0\xff\xff\x7f" + b"\x05\xfe\xff" + b"\x03\x40\x50" + b"x" * 80
    old = struct.pack("<IIH", len(numbers) + 11, 0, 7) + numbers + b"\xff"
    plain_old = [b"5", b"-32768", b"-2147483648", b"-1", b"8388607", b"-1", b"x" * 80]
    listed = record(kinds.LIST_QUICKLIST_2, b"k", as_length(1) + b"\x02" + as_string(content)), record(kinds.LIST, b"k", counted(plain))
    ziplisted = record(kinds.LIST_ZIPLIST, b"k", as_string(old)), record(kinds.LIST, b"k", counted(plain_old))
    for form, other in (listed, ziplisted):
        assert digest(file(tmp_path, rdb(form))) == digest(file(tmp_path, rdb(other)))


def test_a_digest_is_of_any_order_of_many_keys(tmp_path: Path) -> None:
    records = [string(b"key:%d" % number, b"%d" % number) for number in range(2000)]
    one = digest(file(tmp_path, rdb(*records)))
    random.Random(1).shuffle(records)
    assert digest(file(tmp_path, rdb(*records))) == one


def test_a_digest_is_of_any_order_of_very_many_elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_SORTED", 10)
    members = [b"%d" % number for number in range(1000)]
    other = random.Random(1).sample(members, len(members))
    found = [digest(file(tmp_path, rdb(record(kinds.SET, b"k", counted(order))))) for order in (members, other, members[1:])]
    assert found[0] == found[1] != found[2]
    packed = rdb(record(kinds.SET_INTSET, b"k", as_string(intset(*range(1000)))))
    assert digest(file(tmp_path, packed)) == found[0]
