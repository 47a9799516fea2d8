"""How much memory the container of an engine may use."""

from __future__ import annotations

ROOM = 128 * 1024 * 1024
"""Bytes for the program itself, connections, and what is on its way to replicas."""


def container_memory(engine: str, memory: int) -> int:
    """Bytes for an engine whose own limit is ``memory``: as much again where it forks to save, for every page written meanwhile is kept
    twice. Memcached never forks; it keeps its hash table and connections besides its items, which are the limit."""
    return memory + ROOM + (memory // 4 if engine == "memcached" else memory)
