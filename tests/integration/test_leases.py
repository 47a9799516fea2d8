"""Agents, control plane and zones that fall silent under a client that writes all the time, with real engines and real programs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from deployment import PORT, ZONES, Deployment, endpoint, lives, primary, say
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import wait_until

from agents.journal import Journal

FIRST = "orders-001"
SOON = 5.0  # seconds within which a lost zone's primary is replaced


SLACK = 1.0  # seconds by which this machine may be late


class Writer:
    """A client that counts up through one address, for as long as it lives; a new connection after each failure."""

    def __init__(self, address: str) -> None:
        self.written = 0
        self.written_at = time.monotonic()
        self.refusals: list[str] = []
        self._address = address
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def more(self, writes: int = 1000, within: float = 30) -> None:
        """Return when so many more were acknowledged."""
        wanted = self.written + writes
        wait_until(lambda: self.written >= wanted, within=within)

    def stop(self) -> None:
        self._closing.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._closing.is_set():
            with redis.Redis(self._address, PORT, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
                try:
                    while not self._closing.is_set():
                        client.set("counter", self.written + 1)
                        self.written += 1
                        self.written_at = time.monotonic()
                        self._closing.wait(0.002)
                except redis.RedisError as refused:
                    self.refusals.append(f"{type(refused).__name__}: {refused}")
                    self._closing.wait(0.01)


class Scene:
    """A group over three agents, its endpoint, and who writes to it."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.group = deployment.create()
        self.address = endpoint(self.group)
        self.pids = deployment.pids()
        self.agent = deployment.agents[ZONES[0]]  # the primary's
        self.writer = Writer(self.address)
        self.writer.more(100)

    def elections(self) -> list[dict[str, Any]]:
        return list(self.deployment.ask("/v1/replication-groups/orders/history")["elections"])

    def is_silent(self) -> bool:
        return not self.deployment.heard()[ZONES[0]]

    def rolls(self) -> dict[str, int]:
        """Which roll each replica's agent has been called to."""
        entries = [entry for zone in ZONES[1:] for entry in Journal(self.deployment.folder / zone).entries().values()]
        return {entry.spec.key.partition(".")[2]: entry.spec.roll for entry in entries}

    def demanded(self, node: str = FIRST) -> int:
        """Of how many replicas the node's engine demands acknowledgements."""
        return demanded_at(self.own_address(node))

    def own_address(self, node: str) -> str:
        return str(next(each["address"] for each in self.deployment.nodes() if each["node"] == node))

    def all_is_well(self) -> None:
        """Return when every node is in sync and the group available."""
        wait_until(lambda: all(node["in_sync"] for node in self.deployment.nodes()), within=30, every=0.05)
        self.deployment.available()


def demanded_at(address: str) -> int:
    """Of how many replicas the engine at that address demands acknowledgements."""
    return int(say(address, "CONFIG", "GET", "min-replicas-to-write")["min-replicas-to-write"])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    deployment = Deployment(tmp_path)
    made: Scene | None = None
    try:
        deployment.start()
        wait_until(lambda: sum(deployment.heard().values()) == 3)
        made = Scene(deployment)
        yield made
    finally:
        if made is not None:
            made.writer.stop()
            made.agent.send(signal.SIGCONT)
        deployment.clear()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_losing_the_agent_alone_costs_no_write_and_no_election(scene: Scene, how: signal.Signals) -> None:
    scene.agent.end(how) if how is signal.SIGKILL else scene.agent.send(how)
    wait_until(scene.is_silent, every=0.05)
    wait_until(lambda: set(scene.rolls().values()) == {1}, every=0.05)  # the silence was noticed, and the replicas were asked
    scene.writer.more(1000)
    assert scene.elections() == []
    if how is signal.SIGKILL:
        scene.agent.start()
    else:
        scene.agent.send(signal.SIGCONT)
    wait_until(lambda: not scene.is_silent())
    scene.all_is_well()
    scene.writer.more(100)
    assert (scene.writer.refusals, scene.elections(), scene.deployment.pids()) == ([], [], scene.pids)
    assert scene.deployment.group()["NodeGroups"] == scene.group["NodeGroups"]
    os.kill(scene.pids[FIRST], signal.SIGKILL)  # and a loss is noticed as ever
    wait_until(lambda: primary(scene.deployment) not in (None, FIRST), within=20)
    scene.writer.more(10)


def test_the_data_plane_is_not_disturbed_by_the_loss_of_the_control_plane(scene: Scene) -> None:
    own = scene.own_address(FIRST)
    scene.deployment.plane.end(signal.SIGKILL)
    wait_until(lambda: demanded_at(own) == 1)  # the lease is out
    scene.writer.more(2000)
    assert scene.writer.refusals == []
    scene.deployment.start_plane()
    wait_until(lambda: demanded_at(own) == 0)
    wait_until(lambda: all(scene.deployment.heard().values()))
    scene.all_is_well()
    scene.writer.more(100)
    assert (scene.writer.refusals, scene.elections(), scene.deployment.pids()) == ([], [], scene.pids)


