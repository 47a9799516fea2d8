"""RDB files of real engines: cut, merged, compared, and loaded again by real engines."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from bare_engines import BareEngine, Binary, binaries
from every_kind import LIBRARY, fill
from ports import free_port
from waiting import wait_until

from archives.rdb import aside
from archives.rdb.checking import summarise
from archives.rdb.cutting import Cut, cut
from archives.rdb.digest import digest
from archives.rdb.header import RdbRefusedError
from archives.rdb.slots import slot_of

BINARIES = binaries()
HEADERS = {"9.1": "VALKEY080", "8.1": "REDIS0011", "7.0": "REDIS0010"}

Start = Callable[..., BareEngine]


@pytest.fixture(params=list(HEADERS))
def version(request: pytest.FixtureRequest) -> str:
    if request.param not in BINARIES:
        pytest.skip(f"there is no engine {request.param} here")
    return str(request.param)


@pytest.fixture
def binary(version: str) -> Binary:
    return BINARIES[version]


@pytest.fixture
def start(binary: Binary, tmp_path: Path) -> Iterator[Start]:
    """Starts an engine on a folder of its own, on a copy of a file if told."""
    started: list[BareEngine] = []

    def start(file: Path | None = None, *options: str) -> BareEngine:
        folder = tmp_path / f"engine-{len(started)}"
        folder.mkdir()
        if file is not None:
            shutil.copyfile(file, folder / "dump.rdb")
        started.append(BareEngine(binary, folder, *options))
        return started[-1].__enter__()

    yield start
    for engine in started:
        engine.__exit__()


def shards(count: int) -> list[tuple[int, int]]:
    bounds = [number * 16384 // count for number in range(count + 1)]
    return [(first, last - 1) for first, last in pairwise(bounds)]


def expected(values: dict[bytes, object], slots: tuple[int, int]) -> dict[bytes, object]:
    return {key: value for key, value in values.items() if slots[0] <= slot_of(key) <= slots[1]}


def test_a_file_of_an_engine_is_cut_into_shards_that_load_and_hold_every_key(version: str, binary: Binary, start: Start, tmp_path: Path) -> None:
    engine = start()
    fill(engine.client, field_expiries=version == "9.1")
    engine.client.function_load(LIBRARY.format("ledger"))
    file = engine.save()
    kept = engine.values()
    summary = summarise(file, deep=True)
    assert (str(summary.version), summary.total_keys, summary.functions) == (HEADERS[version], len(kept), ("ledger",))
    assert summary.expires == sum(value[2] >= 0 for value in kept.values())
    for count in (1, 3, 5):
        targets = [Cut(tmp_path / f"{count}-{number}.rdb", (slots,)) for number, slots in enumerate(shards(count))]
        made = cut([file], targets, must_place_every_key=True)
        assert sum(sum(file.keys.values()) for file in made) == len(kept)
        for part, slots in zip(made, shards(count), strict=True):
            assert not binary.complaints(part.path)
            found = summarise(part.path, deep=True)
            assert (found.sha256, found.size, found.keys, found.expires) == (part.sha256, part.size, part.keys, part.expires)
            loaded = start(part.path)
            assert loaded.values() == expected(kept, slots)
            assert [library[1] for library in loaded.client.function_list()] == [b"ledger"]
            loaded.__exit__()


def test_three_files_are_merged_into_one_and_into_five(version: str, binary: Binary, start: Start, tmp_path: Path) -> None:
    files, kept = [], {}
    for number in range(3):
        engine = start()
        fill(engine.client, prefix=f"{number}:", keys=50, field_expiries=version == "9.1")
        engine.client.function_load(LIBRARY.format("common"))
        engine.client.function_load(LIBRARY.format(f"own_{number}"))
        files.append(engine.save())
        kept |= engine.values()
        engine.__exit__()
    whole = cut(files, [Cut(tmp_path / "whole.rdb", None)])
    assert not binary.complaints(whole[0].path)
    loaded = start(whole[0].path)
    assert loaded.values() == kept
    assert sorted(library[1] for library in loaded.client.function_list()) == [b"common", b"own_0", b"own_1", b"own_2"]
    parts = aside.cut(files, [Cut(tmp_path / f"part-{number}.rdb", (slots,)) for number, slots in enumerate(shards(5))])
    for part, slots in zip(parts, shards(5), strict=True):
        assert not binary.complaints(part.path)
        assert start(part.path).values() == expected(kept, slots)


def test_files_of_older_engines_are_merged_for_the_newest(tmp_path: Path) -> None:
    files, kept = [], {}
    for version, binary in BINARIES.items():
        with BareEngine(binary, tmp_path / version) as engine:
            fill(engine.client, prefix=f"{version}:", keys=20)
            files.append(engine.save())
            kept |= engine.values()
    if len(files) < 3:
        pytest.skip("not every engine is here")
    made = cut(files, [Cut(tmp_path / "whole.rdb", None)])[0]
    assert str(made.version) == "VALKEY080"
    assert not BINARIES["9.1"].complaints(made.path)
    (tmp_path / "new").mkdir()
    shutil.copyfile(made.path, tmp_path / "new" / "dump.rdb")
    with BareEngine(BINARIES["9.1"], tmp_path / "new") as loaded:
        found = loaded.values()
    assert found.keys() == kept.keys()
    differ = {key for key in kept if found[key] != kept[key]}
    assert {kept[key][0] for key in differ} <= {b"stream"}  # which is dumped with more than older engines knew


def test_several_databases_stay_what_they_are_where_no_slots_are_given(binary: Binary, start: Start, tmp_path: Path) -> None:
    engine = start()
    kept = {}
    for db in (0, 3, 9):
        with redis.Redis(port=engine.port, db=db) as client:
            fill(client, prefix=f"{db}:", keys=20)
            client.set("same", db)
        kept[db] = engine.values(db)
    file = engine.save()
    made = cut([file], [Cut(tmp_path / "whole.rdb", None)])
    assert made[0].keys == {db: len(values) for db, values in kept.items()} == summarise(file).keys
    assert not binary.complaints(made[0].path)
    loaded = start(made[0].path)
    assert {db: loaded.values(db) for db in kept} == kept
    with pytest.raises(RdbRefusedError, match="database 3, and with cluster mode on there is only 0"):
        cut([file], [Cut(tmp_path / "sharded.rdb", ((0, 16383),))])
    assert not list(tmp_path.glob("sharded*"))


def test_what_an_engine_loads_and_saves_again_has_the_same_digest(version: str, start: Start) -> None:
    engine = start()
    fill(engine.client, field_expiries=version == "9.1")
    engine.client.function_load(LIBRARY.format("ledger"))
    file = engine.save()
    again = start(file, "--replicaof", "127.0.0.1", "1").save()
    assert digest(again) == digest(file)
    assert aside.digest(again) == digest(file)
    engine.client.rpush("list:3", "one more")
    assert digest(engine.save()) != digest(again)


def test_shards_with_cluster_mode_on_load_what_was_cut_for_them(binary: Binary, start: Start, tmp_path: Path) -> None:
    def with_cluster_mode(file: Path | None = None) -> BareEngine:
        return start(file, "--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-allow-reads-when-down", "yes")

    engine = with_cluster_mode()
    engine.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_until(lambda: b"cluster_state:ok" in cluster_info(engine))
    fill(engine.client, keys=50)
    file, kept = engine.save(), engine.values()
    made = cut([file], [Cut(tmp_path / f"{number}.rdb", (slots,)) for number, slots in enumerate(shards(3))], must_place_every_key=True)
    for part, slots in zip(made, shards(3), strict=True):
        assert not binary.complaints(part.path)
        assert with_cluster_mode(part.path).values() == expected(kept, slots)


def cluster_info(engine: BareEngine) -> bytes:
    return bytes(engine.client.execute_command("CLUSTER", "INFO", NEVER_DECODE=True))


def test_a_damaged_file_is_refused_as_the_engine_refuses_it(binary: Binary, start: Start, tmp_path: Path) -> None:
    engine = start()
    fill(engine.client, keys=20)
    content = engine.save().read_bytes()
    damaged = tmp_path / "damaged.rdb"
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(RdbRefusedError, match="cut off"):
        summarise(damaged)
    assert binary.complaints(damaged)
    damaged.write_bytes(content.replace(b"short", b"shirt"))
    with pytest.raises(RdbRefusedError, match="checksum"):
        summarise(damaged)
    assert binary.complaints(damaged)
