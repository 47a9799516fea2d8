"""Cutting: every key goes where its slot belongs, with all that is its own, and into no file that was not finished."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdb_maker import FIRST_LIBRARY, VALUES, aux, every_type, expiring, function, rdb, record, select, string
from redis.crc import key_slot

from archives.rdb import kinds, repeats
from archives.rdb.checking import summarise
from archives.rdb.cutting import Cut, cut
from archives.rdb.digest import digest
from archives.rdb.header import RdbRefusedError
from archives.rdb.records import Record, walk
from archives.rdb.repeats import repeated_key
from archives.rdb.slots import marked, slot_of
from archives.rdb.writing import as_length, as_string

HALVES = [((0, 8191),), ((8192, 16383),)]
IMPORTING = bytes((kinds.SLOT_IMPORT,)) + as_string(b"n" * 40)


def file(folder: Path, content: bytes, name: str = "source.rdb") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def records_of(content: bytes) -> Counter[tuple[int, bytes]]:
    """Database and bytes of every key's record."""
    return Counter((db, content[start:end]) for kind, db, _, _, start, _, end in walk(content) if kind < kinds.LEAST_OPCODE)


def keys_of(path: Path) -> list[bytes]:
    return [found[3] for found in walk(path.read_bytes()) if found[0] < kinds.LEAST_OPCODE]


keys = st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode), st.sampled_from([b"{a}b", b"a{}b", b"{}", b"a{b}c{d}", b"{{a}}", b"}a{b}"]))


@settings(deadline=None)
@given(keys)
def test_a_slot_is_what_a_client_takes_it_for(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


def test_slots_that_are_none_are_refused() -> None:
    for first, last in ((-1, 5), (5, 4), (0, 16384)):
        with pytest.raises(ValueError, match="no range of slots"):
            marked([(first, last)])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.lists(st.tuples(keys, st.binary(max_size=300), st.none() | st.integers(-5, 1 << 50)), unique_by=lambda row: row[0], max_size=40),
    bounds=st.sets(st.integers(1, 16383), max_size=4),
    sources=st.integers(1, 3),
)
def test_every_record_is_in_the_one_file_of_its_slot(tmp_path: Path, content: list[tuple[bytes, bytes, int | None]], bounds: set[int], sources: int) -> None:
    records = [string(key, value) if expiry is None else expiring(expiry, string(key, value)) for key, value, expiry in content]
    files = [file(tmp_path, rdb(select(0), *records[number::sources]), f"source-{number}.rdb") for number in range(sources)]
    edges = [0, *sorted(bounds), 16384]
    targets = [Cut(tmp_path / f"{first}.rdb", ((first, last - 1),)) for first, last in pairwise(edges)]
    made = cut(files, targets, must_place_every_key=True)
    found = Counter[tuple[int, bytes]]()
    for part, target in zip(made, targets, strict=True):
        assert target.slots is not None
        written = part.path.read_bytes()
        found += records_of(written)
        assert all(target.slots[0][0] <= slot_of(key) <= target.slots[0][1] for key in keys_of(part.path))
        summary = summarise(part.path)
        assert (summary.size, summary.sha256) == (part.size, part.sha256) == (len(written), hashlib.sha256(written).hexdigest())
        assert (summary.keys, summary.expires) == (part.keys, part.expires)
    assert found == Counter((0, record) for record in records)


def test_every_type_is_copied_with_its_expiry_and_its_hints(tmp_path: Path) -> None:
    content = every_type()
    without = content.replace(bytes((kinds.MODULE_AUX,)) + as_length(0x1234567890ABCDEF) + as_length(2) + as_length(1) + as_length(0), b"")
    source = file(tmp_path, without)
    made = cut([source], [Cut(tmp_path / "whole.rdb", None)])
    assert records_of(made[0].path.read_bytes()) == records_of(without)
    assert digest(made[0].path) == digest(source)
    summary = summarise(made[0].path)
    assert summary.keys == made[0].keys == {0: len(VALUES) + 6, 4: 1}
    assert (summary.functions, summary.created, summary.engine) == (("first",), 1_700_000_000, ("valkey", "9.1.2"))
    assert summary.importing == ()


