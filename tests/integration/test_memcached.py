"""Memcached clusters and auto discovery through boto3, sockets and published clients, while nodes come, go, die and are started again."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import elasticache_auto_discovery
import httpx
import pytest
from botocore.exceptions import ClientError
from django_elastipymemcache.client import AWSElastiCacheClient
from pymemcache.client.base import Client as Memcache
from waiting import wait_until

from agents.ground import runtimes_of
from agents.runtimes.runtime import Handle
from cachewright import LocalServer, local_server

Place = tuple[str, int]
Create = Callable[..., Any]

NEW, OLD = b"config get cluster\r\n", b"get AmazonElastiCache:cluster\r\n"
DIRECT = ("--memcached-discovery", "configuration-endpoint")


@pytest.fixture(scope="module")
def account() -> str:
    """An account for this module alone."""
    return str(uuid.uuid4().int)[:12]


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    return server.client(account_id=account)


@pytest.fixture
def create(elasticache: Any) -> Iterator[Create]:
    """Creates Memcached clusters, waits until they are available, and deletes them when the test is over."""
    names: list[str] = []

    def ask(nodes: int, **fields: Any) -> Any:
        names.append(f"m{uuid.uuid4().hex[:10]}")
        return a_cluster(elasticache, names[-1], nodes, **fields)

    yield ask
    for name in names:
        available(elasticache, name)
        elasticache.delete_cache_cluster(CacheClusterId=name)
    for name in names:
        elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=name)


def a_cluster(client: Any, name: str, nodes: int, **fields: Any) -> Any:
    spread = {"AZMode": "cross-az"} if nodes > 1 else {}
    client.create_cache_cluster(**{"CacheClusterId": name, "Engine": "memcached", "NumCacheNodes": nodes, **spread, **fields})
    return available(client, name)


def shown(client: Any, name: str) -> Any:
    return client.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]


def available(client: Any, name: str) -> Any:
    client.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    return shown(client, name)


def resized(client: Any, name: str, number: int, *removed: str, **fields: Any) -> Any:
    client.modify_cache_cluster(
        CacheClusterId=name, NumCacheNodes=number, CacheNodeIdsToRemove=list(removed), ApplyImmediately=True, **fields
    )
    return available(client, name)


def places(cache_cluster: Any) -> dict[str, Place]:
    return {node["CacheNodeId"]: (node["Endpoint"]["Address"], node["Endpoint"]["Port"]) for node in cache_cluster["CacheNodes"]}


def configuration(cache_cluster: Any) -> Place:
    return cache_cluster["ConfigurationEndpoint"]["Address"], cache_cluster["ConfigurationEndpoint"]["Port"]


def messages(client: Any, name: str) -> list[str]:
    """What happened to a cache cluster, oldest first."""
    events = client.describe_events(SourceType="cache-cluster", SourceIdentifier=name)["Events"]
    return [event["Message"] for event in reversed(events)]


# ---- on the wire


class Wire:
    """One connection, and what is said on it."""

    def __init__(self, place: Place) -> None:
        self._socket = socket.create_connection(place, timeout=10)

    def say(self, said: bytes, last: bytes = b"END\r\n") -> bytes:
        """The answer, up to what must come last in it, or to the end of the connection."""
        self._socket.sendall(said)
        heard = b""
        while not heard.endswith(last) and (more := self._socket.recv(65536)):
            heard += more
        return heard

    def close(self) -> None:
        self._socket.close()


def ask(place: Place, said: bytes, last: bytes = b"END\r\n") -> bytes:
    with closing(Wire(place)) as wire:
        return wire.say(said, last)


def payload(version: int, nodes: list[Place]) -> bytes:
    listed = " ".join(f"{address}|{address}|{port}" for address, port in sorted(nodes))
    return f"{version}\n{listed}\n".encode()


def by_command(version: int, nodes: list[Place]) -> bytes:
    body = payload(version, nodes)
    return b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(body), body)


def by_key(version: int, nodes: list[Place]) -> bytes:
    body = payload(version, nodes)
    return b"VALUE AmazonElastiCache:cluster 0 %d\r\n%s\r\nEND\r\n" % (len(body), body)


def listed(place: Place) -> tuple[int, list[Place]]:
    """The version and the nodes of the list that is told at that place."""
    lines = ask(place, NEW).split(b"\n")
    parts = [entry.split(b"|") for entry in lines[2].split(b" ")]
    return int(lines[1]), [(host.decode(), int(port)) for host, _, port in parts]


def everywhere(cache_cluster: Any) -> list[Place]:
    return [configuration(cache_cluster), *places(cache_cluster).values()]


def test_every_node_and_the_configuration_endpoint_tell_of_all_nodes(create: Create) -> None:
    cache_cluster = create(3, Port=11300)
    nodes = list(places(cache_cluster).values())
    assert configuration(cache_cluster) not in nodes
    assert {port for _, port in everywhere(cache_cluster)} == {11300}
    for place in everywhere(cache_cluster):
        assert ask(place, NEW) == by_command(1, nodes)
        assert ask(place, OLD) == by_key(1, nodes)


def test_answers_keep_their_order_and_values_stay_values(create: Create) -> None:
    cache_cluster = create(2)
    nodes = list(places(cache_cluster).values())
    value = NEW + b"set k 0 0 5\r\n" + NEW
    stored = b"set k 0 0 %d\r\n%s\r\n" % (len(value), value)
    got = b"VALUE k 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
    stream = NEW + stored + NEW + b"get k\r\n" + NEW + b"config get other\r\nconfig set cluster 0 1\r\nversion\r\n" + b"mn\r\n"
    told = by_command(1, nodes)
    for place in everywhere(cache_cluster):
        with closing(Wire(place)) as wire:
            heard = wire.say(stream, b"MN\r\n")
            version = heard.partition(b"VERSION ")[2].partition(b"\r\n")[0]
            assert heard == told + b"STORED\r\n" + told + got + told + b"END\r\nERROR\r\nVERSION " + version + b"\r\nMN\r\n"
            for at in range(0, len(stream), 7):
                wire._socket.sendall(stream[at : at + 7])
            assert wire.say(b"", heard[-40:])[-len(heard) :] == heard


def test_the_binary_protocol_passes_through(create: Create) -> None:
    place = places(create(1))["0001"]
    noop = b"\x80\x0a" + b"\0" * 10 + b"abcd" + b"\0" * 8
    assert ask(place, noop, b"abcd" + b"\0" * 8) == b"\x81\x0a" + b"\0" * 10 + b"abcd" + b"\0" * 8


def test_large_values_pass_through(create: Create) -> None:
    (place,) = places(create(1)).values()
    with closing(Memcache(place, timeout=20)) as client:
        value = os.urandom(1000 * 1000)
        for number in range(5):
            client.set(f"large{number}", value, noreply=False)
        assert all(client.get(f"large{number}") == value for number in range(5))
    with closing(Wire(place)) as wire:
        heard = wire.say(b"get large0 large1 large2\r\n" + NEW + b"mn\r\n", b"MN\r\n")
        assert len(heard) > 3000 * 1000
        assert heard.endswith(by_command(1, [place]) + b"MN\r\n")


# ---- nodes come and go


def test_the_version_rises_by_one_with_each_change(elasticache: Any, create: Create) -> None:
    cache_cluster = create(2)
    name = cache_cluster["CacheClusterId"]
    for version, number, removed in ((2, 3, []), (3, 2, ["0002"]), (4, 3, []), (5, 2, ["0001"])):
        cache_cluster = resized(elasticache, name, number, *removed)
        assert len(cache_cluster["CacheNodes"]) == number
        for place in everywhere(cache_cluster):
            assert ask(place, NEW) == by_command(version, list(places(cache_cluster).values()))
            assert ask(place, OLD) == by_key(version, list(places(cache_cluster).values()))
    assert list(places(cache_cluster)) == ["0003", "0004"]


def test_a_cluster_grows_in_the_words_of_the_service(elasticache: Any, create: Create) -> None:
    cache_cluster = create(1, PreferredAvailabilityZone="us-east-1c")
    name = cache_cluster["CacheClusterId"]
    said = elasticache.modify_cache_cluster(
        CacheClusterId=name, NumCacheNodes=3, AZMode="cross-az", NewAvailabilityZones=["us-east-1b", "us-east-1a"], ApplyImmediately=True
    )["CacheCluster"]
    assert (said["CacheClusterStatus"], said["NumCacheNodes"]) == ("modifying", 3)
    grown = available(elasticache, name)
    zones = {node["CacheNodeId"]: node["CustomerAvailabilityZone"][-1] for node in grown["CacheNodes"]}
    assert (zones, grown["PreferredAvailabilityZone"]) == ({"0001": "c", "0002": "b", "0003": "a"}, "Multiple")
    assert grown["ConfigurationEndpoint"] == cache_cluster["ConfigurationEndpoint"]
    assert set(listed(configuration(grown))[1]) == set(places(grown).values())
    group, *told = messages(elasticache, name)
    assert group == "Updated to use a CacheParameterGroup default.memcached1.6"
    assert told[:2] == ["Cache cluster created", "Added cache node 0001 in availability zone us-east-1c"]
    assert told[2] == "Increasing number of requested nodes"
    assert set(told[3:5]) == {f"Added cache node 000{n} in availability zone us-east-1{zone}" for n, zone in ((2, "b"), (3, "a"))}
    assert told[5:] == ["Finished modifying number of nodes from 1 to 3"]


def test_new_nodes_are_shown_creating_and_old_ones_deleting(elasticache: Any, create: Create) -> None:
    name = create(2)["CacheClusterId"]
    elasticache.modify_cache_cluster(CacheClusterId=name, NumCacheNodes=3, ApplyImmediately=True)
    seen = shown(elasticache, name)["CacheNodes"]
    assert [node["CacheNodeStatus"] for node in seen][:2] == ["available", "available"]
    if seen[2]["CacheNodeStatus"] == "creating":
        assert "Endpoint" not in seen[2]
    available(elasticache, name)
    elasticache.modify_cache_cluster(CacheClusterId=name, NumCacheNodes=2, CacheNodeIdsToRemove=["0001"], ApplyImmediately=True)
    states = {node["CacheNodeId"]: node["CacheNodeStatus"] for node in shown(elasticache, name)["CacheNodes"]}
    assert states.get("0001", "deleting") == "deleting"
    assert states["0002"] == "available"
    available(elasticache, name)
    assert messages(elasticache, name)[-2:] == ["Decreasing number of requested nodes", "Removed cache nodes 0001"]


def test_a_node_ends_only_after_everybody_tells_of_the_list_without_it(elasticache: Any, create: Create) -> None:
    cache_cluster = create(3)
    leaving = places(cache_cluster)["0002"]
    staying = [place for place in everywhere(cache_cluster) if place != leaving]
    with closing(Wire(leaving)) as wire:
        assert b"CONFIG cluster" in wire.say(NEW)
        elasticache.modify_cache_cluster(
            CacheClusterId=cache_cluster["CacheClusterId"], NumCacheNodes=2, CacheNodeIdsToRemove=["0002"], ApplyImmediately=True
        )
        with contextlib.suppress(ConnectionError):
            while wire.say(b"mn\r\n", b"MN\r\n"):
                pass
    for place in staying:  # the instant it is gone
        version, nodes = listed(place)
        assert (version, leaving in nodes) == (2, False)
    available(elasticache, cache_cluster["CacheClusterId"])
    with pytest.raises(OSError):
        Wire(leaving)


class Load:
    """Clients that set and get at given nodes without a pause until they are told to stop. An error ends it, and is kept."""

    def __init__(self, nodes: list[Place]) -> None:
        self.errors: list[Exception] = []
        self.done = dict.fromkeys(nodes, 0)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(node,)) for node in nodes]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def goes_on(self) -> bool:
        """Whether every client has done something since this was called."""
        before = dict(self.done)
        wait_until(lambda: self.errors or all(self.done[node] > before[node] for node in before))
        return not self.errors

    def _run(self, node: Place) -> None:
        try:
            with closing(Memcache(node, timeout=10)) as client:
                while not self._stop.is_set():
                    value = str(self.done[node]).encode()
                    client.set("key", value, noreply=False)
                    assert client.get("key") == value
                    self.done[node] += 1
        except Exception as failed:
            self.errors.append(failed)
            if not isinstance(failed, OSError | AssertionError):
                raise


def test_clients_of_nodes_that_stay_notice_nothing(elasticache: Any, create: Create) -> None:
    cache_cluster = create(3)
    name, nodes = cache_cluster["CacheClusterId"], places(cache_cluster)
    with Load([nodes["0001"], nodes["0003"]]) as load:
        assert load.goes_on()
        resized(elasticache, name, 5)
        assert load.goes_on()
        resized(elasticache, name, 2, "0002", "0004", "0005")
        assert load.goes_on()
    assert load.errors == []


def test_what_is_put_off_waits_for_the_window_and_then_really_happens(elasticache: Any, create: Create) -> None:
    name = create(2, PreferredMaintenanceWindow=a_window(-3))["CacheClusterId"]
    said = elasticache.modify_cache_cluster(CacheClusterId=name, NumCacheNodes=1, CacheNodeIdsToRemove=["0001"])["CacheCluster"]
    assert (said["CacheClusterStatus"], said["NumCacheNodes"]) == ("available", 2)
    assert said["PendingModifiedValues"] == {"NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001"]}
    elasticache.modify_cache_cluster(CacheClusterId=name, PreferredMaintenanceWindow=a_window(0))
    wait_until(lambda: list(places(available(elasticache, name))) == ["0002"])
    left = shown(elasticache, name)
    assert left["PendingModifiedValues"] == {}
    assert listed(configuration(left)) == (2, [places(left)["0002"]])


def a_window(days: int) -> str:
    """A day-long maintenance window in the middle of which it is now, or some days away from it."""
    start = datetime.now(UTC) + timedelta(days=days, hours=-12)
    end = start + timedelta(hours=23)
    return f"{start:%a:%H:%M}-{end:%a:%H:%M}".lower()


def test_forty_nodes(elasticache: Any, create: Create) -> None:
    cache_cluster = create(40)
    assert listed(configuration(cache_cluster)) == (1, sorted(places(cache_cluster).values()))
    shrunk = resized(elasticache, cache_cluster["CacheClusterId"], 1, *list(places(cache_cluster))[1:])
    assert {listed(place)[1][0] for place in everywhere(shrunk)} == {places(cache_cluster)["0001"]}


# ---- nodes start again


def process_of(server: LocalServer, account: str, name: str, node: str) -> int:
    answer = httpx.get(f"{server.url}/v1/nodes", params={"cache_cluster_id": name}, headers={"X-Account-Id": account}).json()
    return next(found["process_id"] for found in answer["nodes"] if found["node"] == node)


def remembers(place: Place) -> bytes | None:
    """The value that the node at that place was given."""
    with closing(Memcache(place, timeout=5)) as client:
        return client.get("key")  # type: ignore[no-any-return]


def remember(cache_cluster: Any) -> None:
    for place in places(cache_cluster).values():
        with closing(Memcache(place, timeout=5)) as client:
            client.set("key", b"value", noreply=False)


def test_a_dead_node_is_replaced_under_its_address_and_the_list_stays(
    server: LocalServer, elasticache: Any, account: str, create: Create
) -> None:
    cache_cluster = create(3)
    name, nodes = cache_cluster["CacheClusterId"], places(cache_cluster)
    remember(cache_cluster)
    told = {listed_at(place) for place in everywhere(cache_cluster)}
    os.kill(process_of(server, account, name, "0002"), signal.SIGKILL)
    wait_until(lambda: "Finished recovery for cache nodes 0002" in while_told(told, cache_cluster, lambda: messages(elasticache, name)))
    again = available(elasticache, name)
    assert places(again) == nodes
    assert [remembers(nodes[node]) for node in ("0001", "0002", "0003")] == [b"value", None, b"value"]
    assert {listed_at(place) for place in everywhere(again)} == told
    assert messages(elasticache, name)[-2:] == ["Recovering cache nodes 0002", "Finished recovery for cache nodes 0002"]


def listed_at(place: Place) -> bytes:
    return ask(place, NEW)


def while_told(told: set[bytes], cache_cluster: Any, what: Callable[[], list[str]]) -> list[str]:
    """The answer, given that meanwhile the nodes that live and the configuration endpoint tell the same."""
    for place in (configuration(cache_cluster), places(cache_cluster)["0001"], places(cache_cluster)["0003"]):
        assert {listed_at(place)} == told
    return what()


def test_a_reboot_of_one_node_empties_only_that(elasticache: Any, create: Create) -> None:
    cache_cluster = create(3)
    name, nodes = cache_cluster["CacheClusterId"], places(cache_cluster)
    remember(cache_cluster)
    told = listed_at(configuration(cache_cluster))
    elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0003"])
    again = available(elasticache, name)
    assert [remembers(nodes[node]) for node in ("0001", "0002", "0003")] == [b"value", b"value", None]
    assert {listed_at(place) for place in everywhere(again)} == {told}
    assert messages(elasticache, name)[-2:] == ["Cache node 0003 shutdown", "Cache node 0003 restarted"]


def test_a_flushed_list_is_put_back(create: Create) -> None:
    cache_cluster = create(2)
    nodes = list(places(cache_cluster).values())
    assert ask(nodes[0], b"flush_all\r\n", b"OK\r\n") == b"OK\r\n"
    wait_until(lambda: ask(nodes[0], OLD) == by_key(1, nodes))
    assert ask(nodes[0], NEW) == by_command(1, nodes)


# ---- servers of their own: what is killed here belongs to nobody else


def processes(server: LocalServer) -> list[Handle]:
    """Every engine and relay of a server."""
    found: list[Handle] = []
    for folder in sorted((server.data_dir / "agents").glob("*")):
        with runtimes_of(folder) as runtimes:
            found += [handle for runtime in runtimes for handle in runtime.strays([])]
    return found


def engines(server: LocalServer) -> set[Handle]:
    return {handle for handle in processes(server) if handle.key != "relay"}


def test_when_relays_die_they_come_back_and_no_node_is_touched() -> None:
    with local_server() as server:
        client = server.client()
        cache_cluster = a_cluster(client, "sessions", 3)
        remember(cache_cluster)
        before, told = engines(server), messages(client, "sessions")
        relays = [handle for handle in processes(server) if handle.key == "relay"]
        assert len(relays) == 3
        for relay in relays:
            os.kill(relay.pid, signal.SIGKILL)
        for place in everywhere(cache_cluster):
            assert wait_until(lambda place=place: answered(place), within=20) == by_command(1, list(places(cache_cluster).values()))  # type: ignore[misc]
        assert {remembers(place) for place in places(cache_cluster).values()} == {b"value"}
        assert (engines(server), messages(client, "sessions")) == (before, told)
        assert shown(client, "sessions")["CacheClusterStatus"] == "available"
        assert listed(configuration(resized(client, "sessions", 4)))[0] == 2


def answered(place: Place) -> bytes | None:
    with contextlib.suppress(OSError):
        return ask(place, NEW) or None
    return None


@contextmanager
def kept(tmp_path: Path, *options: str) -> Iterator[LocalServer]:
    with local_server(data_dir=tmp_path / "data", options=options) as server:
        yield server


@pytest.mark.parametrize("options", [(), DIRECT], ids=["every-node", "configuration-endpoint"])
def test_clients_outlive_the_server_and_the_next_one_adopts_all(tmp_path: Path, options: tuple[str, ...]) -> None:
    with kept(tmp_path, *options) as server:
        cache_cluster = a_cluster(server.client(), "sessions", 3)
        remember(cache_cluster)
        before, nodes = set(processes(server)), places(cache_cluster)
        with Load(list(nodes.values())) as load:
            os.kill(server.pid, signal.SIGKILL)
            assert load.goes_on()
            assert listed(configuration(cache_cluster)) == (1, sorted(nodes.values()))
            with kept(tmp_path, *options) as second:
                again = available(second.client(), "sessions")
                assert (places(again), configuration(again)) == (nodes, configuration(cache_cluster))
                assert load.goes_on()
                assert listed(configuration(resized(second.client(), "sessions", 4)))[0] == 2
                assert before <= set(processes(second))
                assert load.goes_on()
                load.__exit__()
    assert load.errors == []


def test_after_an_orderly_stop_a_cluster_comes_back_empty_with_its_list(tmp_path: Path) -> None:
    with kept(tmp_path) as server:
        cache_cluster = a_cluster(server.client(), "sessions", 2)
        remember(cache_cluster)
    with kept(tmp_path) as server:
        wait_until(lambda: answered(configuration(cache_cluster)), within=20)
        again = available(server.client(), "sessions")
        nodes = list(places(again).values())
        assert nodes == list(places(cache_cluster).values())
        for place in everywhere(again):
            assert (ask(place, NEW), ask(place, OLD)) == (by_command(1, nodes), by_key(1, nodes))
        assert {remembers(place) for place in nodes} == {None}


def test_the_ports_of_nodes_can_be_left_to_memcached_itself(tmp_path: Path) -> None:
    with kept(tmp_path, *DIRECT) as server:
        cache_cluster = a_cluster(server.client(), "plain", 2)
        nodes = list(places(cache_cluster).values())
        assert ask(configuration(cache_cluster), NEW) == by_command(1, nodes)
        assert [ask(place, OLD) for place in everywhere(cache_cluster)] == [by_key(1, nodes)] * 3
        assert [ask(place, NEW, b"ERROR\r\n") for place in nodes] == [b"ERROR\r\n"] * 2
    with kept(tmp_path) as server:  # the setting is for clusters that are made under it
        plain = available(server.client(), "plain")
        assert ask(places(plain)["0001"], NEW, b"ERROR\r\n") == b"ERROR\r\n"
        grown = resized(server.client(), "plain", 3)
        assert ask(places(grown)["0003"], NEW, b"ERROR\r\n") == b"ERROR\r\n"
        assert ask(places(grown)["0003"], OLD) == by_key(2, list(places(grown).values()))
        fronted = a_cluster(server.client(), "fronted", 1)
        assert ask(places(fronted)["0001"], NEW) == by_command(1, list(places(fronted).values()))


def test_a_node_whose_address_is_taken_by_a_stranger_moves(tmp_path: Path) -> None:
    with kept(tmp_path) as server:
        client = server.client()
        address, port = places(a_cluster(client, "first", 1, PreferredAvailabilityZone="us-east-1a"))["0001"]
        next_one = f"{address.rpartition('.')[0]}.{int(address.rpartition('.')[2]) + 1}"
        with closing(socket.create_server((next_one, port))):
            moved = a_cluster(client, "second", 1, PreferredAvailabilityZone="us-east-1a")
        assert places(moved)["0001"][0] not in (address, next_one)
        assert listed(configuration(moved)) == (1, [places(moved)["0001"]])


# ---- published clients of auto discovery


def test_a_small_published_client_reads_the_list(create: Create) -> None:
    cache_cluster = create(3)
    for address, port in everywhere(cache_cluster):
        found = elasticache_auto_discovery.discover(f"{address}:{port}", time_to_timeout=5)
        assert {(host.decode(), ip.decode(), int(number)) for host, ip, number in found} == {
            (node, node, number) for node, number in places(cache_cluster).values()
        }


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # this client leaves its connections to the garbage collector
def test_a_published_hashing_client_follows_the_nodes(elasticache: Any, create: Create) -> None:
    cache_cluster = create(2)
    name, (address, port) = cache_cluster["CacheClusterId"], configuration(cache_cluster)
    with closing(AWSElastiCacheClient(f"{address}:{port}", discovery_interval=0.05, ignore_exc=False, timeout=5)) as client:

        def spread() -> set[str]:
            """Use many keys, and see which nodes the client uses."""
            for number in range(60):
                client.set(f"key{number}", b"value", noreply=False)
                assert client.get(f"key{number}") == b"value"
            return set(client.clients)

        assert spread() == {f"{node}:{number}" for node, number in places(cache_cluster).values()}
        grown = resized(elasticache, name, 4)
        assert wait_until(lambda: len(found := spread()) == 4 and found) == {f"{node}:{number}" for node, number in places(grown).values()}
        for place in places(grown).values():
            with closing(Memcache(place)) as direct:
                assert direct.stats()[b"curr_items"] > 1  # besides the list itself
    gc.collect()


SCRIPT = """
const Client = require("memcached-elasticache");
const client = new Client(process.argv[2], { autoDiscover: true, autoDiscoverInterval: 50 });
client.on("autoDiscover", nodes => client.set("from-node", "hello", 60, failed => console.log(JSON.stringify({ nodes, failed: failed || null }))));
client.on("autoDiscoverFailure", why => { console.log(JSON.stringify({ why: String(why) })); process.exit(1); });
process.stdin.on("end", () => process.exit(0)).resume();
"""


@pytest.fixture(scope="session")
def javascript() -> Path:
    """A folder with the client for JavaScript in it, installed once and kept in the temporary folder."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = Path(tempfile.gettempdir()) / f"cachewright-js-memcached-{os.getuid()}"
    if not (folder / "node_modules" / "memcached-elasticache").exists():
        beside = Path(tempfile.mkdtemp(prefix="cachewright-js-memcached-"))
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(beside), "memcached-elasticache@1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        try:
            beside.rename(folder)
        except OSError:  # another worker was first
            shutil.rmtree(beside)
    return folder


