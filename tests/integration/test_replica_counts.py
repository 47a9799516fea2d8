"""More and fewer replicas under clients: readers meet none that is empty, and a lost primary in the middle changes nothing of the end."""

from __future__ import annotations

import contextlib
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from caches import connected, new_account, new_name, refused, remove_everything
from integration.test_failover import Group
from servers import Server
from waiting import let_pass, wait_until
from writers import Writer

from cachewright import LocalServer
from cachewright import client as lab_client

QUICK, NEWEST = {"Engine": "valkey", "EngineVersion": "8.1"}, {"Engine": "valkey", "EngineVersion": "9.1"}
DISABLED, SHARDED = {"NumCacheClusters": 3}, {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 2}
COMPATIBLE = {"NumCacheClusters": 3, "ClusterMode": "compatible"}
MODES = pytest.mark.parametrize("shape", [DISABLED, COMPATIBLE, SHARDED], ids=["disabled", "compatible", "enabled"])
BALLAST, VALUE = 6000, "x" * 4096  # enough for a first copy to take a while


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


@pytest.fixture
def create(server: LocalServer, elasticache: Any, account: str) -> Iterator[Callable[..., Group]]:
    """Makes groups and puts them away."""
    names: list[str] = []

    def make(**wanted: Any) -> Group:
        names.append(new_name("s"))
        asked = {"ReplicationGroupId": names[-1], "ReplicationGroupDescription": "d", "AutomaticFailoverEnabled": True, **QUICK, **wanted}
        elasticache.create_replication_group(**asked)
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=names[-1])
        return Group(elasticache, server.url, account, names[-1])

    yield make
    for name in names:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        elasticache.delete_replication_group(ReplicationGroupId=name)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def scale(group: Group, operation: str, **asked: Any) -> Any:
    asked = {"ReplicationGroupId": group.name, "ApplyImmediately": True, **asked}
    return getattr(group.client, f"{operation}_replica_count")(**asked)["ReplicationGroup"]


def replicas(group: Group) -> list[int]:
    return [len(part["NodeGroupMembers"]) - 1 for part in group.seen()["NodeGroups"]]


def reader_of(group: Group) -> Any:
    return group.seen()["NodeGroups"][0]["ReaderEndpoint"]


class Reader:
    """Reads one key after another through the reader endpoint, each on a new connection, and asks who answered.

    ``wrong`` is what it was told that nobody in sync says; ``closed`` counts connections that ended before they had an answer.
    """

    def __init__(self, endpoint: Any, *, of_cluster: bool) -> None:
        self.met: set[str] = set()
        self.wrong: list[str] = []
        self.closed = 0
        self.reads = 0
        self._endpoint = endpoint
        self._first = ["READONLY"] * of_cluster
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def meet(self, number: int) -> None:
        """Return once so many different nodes have answered since now."""
        self.met.clear()
        wait_until(lambda: len(self.met) >= number, within=30)

    def _read(self) -> None:
        while not self._done.is_set():
            number = self.reads % BALLAST
            try:
                with connected(self._endpoint) as client:
                    batch = client.pipeline(transaction=False)
                    for command in self._first:
                        batch.execute_command(command)
                    *_, value, who = batch.get(f"ballast:{number}").info("server").execute()
                self.met.add(who["run_id"])
                if value != VALUE:
                    self.wrong.append(f"ballast:{number} is {value!r}")
            except redis.ConnectionError as ended:
                self.closed += 1
                if "refused" in str(ended):
                    self.wrong.append(str(ended))
            except redis.RedisError as said:
                self.wrong.append(str(said))
            self.reads += 1


def fill(group: Group) -> None:
    primary = group.seen()["NodeGroups"][0].get("PrimaryEndpoint")
    with connected(primary) if primary else contextlib.closing(group.connect()) as client:
        for first in range(0, BALLAST, 500):
            batch = client.pipeline(transaction=False) if primary else client.pipeline()
            for number in range(first, first + 500):
                batch.set(f"ballast:{number}", VALUE)
            batch.execute()
        if primary:
            assert client.wait(replicas(group)[0], 10000) == replicas(group)[0]


# ---- readers


