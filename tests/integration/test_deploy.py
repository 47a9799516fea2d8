"""What ``deploy`` ships: the images are built and run, and the files for other people's tools say what the programs understand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import docker_engine
import httpx
import pytest
import redis
import yaml
from ports import free_port
from waiting import wait_until

from agents.address_block import block_of, give_back

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"


# ---- images and compose.yaml


class Composed:
    """The services of compose.yaml, at ports and addresses that nobody else has."""

    def __init__(self, url: str, folder: Path) -> None:
        self.docker = url
        self.folder = folder
        self.port = free_port()
        self.settings = {
            "DOCKER_HOST": url, "COMPOSE_PROJECT_NAME": "composed", "CACHEWRIGHT_POSTGRES_IMAGE": "cachewright/postgres:latest",
            "CACHEWRIGHT_PORT": str(self.port), "CACHEWRIGHT_AGENTS_PORT": str(free_port()), "CACHEWRIGHT_BLOCK": str(block_of(folder)),
        }  # fmt: skip

    def run(self, *words: str) -> str:
        done = subprocess.run(["docker-compose", "-f", COMPOSE, *words], env=os.environ | self.settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self) -> Any:
        keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "local"}
        return boto3.client("elasticache", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", **keys)

    def zones(self) -> list[str]:
        """The zones whose agents are heard."""
        found = httpx.get(f"http://127.0.0.1:{self.port}/v1/agents").json()["agents"]
        return sorted(agent["zone"][-1] for agent in found if agent["heard"])

    def nodes(self) -> list[dict[str, Any]]:
        return list(httpx.get(f"http://127.0.0.1:{self.port}/v1/nodes").json()["nodes"])

    def left(self) -> list[str]:
        """The names of this project's containers and volumes."""
        listed = [["container", "ls", "--all"], ["volume", "ls"]]
        mine = ["--filter", "label=com.docker.compose.project=composed", "--quiet"]
        return [name for words in listed for name in subprocess.check_output(["docker", "-H", self.docker, *words, *mine], text=True).split()]


@pytest.fixture(scope="module")
def composed(service_images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed (scripts/system-packages)")
    folder = tmp_path_factory.mktemp("composed")
    services = Composed(service_images, folder)
    try:
        services.run("up", "--detach", "--no-build")
        wait_until(lambda: services.zones() == ["a", "b", "c"], within=60)
        yield services
    finally:
        services.run("down", "--volumes", "--timeout", "20")
        give_back(folder)
    assert services.left() == []


@pytest.mark.xdist_group("docker")
def test_the_composed_services_are_a_cache_service_that_heals(composed: Composed) -> None:
    client = composed.client()
    client.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", NumCacheClusters=3,
                                    AutomaticFailoverEnabled=True)  # fmt: skip
    client.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    shard = client.describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]["NodeGroups"][0]
    with redis.Redis(shard["PrimaryEndpoint"]["Address"], shard["PrimaryEndpoint"]["Port"]) as primary:
        assert primary.set("greeting", "hello")
        assert primary.execute_command("WAIT", 2, 2000) == 2
    with redis.Redis(shard["ReaderEndpoint"]["Address"], shard["ReaderEndpoint"]["Port"]) as reader:
        assert reader.get("greeting") == b"hello"
    client.create_snapshot(ReplicationGroupId="orders", SnapshotName="monday")  # from an agent's container through a volume to the plane's
    wait_until(lambda: client.describe_snapshots()["Snapshots"][0]["SnapshotStatus"] == "available", within=60)
    former = next(node["zone"] for node in composed.nodes() if node["role"] == "primary")
    composed.run("kill", f"agent-{former[-1]}")  # an agent's engines are in its container, and end with it
    wait_until(lambda: writes(shard["PrimaryEndpoint"]), within=30)
    with redis.Redis(shard["PrimaryEndpoint"]["Address"], shard["PrimaryEndpoint"]["Port"]) as primary:
        assert primary.get("greeting") == b"hello"
    composed.run("start", f"agent-{former[-1]}")
    wait_until(lambda: len(nodes := composed.nodes()) == 3 and all(node["in_sync"] for node in nodes), within=60)


