"""Importing: a snapshot is made of files that a caller sent, or nothing of them stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from api_schemas.agent.examination import ExaminationKind, ExaminationPhase
from api_schemas.faults import InvalidParameterValue, ServiceUnavailable, SnapshotAlreadyExists
from api_schemas.snapshot_import import ImportSnapshot
from archives.archive import ArchiveError
from archives.rdb.aside import RdbAsideError
from controlplane.clock import Clock
from controlplane.domain.backup import ArchivePlace
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotState
from controlplane.domain.topology import Kind, World
from controlplane.reconciler.examining import Examinee, Examiner, NotExaminedError, NotWantedError
from controlplane.reconciler.filing import opened
from controlplane.reconciler.imported_files import ImportRefusedError, Look, Wanted, look_through
from controlplane.reconciler.uploads import Pending, UploadRefusedError, Uploads
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Store, StoreAwayError

log = logging.getLogger("cachewright.reconciler")

_AT_ONCE = 2
_GIVEN_UP = "the import was given up while its files were checked"


class Importer:
    """Makes snapshots of uploads, a few at a time. ``archive`` is where their files go."""

    def __init__(self, store: Store, clock: Clock, uploads: Uploads, examiner: Examiner, archive: ArchivePlace) -> None:
        self.uploads = uploads
        self._store = store
        self._clock = clock
        self._examiner = examiner
        self._archive = archive
        self._at_it: set[str] = set()
        self._closing = False
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="import")

    def begin(self, world: World, name: str, asked: ImportSnapshot) -> Future[Snapshot]:
        """The snapshot, once its files are in the archive. The future raises InvalidParameterValue with why there will be none,
        SnapshotAlreadyExists, ServiceUnavailable."""
        return self._pool.submit(self._make, world, name, asked)

    def is_at_it(self, uid: str) -> bool:
        """Whether the snapshot of that uid is being made here."""
        return uid in self._at_it

    def close(self) -> None:
        """End; what is under way leaves nothing."""
        self._closing = True
        self.uploads.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def must_be_new(self, world: World, name: str) -> None:
        """Raises SnapshotAlreadyExists, and ServiceUnavailable where snapshots are made by another control plane, or that is not known."""
        if not self._store.leadership.leads:
            raise ServiceUnavailable("Another control plane leads, which alone makes snapshots of files: send them to that one.")
        try:
            with self._store.reading(fresh=True) as unit:
                if unit.snapshots.named(world, name) is not None:
                    raise SnapshotAlreadyExists(name)
        except StoreAwayError as away:
            raise ServiceUnavailable("The database of the control plane does not answer. Try again.") from away

    def _make(self, world: World, name: str, asked: ImportSnapshot) -> Snapshot:
        uid = self._clock.uid()
        self._at_it.add(uid)
        try:
            with self.uploads.taken(world, name) as pending:
                self.must_be_new(world, name)
                return self._made(world, name, uid, asked, pending)
        except (UploadRefusedError, ImportRefusedError, ArchiveError, RdbAsideError, OSError) as refused:
            log.warning("import refused  snapshot=%s because=%s", name, refused)
            raise InvalidParameterValue(f"No snapshot {name} was made: {refused}.".replace("..", ".")) from refused
        except NotWantedError as ended:
            raise InvalidParameterValue(f"No snapshot {name} was made: {_GIVEN_UP}.") from ended
        except (NotLeadingError, StoreAwayError) as lost:
            raise ServiceUnavailable(f"No snapshot {name} was made, for another control plane leads now, or none. Try again.") from lost
        finally:
            self._at_it.discard(uid)

    def _made(self, world: World, name: str, uid: str, asked: ImportSnapshot, pending: Pending) -> Snapshot:
        def goes_on() -> bool:
            return pending.wanted and not self._closing

        look = look_through(pending, Wanted(name, uid, asked, self._clock.now(), goes_on))
        snapshot = self._written_down(world, name, uid, look)
        try:
            self._store_files(snapshot, look, pending)
            for part in look.parts:
                self._must_pass(snapshot, part.group, pending, goes_on)
            gathered = replace(snapshot, gathered=True)
            self._save(gathered)
        except BaseException:
            self._save(replace(snapshot, state=SnapshotState.DELETING))
            raise
        log.info("snapshot imported  snapshot=%s bytes=%d keys=%s", name, snapshot.size, snapshot.keys)
        return gathered

    def _written_down(self, world: World, name: str, uid: str, look: Look) -> Snapshot:
        """The record comes before the files, so that they are never forgotten."""
        origin = replace(look.origin, uid=f"import-{uid}")
        alone = origin.name if origin.kind is Kind.CACHE_CLUSTER else None
        snapshot = Snapshot(
            uid, world, name, False, SnapshotState.CREATING, self._clock.now(), origin, look.parts, self._archive, alone, imported=True
        )
        with self._store.transaction(leading=True) as unit:
            if unit.snapshots.named(world, name) is not None:
                raise SnapshotAlreadyExists(name)
            unit.snapshots.save(snapshot)
        return snapshot

    def _store_files(self, snapshot: Snapshot, look: Look, pending: Pending) -> None:
        archive = opened(snapshot.archive)
        for part in snapshot.parts:
            if part.file is not None:
                pending.tell(f"{look.uploads[part.group].name} goes to the archive", part.file.size)
                archive.put(part.file.key, look.uploads[part.group].path, may_link=True, told=pending.told)

    def _must_pass(self, snapshot: Snapshot, group: str, pending: Pending, goes_on: Callable[[], bool]) -> None:
        """Raises ImportRefusedError for a file that the engine's own check refuses. In containers there is none."""
        part = next(part for part in snapshot.parts if part.group == group)
        if part.file is None:
            return
        pending.tell(f"node group {group} is checked by {snapshot.origin.engine}", part.file.size)
        of = Examinee(
            f"{snapshot.uid}-{group}", part.file, snapshot.archive, snapshot.origin.engine, snapshot.origin.engine_version,
            snapshot.origin.parameters, snapshot.is_clustered, shown_slots(part.slots),
        )  # fmt: skip
        try:
            found = self._examiner.examine(ExaminationKind.CHECK, of, goes_on, lambda seen: pending.told(seen.done))
        except NotExaminedError as unknown:
            log.warning("file was not checked by an engine  snapshot=%s because=%s", snapshot.name, unknown)
            return
        if found.phase is ExaminationPhase.FAILED:
            raise ImportRefusedError(f"the check of {snapshot.origin.engine} refuses the file of node group {group}: {found.problem}")

    def _save(self, snapshot: Snapshot) -> None:
        with self._store.transaction(leading=True) as unit:
            now = unit.snapshots.get(snapshot.uid)
            if now is None or now.state is not SnapshotState.CREATING:
                raise NotLeadingError("the import was ended by another control plane")
            unit.snapshots.save(snapshot)
