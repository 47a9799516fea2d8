"""What Memcached is started with: the service's parameters as flags of the program."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping

from api_schemas.agent.node import NodeSpec

SOCKET = "engine.sock"
"""The Unix socket, in the node's folder, of an engine that a front stands before."""

_MEBIBYTE = 1024 * 1024
_OTHER_FILES = 64
_SMALLEST_ITEM = 1024

# A parameter of the service as the program's flag. Those that are switches are given when their value is 1.
_FLAGS = {
    "backlog_queue_limit": "-b",
    "binding_protocol": "-B",
    "chunk_size": "-n",
    "chunk_size_growth_factor": "-f",
    "max_simultaneous_connections": "-c",
    "requests_per_event": "-R",
}
_SWITCHES = {
    "cas_disabled": "-C",
    "disable_flush_all": "-F",
    "error_on_memory_exhausted": "-M",
    "large_memory_pages": "-L",
    "lock_down_paged_memory": "-k",
    "maximize_core_file_limit": "-r",
}
# Not worker_logbuf_size: up to 1.6.18 at least, the program takes its value for a list of chunk sizes as well, and wastes its memory.
_OPTIONS = {
    "hash_algorithm": "hash_algorithm",
    "hashpower_init": "hashpower",
    "idle_timeout": "idle_timeout",
    "slab_automove": "slab_automove",
    "watcher_logbuf_size": "watcher_logbuf_size",
}
# Given after no_modern, which switches most of them off, in this order: the program reads its options one after the other.
_OPTION_SWITCHES = ("lru_crawler", "lru_maintainer", "maxconns_fast", "slab_reassign", "track_sizes")


def arguments(spec: NodeSpec) -> tuple[str, ...]:
    """The program's arguments. One that a front stands before listens on a Unix socket in its folder, and nowhere else."""
    return tuple(_arguments(spec))


def _arguments(spec: NodeSpec) -> Iterator[str]:
    parameters = spec.parameters
    yield from ("-s", SOCKET) if spec.front else ("-l", spec.address, "-p", str(spec.port), "-U", "0")
    yield from ("-m", str(_megabytes(spec)), "-t", str(spec.threads))
    if os.geteuid() == 0:
        yield from ("-u", "root")  # it refuses to run as root unless told to
    yield from _sizes(spec)
    for name, flag in _FLAGS.items():
        if value := parameters.get(name):
            yield from (flag, _possible(value) if flag == "-c" else value)
    for name, flag in _SWITCHES.items():
        if parameters.get(name) == "1":
            yield flag
    for option in _options(parameters):
        yield from ("-o", option)


def _megabytes(spec: NodeSpec) -> int:
    return max(1, spec.memory // _MEBIBYTE)


def _sizes(spec: NodeSpec) -> Iterator[str]:
    """The largest item, and the largest chunk it is kept in.

    The program wants an item to be whole chunks, a chunk to be a power of two, and memory for two items.
    """
    asked = spec.parameters.get("max_item_size")
    if not asked:
        return
    size = max(_SMALLEST_ITEM, min(int(asked), _megabytes(spec) * _MEBIBYTE // 2))
    chunk = min(size, int(spec.parameters.get("slab_chunk_max") or _MEBIBYTE // 2), _MEBIBYTE)
    chunk = 1 << (max(chunk, _SMALLEST_ITEM // 2).bit_length() - 1)
    yield from ("-I", str(-(-size // chunk) * chunk))
    if "slab_chunk_max" in spec.parameters or chunk != _MEBIBYTE // 2:
        yield from ("-o", f"slab_chunk_max={chunk}")


def _options(parameters: Mapping[str, str]) -> Iterator[str]:
    if parameters.get("no_modern") == "1" or parameters.get("modern") == "0":
        yield "no_modern"
    for name in _OPTION_SWITCHES:
        if parameters.get(name) == "1":
            yield name
    for name, option in _OPTIONS.items():
        if (value := parameters.get(name)) not in (None, "0"):
            yield f"{option}={value}"


def _possible(connections: str) -> str:
    """As many connections as asked, or as this host lets a process open: with more the server refuses to start."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if files == resource.RLIM_INFINITY else str(min(int(connections), files - _OTHER_FILES))
