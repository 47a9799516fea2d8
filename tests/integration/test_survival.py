"""What survives: definitions, data and running engines, whatever is done to the server and at whatever moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from bus import must_agree
from servers import Server
from waiting import let_pass, wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data")
    yield made
    made.clear()


def at(group: dict[str, Any], endpoint: str) -> redis.Redis:
    place = group["NodeGroups"][0][endpoint]
    return redis.Redis(place["Address"], place["Port"], decode_responses=True, socket_timeout=5)


def test_clients_of_the_cache_notice_nothing_when_an_idle_server_is_killed_and_started_again(server: Server) -> None:
    server.start()
    server.create()
    group = server.available()
    before = sorted((handle.key, handle.pid) for handle in server.processes())
    done, written, failures = threading.Event(), 0, []

    def use() -> None:
        nonlocal written
        primary, reader = at(group, "PrimaryEndpoint"), at(group, "ReaderEndpoint")
        while not done.is_set():
            try:
                primary.set("count", written)
                assert reader.get("nothing") is None
                written += 1
            except Exception as failed:
                failures.append(failed)
                raise

    user = threading.Thread(target=use)
    user.start()
    try:
        wait_until(lambda: written > 20)
        server.end(signal.SIGKILL)
        reached = written
        wait_until(lambda: written > reached + 50)
        server.start()
        server.available()
        reached = written
        wait_until(lambda: written > reached + 50)
    finally:
        done.set()
        user.join()
    assert not failures
    assert sorted((handle.key, handle.pid) for handle in server.processes()) == before
    assert server.group()["NodeGroups"] == group["NodeGroups"]


@pytest.mark.usually("0.0", "0.02", "0.05", "0.12")
@pytest.mark.parametrize("after", [0.0, 0.01, 0.02, 0.035, 0.05, 0.08, 0.12, 0.2])
def test_a_create_that_was_cut_short_is_finished_by_the_next_server(server: Server, after: float) -> None:
    server.start()
    server.create()
    let_pass(after)
    server.end(signal.SIGKILL)
    server.start()
    group = server.available()
    engines = server.engines()
    assert len(engines) == len({handle.key for handle in engines}) == 3, "an engine runs twice, or not at all"
    roles = [redis.Redis(place["Address"], place["Port"]).info("replication")["role"] for place in _node_endpoints(group)]
    assert sorted(roles) == ["master", "slave", "slave"]
    at(group, "PrimaryEndpoint").set("a", "1")
    wait_until(lambda: at(group, "ReaderEndpoint").get("a") == "1")


@pytest.mark.usually("0.005", "0.02")
@pytest.mark.parametrize("after", [0.0, 0.005, 0.01, 0.02, 0.05])
def test_a_delete_that_was_cut_short_is_finished_by_the_next_server(server: Server, after: float) -> None:
    server.start()
    server.create()
    server.available()
    server.api().delete_replication_group(ReplicationGroupId="orders")
    let_pass(after)
    server.end(signal.SIGKILL)
    server.start()
    server.api().get_waiter("replication_group_deleted").wait(ReplicationGroupId="orders")
    assert wait_until(lambda: not server.engines())
    assert not list((server.folder / "agents").glob("*/nodes/*")), "a node left its folder behind"


@pytest.mark.usually("0.0", "0.02")
@pytest.mark.parametrize("after", [0.0, 0.005, 0.02])
def test_a_modify_that_was_answered_is_kept(server: Server, after: float) -> None:
    server.start()
    server.create()
    server.available()
    server.api().modify_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="changed", MultiAZEnabled=True)
    let_pass(after)
    server.end(signal.SIGKILL)
    server.start()
    group = server.available()
    assert (group["Description"], group["MultiAZ"]) == ("changed", "enabled")


def test_an_orderly_stop_saves_and_a_later_start_brings_everything_back(server: Server) -> None:
    server.start()
    server.create()
    group = server.available()
    primary = at(group, "PrimaryEndpoint")
    primary.mset({f"key-{number}": number for number in range(1000)})
    server.end(signal.SIGTERM)
    assert not server.processes()
    server.start()
    again = server.available()
    assert again["NodeGroups"] == group["NodeGroups"]
    assert at(again, "PrimaryEndpoint").dbsize() == 1000
    wait_until(lambda: at(again, "ReaderEndpoint").dbsize() == 1000)


def test_a_primary_that_is_killed_is_replaced_and_comes_back_as_a_replica(server: Server) -> None:
    server.start()
    server.create()
    group = server.available()
    primary = at(group, "PrimaryEndpoint")
    primary.set("kept", "yes")
    assert primary.wait(2, 5000) == 2
    _kill(server, "orders-001")
    wait_until(lambda: _answers(group, "kept") == "yes")
    wait_until(lambda: _roles(server) == ["primary", "replica", "replica"] and _settled(server))
    assert _role(server, "orders-001") == "replica"
    messages = [event["Message"] for event in server.api().describe_events(Duration=60)["Events"]]
    assert any(message.startswith("Failover from primary node orders-001 to replica node") for message in messages)
    assert "Recovering cache nodes 0001" in messages and "Finished recovery for cache nodes 0001" in messages


def test_without_automatic_failover_a_killed_primary_is_rebuilt_in_its_place_with_its_data(server: Server) -> None:
    server.start()
    server.create(AutomaticFailoverEnabled=False)
    group = server.available()
    primary = at(group, "PrimaryEndpoint")
    primary.set("kept", "yes")
    assert primary.wait(2, 5000) == 2
    _kill(server, "orders-001")
    wait_until(lambda: _answers(group, "kept") == "yes", within=20)
    wait_until(lambda: _settled(server), within=20)
    assert _role(server, "orders-001") == "primary"


def sharded(server: Server) -> redis.RedisCluster:
    endpoint = server.group()["ConfigurationEndpoint"]
    return redis.RedisCluster(host=endpoint["Address"], port=endpoint["Port"], decode_responses=True)


@pytest.mark.usually("0.03", "0.15")
@pytest.mark.parametrize("after", [0.0, 0.03, 0.08, 0.15, 0.25])
def test_a_create_in_cluster_mode_that_was_cut_short_is_finished_by_the_next_server(server: Server, after: float) -> None:
    server.start()
    server.create_sharded()
    let_pass(after)
    server.end(signal.SIGKILL)
    server.start()
    server.available()
    engines = server.engines()
    assert len(engines) == len({handle.key for handle in engines}) == 4, "an engine runs twice, or not at all"
    must_agree(server.api(), server.url, "000000000000", "orders")


def test_a_group_in_cluster_mode_notices_nothing_of_a_killed_server_and_keeps_its_data_over_an_orderly_stop(server: Server) -> None:
    server.start()
    server.create_sharded()
    group = server.available()
    said = must_agree(server.api(), server.url, "000000000000", "orders")
    with sharded(server) as cache:
        for number in range(300):
            cache.set(f"key-{number}", number)
        server.end(signal.SIGKILL)
        assert all(cache.get(f"key-{number}") == str(number) for number in range(300))
        before = sorted((handle.key, handle.pid) for handle in server.engines())
        server.start()
        server.available()
        assert sorted((handle.key, handle.pid) for handle in server.engines()) == before
    server.end(signal.SIGTERM)
    assert not server.processes()
    server.start()
    assert server.available()["NodeGroups"] == group["NodeGroups"]
    assert must_agree(server.api(), server.url, "000000000000", "orders") == said
    with sharded(server) as cache:
        assert all(cache.get(f"key-{number}") == str(number) for number in range(300))


def test_two_servers_do_not_share_a_data_folder(server: Server) -> None:
    server.start()
    command = [sys.executable, "-m", "cachewright", "serve", "--data-dir", str(server.folder), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another server" in second.stderr and str(server.folder) in second.stderr


def test_an_ephemeral_server_that_was_killed_is_reaped() -> None:
    command = [sys.executable, "-m", "cachewright", "serve", "--ephemeral", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    url = re.search(r"http://\S+", line)
    folder = re.search(r"data: (\S+)", line)
    assert url is not None and folder is not None
    made = Server(Path(folder[1]))
    made.url = url[0]
    made.create()
    made.available()
    pids = [handle.pid for handle in made.processes()]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(pids) == 4
    subprocess.run([sys.executable, "-m", "cachewright", "reap"], check=True, capture_output=True, timeout=60)
    assert not made.folder.exists()
    assert not [pid for pid in pids if _runs(pid)]



def _node_endpoints(group: dict[str, Any]) -> list[dict[str, Any]]:
    return [member["ReadEndpoint"] for member in group["NodeGroups"][0]["NodeGroupMembers"]]


def _kill(server: Server, node: str) -> None:
    handle = next(handle for handle in server.engines() if handle.key.endswith(f".{node}"))
    os.kill(handle.pid, signal.SIGKILL)


def _answers(group: dict[str, Any], key: str) -> str | None:
    try:
        primary = at(group, "PrimaryEndpoint")
        primary.set("probe", "1")
        found: str | None = primary.get(key)  # type: ignore[assignment]
    except redis.RedisError:
        return None
    return found


def _members(server: Server) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = server.group()["NodeGroups"][0]["NodeGroupMembers"]
    return members


def _roles(server: Server) -> list[str]:
    return sorted(member["CurrentRole"] for member in _members(server))


def _role(server: Server, node: str) -> str:
    return next(member["CurrentRole"] for member in _members(server) if member["CacheClusterId"] == node)


def _settled(server: Server) -> bool:
    import httpx

    nodes = httpx.get(f"{server.url}/v1/nodes").json()["nodes"]
    return all(node["in_sync"] for node in nodes)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
