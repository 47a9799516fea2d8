"""What an agent must not forget: the specs it was given and the handles of what it started. Written down before use."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from agents.runtimes.runtime import Handle
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec
from api_schemas.agent.route import RouteSpec

_log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")

_AFRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A node as its agent remembers it.

    ``boot_done`` is the boot that was started last, 0 if none ever was. ``suspended``: the engine was asked to save and end
    because the agent was going down in order, and shall be resumed with its data, as the same boot. ``runs_with`` is the
    configuration that the engine was started with or has taken since; None where an earlier release wrote the entry, whose
    engines run with what its spec says.
    """

    spec: NodeSpec
    handle: Handle | None = None
    boot_done: int = 0
    suspended: bool = False
    runs_with: Configuration | None = None


class Journal:
    """One file for each node and each route, in ``folder``/journal. Any thread may read and write.

    A key that could be anything but a plain file name raises ValueError. A disk that fails raises OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._nodes = _Shelf(folder / "journal" / "nodes", TypeAdapter(Entry), lambda entry: entry.spec.key)
        self._routes = _Shelf(folder / "journal" / "routes", TypeAdapter(RouteSpec), lambda route: route.key)

    def entries(self) -> dict[str, Entry]:
        """Every node, by key. A file that makes no sense is moved aside, and a warning logged."""
        return self._nodes.read()

    def write(self, entry: Entry) -> None:
        """Remember this about the node from now on, in place of what was known about it."""
        self._nodes.write(entry)

    def forget(self, key: str) -> None:
        """Know the node no more. Nothing happens when it is not known."""
        self._nodes.forget(key)

    def routes(self) -> dict[str, RouteSpec]:
        """Every route, by key. A file that makes no sense is moved aside, and a warning logged."""
        return self._routes.read()

    def write_route(self, route: RouteSpec) -> None:
        """Remember this route from now on, in place of what was known about it."""
        self._routes.write(route)

    def forget_route(self, key: str) -> None:
        """Know the route no more. Nothing happens when it is not known."""
        self._routes.forget(key)


class _Shelf(Generic[T]):
    """A folder with one JSON file per key, readable by this user only: parameters can hold secrets."""

    def __init__(self, folder: Path, form: TypeAdapter[T], key_of: Callable[[T], str]) -> None:
        self._folder, self._form, self._key_of = folder, form, key_of
        self._lock = threading.Lock()
        for level in (folder.parent, folder):
            level.mkdir(mode=0o700, parents=True, exist_ok=True)
            level.chmod(0o700)
        for unfinished in folder.glob(".*.new"):
            unfinished.unlink()

    def read(self) -> dict[str, T]:
        """What is written under each key, in order of the keys."""
        with self._lock:
            found = [(path, self._read_one(path)) for path in sorted(self._folder.glob("*.json"))]
        return {path.stem: value for path, value in found if value is not None}

    def write(self, value: T) -> None:
        """Replace what is written under the value's key, whole or not at all, whenever this process is killed.

        Not synced to the disk: a loss of power also ends the processes that the file speaks of.
        """
        path, text = self._path(self._key_of(value)), self._form.dump_json(value)
        unfinished = path.with_name(f".{path.stem}.new")
        with self._lock:
            with os.fdopen(os.open(unfinished, _AFRESH, 0o600), "wb") as file:
                file.write(text)
            unfinished.replace(path)

    def forget(self, key: str) -> None:
        """Remove what is written under the key, if anything is."""
        with self._lock:
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"A key is 1 to 120 of letters, digits, '.', '_', '-', not starting with '.'; {key!r} is not one.")
        return self._folder / f"{key}.json"

    def _read_one(self, path: Path) -> T | None:
        """The value in the file; None, and the file is out of the way, when it holds none or is about another key."""
        try:
            value = self._form.validate_json(path.read_bytes())
        except ValidationError as error:
            _move_aside(path, _first_problem(error))
            return None
        if self._key_of(value) != path.stem:
            _move_aside(path, f"it is about {self._key_of(value)!r}")
            return None
        return value


def _move_aside(path: Path, why: str) -> None:
    """Keep the file for who wants to look at it, where it is not read again."""
    aside = path.with_name(f"{path.name}.unreadable")
    path.replace(aside)
    _log.warning("a journal file makes no sense and was moved aside  file=%s because=%r", aside, why)


def _first_problem(error: ValidationError) -> str:
    """What is wrong and where, without the value, which may be a secret."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
