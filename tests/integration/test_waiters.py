"""Waiters that nobody has to wait for: a Describe of something in transition is answered when the transition is over.

The engine of these tests is a real Redis that starts when the test says so: a script on PATH holds it back until a file exists.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import wait_until

from cachewright import LocalServer, local_server

AFTER_THE_FACT = 1.5  # seconds; the promise of an unmodified waiter
AT_ONCE = 2.0  # seconds; a Describe that is held takes three

SCRIPT = """#!/bin/sh
case "$1" in --version) exec {engine} "$@" ;; esac
while [ ! -e {gate} ]; do sleep 0.01; done
exec {engine} "$@"
"""


class Gate:
    """Engines start while it is open, and wait while it is closed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "open"

    def open(self) -> None:
        self.file.touch()

    def close(self) -> None:
        self.file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalServer, Gate]]:
    """A server whose Redis starts only while the gate is open."""
    real = shutil.which("redis-server")
    if real is None:
        pytest.skip("no redis-server on PATH: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("slow")
    gate = Gate(folder)
    script = folder / "redis-server"
    script.write_text(SCRIPT.format(engine=real, gate=gate.file))
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        with local_server(options=["--runtime", "process"]) as running:  # the program that waits at the gate is one of this host
            yield running, gate


@pytest.fixture
def gate(slow: tuple[LocalServer, Gate]) -> Iterator[Gate]:
    """The gate, closed at the beginning of a test and opened at its end so that everything can settle."""
    slow[1].close()
    yield slow[1]
    slow[1].open()


@pytest.fixture
def account() -> str:
    return str(uuid.uuid4().int)[:12]


@pytest.fixture
def elasticache(slow: tuple[LocalServer, Gate], account: str, gate: Gate) -> Iterator[Any]:
    """A client in an account of the test's own, which is left empty."""
    client = slow[0].client(account_id=account)
    yield client
    gate.open()
    for group in client.describe_replication_groups()["ReplicationGroups"]:
        name = group["ReplicationGroupId"]
        with contextlib.suppress(client.exceptions.ReplicationGroupNotFoundFault):
            wait_until(lambda name=name: status(client, name) in ("available", "deleting"), within=30)  # type: ignore[misc]
            with contextlib.suppress(client.exceptions.InvalidReplicationGroupStateFault):
                client.delete_replication_group(ReplicationGroupId=name)
            client.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def create(client: Any, name: str, nodes: int = 2) -> Any:
    return client.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="d", Engine="redis", NumCacheClusters=nodes
    )["ReplicationGroup"]


def status(client: Any, name: str) -> str:
    return str(client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]["Status"])


def told_at(client: Any, message: str) -> float:
    """When the server wrote an event down: the moment of the fact."""
    events = wait_until(lambda: [event for event in client.describe_events()["Events"] if event["Message"] == message])
    return float(events[0]["Date"].timestamp())


class Waiting(threading.Thread):
    """A boto3 waiter in a thread; ``asked`` is set when its first request leaves, ``ended`` is when it returned."""

    def __init__(self, server: LocalServer, account: str, waiter: str, **fields: Any) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.ended = 0.0
        self.failed: Exception | None = None
        self._client = server.client(account_id=account)
        self._client.meta.events.register("before-send.elasticache", self._on_request)
        self._wait: Callable[[], None] = lambda: self._client.get_waiter(waiter).wait(**fields)

    def _on_request(self, **_: Any) -> None:
        self.asked.set()

    def run(self) -> None:
        try:
            self._wait()
        except Exception as failed:
            self.failed = failed
        self.ended = time.time()

    def begin(self) -> None:
        self.start()
        assert self.asked.wait(10)

    def returned(self) -> float:
        self.join(30)
        assert not self.is_alive() and self.failed is None, self.failed
        return self.ended