@pytest.mark.usually("disabled-valkey-9.1", "compatible-valkey-8.1")
@pytest.mark.parametrize("engine", [QUICK, NEWEST], ids=["valkey-8.1", "valkey-9.1"])
@pytest.mark.parametrize("shape", [DISABLED, COMPATIBLE], ids=["disabled", "compatible"])
def test_readers_meet_no_replica_that_is_not_in_sync(create: Callable[..., Group], shape: Any, engine: Any) -> None:
    group = create(**shape, **engine)
    fill(group)
    with Writer(group.connect, replicas=0) as writer, Reader(reader_of(group), of_cluster=shape is COMPATIBLE) as reader:
        reader.meet(2)
        for number in (5, 1, 3):
            closed = reader.closed
            answer = scale(group, "increase" if number > replicas(group)[0] else "decrease", NewReplicaCount=number)
            assert answer["Status"] == "modifying"
            group.settled()
            assert replicas(group) == [number]
            if number > 1:
                assert reader.closed == closed, "nobody loses a connection to a replica that comes"
            reader.meet(number)
            assert len(reader.met) == number
        writer.go_on_for(20)
    assert reader.wrong == []
    assert writer.lost(writer.acknowledged) == []
    told = [message for source, message in group.messages() if source == group.name and "number of replicas" in message]
    steps = [("ncreasing", 2, 5), ("ecreasing", 5, 1), ("ncreasing", 1, 3)]
    assert told == [
        f"{word}{verb} number of replicas from {before} to {after}"
        for verb, before, after in steps
        for word in ("I" if verb[0] == "n" else "D", f"Finished {'i' if verb[0] == 'n' else 'd'}")
    ]


@pytest.mark.parametrize("way", ["DecreaseReplicaCount", "DeleteCacheCluster"])
def test_a_replica_leaves_the_reader_endpoint_before_it_ends(create: Callable[..., Group], way: str) -> None:
    group = create(**DISABLED)
    with contextlib.closing(group.connect()) as client:
        client.set("key", "value")
    victim = next(node for node in group.nodes() if node["node"] == f"{group.name}-003")
    through = _connection_through_the_reader_endpoint(group, victim)
    direct = redis.Redis(victim["address"], victim["port"], decode_responses=True, single_connection_client=True)
    with contextlib.closing(through), contextlib.closing(direct):
        assert through.get("key") == direct.get("key") == "value"
        ends = {name: _Ending(client) for name, client in (("through", through), ("direct", direct))}
        if way == "DecreaseReplicaCount":
            answer = scale(group, "decrease", ReplicasToRemove=[victim["node"]])
            assert {victim["node"]} < set(answer["MemberClusters"]), "it is shown until it has gone"
        else:
            group.client.delete_cache_cluster(CacheClusterId=victim["node"])
        at = {name: ending.at() for name, ending in ends.items()}
        assert at["through"] < at["direct"]
    group.settled()
    assert set(group.seen()["MemberClusters"]) == {f"{group.name}-001", f"{group.name}-002"}


def _connection_through_the_reader_endpoint(group: Group, node: dict[str, Any]) -> redis.Redis:
    def to_it() -> redis.Redis | None:
        endpoint = reader_of(group)
        client = redis.Redis(endpoint["Address"], endpoint["Port"], decode_responses=True, single_connection_client=True)
        if client.info("server")["run_id"] == node["run_id"]:
            return client
        client.close()
        return None

    return wait_until(to_it)  # type: ignore[return-value]


class _Ending:
    """Notes the moment at which the other side closes a connection."""

    def __init__(self, client: redis.Redis) -> None:
        self._socket = client.connection._sock  # type: ignore[union-attr]
        self._at: float | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def at(self) -> float:
        self._thread.join(timeout=20)
        assert self._at is not None, "the connection is still open"
        return self._at

    def _wait(self) -> None:
        select.select([self._socket], [], [], 20)
        self._at = time.monotonic()


# ---- a primary that is lost in the middle


