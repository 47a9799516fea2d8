"""An engine aside loads one file, for nobody: it has no address, no clients and no replicas, and changes nothing of what it has loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.engines.engine import EngineUnreachableError
from agents.engines.talk import SocketTalk
from agents.engines.valkey_config import translated
from agents.launch import Launch
from agents.socket_path import socket_path
from api_schemas.agent.node import EngineBinary

DUMP = "dump.rdb"
_SOCKET = "engine.sock"
_LOG = "engine.log"
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_FEWEST_DATABASES = 16

_OURS = {
    "port": "0",
    "unixsocket": _SOCKET,
    "unixsocketperm": "700",
    "dir": ".",
    "dbfilename": DUMP,
    "logfile": _LOG,
    "daemonize": "no",
    "save": '""',
    "appendonly": "no",
    "maxmemory": "0",
    "sanitize-dump-payload": "yes",
    "rdbcompression": "yes",
    "rdbchecksum": "yes",
    # A replica leaves expired keys to its primary, also while it loads. There is none: nobody can listen at port 0.
    "replicaof": "127.0.0.1 0",
    "replica-serve-stale-data": "yes",
}
"""What no parameter changes. Cluster mode is off: it takes a port, and makes no difference to the data."""


class AsideRefusedError(Exception):
    """An engine aside cannot be started like that; the text says why."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How far an engine is with its file: bytes of bytes, and whether it has loaded all of it."""

    done: int
    total: int
    over: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What an engine holds: keys by database, how many of them expire, and how many libraries of functions there are."""

    databases: dict[int, int]
    expires: int
    functions: int


def launch_aside(key: str, binary: EngineBinary, parameters: Mapping[str, str], folder: Path, databases: int) -> Launch:
    """The process that loads the ``dump.rdb`` of that folder, which has so many databases. Raises AsideRefusedError."""
    config = folder / "engine.conf"
    config.touch(mode=0o600)
    config.write_text("".join(f"{name} {value}\n" for name, value in _directives(binary, parameters, databases)))
    return Launch(key, 1, (binary.path, config.name), folder, folder / "launch.log")


def log_of(folder: Path) -> Path:
    """Where that engine says what it does, or what goes wrong: before it has read its configuration elsewhere than afterwards."""
    return folder / _LOG if (folder / _LOG).exists() else folder / "launch.log"


def _directives(binary: EngineBinary, parameters: Mapping[str, str], databases: int) -> Iterator[tuple[str, str]]:
    """The parameters, as far as they are about data; then what they must not change."""
    for name, value in translated(parameters, binary):
        if not _NAME.fullmatch(name) or not value.isprintable():
            raise AsideRefusedError(f"the parameter {name[:80]!r} cannot be told to an engine: its name or its value has other signs")
        if name not in _OURS and name not in ("databases", "activedefrag", "include", "loadmodule", "user", "aclfile"):
            yield name, value
    yield "databases", str(max(_FEWEST_DATABASES, databases))
    yield from _OURS.items()


class AsideTalk:
    """What we say to an engine aside. Every call raises EngineUnreachableError when it does not answer."""

    def __init__(self, folder: Path, patience: float) -> None:
        with socket_path(folder / _SOCKET) as path:
            self._talk = SocketTalk(path, patience)
            self._talk.connect()

    def loading(self) -> Loading:
        """How far it is with loading."""
        told = self._info("persistence")
        return Loading(int(told.get("loading_loaded_bytes", 0)), int(told.get("loading_total_bytes", 0)), told.get("loading") == "0")

    def held(self) -> Held:
        """What it holds, once it has loaded all."""
        databases, expires = {}, 0
        for name, value in self._info("keyspace").items():
            counts = dict(part.split("=", 1) for part in value.split(","))
            databases[int(name.removeprefix("db"))] = int(counts["keys"])
            expires += int(counts["expires"])
        return Held(databases, expires, len(self._talk.say("FUNCTION", "LIST")))

    def begin_to_save(self) -> None:
        """Have it write all it holds, which takes it a while: it answers nothing else meanwhile, and has no child that could outlive it."""
        self._talk.send([("SAVE",)])

    def has_saved(self, within: float) -> bool:
        """Whether it has, within so many seconds. Raises EngineUnreachableError also when it could not."""
        if not self._talk.hears(within):
            return False
        answer = self._talk.answers(1)[0]
        if isinstance(answer, Exception):
            raise EngineUnreachableError(str(answer)) from answer
        return True

    def close(self) -> None:
        """Say no more."""
        self._talk.close()

    def _info(self, section: str) -> dict[str, str]:
        told: Any = self._talk.say("INFO", section)
        lines = told.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)