def test_notes_about_replication_and_slots_stay_behind(tmp_path: Path) -> None:
    notes = [aux(name, b"1") for name in (b"repl-id", b"repl-offset", b"repl-stream-db", b"aof-base", b"lua")]
    source = file(tmp_path, rdb(aux(b"redis-ver", b"7.2.1"), aux(b"redis-bits", b"64"), *notes, select(0), aux(b"slot-info", b"1,0,0")))
    made = cut([source], [Cut(tmp_path / "a.rdb", None)])
    assert summarise(made[0].path).aux == {"redis-ver": "7.2.1", "redis-bits": "64"}


def hints(path: Path) -> list[int]:
    content = path.read_bytes()
    return [content[found[5]] for found in walk(content) if found[0] == kinds.RESIZE_DB]


def test_each_file_gets_its_part_of_the_hints_and_of_the_memory(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(aux(b"used-mem", b"100000"), select(0, 40), *(string(b"key:%d" % number) for number in range(40))))
    made = cut([source], [Cut(tmp_path / f"{number}.rdb", slots) for number, slots in enumerate(HALVES)])
    assert [hints(part.path) for part in made] == [[20], [20]]
    assert [summarise(part.path).used_memory for part in made] == [50_000, 50_000]
    for part in made:
        assert part.used_memory_estimate is not None
        assert 30_000 < part.used_memory_estimate < 70_000


def test_the_memory_is_not_guessed_where_a_source_does_not_tell(tmp_path: Path) -> None:
    sources = [file(tmp_path, rdb(aux(b"used-mem", b"100"), string(b"a")), "a"), file(tmp_path, rdb(string(b"b")), "b")]
    assert cut(sources, [Cut(tmp_path / "c.rdb", None)])[0].used_memory_estimate is None


def test_the_highest_version_is_what_the_new_file_has(tmp_path: Path) -> None:
    sources = [file(tmp_path, rdb(string(header), header=header), header.decode()) for header in (b"REDIS0010", b"VALKEY080", b"REDIS0011")]
    assert cut(sources, [Cut(tmp_path / "a.rdb", None)])[0].path.read_bytes().startswith(b"VALKEY080")
    made = cut([sources[0], sources[2]], [Cut(tmp_path / "b.rdb", None)])[0]
    assert (str(made.version), made.path.read_bytes()[:9]) == ("REDIS0011", b"REDIS0011")


def test_functions_are_in_every_file_once(tmp_path: Path) -> None:
    second = FIRST_LIBRARY.replace(b"first", b"second")
    sources = [file(tmp_path, rdb(function(FIRST_LIBRARY)), "a"), file(tmp_path, rdb(function(second), function(FIRST_LIBRARY)), "b")]
    for part in cut(sources, [Cut(tmp_path / f"{number}.rdb", slots) for number, slots in enumerate(HALVES)]):
        assert summarise(part.path).functions == ("first", "second")
        assert part.path.read_bytes().count(b"name=first") == 1


def test_libraries_of_one_name_that_differ_are_refused(tmp_path: Path) -> None:
    sources = [file(tmp_path, rdb(function(FIRST_LIBRARY + more)), more.decode() or "a") for more in (b"", b" ")]
    with pytest.raises(RdbRefusedError, match="another function library of the name first"):
        cut(sources, [Cut(tmp_path / "c.rdb", None)])


def test_a_library_behind_keys_is_refused_and_not_lost(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(string(b"k"), function(FIRST_LIBRARY)))
    with pytest.raises(RdbRefusedError, match="opcode 245 comes behind keys"):
        cut([source], [Cut(tmp_path / "c.rdb", None)])


def test_data_of_a_module_that_is_of_no_key_is_refused(tmp_path: Path) -> None:
    source = file(tmp_path, every_type())
    with pytest.raises(RdbRefusedError, match="data of a module"):
        cut([source], [Cut(tmp_path / "c.rdb", None)])


def test_databases_other_than_the_first_are_refused_with_slots_unless_allowed(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(string(b"k"), select(2), string(b"in two")))
    target = Cut(tmp_path / "c.rdb", ((0, 16383),))
    with pytest.raises(RdbRefusedError, match=r"source\.rdb the key b'in two' is in database 2"):
        cut([source], [target])
    assert not target.path.exists()
    assert cut([source], [target], every_database=True)[0].keys == {0: 1, 2: 1}


def test_keys_that_no_file_is_for_are_left_out_or_refused(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(string(b"foo")))
    target = Cut(tmp_path / "c.rdb", ((0, 0),))
    assert cut([source], [target])[0].keys == {}
    with pytest.raises(RdbRefusedError, match="b'foo' is in slot 12182, which none of the files"):
        cut([source], [target], must_place_every_key=True)


