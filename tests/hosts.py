"""Five hosts with an agent each, three control planes and their database, each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import redis
from deployment import PORT, Program
from network import Host, Network, free_network
from postgres import Postgres, postgres_server
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import wait_until

from agents.runtimes.process import ProcessRuntime
from cachewright.resolver import Resolver

DOORWAY = Path(__file__).with_name("doorway.py")
CALLERS, AGENTS, NAMES = 8379, 8380, 8353
LOST_AFTER = 4.0
ZONES = {"a1": "us-east-1a", "a2": "us-east-1a", "b1": "us-east-1b", "b2": "us-east-1b", "c1": "us-east-1c"}
PLANES = ("p1", "p2", "p3")


class Hosts:
    """Everything, over one folder. What runs on a host that is cut off goes on."""

    def __init__(self, folder: Path, lost_after: float = LOST_AFTER) -> None:
        """``lost_after`` is how many seconds a host is silent until its nodes move to another one."""
        self.folder = folder
        self.token = folder / "token"
        self._lost_after = lost_after
        self._net = free_network()
        self.network = Network()
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.network.clear)
        self._http = self._stack.enter_context(httpx.Client(timeout=5, limits=httpx.Limits(max_keepalive_connections=0)))
        self.planes: dict[str, Program] = {}
        self.agents: dict[str, Program] = {}
        self._clients: dict[str, Any] = {}

    def start(self) -> None:
        self.network.add_this_machine(f"{self._net}.0.1/16")
        database = self.network.add("db", f"{self._net}.100.1/16")
        self.postgres: Postgres = self._stack.enter_context(postgres_server(database.address, database.inside))
        self.planes = {name: self._plane(name, f"{self._net}.{number}.1") for number, name in enumerate(PLANES, start=101)}
        self.agents = {name: self._agent(name, number) for number, name in enumerate(ZONES, start=1)}
        self.database = self.postgres.database()
        for name in PLANES:
            self.start_plane(name)
        for agent in self.agents.values():
            agent.start()
        wait_until(self.all_are_heard, within=60)

    def start_plane(self, name: str) -> None:
        self.planes[name].start("--database-url", self.database)

    def start_agent(self, name: str) -> None:
        self.agents[name].start()

    def clear(self) -> None:
        for program in (*self.planes.values(), *self.agents.values()):
            program.end(signal.SIGKILL)
        for agent in self.agents.values():
            runtime = ProcessRuntime(agent.folder)
            for stray in runtime.strays([]):
                runtime.kill(stray)
            runtime.close()
        self._stack.close()
        for program in (*self.planes.values(), *self.agents.values()):
            shutil.rmtree(program.folder, ignore_errors=True)  # what it said is beside it, and stays

    # ---- callers, who may ask any control plane

    def url(self, plane: str) -> str:
        return f"http://{self.network.hosts[plane].address}:{CALLERS}"

    def client(self, plane: str = "") -> Any:
        """An unmodified boto3 client of that control plane, or of any that answers."""
        url = self.url(plane or self.answering())
        if url not in self._clients:
            keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "local"}
            self._clients[url] = boto3.client("elasticache", endpoint_url=url, region_name="us-east-1", **keys)
        return self._clients[url]

    def ask(self, path: str) -> dict[str, Any]:
        """What any control plane answers. Who cannot, because it or the database is away, is asked again."""
        return self._asked("GET", path)

    def post(self, path: str) -> dict[str, Any]:
        """Only for what may be asked twice."""
        return self._asked("POST", path)

    def _asked(self, method: str, path: str) -> dict[str, Any]:
        said: list[httpx.Response] = []

        def is_answered() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                said[:] = [self._http.request(method, self.url(self.answering()) + path, json={} if method == "POST" else None)]
                return said[0].status_code < 500
            return False

        wait_until(is_answered, within=30, every=0.05)
        answer: dict[str, Any] = said[0].json()
        return answer

    def leader(self) -> str:
        """The control plane that leads, as the database says."""
        with psycopg.connect(self.database) as connection:
            row = connection.execute("SELECT url FROM leader").fetchone()
        return next((plane for plane in PLANES if row and self.network.hosts[plane].address in row[0]), "")

    def all_are_heard(self) -> bool:
        """Whether each agent is."""
        return sum(agent["heard"] for agent in self.ask("/v1/agents")["agents"]) == len(ZONES)

    def answering(self) -> str:
        """The first control plane that answers."""
        return wait_until(lambda: next((name for name in PLANES if self._answers(name)), ""), within=10, every=0.02)

    def _answers(self, plane: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get(f"{self.url(plane)}/healthz", timeout=httpx.Timeout(1.0, connect=0.2)).status_code == 200
        return False

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {node["node"]: node for node in self.ask("/v1/nodes")["nodes"]}

    def host_of(self, node: str) -> str:
        return str(self.nodes()[node]["agent"])

    def primary(self) -> dict[str, Any]:
        """The one node that says to be primary."""
        return wait_until(lambda: next((node for node in self.nodes().values() if self._leads(node)), {}), within=30, every=0.05)

    @staticmethod
    def _leads(node: dict[str, Any]) -> bool:
        return node.get("role") == "primary" and node["desired_role"] == "primary"

    def create(self, name: str, zones: list[str], **more: Any) -> str:
        """A group with a node in each zone; the name of its primary endpoint, once the group is available."""
        self.client().create_replication_group(
            ReplicationGroupId=name, ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1", CacheNodeType="cache.t4g.micro",
            PreferredCacheClusterAZs=zones, NumCacheClusters=len(zones), AutomaticFailoverEnabled=len(zones) > 1, **more,
        )  # fmt: skip
        return str(self.available(name)["NodeGroups"][0]["PrimaryEndpoint"]["Address"])

    def available(self, name: str) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            (group,) = self.client().describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
            return dict(group) if group["Status"] == "available" else {}

        return wait_until(found, within=40, every=0.05)

    def is_whole_soon(self, within: float = 60) -> None:
        """Return when every node does its duty."""
        wait_until(lambda: (nodes := self.nodes()) and all(node["in_sync"] for node in nodes.values()), within=within, every=0.05)

    def delete_everything(self) -> None:
        client = self.client()
        for group in client.describe_replication_groups()["ReplicationGroups"]:
            client.delete_replication_group(ReplicationGroupId=group["ReplicationGroupId"])
        for alone in client.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"]:
            client.delete_cache_cluster(CacheClusterId=alone["CacheClusterId"])
        wait_until(lambda: not self.nodes() and not client.describe_replication_groups()["ReplicationGroups"], within=30, every=0.05)

    # ---- clients of the caches

    def address_of(self, name: str) -> str:
        """Where a name leads, as the first control plane that answers says. Raises OSError where it leads nowhere."""
        why: OSError = socket.gaierror("no control plane answers")
        for plane in PLANES:
            try:
                return Resolver(self.network.hosts[plane].address, NAMES, timeout=0.2).resolve(name)[0]
            except OSError as failed:
                why = failed
        raise why

    def connect(self, name: str) -> redis.Redis:
        """A client that gives up soon and does not try the same address again. Raises OSError where the name leads nowhere."""
        return redis.Redis(self.address_of(name), PORT, decode_responses=True, socket_timeout=1, socket_connect_timeout=0.3,
                           retry=Retry(NoBackoff(), 0))  # fmt: skip

    def engine(self, node: dict[str, Any]) -> redis.Redis:
        return redis.Redis(node["address"], PORT, decode_responses=True, socket_timeout=2)

    def kill_engine(self, node: dict[str, Any]) -> None:
        os.kill(node["process_id"], signal.SIGKILL)

    # ---- what it is made of

    def _plane(self, name: str, address: str) -> Program:
        host = self.network.add(name, f"{address}/16")
        folder = self.folder / name
        words = (sys.executable, str(DOORWAY), address, str(CALLERS))
        doorway = subprocess.Popen([*host.inside, *words])
        self._stack.callback(doorway.wait)
        self._stack.callback(doorway.kill)
        return Program("controlplane", folder, "--data-dir", str(folder), "--port", str(CALLERS), "--join-token-file", str(self.token),
                       "--agents-listen", f"{address}:{AGENTS}", "--endpoints", "named", "--dns-listen", f"{address}:{NAMES}",
                       "--lost-host-after", str(self._lost_after), inside=host.inside)  # fmt: skip

    def _agent(self, name: str, number: int) -> Program:
        host = self._host(name, number)
        folder = self.folder / name
        joining = ",".join(f"https://{self.network.hosts[plane].address}:{AGENTS}" for plane in PLANES)
        return Program("agents", folder, "--zone", ZONES[name], "--name", name, "--host", name, "--join", joining,
                       "--token-file", str(self.token), "--data-dir", str(folder), "--listen", f"{host.address}:8400",
                       "--network", f"{self._net}.{number}.16/28", "--memory", "8G", inside=host.inside)  # fmt: skip

    def _host(self, name: str, number: int) -> Host:
        return self.network.add(name, f"{self._net}.{number}.1/16", tuple(f"{self._net}.{number}.{last}" for last in range(17, 31)))
