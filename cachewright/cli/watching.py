"""Watching something come along that says how far it is: bars for people at a terminal, a line for each change in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

from cachewright.cli.command import Session
from cachewright.cli.server import Json

_LOOK_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Bar:
    """One part: its name, what is done with it in words, and how much of it is; without a ``total`` nobody knows yet."""

    name: str
    doing: str
    done: int = 0
    total: int = 0


def watch(session: Session, look: Callable[[], Json], bars: Callable[[Json], Sequence[Bar]], is_over: Callable[[Json], bool]) -> Json:
    """What ``look`` answers once that is over, with its bars shown meanwhile."""
    pause = Event()
    with drawing(session) as draw:
        while True:
            seen = look()
            draw(bars(seen))
            if is_over(seen):
                return seen
            pause.wait(_LOOK_EVERY)


@contextmanager
def drawing(session: Session) -> Iterator[Callable[[Sequence[Bar]], None]]:
    """What draws bars for as long as the block lasts."""
    if not session.paper.is_watched:
        yield _Lines(session)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.fields[part]}", markup=False), BarColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)


class _Lines:
    """Says what is done with a part whenever that is something else."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._said: dict[str, str] = {}

    def __call__(self, bars: Sequence[Bar]) -> None:
        for bar in bars:
            if self._said.get(bar.name) != bar.doing:
                self._session.paper.aside(f"{bar.name}: {bar.doing}")
                self._said[bar.name] = bar.doing


class _Bars:
    """A bar of rich's for each part."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def __call__(self, bars: Sequence[Bar]) -> None:
        for bar in bars:
            if bar.name not in self._tasks:
                self._tasks[bar.name] = self._progress.add_task(bar.doing, part=bar.name, total=None)
            self._progress.update(self._tasks[bar.name], description=bar.doing, completed=bar.done, total=bar.total or None)
