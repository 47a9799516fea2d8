"""Node groups come and go while clients of every kind write: no command fails, nothing is lost, and everybody agrees in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bus import engine_at
from caches import describe_cache_cluster, new_account
from cluster_clients import Connect, Glide, RedisPy, Strict
from ledger import Load
from npm import folder_with, told_by
from resharding import BALLAST, Group, ballast_lost, fill
from waiting import wait_until

from cachewright import LocalServer

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
VALKEY_9 = {"Engine": "valkey", "EngineVersion": "9.1"}
VALKEY_8 = {"Engine": "valkey", "EngineVersion": "8.1"}
REDIS_7 = {"Engine": "redis", "EngineVersion": "7.0"}

Create = Callable[..., Group]

# On Valkey 8 slots are open for a moment, and redis-py 8.1 ends an ASK to a node that it does not know with an AttributeError
# ("'NoneType' object has no attribute 'redis_connection'"). There others show that no command fails.
CLIENTS = pytest.mark.parametrize(
    ("engine", "connect"),
    [
        pytest.param(VALKEY_9, RedisPy, id="valkey-9.1-redis-py"),
        pytest.param(VALKEY_9, Strict, id="valkey-9.1-strict"),
        pytest.param(VALKEY_8, Glide, id="valkey-8.1-glide"),
        pytest.param(VALKEY_8, Strict, id="valkey-8.1-strict"),
        pytest.param(REDIS_7, RedisPy, id="redis-7.0-redis-py"),
    ],
)


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return new_account()


@pytest.fixture
def create(server: LocalServer, account: str) -> Iterator[Create]:
    """Creates groups, and removes them when the test is over."""
    made: list[Group] = []

    def ask(**wanted: Any) -> Group:
        made.append(Group(server.client(account_id=account), lambda: server.url, account, **wanted))
        return made[-1]

    yield ask
    for group in made:
        group.remove()


def layout(*slots: str, replicas: int = 0) -> dict[str, Any]:
    """Node groups with these slots: where hundreds of slots are to move instead of thousands, each takes milliseconds."""
    return {"NodeGroupConfiguration": [{"Slots": each, "ReplicaCount": replicas} for each in slots]}


def reshard(group: Group, connect: Connect, *steps: tuple[list[str], dict[str, Any]]) -> None:
    """One step after the other, to these node groups with as many slots each, under a load in which nothing may fail."""
    with Load(group.seed, connect) as load:
        for names, more in steps:
            assert group.ask(len(names), **more)["Status"] == "modifying"
            group.until_resharded()
            group.must_be_even(names)
            load.go_on()
    assert load.failures == []
    assert load.judge() == []


@pytest.mark.usually("RedisPy-1")
@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("connect", [RedisPy, Strict])
def test_out_twice_and_in_again_where_engines_move_slots_themselves(create: Create, connect: Connect, replicas: int) -> None:
    group = create(**VALKEY_9, NumNodeGroups=2, ReplicasPerNodeGroup=replicas)
    three, four = ["0001", "0002", "0003"], ["0001", "0002", "0003", "0004"]
    reshard(group, connect, (three, {}), (four, {}), (["0002", "0004"], {"NodeGroupsToRemove": ["0001", "0003"]}))


@pytest.mark.usually("valkey-8.1-strict", "redis-7.0-redis-py")
@CLIENTS
def test_a_node_group_more(create: Create, engine: dict[str, str], connect: Connect) -> None:
    group = create(**engine, NumNodeGroups=6)
    reshard(group, connect, (["0001", "0002", "0003", "0004", "0005", "0006", "0007"], {}))


@pytest.mark.usually("1-redis-7.0-redis-py")
@CLIENTS
@pytest.mark.parametrize("replicas", [0, 1])
def test_fewer_node_groups(create: Create, engine: dict[str, str], connect: Connect, replicas: int) -> None:
    """The owner of slot 0 stays: redis-py 8.1 asks that one for the keys of every FCALL, and asks nobody else when it is gone."""
    group = create(**engine, **layout("0-8041", "8042-8191", "8192-16233", "16234-16383", replicas=replicas))
    reshard(group, connect, (["0001", "0003"], {"NodeGroupsToRetain": ["0001", "0003"]}))
    assert len(group.nodes()) == 2 * (1 + replicas)


@pytest.mark.usually("1-valkey-8.1-glide", "0-redis-7.0-redis-py")
@CLIENTS
@pytest.mark.parametrize("replicas", [0, 1])
def test_slots_are_shared_out_evenly(create: Create, engine: dict[str, str], connect: Connect, replicas: int) -> None:
    group = create(**engine, **layout("0-8491", "8492-16383", replicas=replicas))
    reshard(group, connect, (["0001", "0002"], {}))


def held(group: Group) -> int:
    """How many keys all primaries hold."""
    sizes = []
    for node in group.nodes():
        if node["role"] == "primary":
            with engine_at(node["address"], node["port"]) as engine:
                sizes.append(engine.dbsize())
    return sum(sizes)


def test_new_node_groups_have_the_ids_and_zones_that_were_asked_for(create: Create) -> None:
    group = create(**VALKEY_9, NumNodeGroups=2, ReplicasPerNodeGroup=1)
    asked = [{"NodeGroupId": "0007", "PreferredAvailabilityZones": [C, A]}, {"NodeGroupId": "0005", "PreferredAvailabilityZones": [B, B]}]
    group.ask(4, ReshardingConfiguration=asked)
    group.until_resharded()
    group.must_be_even(["0001", "0002", "0005", "0007"])
    zones = {
        part["NodeGroupId"]: [member["PreferredAvailabilityZone"] for member in part["NodeGroupMembers"]]
        for part in group.shown()["NodeGroups"]
    }
    assert (zones["0007"], zones["0005"]) == ([C, A], [B, B])
    member = describe_cache_cluster(group.client, f"{group.name}-0007-001")
    assert (member["PreferredAvailabilityZone"], member["CacheClusterStatus"]) == (C, "available")


IOREDIS = """
import Redis from "ioredis";

