"""Notices agents that fall silent, and has everything that concerns them looked at: nobody else would say so."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from controlplane.reconciler.worker import Reconciler
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Store

log = logging.getLogger("cachewright.reconciler")

INTERVAL = 0.25  # seconds between two looks
_DEAF = 0.5  # seconds by which a look may be late before it counts as a time in which we could hear nobody


class Watchdog:
    """A thread that looks who is heard."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._reconciler = reconciler
        self._heard: dict[str, bool] = {}
        self._said: frozenset[str] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def look(self, late: float) -> None:
        """One look, which is so many seconds late. Who does not lead hears nobody."""
        if not self._store.leadership.leads:
            self._heard.clear()
            self._said = None
            return
        if late > _DEAF:
            log.warning("the control plane stood still and forgives everybody's silence  for=%.1fs", late)
            self._store.heartbeats.forgive(late)
        heard = {agent: self._store.heartbeats.is_heard(agent) for agent in list(self._store.agents)}
        silent = [agent for agent, is_heard in heard.items() if not is_heard and self._heard.get(agent, True)]
        self._heard = heard
        self._say(frozenset(agent for agent, is_heard in heard.items() if not is_heard))
        for agent in silent:
            log.warning("agent is not heard any more  agent=%s", agent)
        if silent:
            for topology in list(self._store.topologies.by_uid.values()):
                if any(node.placement is not None and node.placement.agent in silent for node in topology.nodes):
                    self._reconciler.wake(topology.uid)

    def _say(self, silent: frozenset[str]) -> None:
        """Have other control planes know, once for each change."""
        if silent != self._said:
            with contextlib.suppress(NotLeadingError):
                self._store.say_who_is_silent(silent)
                self._said = silent

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._closing.wait(INTERVAL):
            now = time.monotonic()
            try:
                self.look(now - before - INTERVAL)
            except Exception:  # a look that fails must not end the watch
                log.exception("looking for silent agents failed")
            before = now
