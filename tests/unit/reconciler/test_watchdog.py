"""Who falls silent is noticed once, by everything that concerns it; what nobody could hear counts for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from factories import a_group, an_agent
from situations import at_work
from waiting import wait_until

from controlplane.domain.topology import Topology
from controlplane.reconciler.watchdog import INTERVAL, Watchdog
from controlplane.store.fleet import HEARD_WITHIN, Heartbeats
from controlplane.store.store import Store


@dataclass
class Woken:
    """Stands for the reconciler: which topologies it was told to look at."""

    uids: list[str] = field(default_factory=list)

    def wake(self, uid: str) -> None:
        self.uids.append(uid)


class Watch:
    """A store with agents and a group over zones a and b, at a time that tests set."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.store = Store(f"sqlite:///{folder / 'plane.db'}")
        self.store.heartbeats = Heartbeats(lambda: self.now)
        self.woken = Woken()
        self.dog = Watchdog(self.store, self.woken)  # type: ignore[arg-type]
        self.orders = self._saved(at_work(2).topology)
        self._saved(replace(a_group("unplaced"), uid="u-unplaced"))
        with self.store.transaction() as unit:
            for zone in "abc":
                unit.agents.put(an_agent(f"agent-{zone}", f"us-east-1{zone}"))
        self.hear("a", "b", "c")

    def _saved(self, topology: Topology) -> str:
        with self.store.transaction() as unit:
            unit.topologies.save(topology)
        return topology.uid

    def hear(self, *zones: str) -> None:
        for zone in zones:
            self.store.heartbeats.hear(f"agent-{zone}")

    def look(self, after: float = 0.0, late: float = 0.0) -> list[str]:
        """Who is woken by one look, so many seconds later."""
        self.now += after
        self.woken.uids.clear()
        self.dog.look(late)
        return list(self.woken.uids)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    yield made
    made.store.close()


def test_nobody_is_woken_while_all_are_heard(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.look(after=HEARD_WITHIN) == []


def test_a_silence_wakes_what_has_a_node_there_once(watch: Watch) -> None:
    watch.look()
    watch.now += 1
    watch.hear("b", "c")
    assert watch.look(after=HEARD_WITHIN - 0.5) == [watch.orders]
    assert watch.look() == []


def test_a_silence_that_concerns_nobody_wakes_nobody(watch: Watch) -> None:
    watch.look()
    watch.now += 1
    watch.hear("a", "b")
    assert watch.look(after=HEARD_WITHIN - 0.5) == []


def test_who_spoke_again_and_fell_silent_again_is_noticed_again(watch: Watch) -> None:
    for _ in range(2):
        watch.hear("a", "b", "c")
        assert watch.look() == []
        watch.now += 1
        watch.hear("b", "c")
        assert watch.look(after=HEARD_WITHIN - 0.5) == [watch.orders]


def test_who_is_silent_at_the_first_look_is_noticed(watch: Watch) -> None:
    assert watch.look(after=HEARD_WITHIN + 1) == [watch.orders]


def test_several_silences_at_once_wake_a_group_once(watch: Watch) -> None:
    watch.look()
    assert watch.look(after=HEARD_WITHIN + 1) == [watch.orders]


def test_a_control_plane_that_stood_still_forgives_everybody(watch: Watch) -> None:
    watch.look()
    assert watch.look(after=60, late=60 - INTERVAL) == []
    assert watch.look(after=HEARD_WITHIN - 1) == []
    assert watch.look(after=1 + INTERVAL + 0.01) == [watch.orders]  # nobody has spoken since


def test_a_look_that_is_a_little_late_forgives_nobody(watch: Watch) -> None:
    watch.look()
    assert watch.look(after=HEARD_WITHIN + 0.01, late=0.4) == [watch.orders]


def test_it_looks_by_itself_until_it_is_closed(watch: Watch) -> None:
    watch.now += HEARD_WITHIN + 1
    watch.dog.start()
    wait_until(lambda: watch.woken.uids == [watch.orders])
    watch.dog.close()
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())
