"""Takes each topology that is due through passes of observe, plan, record, push until nothing is left to decide."""

from __future__ import annotations

import logging
import threading

from controlplane.clock import Clock
from controlplane.planner import decisions as d
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy
from controlplane.reconciler.due import Due
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
        self._due = Due(lambda: store.leadership.leads)
        self._running: dict[str, int] = {}
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
        self._due.look()

    def wake(self, uid: str, delay: float = 0.0) -> None:
        """Look at the topology after ``delay`` seconds, or earlier if it is due earlier."""
        self._due.wake(uid, delay)

    def close(self) -> None:
        """End after the passes that are under way."""
        self._due.close()
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
        while (uid := self._due.take()) is not None:
            try:
                self._converge(uid)
            except NotLeadingError:  # whoever leads now has every topology due
                log.info("pass given up, for another control plane leads  topology=%s", uid)
            except Exception:  # one topology's failure must not end the work on all others
                log.exception("pass failed  topology=%s", uid)
                self.wake(uid, _RETRY)
            finally:
                self._due.done(uid)

    def _converge(self, uid: str) -> None:
        """One pass, and an alarm when it is one of many in a row that decided something: rules that undo each other."""
        if not self.converge_once(uid):
            self._running.pop(uid, None)
            return
        self._running[uid] = self._running.get(uid, 0) + 1
        if self._running[uid] % _STUCK_AFTER == 0:
            log.error("topology is stuck: %d passes running decided something  topology=%s", self._running[uid], uid)
