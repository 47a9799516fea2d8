"""Who writes to a replica is disconnected, or told READONLY and no more: as the parameter ``close-on-replica-write`` says, on real engines."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import pytest
from waiting import wait_until

from cachewright import LocalServer

ENGINES = [("valkey", "9.1", "valkey9"), ("valkey", "8.1", "valkey8"), ("redis", "7.0", "redis7")]
IDS = [family for _, _, family in ENGINES]
REFUSED = b"-READONLY You can't write against a read only replica.\r\n"
SET, GET = b"SET a 1\r\n", b"GET a\r\n"


@pytest.fixture(scope="module")
def account() -> str:
    return str(uuid.uuid4().int)[:12]


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Any:
    return server.client(account_id=account)


class Client:
    """One connection, over which words go out and answers come in as they are."""

    def __init__(self, endpoint: Any) -> None:
        self._socket = socket.create_connection((endpoint["Address"], endpoint["Port"]), timeout=5)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def says(self, words: bytes, answers: int = 1) -> list[bytes]:
        """What is answered, a line each."""
        self._socket.sendall(words)
        return [self._answers.readline() for _ in range(answers)]

    def is_disconnected(self, within: float = 1.5) -> bool:
        """Whether the other end hangs up within so many seconds."""
        self._socket.settimeout(within)
        try:
            return self._answers.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@contextmanager
def clients(endpoint: Any, number: int) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Client(endpoint)) for _ in range(number)]


def parameters_with(client: Any, family: str, value: str) -> str:
    name = f"p{uuid.uuid4().hex[:8]}"
    client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="d")
    set_to(client, name, value)
    return name


def set_to(client: Any, parameters: str, value: str) -> None:
    asked = [{"ParameterName": "close-on-replica-write", "ParameterValue": value}]
    client.modify_cache_parameter_group(CacheParameterGroupName=parameters, ParameterNameValues=asked)


def new_group(client: Any, engine: str, version: str, nodes: int = 2, **wanted: Any) -> dict[str, Any]:
    """The node group of a replication group that is available."""
    name = f"g{uuid.uuid4().hex[:8]}"
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", Engine=engine, EngineVersion=version,
                                    NumCacheClusters=nodes, AutomaticFailoverEnabled=True, **wanted)  # fmt: skip
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    shown: dict[str, Any] = client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]["NodeGroups"][0]
    return {**shown, "name": name}


def replica_of(group: dict[str, Any]) -> Any:
    return next(each["ReadEndpoint"] for each in group["NodeGroupMembers"] if each["CurrentRole"] == "replica")


@pytest.mark.parametrize(("engine", "version", "family"), ENGINES, ids=IDS)
def test_by_default_who_writes_to_a_replica_hears_readonly_and_is_disconnected(
    elasticache: Any, engine: str, version: str, family: str
) -> None:
    group = new_group(elasticache, engine, version)
    with clients(replica_of(group), 4) as (writer, pipelined, transaction, reader), Client(group["PrimaryEndpoint"]) as at_primary:
        assert reader.says(GET) == [b"$-1\r\n"]
        assert writer.says(SET) == [REFUSED]
        began = time.monotonic()
        assert writer.is_disconnected()
        print(f"{family}: disconnected after {1000 * (time.monotonic() - began):.0f} ms")
        assert pipelined.says(GET + b"XADD s * a 1\r\n", answers=2) == [b"$-1\r\n", REFUSED]
        assert pipelined.is_disconnected()
        assert transaction.says(b"MULTI\r\n" + SET + b"EXEC\r\n", answers=3)[1] == REFUSED
        assert transaction.is_disconnected()
        assert reader.says(GET) == [b"$-1\r\n"]  # over the same connection as before
        assert at_primary.says(SET) == [b"+OK\r\n"]
        assert not at_primary.is_disconnected(within=0.5)


def test_who_reads_stays_however_much_others_write(elasticache: Any) -> None:
    group = new_group(elasticache, "valkey", "8.1")
    with clients(replica_of(group), 2) as (reader, subscriber):
        assert subscriber.says(b"SUBSCRIBE news\r\n", answers=1) == [b"*3\r\n"]
        for _ in range(5):
            with Client(replica_of(group)) as writer:
                assert writer.says(SET) == [REFUSED]
                assert reader.says(b"MULTI\r\n" + b"PING\r\n" + b"EXEC\r\n", answers=4)[3] == b"+PONG\r\n"
                assert writer.is_disconnected()
        assert reader.says(b"EVAL return{1} 0\r\n", answers=2) == [b"*1\r\n", b":1\r\n"]


def test_a_writer_at_the_reader_endpoint_is_disconnected(elasticache: Any) -> None:
    group = new_group(elasticache, "valkey", "8.1")
    with clients(group["ReaderEndpoint"], 2) as (writer, reader):
        assert reader.says(GET) == [b"$-1\r\n"]
        assert writer.says(SET) == [REFUSED]
        assert writer.is_disconnected()
        assert reader.says(GET) == [b"$-1\r\n"]


@pytest.mark.parametrize(("engine", "version", "family"), ENGINES, ids=IDS)
def test_where_it_is_switched_off_a_writer_only_hears_readonly_and_switching_is_immediate(
    elasticache: Any, engine: str, version: str, family: str
) -> None:
    parameters = parameters_with(elasticache, family, "no")
    group = new_group(elasticache, engine, version, CacheParameterGroupName=parameters)
    with Client(replica_of(group)) as writer:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert writer.says(SET) == [REFUSED]
        assert not writer.is_disconnected(within=0.5)
    set_to(elasticache, parameters, "yes")

    def is_cut() -> bool:
        with Client(replica_of(group)) as later:
            return later.says(SET) == [REFUSED] and later.is_disconnected(within=0.4)

    wait_until(is_cut)
    set_to(elasticache, parameters, "no")
    wait_until(lambda: not is_cut())


def test_after_a_failover_the_former_primary_disconnects_and_the_new_one_does_not(elasticache: Any) -> None:
    group = new_group(elasticache, "valkey", "8.1")
    before = replica_of(group)
    elasticache.test_failover(ReplicationGroupId=group["name"], NodeGroupId="0001")

    def whole() -> dict[str, Any] | None:
        shown = elasticache.describe_replication_groups(ReplicationGroupId=group["name"])["ReplicationGroups"][0]
        members = shown["NodeGroups"][0].get("NodeGroupMembers", []) if shown["Status"] == "available" else []
        replicas = [each["ReadEndpoint"] for each in members if each["CurrentRole"] == "replica"]
        return shown["NodeGroups"][0] if replicas and before not in replicas else None

    now = wait_until(whole, within=30)

    def cuts_off() -> bool:
        try:
            with Client(replica_of(now)) as follows:
                return follows.says(SET) == [REFUSED] and follows.is_disconnected()
        except ConnectionError:
            return False  # the former primary is being started anew

    wait_until(cuts_off, within=30)
    with Client(before) as leads:
        assert leads.says(SET) == [b"+OK\r\n"]
        assert not leads.is_disconnected(within=0.5)
