"""The demo as a newcomer runs it: a process of its own that shows a failover, stays up, and ends on Ctrl-C."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from waiting import wait_until

ROOT = Path(__file__).parents[2]
PATIENCE = 60

pytestmark = pytest.mark.xdist_group("demo")


class Demo:
    """A running demo and what it has printed so far."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "cachewright", "demo", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=plain(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, preexec_fn=interruptible)  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.append(line.rstrip())

    def line(self, pattern: str) -> re.Match[str]:
        """The one line in which the pattern is found. AssertionError when there is none, or more than one."""
        found = [match for line in self.lines if (match := re.search(pattern, line))]
        assert len(found) == 1, "\n".join([f"{len(found)} lines have {pattern}", *self.lines])
        return found[0]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self._reader.join()
        return status


def plain() -> dict[str, str]:
    """Of a pipe: no colours, and nothing that speaks to another server."""
    return {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS")}


def interruptible() -> None:
    """A background job may have been started with SIGINT ignored, and would hand that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One that has shown everything and stays up."""
    running = Demo()
    try:
        wait_until(lambda: running.process.poll() is not None or any("API pages" in line for line in running.lines), within=PATIENCE)
        assert running.process.poll() is None, "\n".join(running.lines)
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def url(demo: Demo) -> str:
    return demo.line(r"serves the ElastiCache API at (\S+)")[1]


def test_the_time_line_tells_the_failover_from_the_kill_to_the_end(demo: Demo) -> None:
    kill = demo.line(r"^ +0 ms  kill .*\b(orders-\d+), the primary: SIGKILL .* (\d+)$")
    elected = demo.line(r"ms  election +(orders-\d+) at epoch 2: .+")
    first = demo.line(r"^ +(\d+) ms  write .* acknowledged at the same endpoint, by (\S+)$")
    back = demo.line(r"^ +(\d+) ms  node +(\S+) is a replica in sync, zone and address as before, process (\d+)$")
    assert elected[1] == first[2] != kill[1]
    assert back[2] == kill[1] and back[3] != kill[2]
    assert int(first[1]) >= 0
    demo.line(rf"ms  write .* the last one that {kill[1]} acknowledges$")
    demo.line(rf"ms  process +{kill[2]} is no more")
    demo.line(rf"ms  event +Failover from primary node {kill[1]} to replica node {elected[1]} completed$")


def test_the_moments_stand_in_their_order(demo: Demo) -> None:
    shown = [int(found[1]) for line in demo.lines if (found := re.match(r" +(-?\d+) ms  [a-z]+ ", line))]
    assert len(shown) >= 7
    assert shown == sorted(shown)


def test_writes_are_counted_and_read_back(demo: Demo) -> None:
    counted = demo.line(r"(\d+) writes acknowledged, (\d+) of them missing")
    assert int(counted[2]) <= int(counted[1])
    signs = demo.line(r"^  ([|.]{20,})$")[1]
    assert re.search(r"\|\.+\|", signs), "a client that writes, does not, and does again"


def test_a_pipe_gets_lines_without_escape_codes(demo: Demo) -> None:
    assert "\x1b" not in "".join(demo.lines)
    kill, counted = (next(number for number, line in enumerate(demo.lines) if said in line) for said in ("ms  kill", "writes acknowledged"))
    assert max(map(len, demo.lines[kill:counted])) <= 100


def test_the_group_is_whole_while_the_demo_stays_up(demo: Demo, url: str) -> None:
    nodes = httpx.get(f"{url}/v1/nodes").json()["nodes"]
    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert all(node["in_sync"] for node in nodes)
    elected = demo.line(r"election +(\S+) at epoch")[1]
    assert [node["node"] for node in nodes if node["role"] == "primary"] == [elected]
    last_table = demo.lines[max(number for number, line in enumerate(demo.lines) if line.startswith("node ")) :]
    for node in nodes:
        assert any(line.split()[:2] == [node["node"], node["role"]] and str(node["process_id"]) in line.split() for line in last_table)


def test_the_commands_that_it_names_work_as_printed(demo: Demo) -> None:
    exports = dict(word.split("=", 1) for line in demo.lines if line.startswith("  export ") for word in shlex.split(line)[1:])
    for word, wanted in (("history", "orders-001"), ("describe", "available"), ("fault crash", "node-crash")):
        words = shlex.split(demo.line(rf"^  (\S*cachewright {word} .+)$")[1], comments=True)
        done = subprocess.run(words, cwd=ROOT, env={**plain(), **exports}, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        assert wanted in done.stdout


def test_ctrl_c_ends_it_in_order(demo: Demo, url: str) -> None:
    assert demo.end(signal.SIGINT) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
