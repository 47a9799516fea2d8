"""Engines by hand: the program of a node of ours, with that node's own configuration, and nobody who looks after it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.engines.reach import Reach
from agents.engines.talk import Talk
from bench import measure as m
from bench.mixed_keys import Place

_NETWORK = "127.120.80"


def node_folder(data_dir: Path, node: str) -> Path:
    """Where a node of ours has its files."""
    (found,) = data_dir.glob(f"agents/*/nodes/*.{node}")
    return found


@dataclass(frozen=True)
class Program:
    """What a node of ours is started with."""

    path: str
    config: str
    address: str
    folder: str

    @classmethod
    def of(cls, node: dict[str, Any], data_dir: Path) -> Program:
        folder = node_folder(data_dir, node["node"])
        return cls(node["engine_binary"]["path"], (folder / "engine.conf").read_text(), node["address"], str(folder))


class Bare:
    """The same program with the same configuration at an address of its own; ``dump`` is what it begins with. It does not wait for itself."""

    def __init__(self, program: Program, folder: Path, number: int = 1, dump: Path | None = None, options: Sequence[str] = ()) -> None:
        self.address = f"{_NETWORK}.{number}"
        self.folder = folder / f"{number}"
        self.folder.mkdir()
        if dump is not None:
            shutil.copyfile(dump, self.folder / "dump.rdb")
        config = program.config.replace(program.address, self.address).replace(program.folder, str(self.folder))
        (self.folder / "engine.conf").write_text(config + "".join(f"{option}\n" for option in options))
        self._command = [program.path, str(self.folder / "engine.conf")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> Place:
        return self.address, 6379

    def start(self) -> None:
        with (self.folder / "launch.log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def answers(self) -> m.Wire:
        """A connection, once it has loaded what it begins with. Raises RuntimeError where another program has its address."""
        wire = m.first_answer(self.address, ("PING",), "+PONG", within=60.0)
        talk = Talk(Reach(*self.place))
        told = talk.say("INFO", "server")
        talk.close()
        if self._process is None or b"process_id:%d\r" % self._process.pid not in told:
            wire.close()
            raise RuntimeError(f"another engine answers at {self.address}: does this bench run twice?")
        return wire

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def ended(engines: Sequence[Bare]) -> Iterator[Sequence[Bare]]:
    """At the end of the block none of them runs."""
    try:
        yield engines
    finally:
        for engine in engines:
            engine.end()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cachewright-bench-") as folder:
        yield Path(folder)


class Group:
    """A replication group of ours, and snapshots of it."""

    def __init__(self, url: str, name: str, **wanted: object) -> None:
        self.http, self.name = m.Http(url, timeout=120.0), name
        body = json.dumps({"replication_group_id": name, "replication_group_description": "bench", **wanted}).encode()
        asked = self.http.request("POST", "/v1/replication-groups", body, Content_Type="application/json", Prefer="wait=100")
        status = json.loads(self.http.ask(asked))["replication_group"]["status"]
        if status != "available":
            raise RuntimeError(f"{name} is {status}")
        self._nodes = self.http.request("GET", f"/v1/nodes?replication_group_id={name}")

    def nodes(self, role: str) -> list[dict[str, Any]]:
        """The nodes of that role, by node group."""
        found = [node for node in json.loads(self.http.ask(self._nodes))["nodes"] if node.get("role") == role]
        return sorted(found, key=lambda node: str(node["node_group_id"]))

    def places(self, role: str = "primary") -> list[Place]:
        return [(node["address"], node["port"]) for node in self.nodes(role)]

    def keys(self, role: str = "primary") -> int:
        """How many keys all nodes of that role have."""
        return sum(dbsize(place) for place in self.places(role))

    def snapshot(self, name: str, wait: int = 100) -> str:
        """Ask for a snapshot, and wait for it; answers its status then."""
        body = json.dumps({"replication_group_id": self.name, "snapshot_name": name}).encode()
        prefer = {"Prefer": f"wait={wait}"} if wait else {}
        asked = self.http.request("POST", "/v1/snapshots", body, Content_Type="application/json", **prefer)
        return str(json.loads(self.http.ask(asked))["snapshot"]["snapshot_status"])

    def status_of(self, snapshot: str) -> str:
        found = json.loads(self.http.ask(self.http.request("GET", f"/v1/snapshots?snapshot_name={snapshot}")))["snapshots"]
        return str(found[0]["snapshot_status"])

    def forget(self, snapshot: str) -> None:
        self.http.ask(self.http.request("DELETE", f"/v1/snapshots/{snapshot}", Prefer="wait=20"))

    def delete(self) -> None:
        self.http.ask(self.http.request("DELETE", f"/v1/replication-groups/{self.name}", Prefer="wait=60"))


def dbsize(place: Place) -> int:
    wire = m.Wire(*place, timeout=30.0)
    try:
        return int(wire.say("DBSIZE").removeprefix(":"))
    finally:
        wire.close()
