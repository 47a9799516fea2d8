"""What an engine asks of a runtime: a process to start. The only thing that engines and runtimes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start: for which node and which of its boots, with which arguments, in which folder.

    What the process prints goes to ``log``, or to its container's. ``image`` is set where it shall run in a container, whose image has
    the program; ``memory`` (bytes) and ``cpus`` then are what it may use, the latter as far as the host has so many.
    """

    key: str
    boot: int
    argv: tuple[str, ...]
    folder: Path
    log: Path
    image: str | None = None
    memory: int | None = None
    cpus: int | None = None
