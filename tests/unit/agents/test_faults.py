"""The keeper of an agent's faults: what is done, in which order it is undone, what happens when it is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from waiting import wait_until

from agents.faulting.packet_filter import Drop, FilterRefusedError, owner_of
from agents.faults import FaultKeeper, has_left_faults
from agents.launch import Launch
from agents.runtimes.fake import FakeRuntime
from agents.runtimes.runtime import Handle
from api_schemas.agent.fault import FaultSpec, FaultyNode
from api_schemas.fault_kind import FaultKind

MINE, OTHER, THIRD = "127.101.9.0/24", "127.102.9.0/24", "127.103.9.0/24"


@dataclass
class NotedFilter:
    """A packet filter that only remembers, or refuses everything."""

    name: ClassVar[str] = "noted"
    rules: dict[str, list[Drop]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    refuses: bool = False

    def put(self, owner: str, drops: Sequence[Drop]) -> None:
        if self.refuses:
            raise FilterRefusedError("not today")
        self.rules[owner] = list(drops)
        self.said.append(f"{len(drops)} rules")

    def count(self, owner: str) -> int:
        return len(self.rules.get(owner, []))


class Ground:
    """A keeper over processes in memory, for nodes n1 and n2 at boot 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = FakeRuntime(folder)
        self.filter = NotedFilter()
        self.handles: dict[str, Handle] = {}
        self.changes = 0
        for key in ("n1", "n2"):
            self.start(key, boot=1)
        self.keeper = self.next_keeper()

    def next_keeper(self) -> FaultKeeper:
        return FaultKeeper(self.folder, MINE, self.runtime, self.filter, lambda: dict(self.handles), self._changed)

    def start(self, key: str, boot: int) -> Handle:
        self.handles[key] = self.runtime.start(Launch(key, boot, ("engine",), self.folder, self.folder / "log"))
        return self.handles[key]

    def is_paused(self, key: str) -> bool:
        process = self.runtime.world.get(self.handles[key])
        return process is not None and process.paused

    def lives(self, key: str) -> bool:
        return self.runtime.alive(self.handles[key])

    def rules(self) -> int:
        return self.filter.count(owner_of(self.folder))

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.keeper.close()


def spec(kind: FaultKind, *keys: str, boot: int = 1, seconds: float = 60, **fields: Any) -> FaultSpec:
    nodes = [FaultyNode(key=key, boot=boot) for key in keys]
    return FaultSpec(id=f"fault-{kind.value}", kind=kind, seconds=seconds, nodes=nodes, **fields)


def test_a_crash_ends_the_boot_that_it_names_once(ground: Ground) -> None:
    crash = spec(FaultKind.CRASH, "n1")
    ground.keeper.take([crash])
    assert not ground.lives("n1")
    assert ground.lives("n2")
    ground.start("n1", boot=2)
    ground.keeper.take([crash, spec(FaultKind.HANG, "n2")])
    ground.next_keeper().take([crash])
    assert ground.lives("n1"), "the next boot crashed as well"


def test_a_hang_is_over_when_its_time_is_up(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.HANG, "n1", seconds=0.05)])
    assert ground.is_paused("n1")
    assert not ground.is_paused("n2")
    wait_until(lambda: not ground.is_paused("n1"))
    wait_until(lambda: not has_left_faults(ground.folder))


def test_a_fault_that_is_ordered_again_keeps_its_time(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.HANG, "n1", seconds=0.1)])
    ground.keeper.take([spec(FaultKind.HANG, "n1", seconds=600)])
    wait_until(lambda: not ground.is_paused("n1"))


def test_a_hang_spares_the_boot_that_replaces_it(ground: Ground) -> None:
    hang = spec(FaultKind.HANG, "n1")
    ground.keeper.take([hang])
    ground.runtime.kill(ground.handles["n1"])
    ground.start("n1", boot=2)
    ground.keeper.take([hang, spec(FaultKind.SILENCE, whole=True)])
    assert not ground.is_paused("n1")


def test_a_slow_node_is_stopped_again_and_again_until_the_end(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.SLOW, "n1", slowness=0.5)])
    for _ in range(3):
        wait_until(lambda: ground.is_paused("n1"), every=0.001)
        wait_until(lambda: not ground.is_paused("n1"), every=0.001)
    ground.keeper.take([])
    assert not ground.is_paused("n1")
    assert not [thread for thread in threading.enumerate() if thread.name == "slow-nodes"]


def test_a_slow_node_that_hangs_goes_on_hanging(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.SLOW, "n1", "n2", slowness=0.5), spec(FaultKind.HANG, "n1")])
    for _ in range(2):
        wait_until(lambda: ground.is_paused("n2"), every=0.001)
        wait_until(lambda: not ground.is_paused("n2"), every=0.001)
        assert ground.is_paused("n1")


