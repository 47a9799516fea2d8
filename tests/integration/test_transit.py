"""Encryption in transit with real engines and unmodified clients: who is served how, and that nobody is cut off while it is switched."""

from __future__ import annotations

import contextlib
import shutil
import signal
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from caches import describe_cache_cluster, new_name, refused, remove_cache_cluster, remove_group
from cryptography import x509
from groups import Group
from pymemcache.client.base import Client as Memcache
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import Server
from waiting import wait_until

from cachewright import LocalServer

NATIVE, FRONTED_8, FRONTED_9 = (("redis", "7.1"), ("valkey", "8.1"), ("valkey", "9.1"))
KINDS = [(NATIVE, "required"), (NATIVE, "preferred"), (FRONTED_8, "required"), (FRONTED_9, "required"), (FRONTED_9, "preferred")]
WITH_TLS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(WITH_TLS is None, reason="no redis-server, the one program here that is built with TLS")


@pytest.fixture
def authority(server: LocalServer) -> str:
    """The certificate that clients trust."""
    return authority_of(server.url)


@pytest.fixture
def groups(server: LocalServer, elasticache: Any) -> Iterator[Any]:
    """Makes groups that are available, and deletes them when the test is over."""
    account = elasticache.meta.endpoint_url and elasticache._request_signer._credentials.access_key
    names: list[str] = []

    def make(kind: tuple[str, str], mode: str | None = "required", **more: Any) -> Group:
        name = new_name("t")
        names.append(name)
        encrypted = {"TransitEncryptionEnabled": True, "TransitEncryptionMode": mode} if mode else {}
        asked = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, **encrypted, **more}
        if "NumNodeGroups" in more:
            del asked["NumCacheClusters"]
        elasticache.create_replication_group(
            ReplicationGroupId=name, ReplicationGroupDescription="t", Engine=kind[0], EngineVersion=kind[1], **asked
        )
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        return Group(elasticache, server.url, account, name)

    yield make
    for name in names:
        remove_group(elasticache, name)


def authority_of(url: str) -> str:
    answer = httpx.get(f"{url}/v1/ca.pem")
    assert answer.status_code == 200
    return answer.text


def primary_of(group: Group) -> Any:
    return group.seen()["NodeGroups"][0]["PrimaryEndpoint"]


def reader_of(group: Group) -> Any:
    return group.seen()["NodeGroups"][0]["ReaderEndpoint"]


@contextlib.contextmanager
def speaking_tls(endpoint: Any, authority: str, token: str | None = None) -> Iterator[Any]:
    """A client that verifies the certificate, and that it is for this very address."""
    with redis.Redis(endpoint["Address"], endpoint["Port"], decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0),
                     ssl=True, ssl_ca_data=authority, ssl_check_hostname=True, password=token) as client:  # fmt: skip
        yield client


@contextlib.contextmanager
def in_clear(endpoint: Any) -> Iterator[Any]:
    with redis.Redis(endpoint["Address"], endpoint["Port"], decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def certificate_at(address: str, port: int) -> x509.Certificate:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((address, port), timeout=5).encode())


@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=lambda value: "-".join(value) if isinstance(value, tuple) else value)
def test_an_encrypted_group_serves_who_verifies_it_and_in_clear_only_where_preferred(
    groups: Any, authority: str, kind: tuple[str, str], mode: str
) -> None:
    group = groups(kind, mode)
    seen = group.seen()
    assert (seen["TransitEncryptionEnabled"], seen["TransitEncryptionMode"]) == (True, mode)
    with speaking_tls(primary_of(group), authority) as client:
        assert client.set("greeting", "hello")
        assert client.wait(1, 1000) == 1
    with speaking_tls(reader_of(group), authority) as reader:
        assert reader.get("greeting") == "hello"
    for node in group.nodes():
        with speaking_tls({"Address": node["address"], "Port": 6379}, authority) as client:
            assert client.ping()
    with in_clear(primary_of(group)) as plain:
        if mode == "preferred":
            assert plain.get("greeting") == "hello"
        else:
            with pytest.raises(redis.RedisError):
                plain.get("greeting")


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_8], ids="-".join)
def test_a_client_that_trusts_another_authority_does_not_connect(groups: Any, kind: tuple[str, str]) -> None:
    endpoint = primary_of(groups(kind, NumCacheClusters=1, AutomaticFailoverEnabled=False))
    stranger = redis.Redis(endpoint["Address"], endpoint["Port"], ssl=True, retry=Retry(NoBackoff(), 0))
    with contextlib.closing(stranger), pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.ping()


