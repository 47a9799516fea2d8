"""What tests of operations start from: an empty world at noon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import FixedClock, a_context

from controlplane.operations.context import Context


@pytest.fixture
def clock() -> FixedClock:
    """The clock of ``ctx``."""
    return FixedClock()


@pytest.fixture
def ctx(tmp_path: Path, clock: FixedClock) -> Iterator[Context]:
    """What an operation may touch, with nothing in it yet."""
    with a_context(tmp_path, clock=clock) as context:
        yield context
