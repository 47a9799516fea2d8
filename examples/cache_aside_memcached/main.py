"""Cache-aside on Memcached: one client over all nodes, and the loss of a node costs its share of the pages and nothing else."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from pymemcache.client.hash import HashClient

NAME = "catalogue-mc"
PRODUCTS = range(60)
TTL = 60  # seconds, and so the longest that a page can be out of date when an invalidation was lost


class Page(NamedTuple):
    """What a product page shows."""

    product: int
    price: float
    stars: float


class Database:
    """The truth, in a file of SQLite."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("CREATE TABLE product (id INTEGER PRIMARY KEY, price REAL)")
            db.execute("CREATE TABLE review (product INTEGER, stars INTEGER)")
            db.executemany("INSERT INTO product VALUES (?, ?)", [(each, 10.0 + each) for each in PRODUCTS])
            db.executemany("INSERT INTO review VALUES (?, ?)", ((n % len(PRODUCTS), n % 5 + 1) for n in range(20_000)))

    def page(self, product: int) -> Page:
        with closing(sqlite3.connect(self._file)) as db:
            price = db.execute("SELECT price FROM product WHERE id = ?", (product,)).fetchone()[0]
            return Page(product, price, *db.execute("SELECT avg(stars) FROM review WHERE product = ?", (product,)).fetchone())

    def set_price(self, product: int, price: float) -> None:
        with closing(sqlite3.connect(self._file)) as db, db:
            db.execute("UPDATE product SET price = ? WHERE id = ?", (price, product))


class Catalogue:
    """Pages from the cache where it has them, else from the database. A node that does not answer has none."""

    def __init__(self, database: Database, cache: HashClient) -> None:
        self._database, self._cache = database, cache

    def read(self, product: int) -> tuple[Page, bool]:
        """The page, and whether it was cached."""
        if found := self._cache.get(f"page-{product}"):
            return Page(*json.loads(found)), True
        page = self._database.page(product)
        self._cache.set(f"page-{product}", json.dumps(page), expire=TTL)
        return page, False

    def read_all(self) -> set[int]:
        """Read every product; those that were not cached."""
        return {product for product in PRODUCTS if not self.read(product)[1]}

    def set_price(self, product: int, price: float) -> None:
        """The database first, then the cache: the other way round a reader could put the old page back in between."""
        self._database.set_price(product, price)
        self._cache.delete(f"page-{product}")


@contextmanager
def memcached(elasticache: Any) -> Iterator[list[Any]]:
    """The nodes of a Memcached over three zones, for the length of the block."""
    elasticache.create_cache_cluster(CacheClusterId=NAME, Engine="memcached", NumCacheNodes=3, AZMode="cross-az")
    try:
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=NAME)
        yield elasticache.describe_cache_clusters(CacheClusterId=NAME, ShowCacheNodeInfo=True)["CacheClusters"][0]["CacheNodes"]
    finally:
        elasticache.delete_cache_cluster(CacheClusterId=NAME)
        elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=NAME)


def client_of(nodes: list[Any]) -> HashClient:
    """Each key has its node. One that fails is a miss for its keys and is asked again after a moment; when that failed three
    times, its keys go to the others for a second. Sets and deletes wait for their answer, so that a lost connection shows."""
    return HashClient(
        [(node["Endpoint"]["Address"], node["Endpoint"]["Port"]) for node in nodes],
        ignore_exc=True, connect_timeout=0.5, timeout=0.5, retry_attempts=3, retry_timeout=0.05, dead_timeout=1,
        use_pooling=True, default_noreply=False,
    )  # fmt: skip


def lost_during(catalogue: Catalogue, action: Callable[[], None]) -> set[int]:
    """Which products a busy reader missed while ``action`` ran, and until all of them were cached again."""
    over = threading.Event()

    def reader() -> set[int]:
        missed = last = catalogue.read_all()
        while last or not over.is_set():
            last = catalogue.read_all()
            missed = missed | last
        return missed

    with ThreadPoolExecutor(1) as pool:
        missed = pool.submit(reader)
        try:
            action()
        finally:
            over.set()
        return missed.result()


def show(elasticache: Any, nodes: list[Any], catalogue: Catalogue, cache: HashClient) -> None:
    shares: dict[str, set[int]] = {}
    for product in PRODUCTS:
        shares.setdefault(cache.hasher.get_node(f"page-{product}"), set()).add(product)
    print("shares:   ", ", ".join(f"{len(share)} pages at {node}" for node, share in sorted(shares.items())))
    print("cold:     ", f"{len(catalogue.read_all())} of {len(PRODUCTS)} pages from the database")
    print("warm:     ", f"{len(catalogue.read_all())} of {len(PRODUCTS)} pages from the database")

    before = catalogue.read(7)[0].price
    catalogue.set_price(7, 99.5)
    (after, cached), (again, cached_again) = catalogue.read(7), catalogue.read(7)
    print("write:    ", f"{before}, then {after.price} (cached: {cached}), then {again.price} (cached: {cached_again})")

    def reboot() -> None:
        elasticache.reboot_cache_cluster(CacheClusterId=NAME, CacheNodeIdsToReboot=[nodes[1]["CacheNodeId"]])
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=NAME)

    missed = lost_during(catalogue, reboot)
    rebooted = f"{nodes[1]['Endpoint']['Address']}:{nodes[1]['Endpoint']['Port']}"
    print("reboot:   ", f"{rebooted} in {nodes[1]['CustomerAvailabilityZone']}, all reads answered")
    print("lost:     ", f"{len(missed)} pages, {len(missed - shares[rebooted])} of them from other nodes")
    print("recovered:", f"{len(catalogue.read_all())} of {len(PRODUCTS)} pages from the database")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", default=os.environ.get("CACHEWRIGHT_URL", "http://127.0.0.1:8379"))
    account = os.environ.get("AWS_ACCESS_KEY_ID", "000000000000")  # a local server takes any keys; 12 digits choose an account
    elasticache = boto3.client(
        "elasticache", endpoint_url=parser.parse_args().endpoint_url, region_name="us-east-1",
        aws_access_key_id=account, aws_secret_access_key="local",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, memcached(elasticache) as nodes, closing(client_of(nodes)) as cache:
        show(elasticache, nodes, Catalogue(Database(Path(folder) / "shop.db"), cache), cache)


if __name__ == "__main__":
    main()
