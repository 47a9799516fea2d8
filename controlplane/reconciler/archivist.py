"""Does with files what records ask for: snapshots are published, copied, exported and deleted, and what new caches begin with is made."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from archives.archive import ArchiveAwayError, ArchiveError
from archives.buckets import BucketAwayError, BucketError
from controlplane.clock import Clock
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.events import Event
from controlplane.domain.naming import arn
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Topology
from controlplane.reconciler import filing
from controlplane.reconciler.backups import say_export, say_outcome
from controlplane.reconciler.due import Due
from controlplane.reconciler.examining import NotWantedError
from controlplane.reconciler.exporting import Exporter, ExportFailedError
from controlplane.reconciler.seeding import SeedMaker
from controlplane.reconciler.verifying import Verifier
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Committed, Store, Unit

log = logging.getLogger("cachewright.reconciler")

AWAY_FOR = timedelta(minutes=10)
"""How long an archive that does not answer is tried again before what was asked of it fails."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before another try
_LONGEST_SLEEP = 3600.0
_LOOK_EVERY = 0.3  # at a verification
_AT_ONCE = 4


class Archivist:
    """A level: whatever a record says that is not so yet is done, again after a crash; doing a part of it twice changes nothing."""

    def __init__(self, store: Store, clock: Clock, seeds: SeedMaker, exporter: Exporter, verifier: Verifier,
                 is_importing: Callable[[str], bool]) -> None:  # fmt: skip
        """``is_importing`` says whether this process is at making the snapshot of a uid of a caller's files."""
        self._store = store
        self._clock = clock
        self._seeds = seeds
        self._exporter = exporter
        self._verifier = verifier
        self._is_importing = is_importing
        self._verified_at: dict[str, float] = {}
        self._made: dict[str, ArchivePlace] = {}
        self._due = Due(lambda: store.leadership.leads)
        self._tries: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="archivist")
        self._thread = threading.Thread(target=self._watch, name="archivist", daemon=True)
        store.listen(self._on_commit)

    def start(self) -> None:
        """Begin, as soon as this control plane leads."""
        self._thread.start()

    def lead(self) -> None:
        """Everything is looked at once: what a former life, or another control plane, left unfinished goes on."""
        with self._store.reading() as unit:
            uids = [snapshot.uid for snapshot in unit.snapshots.all()]
            seeds = {topology.uid: topology.seed for topology in unit.topologies.all() if topology.seed is not None}
        self._made |= {uid: seed.archive for uid, seed in seeds.items()}
        for uid in (*uids, *seeds):
            self.wake(uid)
        self._pool.submit(self._find_leftovers)

    def wake(self, uid: str, delay: float = 0.0) -> None:
        """Look at the snapshot or topology after so many seconds, or earlier if it is due earlier."""
        self._due.wake(uid, delay)

    def close(self) -> None:
        """End; what is under way is done anew by whoever leads next."""
        self._due.close()
        if self._thread.is_alive():
            self._thread.join(10)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self, uid: str) -> None:
        """Bring the files of one snapshot, or those that one topology begins with, to what its record says."""
        with self._store.reading() as unit:
            snapshot, topology = unit.snapshots.get(uid), unit.topologies.get(uid)
        if snapshot is None:
            self._look_at_seed(uid, topology)
            return
        match snapshot.state:
            case SnapshotState.CREATING if snapshot.gathered:
                self._publish(snapshot, filing.publish)
            case SnapshotState.CREATING if snapshot.imported and not self._is_importing(snapshot.uid):
                log.warning("import is undone, for whoever was at it has ended  snapshot=%s", snapshot.name)
                self._change(snapshot, lambda unit, now: unit.snapshots.save(replace(now, state=SnapshotState.DELETING)))
            case SnapshotState.COPYING:
                self._publish(snapshot, self._copy)
            case SnapshotState.FAILED if not snapshot.swept:
                filing.remove(snapshot)
                self._change(snapshot, lambda unit, now: unit.snapshots.save(replace(now, swept=True)))
            case SnapshotState.DELETING:
                filing.remove(snapshot)
                self._change(snapshot, _forget)
            case SnapshotState.AVAILABLE if snapshot.exports:
                self._export(snapshot)
            case SnapshotState.AVAILABLE:
                self._verify(snapshot)
                self._keep(snapshot)
            case _:
                pass

    def _look_at_seed(self, uid: str, topology: Topology | None) -> None:
        """What a topology begins with is made, and kept until it is announced or gone."""
        seed = topology.seed if topology is not None and not topology.deleting else None
        if seed is None or topology is None:
            if uid in self._made:
                self._seeds.forget(self._made[uid], uid)
                del self._made[uid]
            return
        self._made[uid] = seed.archive
        if seed.files is not None or seed.refusal is not None:
            return
        try:
            made = self._seeds.make(topology, lambda: self._still_begins(topology))
        except NotWantedError:
            self.wake(uid)
            return
        except (ArchiveAwayError, BucketAwayError) as away:
            if self._clock.now() - topology.requested_at < AWAY_FOR:
                raise
            made = replace(seed, refusal=f"the archive did not answer for too long: {away}")
        with self._store.transaction(leading=True) as unit:
            now = unit.topologies.get(uid)
            if now is not None and now.seed == seed and not now.deleting:
                unit.topologies.save(replace(now, seed=made))
                if made.refusal is not None:
                    message = f"{now.name} cannot begin with {seed.name}: {made.refusal}"
                    unit.events.say(Event(now.world, now.kind.value, now.name, message, self._clock.now(), made.refusal))

    def _find_leftovers(self) -> None:
        """What a former life made for a topology that was announced, or went, just then."""
        try:
            left = self._seeds.leftovers()
        except ArchiveError as failed:
            log.warning("what caches began with cannot be looked through  because=%s", failed)
            return
        for uid, place in left.items():
            self._made.setdefault(uid, place)
            self.wake(uid)

    def _still_begins(self, topology: Topology) -> bool:
        """Whether a topology is still to begin with that."""
        now = self._store.topologies.by_uid.get(topology.uid)
        return not self._due.closing and now is not None and now.seed == topology.seed and not now.deleting

    def _publish(self, snapshot: Snapshot, carry_out: Callable[[Snapshot], Snapshot]) -> None:
        """The snapshot is available once its manifest is in the archive, and not before."""
        try:
            published = carry_out(snapshot)
        except ArchiveAwayError:
            if self._clock.now() - snapshot.requested_at < AWAY_FOR:
                raise
            self._fail(snapshot, "the archive did not answer for too long")
            return
        except ArchiveError as refused:
            self._fail(snapshot, str(refused))
            return

        def settle(unit: Unit, now: Snapshot) -> None:
            there = replace(now, state=SnapshotState.AVAILABLE, parts=published.parts, manifest=published.manifest, gathered=True)
            unit.snapshots.save(there)
            say_outcome(unit, now, "succeeded", self._clock.now())

        self._change(snapshot, settle)
        log.info("snapshot available  snapshot=%s bytes=%d keys=%s", snapshot.name, published.size, published.keys)

    def _export(self, snapshot: Snapshot) -> None:
        """Carry out the oldest export; the record is looked at again when that is no longer there."""
        export = snapshot.exports[0]
        problem = None
        try:
            self._exporter.carry_out(snapshot, export)
        except (ArchiveAwayError, BucketAwayError) as away:
            if self._clock.now() - export.asked_at < AWAY_FOR:
                raise
            problem = f"it did not answer for too long: {away}"
        except (ArchiveError, BucketError, ExportFailedError) as failed:
            problem = str(failed)

        def settle(unit: Unit, now: Snapshot) -> None:
            unit.snapshots.save(replace(now, exports=tuple(each for each in now.exports if each != export)))
            say_export(unit, now, export, self._clock.now(), problem)

        self._change(snapshot, settle)

    def _copy(self, snapshot: Snapshot) -> Snapshot:
        with self._store.reading() as unit:
            source = unit.snapshots.get(snapshot.copy_of or "")
        if source is None:
            raise ArchiveError("the snapshot that it was to be a copy of is gone")
        return filing.publish(filing.copied(source, snapshot))

    def _verify(self, snapshot: Snapshot) -> None:
        """Look how far a verification is, now and then; every word of it is written down, so that anybody may go on with it."""
        verification = snapshot.verification
        if verification is None or not verification.is_running:
            self._verified_at.pop(snapshot.uid, None)
            return
        due = self._verified_at.get(snapshot.uid, 0.0) + _LOOK_EVERY
        if (early := due - time.monotonic()) > 0:
            self.wake(snapshot.uid, early)
            return
        advanced = self._verifier.advanced(snapshot, verification)
        self._verified_at[snapshot.uid] = time.monotonic()

        def settle(unit: Unit, now: Snapshot) -> None:
            if now.verification is not None and now.verification.id == verification.id:
                unit.snapshots.save(replace(now, verification=advanced))

        if advanced != verification:
            self._change(snapshot, settle)
        self.wake(snapshot.uid, _LOOK_EVERY)

    def _keep(self, snapshot: Snapshot) -> None:
        """An automatic one leaves when its time has come."""
        leaves = self._leaves_at(snapshot)
        if leaves is None:
            return
        now = self._clock.now()
        if leaves > now:
            self.wake(snapshot.uid, min((leaves - now).total_seconds(), _LONGEST_SLEEP))
        elif not self._is_needed(snapshot):
            log.info("automatic snapshot leaves  snapshot=%s", snapshot.name)
            self._change(snapshot, lambda unit, now: unit.snapshots.save(replace(now, state=SnapshotState.DELETING)))
        else:
            self.wake(snapshot.uid, _LONGEST_PAUSE)

    def _leaves_at(self, snapshot: Snapshot) -> datetime | None:
        """By what its source keeps now; if that keeps none any more, or is gone, by what it kept then."""
        source = self._store.topologies.by_uid.get(snapshot.origin.uid)
        kept = source.settings.snapshot_retention_limit if source is not None else 0
        return snapshot.expires_at(kept or snapshot.origin.settings.snapshot_retention_limit)

    def _is_needed(self, snapshot: Snapshot) -> bool:
        """Whether somebody is being made from it, or it is being copied."""
        with self._store.reading() as unit:
            copied = any(other.copy_of == snapshot.uid and other.state is SnapshotState.COPYING for other in unit.snapshots.all())
            seeds = any(topology.seed is not None and topology.seed.snapshot == snapshot.uid for topology in unit.topologies.all())
        return copied or seeds or bool(snapshot.exports) or snapshot.is_being_verified

    def _fail(self, snapshot: Snapshot, problem: str) -> None:
        log.warning("snapshot failed  snapshot=%s because=%s", snapshot.name, problem)

        def settle(unit: Unit, now: Snapshot) -> None:
            unit.snapshots.save(replace(now, state=SnapshotState.FAILED, problem=problem))
            say_outcome(unit, now, "failed", self._clock.now(), problem)

        self._change(snapshot, settle)

    def _change(self, snapshot: Snapshot, change: Callable[[Unit, Snapshot], None]) -> None:
        """Change the record, unless it is in another state by now."""
        with self._store.transaction(leading=True) as unit:
            now = unit.snapshots.get(snapshot.uid)
            if now is not None and now.state is snapshot.state:
                change(unit, now)

    def _on_commit(self, committed: Committed) -> None:
        for uid in committed.snapshots:
            self.wake(uid)
        for uid in committed.topologies:
            topology = self._store.topologies.by_uid.get(uid)
            if uid in self._made or (topology is not None and topology.seed is not None):
                self.wake(uid)

    def _watch(self) -> None:
        while (uid := self._due.take()) is not None:
            self._pool.submit(self._work, uid)

    def _work(self, uid: str) -> None:
        try:
            self.look(uid)
            self._tries.pop(uid, None)
        except NotLeadingError:
            log.info("work on a snapshot given up, for another control plane leads  snapshot=%s", uid)
        except Exception as failed:  # what fails of one snapshot must not end the work on all others
            tries = self._tries[uid] = self._tries.get(uid, 0) + 1
            if isinstance(failed, ArchiveError | BucketError):
                log.warning("work on a snapshot failed, trying again  snapshot=%s because=%s", uid, failed)
            else:
                log.exception("work on a snapshot failed  snapshot=%s", uid)
            self.wake(uid, min(_FIRST_PAUSE * 2 ** min(tries, 10), _LONGEST_PAUSE))
        finally:
            self._due.done(uid)



def _forget(unit: Unit, snapshot: Snapshot) -> None:
    unit.snapshots.forget(snapshot)
    unit.tags.put(arn(snapshot.world, "snapshot", snapshot.name), {})
