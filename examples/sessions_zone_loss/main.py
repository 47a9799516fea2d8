"""A login that survives the loss of a zone: the power of the primary's zone goes, and the session is still there and in use."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import cachewright

NAME = "zone-loss"
LIFE = 1800  # seconds that a session lives after its last page
PATIENCE = 60.0  # seconds without a successful visit after which we give up
MORE = 50  # pages that are visited before the loss, and once more when there is another primary

# ---- the application -------------------------------------------------------------------------------------------------------


class Sessions:
    """Each session is one JSON document at the primary endpoint: written as a whole with its TTL, so that writing it twice does no harm."""

    def __init__(self, cache: redis.Redis) -> None:
        self._cache = cache

    def login(self, user: str) -> tuple[str, int]:
        """A token, and how many replicas in other zones have the session too. A caller that is told 0 lets the visitor log in again."""
        token = secrets.token_urlsafe(32)
        with self._cache.pipeline(transaction=False) as one_connection:  # WAIT speaks of the writes of its own connection only
            one_connection.set(f"session:{token}", json.dumps({"user": user, "page": 0}), ex=LIFE)
            one_connection.wait(1, 2000)
            _, copies = one_connection.execute()
        return token, int(copies)

    def read(self, token: str) -> Any:
        """The session; None when there is none."""
        found: Any = self._cache.get(f"session:{token}")
        return json.loads(found) if found else None

    def visit(self, token: str, page: int) -> None:
        """Note the page, and start the TTL again."""
        session = self.read(token)
        if session is None:
            raise SystemExit("the session is lost")
        self._cache.set(f"session:{token}", json.dumps(session | {"page": page}), ex=LIFE)

    def logout(self, token: str) -> None:
        self._cache.delete(f"session:{token}")


class Visits(NamedTuple):
    """The last page, how many visits failed, and the longest time between two that did not."""

    last: int
    failed: int
    longest: float


def keep_visiting(sessions: Sessions, token: str, page: int, enough: Callable[[int], object]) -> Visits:
    """Visit one page after another, from this one on, and one more when that is enough. A visit that fails is made again."""
    failed, longest, succeeded = 0, 0.0, time.monotonic()
    last_one = False
    while time.monotonic() < succeeded + PATIENCE:
        last_one = last_one or bool(enough(page))
        try:
            sessions.visit(token, page + 1)
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError):
            failed += 1
        else:
            page += 1
            longest, succeeded = max(longest, time.monotonic() - succeeded), time.monotonic()
            if last_one:
                return Visits(page, failed, longest)
        time.sleep(0.01)
    raise SystemExit(f"no visit succeeded for {PATIENCE:g} s")


# ---- the story -------------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    node: str
    zone: str
    address: str
    is_primary: bool

    def __str__(self) -> str:
        return f"{self.node} in {self.zone}"


class Doors(NamedTuple):
    """The service as an application knows it, and the laboratory that breaks what it runs."""

    elasticache: Any
    lab: Any

    def places(self) -> list[Place]:
        """The nodes that do their duty."""
        nodes = self.lab.describe_nodes(ReplicationGroupId=NAME)["Nodes"]
        fit = (node for node in nodes if node["InSync"])
        return [Place(node["CacheClusterId"], node["Zone"], node["Address"], node.get("Role") == "primary") for node in fit]

    def primary(self) -> Place | None:
        return next((place for place in self.places() if place.is_primary), None)

    def until_whole(self) -> None:
        self.lab.get_waiter("nodes_in_sync").wait(ReplicationGroupId=NAME)


@contextmanager
def without_power(lab: Any, zone: str) -> Iterator[str]:
    """The group's nodes in a zone are killed, and none is started there before the end of the block; other groups are not concerned."""
    fault = lab.create_fault(Kind="zone-power-loss", ReplicationGroupId=NAME, Zone=zone, DurationSeconds=120)["Fault"]["FaultId"]
    try:
        yield fault
    finally:
        lab.delete_fault(FaultId=fault)


def tell(doors: Doors, endpoint: Any) -> None:
    lost = doors.primary()
    assert lost is not None
    with connected(endpoint["Address"], endpoint["Port"]) as cache:
        sessions = Sessions(cache)
        token, copies = sessions.login("ada")
        print(f"login:    ada, at {lost}, copies in other zones: {copies}")
        before = keep_visiting(sessions, token, 0, lambda page: page + 1 >= MORE)
        print(f"session:  {json.dumps(sessions.read(token))}")
        with without_power(doors.lab, lost.zone) as fault:
            print(f"power:    lost in {lost.zone} ({fault})")
            visits = keep_visiting(sessions, token, before.last, lambda _: doors.primary() not in (None, lost))
            print(f"primary:  {doors.primary()}")
            print(f"outage:   could not be written for {visits.longest:.2f} s; {visits.failed} visits failed and were made again")
            after = keep_visiting(sessions, token, visits.last, lambda page: page + 1 >= visits.last + MORE)
            print(f"session:  {json.dumps(sessions.read(token))}; the last page was {after.last}, {after.failed} visits failed since")
        doors.until_whole()
        print(f"power:    back; the session is on {', '.join(copies_of(token, doors))}")
        sessions.logout(token)
        print(f"logout:   {json.dumps(sessions.read(token))}")


def copies_of(token: str, doors: Doors) -> list[str]:
    """The nodes that have the session, each asked at its own address."""
    having = []
    for place in doors.places():
        with connected(place.address, 6379) as node:
            if Sessions(node).read(token):
                having.append(place.node)
    return having


def connected(address: str, port: int) -> redis.Redis:
    """A client that does not try again by itself: this application counts what fails."""
    return redis.Redis(
        host=address, port=port, decode_responses=True,
        socket_timeout=5, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0),  # longer than a WAIT takes at most
    )  # fmt: skip


@contextmanager
def primary_endpoint(elasticache: Any) -> Iterator[Any]:
    """The endpoint of a primary with replicas in two other zones, for the length of the block."""
    elasticache.create_replication_group(
        ReplicationGroupId=NAME, ReplicationGroupDescription="login sessions", Engine="valkey",
        NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
    )  # fmt: skip
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        yield elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]
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
    with primary_endpoint(elasticache) as endpoint:
        tell(Doors(elasticache, lab), endpoint)


if __name__ == "__main__":
    main()
