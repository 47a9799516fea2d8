"""Other numbers of nodes: what is asked of a Memcached cluster, what its clients are told, and what events say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Discovery:
    """The nodes that a Memcached cluster names to clients that ask. ``version`` rises by one with every change of the list."""

    version: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resizing:
    """Nodes to be added to a Memcached cluster, each with its zone, and nodes to be removed from it, by their ids."""

    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


def resizing_messages(change: Resizing) -> list[str]:
    """What the service's events say when that begins."""
    words = (("Increasing", change.added), ("Decreasing", change.removed))
    return [f"{word} number of requested nodes" for word, nodes in words if nodes]


def replica_count_message(before: int, after: int, *, finished: bool = False) -> str:
    """What an event says when a group begins to have another number of replicas, and when it has it."""
    word = "increasing" if after > before else "decreasing"
    return f"{f'Finished {word}' if finished else word.capitalize()} number of replicas from {before} to {after}"
