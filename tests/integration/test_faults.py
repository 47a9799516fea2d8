"""Injected faults on real engines: each kind does what it says, nothing else, and comes to an end by itself or when it is told to."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from bus import engine_at
from caches import QUICK, memcache, new_account, refused, remove_everything
from pymemcache.exceptions import MemcacheError
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import wait_until

from agents.faulting.packet_filter import find_filter, owner_of
from cachewright import LocalServer, local_server
from cachewright.data_folder import DataFolder

PRIMARY, SECOND, THIRD = "g-001", "g-002", "g-003"  # in the zones a, b and c
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
LONG = 120


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server of this module's own: what is done to a zone is done to everybody in it."""
    with local_server() as running:
        yield running


@dataclass(frozen=True)
class Lab:
    """An account with one group of three nodes, and what can be done to it."""

    server: LocalServer
    account: str
    addresses: dict[str, str]

    @property
    def elasticache(self) -> Any:
        return self.server.client(account_id=self.account)

    @property
    def lab(self) -> Any:
        return self.server.client("lab", account_id=self.account)

    def inject(self, kind: str, seconds: int = LONG, **target: Any) -> str:
        return str(self.lab.create_fault(Kind=kind, DurationSeconds=seconds, **target)["Fault"]["FaultId"])

    def part(self, kind: str, seconds: int = LONG, **target: Any) -> str | None:
        """Inject a fault into the network. None where nobody may filter packets, as the refusal has said by then."""
        if find_filter() is None:
            refused(lambda: self.inject(kind, seconds, **target), "InvalidParameterCombination", "root", "node-crash")
            return None
        return self.inject(kind, seconds, **target)

    def end(self, fault: str) -> None:
        assert self.lab.delete_fault(FaultId=fault)["Fault"]["Status"] == "ended"

    def fault(self, fault: str) -> dict[str, Any]:
        (found,) = [each for each in self.lab.describe_faults()["Faults"] if each["FaultId"] == fault]
        return dict(found)

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {node["Node"]: node for node in self.lab.describe_nodes(ReplicationGroupId="g")["Nodes"]}

    def leaders(self) -> list[dict[str, Any]]:
        """The nodes that say to be primary."""
        return [node for node in self.nodes().values() if node.get("Role") == "primary"]

    def heir_of(self, former: dict[str, Any]) -> dict[str, Any]:
        """The node that leads in another's stead, once one does."""
        (heir,) = wait_until(lambda: [node for node in self.leaders() if node["Node"] != former["Node"]], within=30)
        return heir

    def is_whole(self) -> bool:
        """Whether every node does its duty, and every engine says so too."""
        nodes = self.nodes().values()
        return all(node["InSync"] for node in nodes) and len({self.offset(node) for node in self.addresses}) == 1

    def offset(self, node: str) -> int:
        with engine_at(self.addresses[node]) as engine:
            return int(engine.info("replication")["master_repl_offset"])

    def write(self) -> None:
        """One write at whichever node leads."""
        (leader,) = wait_until(self.leaders)
        with engine_at(leader["Address"]) as engine:
            engine.incr("written")

    def messages(self) -> list[str]:
        return [event["Message"] for event in self.elasticache.describe_events(Duration=60)["Events"]]


def made(server: LocalServer, *, sharded: bool = False) -> Lab:
    """A new account with a group that is available, in cluster mode if ``sharded``."""
    lab = Lab(server, new_account(), {})
    size = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 2} if sharded else {"NumCacheClusters": 3}
    parameters = {"CacheParameterGroupName": "default.valkey8.cluster.on"} if sharded else {}
    lab.elasticache.create_replication_group(
        ReplicationGroupId="g", ReplicationGroupDescription="d", AutomaticFailoverEnabled=True, **QUICK, **size, **parameters
    )
    lab.elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="g")
    lab.addresses.update({name: node["Address"] for name, node in lab.nodes().items()})
    return lab


@pytest.fixture
def lab(server: LocalServer) -> Iterator[Lab]:
    group = made(server)
    yield group
    for fault in group.lab.describe_faults(Status="active")["Faults"]:
        group.end(fault["FaultId"])
    remove_everything(group.elasticache)


def impatient(address: str, patience: float = 0.3) -> redis.Redis:
    """A client that gives up soon, and does not try again."""
    return redis.Redis(address, 6379, socket_timeout=patience, socket_connect_timeout=patience, retry=Retry(NoBackoff(), 0))


