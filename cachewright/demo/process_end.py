"""When a process ends, as the kernel tells it."""

from __future__ import annotations

import os
import select
import threading
from datetime import datetime

from cachewright.demo.clock import now


class ProcessEnd:
    """Watches a process of this machine; ``at`` is when it ended, None as long as it runs."""

    def __init__(self, process_id: int, within: float) -> None:
        self.at: datetime | None = None
        self._within = within
        self._descriptor = os.pidfd_open(process_id)
        threading.Thread(target=self._watch, name="demo-process-end", daemon=True).start()

    def _watch(self) -> None:
        """A descriptor of a process becomes readable with its end."""
        ended, _, _ = select.select([self._descriptor], [], [], self._within)
        if ended:
            self.at = now()
        os.close(self._descriptor)
