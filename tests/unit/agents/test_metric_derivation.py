"""Two samples of a process in, the service's metrics out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest

from agents.metrics.derivation import Past, Sample, derived, past_of
from agents.metrics.memory import Memory
from api_schemas.metric import METRICS

VALKEY, MEMCACHED = METRICS["valkey"], METRICS["memcached"]
LONG_AGO = -100_000.0


def sample(at: float, born: float = LONG_AGO, **figures: float) -> Sample:
    return Sample(at, born, figures)


@pytest.mark.parametrize(
    ("before", "after", "seconds", "metrics"),
    [
        ({"CacheHits": 100}, {"CacheHits": 160}, 60, {"CacheHits": 60}),
        ({"CacheHits": 100}, {"CacheHits": 130}, 30, {"CacheHits": 60}),
        ({"CacheHits": 100}, {"CacheHits": 100}, 60, {"CacheHits": 0}),
        ({"CacheHits": 100}, {"CacheHits": 7}, 60, {"CacheHits": 7}),
        ({}, {"CacheHits": 7}, 60, {}),
        ({"CacheHits": 10, "CacheMisses": 0}, {"CacheHits": 13, "CacheMisses": 1}, 60, {"CacheHits": 3, "CacheMisses": 1, "CacheHitRate": 75}),
        ({"CacheHits": 10, "CacheMisses": 5}, {"CacheHits": 10, "CacheMisses": 5}, 60, {"CacheHits": 0, "CacheMisses": 0}),
        ({"EngineCPUUtilization": 1}, {"EngineCPUUtilization": 16}, 60, {"EngineCPUUtilization": 25}),
        ({"CPUUtilization": 1}, {"CPUUtilization": 13}, 60, {"CPUUtilization": 10}),
        ({"GetTypeCmds": 10, "GetTypeCmdsLatency": 50}, {"GetTypeCmds": 14, "GetTypeCmdsLatency": 60}, 60,
         {"GetTypeCmds": 4, "GetTypeCmdsLatency": 2.5}),
        ({"GetTypeCmds": 10, "GetTypeCmdsLatency": 50}, {"GetTypeCmds": 10, "GetTypeCmdsLatency": 50}, 60, {"GetTypeCmds": 0}),
        ({"CurrItems": 5}, {"CurrItems": 3}, 60, {"CurrItems": 3}),
        ({"ReplicationBytes": 500}, {"ReplicationBytes": 700}, 60, {"ReplicationBytes": 200}),
        ({}, {"ReplicationBytes": 700}, 60, {}),
        ({"ReplicationBytes": 500}, {}, 60, {}),
    ],
)  # fmt: skip
def test_what_follows_from_two_samples(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float, metrics: Mapping[str, float]
) -> None:
    assert derived(VALKEY, sample(0, **after), Past(before, seconds, seconds), vcpus=2) == metrics


def test_one_that_was_just_born_is_compared_with_nothing_over_the_whole_window() -> None:
    first = sample(96, born=95, CacheHits=10, EngineCPUUtilization=0.5, ReplicationBytes=1_000_000)
    newest = sample(100, born=95, CacheHits=12, EngineCPUUtilization=1, ReplicationBytes=1_000_300)
    past = past_of([first, newest], 60)
    assert past == Past(first.figures, 60, 5, unborn=True)
    told = derived(VALKEY, newest, past)
    assert told == {"CacheHits": 12, "EngineCPUUtilization": 20, "ReplicationBytes": 300}, "an offset came with the snapshot"


def test_what_begins_to_be_told_within_the_window_is_compared_with_its_first_figure() -> None:
    samples = [sample(0, CacheHits=5), sample(40, CacheHits=7, ReplicationBytes=100), sample(60, CacheHits=8, ReplicationBytes=160)]
    assert derived(VALKEY, samples[-1], past_of(samples, 60)) == {"CacheHits": 3, "ReplicationBytes": 60}
    assert derived(VALKEY, samples[1], past_of(samples[:2], 60)) == {"CacheHits": 3}


def test_the_first_sample_of_an_old_process_has_gauges_only() -> None:
    newest = sample(100, CacheHits=12, CurrItems=3)
    assert past_of([newest], 60) is None
    assert derived(VALKEY, newest, None) == {"CurrItems": 3}


@pytest.mark.parametrize(
    ("times", "window", "seconds"),
    [
        ((0, 10, 20, 30, 40, 50, 60), 60, 60),
        ((0.4, 10, 20, 30, 40, 50, 60), 60, 59.6),
        ((0, 60), 60, 60),
        ((0, 300), 60, 300),
        ((40, 60), 60, 20),
        ((59.9, 60), 60, None),
        ((0, 10, 20, 30, 40, 50, 60), 10, 10),
        ((0, 44, 51, 60), 10, 9),
        ((0, 44, 52, 60), 10, 16),
    ],
)
def test_what_the_newest_is_compared_with(times: tuple[float, ...], window: float, seconds: float | None) -> None:
    past = past_of([sample(at) for at in times], window)
    assert (None if past is None else pytest.approx(past.seconds)) == seconds


def measured(memory: Memory, at: float, uptime: float, **figures: float) -> None:
    memory.add(at, uptime, figures)


def test_a_counter_that_somebody_set_back_goes_on_rising() -> None:
    memory = Memory("valkey", 1)
    for at, hits in ((0, 1000), (20, 1010), (40, 3), (60, 8)):
        measured(memory, at, 10_000 + at, CacheHits=hits)
    assert memory.recall().now(60, 60).values["CacheHits"] == 18
    assert memory.recall().counters()["CacheHits"] == 1018


def test_who_watches_closely_does_not_push_the_last_minute_out() -> None:
    memory = Memory("memcached", 1)
    for second in range(600):
        measured(memory, second, 10_000 + second, GetHits=2 * second, CurrItems=second)
    assert memory.recall().now(60, 599).values["GetHits"] == 120
    assert memory.recall().now(10, 599).values["GetHits"] == 120
    assert memory.recall().now(60, 599.25).age == 0.25
    assert memory.newest_at == 599


def test_the_history_has_a_point_for_each_minute_and_an_end() -> None:
    memory = Memory("valkey", 1)
    for ten in range(180):
        measured(memory, ten * 10, 10_000 + ten * 10, CacheHits=ten * 10)
    points = memory.recall().history(15, 1790)
    assert len(points) == 15
    ages = [point.age for point in points]
    assert {older - newer for newer, older in pairwise(ages)} == {60}
    assert ages[0] < 60
    assert {point.values["CacheHits"] for point in points} == {60}
    assert [point.age for point in memory.recall().history(3, 1790)] == ages[:3]
    assert memory.recall().history(3, 1790, ["CurrItems"])[0].values == {}


def test_only_what_is_wanted_is_derived() -> None:
    memory = Memory("valkey", 1)
    measured(memory, 0, 5, CacheHits=3, CacheMisses=1, CurrItems=1)
    assert memory.recall().now(60, 0, ["CacheHitRate"]).values == {"CacheHitRate": 75}


def test_what_is_no_number_is_absent() -> None:
    memory = Memory("valkey", 1)
    measured(memory, 0, 5, MemoryFragmentationRatio=float("inf"), CurrItems=1)
    assert memory.recall().now(60, 0).values == {"CurrItems": 1}


def test_every_metric_of_memcached_can_be_derived() -> None:
    figures = dict.fromkeys(MEMCACHED, 6.0)
    assert derived(MEMCACHED, sample(0, **figures), Past(dict.fromkeys(MEMCACHED, 0.0), 60, 60)).keys() == MEMCACHED.keys()