def test_a_published_client_for_javascript_follows_the_nodes(elasticache: Any, create: Create, javascript: Path) -> None:
    cache_cluster = create(2)
    address, port = configuration(cache_cluster)
    script = javascript / f"follow-{uuid.uuid4().hex}.js"
    script.write_text(SCRIPT)
    node = subprocess.Popen(["node", str(script), f"{address}:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None and node.stdin is not None
    try:
        def told() -> Any:
            assert node.stdout is not None
            return json.loads(node.stdout.readline())

        assert told() == {"nodes": sorted(f"{host}:{number}" for host, number in places(cache_cluster).values()), "failed": None}
        grown = resized(elasticache, cache_cluster["CacheClusterId"], 3)
        assert told() == {"nodes": sorted(f"{host}:{number}" for host, number in places(grown).values()), "failed": None}
        shrunk = resized(elasticache, cache_cluster["CacheClusterId"], 2, "0001")
        assert told() == {"nodes": sorted(f"{host}:{number}" for host, number in places(shrunk).values()), "failed": None}
        node.stdin.close()
        assert node.wait(20) == 0
    finally:
        node.kill()
        node.wait()
        node.stdout.close()
        script.unlink()


def test_what_memcached_does_not_have_is_refused_in_the_services_code(elasticache: Any, create: Create) -> None:
    name = create(1)["CacheClusterId"]
    group = {"ReplicationGroupId": "never", "ReplicationGroupDescription": "d", "Engine": "memcached"}
    calls = {
        "SnapshotFeatureNotSupportedFault": lambda: elasticache.create_snapshot(CacheClusterId=name, SnapshotName="monday"),
        "InvalidParameterValue": lambda: elasticache.create_replication_group(**group),
        "InvalidParameterCombination": lambda: elasticache.create_cache_cluster(
            CacheClusterId="never", Engine="memcached", SnapshotRetentionLimit=1
        ),
    }
    for code, call in calls.items():
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == code, call
    assert shown(elasticache, name)["CacheClusterStatus"] == "available"
