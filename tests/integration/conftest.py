"""Real servers with real engines for the integration tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cachewright import LocalServer, local_server


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
