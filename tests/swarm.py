"""A Docker Swarm on one machine: several dockerd, each in a network namespace with a host's name and folders of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker_engine
from docker.errors import DockerException
from network import Host, Network
from waiting import wait_until

DOORWAY = Path(__file__).with_name("doorway.py")
CALLERS = 8379
SEEN_INSIDE = (Path("/etc/cachewright"), Path("/var/lib/cachewright"))
"""Folders that each node has its own of, at the places that the stack names."""


class Swarm:
    """Managers in one swarm, over one folder, which must have a short name."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names
        self.network = Network()
        self._daemons: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._doorways: list[subprocess.Popen[bytes]] = []
        self._made = [place for place in SEEN_INSIDE if not place.exists()]

    def start(self) -> None:
        for place in self._made:
            place.mkdir(parents=True)
        self.network.add_this_machine("10.78.0.1/16")
        for number, name in enumerate(self.names, start=1):
            host = self.network.add(name, f"10.78.{number}.1/16", tuple(f"10.78.{number}.{last}" for last in range(17, 31)))
            self._start_daemon(name, host, number)
            self._doorways.append(subprocess.Popen([*host.inside, sys.executable, str(DOORWAY), host.address, str(CALLERS)]))
        for name, daemon in self._daemons:
            wait_until(lambda name=name, daemon=daemon: docker_engine.answers(self._socket(name)) or daemon.poll() is not None, 60)  # type: ignore[misc]
            if daemon.poll() is not None:
                raise docker_engine.NoEngineError(f"dockerd ended: {(self.folder / name / 'log').read_text()[-500:]}")
        first = self.names[0]
        self.docker(first, "swarm", "init", "--advertise-addr", self.address(first))
        token = self.docker(first, "swarm", "join-token", "--quiet", "manager").strip()
        for name in self.names[1:]:
            self.docker(name, "swarm", "join", "--advertise-addr", self.address(name), "--token", token, f"{self.address(first)}:2377")

    def load(self, archive: Path) -> None:
        """Have every node hold the images of an archive."""
        with ThreadPoolExecutor() as together:
            list(together.map(lambda name: self.docker(name, "load", "--quiet", "--input", str(archive)), self.names))

    def docker(self, name: str, *words: str, given: str | None = None, more: dict[str, str] | None = None) -> str:
        """What the docker command says about that node."""
        command = ["docker", "--host", f"unix://{self._socket(name)}", *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"} | (more or {}))
        assert done.returncode == 0, f"{words}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        return done.stdout

    def address(self, name: str) -> str:
        return self.network.hosts[name].address

    def clear(self) -> None:
        with ThreadPoolExecutor() as together:
            list(together.map(self._end, self._daemons))
        for doorway in self._doorways:
            doorway.kill()
            doorway.wait()
        self.network.clear()
        for name in self.names:
            docker_engine.clear(self.folder / name)
        shutil.rmtree(self.folder, ignore_errors=True)
        for place in self._made:
            place.rmdir()

    def _end(self, node: tuple[str, subprocess.Popen[bytes]]) -> None:
        name, daemon = node
        with contextlib.suppress(AssertionError):
            self.docker(name, "swarm", "leave", "--force")  # no task is started anew from here on
        with contextlib.suppress(DockerException, OSError):
            docker_engine.end_containers(f"unix://{self._socket(name)}")
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)

    def _socket(self, name: str) -> Path:
        return self.folder / name / "docker.sock"

    def _start_daemon(self, name: str, host: Host, number: int) -> None:
        """Not by ``ip netns exec``, which mounts another /sys, where dockerd finds no control groups."""
        place = self.folder / name
        for part in ("etc", "lib"):
            (place / part).mkdir(parents=True)
        (place / "etc/node.env").write_text(f"ADDRESS={host.address}\nNETWORK=10.78.{number}.16/28\n")
        daemon = (f"dockerd --data-root={place}/data --exec-root={place}/exec --pidfile={place}/pid --host=unix:///run/docker.sock "
                  f"--host=unix://{place}/docker.sock")  # fmt: skip
        own = f"mount -t tmpfs run /run; mount --bind {place}/etc /etc/cachewright; mount --bind {place}/lib /var/lib/cachewright"
        words = ["nsenter", f"--net=/run/netns/{host.namespace}", "unshare", "--uts", "--mount", "--propagation", "private",
                 "sh", "-euc", f"hostname {name}; {own}; exec {daemon}"]  # fmt: skip
        with (place / "log").open("w") as log:
            self._daemons.append((name, subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)))