def test_power_loss_of_some_nodes_leaves_the_agent_its_voice(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.POWER_LOSS, "n1")])
    assert [ground.lives(key) for key in ("n1", "n2")] == [False, True]
    assert [ground.keeper.without_power(key) for key in ("n1", "n2")] == [True, False]
    assert not ground.keeper.silent
    ground.keeper.take([])
    assert not ground.keeper.without_power("n1")


def test_power_loss_of_a_zone_takes_everything(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.POWER_LOSS, whole=True)])
    assert not any(ground.lives(key) for key in ("n1", "n2"))
    assert ground.keeper.without_power("n3"), "a node that is ordered meanwhile"
    assert ground.keeper.silent


def test_silence_leaves_everything_else_alone(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.SILENCE, whole=True)])
    assert ground.keeper.silent
    assert all(ground.lives(key) and not ground.is_paused(key) for key in ("n1", "n2"))


def test_isolation_drops_both_ways_and_silences(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.ISOLATION, whole=True, apart_from=[OTHER, THIRD])])
    drops = {(drop.source, drop.destination) for drop in ground.filter.rules[owner_of(ground.folder)]}
    assert drops == {(MINE, OTHER), (OTHER, MINE), (MINE, THIRD), (THIRD, MINE)}
    assert {drop.because for drop in ground.filter.rules[owner_of(ground.folder)]} == {"fault-zone-isolation"}
    assert ground.keeper.silent


def test_a_cut_ends_while_an_isolation_goes_on(ground: Ground) -> None:
    isolation = spec(FaultKind.ISOLATION, whole=True, apart_from=[OTHER, THIRD])
    ground.keeper.take([isolation, spec(FaultKind.CUT, whole=True, apart_from=[OTHER])])
    assert ground.rules() == 6
    ground.keeper.take([isolation])
    assert ground.rules() == 4
    ground.keeper.take([])
    assert ground.rules() == 0
    assert not ground.keeper.silent


def test_a_filter_that_refuses_is_told_and_tried_again(ground: Ground) -> None:
    cut = spec(FaultKind.CUT, whole=True, apart_from=[OTHER])
    ground.filter.refuses = True
    (problem,) = ground.keeper.take([cut])
    assert (problem.id, problem.problem) == (cut.id, "not today")
    ground.filter.refuses = False
    assert ground.keeper.take([cut]) == []
    assert ground.rules() == 2


def test_rules_that_the_filter_will_not_take_back_are_tried_again(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.CUT, whole=True, apart_from=[OTHER])])
    ground.filter.refuses = True
    ground.keeper.take([])
    assert (ground.rules(), has_left_faults(ground.folder)) == (2, True)
    ground.filter.refuses = False
    wait_until(lambda: ground.rules() == 0)
    wait_until(lambda: not has_left_faults(ground.folder))


def test_without_a_filter_the_other_kinds_are_offered(ground: Ground) -> None:
    keeper = FaultKeeper(ground.folder, MINE, ground.runtime, None, dict, lambda: None)
    assert set(ground.keeper.kinds()) - set(keeper.kinds()) == {"zone-isolation", "link-cut"}
    assert len(keeper.kinds()) == 5


def test_words_come_back_after_everything_else_was_undone(ground: Ground) -> None:
    """Who hears the agent again finds a zone that is whole."""
    seen: list[tuple[bool, bool, int]] = []
    keeper = FaultKeeper(ground.folder, MINE, ground.runtime, ground.filter, lambda: dict(ground.handles),
                         lambda: seen.append((keeper.silent, ground.is_paused("n1"), ground.rules())))  # fmt: skip
    keeper.take([spec(FaultKind.ISOLATION, whole=True, apart_from=[OTHER]), spec(FaultKind.HANG, "n1")])
    keeper.take([])
    assert seen == [(True, True, 2), (False, False, 0)]


def test_closing_undoes_everything_and_begins_nothing(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.CUT, whole=True, apart_from=[OTHER]), spec(FaultKind.HANG, "n1")])
    ground.keeper.close()
    assert (ground.rules(), ground.is_paused("n1"), has_left_faults(ground.folder)) == (0, False, False)
    ground.keeper.take([spec(FaultKind.HANG, "n1")])
    assert not ground.is_paused("n1")


def test_the_next_life_sweeps_what_a_killed_one_left(ground: Ground) -> None:
    ground.keeper.take([spec(FaultKind.CUT, whole=True, apart_from=[OTHER]), spec(FaultKind.HANG, "n1")])
    assert has_left_faults(ground.folder)
    ground.next_keeper().sweep(list(ground.handles.values()))
    assert (ground.rules(), ground.is_paused("n1"), has_left_faults(ground.folder)) == (0, False, False)


def test_the_filter_is_left_alone_where_there_was_no_fault(ground: Ground) -> None:
    ground.keeper.sweep(list(ground.handles.values()))
    ground.keeper.take([])
    assert ground.filter.said == []
