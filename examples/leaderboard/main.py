"""A leaderboard on sorted sets: best results, ranks, neighbours, fair ties and a board for each day, read from the replicas."""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

import boto3
import redis

NAME = "leaderboard"
DAY = 86_400  # seconds


class Place(NamedTuple):
    rank: int
    player: str
    points: int


class Board:
    """Who did best on one day. Of two players with equal points, the one who had them first is ahead.

    The engine orders equal scores by name, so the score is points and the part of the day that was left: 400.75 are 400 points
    at six in the morning. Up to 2**36 points a double holds that to the second.
    """

    def __init__(self, day: datetime) -> None:
        self._midnight = datetime.combine(day, time(tzinfo=UTC))
        self.key = f"board:{self._midnight:%Y-%m-%d}"

    def submit(self, primary: redis.Redis, player: str, points: int, at: datetime) -> bool:
        """Note a result; True when it is the player's best of the day. Yesterday's board stays for a day, then is gone."""
        left = min(1 - (at - self._midnight).total_seconds() / DAY, 1 - 1 / DAY)  # never a whole point, not even at midnight
        with primary.pipeline() as together:
            together.zadd(self.key, {player: points + left}, gt=True, ch=True)
            together.expireat(self.key, self._midnight + timedelta(days=2))
            return bool(together.execute()[0])

    def top(self, replica: redis.Redis, places: int) -> list[Place]:
        return self._places(replica, 0, places - 1)

    def around(self, replica: redis.Redis, player: str, neighbours: int) -> list[Place]:
        """The player's place with some above and below; none for who has not played."""
        rank: Any = replica.zrevrank(self.key, player)
        return [] if rank is None else self._places(replica, max(0, rank - neighbours), rank + neighbours)

    def _places(self, replica: redis.Redis, first: int, last: int) -> list[Place]:
        found: Any = replica.zrevrange(self.key, first, last, withscores=True)
        return [Place(rank, player, int(score)) for rank, (player, score) in enumerate(found, first + 1)]


@contextmanager
def three_zones(elasticache: Any) -> Iterator[Any]:
    """The node group of a primary and two replicas, for the length of the block."""
    elasticache.create_replication_group(
        ReplicationGroupId=NAME, ReplicationGroupDescription="daily boards", Engine="valkey",
        NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
    )  # fmt: skip
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        yield elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]["NodeGroups"][0]
    finally:
        elasticache.delete_replication_group(ReplicationGroupId=NAME)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=NAME)


def connected(endpoint: Any) -> redis.Redis:
    """A client with one connection, which at the reader endpoint means one replica."""
    return redis.Redis(host=endpoint["Address"], port=endpoint["Port"], decode_responses=True, single_connection_client=True)


def run_id(client: redis.Redis) -> str:
    """Which engine process answers this client."""
    return str(client.info("server")["run_id"])


def table(places: list[Place]) -> str:
    return "\n".join(f"  {place.rank:>4}  {place.player:<12} {place.points:>6}" for place in places)


def show(node_group: Any) -> None:
    names = {}
    for member in node_group["NodeGroupMembers"]:
        with closing(connected(member["ReadEndpoint"])) as node:
            names[run_id(node)] = f"{member['CacheClusterId']} ({member['CurrentRole']})"

    noon = datetime.combine(datetime.now(UTC), time(12, tzinfo=UTC))
    board, dice = Board(noon), random.Random(7)
    with ExitStack() as stack:
        primary = stack.enter_context(closing(connected(node_group["PrimaryEndpoint"])))
        web = [stack.enter_context(closing(connected(node_group["ReaderEndpoint"]))) for _ in range(4)]

        for number in range(1000):
            board.submit(primary, f"player-{number:03}", dice.randrange(9_000), noon)
        board.submit(primary, "zoe", 9_500, noon)
        board.submit(primary, "ada", 9_500, noon + timedelta(minutes=1))
        print("ada's best:  ", board.submit(primary, "ada", 9_700, noon + timedelta(minutes=2)))
        print("ada, worse:  ", board.submit(primary, "ada", 100, noon + timedelta(minutes=3)))
        print("bob, a tie:  ", board.submit(primary, "bob", 9_500, noon + timedelta(minutes=4)))
        print("copies made: ", primary.wait(2, 2000), "replicas have it all")

        print("\ntop of the day\n" + table(board.top(web[0], 4)))
        print("\naround player-500\n" + table(board.around(web[1], "player-500", 2)))

        answered = Counter(names[run_id(reader)] for reader in web for _ in board.top(reader, 10))
        print("\nreads:       ", ", ".join(f"{count} by {name}" for name, count in sorted(answered.items())))
        print("writes:      ", names[run_id(primary)])
        print("expires:     ", f"{board.key} at {datetime.fromtimestamp(web[0].expiretime(board.key), UTC):%Y-%m-%d %H:%M} UTC")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", default=os.environ.get("CACHEWRIGHT_URL", "http://127.0.0.1:8379"))
    account = os.environ.get("AWS_ACCESS_KEY_ID", "000000000000")  # a local server takes any keys; 12 digits choose an account
    elasticache = boto3.client(
        "elasticache", endpoint_url=parser.parse_args().endpoint_url, region_name="us-east-1",
        aws_access_key_id=account, aws_secret_access_key="local",
    )  # fmt: skip
    with three_zones(elasticache) as node_group:
        show(node_group)


if __name__ == "__main__":
    main()