def test_redis_with_tls_speaks_it_itself_also_to_its_replicas(groups: Any) -> None:
    group = groups(NATIVE)
    for node in group.nodes():
        assert node["engine_binary"]["tls"]
        command = Path(f"/proc/{node['process_id']}/cmdline").read_bytes()
        assert b"BEGIN" not in command
        told = Path(f"/proc/{node['process_id']}/cwd/engine.conf").read_text().splitlines()
        assert {"port 0", "tls-port 6379", "tls-replication yes"} <= set(told)
    with in_clear(primary_of(group)) as stranger, pytest.raises(redis.RedisError):
        stranger.execute_command("PSYNC", "?", "-1")


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_9], ids="-".join)
def test_keys_are_for_their_owner_alone_and_in_no_answer(groups: Any, server: LocalServer, kind: tuple[str, str]) -> None:
    group = groups(kind)
    for node in group.nodes():
        folder = Path(f"/proc/{node['process_id']}/cwd").readlink()
        key = folder / "transit.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        secret = key.read_text().splitlines()[1]
        assert secret not in (folder / "engine.log").read_text()
        assert secret not in (folder / "engine.conf").read_text()
        assert secret not in str(group.seen()) + str(group.nodes())
        relay = folder.parents[1]
        for told in (relay / "relay-routes.json", relay / "relay.log"):
            assert not told.exists() or secret not in told.read_text()


@pytest.mark.parametrize(("kind", "mode"), [(NATIVE, "required"), (FRONTED_8, "required")], ids=["native", "fronted"])
def test_a_failover_leads_clients_to_the_heir_with_every_write(groups: Any, authority: str, kind: tuple[str, str], mode: str) -> None:
    group = groups(kind, mode, NumCacheClusters=3)
    with speaking_tls(primary_of(group), authority) as client:
        client.set("kept", "yes")
        assert client.wait(2, 1000) == 2
    former = group.primary()["node"]
    group.kill(former)

    def writes() -> bool:
        with contextlib.suppress(redis.RedisError), speaking_tls(primary_of(group), authority) as again:
            return bool(again.set("next", "one") and again.get("kept") == "yes")
        return False

    wait_until(writes, within=20)
    group.settled()
    assert group.primary()["node"] != former
    with speaking_tls(reader_of(group), authority) as reader:
        assert reader.get("kept") == "yes"


@pytest.mark.parametrize(("kind", "mode"), [(NATIVE, "required"), (NATIVE, "preferred"), (FRONTED_8, "required"), (FRONTED_9, "preferred")],
                         ids=lambda value: "-".join(value) if isinstance(value, tuple) else value)  # fmt: skip
def test_a_group_in_cluster_mode_is_encrypted_at_every_node(groups: Any, authority: str, kind: tuple[str, str], mode: str) -> None:
    group = groups(kind, mode, NumNodeGroups=2, ReplicasPerNodeGroup=1)
    at = group.seen()["ConfigurationEndpoint"]
    with redis.RedisCluster(host=at["Address"], port=at["Port"], ssl=True, ssl_ca_data=authority, decode_responses=True) as client:
        for number in range(100):
            client.set(f"key-{number}", number)
        assert [client.get(f"key-{number}") for number in range(100)] == [str(number) for number in range(100)]
    if kind == NATIVE and mode == "required":
        for node in group.nodes():
            assert "tls-cluster yes" in Path(f"/proc/{node['process_id']}/cwd/engine.conf").read_text().splitlines()


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_9], ids="-".join)
def test_a_replica_that_is_added_is_named_by_a_new_certificate_and_open_connections_live_on(
    groups: Any, authority: str, kind: tuple[str, str]
) -> None:
    group = groups(kind)
    first = certificate_at(group.primary()["address"], 6379).serial_number
    with speaking_tls(primary_of(group), authority) as client:
        client.set("before", "1")
        connection = client.client_id()
        group.client.increase_replica_count(ReplicationGroupId=group.name, NewReplicaCount=2, ApplyImmediately=True)
        group.client.get_waiter("replication_group_available").wait(ReplicationGroupId=group.name)
        group.settled()
        assert client.client_id() == connection
    for node in group.nodes():
        with speaking_tls({"Address": node["address"], "Port": 6379}, authority) as client:
            assert client.get("before") == "1"
        wait_until(lambda address=node["address"]: certificate_at(address, 6379).serial_number != first)
    assert any("certificate" in message for _, message in group.messages())


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_9], ids="-".join)
def test_encryption_is_switched_in_two_steps_under_a_client_that_writes(groups: Any, authority: str, kind: tuple[str, str]) -> None:
    group = groups(kind, None, NumCacheClusters=3)
    addresses = {node["node"]: node["address"] for node in group.nodes()}
    endpoint = primary_of(group)
    with _writer(endpoint, None) as writer:
        _switch(group, TransitEncryptionEnabled=True, TransitEncryptionMode="preferred")
    assert writer.acknowledged > 0
    with _writer(endpoint, authority) as encrypted:
        _switch(group, TransitEncryptionMode="required")
        with in_clear(endpoint) as plain, pytest.raises(redis.RedisError):
            plain.ping()
        _switch(group, TransitEncryptionMode="preferred")
        with in_clear(endpoint) as plain:
            assert plain.ping()
    with _writer(endpoint, None) as last:
        _switch(group, TransitEncryptionEnabled=False)
    assert group.seen()["TransitEncryptionEnabled"] is False
    assert "TransitEncryptionMode" not in group.seen()
    with in_clear(endpoint) as client:
        assert int(client.get("count")) >= writer.acknowledged + encrypted.acknowledged + last.acknowledged
    assert {node["node"]: node["address"] for node in group.nodes()} == addresses


