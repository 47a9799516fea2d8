"""A load that keeps its own ledger: of every kind of value it knows what was acknowledged, and judges what is there in the end.

What was acknowledged is there, once and in order. What failed may have been done or not: it is there once, or not at all.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Self

from cluster_clients import Client, Connect, Place, Strict
from redis.crc import key_slot
from waiting import wait_until

FUNCTIONS = """#!lua name=ledger
redis.register_function('ledger_add', function(keys, args) return redis.call('RPUSH', keys[1], args[1]) end)
"""
SCRIPT = "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])"

_PACE = 0.003  # seconds between two entries in a book
_AFTER_A_FAILURE = 0.02
_OVERDUE = 1.0  # seconds that a key may outlive its time: a key that is moved takes the rest of its time along, and is that much later


class Entries:
    """What was written under each key, in order, and which of it nobody knows the outcome of."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[int]] = defaultdict(list)
        self.doubtful: dict[str, set[int]] = defaultdict(set)

    @contextlib.contextmanager
    def entry(self, key: str, number: int) -> Iterator[None]:
        """A write, which counts as acknowledged unless it raises something."""
        self.doubtful[key].add(number)
        yield
        self.doubtful[key].discard(number)
        self.acknowledged[key].append(number)

    @property
    def keys(self) -> list[str]:
        """Every key that was written to."""
        return sorted(self.acknowledged.keys() | self.doubtful.keys())

    def judged(self, key: str, found: Sequence[int]) -> Iterator[str]:
        """What is wrong with a value that all numbers were added to: something is missing, there twice, or in another order."""
        done, doubtful = self.acknowledged[key], self.doubtful[key]
        if list(found) == done:
            return
        if missing := set(done) - set(found):
            yield f"{key}: {len(missing)} of {len(done)} are lost, as {sorted(missing)[:5]}"
        if twice := [number for number, times in Counter(found).items() if times > 1]:
            yield f"{key}: {len(twice)} are there twice, as {sorted(twice)[:5]}"
        if strange := set(found) - set(done) - doubtful:
            yield f"{key}: {len(strange)} were never written, as {sorted(strange)[:5]}"
        if list(found) != sorted(found):
            yield f"{key}: not in the order in which they were written"

    def newest(self, key: str, found: int | None) -> Iterator[str]:
        """What is wrong with a value that each number replaced."""
        done, doubtful = self.acknowledged[key], self.doubtful[key]
        last = done[-1] if done else None
        if found != last and not (found in doubtful and (last is None or found > last)):
            yield f"{key}: is {found} and not {last}"


class Book:
    """One kind of values, written by one thread."""

    pace = _PACE

    def __init__(self) -> None:
        self.entries = Entries()
        self.wrong: list[str] = []
        """What was seen to be wrong while it was written, each with its key in front."""

    def write(self, client: Client, number: int) -> None:
        """Make the next entry."""
        raise NotImplementedError

    def judge(self, client: Client, forgiven: Collection[int]) -> Iterator[str]:
        """What is wrong in the end. ``forgiven`` are slots whose data may be lost."""
        for key in self.entries.keys:
            if key_slot(key.encode()) not in forgiven:
                yield from self.judge_key(client, key)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """What is wrong with one key in the end."""
        raise NotImplementedError


class Strings(Book):
    """Each number replaces the one before, and a counter beside it counts them: it tells of writes that were done twice."""

    def write(self, client: Client, number: int) -> None:
        """SET and INCR, after a look at the last."""
        key, counter = f"string:{number % 50}", f"count:{number % 50}"
        if not self.entries.doubtful[key] and self.entries.acknowledged[key]:
            self.wrong += self.entries.newest(key, _number(client.say("GET", key)))
        with self.entries.entry(key, number):
            client.say("SET", key, number)
        with self.entries.entry(counter, number):
            client.say("INCR", counter)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """Its last value, or its count."""
        found = _number(client.say("GET", key))
        if key.startswith("string"):
            yield from self.entries.newest(key, found)
            return
        done, doubtful = len(self.entries.acknowledged[key]), len(self.entries.doubtful[key])
        if not done <= (found or 0) <= done + doubtful:
            yield f"{key}: counts {found} where {done} were acknowledged and {doubtful} are in doubt"


