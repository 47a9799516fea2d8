"""What Memcached is started with."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waiting import wait_until

from agents.engines.engine import EngineUnreachableError
from agents.engines.memcached import ITEM, MemcachedEngine, MemcachedSession
from agents.engines.memcached_arguments import arguments
from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.node import EngineBinary, NodeSpec, Role
from controlplane.domain.parameters import values_of

MEBIBYTE = 1024 * 1024
FAMILIES = ("memcached1.4", "memcached1.5", "memcached1.6")


def a_spec(parameters: dict[str, str] | None = None, memory: int = 64 * MEBIBYTE, threads: int = 2) -> NodeSpec:
    return NodeSpec(
        key="uid.0001", generation=1, binary=EngineBinary(engine="memcached", version="1.6.18", path="/usr/bin/memcached"),
        zone="us-east-1a", address="127.101.0.1", port=11211, role=Role.NONE, epoch=1, memory=memory, threads=threads,
        parameters=parameters or {},
    )  # fmt: skip


def given(spec: NodeSpec) -> list[str]:
    """Each flag with its value, the user left out."""
    words = [word for word in " ".join(arguments(spec)).replace("-u root ", "").removesuffix(" -u root").split(" -") if word]
    return [word if word.startswith("-") else f"-{word}" for word in words]


ALWAYS = ["-l 127.101.0.1", "-p 11211", "-U 0", "-m 64", "-t 2"]


def test_without_parameters_it_gets_address_memory_and_threads() -> None:
    assert given(a_spec()) == ALWAYS


def test_it_listens_on_its_own_address_only_and_never_on_udp() -> None:
    assert arguments(a_spec())[:6] == ("-l", "127.101.0.1", "-p", "11211", "-U", "0")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must say who it wants to be")
def test_as_root_it_is_told_to_stay_root() -> None:
    words = arguments(a_spec())
    assert words[words.index("-u") + 1] == "root"


@pytest.mark.parametrize(
    ("memory", "megabytes"), [(64 * MEBIBYTE, "64"), (64 * MEBIBYTE - 1, "63"), (MEBIBYTE, "1"), (1, "1"), (2**40, "1048576")]
)
def test_memory_is_whole_mebibytes_and_at_least_one(memory: int, megabytes: str) -> None:
    assert f"-m {megabytes}" in given(a_spec(memory=memory))


@pytest.mark.parametrize(
    ("parameter", "value", "flags"),
    [
        ("max_item_size", "2097152", ["-I 2097152"]),
        ("max_item_size", "2000000", ["-I 2097152"]),  # whole chunks
        ("max_item_size", "1024", ["-I 1024", "-o slab_chunk_max=1024"]),
        ("max_item_size", "134217728", ["-I 33554432"]),  # no more than half of the memory
        ("lock_down_paged_memory", "1", ["-k"]),
        ("maximize_core_file_limit", "1", ["-r"]),
        ("no_modern", "1", ["-o no_modern"]),
        ("no_modern", "0", []),
        ("modern", "0", ["-o no_modern"]),
        ("modern", "1", []),
        ("lru_crawler", "1", ["-o lru_crawler"]),
        ("lru_maintainer", "1", ["-o lru_maintainer"]),
        ("maxconns_fast", "1", ["-o maxconns_fast"]),
        ("slab_reassign", "1", ["-o slab_reassign"]),
        ("slab_automove", "2", ["-o slab_automove=2"]),
        ("track_sizes", "1", ["-o track_sizes"]),
        ("watcher_logbuf_size", "512", ["-o watcher_logbuf_size=512"]),
        ("worker_logbuf_size", "64", []),
        ("backlog_queue_limit", "1024", ["-b 1024"]),
        ("binding_protocol", "ascii", ["-B ascii"]),
        ("chunk_size", "48", ["-n 48"]),
        ("chunk_size_growth_factor", "1.25", ["-f 1.25"]),
        ("max_simultaneous_connections", "100", ["-c 100"]),
        ("requests_per_event", "20", ["-R 20"]),
        ("cas_disabled", "1", ["-C"]),
        ("cas_disabled", "0", []),
        ("disable_flush_all", "1", ["-F"]),
        ("error_on_memory_exhausted", "1", ["-M"]),
        ("large_memory_pages", "1", ["-L"]),
        ("large_memory_pages", "0", []),
        ("hash_algorithm", "murmur3", ["-o hash_algorithm=murmur3"]),
        ("hashpower_init", "16", ["-o hashpower=16"]),
        ("idle_timeout", "60", ["-o idle_timeout=60"]),
        ("idle_timeout", "0", []),
        ("memcached_connections_overhead", "100", []),
        ("config_max", "16", []),
    ],
)
def test_a_parameter_as_a_flag(parameter: str, value: str, flags: list[str]) -> None:
    assert given(a_spec({parameter: value})) == ALWAYS + flags


def test_no_more_connections_are_asked_for_than_this_host_lets_a_process_open() -> None:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 10**9 if files == resource.RLIM_INFINITY else files - 64
    assert f"-c {most}" in given(a_spec({"max_simultaneous_connections": "1000000000"}))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_flag_of_a_default_group_is_given_twice(family: str) -> None:
    flags = [word.split()[0] for word in given(a_spec(values_of(family, cluster_mode=False)))]
    assert len([flag for flag in flags if flag != "-o"]) == len({flag for flag in flags if flag != "-o"})
    assert "-I" in flags


def test_the_program_is_the_one_of_the_spec_and_what_it_prints_is_kept(tmp_path: Path) -> None:
    launch = MemcachedEngine(tmp_path).launch(a_spec(), tmp_path)
    assert launch.argv == ("/usr/bin/memcached", *arguments(a_spec()))
    assert (launch.key, launch.boot, launch.folder, launch.log) == ("uid.0001", 1, tmp_path, tmp_path / "launch.log")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (None, "it left no log"),
        ("", "it left no log"),
        ("one\ntwo\nthree\n", "two / three"),
        ("failed to listen\n", "failed to listen"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_its_last_words(tmp_path: Path, printed: str | None, said: str) -> None:
    if printed is not None:
        (tmp_path / "launch.log").write_text(printed)
    assert MemcachedEngine(tmp_path).why_it_ended(tmp_path) == said


def test_a_new_boot_does_not_repeat_the_last_words_of_the_old(tmp_path: Path) -> None:
    (tmp_path / "launch.log").write_text("failed to listen")
    for _ in range(2):
        MemcachedEngine(tmp_path).wipe(tmp_path)
        assert MemcachedEngine(tmp_path).why_it_ended(tmp_path) == "it left no log"


@pytest.mark.parametrize("front", [False, True])
def test_nobody_answers_where_nobody_listens(tmp_path: Path, front: bool) -> None:
    nowhere = a_spec().model_copy(update={"address": "127.99.255.254", "port": 11299, "front": front})
    assert not MemcachedEngine(tmp_path).is_ready(nowhere)


def test_behind_a_front_it_listens_on_a_socket_in_its_folder_and_nowhere_else() -> None:
    words = arguments(a_spec().model_copy(update={"front": True}))
    assert words[:2] == ("-s", "engine.sock")
    assert not {"-l", "-p", "-U"} & set(words)


# ---- the real program


@contextmanager
def running(spec: NodeSpec, folder: Path) -> Iterator[MemcachedEngine]:
    """The program of this host, started with the spec in the node's folder and ready."""
    engine, home = MemcachedEngine(folder), folder / "nodes" / spec.key
    home.mkdir(parents=True)
    with (home / "launch.log").open("w") as log:
        process = subprocess.Popen([spec.binary.path, *arguments(spec)], cwd=home, stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or engine.is_ready(spec))
            assert process.poll() is None, engine.why_it_ended(home)
            yield engine
        finally:
            process.kill()
            process.wait()


