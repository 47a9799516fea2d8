"""Failover that a caller asks for: a primary hands over to a replica, and nobody who writes loses anything."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from bus import must_agree
from caches import connected, new_account, new_name, refused, remove_everything
from groups import Group
from servers import Server
from waiting import let_pass, wait_until
from writers import Writer

from cachewright import LocalServer

VALKEY, REDIS = {"Engine": "valkey", "EngineVersion": "9.1"}, {"Engine": "redis", "EngineVersion": "7.0"}
ENGINES = pytest.mark.parametrize("engine", [VALKEY, REDIS], ids=["valkey-9.1", "redis-7.0"])
DISABLED, SHARDED = {"NumCacheClusters": 3}, {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 2}
MODES = pytest.mark.parametrize("shape", [DISABLED, SHARDED], ids=["disabled", "enabled"])
MOMENTS = [0.0, 0.003, 0.008, 0.02, 0.06, 0.2]
BLOCKED_AT_MOST = 4.0  # seconds: a primary yields for two at most, and a busy machine adds to that
STATE, COMBINATION, VALUE = "InvalidReplicationGroupState", "InvalidParameterCombination", "InvalidParameterValue"


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
        names.append(new_name("f"))
        usual = {"AutomaticFailoverEnabled": True, **VALKEY, **({} if "NumNodeGroups" in wanted else DISABLED)}
        elasticache.create_replication_group(
            ReplicationGroupId=names[-1], ReplicationGroupDescription="d", **{**usual, **wanted}
        )
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=names[-1])
        return Group(elasticache, server.url, account, names[-1])

    yield make
    for name in names:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        elasticache.delete_replication_group(ReplicationGroupId=name)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


# ---- TestFailover


@ENGINES
@MODES
def test_failover_is_tested_under_writes_and_none_is_lost(create: Callable[..., Group], shape: Any, engine: Any) -> None:
    group = create(**shape, **engine)
    former = group.primary()
    others = {node["node"]: node["process_id"] for node in group.nodes() if node["node"] != former["node"]}
    statuses: set[str] = set()
    with Writer(group.connect, replicas=0) as writer:
        wait_until(lambda: all(node["offset"] > 0 for node in group.nodes()))  # the history tells of what was last reported
        answer = group.fail_over()
        assert answer["Status"] == "available"
        assert _roles(answer).get(former["node"]) == ("primary" if shape is DISABLED else None)  # as it is now, not as it will be

        def rebuilt() -> bool:
            seen = group.seen()
            statuses.update([seen["Status"], *(part["Status"] for part in seen["NodeGroups"])])
            node = group.node(former["node"])
            return node.get("process_id") != former["process_id"] and node["in_sync"] and node.get("role") == "replica"

        wait_until(rebuilt, within=60, every=0.02)
        writer.go_on_for(50)
    group.settled()
    heir = group.primary()
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    assert statuses == {"available"}
    assert heir["node"] != former["node"]
    assert group.node(former["node"])["address"] == former["address"]
    assert {node["node"]: node["process_id"] for node in group.nodes() if node["node"] in others} == others, "only the former starts again"
    _events_must_be_told(group, former["node"], heir["node"])
    _must_be_told_in_the_history(group, former["node"], heir["node"])
    if shape is SHARDED:
        wait_until(lambda: _all_agree(group))  # engines hear of a rebuilt one by gossip, once a second
    else:
        roles = _roles(group.seen())
        assert [node for node, role in roles.items() if role == "primary"] == [heir["node"]]
        assert len(roles) == 3


def _all_agree(group: Group) -> bool:
    try:
        return bool(must_agree(group.client, group.url, group.account, group.name))
    except AssertionError:
        return False


def _roles(group: Any) -> dict[str, str]:
    members = group["NodeGroups"][0]["NodeGroupMembers"]
    return {member["CacheClusterId"]: member["CurrentRole"] for member in members if "CurrentRole" in member}


def _events_must_be_told(group: Group, former: str, heir: str) -> None:
    completed = f"Failover from primary node {former} to replica node {heir} completed"
    expected = [
        (group.name, "Test Failover API called for node group 0001"),
        (heir, completed),
        (group.name, completed),
        (former, "Recovering cache nodes 0001"),
        (former, "Finished recovery for cache nodes 0001"),
    ]
    told = group.messages()
    assert told[told.index(expected[0]) :] == expected


def _must_be_told_in_the_history(group: Group, former: str, heir: str) -> None:
    (election,) = group.history()
    assert (election["node_group_id"], election["epoch"], election["former"], election["elected"]) == ("0001", 2, former, heir)
    assert election["because"] == f"a caller asked for it; {heir} has every write of {former}"
    candidates = {each["cache_cluster_id"]: each for each in election["candidates"]}
    assert len(candidates) == 2 and former not in candidates
    assert candidates[heir]["proven"] and candidates[heir]["offset"] > 0


def test_failover_can_be_tested_again_and_again(create: Callable[..., Group]) -> None:
    group = create()
    with Writer(group.connect, replicas=0) as writer:
        for _ in range(3):
            former = group.primary()["node"]
            group.fail_over()
            wait_until(lambda former=former: (group._leader("0001") or {}).get("node") not in (None, former))  # type: ignore[misc]
            group.settled()
            writer.go_on_for(20)
    assert writer.lost(writer.acknowledged) == []
    elected = [election["elected"] for election in group.history()]
    assert [election["former"] for election in group.history()][:2] == elected[1:]
    assert [election["epoch"] for election in group.history()] == [4, 3, 2]


def test_refusals_of_a_failover_test(create: Callable[..., Group], elasticache: Any) -> None:
    group = create(NumCacheClusters=2)
    ask = elasticache.test_failover
    refused(lambda: ask(ReplicationGroupId="nowhere", NodeGroupId="0001"), "ReplicationGroupNotFoundFault", "nowhere")
    refused(lambda: ask(ReplicationGroupId=group.name, NodeGroupId="0002"), "NodeGroupNotFoundFault", "0002")
    group.fail_over()
    refused(group.fail_over, STATE, "still being replaced")
    group.settled()
    alone = create(NumCacheClusters=1, AutomaticFailoverEnabled=False)
    refused(alone.fail_over, COMBINATION, "Automatic failover must be enabled")
    elasticache.create_replication_group(
        ReplicationGroupId=f"{group.name}-new", ReplicationGroupDescription="d", NumCacheClusters=3, AutomaticFailoverEnabled=True, **VALKEY
    )
    refused(lambda: ask(ReplicationGroupId=f"{group.name}-new", NodeGroupId="0001"), STATE, "available state")
    no_replica = create(NumNodeGroups=2, ReplicasPerNodeGroup=0)
    refused(no_replica.fail_over, "TestFailoverNotAvailableFault", "no replica")


def test_a_replica_that_is_added_while_a_handover_runs_joins_the_heir(create: Callable[..., Group], elasticache: Any) -> None:
    group = create()
    former = group.primary()["node"]
    with Writer(group.connect, replicas=0) as writer:
        group.fail_over()
        elasticache.create_cache_cluster(CacheClusterId=f"{group.name}-x", ReplicationGroupId=group.name)
        wait_until(lambda: len(group.nodes()) == 4 and (group._leader("0001") or {}).get("node") not in (None, former), within=30)
        group.settled()
    heir = group.primary()
    assert writer.lost(writer.acknowledged) == []
    with connected({"Address": heir["address"], "Port": heir["port"]}) as engine:
        assert engine.info("replication")["connected_slaves"] == 3


# ---- manual promotion


@ENGINES
def test_a_replica_is_promoted_by_hand(create: Callable[..., Group], engine: Any) -> None:
    group = create(AutomaticFailoverEnabled=False, **engine)
    former = group.primary()
    pids = {node["node"]: node["process_id"] for node in group.nodes()}
    heir = f"{group.name}-003"
    with Writer(group.connect, replicas=0) as writer:
        assert group.promote(heir.upper())["Status"] == "modifying"
        group.client.get_waiter("replication_group_available").wait(ReplicationGroupId=group.name)
        assert _roles(group.seen()) == {former["node"]: "replica", f"{group.name}-002": "replica", heir: "primary"}
        group.settled()
        writer.go_on_for(50)
    assert writer.lost(writer.acknowledged) == []
    assert writer.longest < BLOCKED_AT_MOST
    assert {node["node"]: node["process_id"] for node in group.nodes()} == pids, "nobody is started again"
    assert not [message for _, message in group.messages() if "Recovering" in message]
    (election,) = group.history()
    assert (election["former"], election["elected"], election["epoch"]) == (former["node"], heir, 2)


def test_refusals_of_a_promotion(create: Callable[..., Group]) -> None:
    group = create(NumCacheClusters=2)
    second = f"{group.name}-002"
    refused(lambda: group.promote(second), STATE, "Cannot manually promote a new master cache cluster while autofailover is enabled")
    group.client.modify_replication_group(ReplicationGroupId=group.name, AutomaticFailoverEnabled=False, ApplyImmediately=True)
    group.settled()
    refused(lambda: group.promote("nobody"), VALUE, "nobody is not a cache cluster of replication group")
    refused(lambda: group.promote(f"{group.name}-001"), COMBINATION, "No modifications were requested")
    assert group.history() == []
    sharded = create(**SHARDED)
    refused(lambda: sharded.promote(f"{sharded.name}-0001-002"), COMBINATION, "cluster mode enabled")


def test_with_failover_off_a_killed_primary_is_rebuilt_in_its_place_with_its_data(create: Callable[..., Group]) -> None:
    group = create(AutomaticFailoverEnabled=False)
    former = group.primary()
    with Writer(group.connect, replicas=2) as writer:
        wait_until(lambda: len(writer.everywhere) > 5)
        group.kill(former["node"])
        wait_until(lambda: group.node(former["node"]).get("process_id") not in (None, former["process_id"]), within=30)
        group.settled()
        writer.go_on_for(20)
    assert group.primary()["node"] == former["node"]
    assert writer.lost(writer.everywhere) == []
    back, stood_in = group.history()
    assert (stood_in["former"], back["elected"], back["former"]) == (former["node"], former["node"], stood_in["elected"])
    assert (back["because"], stood_in["epoch"], back["epoch"]) == (f"{former['node']} is rebuilt in its place", 2, 3)
    assert {each["cache_cluster_id"]: each["answered"] for each in stood_in["candidates"]} == dict.fromkeys(
        (f"{group.name}-002", f"{group.name}-003"), True
    )


# ---- a crash in the middle


@pytest.mark.usually(
    *("disabled-primary-0.0", "disabled-primary-0.008", "disabled-primary-0.06", "enabled-primary-0.003", "enabled-primary-0.02"),
    *("disabled-heir-0.003", "disabled-heir-0.02", "enabled-heir-0.0", "enabled-heir-0.008", "enabled-heir-0.06"),
)
@pytest.mark.parametrize("after", MOMENTS)
@pytest.mark.parametrize("victim", ["primary", "heir"])
@MODES
def test_a_crash_in_the_middle_of_a_handover_ends_right(create: Callable[..., Group], shape: Any, victim: str, after: float) -> None:
    group = create(**shape, EngineVersion="8.1")
    former = group.primary()["node"]
    with Writer(group.connect, replicas=0 if shape is SHARDED else 2) as writer:
        group.fail_over()
        let_pass(after)
        heir = next((each["elected"] for each in group.history()), f"{former[:-1]}2")
        group.kill(former if victim == "primary" else heir)
        _must_end_right(group)
        writer.go_on_for(50)
    assert writer.lost(writer.everywhere) == []
    assert len(writer.everywhere) > 0 or shape is SHARDED
    assert writer.longest < BLOCKED_AT_MOST
    epochs = [election["epoch"] for election in group.history() if election["node_group_id"] == "0001"]
    assert epochs == list(range(len(epochs) + 1, 1, -1))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that this test may kill."""
    made = Server(tmp_path / "data")
    yield made
    made.clear()