class Expiring(Book):
    """Strings that go when their time is up: not before, and once gone they stay so."""

    lives = (300, 1500, 90_000)

    def __init__(self) -> None:
        super().__init__()
        self._set: list[tuple[str, float, float]] = []

    def write(self, client: Client, number: int) -> None:
        """SET with one of the lives, and a look at an older one."""
        key, life = f"expiring:{number}", self.lives[number % len(self.lives)]
        began = time.monotonic()
        client.say("SET", key, number, "PX", life)
        self._set.append((key, began + life / 1000, time.monotonic() + life / 1000))
        self.wrong += self._looked_at(client, *self._set[-(number % 1000 + 1) % len(self._set)])

    def judge(self, client: Client, forgiven: Collection[int]) -> Iterator[str]:
        """Those whose time is up are gone, the others have about the rest of it."""
        soon = [latest for _, _, latest in self._set if latest < time.monotonic() + 5]
        wait_until(lambda: not soon or time.monotonic() > max(soon) + _OVERDUE, within=30)
        for key, earliest, latest in self._set:
            if key_slot(key.encode()) in forgiven:
                continue
            yield from self._looked_at(client, key, earliest, latest)
            if earliest > time.monotonic():
                began = time.monotonic()
                left = client.say("PTTL", key) / 1000
                if not earliest - time.monotonic() - _OVERDUE <= left <= latest - began + _OVERDUE:
                    yield f"{key}: has {left:.3f} s left and not {earliest - began:.3f}"

    def _looked_at(self, client: Client, key: str, earliest: float, latest: float) -> Iterator[str]:
        began = time.monotonic()
        found = client.say("GET", key)
        if found is None and time.monotonic() < earliest:
            yield f"{key}: is gone {earliest - time.monotonic():.3f} s before its time"
        if found is not None and began > latest + _OVERDUE:
            yield f"{key}: is there {began - latest:.3f} s after its time"


