"""Log progress: how far the logs of all nodes were handed over, in memory and written through."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from dataclasses import dataclass

from api_schemas.agent.logs import EngineLogMark, SlowLogMark
from controlplane.delivery.rolling_file import Mark
from controlplane.store.log_cursors import LogCursor
from controlplane.store.store import Store


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one log of one node: up to where it was read, and how far a file has it, if one does."""

    slow: SlowLogMark | None = None
    engine: EngineLogMark | None = None
    file: Mark | None = None


class LogProgress:
    """Only whoever leads has any use for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Progress] = {}

    @property
    def is_any(self) -> bool:
        """Whether anything is known of any log."""
        return bool(self._known)

    def load(self) -> None:
        """Know what was written down."""
        with self._store.reading() as unit:
            cursors = unit.log_cursors.all()
        with self._lock:
            self._known = {(cursor.node, cursor.log_type): _read(cursor.document) for cursor in cursors}

    def of(self, node: str, log_type: str) -> Progress:
        """How far that log is."""
        with self._lock:
            return self._known.get((node, log_type), Progress())

    def put(self, moved: Collection[tuple[str, str, str, Progress]]) -> None:
        """Write down how far logs are now: by node, log type and the topology's uid. Raises as the store."""
        if not moved:
            return
        with self._store.transaction(leading=True) as unit:
            for node, log_type, topology, progress in moved:
                unit.log_cursors.put(LogCursor(node, log_type, topology, _written(progress)))
        with self._lock:
            self._known |= {(node, log_type): progress for node, log_type, _, progress in moved}

    def keep_only(self, kept: Collection[tuple[str, str]]) -> None:
        """Forget all other logs: they are of nodes that are gone, or are not delivered any more."""
        with self._lock:
            gone = self._known.keys() - kept
        if not gone:
            return
        with self._store.transaction(leading=True) as unit:
            for node, log_type in gone:
                unit.log_cursors.forget(node, log_type)
        with self._lock:
            for each in gone:
                self._known.pop(each, None)


def _written(progress: Progress) -> str:
    file = progress.file
    return json.dumps(
        {
            "slow": progress.slow.model_dump() if progress.slow else None,
            "engine": progress.engine.model_dump() if progress.engine else None,
            "file": [file.inode, file.size] if file else None,
        }
    )


def _read(document: str) -> Progress:
    told = json.loads(document)
    return Progress(
        SlowLogMark(**told["slow"]) if told["slow"] else None,
        EngineLogMark(**told["engine"]) if told["engine"] else None,
        Mark(*told["file"]) if told["file"] else None,
    )
