"""Where a storm takes place, and what may happen there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.stage import Stage
from chaos.troubles import Maker


@dataclass(frozen=True)
class World:
    """``stage`` sets it up over a folder, ``kinds`` are its troubles by their names."""

    stage: Callable[[Path], Stage]
    kinds: dict[str, Maker]
