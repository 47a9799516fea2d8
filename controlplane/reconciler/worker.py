"""Takes each topology that is due through passes of observe, plan, record, push until nothing is left to decide."""

from __future__ import annotations

import logging
import threading
import time

from controlplane.clock import Clock
from controlplane.planner import decisions as d
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy
from controlplane.reconciler.observe import observe
from controlplane.reconciler.push import Pusher
from controlplane.reconciler.record import Recorder
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Committed, Store

log = logging.getLogger("cachewright.reconciler")

_STUCK_AFTER = 50
_RETRY = 0.5


class Reconciler:
    """Worker threads over the topologies that are due. A topology is in one pass at a time."""

    def __init__(self, store: Store, pusher: Pusher, recorder: Recorder, clock: Clock, policy: Policy, workers: int = 2) -> None:
        self._store = store
        self._pusher = pusher
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._running: dict[str, int] = {}
        self._closing = False
        self._threads = [threading.Thread(target=self._work, name=f"reconciler-{n}", daemon=True) for n in range(workers)]
        store.listen(self._on_commit)

    def start(self) -> None:
        """Begin, as soon as this control plane leads."""
        for thread in self._threads:
            thread.start()

    def lead(self) -> None:
        """Every topology is due once: what a former life, or another control plane, left unfinished is simply looked at again."""
        for topology in list(self._store.topologies.by_uid):
            self.wake(topology)
        with self._changed:
            self._changed.notify_all()

    def wake(self, uid: str, delay: float = 0.0) -> None:
        """Look at the topology after ``delay`` seconds, or earlier if it is due earlier."""
        at = time.monotonic() + delay
        with self._changed:
            if self._due.get(uid, at + 1) > at:
                self._due[uid] = at
                self._changed.notify()

    def close(self) -> None:
        """End after the passes that are under way."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def converge_once(self, uid: str) -> int:
        """One pass. Safe to repeat, safe to lose halfway. Answers how many decisions it took that may call for another."""
        now = self._clock.now()
        with self._store.transaction(leading=True) as unit:
            topology = unit.topologies.get(uid)
            if topology is None:
                return 0
            decisions = plan(observe(unit, topology, now, self._policy))
            self._recorder.record(unit, topology, decisions, now)
            recorded = unit.topologies.get(uid)
        later = [decision for decision in decisions if isinstance(decision, d.LookAgain)]
        for decision in later:
            self.wake(uid, max(0.0, (decision.at - now).total_seconds()))
        if recorded is not None and not self._pusher.push(recorded):
            self.wake(uid, _RETRY)
        is_progress = any(isinstance(decision, d.LandSlots) for decision in decisions)  # a long work, of which each pass does a part
        return 0 if is_progress else len(decisions) - len(later)

    def _on_commit(self, committed: Committed) -> None:
        for uid in committed.topologies:
            self.wake(uid)

    def _work(self) -> None:
        while (uid := self._next()) is not None:
            try:
                self._converge(uid)
            except NotLeadingError:  # whoever leads now has every topology due
                log.info("pass given up, for another control plane leads  topology=%s", uid)
            except Exception:  # one topology's failure must not end the work on all others
                log.exception("pass failed  topology=%s", uid)
                self.wake(uid, _RETRY)
            finally:
                with self._changed:
                    self._busy.discard(uid)
                    self._changed.notify()

    def _converge(self, uid: str) -> None:
        """One pass, and an alarm when it is one of many in a row that decided something: rules that undo each other."""
        if not self.converge_once(uid):
            self._running.pop(uid, None)
            return
        self._running[uid] = self._running.get(uid, 0) + 1
        if self._running[uid] % _STUCK_AFTER == 0:
            log.error("topology is stuck: %d passes running decided something  topology=%s", self._running[uid], uid)

    def _next(self) -> str | None:
        with self._changed:
            while not self._closing:
                if not self._store.leadership.leads:
                    self._due.clear()  # all will be due when we lead
                    self._changed.wait(_RETRY)
                    continue
                now = time.monotonic()
                free = [(at, uid) for uid, at in self._due.items() if uid not in self._busy]
                if free and (first := min(free))[0] <= now:
                    del self._due[first[1]]
                    self._busy.add(first[1])
                    return first[1]
                self._changed.wait(min(free)[0] - now if free else None)
            return None
