"""The examinations that this agent was asked for: each is begun once, a few at a time, and remembered for a while when it has ended."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agents.engines.rdb_check import why_unavailable
from agents.examination import Examination
from agents.runtimes.runtime import Handle, Runtime
from api_schemas.agent.examination import NAME, ExaminationOrder, ExaminationState
from api_schemas.agent.node import EngineBinary

log = logging.getLogger("cachewright.agent")

AT_ONCE = 2
MOST = 256
"""How many are known at once, with those that wait and those that have ended."""
REMEMBERED = 600.0  # seconds


@dataclass
class _Known:
    examination: Examination
    ended_at: float | None = None


class Examinations:
    """In ``folder``/examinations, by the programs of this host. Safe from any thread."""

    def __init__(self, folder: Path, runtime: Runtime, binaries: Sequence[EngineBinary], remembered: float = REMEMBERED,
                 clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        """``remembered`` is for how many seconds one that has ended can be asked about. ``runtime`` is where plain processes live."""
        self._folder = folder / "examinations"
        self._runtime = runtime
        self._binaries = binaries
        self._remembered = remembered
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="examination")

    def clear(self) -> None:
        """Remove what a former life of this agent has left behind. Its engines must have ended."""
        if self._folder.is_symlink():
            self._folder.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def begin_or_look(self, order: ExaminationOrder) -> ExaminationState:
        """How far the examination of that name is, which begins if it is not known. Raises ValueError for one that cannot be done here."""
        self._check(order)
        with self._lock:
            self._forget_old()
            known = self._known.get(order.name)
            if known is None:
                known = self._begin(order)
            elif known.examination.order != order:
                raise ValueError(f"another examination is called {order.name}; give each a name of its own")
            return known.examination.look()

    def cancel(self, name: str) -> None:
        """Have no more to do with an examination of that name. Returns at once; its engine has ended then."""
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.ended_at is not None:
                del self._known[name]
        if known is not None:
            known.examination.cancel()

    def handles(self) -> list[Handle]:
        """The engines that run for examinations."""
        with self._lock:
            return [known.examination.handle for known in self._known.values() if known.examination.handle is not None]

    def close(self) -> None:
        """Cancel all; returns when nothing of them is left."""
        with self._lock:
            names = list(self._known)
        for name in names:
            self.cancel(name)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, order: ExaminationOrder) -> None:
        if re.fullmatch(NAME, order.name) is None:
            raise ValueError(f"{order.name[:130]!r} is no name of an examination: 1 to 120 of letters, digits, '.', '_', '-'")
        if (why := why_unavailable(order.binary)) is not None:
            raise ValueError(f"an examination is not possible with that program: {why}")
        if order.binary not in self._binaries:
            raise ValueError(f"this agent has no {order.binary.engine} {order.binary.version} at {order.binary.path}")

    def _begin(self, order: ExaminationOrder) -> _Known:
        if len(self._known) >= MOST:
            raise ValueError(f"{MOST} examinations are known to this agent already; ask again when some have ended")
        folder = self._folder / order.name
        known = self._known[order.name] = _Known(Examination(order, folder, self._runtime))
        self._pool.submit(self._run, known, folder)
        return known

    def _run(self, known: _Known, folder: Path) -> None:
        name = known.examination.order.name
        try:
            known.examination.run()
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as left:
            log.warning("an examination's folder stays until this agent starts anew  folder=%s because=%s", folder, left)
        finally:
            with self._lock:
                known.ended_at = self._clock()
                if known.examination.cancelled and self._known.get(name) is known:
                    del self._known[name]

    def _forget_old(self) -> None:
        before = self._clock() - self._remembered
        for name, known in list(self._known.items()):
            if known.ended_at is not None and known.ended_at < before:
                del self._known[name]