def test_keys_on_their_way_belong_to_whom_they_come_from(tmp_path: Path) -> None:
    slot = slot_of(b"foo")
    importing = file(tmp_path, rdb(IMPORTING + as_length(1) + as_length(slot) + as_length(slot), string(b"foo", b"half"), string(b"own")), "a")
    owner = file(tmp_path, rdb(string(b"foo", b"whole")), "b")
    for sources in ([importing, owner], [owner, importing]):
        made = cut(sources, [Cut(tmp_path / "c.rdb", None)])[0]
        assert records_of(made.path.read_bytes()) == Counter([(0, string(b"foo", b"whole")), (0, string(b"own"))])


def test_what_expired_before_a_time_may_be_left_out(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(expiring(99, string(b"a")), expiring(100, string(b"b")), string(b"c")))
    made = cut([source], [Cut(tmp_path / "c.rdb", None)], drop_expired_before_ms=100)[0]
    assert (keys_of(made.path), made.expires) == ([b"b", b"c"], 1)
    assert cut([source], [Cut(tmp_path / "c.rdb", None)])[0].keys == {0: 3}


def test_the_same_key_in_two_sources_is_refused_with_its_name(tmp_path: Path) -> None:
    sources = [file(tmp_path, rdb(string(b"a%d" % number), string(b"same", b"%d" % number)), f"{number}") for number in range(2)]
    with pytest.raises(RdbRefusedError, match="The key b'same' is in database 0 more than once"):
        cut(sources, [Cut(tmp_path / "c.rdb", None)])
    assert not list(tmp_path.glob("c.rdb*"))


def test_the_same_key_in_another_database_is_another_key(tmp_path: Path) -> None:
    sources = [file(tmp_path, rdb(select(number), string(b"same")), f"{number}") for number in range(2)]
    assert cut(sources, [Cut(tmp_path / "c.rdb", None)])[0].keys == {0: 1, 1: 1}


def test_a_repeat_is_found_however_few_keys_are_looked_at_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_AT_ONCE", 10)
    content = [string(b"key:%d" % number) for number in range(200)]
    path = file(tmp_path, rdb(*content))
    assert repeated_key([path]) is None
    other = file(tmp_path, rdb(string(b"key:150"), select(1), string(b"key:3")), "other")
    assert repeated_key([path, other]) == (0, b"key:150")


def test_two_keys_of_one_number_are_no_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "hash", lambda found: 7, raising=False)
    path = file(tmp_path, rdb(string(b"a"), string(b"b"), string(b"c")))
    assert repeated_key([path]) is None


def test_a_cut_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(string(b"k"))[:-3])
    targets = [Cut(file(tmp_path, b"was there", name), None) for name in ("a", "b")]
    with pytest.raises(RdbRefusedError, match="cut off"):
        cut([source], targets)
    assert [target.path.read_bytes() for target in targets] == [b"was there", b"was there"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "source.rdb"]


def test_a_cut_replaces_what_was_there_and_gives_one_key_to_several(tmp_path: Path) -> None:
    source = file(tmp_path, rdb(string(b"k")))
    targets = [Cut(file(tmp_path, b"was there", name), slots) for name, slots in (("a", None), ("b", ((0, 16383),)), ("c", ((0, 1), (3, 16383))))]
    assert [part.keys for part in cut([source], targets)] == [{0: 1}] * 3


def test_large_values_are_copied_in_pieces(tmp_path: Path) -> None:
    content = [string(b"large", bytes(5 << 20)), string(b"small"), string(b"larger", b"x" * (3 << 20))]
    told: list[int] = []
    source = file(tmp_path, rdb(*content))
    made = cut([source, file(tmp_path, rdb(string(b"b")), "b")], [Cut(tmp_path / "c.rdb", None)], told=told.append)[0]
    assert records_of(made.path.read_bytes()) == Counter((0, whole) for whole in [*content, string(b"b")])
    assert told == sorted(told)
    assert told[-1] > 8 << 20


def test_lengths_of_every_size_are_written_as_they_are_read() -> None:
    for length in (0, 63, 64, 16383, 16384, (1 << 32) - 1, 1 << 32, (1 << 64) - 1):
        found: list[Record] = list(walk(rdb(record(kinds.STREAM_1, b"s", b"\x00" + as_length(length) * 3 + b"\x00"))))
        assert found[0][3] == b"s"
