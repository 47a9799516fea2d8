"""An event: a sentence about a resource at a moment, as DescribeEvents returns it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.domain.topology import World


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to what, when. ``because`` is the reason of the decision behind it, where there was one."""

    world: World
    source_type: str
    source: str
    message: str
    at: datetime
    because: str | None = None
    number: int = 0