const [host, port] = process.argv.slice(2);
const client = new Redis.Cluster([{ host, port: Number(port) }]);
const told = { written: 0, failures: [], wrong: [] };
const written = new Map();
while ((await client.get("done")) === null) {
  for (let number = 0; number < 50; number++) {
    const key = `ioredis:${Math.floor(Math.random() * 5000)}`;
    try {
      const value = String(++told.written);
      if ((await client.get(key)) !== (written.get(key) ?? null)) told.wrong.push(key);
      await client.set(key, value);
      written.set(key, value);
    } catch (failed) {
      told.failures.push(String(failed));
    }
  }
}
client.disconnect();
console.log(JSON.stringify(told));
"""


@pytest.mark.usually("valkey-9.1")
@pytest.mark.parametrize("engine", [VALKEY_9, VALKEY_8, REDIS_7], ids=["valkey-9.1", "valkey-8.1", "redis-7.0"])
def test_ioredis_notices_nothing(create: Create, engine: dict[str, str]) -> None:
    group = create(**engine, NumNodeGroups=6)
    folder = folder_with("ioredis")
    with ThreadPoolExecutor() as beside:
        told = beside.submit(told_by, IOREDIS, folder, group.seed[0], str(group.seed[1]))
        client = Strict(group.seed)
        try:
            wait_until(lambda: held(group) > 500, within=30)
            group.ask(7)
            group.until_resharded()
        finally:
            client.say("SET", "done", 1)
            client.close()
    result = told.result()
    assert (result["failures"], result["wrong"]) == ([], [])
    assert result["written"] > 500


@pytest.mark.usually("redis-7.0")
@pytest.mark.parametrize(
    ("engine", "slots", "asked", "keys"),
    [  # enough to be under way for some seconds: what is shown changes a few times a second
        pytest.param(VALKEY_9, ("0-8191", "8192-16383"), 3, 800_000, id="valkey-9.1"),
        pytest.param(REDIS_7, ("0-8491,14684-16383", "8492-14683"), 2, BALLAST, id="redis-7.0"),
    ],
)
def test_progress_is_shown_and_every_key_goes_along(
    create: Create, engine: dict[str, str], slots: tuple[str, str], asked: int, keys: int
) -> None:
    group = create(**engine, **layout(*slots))
    fill(group, keys)
    group.ask(asked)
    group.until_partly_moved()
    assert group.shown()["Status"] == "modifying"
    group.until_resharded()
    assert ballast_lost(group, keys) == []
    assert held(group) == keys, "a key is at both ends"
