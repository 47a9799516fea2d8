"""Rounds of trouble, what each cost, and whether anything ended wrong."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from waiting import let_pass

from agents.faulting.packet_filter import find_filter
from chaos.clients import Ballast, Lane, Writer, each
from chaos.one_host import ONE_HOST
from chaos.stage import Stage
from chaos.troubles import ALONE_THEY_TEACH_NOTHING, BY_FILTER, HOLDS, SCALING, Maker, Trouble, drawn, ended
from chaos.world import World

LOST_BEFORE = 1.0
"""Seconds before a trouble from which on a write may be lost that no replica had acknowledged."""
TWO_AT_MOST = 5.0
"""Seconds for which two nodes may take writes where a zone is cut off: docs/fencing.md."""
REPLACED_WITHIN = 6.5
"""Seconds of isolation after which a primary must have been replaced: 6 by docs/fencing.md, and as long as it takes to be told."""
APART = 0.35
"""Seconds of two reigns that are measured where there is only one: probes come now and then, and some of them late."""


@dataclass
class Told:
    """What a round did to one lane."""

    lane: Lane
    struck: bool
    gap: float
    acknowledged: int
    failed: int
    lost: int
    two_at_once: float
    elections: int
    inside: list[float] = field(default_factory=list)
    """When, in seconds after the trouble began, its former primary still acknowledged to a client on a host that was cut off."""


@dataclass
class Round:
    """One round, and everything that was wrong about it."""

    number: int
    troubles: list[Trouble]
    lanes: list[Told] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"round {self.number}: {', '.join(map(str, self.troubles))}"


class Storm:
    """So many rounds over one stage. The same seed draws the same troubles, as far as the same nodes lead."""

    def __init__(self, stage: Stage, seed: int, makers: dict[str, Maker], kinds: Iterable[str] | None = None) -> None:
        self._stage = stage
        self._makers = makers
        self._draw = random.Random(seed)
        able = [kind for kind in kinds or makers if find_filter() is not None or kind not in BY_FILTER]
        self._kinds = _endless(self._draw, [kind for kind in able if kind not in ALONE_THEY_TEACH_NOTHING])
        self._second = _endless(self._draw, able)
        self._may_combine = len(able) > 1
        self._ballast = {lane: Ballast(lane) for lane in stage.lanes}
        self._writers = {lane: Writer(lane) for lane in stage.lanes}
        self._roamer = Writer(stage.roaming)
        self._number = 0

    def close(self) -> None:
        for writer in (*self._writers.values(), self._roamer):
            writer.close()

    def round(self, *, combined: bool) -> Round:
        """Begin a trouble, or two, end it, wait until all is well, and look at what was written meanwhile."""
        self._number += 1
        kinds = [next(self._kinds)]
        if combined and self._may_combine:
            kinds.append(next(kind for kind in self._second if kind != kinds[0]))
        told = Round(self._number, drawn(self._draw, self._stage, [self._makers[kind] for kind in kinds]))
        before = {lane: self._stage.nodes(lane) for lane in self._stage.lanes}
        primaries = {lane: next(node for node in nodes if node.get("role") == "primary") for lane, nodes in before.items()}
        epochs = {lane: int(primary["epoch"]) for lane, primary in primaries.items()}
        probes = {lane: self._stage.probes(lane) for lane in self._stage.lanes}
        each(self._writers.values(), lambda writer: writer.go_on_for(50))
        began_at, date = time.monotonic(), datetime.now(UTC)
        try:
            self._go_through(told)
            over_at = time.monotonic()
            self._stage.is_whole_soon()
            each(self._writers.values(), lambda writer: writer.go_on_for(50))
        except AssertionError as wrong:
            told.wrong.append(f"did not end well: {wrong}")
            over_at = time.monotonic()
        for each_probes in probes.values():
            each_probes.close()
        for lane, writer in self._writers.items():
            elections = self._stage.elections(lane, epochs[lane])
            elected = [node for node in (*before[lane], *self._stage.nodes(lane)) if node["node"] in {election["elected"] for election in elections}]
            judge = Judge(told, lane, [primaries[lane], *elected], began_at, over_at)
            told.lanes.append(judge.of(writer, probes[lane].two_at_once(), len(elections), self._ballast[lane].lost()))
            if self._stage.probes_are_inside and elections and any(trouble.parts and trouble.strikes(primaries[lane]) for trouble in told.troubles):
                taken = probes[lane].taken_by(primaries[lane]["node"], began_at)
                told.lanes[-1].inside = [at - began_at for at in taken if at < over_at]
            if told.wrong:
                told.wrong += [f"{lane}: elected {_election(election)}" for election in elections]
                told.wrong += [f"{lane}: {reign.node} took writes from {reign.since - began_at:.2f} to {reign.until - began_at:.2f} s"
                               for reign in probes[lane].reigns()]
                told.wrong += [f"{lane}: {at - began_at:.2f} s: {why}" for at, why in _first_of_each(writer.failures)]
        told.wrong += wrong_with_the_roamer(told, self._roamer, [p for lane, p in primaries.items() if lane.sharded], began_at)
        if told.wrong:
            told.wrong.append(f"the troubles began at {date:%H:%M:%S.%f} and were over {over_at - began_at:.1f} s later")
        self._tidy(told)
        return told

    def _go_through(self, told: Round) -> None:
        with contextlib.ExitStack() as begun:  # each is ended, whatever another one says to that
            for trouble in told.troubles:
                trouble.begin(self._stage)
                begun.callback(ended, trouble, self._stage)
                let_pass(self._draw.uniform(0.0, 0.3))  # this is how far apart they begin
            if any(trouble.lasts for trouble in told.troubles):
                let_pass(self._draw.uniform(*HOLDS))  # this is how long they last

    def _tidy(self, told: Round) -> None:
        if told.wrong:
            return
        for trouble in told.troubles:
            trouble.clear(self._stage)
        self._stage.is_whole_soon()
        for writer in (*self._writers.values(), self._roamer):
            writer.forget()


def wrong_with_the_roamer(told: Round, roamer: Writer, primaries: list[dict[str, Any]], began_at: float) -> list[str]:
    """What is wrong about the slot that goes from shard to shard: what it was written may be lost only if one of their primaries was struck.

    A primary that was added in the round may be struck as well, where a zone is.
    """
    lost = roamer.lost()
    might = [trouble for trouble in told.troubles if trouble.loses and (trouble.struck or any(map(trouble.strikes, primaries)))]
    found = [f"{len(lost)} acknowledged writes to a slot that moves are lost although nothing befell its primary"] if lost and not might else []
    failed = [why for at, why in roamer.failures if at > began_at and not why.startswith("AttributeError")]
    if failed and all(trouble.name in SCALING for trouble in told.troubles):
        found.append(f"{len(failed)} writes to a slot that moves failed although nothing else happened: {failed[0]}")
    return found


@dataclass
class Judge:
    """Holds what a lane went through against what the troubles of the round may cost it."""

    told: Round
    lane: Lane
    primaries: list[dict[str, Any]]
    began_at: float
    over_at: float

    def of(self, writer: Writer, two_at_once: float, elections: int, ballast_lost: int) -> Told:
        """What the lane went through; what is wrong about it is added to the round."""
        striking = [trouble for trouble in self.told.troubles if any(map(trouble.strikes, self.primaries))]
        unseating = [trouble for trouble in striking if trouble.unseats]
        lost = writer.lost()
        failed = [why for at, why in writer.failures if at > self.began_at]
        gap, _ = writer.longest_gap(self.began_at)
        if ballast_lost:
            self._wrong(f"{ballast_lost} keys are lost that were written long before")
        if lost and not any(trouble.loses for trouble in striking):
            self._wrong(f"{len(lost)} acknowledged writes are lost although nothing befell its primary")
        lasted = self.over_at - self.began_at
        undecided = sum(trouble.undecided for trouble in self.told.troubles)
        away = min(lasted, undecided)
        ages = [written.acknowledged_at - self.began_at for written in lost]
        if ages and (min(ages) < -LOST_BEFORE or max(ages) > TWO_AT_MOST + away):
            self._wrong(f"writes are lost that were acknowledged {-min(ages):.1f} s before, and {max(ages):.1f} s after, the trouble began; "
                        f"{sum(age > TWO_AT_MOST for age in ages)} of {len(ages)} later than {TWO_AT_MOST:g} s after; writes took {gap:.1f} s to come back")
        if two_at_once > (TWO_AT_MOST if any(trouble.parts for trouble in striking) else APART):
            self._wrong(f"two nodes took writes for {two_at_once:.2f} s")
        if elections and not unseating:
            self._wrong(f"its primary was replaced {elections} times although nothing befell it")
        if not elections and any(self._must_unseat(trouble, undecided) for trouble in unseating):
            self._wrong("its primary was not replaced")
        held = failed
        if self.lane.sharded and undecided and any(trouble.parts for trouble in self.told.troubles):
            held = [why for why in held if not why.startswith("ClusterDownError")]  # the engines miss a majority of primaries by then
        if held and not striking:
            self._wrong(f"{len(held)} writes failed although nothing befell its primary: {held[0]}")
        return Told(self.lane, bool(unseating), gap, len(writer.ledger), len(failed), len(lost), two_at_once, elections)

    def _must_unseat(self, trouble: Trouble, undecided: float) -> bool:
        return trouble.certain and (not trouble.parts or self.over_at - self.began_at > REPLACED_WITHIN + undecided)

    def _wrong(self, what: str) -> None:
        self.told.wrong.append(f"{self.lane}: {what}")


def _endless(draw: random.Random, kinds: list[str]) -> Iterator[str]:
    """Each kind once before any of them again."""
    while True:
        yield from draw.sample(kinds, len(kinds))


def storm(folder: Path, seed: int, rounds: int, say: Callable[[str], object] = print, kinds: Iterable[str] | None = None,
          world: World = ONE_HOST, sharded_version: str = "8.1") -> list[Round]:  # fmt: skip
    """The whole of it: every other round combines two troubles. Ends at the first round that was wrong.

    ``sharded_version`` is the Valkey of the group in cluster mode, whose slots go in another way from version 9.0 on.
    """
    stage, told = world.stage(folder), []
    stage.sharded_version = sharded_version
    try:
        stage.start()
        weather = Storm(stage, seed, world.kinds, kinds)
        try:
            for number in range(rounds):
                told.append(weather.round(combined=number % 2 == 1))
                say(_line(told[-1]))
                if told[-1].wrong:
                    break
        finally:
            weather.close()
    finally:
        stage.clear()
    return told


def _first_of_each(failures: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Of failures that say the same in a row, the first."""
    return [each for before, each in pairwise([(0.0, ""), *failures]) if before[1] != each[1]]