@pytest.mark.xdist_group("docker")
def test_what_runs_of_ours_may_do_nothing_but_its_work(composed: Composed) -> None:
    mine = docker_engine.containers(composed.docker, label="com.docker.compose.project=composed")
    assert len(mine) == 5
    for container in mine:
        limits, ours = container["HostConfig"], "cachewright/postgres" not in container["Config"]["Image"]
        assert (limits["ReadonlyRootfs"], limits["CapDrop"], limits["SecurityOpt"]) == (True, ["ALL"], ["no-new-privileges:true"])
        assert limits["RestartPolicy"]["Name"] == "unless-stopped"
        assert limits["NetworkMode"] == ("host" if ours else "none")
        assert container["Config"]["User"] == ("10001:10001" if ours else "999:999")
    wait_until(lambda: all(each["State"]["Health"]["Status"] == "healthy" for each in docker_engine.containers(
        composed.docker, label="com.docker.compose.project=composed")), within=60)  # fmt: skip


# ---- the workflow for GitHub Actions

USES_A_CACHE = """
import boto3, redis
def test_a_cache():
    elasticache = boto3.client("elasticache")
    elasticache.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", NumCacheClusters=2,
                                         AutomaticFailoverEnabled=True)
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    group = elasticache.describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]
    place = group["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(place["Address"], place["Port"]) as client:
        assert client.set("k", "v")
"""
ASKS_ONLY = """
import boto3
def test_it_answers():  # in a container it does not know which loopback addresses others on this machine have claimed
    assert boto3.client("elasticache").describe_replication_groups()["ReplicationGroups"] == []
"""


def run_job(name: str, project: Path, **more: str) -> None:
    """Run the job's commands one by one, as a runner does; what is installed here stands in for what it would install."""
    workflow = yaml.safe_load((DEPLOY / "github-actions/cachewright.yaml").read_text())
    job, port = workflow["jobs"][name], str(free_port())
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CACHEWRIGHT_", "AWS_", "PYTEST_"))}
    given = {key: value.replace("8379", port) for key, value in (workflow["env"] | job.get("env", {})).items()}
    variables = clean | given | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(project)} | more
    for step in job["steps"]:
        if "run" not in step or step.get("if") == "failure()":
            continue
        if step["name"] == "Install":
            assert step["run"].startswith("python -m pip install ")
            continue
        with (project / "said").open("a") as log:  # not a pipe, which what goes on in the background would hold open
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], cwd=project, env=variables, stdout=log, stderr=log, timeout=120)
        assert done.returncode == 0, (project / "said").read_text()


def test_the_workflow_gives_a_project_a_cache(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(USES_A_CACHE)
    try:
        run_job("installed", tmp_path)
    finally:
        served = [pid for pid in processes_in(tmp_path) if b"serve" in (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")]
        for pid in served:  # where a runner's machine would simply be thrown away
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not processes_in(tmp_path), within=30)
    assert len(served) == 1


@pytest.mark.xdist_group("docker")
def test_the_workflow_gives_a_project_a_cache_service_in_a_container(service_images: str, tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(ASKS_ONLY)
    try:
        run_job("in-a-container", tmp_path, DOCKER_HOST=service_images)
    finally:
        subprocess.run(["docker", "--host", service_images, "rm", "--force", "cachewright"], check=True, capture_output=True)


def processes_in(folder: Path) -> list[int]:
    """What runs with that working directory, or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder) and (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


# ---- systemd

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_program_with_options_that_it_has(unit: Path) -> None:
    words = shlex.split(re.findall(r"^ExecStart=/opt/cachewright/bin/(.*)$", unit.read_text(), re.MULTILINE)[0])
    options = [word for word in words if word.startswith("--")]
    program = words[: words.index(options[0])]
    told = subprocess.run([Path(sys.executable).parent / program[0], *program[1:], "--help"], capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert [option for option in options if option not in told.stdout] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    installed = tmp_path / unit.name.replace("@.", "@us-east-1b.")
    installed.write_text(unit.read_text().replace("/opt/cachewright/bin/", f"{Path(sys.executable).parent}/"))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", installed], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def writes(place: Mapping[str, Any]) -> bool:
    try:
        with redis.Redis(place["Address"], place["Port"], socket_timeout=1, retry=None) as client:
            return bool(client.set("k", "v"))
    except redis.RedisError:
        return False

