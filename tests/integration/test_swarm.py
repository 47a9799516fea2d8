"""The stack of ``deploy/swarm`` on three nodes. It takes a minute or two, so it is run on request: CACHEWRIGHT_TEST_SWARM=1."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import redis
from network import may_make_networks
from redis.backoff import NoBackoff
from redis.retry import Retry
from swarm import CALLERS, Swarm
from waiting import wait_until

from cachewright.resolver import Resolver

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.skipif(os.environ.get("CACHEWRIGHT_TEST_SWARM") != "1", reason="on request: CACHEWRIGHT_TEST_SWARM=1"),
    pytest.mark.slow,
]

STACK = Path(__file__).parents[2] / "deploy/swarm"
NODES = {"n1": "a", "n2": "b", "n3": "c"}
IMAGES = ("plane", "agent", "postgres", "valkey:8.1")


@pytest.fixture(scope="module")
def swarm(service_images: str) -> Iterator[Stack]:
    if not may_make_networks():
        pytest.skip("making network namespaces takes root")
    stack = Stack(Path(tempfile.mkdtemp(prefix="cw-swarm-", dir="/tmp")))  # a short path: it is the beginning of those of sockets
    try:
        stack.start(service_images)
        yield stack
    finally:
        stack.swarm.clear()


class Stack:
    """The stack as docs/swarm.md sets it up. The database is on the first node; that one is asked, unless it is lost."""

    def __init__(self, folder: Path) -> None:
        self.swarm = Swarm(folder, tuple(NODES))
        self.asked = "n1"

    def start(self, images: str) -> None:
        self.swarm.start()
        archive = self.swarm.folder / "images.tar"
        names = [f"cachewright/{name}" for name in IMAGES]
        subprocess.run(["docker", "--host", images, "save", "--output", str(archive), *names], check=True)
        self.swarm.load(archive)
        archive.unlink()
        for name, zone in NODES.items():
            self.docker("node", "update", "--label-add", f"cachewright.zone={zone}", name)
        self.docker("node", "update", "--label-add", "cachewright.database=true", "n1")
        self.docker("secret", "create", "cachewright-database-password", "-", given=secrets.token_hex(12))
        self.deploy("stack.yaml")
        wait_until(lambda: all(self.answers(name) for name in NODES), within=180)
        plane = self.docker("ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=cachewright_plane").split()[0]
        token = self.docker("exec", plane, "cachewright", "agent", "token", "create")
        self.docker("secret", "create", "cachewright-join-token", "-", given=token)
        self.deploy("agents.yaml")
        wait_until(lambda: len(self.heard()) == len(NODES), within=180)

    def deploy(self, file: str) -> None:
        planes = ",".join(f"https://{self.swarm.address(name)}:8380" for name in NODES)
        given = {"CACHEWRIGHT_DATABASE": self.swarm.address("n1"), "CACHEWRIGHT_POSTGRES_IMAGE": "cachewright/postgres:latest",
                 "CACHEWRIGHT_IMAGES": "local", "CACHEWRIGHT_JOIN": planes}  # fmt: skip
        self.docker("stack", "deploy", "--resolve-image", "never", "--compose-file", str(STACK / file), "cachewright", more=given)

    def docker(self, *words: str, **more: Any) -> str:
        return self.swarm.docker(self.asked, *words, **more)

    def answers(self, name: str) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{self.swarm.address(name)}:{CALLERS}/healthz", timeout=2).status_code == 200
        return False

    def ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"http://{self.swarm.address(self.asked)}:{CALLERS}{path}", timeout=5).json()
        return answer

    def heard(self) -> dict[str, str]:
        """The zone of each host whose agent is heard."""
        return {agent["host"]: agent["zone"] for agent in self.ask("/v1/agents").get("agents", []) if agent["heard"]}

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.ask("/v1/nodes").get("nodes", []))

    def engines(self) -> dict[str, tuple[str, str]]:
        """Which run of an engine each node is, and whose."""
        return {node["node"]: (node["agent"], node["run_id"]) for node in self.nodes()}

    def are_whole(self) -> bool:
        nodes = self.nodes()
        return len(self.heard()) == len(nodes) == 3 and all(node["in_sync"] for node in nodes)

    def client(self) -> Any:
        keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "local"}
        url = f"http://{self.swarm.address(self.asked)}:{CALLERS}"
        return boto3.client("elasticache", endpoint_url=url, region_name="us-east-1", **keys)

    def writes(self, name: str) -> bool:
        """Whether a write through that name, resolved anew, succeeds."""
        with suppress(OSError, redis.RedisError), self.connect(name) as client:
            return bool(client.set("k", "v"))
        return False

    def connect(self, name: str) -> redis.Redis:
        """Raises OSError where the name leads nowhere."""
        address = Resolver(self.swarm.address(self.asked), 8353, timeout=1).resolve(name)[0]
        return redis.Redis(address, 6379, socket_timeout=2, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))

    def containers(self, name: str, **labels: str) -> list[dict[str, Any]]:
        wanted = [word for label, value in labels.items() for word in ("--filter", f"label={label.replace('_', '.')}={value}")]
        ids = self.swarm.docker(name, "ps", "--quiet", *wanted).split()
        return list(json.loads(self.swarm.docker(name, "inspect", *ids))) if ids else []


def test_a_group_over_three_nodes_outlives_its_agents_and_the_loss_of_a_node(swarm: Stack) -> None:
    assert swarm.heard() == {"n1": "us-east-1a", "n2": "us-east-1b", "n3": "us-east-1c"}
    client = swarm.client()
    client.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1",
                                    CacheNodeType="cache.t4g.micro", PreferredCacheClusterAZs=["us-east-1b", "us-east-1a", "us-east-1c"],
                                    NumCacheClusters=3, AutomaticFailoverEnabled=True)  # fmt: skip
    client.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    group = client.describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]
    name = group["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    with swarm.connect(name) as primary:
        assert primary.set("greeting", "hello")
        assert primary.execute_command("WAIT", 2, 2000) == 2
    before = swarm.engines()
    assert len({agent for agent, _ in before.values()}) == 3

    # an agent ends: Swarm starts another, which adopts the engine
    (task,) = swarm.containers("n2", com_docker_swarm_service_name="cachewright_agent-b")
    os.kill(task["State"]["Pid"], signal.SIGKILL)
    wait_until(lambda: any(each["Id"] != task["Id"] for each in swarm.containers("n2", com_docker_swarm_service_name="cachewright_agent-b")), within=60)
    wait_until(swarm.are_whole, within=60)
    assert swarm.engines() == before
    with swarm.connect(name) as primary:
        assert primary.get("greeting") == b"hello"

    # a node is cut off: another has the primary, and Swarm finds out as well
    primary_on = next(node["zone"] for node in swarm.nodes() if node["role"] == "primary")
    lost = next(each for each, zone in NODES.items() if f"us-east-1{zone}" == primary_on)
    assert lost != "n1", "the database would be cut off too"
    swarm.swarm.network.cut(lost)
    wait_until(lambda: swarm.writes(name), within=60)
    with swarm.connect(name) as primary:
        assert primary.get("greeting") == b"hello"
    wait_until(lambda: f"{lost} Down" in swarm.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}"), within=60)
    swarm.swarm.network.join(lost)
    wait_until(swarm.are_whole, within=120)


def test_no_container_of_ours_has_more_rights_than_it_needs(swarm: Stack) -> None:
    (plane,) = swarm.containers("n3", com_docker_swarm_service_name="cachewright_plane")
    limits = plane["HostConfig"]
    assert (limits["ReadonlyRootfs"], limits["CapDrop"], limits["NetworkMode"]) == (True, ["ALL"], "host")
    assert plane["Config"]["User"] == "10001:10001"
