"""What a primary begins with: fetched from an archive beside the visits to its node, checked, and put where its engine loads it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import own_reach
from agents.engines.talk import Talk
from agents.journal import Entry
from agents.runtimes.runtime import NotYetError, StartRefusedError
from api_schemas.agent.backup import SeedOrder
from api_schemas.agent.node import NodeSpec, Role
from archives.archive import ArchiveError
from archives.identity import must_be
from archives.opening import shared_archive
from archives.patience import until_it_answers

log = logging.getLogger("cachewright.agent")

_AWAY_FOR = 60.0  # seconds that an archive which does not answer is tried again
_LONGEST_PAUSE = 2.0  # seconds before another try


class Seeder:
    """Of one node. ``changed`` is called when the file is there, or cannot be had. ``seeded`` is the SHA-256 of the file that the present
    boot has loaded, "" while none was."""

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._lock = threading.Lock()
        self._fetching: SeedOrder | None = None
        self._refused: tuple[SeedOrder, str] | None = None
        self._done = 0
        self._unproven: SeedOrder | None = None
        self.seeded = ""

    def adopt(self, entry: Entry) -> None:
        """A process that a former life of this agent has started may have loaded its file already: it is asked."""
        if entry.handle is not None and entry.boot_done == entry.spec.boot:
            self._unproven = _seed_of(entry.spec)

    def fetch(self, spec: NodeSpec) -> None:
        """Have the file here that the spec's node begins with, if it begins with any.

        Raises NotYetError while it is being fetched, StartRefusedError when it cannot be had, or is not what it should be: once for each
        try.
        """
        self.seeded, self._unproven = "", None
        seed = _seed_of(spec)
        if seed is None:
            self._forget_all_but(None)
            return
        with self._lock:
            refused = self._refused
            if refused is not None and refused[0] == seed:
                self._refused = None
                raise StartRefusedError(refused[1])
            if self._path(seed).exists():
                return
            if self._fetching != seed:
                self._fetching, self._done = seed, 0
                threading.Thread(target=self._fetch, args=(spec.key, seed), name="seeder", daemon=True).start()
        raise NotYetError(f"it fetches the data that it begins with: {self._done} of {seed.size} bytes")

    def place(self, spec: NodeSpec) -> None:
        """Put the file where the engine loads it when it starts."""
        seed = _seed_of(spec)
        if seed is not None:
            shutil.copyfile(self._path(seed), self._folder / "dump.rdb")
            self._unproven = seed

    def complaint(self, spec: NodeSpec) -> str | None:
        """Why an engine that has come up may not serve: it has not loaded all of its file. None when it may."""
        seed = self._unproven
        if seed is None:
            return None
        talk = Talk(own_reach(spec), patience=10.0)
        try:
            told = talk.say("INFO", "persistence")
        except EngineUnreachableError:
            return None  # it is asked again
        finally:
            talk.close()
        loaded = sum(_number(told, name) for name in (b"rdb_last_load_keys_loaded:", b"rdb_last_load_keys_expired:"))
        if seed.keys is not None and loaded != seed.keys:
            return f"it loaded {loaded} keys of a file that has {seed.keys}, and must not serve"
        self._unproven, self.seeded = None, seed.sha256
        self._forget_all_but(None)  # should another boot need it, it is fetched again
        log.info("node has loaded what it begins with  node=%s keys=%d", spec.key, loaded)
        return None

    def _fetch(self, key: str, seed: SeedOrder) -> None:
        try:
            self._fetch_patiently(seed)
            refusal = None
        except (ArchiveError, OSError) as failed:
            refusal = f"the data that it begins with cannot be had: {failed}"
            log.warning("node cannot begin  node=%s because=%s", key, failed)
        with self._lock:
            self._fetching = None
            self._refused = (seed, refusal) if refusal else None
        self._changed()

    def _fetch_patiently(self, seed: SeedOrder) -> None:
        """Raises ArchiveError where the file cannot be had, or is another than it should be."""
        archive = shared_archive(seed.archive)
        if seed.archive_id:
            must_be(archive, seed.archive_id)
        self._forget_all_but(seed)
        target = self._path(seed)
        aside = target.with_suffix(".fetching")
        until_it_answers(
            lambda: archive.fetch(seed.key, aside, told=self._tell), _AWAY_FOR, _LONGEST_PAUSE, lambda seconds, _: time.sleep(seconds)
        )
        with aside.open("rb") as file:
            size, sha256 = aside.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
        if (size, sha256) != (seed.size, seed.sha256):
            aside.unlink()
            told = f"it has {size} bytes with the SHA-256 {sha256}, and should have {seed.size} with {seed.sha256}"
            raise ArchiveError(f"{seed.key} in {seed.archive} has been changed: {told}")
        aside.replace(target)

    def _tell(self, done: int) -> None:
        self._done = done

    def _path(self, seed: SeedOrder) -> Path:
        return self._folder / f"{seed.sha256[:32]}.seed"

    def _forget_all_but(self, seed: SeedOrder | None) -> None:
        for path in [*self._folder.glob("*.seed"), *self._folder.glob("*.fetching")]:
            if seed is None or path != self._path(seed):
                path.unlink(missing_ok=True)


def _seed_of(spec: NodeSpec) -> SeedOrder | None:
    return spec.seed if spec.role is Role.PRIMARY else None


def _number(info: bytes, name: bytes) -> int:
    """A figure of INFO, 0 where there is none."""
    return int(info.partition(name)[2].split(b"\r\n", 1)[0] or b"0")