def rules(server: LocalServer) -> int:
    """How many of the packet filter's rules the server's agents have."""
    works = find_filter()
    return 0 if works is None else sum(works.count(owner_of(folder)) for folder in (server.data_dir / "agents").glob("*"))


# --- Nodes ---


def test_a_crashed_node_is_replaced_and_the_fault_is_over_at_once(lab: Lab) -> None:
    before = lab.nodes()[THIRD]
    fault = lab.inject("node-crash", CacheClusterId=THIRD)
    wait_until(lambda: lab.fault(fault)["Status"] == "ended")
    assert lab.fault(fault)["EndedBecause"] == "it is done"
    wait_until(lambda: lab.nodes()[THIRD]["Boot"] > before["Boot"] and lab.is_whole(), within=30)
    assert lab.nodes()[THIRD]["ProcessId"] != before["ProcessId"]
    assert any(message.startswith(f"Fault {fault} (node-crash) injected into cache cluster {THIRD}") for message in lab.messages())


def test_a_node_that_hangs_answers_nobody_until_it_goes_on(lab: Lab) -> None:
    process = lab.nodes()[THIRD]["ProcessId"]
    fault = lab.inject("node-hang", seconds=2, CacheClusterId=THIRD)
    with impatient(lab.addresses[THIRD]) as client:
        wait_until(lambda: _times_out(client))
        with impatient(lab.addresses[SECOND]) as other:
            assert other.ping(), "another node hangs as well"
        wait_until(lambda: not _times_out(client))
    wait_until(lambda: lab.fault(fault)["Status"] == "ended")
    assert lab.fault(fault)["EndedBecause"] == "its time is up"
    wait_until(lab.is_whole)
    assert lab.nodes()[THIRD]["ProcessId"] == process, "the node was not left to go on"


def test_a_hang_that_is_ended_early_is_over_at_once(lab: Lab) -> None:
    fault = lab.inject("node-hang", CacheClusterId=THIRD)
    with impatient(lab.addresses[THIRD]) as client:
        wait_until(lambda: _times_out(client))
        lab.end(fault)
        wait_until(lambda: not _times_out(client), within=2)
    assert lab.fault(fault)["EndedBecause"] == "it was ended by its caller"


@pytest.mark.parametrize("kind", ["node-hang", "zone-power-loss"])
@pytest.mark.parametrize("sharded", [False, True], ids=["disabled", "enabled"])
def test_a_primary_that_hangs_or_has_no_power_for_long_is_replaced(server: LocalServer, sharded: bool, kind: str) -> None:
    lab = made(server, sharded=sharded)
    (former,) = lab.leaders()
    target = {"CacheClusterId": former["Node"]} if kind == "node-hang" else {"Zone": former["Zone"]}
    with engine_at(former["Address"]) as engine:
        assert engine.set("kept", "1") and engine.wait(2, 2000) == 2
    fault = lab.inject(kind, **target)
    heir = lab.heir_of(former)
    with engine_at(heir["Address"]) as engine:
        wait_until(lambda: engine.info("replication")["role"] == "master")
        assert engine.get("kept") == "1"
    lab.end(fault)
    wait_until(lab.is_whole, within=60)
    back = lab.nodes()[former["Node"]]
    assert (back["Role"], back["Zone"], back["Address"]) == ("replica", former["Zone"], former["Address"])
    assert back["ProcessId"] != former["ProcessId"]
    remove_everything(lab.elasticache)


