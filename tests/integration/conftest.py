"""Real servers with real engines for the integration tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cachewright import LocalServer, local_server

WHOLE = "CACHEWRIGHT_TEST_WHOLE"
"""Set to 1, it has every combination tested of those tests that usually make do with some."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked with the combinations that are usually tested, leave out the others."""
    for item in items:
        usually = item.get_closest_marker("usually")
        combination = getattr(item, "callspec", None)
        if usually is not None and combination is not None and combination.id not in usually.args and os.environ.get(WHOLE) != "1":
            item.add_marker(pytest.mark.skip(reason=f"takes long; {WHOLE}=1 runs it"))


@pytest.fixture(scope="session")
def server() -> Iterator[LocalServer]:
    """One server for all tests of a run that do not harm it."""
    with local_server() as running:
        yield running


@pytest.fixture
def elasticache(server: LocalServer) -> Any:
    """An unmodified boto3 client, in an account of the test's own, so that tests do not see each other's resources."""
    account = str(uuid.uuid4().int)[:12]
    return server.client(account_id=account)
