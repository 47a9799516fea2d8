"""Fetches the images that a daemon does not have, one thread an image, and tells meanwhile how far that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import DockerException, ImageNotFound
from docker.utils import parse_repository_tag

from agents.runtimes.runtime import NotYetError, StartRefusedError

_REMEMBERED = 1.0  # seconds that a failure is told to all who need the image, before the next one to ask has it tried again


class Pulls:
    """The images of one daemon. Any thread may ask for one."""

    def __init__(self, client: APIClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._there: set[str] = set()
        self._under_way: dict[str, _Pull] = {}

    def need(self, image: str) -> None:
        """Return when the image is there. Raises NotYetError while it is fetched, StartRefusedError when it cannot be had."""
        with self._lock:
            if image in self._there:
                return
            pull = self._under_way.get(image)
            if pull is None or pull.is_forgotten:
                if self._has(image):
                    self._there.add(image)
                    return
                pull = self._under_way[image] = _Pull(self._client, image)
            elif pull.done and pull.failure is None:
                del self._under_way[image]
                self._there.add(image)
                return
        if pull.failure is not None:
            raise StartRefusedError(
                f"The image {image} cannot be had: {pull.failure.rstrip('.')}. Build it without a registry (deploy/images), or name "
                "another with --images, or its registry with --registry."
            )
        raise NotYetError(f"fetching the image {image}: {pull.progress}")

    def forget(self, image: str) -> None:
        """Look for the image anew: it turned out not to be there."""
        with self._lock:
            self._there.discard(image)

    def _has(self, image: str) -> bool:
        try:
            self._client.inspect_image(image)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return False
        except (DockerException, OSError) as failed:
            raise StartRefusedError(f"Docker does not answer: {failed}. Start it again.") from failed
        return True


class _Pull:
    """One image on its way."""

    def __init__(self, client: APIClient, image: str) -> None:
        self._client, self._image = client, image
        self._layers: dict[str, tuple[int, int]] = {}
        self._failed_at: float | None = None
        self.failure: str | None = None
        self.done = False
        threading.Thread(target=self._run, name=f"pull {image}", daemon=True).start()

    @property
    def is_forgotten(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at > _REMEMBERED

    @property
    def progress(self) -> str:
        """How much of what is known to be needed has arrived, in steps, for each is reported."""
        layers = list(self._layers.values())
        have, all_of_it = sum(layer[0] for layer in layers), sum(layer[1] for layer in layers)
        return f"{10 * (10 * have // all_of_it)} % of {all_of_it / 1e6:.0f} MB" if all_of_it else "asking the registry"

    def _run(self) -> None:
        repository, tag = parse_repository_tag(self._image)
        try:
            for said in self._client.pull(repository, tag=tag or "latest", stream=True, decode=True):
                self._hear(said)
        except (DockerException, OSError) as failed:
            self.failure = str(getattr(failed, "explanation", None) or failed)
        if self.failure is not None:
            self._failed_at = time.monotonic()
        self.done = True

    def _hear(self, said: Mapping[str, Any]) -> None:
        if "error" in said:
            self.failure = str(said["error"])
        size = said.get("progressDetail") or {}
        if said.get("status") == "Downloading" and size.get("total"):
            self._layers[str(said.get("id"))] = (int(size.get("current", 0)), int(size["total"]))
        elif said.get("status") in ("Download complete", "Pull complete") and said.get("id") in self._layers:
            whole = self._layers[str(said["id"])][1]
            self._layers[str(said["id"])] = (whole, whole)