def test_a_group_of_which_every_node_crashed_comes_back_empty_at_the_same_endpoints(lab: Lab) -> None:
    """Whoever leads it then: three agents kill their engines milliseconds apart, and a replica may be elected before its own turn."""
    (before,) = lab.elasticache.describe_replication_groups()["ReplicationGroups"]
    endpoint = before["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    with engine_at(endpoint) as engine:
        assert engine.set("lost", "1") and engine.wait(2, 2000) == 2
    boots = {name: node["Boot"] for name, node in lab.nodes().items()}
    lab.inject("node-crash", ReplicationGroupId="g")
    wait_until(lambda: all(node["Boot"] > boots[name] for name, node in lab.nodes().items()) and lab.is_whole(), within=60)

    def without_roles() -> tuple[list[str], dict[str, Any]]:
        (group,) = lab.elasticache.describe_replication_groups()["ReplicationGroups"]
        return sorted(member.pop("CurrentRole") for member in group["NodeGroups"][0]["NodeGroupMembers"]), group

    for member in before["NodeGroups"][0]["NodeGroupMembers"]:
        del member["CurrentRole"]
    wait_until(lambda: without_roles() == (["primary", "replica", "replica"], before), within=30)
    with engine_at(endpoint) as engine:
        assert engine.get("lost") is None and engine.set("again", "1")


def test_a_slow_node_answers_late_and_the_others_do_not(lab: Lab) -> None:
    fault = lab.inject("node-slow", CacheClusterId=THIRD, Slowness=0.9)
    with impatient(lab.addresses[THIRD], 5) as slow, impatient(lab.addresses[SECOND], 5) as quick:
        wait_until(lambda: _slowest(slow) > 0.05)
        assert _typical(quick) < 0.02
        lab.end(fault)
        wait_until(lambda: _slowest(slow) < 0.02)


def test_one_node_of_a_memcached_cluster_hangs(lab: Lab) -> None:
    lab.elasticache.create_cache_cluster(CacheClusterId="m", Engine="memcached", NumCacheNodes=2)
    lab.elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId="m")
    shown = lab.elasticache.describe_cache_clusters(CacheClusterId="m", ShowCacheNodeInfo=True)["CacheClusters"][0]["CacheNodes"]
    at = {node["CacheNodeId"]: node["Endpoint"] for node in shown}
    refused(lambda: lab.inject("node-hang", CacheClusterId="m", CacheNodeId="0009"), "InvalidParameterValue", "0009")
    fault = lab.lab.create_fault(Kind="node-hang", CacheClusterId="m", CacheNodeId="0002", DurationSeconds=3)["Fault"]
    assert fault["Nodes"] == ["m/0002"]
    (hung,) = [node for node in lab.lab.describe_nodes(CacheClusterId="m")["Nodes"] if node["Node"] == "0002"]
    wait_until(lambda: psutil.Process(hung["ProcessId"]).status() == psutil.STATUS_STOPPED)
    with memcache(at["0001"]) as client:
        client.set("a", "1", noreply=False)
    with memcache(at["0002"]) as client, contextlib.suppress(MemcacheError):
        began = time.monotonic()
        client.set("a", "1", noreply=False)
        assert time.monotonic() - began > 0.5, "a node that hangs has answered"


# --- Zones without a network's help ---


def test_a_group_loses_the_power_of_a_zone_until_it_is_back(lab: Lab) -> None:
    fault = lab.inject("zone-power-loss", ReplicationGroupId="g", Zone=A)
    assert lab.fault(fault)["Nodes"] == [PRIMARY]
    wait_until(lambda: lab.nodes()[PRIMARY]["DesiredRole"] == "replica")
    wait_until(lambda: "power loss" in (lab.nodes()[PRIMARY].get("Problem") or ""))
    booted = lab.nodes()[PRIMARY]["Boot"]
    lab.write()
    with pytest.raises(redis.ConnectionError), impatient(lab.addresses[PRIMARY]) as client:
        client.ping()
    assert lab.nodes()[PRIMARY]["Boot"] <= booted + 1, "it is started again and again without power"
    lab.end(fault)
    wait_until(lab.is_whole, within=30)


def test_a_zone_loses_power_with_its_agent_and_comes_back_by_itself(lab: Lab) -> None:
    other = made(lab.server)
    fault = lab.inject("zone-power-loss", seconds=3, Zone=C)
    assert lab.fault(fault)["Agents"] == ["agent-c"]
    for each in (lab, other):  # a zone is everybody's
        with impatient(each.addresses[THIRD]) as client:
            wait_until(lambda client=client: _is_refused(client))  # type: ignore[misc]
    wait_until(lambda: lab.fault(fault)["Status"] == "ended")
    for each in (lab, other):
        wait_until(each.is_whole, within=30)
    refused(lambda: other.end(fault), "FaultNotFound")
    remove_everything(other.elasticache)


