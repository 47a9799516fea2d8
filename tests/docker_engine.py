"""A Docker Engine of the tests' own, with engine images that need no registry. It changes nothing of the host's network."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import DockerException, NotFound
from ports import free_port
from waiting import wait_until

ROOT = Path(__file__).parents[1]


class NoEngineError(Exception):
    """No Docker Engine can be started here; the text says why."""


def must_be_startable() -> None:
    """Raises NoEngineError."""
    if os.geteuid() != 0:
        raise NoEngineError("starting a Docker Engine takes root")
    missing = [program for program in ("dockerd", "containerd", "runc", "docker") if shutil.which(program) is None]
    if missing:
        raise NoEngineError(f"not installed: {', '.join(missing)} (scripts/system-packages)")


@contextmanager
def started() -> Iterator[str]:
    """The address of an engine that runs until the end of the block, with the images of ``deploy/images``. Raises NoEngineError."""
    must_be_startable()
    folder = Path(tempfile.mkdtemp(prefix="cw-docker-", dir="/tmp"))  # a short path: it is the beginning of those of sockets
    url = f"unix://{folder}/docker.sock"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host={url}"]
    apart = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(["dockerd", *places, *apart], stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answers(folder / "docker.sock") or daemon.poll() is not None, 60)
        if daemon.poll() is not None:
            raise NoEngineError(f"dockerd ended: {(folder / 'log').read_text()[-500:]}")
        have_images(url)
        yield url
    finally:
        with suppress(DockerException, OSError):
            end_containers(url)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        clear(folder)


def have_images(url: str) -> None:
    """The images of ``deploy/images``, made once for a version of that program and kept for later runs; of several at a time one makes them."""
    build = ROOT / "deploy/images/build"
    kept = Path(tempfile.gettempdir()) / f"cachewright-test-images-{hashlib.sha256(build.read_bytes()).hexdigest()[:12]}"
    kept.mkdir(exist_ok=True)
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run([sys.executable, build, "--keep", kept], env=os.environ | {"DOCKER_HOST": url}, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def have_service_images(url: str) -> None:
    """The images of compose.yaml and the stack, of the sources as they are. What must be downloaded for them is kept for later runs."""
    makes, parts = ROOT / "deploy/images/services", ("deploy/Dockerfile", "deploy/images/build", "deploy/images/postgres-entrypoint", "pyproject.toml")
    made_of = makes.read_bytes() + b"".join((ROOT / part).read_bytes() for part in parts)
    kept = Path(tempfile.gettempdir()) / f"cachewright-test-services-{hashlib.sha256(made_of).hexdigest()[:12]}"
    kept.mkdir(exist_ok=True)
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = [sys.executable, makes, "--keep", kept, "postgres", "plane", "agent", "serve"]
        made = subprocess.run(words, env=os.environ | {"DOCKER_HOST": url}, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def clear(folder: Path) -> None:
    """Remove the folder with what an engine that has ended leaves mounted there."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((each for each in mounted if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", place], check=False)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def chosen(url: str) -> Iterator[None]:
    """Every server and agent that is started in the block has its engines in containers of that Docker."""
    choice = {"RUNTIME": "docker", "IMAGES": "local"}
    settings = {f"{program}_{name}": value for program in ("CACHEWRIGHT", "CACHEWRIGHT_AGENT") for name, value in choice.items()}
    former = dict(os.environ)
    os.environ.update(settings | {"DOCKER_HOST": url})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


@contextmanager
def everywhere(runtime: str) -> Iterator[None]:
    """Every server and agent that is started in the block has that runtime."""
    if runtime != "docker":
        yield
        return
    with started() as url, chosen(url):
        yield


def answers(path: Path) -> bool:
    """Whether somebody answers at that socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
            asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in asking.recv(100)
        except OSError:
            return False


def containers(url: str, **filters: Any) -> list[dict[str, Any]]:
    """Every container there, ended ones too, as inspected."""
    client = APIClient(url, version="auto")
    try:
        found = []
        for each in client.containers(all=True, filters=filters):
            with suppress(NotFound):  # removed since
                found.append(client.inspect_container(each["Id"]))
        return found
    finally:
        client.close()


def end_containers(url: str) -> None:
    client = APIClient(url, version="auto")
    for each in client.containers(all=True):
        client.remove_container(each["Id"], force=True)
    client.close()


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """``host:port`` of a registry of the tests' own, empty at first."""
    place = f"127.0.0.1:{free_port()}"
    settings = folder / "registry.yml"
    settings.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\nhttp: {{addr: '{place}'}}\n")
    with (folder / "registry.log").open("w") as log:
        serving = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log)
    try:
        host, port = place.split(":")
        wait_until(lambda: serving.poll() is not None or listens(host, int(port)), 30)
        assert serving.poll() is None, (folder / "registry.log").read_text()[-1000:]
        yield place
    finally:
        serving.terminate()
        serving.wait(30)


def listens(host: str, port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((host, port)) == 0


def put(url: str, image: str, name: str) -> None:
    """Have a registry hold an image of the engine under another name, and the engine not."""
    client = APIClient(url, version="auto")
    repository, _, tag = name.rpartition(":")
    client.tag(image, repository, tag)
    said = client.push(repository, tag)
    assert "errorDetail" not in said, said
    client.remove_image(name)
    client.close()
