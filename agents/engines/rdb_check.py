"""The engine's own check of an RDB file: its server program under another name, which reads the file from a pipe as it comes."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Self

from api_schemas.agent.node import EngineBinary

_NAMES = {"valkey": "valkey-check-rdb", "redis": "redis-check-rdb"}
_NICE = 10  # a file is checked while its engine serves clients
_KEPT = 64 * 1024  # bytes of what the checker prints first, and as many of the last
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_SOUND = re.compile(rb"^\[offset (\d+)\] \\o/ RDB looks OK! \\o/\r?$", re.M)
_WRONG = re.compile(rb"RDB ERROR DETECTED ---\r?\n\[offset (\d+)\] ([^\r\n]+)")
_DETAIL = re.compile(rb"^\[additional info\] ((?:While doing|Reading type)[^\r\n]*)", re.M)  # not which key: that is for its owner


class RdbCheckFailedError(Exception):
    """The checker refuses the file, or could not finish with it; the text says which, where in the file, and what it printed."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checker counted: keys, those of them that expire, and those that had already. ``functions`` is None where it counts none."""

    keys: int
    expires: int
    expired: int
    functions: int | None


def why_unavailable(binary: EngineBinary) -> str | None:
    """Why files cannot be checked with that program, None if they can."""
    if binary.engine not in _NAMES:
        return f"{binary.engine} writes no RDB files, and cannot check any"
    if binary.image is not None:
        return f"{binary.engine} {binary.version} is in the image {binary.image}: its RDB check runs only where it is installed"
    return None


def available_for(binary: EngineBinary) -> bool:
    """Whether files can be checked with that program."""
    return why_unavailable(binary) is None


class RdbCheck:
    """One check of one file. Whatever goes wrong is told by ``finish``, so that feeding needs no care; the caller closes it in any case.

    A file that was saved without a checksum passes: there is nothing to compare. Should this process end, so does the checker, whose
    file then ends too early.
    """

    def __init__(self, binary: EngineBinary, patience: float = 60.0) -> None:
        """Start the checker, which is given up when it does nothing for ``patience`` seconds. Raises ValueError if it is not available."""
        if (why := why_unavailable(binary)) is not None:
            raise ValueError(why)
        self._patience = patience
        self._problem: str | None = None
        self._fed = 0
        self._feeding = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = _started(binary)
        except OSError as failed:
            self._problem = f"{binary.path} could not be started as {_NAMES[binary.engine]}: {failed.strerror or failed}"
            return
        self._printed = _Printed(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file. Waits until the checker has room for them; does nothing once it has ended."""
        with self._feeding:
            self._fed += len(chunk)
            if self._process is not None and self._process.stdin is not None and not self._process.stdin.closed:
                self._write(self._process, self._process.stdin.fileno(), memoryview(chunk))

    def finish(self) -> Checked:
        """The file has ended: what was counted in it. Raises RdbCheckFailedError."""
        process = self._process
        if process is None:
            raise RdbCheckFailedError(self._problem)
        self._end_of_file(process)
        try:
            status = process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._give_up(process, f"the checker did not end within {self._patience:g} s of the end of the file")
            status = process.wait()
        if self._problem is not None:
            raise RdbCheckFailedError(self._problem)
        return _judged(status, self._printed.all(), self._fed)

    def close(self) -> None:
        """End the checker if it still runs. From any thread, at any time, and again."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self._give_up(process, "the check was closed before the checker had ended")
        process.wait()
        self._end_of_file(process)
        self._printed.all()

    def _write(self, process: subprocess.Popen[bytes], pipe: int, rest: memoryview) -> None:
        may_wait = select.poll()
        may_wait.register(pipe, select.POLLOUT)
        while rest and self._problem is None:
            if not may_wait.poll(self._patience * 1000):
                self._give_up(process, f"the checker took nothing for {self._patience:g} s, after less than {self._fed} bytes")
                return
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:  # it has ended, and what it thinks of the file is told at the end
                return

    def _give_up(self, process: subprocess.Popen[bytes], because: str) -> None:
        self._problem = self._problem or because
        process.kill()

    def _end_of_file(self, process: subprocess.Popen[bytes]) -> None:
        with self._feeding:
            if process.stdin is not None:
                process.stdin.close()


class _Printed:
    """What a process prints, read as it comes: one that prints much would wait for ever otherwise. The middle of very much is left out."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._first, self._last = b"", b""
        self._reader = threading.Thread(target=self._read, name="rdb-check-output", daemon=True)
        self._reader.start()

    def all(self) -> bytes:
        """All of it, once the process has ended."""
        self._reader.join()
        return self._first + self._last

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while chunk := pipe.read(_KEPT):
                room = _KEPT - len(self._first)
                self._first += chunk[:room]
                self._last = (self._last + chunk[room:])[-_KEPT:]


def _started(binary: EngineBinary) -> subprocess.Popen[bytes]:
    """The checker, with as little of ours as can be. Its limits are set from outside: code between fork and exec is not for threads."""
    process = subprocess.Popen(  # noqa: S603
        [_NAMES[binary.engine], "/dev/stdin"], executable=binary.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, bufsize=0, cwd="/", start_new_session=True,
        env={"LC_ALL": "C"} | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )  # fmt: skip
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        if hasattr(resource, "prlimit"):  # on Linux
            _limit(process.pid, resource.RLIMIT_CORE, 0)
            # What an engine of this host has held fits. A length that a hostile file makes up does not.
            _limit(process.pid, resource.RLIMIT_AS, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _limit(pid: int, what: int, most: int) -> None:
    """Lower a limit of a process; one that is lower already stays."""
    hard = resource.prlimit(pid, what)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.prlimit(pid, what, (value, value))


def _judged(status: int, printed: bytes, fed: int) -> Checked:
    """What the checker's end means. Only what it prints last counts: before that a file can have it print anything."""
    verdicts = list(_SOUND.finditer(printed))
    if status != 0 or not verdicts:
        raise RdbCheckFailedError(_complaint(status, printed))
    verdict = verdicts[-1]
    read = int(verdict[1])
    if read != fed:
        raise RdbCheckFailedError(f"the file goes on behind its end: the checker read {read} of its {fed} bytes and found them sound")
    counts = printed[verdict.end() :]
    keys, expires, expired = (_count(counts, what) for what in (b"keys read", b"expires", b"already expired"))
    if keys is None or expires is None or expired is None:
        raise RdbCheckFailedError(f"the checker found the file sound, but does not say what is in it: {_printable(counts)}")
    return Checked(keys, expires, expired, _count(counts, b"functions"))


def _count(printed: bytes, what: bytes) -> int | None:
    found = re.search(rb"^\[info\] (\d+) " + what + rb"\r?$", printed, re.M)
    return int(found[1]) if found else None


def _complaint(status: int, printed: bytes) -> str:
    """Why the file was refused, short and printable."""
    if found := list(_WRONG.finditer(printed)):
        wrong = found[-1]
        details = [_printable(detail) for detail in _DETAIL.findall(printed, wrong.end())]
        return f"{_printable(wrong[2])}, at byte {int(wrong[1])}" + (f" ({', '.join(details)})" if details else "")
    ended = f"was ended by {_signal(-status)}" if status < 0 else f"ended with status {status}"
    lines = [line for line in printed.splitlines() if line.strip() and b"Reading key" not in line and b"AUX FIELD" not in line]
    last = " / ".join(_printable(line) for line in lines[-3:])
    return f"the checker {ended}" + (f", and said last: {last}" if last else " and said nothing")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _printable(said: bytes) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in said.decode("utf-8", "replace").strip())[:200]
