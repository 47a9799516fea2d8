"""Two clients go through the same real faults side by side: one as often written, one as it should be. A table says what each met."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.retry import Retry

import cachewright

NAME = "survive"
PAUSE = 0.005  # seconds between two writes
PATIENCE = 60.0  # seconds until a failover or a repair counts as failed
MORE = 100  # writes that each client tries before the fault, and once more after the group is whole again


# ---- the two clients -------------------------------------------------------------------------------------------------------


def as_often_written(node_group: Any) -> redis.Redis:
    """Connected to the node that is primary now; neither a timeout nor a retry, as redis-py had it by itself up to version 5."""
    primary = next(member for member in node_group["NodeGroupMembers"] if member["CurrentRole"] == "primary")["ReadEndpoint"]
    return redis.Redis(
        host=primary["Address"], port=primary["Port"],
        socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


def as_it_should_be(node_group: Any) -> redis.Redis:
    """Connected to the primary endpoint; gives up on a silent node soon, and tries again for about ten seconds."""
    endpoint = node_group["PrimaryEndpoint"]
    return redis.Redis(
        host=endpoint["Address"], port=endpoint["Port"],
        socket_timeout=0.5, socket_connect_timeout=0.5, health_check_interval=10,
        retry=Retry(EqualJitterBackoff(base=0.01, cap=0.5), retries=30),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError],
    )  # fmt: skip


CLIENTS: dict[str, Callable[[Any], redis.Redis]] = {"as often written": as_often_written, "as it should be": as_it_should_be}


class Writer:
    """Counts up in the cache until told to stop. Each number is a member of a set, so that a write that is made twice counts once."""

    def __init__(self, cache: redis.Redis, key: str) -> None:
        self.tried = 0
        self.acknowledged: list[int] = []
        self.errors: Counter[str] = Counter()
        self.gap = 0.0
        self.writes_again = True
        self._cache, self._key = cache, key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=key, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._cache.close()

    def _work(self) -> None:
        last = time.monotonic()
        while not self._over.wait(PAUSE):
            number = self.tried + 1
            try:
                self._cache.sadd(self._key, number)
            except redis.RedisError as error:  # an application would tell its caller; this one goes on with the next number
                self.errors[type(error).__name__] += 1
                self.writes_again = False
            else:
                self.acknowledged.append(number)
                self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()
                self.writes_again = True
            self.tried = number
        self.gap = max(self.gap, time.monotonic() - last)


# ---- the faults ------------------------------------------------------------------------------------------------------------


class Doors(NamedTuple):
    """The service as an application knows it, and the laboratory that breaks what it runs."""

    elasticache: Any
    lab: Any

    def node_group(self) -> Any:
        return self.elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]["NodeGroups"][0]

    def primary(self) -> str | None:
        """The node whose engine says that it is primary; None while there is none."""
        nodes = self.lab.describe_nodes(ReplicationGroupId=NAME)["Nodes"]
        return next((node["CacheClusterId"] for node in nodes if node.get("Role") == "primary" and node["InSync"]), None)

    def until_whole(self) -> None:
        """Wait until every node does its duty: a second fault on top of a first one would show something else."""
        self.lab.get_waiter("nodes_in_sync").wait(ReplicationGroupId=NAME)
        self.elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)


@contextmanager
def planned_failover(doors: Doors, _: str) -> Iterator[None]:
    doors.elasticache.test_failover(ReplicationGroupId=NAME, NodeGroupId="0001")
    yield


@contextmanager
def crash(doors: Doors, primary: str) -> Iterator[None]:
    doors.lab.create_fault(Kind="node-crash", CacheClusterId=primary)
    yield


@contextmanager
def hang(doors: Doors, primary: str) -> Iterator[None]:
    fault = doors.lab.create_fault(Kind="node-hang", CacheClusterId=primary, DurationSeconds=60)["Fault"]["FaultId"]
    try:
        yield
    finally:
        doors.lab.delete_fault(FaultId=fault)


FAULTS = {"planned failover": planned_failover, "crash": crash, "hang": hang}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE:g} s")
        time.sleep(0.02)


# ---- the comparison --------------------------------------------------------------------------------------------------------


def go_through(doors: Doors, fault: Any) -> dict[str, Writer]:
    """Have every client write before, during and after a fault of the primary."""
    doors.until_whole()
    primary = doors.primary()
    assert primary is not None
    node_group = doors.node_group()
    writers = {name: Writer(connect(node_group), f"numbers of the client {name}") for name, connect in CLIENTS.items()}
    try:
        all_try_more(writers)
        with fault(doors, primary):
            until(lambda: doors.primary() not in (None, primary))
            doors.until_whole()
        all_try_more(writers)
    finally:
        for writer in writers.values():
            writer.stop()
    return writers


def all_try_more(writers: dict[str, Writer]) -> None:
    goals = {name: writer.tried + MORE for name, writer in writers.items()}
    until(lambda: all(writer.tried >= goals[name] for name, writer in writers.items()))


def missing(doors: Doors, name: str, writer: Writer) -> int:
    """How many acknowledged numbers the present primary does not have. The set is removed, for the next fault."""
    key = f"numbers of the client {name}"
    with as_it_should_be(doors.node_group()) as cache:
        there = {int(number) for number in cache.smembers(key)}
        cache.delete(key)
    return len(set(writer.acknowledged) - there)


def row(*cells: object) -> str:
    return "{:<17} {:<17} {:>12} {:>8}  {:<15} {}".format(*map(str, cells))


def compare(doors: Doors) -> None:
    print(row("fault", "client", "acknowledged", "missing", "longest gap", "errors"))
    for fault, inject in FAULTS.items():
        for name, writer in go_through(doors, inject).items():
            gap = f"{writer.gap:.2f} s" + ("" if writer.writes_again else ", no end")
            errors = ", ".join(f"{count} {kind}" for kind, count in sorted(writer.errors.items())) or "none"
            print(row(fault, name, len(writer.acknowledged), missing(doors, name, writer), gap, errors), flush=True)


@contextmanager
def three_nodes(elasticache: Any) -> Iterator[None]:
    """A primary and two replicas in three zones, for the length of the block."""
    elasticache.create_replication_group(
        ReplicationGroupId=NAME, ReplicationGroupDescription="to be broken", Engine="valkey",
        NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
    )  # fmt: skip
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        yield
    finally:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        elasticache.delete_replication_group(ReplicationGroupId=NAME)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=NAME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", default=os.environ.get("CACHEWRIGHT_URL", "http://127.0.0.1:8379"))
    url = parser.parse_args().endpoint_url
    account = os.environ.get("AWS_ACCESS_KEY_ID", "000000000000")  # a local server takes any keys; 12 digits choose an account
    elasticache = boto3.client(
        "elasticache", endpoint_url=url, region_name="us-east-1", aws_access_key_id=account, aws_secret_access_key="local"
    )
    lab = cachewright.client("lab", endpoint_url=url, account_id=account)
    with three_nodes(elasticache):
        compare(Doors(elasticache, lab))


if __name__ == "__main__":
    main()