def _election(election: dict[str, Any]) -> str:
    return f"{election['elected']} instead of {election['former']} at {election['at']}, epoch {election['epoch']}: {election['because']}"


def _line(told: Round) -> str:
    struck = ", ".join(f"{lane.lane} {lane.gap * 1000:.0f} ms" + (f", {lane.lost} lost" if lane.lost else "") for lane in told.lanes if lane.struck)
    wrong = "".join(f"\n  WRONG {each}" for each in told.wrong)
    return f"{told}: {struck or 'nobody was struck'}{wrong}"


def report(told: list[Round], seed: int) -> str:
    """A table of what the rounds cost, by what happened in them."""
    lines = [
        f"{len(told)} rounds, seed {seed}: {sum(bool(each.wrong) for each in told)} ended wrong; "
        f"{sum(lane.acknowledged for each in told for lane in each.lanes)} acknowledged writes were checked.",
        "",
        "| what happened to the primary | times | until the next acknowledged write, ms: median | p99 | acknowledged writes lost | two nodes took writes, s at most |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows: dict[str, list[Told]] = {}
    for each_round in told:
        names = " + ".join(sorted(trouble.name for trouble in each_round.troubles))
        for lane in each_round.lanes:
            if lane.struck:
                rows.setdefault(names, []).append(lane)
    every = [lane for lanes in rows.values() for lane in lanes]
    for name, lanes in [*sorted(rows.items()), ("all", every)]:
        if lanes:
            lines.append(_row(name, lanes))
    beside = [lane for each_round in told for lane in each_round.lanes if not lane.struck]
    if beside:
        lines += ["", f"Shards that nothing befell, {len(beside)} times: {sum(lane.lost for lane in beside)} acknowledged writes lost, "
                  f"{sum(lane.failed for lane in beside)} failed."]  # fmt: skip
    inside = [lane.inside for each_round in told for lane in each_round.lanes if lane.inside]
    if inside:
        lines += ["", f"On hosts that were cut off, primaries acknowledged {sum(map(len, inside))} writes to a client there before they refused, "
                  f"the last {max(map(max, inside)):.2f} s after the trouble began: they are lost when it follows its heir."]  # fmt: skip
    return "\n".join(lines)


def _row(name: str, lanes: list[Told]) -> str:
    gaps = sorted(lane.gap * 1000 for lane in lanes)
    p99 = statistics.quantiles(gaps, n=100)[98] if len(gaps) >= 100 else gaps[-1]
    two = max(lane.two_at_once for lane in lanes)
    return f"| {name} | {len(lanes)} | {statistics.median(gaps):.0f} | {p99:.0f} | {sum(lane.lost for lane in lanes)} | {two:.2f} |"
