"""The server dies at each moment of a handover, and comes back late: no write that was acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dying_server
import pytest
import redis
from servers import Server
from waiting import let_pass, wait_until
from writers import Writer

AWAY = 2.5  # seconds: longer than a primary that is in touch waits for its heir
TESTED, RENEWED = "tested", "renewed"
PLAIN: dict[str, Any] = {"NumCacheClusters": 2, "CacheNodeType": "cache.t4g.small"}
SHARDED: dict[str, Any] = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheNodeType": "cache.t4g.small"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data")
    yield made
    made.clear()


def create(server: Server, shape: dict[str, Any]) -> Callable[[], Any]:
    """A group of that shape, and how a writer connects to it."""
    wanted = {"ReplicationGroupId": "orders", "ReplicationGroupDescription": "d", "Engine": "valkey", "AutomaticFailoverEnabled": True}
    server.api().create_replication_group(**wanted, **shape)
    seen = server.available()
    if shape is SHARDED:
        at = seen["ConfigurationEndpoint"]
        return lambda: redis.RedisCluster(host=at["Address"], port=at["Port"], decode_responses=True, socket_timeout=5)
    at = seen["NodeGroups"][0]["PrimaryEndpoint"]
    return lambda: redis.Redis(at["Address"], at["Port"], decode_responses=True, socket_timeout=5)


def ask(server: Server, why: str) -> None:
    """Have the primary hand over."""
    if why == TESTED:
        server.api().test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
    else:
        server.api().modify_replication_group(ReplicationGroupId="orders", CacheNodeType="cache.m7g.large", ApplyImmediately=True)


@pytest.mark.parametrize("moment", dying_server.MOMENTS)
@pytest.mark.parametrize(("shape", "why"), [(PLAIN, TESTED), (PLAIN, RENEWED), (SHARDED, TESTED)], ids=["tested", "renewed", "cluster-mode"])
def test_a_server_that_dies_in_a_handover_costs_no_write(server: Server, shape: dict[str, Any], why: str, moment: str) -> None:
    server.start(dying_server.__file__, moment)
    connect = create(server, shape)
    with Writer(connect, replicas=0) as writer:
        ask(server, why)
        assert server.process is not None and server.process.stdout is not None
        server.process.wait(60)
        server.process.stdout.close()
        let_pass(AWAY)
        server.start()
        writer.go_on_for(50)
        wait_until(lambda: server.group()["Status"] == "available", within=60, every=0.05)
        writer.go_on_for(50)
    assert writer.lost(writer.acknowledged) == []