def test_a_create_answers_at_once(elasticache: Any) -> None:
    began = time.monotonic()
    assert create(elasticache, "g", nodes=3)["Status"] == "creating"
    assert time.monotonic() - began < AT_ONCE


def test_the_available_waiter_returns_when_the_group_is_available(slow: Any, account: str, gate: Gate, elasticache: Any) -> None:
    create(elasticache, "g")
    waiting = Waiting(slow[0], account, "replication_group_available", ReplicationGroupId="g")
    waiting.begin()
    gate.open()
    late = waiting.returned() - told_at(elasticache, "Replication group g created")
    assert -0.01 < late < AFTER_THE_FACT
    assert status(elasticache, "g") == "available"


def test_the_cluster_waiter_returns_when_the_cluster_is_available(slow: Any, account: str, gate: Gate, elasticache: Any) -> None:
    elasticache.create_cache_cluster(CacheClusterId="alone", Engine="redis")
    waiting = Waiting(slow[0], account, "cache_cluster_available", CacheClusterId="alone")
    waiting.begin()
    gate.open()
    assert waiting.returned() - told_at(elasticache, "Cache cluster created") < AFTER_THE_FACT
    said = elasticache.delete_cache_cluster(CacheClusterId="alone")["CacheCluster"]
    assert said["CacheClusterStatus"] == "deleting"
    elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId="alone")
    assert time.time() - told_at(elasticache, "Cache cluster deleted") < AFTER_THE_FACT


def test_a_delete_flips_to_deleting_before_it_returns(gate: Gate, elasticache: Any) -> None:
    gate.open()
    create(elasticache, "g", nodes=3)
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="g")
    began = time.monotonic()
    assert elasticache.delete_replication_group(ReplicationGroupId="g")["ReplicationGroup"]["Status"] == "deleting"
    assert time.monotonic() - began < AT_ONCE
    listed = elasticache.describe_replication_groups()["ReplicationGroups"]
    assert [group["Status"] for group in listed] in (["deleting"], [])
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId="g")
    assert time.time() - told_at(elasticache, "Replication group g deleted") < AFTER_THE_FACT


def test_the_aws_command_line_waits_no_longer_than_needed(slow: Any, account: str, gate: Gate, elasticache: Any) -> None:
    create(elasticache, "g")
    with _aws(slow[0], account, "wait", "replication-group-available", "--replication-group-id", "g") as command:
        assert command.stderr is not None
        assert any("Sending http request" in line for line in command.stderr)  # reads until it has asked
        gate.open()
        said = command.communicate(timeout=30)[1]
        ended = time.time()
    assert command.returncode == 0, said[-500:]
    # The interpreter's own end is no part of the wait.
    assert ended - told_at(elasticache, "Replication group g created") < AFTER_THE_FACT


@contextlib.contextmanager
def _aws(server: LocalServer, account: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = Path(sys.executable).with_name("aws")
    if not program.exists():
        pytest.skip("the aws command line is not installed: pip install awscli")
    keys = {"AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [str(program), "--debug", "--endpoint-url", server.url, "elasticache", *arguments]
    environment = {**os.environ, **keys, **nothing}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def test_a_describe_is_held_three_seconds_and_no_longer_when_nothing_changes(elasticache: Any) -> None:
    create(elasticache, "g")
    began = time.monotonic()
    assert status(elasticache, "g") == "creating"
    assert 2.5 < time.monotonic() - began < 6


def test_only_a_describe_of_one_resource_in_transition_is_held(gate: Gate, elasticache: Any) -> None:
    create(elasticache, "g")
    began = time.monotonic()
    assert [group["Status"] for group in elasticache.describe_replication_groups()["ReplicationGroups"]] == ["creating"]
    statuses = [cluster["CacheClusterStatus"] for cluster in elasticache.describe_cache_clusters()["CacheClusters"]]
    assert statuses == ["creating", "creating"]
    with pytest.raises(elasticache.exceptions.ReplicationGroupNotFoundFault):
        status(elasticache, "none-such")
    gate.open()
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="g")
    settled = time.monotonic()
    assert status(elasticache, "g") == "available"
    assert time.monotonic() - settled < AT_ONCE
    assert settled - began < 10


def test_many_held_describes_delay_nobody(slow: Any, account: str, gate: Gate, elasticache: Any) -> None:
    create(elasticache, "g")
    many = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=slow[0].url, headers={"X-Account-Id": account}, timeout=30, limits=many) as rest,
        ThreadPoolExecutor(40) as pool,
    ):
        held = [pool.submit(rest.get, "/v1/replication-groups/g", headers={"Prefer": "wait=20"}) for _ in range(40)]
        wait_until(lambda: all(future.running() for future in held))
        began = time.monotonic()
        assert elasticache.describe_replication_groups()["ReplicationGroups"]
        assert time.monotonic() - began < AT_ONCE
        assert not any(future.done() for future in held)
        gate.open()
        assert {future.result(30).json()["replication_group"]["status"] for future in held} == {"available"}
        assert time.time() - told_at(elasticache, "Replication group g created") < AFTER_THE_FACT