@pytest.mark.usually(
    *("increase-4-0.0-disabled", "increase-4-0.05-compatible", "increase-4-0.3-enabled"),
    *("decrease-1-0.0-enabled", "decrease-1-0.05-disabled", "decrease-1-0.3-compatible"),
)
@MODES
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(("operation", "number"), [("increase", 4), ("decrease", 1)])
def test_a_primary_that_crashes_in_the_middle_changes_nothing_of_the_end(
    create: Callable[..., Group], shape: Any, moment: float, operation: str, number: int
) -> None:
    group = create(**shape)
    fill(group)
    primary = group.primary()["node"]
    with Writer(group.connect, replicas=2) as writer:
        wait_until(lambda: writer.everywhere)
        scale(group, operation, NewReplicaCount=number)
        let_pass(moment)
        group.kill(primary)
        group.settled()
        writer.go_on_for(20)
    assert replicas(group) == [number] * len(group.seen()["NodeGroups"])
    assert group.primary()["node"] != primary
    assert {node["desired_role"] for node in group.nodes() if node["node"] == primary} == {"replica"}
    assert writer.lost(writer.everywhere) == []


def test_a_new_replica_that_crashes_comes_all_the_same(create: Callable[..., Group]) -> None:
    group = create(**DISABLED)
    fill(group)
    scale(group, "increase", NewReplicaCount=3)
    group.kill(f"{group.name}-004")
    group.settled()
    assert replicas(group) == [3]


def test_while_the_number_changes_nobody_changes_it_again(create: Callable[..., Group]) -> None:
    group = create(**DISABLED)
    scale(group, "increase", NewReplicaCount=4)
    refused(lambda: scale(group, "increase", NewReplicaCount=5), "InvalidReplicationGroupState", "must be in available state to modify")
    refused(lambda: scale(group, "decrease", NewReplicaCount=1), "InvalidReplicationGroupState", "must be in available state to modify")
    group.settled()
    assert replicas(group) == [4]


# ---- a server that is killed in the middle


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data")
    yield made
    made.clear()


@pytest.mark.usually("increase-4-0.005", "increase-4-0.1", "decrease-1-0.0", "decrease-1-0.02")
@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.1])
@pytest.mark.parametrize(("operation", "number"), [("increase", 4), ("decrease", 1)])
def test_a_change_that_was_cut_short_is_finished_by_the_next_server(own_server: Server, operation: str, number: int, after: float) -> None:
    own_server.start()
    own_server.create(EngineVersion="8.1")
    own_server.available()
    scaled = getattr(own_server.api(), f"{operation}_replica_count")
    scaled(ReplicationGroupId="orders", NewReplicaCount=number, ApplyImmediately=True)
    let_pass(after)
    own_server.end(signal.SIGKILL)
    own_server.start()
    group = own_server.available()
    assert [len(part["NodeGroupMembers"]) - 1 for part in group["NodeGroups"]] == [number]
    running = own_server.engines()
    assert len(running) == len({handle.key for handle in running}) == number + 1, "an engine runs twice, or not at all"
    with connected(group["NodeGroups"][0]["PrimaryEndpoint"]) as primary:
        primary.set("key", "value")
        assert primary.wait(number, 5000) == number
    with connected(group["NodeGroups"][0]["ReaderEndpoint"]) as reader:
        assert reader.get("key") == "value"
    told = own_server.api().describe_events(SourceIdentifier="orders", SourceType="replication-group", Duration=60)["Events"]
    finished = [event["Message"] for event in told if event["Message"].startswith("Finished")]
    assert finished == [f"Finished {operation[:-1]}ing number of replicas from 2 to {number}"]


def test_a_replica_ends_although_the_agent_of_the_relay_is_out_of_touch(own_server: Server) -> None:
    """The relay is that of the first agent by name, which is zone a's; none of the nodes is there."""
    own_server.start()
    own_server.create(EngineVersion="8.1", PreferredCacheClusterAZs=["us-east-1b", "us-east-1c", "us-east-1c"])
    own_server.available()
    group = Group(own_server.api(), own_server.url, "000000000000", "orders")
    victim = group.node("orders-003")
    lab = lab_client("lab", endpoint_url=own_server.url)
    fault = lab.create_fault(Kind="agent-silence", Zone="us-east-1a", DurationSeconds=60)["Fault"]
    begun = time.monotonic()
    with redis.Redis(victim["address"], victim["port"], single_connection_client=True) as direct:
        assert direct.ping()
        ending = _Ending(direct)
        scale(group, "decrease", ReplicasToRemove=["orders-003"])
        assert 5 < ending.at() - begun < 20
    wait_until(lambda: len(group.seen()["MemberClusters"]) == 2)
    assert group.seen()["Status"] == "modifying", "the relay was not heard to spread without it"
    lab.delete_fault(FaultId=fault["FaultId"])
    group.settled()
