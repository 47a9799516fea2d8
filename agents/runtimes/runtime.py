"""The runtime protocol: where an engine process lives. Runtimes know nothing about engines; engines nothing about runtimes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Protocol

from agents.launch import Launch


@dataclass(frozen=True, slots=True)
class Handle:
    """What is needed to find a process again after a restart of the agent. Plain data, written down before use.

    ``started`` is the process's start time in clock ticks since boot: a pid alone is reused.
    """

    runtime: str
    key: str
    boot: int
    pid: int
    started: int
    layout: int = field(default=1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process has come: processor time ``used``, in ticks of any length, and whether it only ``awaits`` a processor or a disk."""

    used: int
    awaits: bool = False


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of its host's memory that a process takes: resident, and swapped out where the system tells."""

    resident: int
    swapped: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What a runtime knows of a process's end: whether it was for want of memory, and the last thing it said, where that is kept here."""

    out_of_memory: bool = False
    said: str | None = None


class StartRefusedError(Exception):
    """The process could not be started; the text says why and what to do."""


class NotYetError(Exception):
    """The process cannot be started yet, because something is still being fetched for it; the text says how far that is. Try again soon."""


class Runtime(Protocol):
    """Where an engine process lives. Call any method twice: the second call changes nothing."""

    name: ClassVar[str]

    def start(self, launch: Launch) -> Handle:
        """Start the process, or return the handle of the one already running for this key and boot.

        Raises StartRefusedError, and NotYetError when it can only be started later.
        """

    def alive(self, handle: Handle) -> bool:
        """Whether the very process of this handle still runs; a zombie or a reused pid does not count."""

    def progress(self, handle: Handle) -> Progress | None:
        """What the process has done so far; None when it has ended."""

    def footprint(self, handle: Handle) -> Footprint | None:
        """What memory the process takes; None when it has ended, or nobody tells cheaply."""

    def watch(self, handle: Handle, ended: Callable[[Handle], None]) -> None:
        """Call ``ended`` once, from another thread, as soon as the process ends (at once if it already has)."""

    def stop(self, handle: Handle, grace: timedelta) -> None:
        """End the process: ask first, kill after ``grace``. Returns when it has ended. An unknown handle is already done."""

    def kill(self, handle: Handle) -> None:
        """End the process without asking. Returns when it has ended."""

    def pause(self, handle: Handle) -> None:
        """Have the process stand still: it does nothing and holds what it has. Nothing happens when it has ended."""

    def resume(self, handle: Handle) -> None:
        """Have the process go on, if it stands still."""

    def strays(self, known: Collection[Handle]) -> list[Handle]:
        """Processes this runtime started for this agent's folder, in any earlier life, that are not among ``known``."""

    def ending(self, handle: Handle) -> Ending:
        """Why a process ended, as far as that is known; nothing of one that still runs, or that this runtime was asked to end.

        May take a moment, so let nobody wait for it who only needs to know that it ended.
        """

    def close(self) -> None:
        """Stop watching. The processes go on."""
