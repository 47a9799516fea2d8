"""Verifying: each file of a snapshot is restored aside by an engine of some agent, and compared with what its record says."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta

from api_schemas.agent.examination import ExaminationKind, ExaminationOrder, ExaminationPhase, ExaminationState
from api_schemas.agent.node import EngineBinary
from archives.archive import ArchiveAwayError, ArchiveError
from archives.manifest import ManifestRefusedError
from archives.rdb.header import is_readable, read_version
from controlplane.clock import Clock
from controlplane.domain.backup import SavedFile
from controlplane.domain.binaries import best_binary
from controlplane.domain.slots import shown_slots
from controlplane.domain.snapshot import Snapshot, SnapshotPart
from controlplane.domain.topology import Binary
from controlplane.domain.verification import PartVerification, Verdict, Verification
from controlplane.reconciler import filing
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError, Fleet
from controlplane.store.store import Store

log = logging.getLogger("cachewright.reconciler")

NOBODY_FOR = timedelta(minutes=2)
"""How long an agent that can do it, or an archive that answers, is waited for."""

MOST_ATTEMPTS = 4
"""How often a file is given to another agent because the one before fell silent over it."""

_AT_ONCE = 4  # files


class Verifier:
    """Takes verifications one look further. An agent that is asked again only says how far it is, so that nothing here is remembered."""

    def __init__(self, store: Store, fleet: Fleet, clock: Clock) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock

    def advanced(self, snapshot: Snapshot, verification: Verification) -> Verification:
        """The verification as it is now. Raises ArchiveAwayError: trying again may help."""
        now = self._clock.now()
        if not any(part.attempt for part in verification.parts):
            try:
                filing.must_have_its_manifest(snapshot)
            except ArchiveAwayError as away:
                if now - verification.asked_at < NOBODY_FOR:
                    raise
                return verification.failed(f"the archive did not answer for too long: {away}", now)
            except (ArchiveError, ManifestRefusedError) as refused:
                return verification.failed(str(refused), now)
        files = {part.group: part for part in snapshot.parts}
        for part in [part for part in verification.parts if not part.is_over][:_AT_ONCE]:
            verification = verification.with_part(self._looked(snapshot, files[part.group], verification, part))
        settled = verification.settled(self._clock.now())
        if not settled.is_running:
            log.info("snapshot verified  snapshot=%s verdict=%s", snapshot.name, settled.verdict.value)
        return settled

    def _looked(self, snapshot: Snapshot, of: SnapshotPart, verification: Verification, part: PartVerification) -> PartVerification:
        if of.file is None:
            return replace(part, verdict=Verdict.FAILED, problem="its record names no file")
        if part.agent is None or part.binary is None:
            part = self._placed(snapshot, of.file, verification, part)
        if part.agent is None or part.binary is None:
            return part
        name = f"{verification.id}-{part.group}-{part.attempt}"
        try:
            seen = self._fleet.examine(part.agent, _order(name, snapshot, of, of.file, part.binary))
        except AgentUnreachableError as away:
            return self._away(part, str(away))
        except ExaminationRefusedError as refused:
            return replace(part, agent=None, verdict=Verdict.WAITING, step=str(refused), refused=(*part.refused, part.agent))
        told = _told(part, of.file, seen)
        if told.is_over:
            with suppress(AgentUnreachableError):  # it forgets by itself as well, later
                self._fleet.cancel_examination(part.agent, name)
        return told

    def _placed(self, snapshot: Snapshot, file: SavedFile, verification: Verification, part: PartVerification) -> PartVerification:
        """With an agent that has a program for it: the one that wrote the file, if there is any, else the best that reads it."""
        offered = [each for each in self._offered(file) if each[0] not in part.refused]
        origin = snapshot.origin
        best = best_binary(origin.engine, origin.engine_version, [binary for _, binary in offered])
        best = best or max((binary for _, binary in offered), key=lambda binary: (binary.engine, binary.version), default=None)
        if best is None:
            why = part.step if part.refused else f"no agent that is heard has a program that reads files of version {file.version}"
            if self._clock.now() - verification.asked_at > NOBODY_FOR or part.refused:
                return replace(part, verdict=Verdict.FAILED, step="", problem=f"it could not be restored aside: {why}")
            return replace(part, step=f"waits, for {why}")
        busy = Counter(other.agent for other in verification.parts if other.verdict is Verdict.RUNNING)
        same = [each for each in offered if _same(each[1], best)]
        agent, binary = min(same, key=lambda each: (busy[each[0]], each[0], each[1].path))
        return replace(part, agent=agent, binary=binary, attempt=part.attempt + 1, verdict=Verdict.RUNNING, step="")

    def _offered(self, file: SavedFile) -> Iterator[tuple[str, Binary]]:
        """Every agent that is heard, with each installed program that reads the file."""
        version = read_version(file.version.encode())
        with self._store.reading() as unit:
            heard = [hello for hello in unit.agents.all() if unit.agents.is_heard(hello.agent)]
        for hello in heard:
            for engine in hello.engines:
                if engine.image is None and is_readable(version, engine.engine, engine.version):
                    yield hello.agent, Binary(**engine.model_dump())

    def _away(self, part: PartVerification, why: str) -> PartVerification:
        """An agent that is heard is asked again; in place of one that is not, another is."""
        with self._store.reading() as unit:
            if unit.agents.is_heard(part.agent or ""):
                return part
        if part.attempt >= MOST_ATTEMPTS:
            return replace(part, verdict=Verdict.FAILED, problem=f"{MOST_ATTEMPTS} agents fell silent over it: {why}")
        return replace(part, agent=None, binary=None, verdict=Verdict.WAITING, step=f"waits for another agent, for {why}", done=0, total=0)


def _same(binary: Binary, other: Binary) -> bool:
    return (binary.engine, binary.version) == (other.engine, other.version)


def _order(name: str, snapshot: Snapshot, part: SnapshotPart, file: SavedFile, binary: Binary) -> ExaminationOrder:
    return ExaminationOrder(
        name=name,
        kind=ExaminationKind.RESTORE,
        binary=EngineBinary(**asdict(binary)),
        archive=snapshot.archive.url,
        archive_id=snapshot.archive.id,
        key=file.key,
        size=file.size,
        sha256=file.sha256,
        parameters=dict(snapshot.origin.parameters),
        clustered=snapshot.is_clustered,
        slots=shown_slots(part.slots),
        keys=file.keys,
    )


def _told(part: PartVerification, file: SavedFile, seen: ExaminationState) -> PartVerification:
    part = replace(
        part, verdict=Verdict.RUNNING, step=seen.step, done=seen.done, total=seen.total, keys=seen.keys, expires=seen.expires,
        functions=seen.functions, digest=seen.digest, digest_after=seen.digest_after,
    )  # fmt: skip
    if seen.phase is ExaminationPhase.FAILED:
        return replace(part, verdict=Verdict.FAILED, problem=seen.problem)
    if seen.phase is not ExaminationPhase.DONE:
        return part
    problem = _difference(part, file)
    return replace(part, verdict=Verdict.FAILED if problem else Verdict.PASSED, step="", problem=problem)


def _difference(part: PartVerification, file: SavedFile) -> str | None:
    """What is another than the manifest says, or than is in the file; None where all is the same."""
    if part.digest is None or part.digest != part.digest_after:
        return f"what an engine holds after it has loaded the file has the digest {part.digest_after}, and the file has {part.digest}"
    for what in ("keys", "expires", "functions"):
        found, said = getattr(part, what), getattr(file, what)
        if said is not None and found != said:
            return f"the file has {found} {what}, and the manifest says {said}"
    return None
