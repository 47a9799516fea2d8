"""A server on a data folder of its own that a test starts, kills and starts again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from agents.ground import runtimes_of
from agents.runtimes.runtime import Handle
from cachewright import client
from cachewright.data_folder import DataFolder, end_processes

READY = re.compile(r"ready at (http://\S+)")


class Server:
    """A server on a data folder that is started, killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, *program: str) -> None:
        """Run it, by another ``program`` than the command if one is given."""
        run = program or ("-m", "cachewright")
        command = [sys.executable, *run, "serve", "--data-dir", str(self.folder), "--port", "0", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        found = READY.search(self.process.stdout.readline())
        assert found is not None
        self.url = found[1]

    def end(self, how: signal.Signals) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        self.process.wait(60)
        self.process.stdout.close()

    def clear(self) -> None:
        """Nothing of it is left, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        end_processes(self.folder)
        DataFolder(self.folder).remove()

    def api(self) -> Any:
        return client(endpoint_url=self.url)

    def processes(self) -> list[Handle]:
        """Every engine and relay process that any agent of this folder started and that runs."""
        found = []
        for folder in sorted((self.folder / "agents").glob("*")):
            with runtimes_of(folder) as runtimes:
                found += [handle for runtime in runtimes for handle in runtime.strays([])]
        return found

    def engines(self) -> list[Handle]:
        return [handle for handle in self.processes() if handle.key != "relay"]

    def create(self, **wanted: Any) -> None:
        group = {"ReplicationGroupId": "orders", "ReplicationGroupDescription": "d", "NumCacheClusters": 3, "Engine": "valkey"}
        self.api().create_replication_group(**group | {"AutomaticFailoverEnabled": True} | wanted)

    def create_sharded(self) -> None:
        """The group with two shards of two nodes instead."""
        shards = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1}
        self.api().create_replication_group(
            ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1", **shards
        )

    def available(self) -> dict[str, Any]:
        self.api().get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
        return self.group()

    def group(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api().describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]
        return found
