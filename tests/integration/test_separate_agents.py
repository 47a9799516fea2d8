"""The control plane and three agents as programs of their own, with real engines: what survives the loss of any of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from deployment import ZONES, Deployment, Program, endpoint, lives, primary, say
from waiting import wait_until


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    try:
        made.start()
        wait_until(lambda: sum(made.heard().values()) == 3)
        yield made
    finally:
        made.clear()


def test_a_group_spans_the_agents_and_serves(deployment: Deployment) -> None:
    group = deployment.create()
    nodes = deployment.nodes()
    assert {node["zone"] for node in nodes} == set(ZONES)
    assert len({node["agent"] for node in nodes}) == 3
    assert all(node["in_sync"] for node in nodes)
    assert all(lives(pid) for pid in deployment.pids().values())
    assert say(endpoint(group), "SET", "color", "green")
    assert say(endpoint(group), "WAIT", "2", "5000") == 2
    reader = endpoint(group, "ReaderEndpoint")
    assert say(reader, "GET", "color") == "green"
    assert say(reader, "ROLE")[0] == "slave"


def test_a_deleted_group_leaves_nothing_with_any_agent(deployment: Deployment) -> None:
    deployment.create()
    pids = deployment.pids()
    deployment.client().delete_replication_group(ReplicationGroupId="orders")
    wait_until(lambda: not deployment.client().describe_replication_groups()["ReplicationGroups"], within=20)
    assert not any(lives(pid) for pid in pids.values())
    assert [path for agent in deployment.agents.values() for path in (agent.folder / "nodes").glob("*")] == []


def test_the_data_outlives_the_control_plane_which_then_adopts_everything(deployment: Deployment) -> None:
    group = deployment.create()
    pids = deployment.pids()
    deployment.plane.end(signal.SIGKILL)
    assert say(endpoint(group), "SET", "written", "meanwhile")
    deployment.start_plane()
    assert deployment.available()["NodeGroups"] == group["NodeGroups"]
    wait_until(lambda: all(deployment.heard().values()))
    assert deployment.pids() == pids
    assert say(endpoint(group), "GET", "written") == "meanwhile"
    other = deployment.create("others", nodes=2)
    assert say(endpoint(other), "SET", "color", "blue")


def test_what_happened_while_the_control_plane_was_away_is_put_right(deployment: Deployment) -> None:
    group = deployment.create()
    pids = deployment.pids()
    deployment.plane.end(signal.SIGKILL)
    os.kill(pids["orders-001"], signal.SIGKILL)
    wait_until(lambda: not lives(pids["orders-001"]))
    deployment.start_plane()
    wait_until(lambda: primary(deployment) not in (None, "orders-001"), within=20)
    assert say(endpoint(group), "SET", "color", "green")
    wait_until(lambda: deployment.available() and all(node["in_sync"] for node in deployment.nodes()), within=20)


def test_an_agent_that_is_killed_adopts_its_node(deployment: Deployment) -> None:
    group = deployment.create()
    pids = deployment.pids()
    agent = deployment.agents[ZONES[0]]
    agent.end(signal.SIGKILL)
    assert say(endpoint(group), "SET", "written", "meanwhile")
    wait_until(lambda: not deployment.heard()[ZONES[0]], within=15, every=0.1)
    assert deployment.heard() == dict(zip(ZONES, (False, True, True), strict=True))
    agent.start()
    wait_until(lambda: deployment.heard()[ZONES[0]])
    assert deployment.pids() == pids
    assert deployment.available()["NodeGroups"] == group["NodeGroups"]
    os.kill(pids["orders-001"], signal.SIGKILL)
    wait_until(lambda: primary(deployment) not in (None, "orders-001"), within=20)
    wait_until(lambda: say(endpoint(group), "GET", "written") == "meanwhile")


def test_a_node_waits_for_an_agent_that_is_not_heard(deployment: Deployment) -> None:
    agent = deployment.agents[ZONES[2]]
    agent.end(signal.SIGKILL)
    wait_until(lambda: not deployment.heard()[ZONES[2]], within=15, every=0.1)
    asked = {"CacheClusterId": "later", "Engine": "memcached", "NumCacheNodes": 1, "PreferredAvailabilityZone": ZONES[2]}
    deployment.client().create_cache_cluster(**asked)
    assert [node["agent"] for node in deployment.nodes() if "agent" in node] == []
    agent.start()
    wait_until(lambda: [node["phase"] for node in deployment.nodes() if "phase" in node] == ["running"], within=20)


def test_everything_can_stop_in_order_and_come_back_with_its_data(deployment: Deployment) -> None:
    group = deployment.create()
    pids = deployment.pids()
    assert say(endpoint(group), "SET", "kept", "yes")
    everything = [deployment.plane, *deployment.agents.values()]
    for program in everything:
        program.send(signal.SIGTERM)
    for program in everything:
        program.join()
    assert not any(lives(pid) for pid in pids.values())
    deployment.start_plane()
    for agent in deployment.agents.values():
        agent.start()
    wait_until(lambda: all(new not in (None, pids[node]) for node, new in deployment.pids().items()), within=20)
    assert deployment.available()["NodeGroups"] == group["NodeGroups"]
    wait_until(lambda: primary(deployment) == "orders-001", within=20)
    assert say(endpoint(group), "GET", "kept") == "yes"
    wait_until(lambda: all(node["in_sync"] for node in deployment.nodes()), within=20)
    assert say(endpoint(group, "ReaderEndpoint"), "GET", "kept") == "yes"


def test_without_an_agent_nothing_can_be_made(tmp_path: Path) -> None:
    alone = Deployment(tmp_path)
    try:
        alone.start_plane()
        assert alone.ask("/v1/agents") == {"agents": []}
        with pytest.raises(ClientError, match="agent"):
            alone.create()
    finally:
        alone.clear()


def test_joining_is_no_part_of_the_public_description(deployment: Deployment) -> None:
    paths = deployment.ask("/openapi.json")["paths"]
    assert "post" not in paths["/v1/agents"]
    assert not [path for path in paths if "reports" in path]


def test_an_agent_can_join_a_server_that_has_agents_of_its_own(tmp_path: Path) -> None:
    token = tmp_path / "token"
    server = Program("cachewright", tmp_path / "server", "serve", "--ephemeral", "--port", "0", "--zones", "1",
                     "--join-token-file", str(token), "--agents-listen", "127.0.0.1:0")  # fmt: skip
    mixed = Deployment(tmp_path)
    mixed.token = token
    try:
        mixed.url = server.start()
        mixed.agents_url = server.agents_url
        assert token.stat().st_mode & 0o777 == 0o600
        mixed.agents[ZONES[1]] = mixed.agent(ZONES[1])
        mixed.agents[ZONES[1]].start()
        wait_until(lambda: mixed.heard() == {ZONES[0]: True, ZONES[1]: True})
        group = mixed.create(nodes=2)
        assert {node["zone"] for node in mixed.nodes()} == set(ZONES[:2])
        assert say(endpoint(group), "SET", "color", "green")
        assert say(endpoint(group), "WAIT", "1", "5000") == 1
        taken = Program("agents", tmp_path / "taken", "--zone", ZONES[1], "--join", mixed.agents_url, "--token-file", str(token),
                        "--data-dir", str(tmp_path / "taken"), "--name", "agent-a")  # fmt: skip
        mixed.agents["taken"] = taken
        with pytest.raises(AssertionError, match="agent-a is an agent inside the control plane"):
            taken.start()
        mixed.client().delete_replication_group(ReplicationGroupId="orders")
        wait_until(lambda: not mixed.client().describe_replication_groups()["ReplicationGroups"], within=20)
    finally:
        server.end()
        mixed.clear()