def test_a_silent_agent_says_nothing_while_its_engines_go_on(lab: Lab) -> None:
    fault = lab.inject("agent-silence", Zone=C)
    boot, process = lab.nodes()[THIRD]["Boot"], lab.nodes()[THIRD]["ProcessId"]
    with impatient(lab.addresses[THIRD]) as client:
        assert client.ping()
        lab.write()
        wait_until(lambda: client.get("written") == b"1")
    crash = lab.inject("node-crash", CacheClusterId=THIRD)
    with impatient(lab.addresses[THIRD]) as client:
        wait_until(lambda: _is_refused(client))
    assert lab.nodes()[THIRD]["ProcessId"] == process, "a silent agent has reported"
    assert lab.nodes()[THIRD]["Boot"] == boot
    wait_until(lambda: lab.fault(crash)["Status"] == "ended")
    lab.end(fault)
    wait_until(lambda: lab.nodes()[THIRD]["Boot"] > boot and lab.is_whole(), within=30)


# --- The network ---


def test_nothing_passes_between_an_isolated_zone_and_the_others(lab: Lab) -> None:
    fault = lab.part("zone-isolation", Zone=C)
    if fault is None:
        return
    wait_until(lambda: rules(lab.server) == 4)
    _must_hear_nothing(lab, THIRD)
    _must_reach(lab, SECOND)
    lab.end(fault)
    wait_until(lab.is_whole, within=60)
    assert rules(lab.server) == 0


def test_a_primary_in_an_isolated_zone_is_replaced_and_comes_back_as_a_replica(lab: Lab) -> None:
    fault = lab.part("zone-isolation", Zone=A)
    if fault is None:
        return
    wait_until(lambda: lab.nodes()[PRIMARY]["DesiredRole"] == "replica", within=30)
    (leader,) = [name for name, node in lab.nodes().items() if node["DesiredRole"] == "primary"]
    with engine_at(lab.addresses[leader]) as engine:
        wait_until(lambda: engine.info("replication")["role"] == "master")
        engine.set("after", "the loss")
    lab.end(fault)
    wait_until(lab.is_whole, within=60)
    with engine_at(lab.addresses[PRIMARY]) as engine:
        assert (engine.info("replication")["role"], engine.get("after")) == ("slave", "the loss")


@pytest.mark.parametrize("sharded", [False, True], ids=["disabled", "enabled"])
def test_a_former_primary_that_comes_back_never_serves_its_old_role_and_forgets_what_it_took_alone(server: LocalServer, sharded: bool) -> None:
    lab = made(server, sharded=sharded)
    (group,) = lab.elasticache.describe_replication_groups()["ReplicationGroups"]
    (former,) = lab.leaders()
    endpoint = (group["ConfigurationEndpoint"] if sharded else group["NodeGroups"][0]["PrimaryEndpoint"])["Address"]
    fault = lab.part("zone-isolation", Zone=former["Zone"])
    if fault is not None:
        wait_until(lambda: rules(server) > 0)
        with engine_at(former["Address"]) as alone:
            assert alone.set("divergent", "1")
        heir = lab.heir_of(former)
        with engine_at(heir["Address"]) as engine:
            in_office = (engine.info("server")["run_id"], "master")
        wait_until(lambda: _served_by(endpoint) == in_office, within=30)
        lab.end(fault)
        wait_until(lambda: _must_be_served_by(endpoint, in_office) and lab.is_whole(), within=60)
        for address in lab.addresses.values():
            with engine_at(address) as engine, contextlib.suppress(redis.ResponseError):
                engine.execute_command("READONLY")  # type: ignore[no-untyped-call]
                assert engine.get("divergent") is None
        assert _served_by(endpoint) == in_office
    remove_everything(lab.elasticache)


def _served_by(endpoint: str) -> tuple[str, str] | None:
    """The run id and the role of the engine that answers there, if one does."""
    with contextlib.suppress(redis.ConnectionError), impatient(endpoint) as client:
        return client.info("server")["run_id"], client.info("replication")["role"]
    return None


def _must_be_served_by(endpoint: str, in_office: tuple[str, str]) -> bool:
    assert _served_by(endpoint) == in_office
    return True


def test_a_cut_link_parts_two_zones_and_no_third(lab: Lab) -> None:
    fault = lab.part("link-cut", seconds=6, Zones=[A, B])
    if fault is None:
        return
    wait_until(lambda: rules(lab.server) == 4)
    _must_hear_nothing(lab, SECOND)
    _must_reach(lab, THIRD)
    wait_until(lambda: lab.fault(fault)["Status"] == "ended")
    wait_until(lab.is_whole, within=60)
    assert rules(lab.server) == 0


