"""What new caches begin with is made ready: every file is checked, and cut to the new node groups where the slots differ."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from api_schemas.agent.examination import ExaminationKind, ExaminationPhase
from archives import manifest as m
from archives.archive import ArchiveAwayError, ArchiveError
from archives.bucket_names import parse_object_arn
from archives.buckets import BucketAwayError, BucketError, Buckets
from archives.rdb import aside
from archives.rdb.aside import RdbAsideError
from archives.rdb.checking import Summary
from archives.rdb.cutting import Cut as FileCut
from archives.rdb.header import HEADER_SIZE, RdbRefusedError, read_version, why_unreadable
from archives.unique import unique
from controlplane.clock import Clock
from controlplane.domain.backup import ArchivePlace, SavedFile, Seed, SeedFile
from controlplane.domain.node_types import MIB
from controlplane.domain.resources import databases_of, resources_of
from controlplane.domain.seeding import Cut, cuts
from controlplane.domain.slots import Slots, shown_slots
from controlplane.domain.topology import Topology
from controlplane.reconciler.examining import Examinee, Examiner, NotExaminedError, NotWantedError
from controlplane.reconciler.filing import fetch, must_be_unchanged, must_have_its_manifest, opened
from controlplane.store.store import Store

log = logging.getLogger("cachewright.reconciler")

_STAGING = "seed-"


class SeedRefusedError(Exception):
    """A cache cannot begin with what was asked for; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a new cache begins with: whose it was, which slots that owned (none: it may have any), the file, and where it is."""

    group: str
    slots: Slots
    file: SavedFile
    archive: ArchivePlace


class SeedMaker:
    """Makes ready what topologies begin with. ``archive`` is where new files go, ``scratch`` a folder of our own, which is emptied."""

    def __init__(self, store: Store, clock: Clock, archive: ArchivePlace, buckets: Buckets, examiner: Examiner, scratch: Path) -> None:
        self._store = store
        self._examiner = examiner
        self._clock = clock
        self._archive = archive
        self._buckets = buckets
        self._scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)

    def make(self, topology: Topology, goes_on: Callable[[], bool]) -> Seed:
        """The topology's seed with its files, or with why there are none.

        Raises ArchiveAwayError and BucketAwayError, for which trying again may help, and NotWantedError once ``goes_on`` says no.
        """
        seed = topology.seed
        if seed is None:
            raise ValueError(f"{topology.name} begins with nothing")
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                return replace(seed, files=self._files(topology, seed, Path(folder), goes_on))
        except (ArchiveAwayError, BucketAwayError, NotWantedError):
            raise
        except RdbAsideError as failed:
            if not goes_on():
                raise NotWantedError from failed
            return replace(seed, refusal=str(failed))
        except (SeedRefusedError, ArchiveError, BucketError, RdbRefusedError, m.ManifestRefusedError) as refused:
            log.warning("cache cannot begin  topology=%s seed=%s because=%s", topology.name, seed.name, refused)
            return replace(seed, refusal=str(refused))

    def forget(self, place: ArchivePlace, uid: str) -> None:
        """Keep nothing of what was made for that topology. Raises ArchiveError."""
        opened(place).delete_all(_staging(uid))

    def leftovers(self) -> dict[str, ArchivePlace]:
        """For which topologies, by uid, something is kept, and where. Raises ArchiveError."""
        found = {entry.key.partition("/")[0] for entry in opened(self._archive).list(_STAGING)}
        return {name.removeprefix(_STAGING): self._archive for name in found}

    def _files(self, topology: Topology, seed: Seed, folder: Path, goes_on: Callable[[], bool]) -> tuple[SeedFile, ...]:
        sources = self._of_snapshot(seed.snapshot) if seed.snapshot else self._of_buckets(topology, seed, folder, goes_on)
        try:
            plan = cuts(sources, topology.node_groups)
        except ValueError as impossible:
            raise SeedRefusedError(str(impossible)) from impossible
        by_group = {source.group: source for source in sources}
        to_cut = [cut for cut in plan if cut.shares and not cut.as_it_is]
        made = self._cut(topology, seed, by_group, to_cut, folder, goes_on) if to_cut else {}
        whole = {cut.target: by_group[cut.sources[0]] for cut in plan if cut.as_it_is}
        for source in whole.values():
            must_be_unchanged(opened(source.archive), source.file)
        as_they_are = {target: SeedFile(target, source.file, source.archive) for target, source in whole.items()}
        files = tuple((made | as_they_are)[cut.target] for cut in plan if cut.shares)
        if not seed.snapshot:
            for number, file in enumerate(files):
                self._must_pass(topology, file, f"{_staging(topology.uid)}-{number}", goes_on)
        return files

    def _of_snapshot(self, uid: str) -> list[Source]:
        with self._store.reading() as unit:
            snapshot = unit.snapshots.get(uid)
        if snapshot is None:
            raise SeedRefusedError("the snapshot was deleted")
        must_have_its_manifest(snapshot)
        return [Source(part.group, part.slots, part.file, snapshot.archive) for part in snapshot.parts if part.file is not None]

    def _of_buckets(self, topology: Topology, seed: Seed, folder: Path, goes_on: Callable[[], bool]) -> list[Source]:
        """Files of callers: each is looked at from its first to its last byte before any engine sees it, and then kept as it is."""
        archive = opened(seed.archive)
        sources = []
        for number, arn in enumerate(seed.arns):
            bucket, key = parse_object_arn(arn)
            path = folder / f"asked-{number}.rdb"
            self._buckets.fetch(bucket, key, path)
            try:
                summary = aside.summarise(path, deep=True, goes_on=goes_on)
                self._must_suit(summary, topology)
            except RdbRefusedError as refused:
                raise SeedRefusedError(f"{arn}: {refused}") from refused
            kept = f"{_staging(topology.uid)}/asked-{number}-{unique()}.rdb"
            archive.put(kept, path, may_link=True)
            sources.append(Source(arn, (), _file(kept, summary, self._clock.now()), seed.archive))
        _must_fit(sources, topology)
        return sources

    def _must_suit(self, summary: Summary, topology: Topology) -> None:
        """Raises RdbRefusedError for a file that the programs which would serve the topology could not load, or not all of."""
        programs = self._examiner.programs_for(topology.engine, topology.engine_version)
        reasons = [why_unreadable(summary.version, program.engine, program.version) for program in programs]
        if None not in reasons and reasons:
            raise RdbRefusedError(str(reasons[0]))
        if summary.modules:
            raise RdbRefusedError(f"it has data of the modules {', '.join(summary.modules)}, which no engine here has")
        if max(summary.keys, default=0) >= (most := databases_of(topology)):
            raise RdbRefusedError(f"it has keys in database {max(summary.keys)}; the new cache has {most}, see {topology.parameter_group}")

    def _must_pass(self, topology: Topology, begins: SeedFile, name: str, goes_on: Callable[[], bool]) -> None:
        """Raises SeedRefusedError for a stranger's file that the engine's own check refuses. In containers there is none."""
        slots = next((shown_slots(group.slots) for group in topology.node_groups if group.id == begins.group), "")
        of = Examinee(name, begins.file, begins.archive, topology.engine, topology.engine_version, clustered=topology.has_bus, slots=slots)
        try:
            found = self._examiner.examine(ExaminationKind.CHECK, of, goes_on)
        except NotExaminedError as unknown:
            log.warning("file was not checked by an engine  topology=%s because=%s", topology.name, unknown)
            return
        if found.phase is ExaminationPhase.FAILED:
            raise SeedRefusedError(f"node group {begins.group} cannot begin with it: {found.problem}")

    def _cut(self, topology: Topology, seed: Seed, sources: dict[str, Source], to_cut: Sequence[Cut], folder: Path,
             goes_on: Callable[[], bool]) -> dict[str, SeedFile]:  # fmt: skip
        """A file for each of these node groups, in the archive."""
        needed = sorted({source for cut in to_cut for source in cut.sources})
        paths = {group: folder / f"from-{number}.rdb" for number, group in enumerate(needed)}
        for group, path in paths.items():
            fetch(opened(sources[group].archive), sources[group].file, path)
        targets = [FileCut(folder / f"to-{cut.target}.rdb", _pairs(cut, topology)) for cut in to_cut]
        done = aside.cut(list(paths.values()), targets, every_database=databases_of(topology) > 1, goes_on=goes_on)
        archive = opened(seed.archive)
        made = {}
        for cut, file in zip(to_cut, done, strict=True):
            key = f"{_staging(topology.uid)}/{cut.target}-{unique()}.rdb"
            archive.put(key, file.path, may_link=True)
            saved = SavedFile(key, file.size, file.sha256, _version_of(file.path), self._clock.now(), keys=sum(file.keys.values()))
            made[cut.target] = SeedFile(cut.target, saved, seed.archive)
        return made


def _version_of(path: Path) -> str:
    with path.open("rb") as file:
        return str(read_version(file.read(HEADER_SIZE)))


def _file(key: str, summary: Summary, at: datetime) -> SavedFile:
    databases = max(summary.keys, default=-1) + 1
    return SavedFile(
        key, summary.size, summary.sha256, str(summary.version), at, summary.total_keys, summary.expires, len(summary.functions), databases,
        summary.used_memory or 0,
    )  # fmt: skip


def _must_fit(sources: Sequence[Source], topology: Topology) -> None:
    """Raises SeedRefusedError where files, by what their writers had in memory, are more than the new nodes can hold together."""
    used = sum(source.file.used_memory for source in sources)
    most = resources_of(topology).memory * len(topology.node_groups)
    if used > most:
        room = f"{len(topology.node_groups)} nodes of type {topology.node_type} can hold {most / MIB:.0f} MiB"
        raise SeedRefusedError(f"the data had {used / MIB:.0f} MiB in memory where it was written, and {room}: choose larger ones")


def _staging(uid: str) -> str:
    return f"{_STAGING}{uid}"


def _pairs(cut: Cut, topology: Topology) -> tuple[tuple[int, int], ...] | None:
    """The slots of a cut, as the cutter takes them; None for every key outside cluster mode."""
    return tuple((part.first, part.last) for part in cut.slots) if topology.has_bus else None
