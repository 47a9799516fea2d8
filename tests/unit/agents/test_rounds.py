"""Visits: each key when it is due, never two of one key at once, and nothing that happens in one ends the rounds."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from waiting import wait_until

from agents.rounds import Rounds


@contextmanager
def rounds(visit: Callable[[str], float | None], threads: int = 8) -> Iterator[Rounds]:
    walking = Rounds("test", visit, threads)
    try:
        yield walking
    finally:
        walking.close()


class Visits:
    """Counts visits, and keeps each from ending until it is let go."""

    def __init__(self, again: float | None = None, held: bool = False) -> None:
        self.again = again
        self.count: Counter[str] = Counter()
        self.within: Counter[str] = Counter()
        self.most_within = 0
        self.times: list[float] = []
        self.open = threading.Event()
        self.lock = threading.Lock()
        if not held:
            self.open.set()

    def __call__(self, key: str) -> float | None:
        with self.lock:
            self.times.append(time.monotonic())
            self.count[key] += 1
            self.within[key] += 1
            self.most_within = max(self.most_within, self.within[key])
        self.open.wait(10)
        with self.lock:
            self.within[key] -= 1
        return self.again


def test_a_key_that_is_woken_is_visited_once() -> None:
    visits = Visits()
    with rounds(visits) as walking:
        walking.wake("a")
        wait_until(lambda: visits.count["a"] == 1)
    assert visits.count == {"a": 1}


def test_the_visit_says_when_to_come_again() -> None:
    visits = Visits(again=0.05)
    with rounds(visits) as walking:
        walking.wake("a")
        wait_until(lambda: visits.count["a"] >= 3)
    gaps = [later - earlier for earlier, later in zip(visits.times, visits.times[1:], strict=False)]
    assert min(gaps) >= 0.049


def test_a_delayed_key_is_not_visited_early() -> None:
    visits = Visits()
    with rounds(visits) as walking:
        begun = time.monotonic()
        walking.wake("a", delay=0.1)
        wait_until(lambda: visits.count["a"])
    assert visits.times[0] - begun >= 0.1


def test_an_earlier_wish_goes_before_a_later_one_and_both_make_one_visit() -> None:
    visits = Visits()
    with rounds(visits) as walking:
        walking.wake("a", delay=60)
        walking.wake("a", delay=0.02)
        walking.wake("a", delay=30)
        wait_until(lambda: visits.count["a"] == 1)
        walking.wake("b", delay=0.05)
        wait_until(lambda: visits.count["b"] == 1)
    assert visits.count == {"a": 1, "b": 1}


def test_the_one_due_first_is_visited_first_whoever_was_woken_first() -> None:
    order: list[str] = []

    def note(key: str) -> None:
        order.append(key)

    with rounds(note, threads=1) as walking:
        for key, delay in (("c", 0.09), ("a", 0.03), ("b", 0.06)):
            walking.wake(key, delay)
        wait_until(lambda: len(order) == 3)
    assert order == ["a", "b", "c"]


def test_a_key_is_never_visited_twice_at_once() -> None:
    visits = Visits(again=0.0)
    with rounds(visits) as walking:

        def wake_often() -> None:
            for _ in range(200):
                walking.wake("a")

        wakers = [threading.Thread(target=wake_often) for _ in range(4)]
        for waker in wakers:
            waker.start()
        for waker in wakers:
            waker.join()
        wait_until(lambda: visits.count["a"] > 20)
    assert visits.most_within == 1


def test_a_key_woken_during_its_visit_is_visited_once_more() -> None:
    visits = Visits(held=True)
    with rounds(visits) as walking:
        walking.wake("a")
        wait_until(lambda: visits.within["a"] == 1)
        for _ in range(5):
            walking.wake("a")
        assert visits.count["a"] == 1
        visits.open.set()
        wait_until(lambda: visits.count["a"] == 2)
        walking.wake("b")
        wait_until(lambda: visits.count["b"] == 1)
    assert visits.count == {"a": 2, "b": 1}


def test_a_long_visit_holds_up_no_other_key() -> None:
    visits = Visits(held=True)
    with rounds(visits, threads=4) as walking:
        for key in "abcd":
            walking.wake(key)
        wait_until(lambda: sum(visits.within.values()) == 4)
        visits.open.set()


@pytest.mark.parametrize("attempt", range(5))
def test_two_keys_woken_in_one_breath_are_visited_side_by_side(attempt: int) -> None:
    meeting = threading.Barrier(2)
    idle = threading.Event()

    def visit(key: str) -> None:
        if key == "first":
            idle.set()
        else:
            meeting.wait(5)

    with rounds(visit) as walking:
        walking.wake("first")
        assert idle.wait(5)  # from now on there is one thread that waits, or is about to
        walking.wake("a")
        walking.wake("b")
        wait_until(lambda: meeting.n_waiting == 0 and not walking._heap, within=5)
    assert not meeting.broken


def test_a_key_due_later_is_not_held_up_by_a_long_visit_that_began_meanwhile() -> None:
    release = threading.Event()
    seen = threading.Event()
    begun = threading.Event()

    def visit(key: str) -> None:
        if key == "long":
            begun.set()
            release.wait(10)
        if key == "soon":
            seen.set()

    with rounds(visit) as walking:
        walking.wake("soon", delay=0.1)
        walking.wake("long")
        assert begun.wait(5)
        assert seen.wait(5)
        release.set()


def test_no_more_threads_than_allowed() -> None:
    visits = Visits(held=True)
    with rounds(visits, threads=2) as walking:
        for key in "abcde":
            walking.wake(key)
        wait_until(lambda: sum(visits.within.values()) == 2)
        visits.open.set()
        wait_until(lambda: len(visits.count) == 5)
    assert len(walking._threads) <= 2


def test_a_visit_that_fails_is_logged_and_does_not_end_the_rounds(caplog: pytest.LogCaptureFixture) -> None:
    tries: Counter[str] = Counter()

    def visit(key: str) -> None:
        tries[key] += 1
        if key == "bad":
            raise ZeroDivisionError("made to fail")

    with caplog.at_level(logging.ERROR), rounds(visit, threads=1) as walking:
        walking.wake("bad")
        wait_until(lambda: tries["bad"] == 1)
        walking.wake("good")
        wait_until(lambda: tries["good"] == 1)
        wait_until(lambda: tries["bad"] == 2)  # it is tried again by itself
    assert "visit failed  key=bad" in caplog.text
    assert "made to fail" in caplog.text


def test_close_waits_for_visits_under_way_and_begins_no_more() -> None:
    visits = Visits(held=True)
    walking = Rounds("test", visits)
    walking.wake("a")
    walking.wake("b", delay=60)
    wait_until(lambda: visits.within["a"] == 1)
    walking.wake("a")
    threading.Timer(0.05, visits.open.set).start()
    walking.close()
    assert visits.within["a"] == 0
    walking.wake("c")
    assert visits.count == {"a": 1}
    assert not any(thread.is_alive() for thread in walking._threads)


def test_close_does_not_wait_for_ever() -> None:
    visits = Visits(held=True)
    walking = Rounds("test", visits)
    walking.wake("a")
    wait_until(lambda: visits.within["a"] == 1)
    begun = time.monotonic()
    walking.close(within=0.05)
    assert time.monotonic() - begun < 5
    visits.open.set()
    for thread in walking._threads:
        thread.join(5)