FRONTED = a_spec().model_copy(update={"front": True})
LISTED = FRONTED.model_copy(update={"discovery": DiscoveryList(version=7, nodes="127.101.0.1|127.101.0.1|11211")})


@pytest.mark.parametrize("family", ["memcached1.5", "memcached1.6"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"no_modern": "0"},
        {"max_item_size": "1024"},
        {"max_item_size": "1048577", "slab_chunk_max": "1000"},
        {"max_item_size": "134217728", "slab_chunk_max": "1"},
        {"slab_chunk_max": "134217728"},
        {"slab_automove": "1", "slab_reassign": "1", "lru_crawler": "1", "lru_maintainer": "1", "maxconns_fast": "1", "track_sizes": "1"},
        {"hash_algorithm": "murmur3", "idle_timeout": "86400", "chunk_size_growth_factor": "1.1", "chunk_size": "96"},
        {"cas_disabled": "1", "disable_flush_all": "1", "error_on_memory_exhausted": "1", "binding_protocol": "ascii"},
    ],
    ids=str,
)
def test_it_starts_with_any_values_a_group_may_have(tmp_path: Path, family: str, values: dict[str, str]) -> None:
    spec = a_spec({**values_of(family, cluster_mode=False), **values}).model_copy(update={"front": True})
    with running(spec, tmp_path) as engine:
        assert engine.open(spec).observe().discovery == 0


def test_the_list_is_kept_and_put_back(tmp_path: Path) -> None:
    with running(LISTED, tmp_path) as engine:
        session = engine.open(LISTED)
        assert isinstance(session, MemcachedSession)
        assert not session.assume(LISTED, session.observe())  # it was just stored; the next look sees it
        seen = session.observe()
        assert (seen.discovery, session.assume(LISTED, seen)) == (7, True)
        with session._connect() as client:
            client.sendall(b"get %s\r\nflush_all\r\n" % ITEM)
            assert client.recv(4096).startswith(b"VALUE %s 0 32\r\n7\n127.101.0.1|127.101.0.1|11211\n\r\nEND\r\n" % ITEM)
        wait_until(lambda: session.observe().discovery == 0)
        assert not session.assume(LISTED, session.observe())
        assert session.observe().discovery == 7


def test_a_list_for_which_there_is_no_room_does_not_hold_up_anything(tmp_path: Path) -> None:
    long = LISTED.model_copy(update={"parameters": {"max_item_size": "1024"}, "discovery": DiscoveryList(version=9, nodes="x" * 3000)})
    with running(long, tmp_path) as engine:
        session = engine.open(long)
        assert not session.assume(long, session.observe())
        assert (session.observe().discovery, session.assume(long, session.observe())) == (9, True)


def test_a_session_says_when_it_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError):
        MemcachedEngine(tmp_path).open(FRONTED).observe()


def test_nothing_of_it_can_be_saved() -> None:
    assert MemcachedEngine.keeps_data is False