def _switch(group: Group, **wanted: Any) -> None:
    group.client.modify_replication_group(ReplicationGroupId=group.name, ApplyImmediately=True, **wanted)
    group.client.get_waiter("replication_group_available").wait(ReplicationGroupId=group.name)
    group.settled()


class _Writer:
    def __init__(self) -> None:
        self.acknowledged = 0


@contextlib.contextmanager
def _writer(endpoint: Any, authority: str | None) -> Iterator[_Writer]:
    """Counts up inside the block, connecting again whenever it must."""
    writer, over = _Writer(), threading.Event()

    def write() -> None:
        while not over.is_set():
            reached = in_clear(endpoint) if authority is None else speaking_tls(endpoint, authority)
            with contextlib.suppress(redis.RedisError), reached as client:
                while not over.is_set():
                    client.incr("count")
                    writer.acknowledged += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield writer
    finally:
        over.set()
        thread.join()


def test_what_cannot_be_switched_is_refused_and_says_why(groups: Any) -> None:
    group = groups(FRONTED_9, None, NumCacheClusters=1, AutomaticFailoverEnabled=False)

    def modify(**wanted: Any) -> Any:
        return group.client.modify_replication_group(ReplicationGroupId=group.name, **wanted)

    at_once = {"ApplyImmediately": True, "TransitEncryptionEnabled": True}
    refused(lambda: modify(**at_once, TransitEncryptionMode="required"), "InvalidParameterCombination", "preferred first")
    refused(lambda: modify(**at_once), "InvalidParameterCombination", "preferred")
    refused(lambda: modify(TransitEncryptionEnabled=True, TransitEncryptionMode="preferred"), "InvalidParameterCombination", "ApplyImmediately")
    refused(lambda: modify(ApplyImmediately=True, TransitEncryptionMode="preferred"), "InvalidParameterCombination", "Enabled")
    refused(lambda: modify(**at_once, TransitEncryptionMode="sometimes"), "InvalidParameterValue", "preferred, required")


def test_a_standalone_redis_cache_cluster_cannot_be_encrypted(elasticache: Any) -> None:
    refused(lambda: elasticache.create_cache_cluster(CacheClusterId="one", Engine="redis", NumCacheNodes=1, TransitEncryptionEnabled=True),
            "InvalidParameterCombination", "CreateReplicationGroup")  # fmt: skip


def test_slots_that_would_go_in_clear_are_not_moved(groups: Any) -> None:
    group = groups(FRONTED_8, NumNodeGroups=2, ReplicasPerNodeGroup=0)
    refused(lambda: group.client.modify_replication_group_shard_configuration(
        ReplicationGroupId=group.name, NodeGroupCount=3, ApplyImmediately=True), "InvalidParameterCombination", "Valkey 9.0")  # fmt: skip


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_9], ids="-".join)
def test_slots_move_between_encrypted_shards(groups: Any, authority: str, kind: tuple[str, str]) -> None:
    group = groups(kind, NumNodeGroups=2, ReplicasPerNodeGroup=0)
    at = group.seen()["ConfigurationEndpoint"]
    with redis.RedisCluster(host=at["Address"], port=at["Port"], ssl=True, ssl_ca_data=authority, decode_responses=True) as client:
        for number in range(200):
            client.set(f"key-{number}", number)
        group.client.modify_replication_group_shard_configuration(ReplicationGroupId=group.name, NodeGroupCount=3, ApplyImmediately=True)
        wait_until(lambda: group.seen()["Status"] == "available", within=60)
        assert [client.get(f"key-{number}") for number in range(200)] == [str(number) for number in range(200)]


