"""One examination: a file is fetched from its archive, and an engine of this host shows what it makes of it."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from agents.engines.engine import EngineUnreachableError, last_words
from agents.engines.engine_aside import DUMP, AsideRefusedError, AsideTalk, Held, launch_aside, log_of
from agents.engines.rdb_check import RdbCheck, RdbCheckFailedError
from agents.engines.slot_ranges import parsed_ranges
from agents.runtimes.runtime import Handle, Runtime, StartRefusedError
from api_schemas.agent.examination import ExaminationKind, ExaminationOrder, ExaminationPhase, ExaminationState
from archives.archive import ArchiveError
from archives.identity import must_be
from archives.opening import shared_archive
from archives.patience import until_it_answers
from archives.rdb import aside
from archives.rdb.checking import Summary
from archives.rdb.cutting import Cut
from archives.rdb.header import RdbRefusedError, why_unreadable

log = logging.getLogger("cachewright.agent")

_CHUNK = 1 << 20
_LOOK = 0.05  # seconds between two looks at an engine
_PATIENCE = 60.0  # seconds that an engine, or an archive, may show no progress
_LONGEST_PAUSE = 5.0  # seconds before another try
_LONGEST = 3600.0  # seconds that an engine may take to load a file, or to save it


class _CancelledError(Exception):
    """Nobody wants it any more."""


class _NotAsItShouldBeError(Exception):
    """The file, or what an engine makes of it, is another than it should be; the text says what."""


class Examination:
    """Of one order, in a folder that only it uses. ``state`` is how far it is; ``handle`` its engine's, while one runs."""

    def __init__(self, order: ExaminationOrder, folder: Path, runtime: Runtime) -> None:
        self.order = order
        self.state = ExaminationState(name=order.name, phase=ExaminationPhase.RUNNING, step="waits for others")
        self.handle: Handle | None = None
        self._folder = folder
        self._file = folder / DUMP
        self._runtime = runtime
        self._lock = threading.Lock()
        self._cancelled = False
        self._checking: RdbCheck | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._cancelled

    def look(self) -> ExaminationState:
        """How far it is, for who asks."""
        if self._cancelled:
            return ExaminationState(name=self.order.name, phase=ExaminationPhase.UNKNOWN, step="is being cleared away")
        return self.state

    def cancel(self) -> None:
        """Have it end soon, without a result."""
        with self._lock:
            self._cancelled = True
            handle, check = self.handle, self._checking
        if check is not None:
            check.close()
        if handle is not None:
            self._runtime.kill(handle)

    def run(self) -> None:
        """All steps, to the end. Raises nothing: ``state`` says what happened."""
        try:
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(mode=0o700, exist_ok=folder != self._folder)
            self._fetch()
            if self.order.kind is ExaminationKind.CHECK:
                self._check()
            else:
                self._restore()
            self._tell(phase=ExaminationPhase.DONE, step="", done=0, total=0)
            log.info("examination passed  name=%s kind=%s keys=%s", self.order.name, self.order.kind, self.state.keys)
        except _CancelledError:
            log.info("examination cancelled  name=%s step=%r", self.order.name, self.state.step)
        except (_NotAsItShouldBeError, ArchiveError, RdbRefusedError, RdbCheckFailedError, EngineUnreachableError, StartRefusedError,
                AsideRefusedError, aside.RdbAsideError, OSError) as failed:  # fmt: skip
            self._fail(str(failed))
        except Exception:
            log.exception("examination broke down  name=%s", self.order.name)
            self._fail("it failed in a way that was not foreseen; the agent's log says how")

    def _fail(self, problem: str) -> None:
        if self._cancelled:  # which may well be why
            return
        log.warning("examination failed  name=%s step=%r because=%s", self.order.name, self.state.step, problem)
        self._tell(phase=ExaminationPhase.FAILED, problem=problem)

    def _fetch(self) -> None:
        """Have the file here, whole and as it should be, at which an archive that does not answer for a while is asked again."""
        order = self.order
        self._step("is fetched from its archive", order.size)
        archive = shared_archive(order.archive)

        def fetch() -> None:
            if order.archive_id:
                must_be(archive, order.archive_id)
            if (size := archive.size(order.key)) not in (None, order.size):  # before room is taken for it
                raise _NotAsItShouldBeError(f"{order.key} in {order.archive} has {size} bytes, and should have {order.size}")
            archive.fetch(order.key, self._file, told=self._told)

        until_it_answers(fetch, _PATIENCE, _LONGEST_PAUSE, lambda seconds, _: self._pause(seconds))
        self._verify()

    def _verify(self) -> None:
        """The file is the one that is meant, byte for byte."""
        self._step("is compared with its SHA-256", self.order.size)
        sha, size = hashlib.sha256(), 0
        with self._file.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
                size += len(chunk)
                self._told(size)
        if (size, sha.hexdigest()) != (self.order.size, self.order.sha256):
            raise _NotAsItShouldBeError(f"{self.order.key} in {self.order.archive} has been changed: it has {size} bytes with the SHA-256 "
                                        f"{sha.hexdigest()}, and should have {self.order.size} with {self.order.sha256}")  # fmt: skip

    def _check(self) -> None:
        self._step(f"is read by the check of {self._program}", self.order.size)
        done = 0
        with self._file.open("rb") as file, RdbCheck(self.order.binary) as check:
            with self._lock:  # who cancels either finds the check or comes before it is fed
                self._goes_on_or_raise()
                self._checking = check
            while chunk := file.read(_CHUNK):
                check.feed(chunk)
                done += len(chunk)
                self._told(done)
            checked = check.finish()
        self._tell(keys=checked.keys, expires=checked.expires, expired=checked.expired, functions=checked.functions)
        self._must_have(checked.keys)

    def _restore(self) -> None:
        summary, digest = self._look()
        self._start(summary)
        try:
            self._load(summary)
        finally:
            self._end()
        self._step("is compared with what was saved", self._file.stat().st_size)
        after = aside.digest(self._file, told=self._told, goes_on=self._goes_on).hexdigest
        self._tell(digest_after=after)
        if after != digest:
            raise _NotAsItShouldBeError(f"{self._program} loads the file, but what it holds then is not what is in the file")

    def _look(self) -> tuple[Summary, str]:
        """What is in the file, found out without an engine: none is given a file that is not whole, or that it could not load."""
        self._step("is looked through", self.order.size)
        summary = aside.summarise(self._file, unchecked=True, told=self._told, goes_on=self._goes_on)
        if why := why_unreadable(summary.version, self.order.binary.engine, self.order.binary.version):
            raise _NotAsItShouldBeError(why)
        if summary.modules:
            raise _NotAsItShouldBeError(f"the file has data of modules, which are not here: {', '.join(summary.modules)}")
        self._tell(keys=summary.total_keys, databases=summary.keys, expires=summary.expires, functions=len(summary.functions))
        self._must_have(summary.total_keys)
        self._step("is digested", self.order.size)
        digest = aside.digest(self._file, told=self._told, goes_on=self._goes_on).hexdigest
        self._tell(digest=digest)
        if self.order.clustered and self.order.slots:
            self._place()
        return summary, digest

    def _place(self) -> None:
        """Every key is in the slots that the shard has."""
        self._step("is compared with its slots", self.order.size)
        cut = self._folder / "cut.rdb"
        aside.cut([self._file], [Cut(cut, parsed_ranges(self.order.slots))], every_database=True, must_place_every_key=True,
                  told=self._told, goes_on=self._goes_on)  # fmt: skip
        cut.unlink()

    def _start(self, summary: Summary) -> None:
        databases = 1 + max(summary.keys, default=0)
        launch = launch_aside(f"examination.{self.order.name}", self.order.binary, self.order.parameters, self._folder, databases)
        self._step(f"is loaded by {self._program}", self.order.size)
        with self._lock:  # who cancels either finds the handle or comes before the start
            self._goes_on_or_raise()
            self.handle = self._runtime.start(launch)

    def _load(self, summary: Summary) -> None:
        with closing(self._talk()) as talk:
            self._progresses(lambda: self._loaded(talk))
            held = talk.held()
            expected = Held({db: keys for db, keys in summary.keys.items() if keys}, summary.expires, len(summary.functions))
            if held != expected:
                raise _NotAsItShouldBeError(f"{self._program} has {_shown(held)} after loading a file with {_shown(expected)}")
            self._step(f"is saved by {self._program}", self.order.size)
            before = self._file.stat().st_ino
            talk.begin_to_save()
            self._progresses(lambda: self._saved(talk))
            if self._file.stat().st_ino == before:
                raise _NotAsItShouldBeError(f"{self._program} said that it has saved, and has written no file")

    def _talk(self) -> AsideTalk:
        """A conversation with the engine, as soon as it listens."""
        until = time.monotonic() + _PATIENCE
        while True:
            self._must_live()
            try:
                return AsideTalk(self._folder, _PATIENCE)
            except (EngineUnreachableError, OSError):
                if time.monotonic() > until:
                    raise
            self._pause(_LOOK)

    def _loaded(self, talk: AsideTalk) -> bool:
        try:
            seen = talk.loading()
        except EngineUnreachableError:
            self._must_live()  # an engine that gives up its file ends, and its log says why
            raise
        self._tell(done=seen.done, total=seen.total)
        return seen.over

    def _saved(self, talk: AsideTalk) -> bool:
        written = [_size(path) for path in self._folder.glob("temp-*.rdb")]
        self._told(max(written, default=self.state.done))
        return talk.has_saved(_LOOK)

    def _progresses(self, is_over: Callable[[], bool]) -> None:
        """Wait until it is over; what shows no progress for too long is given up."""
        begun = moved = time.monotonic()
        last = -1
        while not is_over():
            self._must_live()
            if self.state.done != last:
                last, moved = self.state.done, time.monotonic()
            if time.monotonic() - moved > _PATIENCE or time.monotonic() - begun > _LONGEST:
                raise _NotAsItShouldBeError(f"{self._program} gets nowhere: the file {self.state.step}, {self.state.done} bytes so far")
            self._pause(_LOOK)

    def _must_live(self) -> None:
        """Raises _NotAsItShouldBeError when the engine has ended by itself, with what it said last."""
        self._goes_on_or_raise()
        if self.handle is None or not self._runtime.alive(self.handle):
            said = last_words(log_of(self._folder))
            raise _NotAsItShouldBeError(f"{self._program} ended while the file {self.state.step}; it said last: {said or 'nothing'}")

    def _end(self) -> None:
        handle = self.handle
        if handle is not None:
            self._runtime.kill(handle)
            self.handle = None

    def _must_have(self, keys: int) -> None:
        if self.order.keys is not None and keys != self.order.keys:
            raise _NotAsItShouldBeError(f"the file has {keys} keys, and should have {self.order.keys}")

    @property
    def _program(self) -> str:
        return f"{self.order.binary.engine} {self.order.binary.version}"

    def _step(self, step: str, total: int) -> None:
        self._goes_on_or_raise()
        self._tell(step=step, done=0, total=total)

    def _told(self, done: int) -> None:
        self._goes_on_or_raise()
        self._tell(done=done)

    def _tell(self, **fields: object) -> None:
        self.state = self.state.model_copy(update=fields)

    def _goes_on(self) -> bool:
        return not self._cancelled

    def _goes_on_or_raise(self) -> None:
        if self._cancelled:
            raise _CancelledError

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._goes_on_or_raise()
            time.sleep(min(left, _LOOK))


def _size(path: Path) -> int:
    """In bytes; 0 where the file has got another name meanwhile, which an engine gives it when it is whole."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _shown(held: Held) -> str:
    return f"{held.databases} keys by database, {held.expires} that expire and {held.functions} libraries"
