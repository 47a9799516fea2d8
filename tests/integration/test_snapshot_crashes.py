"""Something dies while a snapshot is taken, or restored: there is a whole snapshot or none, a whole cache or none."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from bus import nodes_of
from deployment import Deployment
from servers import Server
from waiting import let_pass, wait_until

from archives.manifest import digest_of, read_manifest
from archives.rdb.checking import summarise

ACCOUNT = "000000000000"
KEYS = 60_000
ROUNDS = 4 if os.environ.get("CACHEWRIGHT_TEST_WHOLE") else 2
LONGEST = 0.8  # seconds after which something dies at the latest: most of both is over by then

VERSIONS = ("9.1", "8.1")

Trouble = Callable[[], None]


@dataclass
class World:
    """A server, or programs of its own, with a filled group; ``url`` and ``client`` ask for them anew, for they may have been restarted."""

    client: Callable[[], Any]
    url: Callable[[], str]
    archive: Path

    def group(self, name: str) -> dict[str, Any]:
        """A group as it is at this moment: whoever asks for it by its name may be kept waiting."""
        found: list[dict[str, Any]] = self.client().describe_replication_groups()["ReplicationGroups"]
        return next(group for group in found if group["ReplicationGroupId"] == name)

    def nodes(self, name: str) -> list[dict[str, Any]]:
        return nodes_of(self.url(), ACCOUNT, name)

    def create(self, name: str, **wanted: Any) -> None:
        self.client().create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **wanted)

    def until(self, name: str, *statuses: str) -> str:
        """The status of a group, once it is one of these."""

        def found() -> str | None:
            status = str(self.group(name)["Status"])
            return status if status in statuses else None

        return wait_until(found, within=120, every=0.05) or ""

    def fill(self, name: str) -> None:
        at = self.group(name)["NodeGroups"][0]["PrimaryEndpoint"]
        with redis.Redis(at["Address"], at["Port"]) as client:
            pipe = client.pipeline(transaction=False)
            for number in range(KEYS):
                pipe.set(f"key:{number}", f"value of {number}", px=10_000_000 if number % 3 == 0 else None)
                if number % 5000 == 4999:
                    pipe.execute()
        wait_until(lambda: all(held == KEYS for held in self.held(name).values()), within=30)

    def held(self, name: str) -> dict[str, int]:
        """How many keys each node of a group has."""
        found = {}
        for node in self.nodes(name):
            with redis.Redis(node["address"], node["port"], socket_timeout=10) as engine:
                found[node["node"]] = int(engine.dbsize())
        return found

    def snapshot(self, name: str) -> dict[str, Any]:
        """A snapshot as it is at this moment: whoever asks for it by its name may be kept waiting."""
        found: list[dict[str, Any]] = self.client().describe_snapshots()["Snapshots"]
        return next(snapshot for snapshot in found if snapshot["SnapshotName"] == name)

    def settled(self, name: str) -> str:
        """The status of a snapshot, once nothing is to come."""

        def found() -> str | None:
            status = str(self.snapshot(name)["SnapshotStatus"])
            return status if status in ("available", "failed") else None

        return wait_until(found, within=60, every=0.05) or ""

    def manifests(self) -> list[Path]:
        return sorted(self.archive.glob("*/manifest.json"))


@pytest.fixture(scope="module", params=[pytest.param(each, marks=pytest.mark.xdist_group(f"snapshot-crashes-{each}")) for each in VERSIONS])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Server]]:
    """A server that may be killed, with a group of three nodes that has keys."""
    server = Server(tmp_path_factory.mktemp("data") / "data")
    try:
        server.start()
        found = World(server.api, lambda: server.url, server.folder / "snapshots")
        found.create("orders", Engine="valkey", EngineVersion=request.param, NumCacheClusters=3, AutomaticFailoverEnabled=True)
        found.until("orders", "available")
        found.fill("orders")
        yield found, server
    finally:
        server.clear()


def kill(node: dict[str, Any]) -> None:
    if node.get("process_id"):
        os.kill(node["process_id"], signal.SIGKILL)


def who_saves(world: World) -> dict[str, Any] | None:
    """The member that is being saved, if any is by now."""
    members = {node["node"]: node for node in world.nodes("orders")}
    for cluster in world.client().describe_cache_clusters()["CacheClusters"]:
        if cluster["CacheClusterStatus"] == "snapshotting" and cluster["CacheClusterId"] in members:
            return members[cluster["CacheClusterId"]]
    return None


def must_be_whole_or_nothing(world: World, name: str, before: list[Path]) -> str:
    """The snapshot is available with every key in files that are as its manifest says, or has failed and left nothing."""
    status = world.settled(name)
    new = [path for path in world.manifests() if path not in before]
    if status == "failed":
        wait_until(lambda: {path.parent for path in world.archive.glob("*/*")} == {path.parent for path in before}, within=20)
        return status
    assert len(new) == 1
    content = new[0].read_bytes()
    manifest = read_manifest(content)
    named = {part.file.name: part.file for part in manifest.parts}
    wait_until(lambda: {path.name for path in new[0].parent.iterdir() if path.suffix == ".rdb"} == set(named), within=20)
    total = 0
    for file in named.values():
        summary = summarise(new[0].parent / file.name, deep=True)
        assert (summary.sha256, summary.size) == (file.sha256, file.size)
        assert file.keys in (None, summary.total_keys)
        total += summary.total_keys
    assert total == KEYS, f"{name} has {total} keys"
    assert digest_of(content)
    return status


@pytest.mark.parametrize("who", ["the node that is saved", "the primary", "the server"])
def test_a_snapshot_is_whole_or_none_whatever_dies(world: tuple[World, Server], who: str) -> None:
    here, server = world
    chance = random.Random(who)
    ends, under_way = [], []
    for number in range(ROUNDS):
        here.until("orders", "available")
        wait_until(lambda: set(here.held("orders").values()) == {KEYS}, within=60)
        before, name = here.manifests(), f"{who.split()[-1]}-{number}"
        here.client().create_snapshot(ReplicationGroupId="orders", SnapshotName=name)
        let_pass(chance.uniform(0, LONGEST / 4) if number else 0)  # at once at first: that is in the middle, however fast this machine is
        under_way.append(here.snapshot(name)["SnapshotStatus"] == "creating")
        if who == "the server":
            server.end(signal.SIGKILL)
            server.start()
        elif who == "the primary":
            kill(next(node for node in here.nodes("orders") if node.get("role") == "primary"))
        elif (node := who_saves(here)) is not None:
            kill(node)
        ends.append(must_be_whole_or_nothing(here, name, before))
        here.client().delete_snapshot(SnapshotName=name)
        wait_until(lambda before=before: here.manifests() == before, within=20)
    here.until("orders", "available")
    assert any(under_way), "nothing died while a snapshot was taken"
    assert "available" in ends, "another node saves when one dies, and a server that was killed goes on"


def must_be_whole(world: World, name: str) -> None:
    """A restored group that is available has every key, in its primaries; and in their replicas, when one that died just then is back."""
    status = world.until(name, "available", "create-failed")
    assert status == "available"
    held, nodes = world.held(name), world.nodes(name)
    of_primaries = {node["node_group_id"]: held[node["node"]] for node in nodes if node["desired_role"] == "primary"}
    assert sum(of_primaries.values()) == KEYS, held

    def all_have_it() -> bool:
        now = world.held(name)
        return all(now[node["node"]] == of_primaries[node["node_group_id"]] for node in world.nodes(name))

    wait_until(all_have_it, within=60, every=0.1)


@pytest.mark.usually("9.1-a primary", "9.1-a replica", "9.1-the server", "8.1-a primary")
@pytest.mark.parametrize("who", ["a primary", "a replica", "the server"])
def test_a_restored_group_is_whole_whatever_dies_before(world: tuple[World, Server], who: str) -> None:
    here, server = world
    here.until("orders", "available")
    name = f"kept-{who.split()[-1]}"
    here.client().create_snapshot(ReplicationGroupId="orders", SnapshotName=name)
    assert here.settled(name) == "available"
    chance, under_way = random.Random(who), []
    for number in range(ROUNDS):
        copy = f"copy-{who.split()[-1]}-{number}"
        shards = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1} if number % 2 else {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
        family = f"valkey{here.snapshot(name)['EngineVersion'].split('.')[0]}"
        here.create(copy, SnapshotName=name, **shards, CacheParameterGroupName=f"default.{family}{'.cluster.on' if number % 2 else ''}")
        let_pass(chance.uniform(0, LONGEST) if number else 0)
        under_way.append(here.group(copy)["Status"] == "creating")
        if who == "the server":
            server.end(signal.SIGKILL)
            server.start()
        elif under_way[-1]:
            for node in here.nodes(copy):
                if node["desired_role"] == who.split()[-1]:
                    kill(node)
                    break
        must_be_whole(here, copy)
        here.client().delete_replication_group(ReplicationGroupId=copy)
    assert any(under_way), "nothing died while a group was restored"
    here.client().delete_snapshot(SnapshotName=name)
    wait_until(lambda: not list(here.archive.glob("seed-*")), within=20)


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[tuple[World, Deployment]]:
    deployment = Deployment(tmp_path)
    try:
        deployment.start()
        wait_until(lambda: sum(deployment.heard().values()) == 3, within=30)
        found = World(deployment.client, lambda: deployment.url, tmp_path / "plane" / "snapshots")
        found.create("orders", Engine="valkey", EngineVersion="9.1", NumCacheClusters=3, AutomaticFailoverEnabled=True)
        found.until("orders", "available")
        found.fill("orders")
        yield found, deployment
    finally:
        deployment.clear()


@pytest.mark.parametrize("who", ["an agent", "the control plane"])
def test_programs_of_their_own_die(deployed: tuple[World, Deployment], who: str) -> None:
    here, deployment = deployed
    chance = random.Random(who)

    def trouble() -> None:
        if who == "the control plane":
            deployment.plane.end(signal.SIGKILL)
            deployment.start_plane()
            return
        zone = chance.choice(sorted(deployment.agents))
        deployment.agents[zone].end(signal.SIGKILL)
        deployment.agents[zone].start()

    for number in range(ROUNDS):
        before, name = here.manifests(), f"taken-{number}"
        here.client().create_snapshot(ReplicationGroupId="orders", SnapshotName=name)
        let_pass(chance.uniform(0, LONGEST / 4))
        trouble()
        assert must_be_whole_or_nothing(here, name, before) == "available"
        here.create(f"copy-{number}", SnapshotName=name, NumCacheClusters=2, AutomaticFailoverEnabled=True)
        let_pass(chance.uniform(0, LONGEST))
        trouble()
        must_be_whole(here, f"copy-{number}")
        here.client().delete_replication_group(ReplicationGroupId=f"copy-{number}")
        here.until("orders", "available")
