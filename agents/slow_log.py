"""The slow log of a node: read from its engine over a connection that is kept, with no argument of any command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import own_reach
from agents.engines.talk import Talk
from api_schemas.agent.logs import SlowEntry, SlowLogMark
from api_schemas.agent.node import NodeSpec

MOST = 512
"""Entries that are read at once. An engine keeps 128 where nobody asks for more."""

_NAME = b"cachewright-logs"
_PATIENCE = 0.5  # seconds for an answer
_MORE = re.compile(rb"\.\.\. \((\d+) more arguments\)")
_RUN_ID = re.compile(rb"^run_id:(\w+)", re.MULTILINE)
_LONGEST = 100  # characters of a command's name


class SlowLogReader:
    """Asks one engine for its slow log. For one thread at a time."""

    def __init__(self, spec: NodeSpec) -> None:
        self.reach = own_reach(spec)
        self._talk: Talk | None = None
        self._run_id = ""

    def read(self, mark: SlowLogMark, since: float) -> tuple[list[SlowEntry], SlowLogMark, int]:
        """The entries after the mark, oldest first; the new mark; how many in between the engine no longer has.

        Raises EngineUnreachableError.
        """
        kept = self._talk is not None
        try:
            entries = self._ask()
        except EngineUnreachableError:
            self.close()
            if not kept:
                raise
            entries = self._ask()  # it may have sent all its clients away since
        first = mark.next_id if mark.run_id == self._run_id else 0
        new = sorted((entry for entry in entries if entry[0] >= first), key=lambda entry: entry[0])
        newest = new[-1][0] + 1 if new else first
        lost = new[0][0] - first if new and mark.run_id else 0
        told = [_told(entry) for entry in new if entry[1] >= int(since) and not _is_ours(entry)]
        return told, SlowLogMark(run_id=self._run_id, next_id=newest), lost

    def close(self) -> None:
        """Hang up."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None

    def _ask(self) -> list[Any]:
        if self._talk is None:
            self._talk = Talk(self.reach, patience=_PATIENCE)
            named, info = self._talk.each([("CLIENT", "SETNAME", _NAME), ("INFO", "server")])
            found = _RUN_ID.search(info) if isinstance(info, bytes) else None
            if isinstance(named, Exception) or found is None:
                self.close()
                raise EngineUnreachableError(f"it does not say which run it is: {info if isinstance(info, Exception) else named}")
            self._run_id = found[1].decode()
        entries = self._talk.say("SLOWLOG", "GET", MOST)
        return [entry for entry in entries if isinstance(entry, list) and len(entry) >= 4]


def masked(arguments: Sequence[bytes]) -> str:
    """A command with no more than its name, and how many arguments it had: they may be keys, values or passwords."""
    if not arguments:
        return ""
    number = len(arguments) - 1
    if number and (cut := _MORE.fullmatch(arguments[-1])):
        number += int(cut[1]) - 1
    name = arguments[0].decode(errors="replace")[:_LONGEST]
    return f"{name} ... ({number} more arguments)" if number else name


def _told(entry: list[Any]) -> SlowEntry:
    address, name = (entry[place].decode(errors="replace") if len(entry) > place else "" for place in (4, 5))
    return SlowEntry(id=entry[0], at=entry[1], took=entry[2], command=masked(entry[3]), client_address=address, client_name=name)


def _is_ours(entry: list[Any]) -> bool:
    """Whether it is about our asking for the slow log."""
    return len(entry) > 5 and entry[5] == _NAME
