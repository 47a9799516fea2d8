"""A control plane and agents as programs of their own, for tests that end, stop and start them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import httpx
import redis
from waiting import wait_until

from agents.address_block import block_of, give_back
from agents.ground import runtimes_of

ROOT = Path(__file__).parents[1]
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
PORT = 6379


class Program:
    """A program of ours as a process, which can be ended and started again with the same words. ``inside`` is put before its command."""

    def __init__(self, module: str, folder: Path, *words: str, inside: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._command = [*inside, sys.executable, "-m", module, *words]
        self._process: subprocess.Popen[str] | None = None
        self.line = ""
        """What it said when it was ready."""

    @property
    def agents_url(self) -> str:
        """Where agents join, of a control plane."""
        return self.line.split("  agents: ")[1].split()[0]

    def start(self, *more: str) -> str:
        """Start it; its URL, once it is ready."""
        log = self.folder.with_suffix(".log")
        with log.open("a") as stderr:
            self._process = subprocess.Popen([*self._command, *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert " is ready at http" in line, log.read_text()
        self.line = line
        return line.split(" is ready at ")[1].split()[0]

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def join(self) -> None:
        if self._process is not None:
            self._process.wait(60)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.send(number)
        self.join()


class Deployment:
    """A control plane, with more words on its command line if any are given, and an agent in each zone, over one folder."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        (folder / "plane").mkdir()
        block = block_of(folder / "plane")
        self.token = folder / "token"
        self.plane = Program("controlplane", folder / "plane", "--data-dir", str(folder / "plane"),
                             "--join-token-file", str(self.token), "--endpoint-network", f"127.100.{block}.0/24", *words)  # fmt: skip
        self.agents: dict[str, Program] = {}
        self.url = ""
        self.agents_url = ""

    def start(self) -> None:
        self.start_plane()
        for zone in ZONES:
            self.agents[zone] = self.agent(zone)
            self.agents[zone].start()

    def start_plane(self) -> None:
        """At the same addresses as before, for those are the ones that callers and agents know."""
        ports = [url.rpartition(":")[2] or "0" for url in (self.url, self.agents_url)]
        self.url = self.plane.start("--port", ports[0], "--agents-listen", f"127.0.0.1:{ports[1]}")
        self.agents_url = self.plane.agents_url

    def agent(self, zone: str) -> Program:
        folder = self.folder / zone
        where = ("--join", self.agents_url, "--token-file", str(self.token), "--data-dir", str(folder))
        return Program("agents", folder, "--zone", zone, *where)

    def clear(self) -> None:
        for program in (self.plane, *self.agents.values()):
            program.end(signal.SIGKILL)
        for folder in (self.folder / "plane", *(agent.folder for agent in self.agents.values())):
            with runtimes_of(folder) as runtimes:
                for runtime in runtimes:
                    for stray in runtime.strays([]):
                        runtime.kill(stray)
            give_back(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def client(self) -> Any:
        """An unmodified boto3 client."""
        keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "local"}
        return boto3.client("elasticache", endpoint_url=self.url, region_name="us-east-1", **keys)

    def create(self, name: str = "orders", nodes: int = 3) -> dict[str, Any]:
        """A group, once it is available."""
        self.client().create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="for a test", Engine="valkey",
                                               NumCacheClusters=nodes, AutomaticFailoverEnabled=nodes > 1)  # fmt: skip
        return self.available(name)

    def available(self, name: str = "orders") -> dict[str, Any]:
        wait_until(lambda: self.group(name)["Status"] == "available", within=30, every=0.05)
        return self.group(name)

    def group(self, name: str = "orders") -> dict[str, Any]:
        found: dict[str, Any] = self.client().describe_replication_groups()
        return next(group for group in found["ReplicationGroups"] if group["ReplicationGroupId"] == name)

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.ask("/v1/nodes")["nodes"])

    def pids(self) -> dict[str, Any]:
        return {node["node"]: node.get("process_id") for node in self.nodes()}

    def heard(self) -> dict[str, bool]:
        return {agent["zone"]: agent["heard"] for agent in self.ask("/v1/agents")["agents"]}

    def ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(self.url + path, timeout=30).json()
        return answer


def endpoint(group: dict[str, Any], kind: str = "PrimaryEndpoint") -> str:
    return str(group["NodeGroups"][0][kind]["Address"])


def say(address: str, *words: str) -> Any:
    with redis.Redis(address, PORT, decode_responses=True, socket_timeout=5) as client:
        return client.execute_command(*words)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between the opening and the reading
        return False


def primary(deployment: Deployment) -> str | None:
    """The node that reports to be primary and holds the endpoint."""
    return next((node["node"] for node in deployment.nodes() if node.get("role") == "primary" and node["holds"]), None)
