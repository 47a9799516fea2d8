"""What commands write on: tables for people, plain columns for pipes, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

NONE = "-"
_GOOD = {"available", "running", "in sync", "enabled", "yes"}
_BAD = {"create-failed", "dead", "failed", "gone"}
_STYLES = {**dict.fromkeys(_GOOD, "green"), **dict.fromkeys(_BAD, "red"), NONE: "dim"}
_UNDERWAY = ("creating", "modifying", "deleting", "rebooting", "starting", "syncing", "stopping")


class Paper:
    """Writes answers on stdout, and what is said on the side on stderr."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def answer(self, answer: Any, show: Callable[[], None]) -> None:
        """Write the answer as JSON when that was asked for; else show it."""
        if self.as_json:
            print(json.dumps(answer, indent=2))
        else:
            show()

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table, in as many columns as there are headings."""
        cells = [[text(value) for value in row] for row in rows]
        if _is_terminal(sys.stdout):
            _print_rich(headings, cells)
        else:
            print(columns([[heading.upper() for heading in headings], *cells]))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """A list of names and values; what has no value is left out."""
        cells = [[name, text(value)] for name, value in facts.items() if value is not None]
        if _is_terminal(sys.stdout):
            _print_rich(None, cells)
        else:
            print(columns(cells))

    def line(self, line: str = "") -> None:
        """A line of the answer."""
        print(printable(line), flush=True)

    def aside(self, line: str) -> None:
        """A line that is not part of the answer."""
        print(printable(line), file=sys.stderr, flush=True)

    @property
    def is_watched(self) -> bool:
        """Whether a person sees what is said on the side."""
        return _is_terminal(sys.stderr)


def text(value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "" or value == []:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return printable(str(value))


def printable(line: str) -> str:
    """The line without characters that would steer a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows with their columns under one another, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def style(cell: str) -> str:
    """The colour of a cell: green is well, red is not, yellow is on its way."""
    if cell.startswith(_UNDERWAY):
        return "yellow"
    return _STYLES.get(cell, "")


def time(moment: str | None, *, milliseconds: bool = False) -> str | None:
    """A moment of the REST API as people read it, in UTC."""
    if moment is None:
        return None
    from datetime import datetime

    shown = datetime.fromisoformat(moment)
    return shown.strftime("%Y-%m-%d %H:%M:%S") + (f".{shown.microsecond // 1000:03d}" if milliseconds else "")


def grid(headings: Sequence[str] | None, cells: Sequence[Sequence[str]]) -> Any:
    """A rich table in the form of all our tables."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=headings is not None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings or [""] * len(cells[0]):
        table.add_column(heading, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style(cell)) for cell in row))
    return table


def _print_rich(headings: Sequence[str] | None, cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console

    if headings or cells:
        Console().print(grid(headings, cells))


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()
