"""Product pages from a cache in front of a SQL database: the part to take along."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import redis

TTL = 60  # seconds, and so the longest that a page can be out of date when an invalidation was lost
LEASE = 2_000  # milliseconds; longer than the slowest query, short enough to wait for when its holder died
PAUSE = 0.05  # seconds between two attempts to reach a cache that is away
UNREACHABLE = (redis.ConnectionError, redis.TimeoutError)

# Stores a page while the lease is still ours. A write in the meantime took the lease away, so what we read may be old.
# The lease is left to lapse: whoever missed the page just before it was stored then looks again, instead of asking the database.
FILL = "if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end"

log = logging.getLogger("catalogue")


class Page(NamedTuple):
    """What a product page shows. Stars and reviews take a scan of all reviews, which is why it is worth caching."""

    product: int
    price: float
    stars: float
    reviews: int


class Read(NamedTuple):
    """A page, and who answered: ``cache``, ``database`` (it was not cached), or ``fall-back`` (the cache was unreachable)."""

    page: Page
    source: str


class Database:
    """The truth, in a file of SQLite."""

    def __init__(self, file: Path, products: int, reviews: int) -> None:
        self._file = file
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("CREATE TABLE product (id INTEGER PRIMARY KEY, price REAL)")
            db.execute("CREATE TABLE review (product INTEGER, stars INTEGER)")
            db.executemany("INSERT INTO product VALUES (?, ?)", [(each, 10.0 + each) for each in range(products)])
            db.executemany("INSERT INTO review VALUES (?, ?)", ((n % products, n % 5 + 1) for n in range(reviews)))

    def page(self, product: int) -> Page:
        with closing(sqlite3.connect(self._file)) as db:
            price = db.execute("SELECT price FROM product WHERE id = ?", (product,)).fetchone()[0]
            return Page(product, price, *db.execute("SELECT avg(stars), count(*) FROM review WHERE product = ?", (product,)).fetchone())

    def set_price(self, product: int, price: float) -> None:
        with closing(sqlite3.connect(self._file)) as db, db:
            db.execute("UPDATE product SET price = ? WHERE id = ?", (price, product))


class Catalogue:
    """Pages from the cache where it has them, else from the database. Threads may share one."""

    def __init__(self, database: Database, cache: redis.Redis) -> None:
        self._database, self._cache, self._fill = database, cache, cache.register_script(FILL)
        self._reachable, self._changed, self._ask_again = True, 0.0, 0.0
        self._lock = threading.Lock()

    def read(self, product: int) -> Read:
        """The page, whether or not there is a cache."""
        asked = time.monotonic()
        if asked < self._ask_again:
            return Read(self._database.page(product), "fall-back")
        try:
            found = self._read_through(product)
        except UNREACHABLE as error:
            self._saw(False, asked, error)
            return Read(self._database.page(product), "fall-back")
        self._saw(True, asked)
        return found

    def set_price(self, product: int, price: float) -> None:
        """The database first, then the cache: the other way round a reader could put the old page back in between."""
        self._database.set_price(product, price)
        asked = time.monotonic()
        try:
            self._cache.delete(f"page:{product}", f"page:{product}:lease")
        except UNREACHABLE as error:
            self._saw(False, asked, error)

    def _read_through(self, product: int) -> Read:
        """Of all who miss a page at once, the one who gets the lease asks the database, and the others wait for the page."""
        key, lease, mine = f"page:{product}", f"page:{product}:lease", secrets.token_hex(8)
        while (found := self._cache.get(key)) is None:
            if self._cache.set(lease, mine, nx=True, px=LEASE):
                page = self._database.page(product)
                self._fill(keys=[key, lease], args=[mine, json.dumps(page), TTL])
                return Read(page, "database")
            time.sleep(0.001)
        return Read(Page(*json.loads(str(found))), "cache")

    def _saw(self, reachable: bool, asked: float, error: Exception | None = None) -> None:
        """Note what a request showed, and log it where that is news; a request from before the last change brings none."""
        with self._lock:
            if not reachable:
                self._ask_again = time.monotonic() + PAUSE
            if reachable == self._reachable or asked < self._changed:
                return
            self._reachable, self._changed = reachable, time.monotonic()
        if reachable:
            log.warning("the cache is back")
        else:
            log.warning("the cache is unreachable, reading the database: %s", error)