def test_the_cluster_bus_misses_a_node_that_is_isolated(server: LocalServer) -> None:
    lab = made(server, sharded=True)
    zones = {node["Zone"]: lab.addresses[name] for name, node in lab.nodes().items()}
    fault = lab.part("zone-isolation", Zone=C)
    if fault is not None:
        wait_until(lambda: _is_missed(zones[A], zones[C]), within=30)
        assert not _is_missed(zones[A], zones[B])
        lab.end(fault)
        wait_until(lambda: not _is_missed(zones[A], zones[C]), within=60)
        wait_until(lambda: all(node["InSync"] for node in lab.nodes().values()), within=60)
    remove_everything(lab.elasticache)


# --- What is refused ---


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"Kind": "node-crash", "CacheClusterId": "nobody"}, "CacheClusterNotFound", "nobody"),
        ({"Kind": "node-crash", "ReplicationGroupId": "nobody"}, "ReplicationGroupNotFoundFault", "nobody"),
        ({"Kind": "node-crash", "Zone": A}, "InvalidParameterCombination", "cache_cluster_id"),
        ({"Kind": "link-cut", "Zones": [A, A]}, "InvalidParameterCombination", "two"),
        ({"Kind": "agent-silence", "Zone": "us-east-1x"}, "InvalidParameterValue", "us-east-1x"),
        ({"Kind": "meteor", "Zone": A}, "InvalidParameterValue", "node-crash"),
    ],
)
def test_what_cannot_be_is_refused(server: LocalServer, asked: dict[str, Any], code: str, words: str) -> None:
    refused(lambda: server.client("lab").create_fault(**asked), code, words)


# --- What a killed server leaves ---


def test_the_next_server_goes_on_with_the_faults_of_a_killed_one(tmp_path: Path) -> None:
    """What a killed server has stopped and cut stays so; the next one undoes what is over by then, and goes on with the rest."""
    folder = tmp_path / "data"
    with local_server(data_dir=folder) as first:
        lab = made(first)
        hang, cut = lab.inject("node-hang", CacheClusterId=THIRD), lab.part("link-cut", Zones=[A, B])
        short = lab.inject("node-hang", seconds=1, CacheClusterId=SECOND)
        with impatient(lab.addresses[SECOND]) as client:
            wait_until(lambda: _times_out(client))
        os.kill(first.pid, signal.SIGKILL)
    with impatient(lab.addresses[THIRD]) as client:
        assert _times_out(client)
    with local_server(data_dir=folder) as second:
        later = replace(lab, server=second)
        wait_until(lambda: later.fault(short)["Status"] == "ended")
        with impatient(lab.addresses[SECOND]) as client:
            wait_until(lambda: not _times_out(client))
        assert later.fault(hang)["Status"] == "active"
        with impatient(lab.addresses[THIRD]) as client:
            assert _times_out(client)
            assert cut is None or rules(second) == 4
            later.end(hang)
            wait_until(lambda: not _times_out(client))
        if cut is not None:
            later.end(cut)
        wait_until(later.is_whole, within=60)
        wait_until(lambda: rules(second) == 0)
    DataFolder(folder).remove()


def _must_hear_nothing(lab: Lab, node: str) -> None:
    """However much is written, nothing of it arrives at that node for two seconds and more."""

    def hears_nothing() -> bool:
        lab.write()
        with engine_at(lab.addresses[node]) as engine:
            return int(engine.info("replication")["master_last_io_seconds_ago"]) >= 2

    before = lab.offset(node)
    wait_until(hears_nothing, every=0.05)
    assert lab.offset(node) == before


def _must_reach(lab: Lab, node: str) -> None:
    """Writes go on, and arrive at that node."""
    for _ in range(5):
        lab.write()
    wait_until(lambda: lab.offset(node) == lab.offset(PRIMARY))


def _times_out(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.TimeoutError:
        return True
    return False


def _is_refused(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ConnectionError:
        return True
    return False


def _took(client: redis.Redis) -> float:
    began = time.monotonic()
    client.ping()
    return time.monotonic() - began


def _slowest(client: redis.Redis) -> float:
    return max(_took(client) for _ in range(20))


def _typical(client: redis.Redis) -> float:
    return sorted(_took(client) for _ in range(20))[10]


def _is_missed(at: str, other: str) -> bool:
    """Whether one node's engine takes another for failing, as the cluster bus has it."""
    with engine_at(at) as engine:
        nodes = engine.execute_command("CLUSTER NODES")
    (flags,) = [node["flags"].split(",") for address, node in nodes.items() if address.startswith(f"{other}:")]
    return "fail" in flags or "fail?" in flags
