"""The certificate of a topology's engines, and what is known of it without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api_schemas.agent.transit import Certified


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, for these ``names`` and addresses, ``until`` when it holds."""

    certified: Certified
    names: tuple[str, ...]
    until: datetime
