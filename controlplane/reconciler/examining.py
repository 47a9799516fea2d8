"""Has an agent examine a file of an archive with an engine of its own, and waits for what it finds out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from api_schemas.agent.examination import ExaminationKind, ExaminationOrder, ExaminationPhase, ExaminationState
from api_schemas.agent.node import EngineBinary
from controlplane.domain.backup import ArchivePlace, SavedFile
from controlplane.domain.binaries import best_binary
from controlplane.domain.topology import Binary
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError, Fleet
from controlplane.store.hosts import seen_agents
from controlplane.store.store import Store

log = logging.getLogger("cachewright.reconciler")

_ASK = 0.05  # seconds between two questions
_LONGEST_ASK = 0.5

Progress = Callable[[ExaminationState], None]


class NotExaminedError(Exception):
    """Nobody could find out what the file is like; the text says why."""


class NotWantedError(Exception):
    """The examination is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Examinee:
    """A file to be examined, under a name that no other examination has: as which engine's, with which parameters and slots."""

    name: str
    file: SavedFile
    archive: ArchivePlace
    engine: str
    engine_version: str
    parameters: tuple[tuple[str, str], ...] = ()
    clustered: bool = False
    slots: str = ""


class Examiner:
    """Asks the agents that can, one after another if they do not answer."""

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._store = store
        self._fleet = fleet

    def examine(self, kind: ExaminationKind, of: Examinee, goes_on: Callable[[], bool], told: Progress | None = None) -> ExaminationState:
        """The end of an examination, done or failed. Raises NotExaminedError, and NotWantedError once ``goes_on`` says no."""
        why = f"no agent that is heard has a program for {of.engine} {of.engine_version} outside of containers"
        for agent, binary in self._who_can(of):
            try:
                return self._ask(agent, _order(kind, of, binary), goes_on, told)
            except (AgentUnreachableError, ExaminationRefusedError) as failed:
                why = str(failed)
                log.warning("agent did not examine a file  agent=%s file=%s because=%s", agent, of.file.key, failed)
        raise NotExaminedError(why)

    def programs_for(self, engine: str, version: str) -> list[Binary]:
        """What each agent that is heard would run for that engine and version, of those that can."""
        with self._store.reading() as unit:
            agents = seen_agents(unit)
        found = (best_binary(engine, version, agent.binaries) for agent in agents if agent.heard)
        return [program for program in found if program is not None]

    def _ask(self, agent: str, order: ExaminationOrder, goes_on: Callable[[], bool], told: Progress | None) -> ExaminationState:
        pause = _ASK
        while True:
            if not goes_on():
                self._fleet.cancel_examination(agent, order.name)
                raise NotWantedError
            state = self._fleet.examine(agent, order)
            if told is not None:
                told(state)
            if state.phase in (ExaminationPhase.DONE, ExaminationPhase.FAILED):
                return state
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_ASK)

    def _who_can(self, of: Examinee) -> Iterator[tuple[str, Binary]]:
        """Who has the best program for it, the least busy first."""
        with self._store.reading() as unit:
            agents = seen_agents(unit)
        for agent in sorted((agent for agent in agents if agent.heard), key=lambda agent: (agent.nodes, agent.id)):
            here = [binary for binary in agent.binaries if binary.image is None]
            if (binary := best_binary(of.engine, of.engine_version, here)) is not None:
                yield agent.id, binary


def _order(kind: ExaminationKind, of: Examinee, binary: Binary) -> ExaminationOrder:
    return ExaminationOrder(
        name=of.name, kind=kind, binary=EngineBinary(**asdict(binary)), archive=of.archive.url, archive_id=of.archive.id, key=of.file.key,
        size=of.file.size, sha256=of.file.sha256, keys=of.file.keys, parameters=dict(of.parameters), clustered=of.clustered, slots=of.slots,
    )  # fmt: skip