def test_a_primary_that_died_while_the_control_plane_was_away_is_healed_when_it_is_back(scene: Scene) -> None:
    own = scene.own_address(FIRST)
    scene.deployment.plane.end(signal.SIGKILL)
    wait_until(lambda: demanded_at(own) == 1)
    scene.writer.more(100)
    assert scene.writer.refusals == []
    os.kill(scene.pids[FIRST], signal.SIGKILL)
    wait_until(lambda: scene.writer.refusals)
    scene.deployment.start_plane()
    wait_until(lambda: primary(scene.deployment) not in (None, FIRST), within=20)
    scene.writer.more(100)
    scene.all_is_well()
    assert [election["former"] for election in scene.elections()] == [FIRST]
    elected = scene.elections()[0]["elected"]
    wait_until(lambda: scene.demanded(elected) == 0)
    assert int(say(scene.address, "GET", "counter")) >= scene.writer.written - 1


def test_a_lost_zone_is_replaced_within_seconds_and_its_node_comes_back_emptied(scene: Scene) -> None:
    scene.agent.send(signal.SIGKILL)
    os.kill(scene.pids[FIRST], signal.SIGKILL)
    lost_at = time.monotonic()
    scene.agent.join()
    before = scene.writer.written
    wait_until(lambda: scene.writer.refusals)
    scene.writer.more(1, within=SOON)
    took = scene.writer.written_at - lost_at
    assert took < SOON
    print(f"a lost zone: written again after {took:.2f} s")
    (election,) = scene.elections()
    assert (election["former"], election["epoch"]) == (FIRST, 2)
    assert election["because"].startswith(f"{FIRST} is lost; most bytes replicated")
    assert {candidate["cache_cluster_id"] for candidate in election["candidates"]} == {"orders-002", "orders-003"}
    assert all(candidate["answered"] for candidate in election["candidates"])
    assert int(say(scene.address, "GET", "counter")) >= before
    scene.agent.start()
    scene.all_is_well()
    former = next(node for node in scene.deployment.nodes() if node["node"] == FIRST)
    assert (former["role"], former["process_id"] != scene.pids[FIRST]) == ("replica", True)
    assert scene.elections() == [election]
    scene.writer.more(10)
    wait_until(lambda: int(say(scene.own_address(FIRST), "GET", "counter") or 0) >= before)


def test_a_primary_that_reaches_nobody_refuses_writes_and_lets_its_endpoint_go_until_it_does(scene: Scene) -> None:
    """As in a zone that is cut off: the control plane is away, and everybody elsewhere stands still."""
    own, elsewhere = scene.own_address(FIRST), [scene.pids[node] for node in ("orders-002", "orders-003")]
    agents = [scene.deployment.agents[zone] for zone in ZONES[1:]]
    direct = Writer(own)
    direct.more(10)
    scene.deployment.plane.end(signal.SIGKILL)
    for agent in agents:
        agent.send(signal.SIGSTOP)
    for pid in elsewhere:
        os.kill(pid, signal.SIGSTOP)
    cut_at = time.monotonic()
    try:
        wait_until(lambda: direct.refusals)
        took = direct.written_at - cut_at
        assert direct.refusals[0].endswith("NOREPLICAS Not enough good replicas to write."), direct.refusals
        assert took < 3 + SLACK
        print(f"cut off: written last after {took:.2f} s")
        wait_until(lambda: any("refused" in told for told in scene.writer.refusals))  # nobody listens at the endpoint
        written = direct.written
        for pid in elsewhere:
            os.kill(pid, signal.SIGCONT)
        for agent in agents:
            agent.send(signal.SIGCONT)
        direct.more(10)
        scene.writer.more(10)
        assert direct.written > written
        scene.deployment.start_plane()
        wait_until(lambda: demanded_at(own) == 0)
        scene.all_is_well()
        assert (scene.elections(), scene.deployment.pids()) == ([], scene.pids)
    finally:
        direct.stop()
        for agent in agents:
            agent.send(signal.SIGCONT)


def test_a_zone_that_is_cut_off_with_its_engine_alive_comes_back_as_a_replica(scene: Scene) -> None:
    """The agent and the engine stand still together, as in a host that freezes: the endpoint is free only when they are gone."""
    scene.agent.send(signal.SIGSTOP)
    os.kill(scene.pids[FIRST], signal.SIGSTOP)
    wait_until(lambda: [each["former"] for each in scene.elections()] == [FIRST], within=20, every=0.05)
    elected = scene.elections()[0]["elected"]
    assert say(scene.own_address(elected), "ROLE")[0] == "master"
    os.kill(scene.pids[FIRST], signal.SIGCONT)
    scene.agent.send(signal.SIGCONT)
    wait_until(lambda: primary(scene.deployment) == elected, within=20)
    scene.all_is_well()
    scene.writer.more(100)
    assert say(scene.own_address(FIRST), "ROLE")[0] == "slave"
    assert len(scene.elections()) == 1


def test_a_primary_that_hangs_is_killed_and_replaced(scene: Scene) -> None:
    os.kill(scene.pids[FIRST], signal.SIGSTOP)
    hung_at = time.monotonic()
    wait_until(lambda: primary(scene.deployment) not in (None, FIRST), within=20)
    scene.writer.more(1, within=SOON)
    took = scene.writer.written_at - hung_at
    assert took < SOON
    print(f"a hung primary: written again after {took:.2f} s")
    assert not lives(scene.pids[FIRST])
    scene.all_is_well()
    (election,) = scene.elections()
    assert (election["former"], election["epoch"]) == (FIRST, 2)
