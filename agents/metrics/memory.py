"""What was measured of one process: closely for the last minute, one sample a minute before that, and nothing older."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agents.metrics.derivation import Sample, derived, past_of
from api_schemas.agent.metrics import LONGEST_HISTORY, WINDOW, Point
from api_schemas.metric import METRICS, Kind, Metric

_FINE = 5.0  # seconds between two samples that are both kept: whoever watches closely does not push the last minute out
_CLOSE = 75.0  # seconds for which they are
_COARSE = 55.0  # seconds between two that are kept for longer
_NAMES = {engine: tuple(name for name, metric in table.items() if metric.kind is not Kind.RATE) for engine, table in METRICS.items()}
_COUNTERS = {
    engine: tuple(place for place, name in enumerate(names) if METRICS[engine][name].kind is not Kind.GAUGE)
    for engine, names in _NAMES.items()
}


class Memory:
    """Keeps the samples of one process as bare numbers: a node takes some 20 KB."""

    def __init__(self, engine: str, vcpus: int) -> None:
        self._names, self._counters = _NAMES[engine], _COUNTERS[engine]
        self._table = METRICS[engine]
        self._vcpus = vcpus
        self._born: float | None = None
        self._fine: deque[tuple[float, array[float]]] = deque()
        self._coarse: deque[tuple[float, array[float]]] = deque(maxlen=LONGEST_HISTORY)
        self._carried: dict[int, float] = {}
        self._last: array[float] | None = None

    @property
    def newest_at(self) -> float | None:
        """When the newest sample was taken."""
        return self._fine[-1][0] if self._fine else None

    def add(self, at: float, uptime: float, figures: Mapping[str, float]) -> None:
        """Remember what was measured at that time."""
        if self._born is None:
            self._born = at - uptime
        row = array("d", (_finite(figures.get(name, math.nan)) for name in self._names))
        if len(self._fine) > 1 and self._fine[-1][0] - self._fine[-2][0] < _FINE:
            self._fine.pop()
        self._fine.append((at, self._rising(row)))
        while self._fine[0][0] < at - _CLOSE:
            old = self._fine.popleft()
            if not self._coarse or old[0] - self._coarse[-1][0] >= _COARSE:
                self._coarse.append(old)

    def recall(self) -> Recalled:
        """All that is remembered, which does not change any more: it is quickly had, and metrics can be made of it in peace."""
        samples = (*self._coarse, *self._fine)
        return Recalled(self._names, self._counters, self._table, self._vcpus, self._born or 0.0, samples)

    def _rising(self, row: array[float]) -> array[float]:
        """The row, with what counters had counted before somebody set them back (CONFIG RESETSTAT, stats reset)."""
        last, self._last = self._last, row[:]
        for place in self._counters:
            if last is not None and row[place] < last[place]:
                self._carried[place] = self._carried.get(place, 0.0) + last[place]
            row[place] += self._carried.get(place, 0.0)
        return row


@dataclass(frozen=True)
class Recalled:
    """The samples of one process, the oldest first, and what can be made of them."""

    names: tuple[str, ...]
    counting: tuple[int, ...]
    table: Mapping[str, Metric]
    vcpus: int
    born: float
    rows: tuple[tuple[float, array[float]], ...]

    def now(self, window: float, at: float, only: Collection[str] | None = None) -> Point:
        """The metrics of the newest sample, over the window before it; ``only`` those, if that is said."""
        return self._point(self._samples(), window, at, self._wanted(only))

    def history(self, minutes: int, at: float, only: Collection[str] | None = None) -> list[Point]:
        """The metrics of one moment of each minute, as far as that is remembered, the newest first."""
        samples, wanted = self._samples(), self._wanted(only)
        points, last = [], -math.inf
        for place, sample in enumerate(samples):
            if sample.at - last >= _COARSE:
                last = sample.at
                if at - sample.at <= minutes * 60:
                    points.append(self._point(samples[: place + 1], WINDOW, at, wanted))
        return points[::-1]

    def counters(self) -> dict[str, float]:
        """Every counter since the process started: what a mean is made of is in microseconds, processor time in seconds."""
        _, row = self.rows[-1]
        return {self.names[place]: row[place] for place in self.counting if not math.isnan(row[place])}

    def _wanted(self, only: Collection[str] | None) -> Mapping[str, Metric]:
        return self.table if only is None else {name: metric for name, metric in self.table.items() if name in only}

    def _point(self, samples: Sequence[Sample], window: float, at: float, wanted: Mapping[str, Metric]) -> Point:
        newest, past = samples[-1], past_of(samples, window)
        values = derived(wanted, newest, past, self.vcpus, self.table)
        return Point(age=round(at - newest.at, 3), values=values)

    def _samples(self) -> list[Sample]:
        return [Sample(at, self.born, self._figures(row)) for at, row in self.rows]

    def _figures(self, row: array[float]) -> dict[str, float]:
        return {name: value for name, value in zip(self.names, row, strict=True) if not math.isnan(value)}


def _finite(value: float) -> float:
    """An engine that divides by zero says ``inf``, which is no figure."""
    return value if math.isfinite(value) else math.nan
