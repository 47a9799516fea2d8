"""The records of RDB files: all of them are found as they are, and nothing else is taken for one."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdb_maker import VALUES, aux, every_type, expiring, function, lzf, rdb, record, select, string

from archives.rdb import kinds
from archives.rdb.checking import summarise
from archives.rdb.header import HEADER_SIZE, RdbRefusedError
from archives.rdb.records import walk
from archives.rdb.strings import decompress, read_string
from archives.rdb.values import SKIP
from archives.rdb.writing import as_length, as_string


def keys_of(data: bytes) -> dict[bytes, tuple[int, int, int | None]]:
    return {key: (kind, db, expiry) for kind, db, expiry, key, *_ in walk(data) if kind < kinds.LEAST_OPCODE}


def test_records_follow_each_other_without_a_gap_and_tell_their_keys() -> None:
    data = every_type()
    found = list(walk(data))
    covered = sum(end - start for *_, start, _, end in found) + HEADER_SIZE
    selections = len(select(0)) + len(select(4))
    assert covered + selections == len(data) - 8
    keys = keys_of(data)
    assert {name.encode() for name in VALUES} < keys.keys()
    assert keys[b"expiring"] == (kinds.STRING, 0, 1_900_000_000_000) == keys[b"expiring by seconds"]
    assert keys[b"123"] == keys[b"k" * 43] == keys[b"frequent"] == keys[b"idle"] == (kinds.STRING, 0, None)
    assert keys[b"elsewhere"] == (kinds.STRING, 4, None)
    assert found[-1][0] == kinds.EOF


def test_there_is_a_value_of_every_type_among_those_that_are_tested() -> None:
    assert {kind for kind, _ in VALUES.values()} == SKIP.keys()


@pytest.mark.parametrize("name", VALUES)
def test_a_value_ends_where_the_next_record_begins(name: str) -> None:
    kind, value = VALUES[name]
    assert SKIP[kind](value, 0) == len(value)


def test_a_file_that_is_cut_off_is_refused_wherever_that_is() -> None:
    data = every_type()
    for size in range(len(data)):
        with pytest.raises(RdbRefusedError):
            list(walk(data[:size]))


def test_whatever_bit_is_another_it_is_read_or_refused_and_soon(tmp_path: Path) -> None:
    data = every_type()[:-8] + bytes(8)
    path = tmp_path / "flipped.rdb"
    refused, began = 0, time.monotonic()
    luck = random.Random(3)
    for place in range(len(data) - 8):
        flipped = bytearray(data)
        flipped[place] ^= 1 << luck.randrange(8)
        path.write_bytes(flipped)
        try:
            summarise(path, deep=True, unchecked=True)
        except RdbRefusedError:
            refused += 1
    assert refused > len(data) / 4
    assert time.monotonic() - began < 30


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_nonsense_is_read_or_refused(nonsense: bytes) -> None:
    for data in (nonsense, b"VALKEY080" + nonsense, b"REDIS0011" + nonsense, rdb(nonsense)):
        try:
            assert list(walk(data))[-1][0] == kinds.EOF
        except RdbRefusedError as refused:
            assert str(refused)


@settings(deadline=None)
@given(st.sampled_from(list(SKIP)), st.binary(max_size=60))
def test_nonsense_in_place_of_a_value_is_read_or_refused(kind: int, nonsense: bytes) -> None:
    try:
        list(walk(rdb(record(kind, b"key", nonsense))))
    except RdbRefusedError as refused:
        assert str(refused)


HUGE = as_length((1 << 64) - 1)

ABSURD = {
    "a key of more bytes than there are": b"\x00" + HUGE,
    "a string of more bytes than there are": b"\x00\x01k" + HUGE,
    "a string of 4 GB": b"\x00\x01k" + as_length(4 << 30),
    "a compressed string of 512 MB": b"\x00\x01k" + lzf(b"abc", 512 << 20),
    "a compressed key of 2^64 bytes": b"\x00\xc3" + HUGE + HUGE,
    "a hint of more keys than there are bytes": select(0, 1 << 40),
    "a slot with more keys than there are bytes": aux(b"slot-info", b"1,99999999,0"),
    "a slot with keys that are no number": aux(b"slot-info", b"1,many,0"),
    "a database that no engine has": select(1 << 40),
    "a length that is none": b"\xfe\xff",
    "a string that is none": b"\x00\xc7",
    "an expiry of nothing": expiring(5, bytes((kinds.EOF,))),
    "an expiry of a database": expiring(5, select(1)),
    "functions of a release candidate": b"\xf6",
    "a module of a release candidate": record(kinds.MODULE_1, b"k", b""),
    "a module's value of an unknown part": record(kinds.MODULE_2, b"k", as_length(77) + as_length(9)),
    "a list's node of an unknown kind": record(kinds.LIST_QUICKLIST_2, b"k", as_length(1) + b"\x03" + as_string(b"x")),
    **{f"{count} elements of type {kind}": record(kind, b"k", as_length(count)) for kind in (1, 2, 3, 4, 5, 14, 18, 21, 22) for count in (1 << 20, 1 << 63)},
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_numbers_are_refused_at_once_and_with_their_offset(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(RdbRefusedError, match="offset"):
        list(walk(rdb(string(b"before"), ABSURD[name], b"\x00" * 20)))
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("kind", [8, *range(23, 243)])
def test_an_unknown_type_is_refused_with_its_number_and_its_offset(kind: int) -> None:
    with pytest.raises(RdbRefusedError, match=f"At offset 9 there is a byte {kind}, which is neither"):
        list(walk(rdb(record(kind, b"key", as_string(b"value")))))


@pytest.mark.parametrize("kind", [kinds.HASH_2, kinds.SLOT_IMPORT])
def test_what_only_valkey_writes_is_refused_under_the_name_of_redis(kind: int) -> None:
    with pytest.raises(RdbRefusedError, match=f"a byte {kind}"):
        list(walk(rdb(record(kind, b"key", bytes(50)), header=b"REDIS0011")))


def test_what_follows_the_end_is_refused() -> None:
    for more in (b"\x00", b"\xff", rdb(string(b"another"))):
        with pytest.raises(RdbRefusedError, match=f"{len(more)} more follow"):
            list(walk(rdb(string(b"key")) + more))


def test_files_from_before_checksums_end_without_one() -> None:
    old = rdb(string(b"key"), header=b"REDIS0004")[:-8]
    assert keys_of(old) == {b"key": (0, 0, None)}


def test_strings_are_read_in_every_form() -> None:
    forms = {name: read_string(value, 0)[0] for name, (kind, value) in VALUES.items() if kind == kinds.STRING}
    assert forms == {"string": b"value", "int8": b"-1", "int16": b"-32768", "int32": b"-2147483647", "compressed": b"a" * 101}


@settings(deadline=None)
@given(st.integers(0, (1 << 64) - 1))
def test_lengths_are_read_as_they_are_written(length: int) -> None:
    assert b"s" in keys_of(rdb(record(kinds.STREAM_1, b"s", b"\x00" + as_length(length) * 3 + b"\x00")))


@pytest.mark.parametrize(
    ("packed", "length"),
    [
        (b"\x00a\xe0\xff\x00" * 50, 100),  # goes on and on
        (b"\x20\x05", 10),  # repeats what is in front of everything
        (b"\x05abc", 6),  # says to have more than it has
        (b"\x00a\xe0", 60),
        (b"\x00a\x20", 60),
        (b"\x02abc", 4),
        (b"", 0x10),
    ],
)
def test_damaged_compression_is_refused(packed: bytes, length: int) -> None:
    with pytest.raises(RdbRefusedError, match="compressed string at offset 77 is damaged"):
        decompress(packed, length, 77)


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 9000))
def test_endless_compression_makes_no_more_than_it_says(packed: bytes, length: int) -> None:
    try:
        assert len(decompress(packed, length, 0)) == length
    except RdbRefusedError as refused:
        assert "damaged" in str(refused)


def test_functions_and_notes_are_told_with_their_names() -> None:
    code = b"#!lua name=a\n" + b"x" * 100
    found = [(kind, key) for kind, _, _, key, *_ in walk(rdb(aux(b"redis-ver", b"7.2.0"), function(code)))]
    assert found == [(kinds.AUX, b"redis-ver"), (kinds.FUNCTION_2, code), (kinds.EOF, b"")]


def test_small_keys_are_walked_by_the_hundred_thousand_a_second() -> None:
    data = rdb(*(string(b"key:%d" % number) for number in range(200_000)))
    began = time.process_time()
    assert sum(1 for _ in walk(data)) == 200_001
    assert time.process_time() - began < 2


def test_one_is_told_how_far_it_is() -> None:
    told: list[int] = []
    data = rdb(*(string(b"key:%d" % number, bytes(1 << 20)) for number in range(10)))
    list(walk(data, told.append))
    assert told == sorted(told)
    assert len(told) == 3
    assert told[-1] <= len(data)
