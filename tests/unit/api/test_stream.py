"""The stream of events ends for who is not in any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import WORLD

from controlplane.api import stream
from controlplane.api.stream import EventStream
from controlplane.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    yield opened
    opened.close()


def test_it_ends_when_the_key_of_its_reader_is_revoked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_KEEP_ALIVE", 0.01)
    looks = iter([True, True, False])

    async def read() -> list[bytes]:
        return [part async for part in EventStream(store).follow(WORLD, lambda: next(looks))]

    parts = asyncio.run(asyncio.wait_for(read(), 10))
    assert parts[0] == b": following\n\n"
    assert len(parts) >= 3
    assert next(looks, None) is None
