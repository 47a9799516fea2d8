"""What Memcached is started with."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from agents.engines.memcached import MemcachedEngine
from agents.engines.memcached_arguments import arguments
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
        ("no_modern", "1", ["-o no_modern"]),
        ("no_modern", "0", []),
        ("modern", "0", ["-o no_modern"]),
        ("modern", "1", []),
        ("lru_crawler", "1", ["-o lru_crawler"]),
        ("lru_crawler", "0", []),
        ("lru_maintainer", "1", ["-o lru_maintainer"]),
        ("maxconns_fast", "1", ["-o maxconns_fast"]),
        ("slab_reassign", "1", ["-o slab_reassign"]),
        ("track_sizes", "1", ["-o track_sizes"]),
        ("slab_automove", "2", ["-o slab_automove=2"]),
        ("watcher_logbuf_size", "512", ["-o watcher_logbuf_size=512"]),
        ("worker_logbuf_size", "128", []),  # the program would take it for a list of chunk sizes as well
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
        (None, None),
        ("", None),
        ("one\ntwo\nthree\n", "two / three"),
        ("failed to listen\n", "failed to listen"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_its_last_words(tmp_path: Path, printed: str | None, said: str | None) -> None:
    if printed is not None:
        (tmp_path / "launch.log").write_text(printed)
    assert MemcachedEngine(tmp_path).why_it_ended(tmp_path) == said


def test_a_new_boot_does_not_repeat_the_last_words_of_the_old(tmp_path: Path) -> None:
    (tmp_path / "launch.log").write_text("failed to listen")
    for _ in range(2):
        MemcachedEngine(tmp_path).wipe(tmp_path)
        assert MemcachedEngine(tmp_path).why_it_ended(tmp_path) is None


@pytest.mark.parametrize("front", [False, True])
def test_nobody_answers_where_nobody_listens(tmp_path: Path, front: bool) -> None:
    nowhere = a_spec().model_copy(update={"address": "127.99.255.254", "port": 11299, "front": front})
    assert not MemcachedEngine(tmp_path).is_ready(nowhere)


def test_behind_a_front_it_listens_on_a_socket_in_its_folder_and_nowhere_else() -> None:
    words = arguments(a_spec().model_copy(update={"front": True}))
    assert words[:2] == ("-s", "engine.sock")
    assert not {"-l", "-p", "-U"} & set(words)
