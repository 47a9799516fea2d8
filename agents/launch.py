"""What an engine asks of a runtime: a process to start. The only thing that engines and runtimes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start: for which node and which of its boots, with which arguments, in which folder.

    What the process prints goes to ``log``.
    """

    key: str
    boot: int
    argv: tuple[str, ...]
    folder: Path
    log: Path
