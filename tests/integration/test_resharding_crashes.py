"""Node groups change, and in the middle of it something dies: it goes on, it ends, and nothing that a replica had is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caches import new_account
from cluster_clients import Strict
from deployment import Deployment
from ledger import WITHOUT_WAITING, Load
from redis.crc import key_slot
from resharding import Group, ballast_lost, fill
from servers import Server
from waiting import wait_until

from cachewright import LocalServer

VALKEY_9 = {"Engine": "valkey", "EngineVersion": "9.1"}
VALKEY_8 = {"Engine": "valkey", "EngineVersion": "8.1"}
REDIS_7 = {"Engine": "redis", "EngineVersion": "7.0"}
ENGINES = pytest.mark.parametrize("engine", [VALKEY_9, VALKEY_8, REDIS_7], ids=["valkey-9.1", "valkey-8.1", "redis-7.0"])

DEFAULT_ACCOUNT = "000000000000"

Make = Callable[..., "Moving"]


class Moving:
    """A group of two node groups from the first of which slots are to go: to a third one where that takes a moment, else to the second.

    Valkey 9 moves tens of thousands of keys at once; there are as many as take it several steps. The others take milliseconds for a slot.
    """

    def __init__(self, group: Group, replicas: int, is_quick: bool) -> None:
        self.group = group
        self.source, self.target = "0001", "0003" if is_quick else "0002"
        self.names = ["0001", "0002", "0003"] if is_quick else ["0001", "0002"]
        self.keys = 800_000 if is_quick else 20_000
        self.replicas = replicas
        fill(group, self.keys, replicas)

    def under(self, trouble: Callable[[], None]) -> tuple[Load, float]:
        """The load, once all is over, and how far slots had moved when the trouble came."""
        with Load(self.group.seed, lambda seed: Strict(seed, self.replicas), WITHOUT_WAITING) as load:
            self.group.ask(len(self.names))
            share = self.group.until_partly_moved()
            trouble()
            self.group.until_resharded()
            self.group.must_be_even(self.names)
            load.go_on()
        return load, share

    def must_survive(self, trouble: Callable[[], None]) -> None:
        """Nothing is lost that a replica had. Writes may fail while their shard has no primary."""
        load, share = self.under(trouble)
        assert load.judge() == [], f"the trouble came at {share} %"
        assert ballast_lost(self.group, self.keys) == [], f"the trouble came at {share} %"


def shape(engine: dict[str, str], replicas: int) -> dict[str, Any]:
    """What to create for it."""
    if engine is VALKEY_9:
        return {**engine, "NumNodeGroups": 2, "ReplicasPerNodeGroup": replicas}
    slots = ("0-9391", "9392-16383")
    return {**engine, "NodeGroupConfiguration": [{"Slots": each, "ReplicaCount": replicas} for each in slots]}


@pytest.fixture
def make(server: LocalServer) -> Iterator[Make]:
    """Creates groups, and removes them when the test is over."""
    account = new_account()
    made: list[Group] = []

    def ask(engine: dict[str, str], replicas: int = 1) -> Moving:
        made.append(Group(server.client(account_id=account), lambda: server.url, account, **shape(engine, replicas)))
        return Moving(made[-1], replicas, engine is VALKEY_9)

    yield ask
    for group in made:
        group.remove()


def kill(node: dict[str, Any]) -> None:
    os.kill(node["process_id"], signal.SIGKILL)


@pytest.mark.usually("source-primary-valkey-9.1", "source-primary-redis-7.0", "target-primary-valkey-8.1")
@ENGINES
@pytest.mark.parametrize("role", ["primary", "replica"])
@pytest.mark.parametrize("end", ["source", "target"])
def test_a_node_at_either_end_dies(make: Make, engine: dict[str, str], end: str, role: str) -> None:
    moving = make(engine)
    moving.must_survive(lambda: kill(moving.group.node(getattr(moving, end), role)))


@pytest.mark.usually("redis-7.0")
@ENGINES
def test_both_primaries_die(make: Make, engine: dict[str, str]) -> None:
    moving = make(engine)

    def trouble() -> None:
        nodes = [moving.group.node(moving.source), moving.group.node(moving.target)]
        for node in nodes:
            kill(node)

    moving.must_survive(trouble)


@pytest.mark.usually("valkey-9.1")
@ENGINES
def test_a_target_without_a_replica_comes_back_empty_and_takes_the_rest(make: Make, engine: dict[str, str]) -> None:
    """What was in its slots by then is lost, as with every primary that has no replica. What had not come that far is not."""
    moving = make(engine, replicas=0)
    load, share = moving.under(lambda: kill(moving.group.node(moving.target)))
    client = Strict(moving.group.seed)
    try:
        target = moving.group.node(moving.target)
        client.primaries()
        its_own = client.owned_by((target["address"], target["port"]))
        assert load.judge(forgiven=its_own) == [], f"the trouble came at {share} %"
        lost = ballast_lost(moving.group, moving.keys)
        assert {key_slot(f"ballast:{number}".encode()) for number in lost} <= its_own
        for number in range(100):  # a function goes along with slots, also after its engine has lost it
            client.say("FCALL", "ledger_add", 1, f"again:{number}", 1)
    finally:
        client.close()


@pytest.mark.usually("source-redis-7.0")
@ENGINES
@pytest.mark.parametrize("end", ["source", "target"])
def test_the_agent_of_either_end_is_silent_for_a_while(server: LocalServer, make: Make, engine: dict[str, str], end: str) -> None:
    moving = make(engine)
    lab = server.client("lab", account_id=moving.group.account)

    def trouble() -> None:
        zone = moving.group.node(getattr(moving, end))["zone"]
        lab.create_fault(Kind="agent-silence", DurationSeconds=4, Zone=zone)

    moving.must_survive(trouble)


@pytest.mark.usually("redis-7.0")
@ENGINES
def test_the_server_is_killed_and_started_again(tmp_path: Path, engine: dict[str, str]) -> None:
    server = Server(tmp_path / "data")
    try:
        server.start()
        group = Group(server.api(), lambda: server.url, DEFAULT_ACCOUNT, **shape(engine, 1))
        moving = Moving(group, 1, engine is VALKEY_9)

        def trouble() -> None:
            server.end(signal.SIGKILL)
            server.start()
            group.client = server.api()

        moving.must_survive(trouble)
    finally:
        server.clear()


@pytest.mark.usually("agent of the source-valkey-9.1", "control plane-valkey-8.1")
@ENGINES
@pytest.mark.parametrize("who", ["control plane", "agent of the source", "agent of the target"])
def test_a_program_of_its_own_is_killed_and_started_again(tmp_path: Path, engine: dict[str, str], who: str) -> None:
    deployment = Deployment(tmp_path)
    try:
        deployment.start()
        wait_until(lambda: sum(deployment.heard().values()) == 3, within=30)
        group = Group(deployment.client(), lambda: deployment.url, DEFAULT_ACCOUNT, **shape(engine, 1))
        moving = Moving(group, 1, engine is VALKEY_9)

        def trouble() -> None:
            if who == "control plane":
                deployment.plane.end(signal.SIGKILL)
                deployment.start_plane()
                return
            zone = group.node(moving.source if who.endswith("source") else moving.target)["zone"]
            deployment.agents[zone].end(signal.SIGKILL)
            deployment.agents[zone].start()

        moving.must_survive(trouble)
    finally:
        deployment.clear()
