"""Five hosts in three zones, three control planes on one PostgreSQL: what happens when any of them is lost, cut off or slow."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
import redis
from hosts import LOST_AFTER, PLANES, ZONES, Hosts
from network import may_make_networks
from waiting import let_pass, wait_until
from writers import Writer

pytestmark = [
    pytest.mark.xdist_group("several-hosts"),
    pytest.mark.skipif(not may_make_networks(), reason="needs network namespaces, which only root may make"),
]
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    made = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        made.start()
        yield made
    finally:
        made.clear()


@pytest.fixture
def hosts(stage: Hosts) -> Iterator[Hosts]:
    """All is well, and there are no caches."""
    yield stage
    stage.network.join(*stage.network.hosts)
    wait_until(stage.all_are_heard, within=30)
    for agent in stage.ask("/v1/agents")["agents"]:
        if agent["draining"]:
            stage.post(f"/v1/agents/{agent['agent']}/undrain")
    stage.delete_everything()


def writing(hosts: Hosts, name: str, replicas: int = 2) -> Writer:
    return Writer(lambda: hosts.connect(name), replicas)


def elections(hosts: Hosts, group: str) -> int:
    return len(hosts.ask(f"/v1/replication-groups/{group}/history")["elections"])


def test_hosts_tell_what_they_have_and_kin_lives_apart(hosts: Hosts) -> None:
    agents = {agent["agent"]: agent for agent in hosts.ask("/v1/agents")["agents"]}
    assert {name: agent["zone"] for name, agent in agents.items()} == ZONES
    assert {agent["memory"] for agent in agents.values()} == {8 * 2**30}
    name = hosts.create("orders", [A, A, B, B, C])
    homes = [node["agent"] for node in hosts.nodes().values()]
    assert sorted(homes) == sorted(ZONES), "each host has one"
    with hosts.connect(name) as client:
        assert client.set("color", "green")
        assert client.wait(4, 5000) == 4
    refused = hosts.client().exceptions.InsufficientCacheClusterCapacityFault
    with pytest.raises(refused, match="No host in us-east-1c has"):
        hosts.client().create_cache_cluster(CacheClusterId="big", Engine="memcached", CacheNodeType="cache.r6g.xlarge",
                                            NumCacheNodes=1, PreferredAvailabilityZone=C)  # fmt: skip


def test_any_control_plane_serves_and_knows_what_the_others_were_told(hosts: Hosts) -> None:
    for number, plane in enumerate(PLANES):
        hosts.client(plane).create_cache_cluster(CacheClusterId=f"m{number}", Engine="memcached", NumCacheNodes=1)
        for other in PLANES:
            found = hosts.client(other).describe_cache_clusters(CacheClusterId=f"m{number}")["CacheClusters"]
            assert [cluster["CacheClusterId"] for cluster in found] == [f"m{number}"]
    hosts.client("p3").get_waiter("cache_cluster_available").wait(CacheClusterId="m0", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    for plane in PLANES:
        measured = httpx.get(f"{hosts.url(plane)}/v1/metrics", params={"cache_cluster_id": "m0"}, timeout=30).json()
        assert measured["missing_agents"] == []
        assert [node["now"]["values"]["CurrConnections"] > 0 for node in measured["nodes"]] == [True]


def test_a_control_plane_that_leads_is_killed_and_failover_goes_on(hosts: Hosts) -> None:
    name = hosts.create("orders", [A, B, C])
    with writing(hosts, name) as writer:
        former = hosts.leader()
        hosts.planes[former].end(signal.SIGKILL)
        try:
            writer.go_on_for(50)
            wait_until(lambda: hosts.leader() not in ("", former), within=10)
            assert elections(hosts, "orders") == 0, "nobody was lost but a control plane"
            crashed = hosts.primary()
            hosts.kill_engine(crashed)
            wait_until(lambda: hosts.primary()["node"] != crashed["node"], within=20)
            writer.go_on_for(50)
        finally:
            hosts.start_plane(former)
    assert writer.lost(writer.everywhere) == []
    hosts.is_whole_soon()


def test_a_control_plane_that_leads_is_cut_off_and_another_takes_over(hosts: Hosts) -> None:
    name = hosts.create("orders", [A, B, C])
    with writing(hosts, name) as writer:
        former = hosts.leader()
        hosts.network.cut(former)
        wait_until(lambda: hosts.leader() not in ("", former), within=15)
        let_pass(3)  # in which the new one could take somebody for lost
        writer.go_on_for(50)
        hosts.network.join(former)
        wait_until(lambda: hosts._answers(former), within=10)
        writer.go_on_for(50)
    assert elections(hosts, "orders") == 0
    assert writer.lost(writer.acknowledged) == []


@pytest.mark.parametrize("cut", [("a1",), ("a1", "a2")], ids=["host", "zone"])
def test_the_primary_of_a_host_or_zone_that_is_cut_off_is_replaced_and_comes_back_as_a_replica(hosts: Hosts, cut: tuple[str, ...]) -> None:
    name = hosts.create("orders", [A, B, C])
    home = hosts.host_of("orders-001")
    away = cut if len(cut) > 1 else (home,)
    with writing(hosts, name) as writer:
        former = hosts.primary()
        hosts.network.cut(*away)
        wait_until(lambda: hosts.primary()["node"] != former["node"], within=20)
        writer.go_on_for(100)
        hosts.network.join(*away)
        hosts.is_whole_soon()
        writer.go_on_for(20)
    assert hosts.nodes()["orders-001"]["role"] == "replica"
    assert writer.lost(writer.everywhere) == [], "what every replica had acknowledged is there"
    with hosts.engine(hosts.nodes()["orders-001"]) as back:
        assert back.info("replication")["master_link_status"] == "up"


def test_the_nodes_of_a_lost_host_move_within_their_zone_and_it_keeps_nothing_of_them(hosts: Hosts) -> None:
    name = hosts.create("orders", [B, A, C])
    lost = hosts.host_of("orders-002")
    other = {"a1": "a2", "a2": "a1"}[lost]
    left = hosts.nodes()["orders-002"]
    with writing(hosts, name) as writer:
        hosts.network.cut(lost)
        wait_until(lambda: hosts.host_of("orders-002") == other, within=30, every=0.1)
        hosts.is_whole_soon()
        writer.go_on_for(20)
        hosts.network.join(lost)
        wait_until(lambda: is_gone(left["process_id"]), within=20)
        writer.go_on_for(20)
    assert writer.lost(writer.acknowledged) == []
    assert elections(hosts, "orders") == 0
    wait_until(lambda: list((hosts.agents[lost].folder / "nodes").glob("*")) == [], within=10)
    assert [event["Message"] for event in hosts.client().describe_events(SourceIdentifier="orders-002", SourceType="cache-cluster")["Events"]][:2] == [
        "Finished recovery for cache nodes 0001", "Recovering cache nodes 0001",
    ]  # fmt: skip


def test_a_host_that_is_drained_is_emptied_without_a_loss(hosts: Hosts) -> None:
    name = hosts.create("orders", [A, B, C])
    home = hosts.host_of("orders-001")
    other = {"a1": "a2", "a2": "a1"}[home]
    with writing(hosts, name) as writer:
        assert "is being emptied: 1 nodes are still there" in commanded(hosts, "agent", "drain", home)
        wait_until(lambda: hosts.host_of("orders-001") == other, within=30, every=0.1)
        hosts.is_whole_soon()
        writer.go_on_for(50)
    assert writer.lost(writer.acknowledged) == [], "a primary hands over before it moves"
    assert elections(hosts, "orders") == 1
    wait_until(lambda: list((hosts.agents[home].folder / "nodes").glob("*")) == [], within=10)
    assert hosts.nodes()["orders-001"]["role"] == "replica"


def test_the_only_node_with_its_data_waits_for_its_lost_host_until_that_was_removed(hosts: Hosts) -> None:
    name = hosts.create("alone", [A])
    home = hosts.host_of("alone-001")
    other = {"a1": "a2", "a2": "a1"}[home]
    with hosts.connect(name) as client:
        assert client.set("color", "green")
    hosts.network.cut(home)
    wait_until(lambda: not next(agent["heard"] for agent in hosts.ask("/v1/agents")["agents"] if agent["agent"] == home), within=20)
    let_pass(LOST_AFTER + 2)
    assert hosts.host_of("alone-001") == home, "its host may come back with the data"
    assert "is removed; its certificate is refused" in commanded(hosts, "agent", "remove", home, "--lost")
    wait_until(lambda: hosts.host_of("alone-001") == other, within=20, every=0.05)
    hosts.available("alone")
    hosts.is_whole_soon()
    with hosts.connect(name) as client:
        assert client.get("color") is None, "what only that host had is lost"
    hosts.network.join(home)
    hosts.agents[home].end(signal.SIGTERM)
    shutil.rmtree(hosts.agents[home].folder / "tls")
    hosts.start_agent(home)  # with the join token, as a new one
    wait_until(hosts.all_are_heard, within=30)
    wait_until(lambda: list((hosts.agents[home].folder / "nodes").glob("*")) == [], within=20)


def test_a_slow_link_slows_and_nobody_is_taken_for_lost(hosts: Hosts) -> None:
    name = hosts.create("orders", [C, A, B])
    with writing(hosts, name) as writer, hosts.connect(name) as client:
        client.ping()  # it is connected, and what is lost while the link changes comes again
        with hosts.network.slowed("c1", 0.05):
            assert took(client) >= 0.1, "there and back"
            writer.go_on_for(50)
            let_pass(3)  # longer than any lease
        writer.go_on_for(50)
    assert elections(hosts, "orders") == 0
    assert writer.lost(writer.acknowledged) == []


def test_an_agent_and_its_engines_outlive_each_other_on_their_host(hosts: Hosts) -> None:
    name = hosts.create("orders", [A, B, C])
    home = hosts.host_of("orders-001")
    with writing(hosts, name) as writer:
        hosts.agents[home].end(signal.SIGKILL)
        let_pass(3)
        writer.go_on_for(50)
        hosts.start_agent(home)
        wait_until(lambda: all(agent["heard"] for agent in hosts.ask("/v1/agents")["agents"]), within=20)
        writer.go_on_for(50)
    assert elections(hosts, "orders") == 0, "a replica elsewhere still heard it"
    assert writer.lost(writer.acknowledged) == []


def commanded(hosts: Hosts, *words: str) -> str:
    """What the command line answers."""
    done = subprocess.run([sys.executable, "-m", "cachewright", *words, "--url", hosts.url(hosts.answering())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def took(client: redis.Redis) -> float:
    """The quickest of a few round trips, in seconds."""
    best = 9.0
    for _ in range(5):
        began = time.monotonic()
        client.ping()
        best = min(best, time.monotonic() - began)
    return best


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
