"""An agent's data folder: locked while the agent runs, and it knows which agent it is the folder of."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path

_NUMBER_OF_A = 101


class FolderRefusedError(Exception):
    """The folder cannot be this agent's; the text says why and what to do."""


class AgentFolder:
    """A data folder that this process has locked. The lock goes with the process, however it ends; engines do not inherit it."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and lock it. Raises FolderRefusedError."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path.resolve()
        self._lock = open(self.path / "agent.lock", "a+")  # noqa: SIM115, PTH123 - held open until the process ends
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            self._lock.seek(0)
            owner = self._lock.read().strip()
            self._lock.close()
            told = f"another agent (pid {owner}) runs on {self.path}; stop it or choose another --data-dir"
            raise FolderRefusedError(told) from held
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def name_for(self, zone: str, name: str | None) -> str:
        """The agent's name, the same at every start: the one given, or one made up at the first start.

        The engines in a folder are known to the control plane as those of one agent in one zone, so another name or zone
        raises FolderRefusedError.
        """
        kept = self.path / "agent.json"
        if not kept.exists():
            chosen = name or f"agent-{zone}-{secrets.token_hex(3)}"
            fresh = kept.with_suffix(".new")
            fresh.write_text(json.dumps({"name": chosen, "zone": zone}))
            fresh.replace(kept)
            return chosen
        known: dict[str, str] = json.loads(kept.read_text())
        for option, asked in (("name", name), ("zone", zone)):
            if asked not in (None, known[option]):
                raise FolderRefusedError(
                    f"{self.path} is the folder of agent {known['name']} in zone {known['zone']}, not of {option} {asked}; "
                    f"give that --{option} or choose another --data-dir"
                )
        return known["name"]

    def close(self) -> None:
        """Let another agent have the folder."""
        self._lock.close()


def network_of(zone: str, block: int) -> str:
    """The addresses of a zone's nodes: 127.101 for letter a, 127.102 for b and so on, and in it the block."""
    return f"127.{_NUMBER_OF_A + ord(zone[-1]) - ord('a')}.{block}.0/24"
