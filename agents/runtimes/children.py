"""The children of this Python process among the engines, reaped so that the ended ones do not stay zombies."""

from __future__ import annotations

import subprocess
import threading


class Child(subprocess.Popen[bytes]):
    """A process of ours. To let go of it while it runs is no mistake here: it is meant to outlive us."""

    def __del__(self) -> None:
        """Say nothing, where its parent would warn about a running process."""


class Children:
    """The children of this Python process. Whoever asks reaps them, so that the ended ones do not stay zombies.

    They belong to the Python process and not to a runtime: a second runtime in it may end what the first one started.
    """

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()

    def add(self, child: Child) -> None:
        with self._lock:
            self._children[child.pid] = child

    def reap(self, pid: int) -> None:
        """Free the pid if that child of ours has ended."""
        with self._lock:
            child = self._children.get(pid)
            if child is not None and child.poll() is not None:
                del self._children[pid]

    def reap_ended(self) -> None:
        for pid in list(self._children):
            self.reap(pid)


CHILDREN = Children()
