"""Why ``rename-commands`` is refused: what a primary rewrites reaches its replicas under the commands' own names, which they would not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare_engines import BareEngine, binaries
from waiting import wait_until

RENAMED = ("--rename-command", "SET", "put", "--rename-command", "PEXPIREAT", "expire-at", "--rename-command", "SREM", "take-out")


@pytest.mark.parametrize("version", sorted(binaries()))
def test_a_replica_that_renames_alike_loses_writes(version: str, tmp_path: Path) -> None:
    binary = binaries()[version]
    with BareEngine(binary, tmp_path / "primary", *RENAMED, "--repl-diskless-sync-delay", "0") as primary:
        follow = ("--replicaof", "127.0.0.1", str(primary.port))
        with BareEngine(binary, tmp_path / "replica", *RENAMED, *follow) as replica:
            wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
            primary.client.execute_command("put", "as-typed", "1")
            primary.client.rpush("expires", "1")
            primary.client.expire("expires", 100)
            primary.client.incrbyfloat("rewritten", 1.5)
            primary.client.sadd("popped", "a", "b")
            primary.client.spop("popped")
            assert primary.client.wait(1, 2000) == 1
            assert sorted(primary.client.keys()) == [b"as-typed", b"expires", b"popped", b"rewritten"]
            assert sorted(replica.client.keys()) == [b"as-typed", b"expires", b"popped"]
            assert (primary.client.ttl("expires") > 0, replica.client.ttl("expires")) == (True, -1)
            assert (primary.client.scard("popped"), replica.client.scard("popped")) == (1, 2)