class Hashes(Book):
    """A field for each number."""

    def write(self, client: Client, number: int) -> None:
        """HSET."""
        key = f"hash:{number % 20}"
        with self.entries.entry(key, number):
            client.say("HSET", key, f"field:{number}", number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """A hash has no order."""
        yield from self.entries.judged(key, sorted(map(int, client.say("HVALS", key))))


class Lists(Book):
    """Running numbers, in their order."""

    def write(self, client: Client, number: int) -> None:
        """RPUSH."""
        key = f"list:{number % 20}"
        with self.entries.entry(key, number):
            client.say("RPUSH", key, number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """All of it, in order."""
        yield from self.entries.judged(key, _list(client, key))


class SortedSets(Book):
    """Members by their number."""

    def write(self, client: Client, number: int) -> None:
        """ZADD."""
        key = f"sorted:{number % 20}"
        with self.entries.entry(key, number):
            client.say("ZADD", key, number, number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """By score."""
        yield from self.entries.judged(key, [int(member) for member in client.say("ZRANGE", key, 0, -1)])


class Streams(Book):
    """Entries of a stream, whose ids the engine chooses."""

    def write(self, client: Client, number: int) -> None:
        """XADD."""
        key = f"stream:{number % 20}"
        with self.entries.entry(key, number):
            client.say("XADD", key, "*", "number", number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """All of it, in order, and as many as the stream says to have."""
        found = [int(fields[1]) for _, fields in client.say("XRANGE", key, "-", "+")]
        yield from self.entries.judged(key, found)
        if client.say("XLEN", key) != len(found):
            yield f"{key}: XLEN says otherwise"


class Large(Book):
    """Values of one to eight megabytes, each read whole before it is replaced."""

    pace = 0.05
    _SIZES = (1, 2, 4, 8)

    def write(self, client: Client, number: int) -> None:
        """SET of megabytes, after a GET of what was there."""
        key = f"large:{number % len(self._SIZES)}"
        if not self.entries.doubtful[key] and self.entries.acknowledged[key]:
            self.wrong += self.judge_key(client, key)
        with self.entries.entry(key, number):
            client.say("SET", key, self._value(key, number))

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """It is one that was written, and whole."""
        found = client.say("GET", key)
        number = int(found[:8]) if found else None
        yield from self.entries.newest(key, number)
        if number is not None and found != self._value(key, number):
            yield f"{key}: is not what was written"

    def _value(self, key: str, number: int) -> bytes:
        megabytes = self._SIZES[int(key.partition(":")[2])]
        return f"{number:08d}".encode() * (megabytes * 131_072)


class Tagged(Book):
    """Commands with several keys of one slot: MSET and MGET, a transaction, a script. Both keys have all of it."""

    def write(self, client: Client, number: int) -> None:
        """One of the three, in turn."""
        tag = number // 3 % 20
        kind = ("pair", "both", "scripted")[number % 3]
        left, right = f"{kind}:{{tag:{tag}}}:left", f"{kind}:{{tag:{tag}}}:right"
        with self.entries.entry(left, number), self.entries.entry(right, number):
            if kind == "pair":
                client.say("MSET", left, number, right, number)
            elif kind == "both":
                client.together([("RPUSH", left, number), ("RPUSH", right, number)])
            else:
                client.say("EVAL", SCRIPT, 2, left, right, number)
        if kind == "pair":
            found = client.say("MGET", left, right)
            if found != [str(number).encode()] * 2:
                self.wrong.append(f"{left}: MGET answers {found} after MSET of {number}")

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """One is as the other."""
        if key.startswith("pair"):
            yield from self.entries.newest(key, _number(client.say("GET", key)))
        else:
            yield from self.entries.judged(key, _list(client, key))


class Functions(Book):
    """A function that every shard must have."""

    def write(self, client: Client, number: int) -> None:
        """FCALL."""
        key = f"called:{number % 50}"
        with self.entries.entry(key, number):
            client.say("FCALL", "ledger_add", 1, key, number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """All of it, in order."""
        yield from self.entries.judged(key, _list(client, key))


class Pushed(Book):
    """Elements for those who wait for them: see ``Waiting``."""

    keys = 6
    pace = 0.15

    def write(self, client: Client, number: int) -> None:
        """RPUSH to one key after the other: each is waited for most of the time."""
        key = f"wait:{number % self.keys}"
        with self.entries.entry(key, number):
            client.say("RPUSH", key, number)

    def judge_key(self, client: Client, key: str) -> Iterator[str]:
        """Whoever waited has taken everything."""
        if client.say("EXISTS", key):
            yield f"{key}: nobody took {client.say('LRANGE', key, 0, -1)}"


class Waiting:
    """A client that is blocked in BLPOP on a key until there is something, and takes it."""

    def __init__(self, connect: Callable[[], Client], key: str) -> None:
        self.key = key
        self.taken: list[int] = []
        self.failures: list[str] = []
        self._connect = connect
        self._thread = threading.Thread(target=self._work, name=f"waits for {key}")

    def start(self) -> None:
        """Wait in a thread."""
        self._thread.start()

    def join(self) -> None:
        """Once it was told to leave."""
        self._thread.join()

    def _work(self) -> None:
        with contextlib.closing(self._connect()) as client:
            while True:
                try:
                    popped = client.say("BLPOP", self.key, 30)
                except Exception as failed:  # whatever a client raises is a failure of its command
                    self.failures.append(f"BLPOP {self.key}: {failed!r}")
                    return
                if popped is None:
                    self.failures.append(f"BLPOP {self.key}: got nothing within 30 s")
                    return
                if popped[1] == b"leave":
                    return
                self.taken.append(int(popped[1]))


EVERYTHING: tuple[type[Book], ...] = (Strings, Expiring, Hashes, Lists, SortedSets, Streams, Large, Tagged, Functions, Pushed)
WITHOUT_WAITING = tuple(book for book in EVERYTHING if book is not Pushed)
"""For loads under which nodes crash: an element that was taken may not have reached whoever took it."""


class Load:
    """Writes one book of each kind at once, each through a client of its own, until it is left.

    ``failures`` is every exception that a client raised.
    """

    def __init__(self, seed: Place, connect: Connect, kinds: Sequence[type[Book]] = EVERYTHING) -> None:
        self.books = [kind() for kind in kinds]
        self.failures: list[str] = []
        self.written = 0
        self._seed = seed
        self._connect = lambda: connect(seed)
        self._done = threading.Event()
        self._writers = [threading.Thread(target=self._write, args=[book], name=type(book).__name__) for book in self.books]
        self._waiting = [Waiting(self._connect, f"wait:{number}") for number in range(Pushed.keys if Pushed in kinds else 0)]

    def __enter__(self) -> Self:
        with contextlib.closing(Strict(self._seed)) as client:
            for place in client.primaries():
                (told,) = client.at(place, [("FUNCTION", "LOAD", "REPLACE", FUNCTIONS)])
                assert told == b"ledger", told
        for thread in (*self._writers, *self._waiting):
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._writers:
            thread.join()
        if self._waiting:
            with contextlib.closing(self._connect()) as client:
                for waiting in self._waiting:
                    client.say("RPUSH", waiting.key, "leave")
        for waiting in self._waiting:
            waiting.join()
            self.failures += waiting.failures

    def go_on(self, within: float = 60) -> None:
        """Return once every book has some more entries."""
        before = [_size(book) for book in self.books]
        wait_until(lambda: all(_size(book) > size + 3 for book, size in zip(self.books, before, strict=True)), within=within)

    def judge(self, forgiven: Collection[int] = ()) -> list[str]:
        """Everything that is wrong, once the load has been left. ``forgiven`` are slots whose data may be lost."""
        seen = [(type(book).__name__, each) for book in self.books for each in book.wrong if _slot(each) not in forgiven]
        found = [f"{name}, while it was written: {each}" for name, each in seen]
        with contextlib.closing(Strict(self._seed)) as client:
            for book in self.books:
                found += [f"{type(book).__name__}: {each}" for each in book.judge(client, forgiven)]
        for waiting in self._waiting:
            pushed = next(book for book in self.books if isinstance(book, Pushed)).entries
            found += [f"taken from {each}" for each in pushed.judged(waiting.key, waiting.taken)]
        return found

    def _write(self, book: Book) -> None:
        client: Client | None = None
        for number in itertools.count(1):
            if self._done.wait(book.pace):
                break
            try:
                client = client or self._connect()
                book.write(client, number)
                self.written += 1
            except Exception as failed:  # whatever a client raises is a failure of its command
                self.failures.append(f"{type(book).__name__} {number}: {failed!r}")
                self._done.wait(_AFTER_A_FAILURE)
        if client is not None:
            client.close()


def _size(book: Book) -> int:
    return len(book._set) if isinstance(book, Expiring) else sum(map(len, book.entries.acknowledged.values()))


def _slot(wrong: str) -> int:
    """The slot of the key that a finding begins with."""
    return key_slot(wrong.partition(": ")[0].encode())


def _number(found: Any) -> int | None:
    return None if found is None else int(found)


def _list(client: Client, key: str) -> list[int]:
    return [int(element) for element in client.say("LRANGE", key, 0, -1)]
