"""From samples to the service's metrics: what rose by how much within a window, and what follows from that. Pure.

A process that was born within the window did nothing before: its counters are compared with zero, over the whole window. An older one
whose samples do not reach back that far is compared with the oldest, and what it did meanwhile is scaled to a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from api_schemas.metric import Kind, Metric

_SLACK = 0.1  # of a window: samples are not taken to the millisecond
_SHORTEST = 0.5  # seconds between two samples that tell anything


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one moment of one process, which was born at ``born``; both in seconds of one clock."""

    at: float
    born: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Past:
    """What to compare a sample with: former figures, ``seconds`` before, of which the process ran for ``ran``.

    With ``unborn`` there was no process so long before, and these are the first figures of it: what starts at zero was zero then.
    """

    figures: Mapping[str, float]
    seconds: float
    ran: float
    unborn: bool = False


def past_of(samples: Sequence[Sample], window: float) -> Past | None:
    """What to compare the last of the samples (the oldest first, all of one process) with; None where nothing can be known yet."""
    newest, former = samples[-1], samples[:-1]
    if newest.at - newest.born < window:
        return Past(_first_figures(former), window, max(newest.at - newest.born, _SHORTEST), unborn=True)
    within = newest.at - window * (1 - _SLACK)
    base = max((place for place, sample in enumerate(former) if sample.at <= within), default=0)
    seconds = newest.at - samples[base].at
    return Past(_first_figures(former[base:]), seconds, seconds) if seconds >= _SHORTEST else None


def _first_figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Every figure as it was first known: some begin to be told later, such as the offset of one that was promoted."""
    return {name: value for sample in reversed(samples) for name, value in sample.figures.items()}


def derived(wanted: Mapping[str, Metric], newest: Sample, past: Past | None, vcpus: int = 1,
            table: Mapping[str, Metric] | None = None) -> dict[str, float]:  # fmt: skip
    """Every wanted metric of the table that these two let us know. ``vcpus`` are those of the node's type."""
    return {name: round(value, 3) for name, value in _derived(wanted, newest, past, vcpus, table or wanted)}


def _derived(wanted: Mapping[str, Metric], newest: Sample, past: Past | None, vcpus: int,
             table: Mapping[str, Metric]) -> Iterator[tuple[str, float]]:  # fmt: skip
    for name, metric in wanted.items():
        value = newest.figures.get(name) if metric.kind is Kind.GAUGE else _over(metric, table, newest, past, vcpus)
        if value is not None:
            yield name, value


def _over(metric: Metric, table: Mapping[str, Metric], newest: Sample, past: Past | None, vcpus: int) -> float | None:
    """A metric that is about a window."""
    if past is None:
        return None
    if metric.kind is Kind.RATE:
        hits, misses = (_rise(table[name], newest, past) for name in metric.of)
        return None if hits is None or misses is None or not hits + misses else hits / (hits + misses) * 100
    rise = _rise(metric, newest, past)
    if rise is None:
        return None
    if metric.kind is Kind.MEAN:
        calls = _rise(table[metric.of[0]], newest, past)
        return rise / calls if calls else None
    if metric.kind is Kind.SHARE:
        return rise / past.ran * 100 / (vcpus if metric.name == "CPUUtilization" else 1)
    return rise / past.seconds * 60


def _rise(metric: Metric, newest: Sample, past: Past) -> float | None:
    """By how much a counter rose. One that fell was set back by somebody, and has counted from zero since."""
    now = newest.figures.get(metric.name)
    before = 0.0 if past.unborn and metric.from_zero else past.figures.get(metric.name)
    if now is None or before is None:
        return None
    return now - before if now >= before else now
