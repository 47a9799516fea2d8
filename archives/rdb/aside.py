"""A child process that looks at RDB files, or cuts them, so that neither a hostile nor a large one is a burden to who asks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from archives.rdb import checking, cutting
from archives.rdb.digest import Digest
from archives.rdb.header import RdbRefusedError
from archives.rdb.records import Told
from archives.rdb.shapes import cut_file_from_dict, summary_from_dict
from archives.rdb.writing import aside_of

GoesOn = Callable[[], bool]
"""Asked several times a second: once it answers False, the work is ended."""

_LOOKS_EVERY = 0.1  # seconds
_MOST_SAID = 4000  # characters of what a child says when it breaks down


class RdbAsideError(Exception):
    """The work was not done, whatever the file is like: it took too long, was ended, or the child broke down. The text says which."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use up."""

    memory: int = 2 << 30
    """Bytes of address space, next to the size of the files: they are mapped."""
    niceness: int = 10
    seconds: float = 3600.0
    """From when it starts. It is ended then."""


NO_MORE_THAN = Limits()


def summarise(
    path: Path,
    *,
    unchecked: bool = False,
    deep: bool = False,
    told: Told | None = None,
    goes_on: GoesOn | None = None,
    limits: Limits = NO_MORE_THAN,
) -> checking.Summary:
    """As ``checking.summarise``. Raises RdbRefusedError, RdbAsideError, and OSError for a file that cannot be read."""
    asked = {"path": str(path), "unchecked": unchecked, "deep": deep}
    return summary_from_dict(_ask("summarise", asked, [path], told, goes_on, limits))


def digest(path: Path, *, told: Told | None = None, goes_on: GoesOn | None = None, limits: Limits = NO_MORE_THAN) -> Digest:
    """As ``digest.digest``. Raises RdbRefusedError, RdbAsideError, OSError."""
    return Digest(**_ask("digest", {"path": str(path)}, [path], told, goes_on, limits))


def cut(
    sources: Sequence[Path],
    targets: Sequence[cutting.Cut],
    *,
    every_database: bool = False,
    must_place_every_key: bool = False,
    drop_expired_before_ms: int | None = None,
    told: Told | None = None,
    goes_on: GoesOn | None = None,
    limits: Limits = NO_MORE_THAN,
) -> list[cutting.CutFile]:
    """As ``cutting.cut``. Raises RdbRefusedError, RdbAsideError, OSError. What was not finished is cleared away, however it ended."""
    asked = {
        "sources": [str(path) for path in sources],
        "targets": [[str(target.path), target.slots] for target in targets],
        "every_database": every_database,
        "must_place_every_key": must_place_every_key,
        "drop_expired_before_ms": drop_expired_before_ms,
    }
    try:
        return [cut_file_from_dict(made) for made in _ask("cut", asked, sources, told, goes_on, limits)]
    finally:
        for target in targets:
            aside_of(target.path).unlink(missing_ok=True)


def _ask(what: str, asked: dict[str, Any], files: Sequence[Path], told: Told | None, goes_on: GoesOn | None, limits: Limits) -> Any:
    memory = limits.memory + sum(path.stat().st_size for path in files)
    command = [sys.executable, "-I", str(Path(__file__).with_name("__main__.py")), what, str(memory), str(limits.niceness)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:  # noqa: S603
        try:
            return _Conversation(child, told).held(json.dumps(asked), goes_on, limits.seconds)
        finally:
            child.kill()


class _Conversation:
    """What is said between us and a child: a question, how far it is, and one answer."""

    def __init__(self, child: subprocess.Popen[str], told: Told | None) -> None:
        self._child, self._told = child, told
        self._answer: dict[str, Any] | None = None
        self._complaints: list[str] = []

    def held(self, question: str, goes_on: GoesOn | None, seconds: float) -> Any:
        """The answer. Raises what the child answers with."""
        assert self._child.stdin is not None and self._child.stdout is not None and self._child.stderr is not None
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="rdb-aside") as listeners:
            heard = listeners.submit(self._listen, self._child.stdout)
            listeners.submit(self._keep_complaints, self._child.stderr)
            try:
                self._say(self._child.stdin, question)
                self._wait(heard, goes_on, seconds)
            finally:
                self._child.kill()
        heard.result()
        return self._judged()

    def _say(self, stdin: IO[str], question: str) -> None:
        try:
            stdin.write(question)
            stdin.close()
        except BrokenPipeError:
            self._child.wait()  # it broke down before it listened: its complaints say why

    def _wait(self, heard: Future[None], goes_on: GoesOn | None, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                self._child.wait(max(0.001, min(_LOOKS_EVERY, until - time.monotonic())))
                return
            except subprocess.TimeoutExpired:
                if heard.done():  # it has said the last it had to say, or whoever is told of it would hear no more
                    return
                if goes_on is not None and not goes_on():
                    raise RdbAsideError("The work on RDB files was ended, as nobody wants it any more.") from None
                if time.monotonic() >= until:
                    raise RdbAsideError(f"The work on RDB files took longer than {seconds:g} seconds, and was ended.") from None

    def _listen(self, stdout: IO[str]) -> None:
        for line in stdout:
            said = json.loads(line)
            if "done" in said:
                if self._told is not None:
                    self._told(said["done"])
            else:
                self._answer = said

    def _keep_complaints(self, stderr: IO[str]) -> None:
        for line in stderr:
            self._complaints = [*self._complaints[-20:], line[:_MOST_SAID]]

    def _judged(self) -> Any:
        answer = self._answer
        if answer is None:
            said = "".join(self._complaints).strip()[-_MOST_SAID:]
            raise RdbAsideError(f"The process that works on RDB files ended with {self._child.returncode} and no answer. It says: {said!r}")
        if "refused" in answer:
            raise RdbRefusedError(answer["refused"])
        if "failed" in answer:
            raise OSError(*answer["failed"])
        return answer["answer"]