def test_a_reboot_is_seen_and_waited_for(gate: Gate, slow: Any, account: str, elasticache: Any) -> None:
    gate.open()
    create(elasticache, "g")
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="g")
    gate.close()
    said = elasticache.reboot_cache_cluster(CacheClusterId="g-002", CacheNodeIdsToReboot=["0001"])["CacheCluster"]
    assert said["CacheClusterStatus"] == "rebooting cache cluster nodes"
    members = elasticache.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    assert [member["CacheClusterStatus"] for member in members] == ["available", "rebooting cache cluster nodes"]
    assert members[1]["CacheNodes"][0]["CacheNodeStatus"] == "rebooting cache cluster nodes"
    assert status(elasticache, "g") == "available"
    waiting = Waiting(slow[0], account, "cache_cluster_available", CacheClusterId="g-002")
    waiting.begin()
    gate.open()
    assert waiting.returned() - told_at(elasticache, "Cache node 0001 restarted") < AFTER_THE_FACT


def test_rest_waits_as_long_as_the_caller_prefers(slow: Any, account: str, gate: Gate) -> None:
    headers = {"X-Account-Id": account}
    body = {"replication_group_id": "g", "replication_group_description": "d", "engine": "redis", "num_cache_clusters": 2}
    with httpx.Client(base_url=f"{slow[0].url}/v1", headers=headers, timeout=40) as rest:
        began = time.monotonic()
        created = rest.post("/replication-groups", json=body, headers={"Prefer": "wait=1"})
        assert 0.9 < time.monotonic() - began < 15  # and not the 30 and more that could be asked for
        assert (created.status_code, created.json()["replication_group"]["status"]) == (202, "creating")
        began = time.monotonic()
        shown = rest.get("/replication-groups/g", headers={"Prefer": "wait=1"}).json()
        assert 0.9 < time.monotonic() - began < 15  # and not the 30 and more that could be asked for
        assert shown["replication_group"]["status"] == "creating"
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(rest.get, "/replication-groups/g", headers={"Prefer": "wait=30"})
            gate.open()
            assert held.result(30).json()["replication_group"]["status"] == "available"
        gone = rest.delete("/replication-groups/g", headers={"Prefer": "respond-async, wait=30"})
        assert (gone.status_code, gone.json()["replication_group"]["status"]) == (200, "deleted")
        assert rest.get("/replication-groups/g").status_code == 404
        whole = rest.post("/replication-groups", json=body, headers={"Prefer": "wait=30"})
        assert (whole.status_code, whole.json()["replication_group"]["status"]) == (200, "available")
        assert whole.json()["replication_group"]["node_groups"][0]["primary_endpoint"]["port"] == 6379
        assert rest.delete("/replication-groups/g", headers={"Prefer": "wait=30"}).status_code == 200
