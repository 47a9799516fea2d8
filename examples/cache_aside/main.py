"""Cache-aside over a SQL database: read-through with a TTL, invalidation on write, no stampede, and the database as fall-back."""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import redis
from catalogue import Catalogue, Database
from redis.backoff import NoBackoff
from redis.retry import Retry

NAME = "catalogue"
PRODUCTS = range(20)


@contextmanager
def single_node_cache(elasticache: Any) -> Iterator[tuple[str, redis.Redis]]:
    """A Valkey of one node for the length of the block: its cluster id, and a client that gives up quickly."""
    elasticache.create_replication_group(
        ReplicationGroupId=NAME, ReplicationGroupDescription="cache-aside", Engine="valkey", NumCacheClusters=1
    )
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        group = elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        with redis.Redis(
            host=endpoint["Address"], port=endpoint["Port"], decode_responses=True,
            socket_connect_timeout=0.5, socket_timeout=0.5, retry=Retry(NoBackoff(), 0),  # the database is our second attempt
        ) as cache:  # fmt: skip
            yield group["MemberClusters"][0], cache
    finally:
        elasticache.delete_replication_group(ReplicationGroupId=NAME)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=NAME)


def timed(catalogue: Catalogue, products: Iterable[int]) -> str:
    """Read these, and say how many were hits and what a read took."""
    took, sources = [], []
    for product in products:
        start = time.perf_counter()
        sources.append(catalogue.read(product).source)
        took.append(time.perf_counter() - start)
    return f"{len(took)} reads, {sources.count('cache') / len(took):.0%} hits, median {statistics.median(took) * 1000:.2f} ms"


def write(catalogue: Catalogue, product: int, price: float) -> str:
    """Change a price, and say what readers saw before and after."""
    before = catalogue.read(product)
    catalogue.set_price(product, price)
    after, again = catalogue.read(product), catalogue.read(product)
    return ", then ".join(f"{read.page.price} from the {read.source}" for read in (before, after, again))


def stampede(catalogue: Catalogue, product: int, readers: int) -> str:
    """Have many readers ask at once for a page that has just been invalidated."""
    catalogue.set_price(product, 1.25)
    with ThreadPoolExecutor(readers) as crowd:
        sources = Counter(read.source for read in crowd.map(catalogue.read, [product] * readers))
    return f"{readers} readers at once, {sources['database']} asked the database"


def outage(catalogue: Catalogue, take_away: Callable[[], None], readers: int = 4) -> str:
    """Keep readers busy while the cache goes away, and until it answers each of them again."""
    over = threading.Event()

    def reads(seed: int) -> list[str]:
        products, sources = random.Random(seed), [catalogue.read(0).source]
        while not (over.is_set() and sources[-1] == "cache"):
            sources.append(catalogue.read(products.choice(PRODUCTS)).source)
        return sources

    with ThreadPoolExecutor(readers) as pool:
        busy = [pool.submit(reads, seed) for seed in range(readers)]
        try:
            take_away()
        finally:
            over.set()
        sources = Counter(source for each in busy for source in each.result())
    return f"{sources.total()} reads answered, {sources['fall-back']} of them by the database while the cache was away"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", default=os.environ.get("CACHEWRIGHT_URL", "http://127.0.0.1:8379"))
    account = os.environ.get("AWS_ACCESS_KEY_ID", "000000000000")  # a local server takes any keys; 12 digits choose an account
    elasticache = boto3.client(
        "elasticache", endpoint_url=parser.parse_args().endpoint_url, region_name="us-east-1",
        aws_access_key_id=account, aws_secret_access_key="local",
    )  # fmt: skip
    logging.basicConfig(format="%(name)s: %(message)s")

    with tempfile.TemporaryDirectory() as folder, single_node_cache(elasticache) as (cluster, cache):

        def reboot() -> None:
            elasticache.reboot_cache_cluster(CacheClusterId=cluster, CacheNodeIdsToReboot=["0001"])
            elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=cluster)

        catalogue = Catalogue(Database(Path(folder) / "shop.db", len(PRODUCTS), reviews=100_000), cache)
        print("cold:        ", timed(catalogue, PRODUCTS))
        print("warm:        ", timed(catalogue, random.choices(PRODUCTS, k=500)))
        print("write:       ", write(catalogue, product=7, price=99.5))
        print("stampede:    ", stampede(catalogue, product=3, readers=32))
        print("outage:      ", outage(catalogue, reboot))
        print("refilled:    ", timed(catalogue, PRODUCTS))
        print("warm again:  ", timed(catalogue, PRODUCTS))


if __name__ == "__main__":
    main()
