"""For how long an agent may rely on the control plane knowing of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from agents.engines.catalogue import engines_in
from agents.lease import Lease
from agents.runtimes.fake import FakeRuntime
from agents.supervisor import Host, Supervisor
from api_schemas.agent.agent import BEAT, LEASE, AgentReport


class Seconds:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """Counts how often a change was told."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def lease(clock: Seconds, told: Told) -> Iterator[Lease]:
    made = Lease(told, 1.5, clock)
    yield made
    made.close()


def test_there_is_none_before_the_first_word_was_answered(lease: Lease, clock: Seconds, told: Told) -> None:
    assert lease.is_out
    lease.look()
    assert told.times == 0
    lease.renew(clock.now)
    assert (lease.is_out, told.times) == (False, 1)


def test_it_counts_from_when_the_word_was_sent(lease: Lease, clock: Seconds) -> None:
    sent_at = clock.now
    clock.now += 1.4  # it took so long to be answered
    lease.renew(sent_at)
    assert not lease.is_out
    clock.now = sent_at + 1.5
    assert not lease.is_out
    clock.now += 0.001
    assert lease.is_out


def test_an_answer_that_came_after_the_end_gives_nothing(lease: Lease, clock: Seconds, told: Told) -> None:
    sent_at = clock.now
    clock.now += 1.6
    lease.renew(sent_at)
    assert (lease.is_out, told.times) == (True, 0)


def test_an_answer_to_an_earlier_word_takes_nothing_away(lease: Lease, clock: Seconds) -> None:
    lease.renew(clock.now)
    lease.renew(clock.now - 1.2)  # it was on its way for longer
    clock.now += 1.0
    assert not lease.is_out


def test_how_long_it_is_held_is_told_by_the_words_that_were_answered(lease: Lease, clock: Seconds) -> None:
    assert lease.held_for is None
    lease.renew(clock.now)
    clock.now += 1.0
    assert lease.held_for == 0.0  # that time passed proves nothing
    lease.renew(clock.now)
    lease.renew(clock.now - 0.5)
    assert lease.held_for == 1.0
    clock.now += 1.6
    assert lease.held_for is None
    lease.renew(clock.now)
    assert lease.held_for == 0.0  # it is another one


def test_each_change_is_told_once(lease: Lease, clock: Seconds, told: Told) -> None:
    for lap in (1, 3, 5):
        lease.renew(clock.now)
        lease.renew(clock.now)
        lease.look()
        assert told.times == lap
        clock.now += 2
        lease.look()
        lease.look()
        assert told.times == lap + 1


def test_it_is_watched_over(told: Told) -> None:
    lease = Lease(told, 0.05)
    lease.keep(None)
    lease.renew(time.monotonic())
    wait_until(lambda: told.times == 2)
    assert lease.is_out
    lease.close()


def test_something_is_said_again_and_again(told: Told) -> None:
    beats = Told()
    lease = Lease(told)
    lease.keep(beats)
    wait_until(lambda: beats.times >= 2)
    lease.close()
    said = beats.times
    assert not [thread for thread in lease._threads if thread.is_alive()]
    assert beats.times == said


def test_an_answered_beat_fits_into_a_lease_more_than_once() -> None:
    assert 2 * BEAT < LEASE


# ---- of a whole agent


@pytest.mark.parametrize("taken", [True, False])
def test_only_a_word_that_was_taken_renews_it(tmp_path: Path, taken: bool) -> None:
    said: list[AgentReport] = []

    def take(report: AgentReport) -> bool:
        said.append(report)
        return taken

    host = Host(agent="agent-a", zone="us-east-1a", network="127.98.0.0/24", folder=tmp_path)
    supervisor = Supervisor(host, FakeRuntime(tmp_path), engines_in(tmp_path), take)
    supervisor.beat()
    supervisor.leave()
    assert said == [AgentReport(agent="agent-a")]
    assert supervisor.lease.is_out is not taken