def test_memcached_serves_tls_at_every_node_and_where_nodes_are_discovered(elasticache: Any, authority: str) -> None:
    name = new_name("m")
    try:
        elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", NumCacheNodes=2, TransitEncryptionEnabled=True)
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
        seen = describe_cache_cluster(elasticache, name)
        assert (seen["TransitEncryptionEnabled"], seen["TransitEncryptionMode"]) == (True, "required")
        context = ssl.create_default_context(cadata=authority)
        for at in [seen["ConfigurationEndpoint"], *(node["Endpoint"] for node in seen["CacheNodes"])]:
            with contextlib.closing(Memcache((at["Address"], at["Port"]), tls_context=context, timeout=5, connect_timeout=5)) as client:
                client.set("greeting", "hello", noreply=False)
                assert client.get("greeting") == b"hello"
                assert b"CONFIG cluster" in client.raw_command("config get cluster", "\r\nEND\r\n")
            with contextlib.closing(Memcache((at["Address"], at["Port"]), timeout=5, connect_timeout=5)) as plain, pytest.raises(OSError):
                plain.get("greeting")
    finally:
        remove_cache_cluster(elasticache, name)


def test_redis_cli_and_openssl_agree_about_the_certificate(groups: Any, authority: str, tmp_path: Path) -> None:
    (trusted := tmp_path / "ca.pem").write_text(authority)
    at = primary_of(groups(FRONTED_9, NumCacheClusters=1, AutomaticFailoverEnabled=False))
    cli = ["redis-cli", "--tls", "--cacert", str(trusted), "-h", at["Address"], "-p", str(at["Port"]), "PING"]
    assert subprocess.run(cli, capture_output=True, text=True, timeout=20, check=True).stdout.strip() == "PONG"
    place = ["-connect", f"{at['Address']}:{at['Port']}", "-verify_ip", at["Address"], "-CAfile", str(trusted)]
    said = subprocess.run(["openssl", "s_client", *place], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    assert "Verify return code: 0 (ok)" in said.stdout


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_9], ids="-".join)
def test_a_server_that_is_started_again_serves_the_same_certificate_and_data(tmp_path: Path, kind: tuple[str, str]) -> None:
    server = Server(tmp_path / "data")
    server.start()
    try:
        server.create(Engine=kind[0], EngineVersion=kind[1], TransitEncryptionEnabled=True)
        endpoint = server.available()["NodeGroups"][0]["PrimaryEndpoint"]
        authority = authority_of(server.url)
        with speaking_tls(endpoint, authority) as client:
            client.set("kept", "yes")
        for how in (signal.SIGKILL, signal.SIGTERM):
            server.end(how)
            server.start()
            server.available()
            assert authority_of(server.url) == authority
            with speaking_tls(endpoint, authority) as client:
                wait_until(lambda client=client: _says_yes(client))
    finally:
        server.clear()


def _says_yes(client: Any) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.get("kept") == "yes")
    return False


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_8], ids="-".join)
def test_a_node_that_is_rebooted_serves_tls_again_at_its_address(groups: Any, authority: str, kind: tuple[str, str]) -> None:
    group = groups(kind)
    replica = next(node for node in group.nodes() if node.get("role") == "replica")
    with speaking_tls(primary_of(group), authority) as client:
        client.set("kept", "yes")
    group.client.reboot_cache_cluster(CacheClusterId=replica["node"], CacheNodeIdsToReboot=["0001"])
    wait_until(lambda: group.node(replica["node"]).get("process_id") not in (None, replica["process_id"]))
    group.settled()
    with speaking_tls({"Address": replica["address"], "Port": 6379}, authority) as client:
        assert client.get("kept") == "yes"


@pytest.mark.parametrize("kind", [NATIVE, FRONTED_8, FRONTED_9], ids="-".join)
def test_a_token_lets_in_over_tls_and_still_does_after_a_failover(groups: Any, authority: str, elasticache: Any, kind: tuple[str, str]) -> None:
    token = "a-token-of-some-length"
    group = groups(kind, AuthToken=token)
    place = primary_of(group)
    with speaking_tls(place, authority, token) as client:
        assert client.set("greeting", "hello")
        assert client.wait(1, 1000) == 1
    for wrong in (None, "another-token-of-some-length"):
        with speaking_tls(place, authority, wrong) as client, pytest.raises(redis.AuthenticationError):
            client.get("greeting")
    leader = group.primary()["process_id"]
    elasticache.test_failover(ReplicationGroupId=group.name, NodeGroupId="0001")

    def writes() -> bool:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError), speaking_tls(place, authority, token) as client:
            return bool(client.info("replication")["role"] == "master" and client.info("server")["process_id"] != leader)
        return False

    wait_until(writes, within=20)
    with speaking_tls(place, authority, token) as client:
        assert (client.get("greeting"), client.set("greeting", "again")) == ("hello", True)
