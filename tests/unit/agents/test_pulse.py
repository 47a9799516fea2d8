"""Who counts as hung: only who neither answers nor gets any further. Against small servers of flesh and blood."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from agents.engines.reach import Reach
from agents.pulse import Pulse
from agents.runtimes.runtime import Progress
from api_schemas.agent.access import Credentials

SERVER = """
import socket, sys
how, questions = sys.argv[1], open(sys.argv[2], "ab", 0)
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        while asked := connection.recv(64):
            questions.write(b"?")
            if how == "closes":
                break
            while how == "computes":
                pass
            answers = {"loads": [b"-LOADING it is"], "shuts": [b"-WRONGPASS no", b"-NOAUTH who"]}.get(how, [b"+PONG"])
            for answer in answers:
                connection.sendall(answer + b"\\r\\n")
        connection.close()
"""
PATIENCE, INTERVAL = 0.3, 0.02


class Server:
    """A process that listens, how often it was asked, how often somebody looked how far it is, and how far that is."""

    def __init__(self, how: str = "answers") -> None:
        self.looked_at = 0
        self.starves = False  # whether it is said to be ready to run, as one is that gets no processor
        self._questions = Path(tempfile.mkstemp(prefix="questions-")[1])
        self._process = subprocess.Popen([sys.executable, "-c", SERVER, how, self._questions], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def asked(self) -> int:
        """How often."""
        return self._questions.stat().st_size

    def progress(self) -> Progress | None:
        self.looked_at += 1
        try:
            words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return Progress(int(words[11]) + int(words[12]), self.starves or words[0] in {"R", "D"})

    def stop(self) -> None:
        """From now on it does nothing; the kernel still takes connections for it."""
        self._process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._questions.unlink(missing_ok=True)


class Ward:
    """A pulse, its servers, and who was found to be hung."""

    def __init__(self) -> None:
        self.hung: list[str] = []
        self.pulse = Pulse(self.hung.append, PATIENCE, INTERVAL)
        self._servers: list[Server] = []

    def server(self, how: str = "answers", key: str = "") -> Server:
        made = Server(how)
        self._servers.append(made)
        self.pulse.watch(key or how, Reach("127.0.0.1", made.port), made.progress)
        return made

    def clear(self) -> None:
        self.pulse.close()
        for server in self._servers:
            server.end()


@pytest.fixture
def ward() -> Iterator[Ward]:
    made = Ward()
    yield made
    made.clear()


def let_pass(ward: Ward, times: int = 2) -> None:
    """Return when whoever hung before this call would have been found: one that hangs from now on is, so many times in a row."""
    for number in range(times):
        server = ward.server(key=f"marker-{number}")
        wait_until(lambda server=server: server.asked > 0)  # type: ignore[misc]
        server.stop()
        wait_until(lambda number=number: f"marker-{number}" in ward.hung)  # type: ignore[misc]
        ward.hung.remove(f"marker-{number}")


def test_one_that_is_stopped_is_hung_and_said_once(ward: Ward) -> None:
    server = ward.server()
    wait_until(lambda: server.asked > 1)
    stopped_at = time.monotonic()
    server.stop()
    wait_until(lambda: ward.hung)
    assert time.monotonic() - stopped_at >= PATIENCE - INTERVAL
    assert ward.hung == ["answers"]
    let_pass(ward)
    assert ward.hung == ["answers"]


def test_one_that_was_stopped_before_it_was_watched_is_hung_too(ward: Ward) -> None:
    server = Server()
    server.stop()
    ward.pulse.watch("late", Reach("127.0.0.1", server.port), server.progress)
    try:
        wait_until(lambda: ward.hung == ["late"])
    finally:
        server.end()


def test_one_that_answers_is_not_hung_and_not_looked_at(ward: Ward) -> None:
    server = ward.server()
    let_pass(ward)
    assert ward.hung == []
    assert server.asked > 10 and server.looked_at == 0


def test_whatever_it_says_it_lives(ward: Ward) -> None:
    ward.server("loads")
    let_pass(ward)
    assert ward.hung == []


def test_one_that_lets_nobody_in_lives_until_it_says_so_no_more(ward: Ward) -> None:
    server = Server("shuts")
    ward.pulse.watch("shut", Reach("127.0.0.1", server.port, Credentials("ours", "p")), server.progress)
    try:
        let_pass(ward)
        assert ward.hung == [] and server.asked > 2
        server.stop()  # what it had said before, in answers of its own, is none to what it is asked now
        wait_until(lambda: ward.hung == ["shut"], within=5)
    finally:
        server.end()


def test_one_that_computes_is_busy_and_not_hung(ward: Ward) -> None:
    server = ward.server("computes")
    let_pass(ward)
    assert ward.hung == []
    looked_at = server.looked_at
    wait_until(lambda: server.looked_at > looked_at)  # more than once: it was given as long again
    server.stop()
    wait_until(lambda: ward.hung == ["computes"])


def test_one_that_gets_no_processor_is_not_hung(ward: Ward) -> None:
    server = ward.server()
    server.starves = True
    wait_until(lambda: server.asked > 1)
    server.stop()
    let_pass(ward)
    assert ward.hung == []
    server.starves = False
    wait_until(lambda: ward.hung == ["answers"])


def test_one_that_hangs_up_is_called_again_and_not_hung(ward: Ward) -> None:
    server = ward.server("closes")
    let_pass(ward)
    asked = server.asked
    wait_until(lambda: server.asked > asked + 2)
    assert ward.hung == []


def test_one_that_has_ended_is_none_of_its_business(ward: Ward) -> None:
    server = ward.server()
    wait_until(lambda: server.asked > 0)
    server.end()
    let_pass(ward)
    assert ward.hung == []


def test_one_that_goes_on_in_time_is_not_hung(ward: Ward) -> None:
    server = ward.server()
    wait_until(lambda: server.asked > 0)
    server.stop()
    server.go_on()
    let_pass(ward)
    assert ward.hung == []


def test_one_that_is_forgotten_is_not_watched(ward: Ward) -> None:
    server = ward.server()
    wait_until(lambda: server.asked > 0)
    ward.pulse.forget("answers")
    server.stop()
    let_pass(ward)
    assert ward.hung == []


def test_one_that_has_moved_is_asked_at_its_new_place(ward: Ward) -> None:
    former = ward.server(key="moves")
    wait_until(lambda: former.asked > 0)
    former.stop()
    present = ward.server(key="moves")
    let_pass(ward)
    assert ward.hung == []
    assert present.asked > 0


def test_nothing_is_left_open_when_it_closes() -> None:
    ward = Ward()
    server = ward.server()
    wait_until(lambda: server.asked > 0)
    before = open_files()
    ward.clear()
    assert not any(thread.name == "pulse" for thread in threading.enumerate())
    assert open_files() < before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port)):
        pass


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