@pytest.mark.usually("0.0", "0.008", "0.06")
@pytest.mark.parametrize("after", MOMENTS)
def test_a_server_that_is_killed_in_the_middle_of_a_handover_leaves_nobody_waiting(own_server: Server, after: float) -> None:
    own_server.start()
    own_server.create(EngineVersion="8.1")
    at = own_server.available()["NodeGroups"][0]["PrimaryEndpoint"]

    def connect() -> redis.Redis:
        return redis.Redis(host=at["Address"], port=at["Port"], decode_responses=True, socket_timeout=5)

    with Writer(connect, replicas=2) as writer:
        own_server.api().test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
        let_pass(after)
        own_server.end(signal.SIGKILL)
        let_pass(3.0)  # with nobody to elect it, the heir waits in vain, and the primary goes on
        own_server.start()
        group = Group(own_server.api(), own_server.url, "000000000000", "orders")
        _must_end_right(group)
        writer.go_on_for(50)
    assert writer.lost(writer.everywhere) == []
    assert len(writer.everywhere) > 0
    assert group.history()[-1]["former"] == "orders-001"
    assert not [message for _, message in group.messages() if "stays" in message], "the wish was given up"


def _must_end_right(group: Group) -> None:
    """Everybody is in sync, and nothing is left of this handover: another one may be asked for, and comes true."""
    group.settled()
    former = wait_until(lambda: _asked_again(group), within=60, every=0.02)
    wait_until(lambda: group.history()[0]["former"] == former, within=30)
    group.settled()


def _asked_again(group: Group) -> str | None:
    """The primary that a new test of failover was taken for; None while the last one is not over."""
    primary = str(group.primary()["node"])
    try:
        group.fail_over()
    except group.client.exceptions.InvalidReplicationGroupStateFault:
        return None
    return primary

