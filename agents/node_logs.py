"""The logs of an agent's nodes, for who asks: nothing is read of a node that nobody asks about, and nothing of it is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from agents.engine_log import read_engine_log
from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import own_reach
from agents.slow_log import SlowLogReader
from api_schemas.agent.logs import LogsWanted, NodeLogs, NodeLogsWanted
from api_schemas.agent.node import NodeSpec

LARGEST = 2 << 20
"""Characters of messages in one answer, after which the other nodes have to wait for the next."""

_LOGGING = ("valkey", "redis")


class LogReaders:
    """Reads for one asker at a time. ``spec_of`` answers what a node is, None for one that is not here; ``folder`` is the agent's."""

    def __init__(self, folder: Path, spec_of: Callable[[str], NodeSpec | None]) -> None:
        self._folder = folder / "nodes"
        self._spec_of = spec_of
        self._reading = threading.Lock()
        self._slow: dict[str, SlowLogReader] = {}

    def read(self, wanted: LogsWanted) -> list[NodeLogs]:
        """What has come to the logs of those nodes."""
        told: list[NodeLogs] = []
        size = 0
        with self._reading:
            self._hang_up({each.key for each in wanted.nodes if each.slow is not None})
            for asked in wanted.nodes:
                spec = self._spec_of(asked.key)
                if size > LARGEST:
                    told.append(NodeLogs(key=asked.key, more=True))
                elif spec is not None and spec.binary.engine in _LOGGING:
                    found = self._of(spec, asked)
                    size += sum(len(line.message) + 100 for line in found.engine) + 200 * len(found.slow)
                    told.append(found)
        return told

    def close(self) -> None:
        """Hang up on every engine."""
        with self._reading:
            self._hang_up(set())

    def _of(self, spec: NodeSpec, asked: NodeLogsWanted) -> NodeLogs:
        found = NodeLogs(key=asked.key)
        if asked.engine is not None:
            in_utc = spec.binary.image is not None  # whatever the host's time is, a container has none of it
            read = read_engine_log(self._folder / spec.key, asked.engine, asked.engine_since, in_utc=in_utc)
            found = found.model_copy(
                update={"engine": read.lines, "engine_mark": read.mark, "engine_lost": read.lost, "more": read.more}
            )
        if asked.slow is None:
            return found
        try:
            entries, mark, lost = self._reader(spec).read(asked.slow, asked.slow_since)
        except EngineUnreachableError as failed:
            return found.model_copy(update={"problem": str(failed)})
        return found.model_copy(update={"slow": entries, "slow_mark": mark, "slow_lost": lost})

    def _reader(self, spec: NodeSpec) -> SlowLogReader:
        known = self._slow.get(spec.key)
        if known is None or known.reach != own_reach(spec):
            if known is not None:
                known.close()
            known = self._slow[spec.key] = SlowLogReader(spec)
        return known

    def _hang_up(self, wanted: set[str]) -> None:
        """On those of whom nobody wants the slow log any more."""
        for key in self._slow.keys() - wanted:
            self._slow.pop(key).close()
