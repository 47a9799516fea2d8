"""Saves what a node holds for a snapshot, in a thread beside the visits to it, which take milliseconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agents.engines.engine import EngineUnreachableError
from agents.engines.saving import Saving, SavingFailedError
from api_schemas.agent.backup import SaveOrder, SavePhase, SaveState
from api_schemas.agent.node import NodeSpec
from archives.archive import ArchiveAwayError, ArchiveError
from archives.identity import must_be
from archives.opening import shared_archive
from archives.patience import until_it_answers
from archives.unique import unique

log = logging.getLogger("cachewright.agent")

_SAY_AGAIN = 0.25  # seconds between two words of progress
_AWAY_FOR = 60.0  # seconds that an archive which does not answer is tried again
_LONGEST_PAUSE = 5.0  # seconds before another try


class _NotWantedError(Exception):
    """The order was taken back, or another came."""


class Archiver:
    """A level: while a spec says what to save, that is saved, once. ``changed`` is called when there is something new to tell.

    ``state`` is how far the newest save is, None while there was none.
    """

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._lock = threading.Lock()
        self._order: SaveOrder | None = None
        self._told_at = 0.0
        self.state: SaveState | None = None
        for left in folder.glob("*.save"):  # of an agent that was killed
            left.unlink(missing_ok=True)

    def want(self, spec: NodeSpec | None) -> None:
        """Have this node's data saved as its spec says; with None, or where that says nothing, no more."""
        order = spec.saves if spec is not None else None
        with self._lock:
            if order == self._order:
                return
            self._order = order
            if order is None or spec is None:
                self.state = None
                return
            key = f"{order.key}-{unique()}.rdb"
            self.state = SaveState(snapshot=order.snapshot, attempt=order.attempt, key=key, phase=SavePhase.WAITING)
            threading.Thread(target=self._work, args=(spec, order, self.state), name="archiver", daemon=True).start()

    def _work(self, spec: NodeSpec, order: SaveOrder, state: SaveState) -> None:
        kept = self._folder / f"{order.snapshot}-{order.attempt}.save"
        try:
            done = self._save(spec, order, state, kept)
            log.info("node saved  node=%s snapshot=%s bytes=%d keys=%s", spec.key, order.snapshot, done.size, done.keys)
        except _NotWantedError:
            return
        except (SavingFailedError, EngineUnreachableError, ArchiveError, OSError) as failed:
            log.warning("node could not be saved  node=%s snapshot=%s because=%s", spec.key, order.snapshot, failed)
            done = state.model_copy(update={"phase": SavePhase.FAILED, "problem": str(failed)})
        except Exception:
            log.exception("saving failed  node=%s snapshot=%s", spec.key, order.snapshot)
            done = state.model_copy(update={"phase": SavePhase.FAILED, "problem": "it failed in a way that was not foreseen; see the log"})
        finally:
            kept.unlink(missing_ok=True)
        self._tell(order, done, at_once=True)

    def _save(self, spec: NodeSpec, order: SaveOrder, state: SaveState, kept: Path) -> SaveState:
        archive = shared_archive(order.archive)
        if order.archive_id:
            must_be(archive, order.archive_id)

        def progress(phase: SavePhase, done: int, total: int) -> None:
            self._tell(order, state.model_copy(update={"phase": phase, "done": done, "total": total}))

        with Saving(spec, self._folder, lambda: self._order == order) as saving:
            saved = saving.run(kept, progress)
        if saved is None:
            raise _NotWantedError
        size = saved.size
        self._store(order, lambda: archive.put(state.key, kept, may_link=True, told=lambda done: progress(SavePhase.STORING, done, size)))
        return state.model_copy(update={"phase": SavePhase.DONE, "done": size, "total": size, **saved.as_told()})

    def _store(self, order: SaveOrder, put: Callable[[], None]) -> None:
        """Put the file into the archive, again and again for a while as long as that does not answer."""

        def pause(seconds: float, away: ArchiveAwayError) -> None:
            log.warning("archive does not answer, trying again  snapshot=%s because=%s", order.snapshot, away)
            self._pause(order, seconds)

        until_it_answers(put, _AWAY_FOR, _LONGEST_PAUSE, pause)

    def _pause(self, order: SaveOrder, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._order != order:
                raise _NotWantedError
            time.sleep(0.02)

    def _tell(self, order: SaveOrder, state: SaveState, *, at_once: bool = False) -> None:
        """Have it told, at most so often unless it is the end."""
        now = time.monotonic()
        with self._lock:
            if self._order != order:
                return
            is_another_phase = self.state is None or self.state.phase is not state.phase
            self.state = state
            if not at_once and not is_another_phase and now - self._told_at < _SAY_AGAIN:
                return
            self._told_at = now
        self._changed()
