"""What tests of every folder may stand on: a Docker Engine, an S3, and, where asked, engines in its containers everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import docker_engine as engine
import object_store
import pytest


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """The address of a Docker Engine with the images of ``deploy/images``. Skips where none can be started."""
    with ExitStack() as until_the_end:
        try:
            url = until_the_end.enter_context(engine.started())
        except engine.NoEngineError as why:
            pytest.skip(f"no Docker Engine: {why}")
        yield url


@pytest.fixture(scope="session")
def service_images(docker_engine: str) -> str:
    """The address of that engine, once it has the images of compose.yaml and the stack too."""
    engine.have_service_images(docker_engine)
    return docker_engine


@pytest.fixture(scope="session")
def store() -> Iterator[object_store.ObjectStore]:
    """An S3 without any bucket that matters. It takes some seconds to start."""
    with object_store.object_store() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def everywhere_in_docker(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``CACHEWRIGHT_TEST_RUNTIME=docker`` every server of the tests has its engines in containers."""
    if os.environ.get("CACHEWRIGHT_TEST_RUNTIME", "process") != "docker":
        yield
        return
    with engine.chosen(request.getfixturevalue("docker_engine")):
        yield
