"""A tutorial is read as a reader would: its files are written, its commands run in order, and what it prints has to come true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from cachewright import LocalServer, local_server

ROOT = Path(__file__).parents[2]
DEFAULT_URL = "http://127.0.0.1:8379"
PATIENCE = 60
# What the last line of a program says in every run, whatever its other figures are.
FACTS = {
    "python counting.py": "safe: 200",
    "python losing.py 0": "of these missing:",
    "python losing.py 1": "of these missing: 0",
    "pytest test_orders.py": "3 passed",
}


class Reader:
    """Somebody with a server of their own, a folder, and one program that runs while faults are injected."""

    def __init__(self, server: LocalServer, folder: Path) -> None:
        self._lab: Any = server.client("lab")
        self._url, self._folder = server.url, folder
        self._run_since: list[str] = []
        self._writer: subprocess.Popen[bytes] | None = None
        self._former = ""
        self._said = folder / "said.txt"

    def python(self, block: str) -> None:
        """Save a file under the name in its first line."""
        named = re.match(r"# (\w+\.py)\n", block)
        assert named is not None, f"a file without a name: {block[:40]}"
        (self._folder / named[1]).write_text(block.replace(DEFAULT_URL, self._url))

    def console(self, block: str) -> None:
        """Type the commands, on a group that has got over the last fault."""
        self._settle()
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            assert command != line, f"not a command: {line}"
            self._type(command)
            self._run_since.append(command)

    def text(self, block: str) -> None:
        """See what the page says that the commands before it print. A page may show more than its commands do, as root for one."""
        commands, self._run_since = self._run_since, []
        if commands and commands[-1] in FACTS:
            assert FACTS[commands[-1]] in self._said.read_text().splitlines()[-1]
        elif commands:
            self._follow(set(re.findall(r"\b\w+Error\b", block)))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.kill()
            self._writer.wait()

    def _type(self, command: str) -> None:
        program, *words = shlex.split(self._with_the_present_primary(command))
        if (program, words[0]) == ("cachewright", "serve"):
            return
        if program == "python" and words[0] == "orders.py":
            self.close()
            with self._said.open("wb") as said:
                self._writer = subprocess.Popen([sys.executable, *words], cwd=self._folder, env=self._env(), stdout=said, stderr=said)
            wait_until(lambda: "written" in self._said.read_text(), within=PATIENCE)
            return
        start = {"python": [], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"], "cachewright": ["-m", "cachewright"]}[program]
        line = [sys.executable, *start, *words]
        done = subprocess.run(line, cwd=self._folder, env=self._env(), capture_output=True, text=True, timeout=2 * PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        if program != "cachewright":
            self._said.write_text(done.stdout)

    def _follow(self, errors: set[str]) -> None:
        """The running program meets these errors, and none at all where the page shows none, although another node is primary by then."""
        wait_until(lambda: self._primary().get("Node", self._former) != self._former, within=PATIENCE)
        for error in errors:
            wait_until(lambda error=error: f": {error}: " in self._said.read_text(), within=PATIENCE)  # type: ignore[misc]
        self._settle()
        assert self._writer is not None and self._writer.poll() is None, self._said.read_text()
        if not errors:
            assert "Error" not in self._said.read_text()

    def _settle(self) -> None:
        for fault in self._lab.describe_faults(Status="active")["Faults"]:
            self._lab.delete_fault(FaultId=fault["FaultId"])
        if self._lab.describe_nodes()["Nodes"]:
            wait_until(self._primary, within=PATIENCE)
            self._lab.get_waiter("nodes_in_sync").wait(ReplicationGroupId="orders")

    def _primary(self) -> dict[str, Any]:
        return next((node for node in self._lab.describe_nodes()["Nodes"] if node.get("Role") == "primary"), {})

    def _with_the_present_primary(self, command: str) -> str:
        """The page names the primary of the run that it shows, or its zone."""
        if not command.startswith(("cachewright fault", "cachewright failover")):
            return command
        primary = self._primary()
        self._former = primary["Node"]
        command = re.sub(r"orders-\d{3}", primary["Node"], command)
        return re.sub(r"power-loss [a-c]", f"power-loss {primary['Zone'][-1]}", command)

    def _env(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**plain, "CACHEWRIGHT_URL": self._url, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with local_server() as server:
        somebody = Reader(server, tmp_path)
        yield somebody
        somebody.close()


@pytest.mark.slow
def test_survive_failover_is_true_from_top_to_bottom(reader: Reader) -> None:
    page = (ROOT / "docs" / "tutorials" / "survive-failover.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == page.count("```") // 2
    for kind, block in blocks:
        getattr(reader, kind)(block)
